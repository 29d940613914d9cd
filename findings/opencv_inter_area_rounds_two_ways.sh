#!/usr/bin/env bash
# One would guess that cv2.resize with INTER_AREA rounds a uint8 block mean in
# one way, whatever the block. Where the mean is exactly k + 0.5, 2x2 blocks
# round up (to k + 1), but 1x2, 2x1, 2x3, 2x4, 4x2, 4x4, 6x6 and 8x8 blocks
# round to the even neighbour. Seen with opencv-python-headless 5.0.0.93 and
# numpy 2.4.6 on x86-64 Linux, for one and three channels and several widths (and
# once, by hand, with 4.12.0.88 and numpy 2.2.6).
# It matters because halving makes uint8 images brighter on average (by 1/8 grey
# level for random data) while quartering does not, so levels of an image
# pyramid differ by how they were made, and a reference computed with numpy's
# rint agrees with OpenCV for the other blocks tried but not for 2x2.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.4.6

PYTHONIOENCODING=utf-8 venv/bin/python - <<'PYTHON'
import sys
import cv2, numpy as np

print("OpenCV", cv2.__version__, "numpy", np.__version__)
levels = np.arange(255)
up, even = levels + 1, levels + levels % 2


def rounding(height, width, columns, channels):
    block = np.zeros(height * width, np.uint8)
    block[: height * width // 2] = 1
    row = np.tile(block.reshape(height, width), (1, columns))
    image = np.concatenate([row + np.uint8(k) for k in levels])
    image = np.repeat(image[:, :, None], channels, axis=2)
    out = cv2.resize(image, (columns, len(levels)), interpolation=cv2.INTER_AREA)
    out = out.reshape(len(levels), -1)
    return "up" if (out == up[:, None]).all() else "to even" if (out == even[:, None]).all() else "other"


good = True
for shape in [(2, 2), (1, 2), (2, 1), (2, 3), (2, 4), (4, 2), (4, 4), (6, 6), (8, 8)]:
    seen = {rounding(*shape, columns, channels) for columns in (1, 7, 64) for channels in (1, 3)}
    print("blocks of %d x %d with mean k + 0.5 round:" % shape, ", ".join(sorted(seen)))
    good &= seen == ({"up"} if shape == (2, 2) else {"to even"})
noise = np.random.default_rng(0).integers(0, 256, (2048, 2048)).astype(np.uint8)
for factor in (2, 4):
    small = cv2.resize(noise, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    shift = small.mean() - noise.mean()
    print("mean grey level of noise after /%d: %+.4f" % (factor, shift))
    good &= abs(shift - (0.125 if factor == 2 else 0)) < 0.01
if not good:
    sys.exit("DIFFERS: INTER_AREA did not round 2x2 up and the other blocks to even")
print("AS STATED")
PYTHON
