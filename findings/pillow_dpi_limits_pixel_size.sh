#!/usr/bin/env bash
# One would guess that a resolution is a mere note in a file. Pillow turns dpi
# into whole pixels per metre in 32 bits for PNG (and BMP): up to about
# 109,092,169 dpi, a pixel of 0.2328 nm, it saves; above, save raises
# OverflowError. A new file is then not made, but an existing PNG of that name
# is cut down to 33 bytes and cannot be opened any more. A pixel of 1 angstrom
# is 254,000,000 dpi, so it is above the limit. JPEG does not complain but
# keeps dpi modulo 65536, hence a false size from 65536 dpi on (a pixel of
# 0.39 micrometre); TIFF keeps 254,000,000 dpi. Seen with Pillow 13.0.0 and
# numpy 2.4.6. It matters because pixel sizes of electron microscopy lose the
# PNG, and those of light microscopy already come back wrong from a JPEG.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6

PYTHONIOENCODING=utf-8 venv/bin/python - <<'PYTHON'
import io, os, sys
import numpy as np, PIL
from PIL import Image

print("Pillow", PIL.__version__, "numpy", np.__version__)
image = Image.fromarray(np.zeros((2, 2), np.uint8))


def kept(form, dpi):
    file = io.BytesIO()
    try:
        image.save(file, form, dpi=(dpi, dpi))
        with Image.open(file) as again:
            result = float(again.info["dpi"][0])
    except OverflowError as exc:
        result = "OverflowError"
    print(f"{form} {dpi:.0f} dpi ({0.0254e9 / dpi:.4g} nm a pixel) ->", result)
    return result


angstrom = 2.54e8
good = abs(kept("PNG", 109092169) - 109092169) < 1
good &= kept("PNG", 109092170) == "OverflowError"
good &= kept("PNG", angstrom) == "OverflowError"
good &= kept("PNG", 1e10) == "OverflowError"
good &= kept("BMP", angstrom) == "OverflowError"
good &= kept("TIFF", angstrom) == angstrom
good &= kept("JPEG", 65535) == 65535
for dpi in (65537, 100000, 254000000):
    good &= kept("JPEG", dpi) == dpi % 65536
image.save("old.png")
sizes = [os.path.getsize("old.png")]
for name in ("old.png", "new.png"):
    try:
        image.save(name, dpi=(angstrom, angstrom))
    except OverflowError:
        pass
sizes.append(os.path.getsize("old.png"))
print("existing PNG: %d bytes before, %d after the failed save; new PNG made:" % tuple(sizes), os.path.exists("new.png"))
try:
    Image.open("old.png").load()
    opens = True
except Exception as exc:
    opens = False
    print("opening the existing PNG now:", type(exc).__name__)
good &= sizes[1] == 33 and not opens and not os.path.exists("new.png")
if not good:
    sys.exit("DIFFERS: the limits of dpi for PNG, BMP, TIFF and JPEG are not the stated ones")
print("AS STATED")
PYTHON
