#!/usr/bin/env bash
# One would guess that reducing an image with Pillow's Resampling.BOX gives the
# mean over the area of each new pixel. It does so for whole factors only: else
# each source pixel is given with full weight to one new pixel (Pillow's manual
# says so), and none is shared. From 5 to 2 pixels the weights are (1/3, 1/3,
# 1/3, 0, 0) and (0, 0, 0, 1/2, 1/2), not (.4, .4, .2, 0, 0) and its mirror
# image: it is not symmetric under a flip and does not keep the image's mean.
# Seen with Pillow 13.0.0 and numpy 2.4.6, on float32 images. It matters because
# intensities that are measured on reduced images depend on the orientation of
# the image, and differ from those of an exact area mean by tens of grey levels
# in noise.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6

PYTHONIOENCODING=utf-8 venv/bin/python - <<'PYTHON'
import sys
import numpy as np, PIL
from PIL import Image

print("Pillow", PIL.__version__, "numpy", np.__version__)


def box(array, height, width):
    return np.asarray(Image.fromarray(array).resize((width, height), Image.Resampling.BOX))


def area_weights(old, new):
    edges = np.arange(new + 1) * old / new
    cells = np.arange(old)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    return np.clip(overlap, 0, None) * new / old


impulses = np.eye(5, dtype=np.float32)
weights = np.stack([box(impulses[i:i + 1], 1, 2)[0] for i in range(5)], axis=1)
print("5 to 2, weights of BOX:", weights.round(3).tolist())
print("5 to 2, area weights:  ", area_weights(5, 2).round(3).tolist())
good = np.allclose(weights, [[1 / 3] * 3 + [0, 0], [0, 0, 0, 0.5, 0.5]], atol=1e-6)
ramp = np.array([[0, 0, 90, 0, 0]], np.float32)
print("a bright middle pixel", ramp[0].tolist(), "(mean 18) ->", box(ramp, 1, 2)[0].tolist())
good &= np.allclose(box(ramp, 1, 2), [[30, 0]], atol=1e-4)
random = np.random.default_rng(0)
for old, new in [(6, 3), (96, 24), (5, 2), (7, 3), (96, 40)]:
    image = (random.random((old, old)) * 255).astype(np.float32)
    exact = area_weights(old, new) @ image @ area_weights(old, new).T
    off = abs(box(image, new, new) - exact).max()
    print(f"{old} to {new}: largest difference from the area mean {off:.5f}")
    good &= off < 1e-3 if old % new == 0 else off > 1
if not good:
    sys.exit("DIFFERS: BOX did not depart from the area mean for factors that are not whole only")
print("AS STATED")
PYTHON
