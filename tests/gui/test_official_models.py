"""A published network beside a window drawn by software OpenGL, in a process that may crash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MAKE = """
import sys, torch
from napari_iclsam.models.sam import Sam, vit_encoder
torch.save(Sam(vit_encoder(96, 2, 3, (1,))).state_dict(), sys.argv[1])
"""

USE = """
import sys, threading
import napari, numpy as np
from qtpy.QtWidgets import QApplication
viewer = napari.Viewer(show=True)
image = viewer.add_image(np.random.default_rng(0).random((40, 40))).data
viewer.screenshot(canvas_only=False)  # OpenGL is loaded now
done = []
def work():
    from napari_iclsam import ICLSAM
    from napari_iclsam.core.encoder.cache import EmbeddingCache
    segmenter = ICLSAM(sys.argv[1], cache=EmbeddingCache(None))
    done.append(segmenter.fit([image], [image > 0.5]).predict(image).labels.shape)
worker = threading.Thread(target=work)
worker.start()
while worker.is_alive():
    QApplication.processEvents()
viewer.close()
print("segmented", done)
"""


@pytest.mark.slow
def test_a_sam_checkpoint_segments_beside_a_drawn_window(tmp_path: Path) -> None:
    checkpoint = str(tmp_path / "small.pth")
    subprocess.run([sys.executable, "-c", MAKE, checkpoint], check=True, timeout=300)
    used = subprocess.run(
        [sys.executable, "-c", USE, checkpoint],
        check=False,
        timeout=300,
        capture_output=True,
        text=True,
    )
    assert used.returncode == 0, used.stderr[-2000:]
    assert "segmented [(40, 40)]" in used.stdout
