#!/usr/bin/env bash
# One would guess that a unit accepted for OME-TIFF is accepted for ImageJ TIFF
# too. tifffile writes the micrometre sign (U+00B5, then m) into OME metadata
# and reads it back, but imwrite(..., imagej=True, metadata={"unit": ...}) with
# the same text raises UnicodeEncodeError, because the ImageJ description is
# encoded as ASCII; an 8-byte TIFF with no pages is left on disk, in place of
# any file that was there. The unit "um" works. Seen with tifffile 2026.3.3 and
# numpy 2.4.6. It matters because micrometres are the usual unit of microscopy
# and a unit copied from OME metadata carries exactly this sign: saving for
# Fiji then fails, and overwriting an existing file destroys it.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check tifffile==2026.3.3 numpy==2.4.6

PYTHONIOENCODING=utf-8 venv/bin/python - <<'PYTHON'
import os, sys
import numpy as np, tifffile

print("tifffile", tifffile.__version__, "numpy", np.__version__)
unit = "\u00b5m"
stack = np.arange(5 * 8 * 9, dtype=np.uint8).reshape(5, 8, 9)
tifffile.imwrite("a.ome.tif", stack, ome=True, metadata={
    "axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": unit})
with tifffile.TiffFile("a.ome.tif") as tif:
    in_ome = f'PhysicalSizeXUnit="{unit}"' in tif.ome_metadata
print("OME, unit kept:", in_ome)
tifffile.imwrite("b.tif", stack, imagej=True, metadata={"axes": "ZYX", "unit": "um"})
with tifffile.TiffFile("b.tif") as tif:
    plain = tif.imagej_metadata["unit"]
before = os.path.getsize("b.tif")
print("ImageJ, unit 'um' read back:", repr(plain), "file of", before, "bytes")
error = None
try:
    tifffile.imwrite("b.tif", stack, imagej=True, metadata={"axes": "ZYX", "unit": unit})
except Exception as exc:
    error = exc
after = os.path.getsize("b.tif")
print("ImageJ, unit", ascii(unit) + ":", type(error).__name__, error)
print("the file overwritten by that call now has", after, "bytes")
if not (in_ome and plain == "um" and isinstance(error, UnicodeEncodeError) and after == 8):
    sys.exit("DIFFERS: the micrometre sign was not both kept for OME and refused for ImageJ")
print("AS STATED")
PYTHON
