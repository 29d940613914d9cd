#!/usr/bin/env bash
# One would guess that the axes which tifffile reports for a file are axes that
# tifffile can write. Pillow saves a stack as a multi-page TIFF without any
# axes metadata; tifffile reads it as "IYX" (I: a plain sequence of pages), yet
# imwrite(..., ome=True, metadata={"axes": "IYX"}) raises OmeXmlError, since
# OME has no dimension I, and leaves an unfinished file behind. The same call
# with "ZYX" works. Seen with tifffile 2026.3.3, Pillow 13.0.0, numpy 2.4.6.
# It matters because "read, process, write with the axes that were read" is
# the obvious loop of an image analysis: it fails on the TIFF stacks of any
# general tool, so I has to be mapped to Z, T or C by the user first.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check tifffile==2026.3.3 pillow==13.0.0 numpy==2.4.6

PYTHONIOENCODING=utf-8 venv/bin/python - <<'PYTHON'
import sys
import numpy as np, PIL, tifffile
from PIL import Image

print("tifffile", tifffile.__version__, "Pillow", PIL.__version__, "numpy", np.__version__)
pages = [Image.fromarray(np.full((8, 9), i, np.uint8)) for i in range(5)]
pages[0].save("pages.tif", save_all=True, append_images=pages[1:])
with tifffile.TiffFile("pages.tif") as tif:
    axes, stack = tif.series[0].axes, tif.asarray()
print("read:", axes, stack.shape)
error = None
try:
    tifffile.imwrite("same.ome.tif", stack, ome=True, metadata={"axes": axes})
except Exception as exc:
    error = exc
print("written with", axes + ":", type(error).__name__, error)
tifffile.imwrite("z.ome.tif", stack, ome=True, metadata={"axes": "ZYX"})
with tifffile.TiffFile("z.ome.tif") as tif:
    again = tif.series[0].axes
print("written with ZYX, read:", again)
if not (axes == "IYX" and type(error).__name__ == "OmeXmlError" and again == "ZYX"):
    sys.exit("DIFFERS: the axes IYX were not both reported by tifffile and refused for OME")
print("AS STATED")
PYTHON
