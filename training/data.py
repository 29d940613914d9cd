"""Folders of real images with their masks, read into memory once.

Knows nothing of tasks, of sizes or of networks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with its label map.

    Attributes
    ----------
    image : ndarray, (H, W, 3) uint8
        Grey images have their one channel three times.
    mask : ndarray, (H, W) uint8
        Label map, 0 is background.
    instances : ndarray or None, (H, W) uint16
        Objects, where the set knows them.
    subject : str
        What may not stand on both sides of a split.
    task : str
        The part of a mixed set that the sample belongs to, else an empty string.
    name : str
        Of the image's file, without extension.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    instances: NDArray[np.uint16] | None
    subject: str
    task: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class DataSet:
    """A folder of samples: its name, the name of each label value, the samples."""

    name: str
    labels: dict[int, str]
    samples: list[Sample]


def load_set(folder: Path) -> DataSet:
    """Read a folder of ``images/``, ``masks/``, optional ``instances/`` and ``meta.json``.

    Raises
    ------
    FileNotFoundError
        If the folder has no ``meta.json``.
    ValueError
        If an image and its mask differ in size.
    """
    path = folder / "meta.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"expected {path}, which describes the set; give a folder of one data set"
        )
    meta = json.loads(path.read_text())
    labels = {int(value): str(name) for value, name in meta["labels"].items()}
    return DataSet(
        str(meta["name"]), labels, [_load_sample(folder, entry) for entry in meta["samples"]]
    )


def load_sets(root: Path) -> list[DataSet]:
    """Read every set below a folder, in the order of their names."""
    sets = [load_set(path.parent) for path in sorted(root.glob("*/meta.json"))]
    if not sets:
        raise FileNotFoundError(f"expected folders with a meta.json in {root}, found none")
    return sets


def _load_sample(folder: Path, entry: dict[str, str]) -> Sample:
    image = np.asarray(iio.imread(folder / entry["image"]))
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    mask = np.asarray(iio.imread(folder / entry["mask"]))
    if image.shape[:2] != mask.shape:
        raise ValueError(
            f"{folder / entry['image']} is {image.shape[:2]} but its mask is {mask.shape}"
        )
    instances = entry.get("instances")
    return Sample(
        image=np.ascontiguousarray(image[..., :3], dtype=np.uint8),
        mask=np.ascontiguousarray(mask, dtype=np.uint8),
        instances=None
        if instances is None
        else np.asarray(iio.imread(folder / instances)).astype(np.uint16),
        subject=str(entry["subject"]),
        task=str(entry.get("task") or ""),
        name=Path(entry["image"]).stem,
    )
