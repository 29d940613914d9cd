#!/usr/bin/env bash
# One would guess that a stack of 4 slices is stored like a stack of 5. With
# tifffile.imwrite(path, stack) and no photometric, a (3, Y, X) or (4, Y, X)
# array is stored as ONE planar RGB page (4: with an alpha sample) and read
# back as axes SYX, while (2, Y, X) and (5, Y, X) become grey pages, QYX.
# metadata={"axes": "ZYX"} repairs only what tifffile reports: the page is
# still RGB, and Pillow opens it as one colour frame. photometric="minisblack",
# ome=True or imagej=True each avoid it. A warning is given, but it is a
# DeprecationWarning attributed to tifffile, which Python hides by default:
# a plain script prints nothing. Seen with tifffile 2026.3.3, Pillow 13.0.0,
# numpy 2.4.6, for uint8, uint16 and float32. It matters because short z-stacks,
# time series and cropped test data turn into colour images in other programs.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check tifffile==2026.3.3 pillow==13.0.0 numpy==2.4.6

PYTHONIOENCODING=utf-8 venv/bin/python - <<'PYTHON'
import subprocess, sys, warnings
import numpy as np, PIL, tifffile
from PIL import Image

print("tifffile", tifffile.__version__, "Pillow", PIL.__version__, "numpy", np.__version__)


def store(n, dtype="uint8", **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tifffile.imwrite("s.tif", np.zeros((n, 96, 96), dtype), **options)
    with tifffile.TiffFile("s.tif") as tif:
        page = tif.pages[0]
        result = (len(tif.pages), page.photometric.name, tif.series[0].axes,
                  len(page.extrasamples), [w.category.__name__ for w in caught])
    print(n, "slices", dtype, options or "", "-> pages %d, %s, axes %s, extra samples %d, warnings %s" % result)
    return result


good = True
for dtype in ("uint8", "uint16", "float32"):
    for n in (2, 3, 4, 5):
        colour = (1, "RGB", "SYX", n - 3, ["DeprecationWarning"])
        grey = (n, "MINISBLACK", "QYX", 0, [])
        good &= store(n, dtype) == (colour if n in (3, 4) else grey)
good &= store(4, photometric="minisblack")[:2] == (4, "MINISBLACK")
good &= store(4, ome=True)[:2] == (4, "MINISBLACK")
good &= store(4, imagej=True)[:2] == (4, "MINISBLACK")
good &= store(4, metadata={"axes": "ZYX"})[:3] == (1, "RGB", "ZYX")
with Image.open("s.tif") as image:
    print("Pillow opens that last file as", image.mode, "with", image.n_frames, "frame(s)")
    good &= image.mode == "RGBA" and image.n_frames == 1
script = "import numpy, tifffile; tifffile.imwrite('t.tif', numpy.zeros((4, 96, 96), 'u1'))"
done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
print("what a plain script prints:", repr(done.stdout + done.stderr))
good &= done.stdout + done.stderr == ""
if not good:
    sys.exit("DIFFERS: three- and four-slice stacks were not stored as RGB in the stated way")
print("AS STATED")
PYTHON
