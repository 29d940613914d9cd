"""micro-sam in the same environment: it brings a twin of segment-anything, in the same folder.

Runs where micro-sam is installed beside this package: ``pip install micro-sam``.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

SEGMENT = """
import sys, zlib
if sys.argv[1] == "beside":
    import micro_sam.util
import numpy as np
from napari_iclsam import ICLSAM

rows, columns = np.indices((64, 64))
disc = np.hypot(rows - 30, columns - 34) < 14
image = (60 + 90 * disc + np.random.default_rng(0).normal(0, 9, disc.shape)).astype(np.uint8)
task = ICLSAM("lite_medsam+starter_sam").fit([image], [disc.astype(np.uint8)])
found = task.predict(np.roll(image, 5, 1))
maps = zlib.crc32(found.probabilities[1].tobytes())
print(zlib.crc32(found.labels.tobytes()), maps, int(found.labels.sum()))
"""


def segmented(how: str) -> list[str]:
    command = [sys.executable, "-W", "ignore", "-c", SEGMENT, how]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.split()


@pytest.mark.slow
def test_segmentations_are_the_same_with_micro_sam_in_the_process() -> None:
    pytest.importorskip("micro_sam")
    assert importlib.metadata.version("segment-anything-py")
    alone = segmented("alone")
    assert int(alone[-1]) > 300
    assert segmented("beside") == alone
