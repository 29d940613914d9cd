"""Tasks without labels: find a part of a real image again in changed copies of it.

What a part is, its pixels tell.

Not for images of many like objects, where nothing would tell one of them from the others.

Ouyang et al., "Self-Supervision with Superpixels: Training Few-shot Medical Image Segmentation
without Annotation", ECCV 2020. The parts are those of Felzenszwalb and Huttenlocher, "Efficient
Graph-Based Image Segmentation", IJCV 2004.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.segmentation import felzenszwalb
from torch.nn import functional as F

from training.augment import Pairs, crop, deform
from training.data import Sample
from training.fields import Rng

_SIDE = 192
"""Parts are sought in images of so many pixels on the longer side."""

_SCALES = (100, 300, 900)
"""The larger, the larger the parts."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of real images, sought once and kept in a folder."""

    folder: Path

    def task(self, rng: Rng, name: str, sample: Sample, size: int, count: int) -> Pairs:
        """Draw pairs of a part, or of several, of a sample of a set.

        Its image, cut and bent anew for each.
        """
        labels = self._of(name, sample, int(rng.choice(_SCALES)))
        shares = np.bincount(labels.ravel()) / labels.size
        fit = np.flatnonzero((shares > 0.01) & (shares < 0.3))
        chosen = rng.choice(fit, 1 if rng.random() < 0.7 else 2) if len(fit) else np.array([0])
        mask = np.isin(labels, chosen)
        widest = rng.uniform(0.5, 1.0)
        parts = [
            crop(rng, sample.image, mask, size, widest * rng.uniform(0.8, 1), smooth=True)
            for _ in range(count)
        ]
        pairs = Pairs(
            np.concatenate([p.images for p in parts]), np.concatenate([p.masks for p in parts])
        )
        return deform(rng, pairs)

    def _of(self, name: str, sample: Sample, scale: int) -> NDArray[np.uint16]:
        """Return the parts of an image, (H, W)."""
        path = self.folder / f"{name}_{sample.name}_{scale}.npy"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.tmp")
            with partial.open("wb") as stream:
                np.save(stream, _seek(sample.image, scale))
            partial.replace(path)
        found = np.load(path)
        rows, columns = (
            (np.arange(n) + 0.5) * m / n
            for n, m in zip(sample.mask.shape, found.shape, strict=True)
        )
        return np.asarray(found[rows.astype(int)][:, columns.astype(int)])


def _seek(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint16]:
    factor = min(1.0, _SIDE / max(image.shape[:2]))
    size = tuple(max(1, round(side * factor)) for side in image.shape[:2])
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    small = F.interpolate(pixels, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    spread = max(float(small.std()), 1e-3)
    return np.asarray(
        felzenszwalb(small * (0.2 / spread), scale=scale, sigma=0.8, min_size=30), np.uint16
    )
