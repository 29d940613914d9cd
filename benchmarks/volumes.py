"""Segment whole volumes from a few labelled planes, beside interpolation between these planes.

A volume is a folder with ``image.nii.gz``, ``labels.nii.gz`` (the ground truth) and ``meta.json``
(names of the labels, and the axis of the planes in z, y, x order). The labelled planes are evenly
spaced over those that hold any label. For each label, over all other planes: Dice in the volume,
Dice of linear interpolation of signed distances between the labelled planes, planes without the
label that were marked, and planes with the label that were emptied.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_iclsam import ICLSAM, dice

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume with its planes along the first axis.

    Attributes
    ----------
    name : str
    image : ndarray, (Z, Y, X)
    truth : ndarray, (Z, Y, X), integer
    labels : dict of int to str
    spacing : tuple of float
        Distance of planes, rows and columns.
    """

    name: str
    image: NDArray[np.generic]
    truth: NDArray[np.int32]
    labels: dict[int, str]
    spacing: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Row:
    """What was reached for one label of a volume."""

    volume: str
    labelled: int
    label: str
    dice: float
    interpolation: float
    without_label: int
    marked: int
    with_label: int
    emptied: int
    seconds: float


def read_volume(folder: Path) -> Volume:
    """Read a folder."""
    meta = json.loads((folder / "meta.json").read_text())
    axis = int(meta["axis"])
    image: Any = nibabel.load(folder / "image.nii.gz")
    truth: Any = nibabel.load(folder / "labels.nii.gz")
    spacing = [float(size) for size in image.header.get_zooms()[:3]][::-1]
    along = spacing.pop(axis)
    labels = {int(label): str(name) for label, name in meta["labels"].items()}
    return Volume(
        name=folder.name,
        image=np.moveaxis(np.asarray(image.dataobj).T, axis, 0),
        truth=np.moveaxis(np.asarray(truth.dataobj).T, axis, 0).astype(np.int32),
        labels=labels,
        spacing=(along, spacing[0], spacing[1]),
    )


def labelled_planes(truth: NDArray[np.int32], count: int) -> list[int]:
    """Choose planes as a person would: evenly over those that hold any label."""
    held = np.flatnonzero(truth.any(axis=(1, 2)))
    first, last = int(held[0]), int(held[-1])
    positions = first + (last - first) * (np.arange(count) + 0.5) / count
    return sorted({round(float(position)) for position in positions})


def interpolated(masks: dict[int, Mask], count: int) -> Mask:
    """Interpolate signed distances between labelled planes; nothing lies beyond the outermost."""
    planes = sorted(masks)
    filled = np.zeros((count, *masks[planes[0]].shape), bool)
    for below, above in itertools.pairwise(planes):
        lower = _signed_distance(masks[below])
        upper = _signed_distance(masks[above])
        for plane in range(below, above + 1):
            share = (plane - below) / (above - below)
            filled[plane] = (1 - share) * lower + share * upper > 0
    return filled


def _signed_distance(mask: Mask) -> NDArray[np.float64]:
    # without an object, no pixel is near one
    if not mask.any():
        return np.full(mask.shape, -float(max(mask.shape)))
    inside = ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask)
    return np.asarray(inside - outside)


def run(segmenter: ICLSAM, volume: Volume, count: int) -> list[Row]:
    """Segment a volume from so many labelled planes."""
    given = labelled_planes(volume.truth, count)
    painted = np.zeros_like(volume.truth)
    painted[given] = volume.truth[given]
    start = time.perf_counter()
    stack = segmenter.fit_stack(volume.image, painted, spacing=volume.spacing)
    found = stack.predict()
    seconds = time.perf_counter() - start
    rest = np.setdiff1d(np.arange(len(volume.truth)), given)
    rows = []
    for label, name in volume.labels.items():
        truth = volume.truth == label
        # a label that is in no labelled plane, or in no other, cannot be scored
        if not truth[given].any() or not truth[rest].any():
            continue
        filled = interpolated({plane: truth[plane] for plane in given}, len(truth))
        marked = (found == label)[rest].any(axis=(1, 2))
        present = truth[rest].any(axis=(1, 2))
        rows.append(
            Row(
                volume=volume.name,
                labelled=count,
                label=name,
                dice=dice((found == label)[rest], truth[rest]),
                interpolation=dice(filled[rest], truth[rest]),
                without_label=int((~present).sum()),
                marked=int((marked & ~present).sum()),
                with_label=int(present.sum()),
                emptied=int((present & ~marked).sum()),
                seconds=seconds,
            )
        )
    return rows


def show(rows: Sequence[Row]) -> None:
    """Print a line a label, and the mean."""
    for row in rows:
        print(
            f"{row.volume:18s} K={row.labelled} {row.label:16s} Dice {row.dice:.3f}  "
            f"interpolation {row.interpolation:.3f}  marked {row.marked}/{row.without_label}  "
            f"emptied {row.emptied}/{row.with_label}  {row.seconds:.0f} s"
        )
    for count in sorted({row.labelled for row in rows}):
        own = [row for row in rows if row.labelled == count]
        mean = np.mean([row.dice for row in own])
        lines = np.mean([row.interpolation for row in own])
        below = sum(row.dice < row.interpolation for row in own)
        print(
            f"K={count}: Dice {mean:.3f}, interpolation {lines:.3f}, "
            f"below it {below} of {len(own)}, "
            f"marked {sum(row.marked for row in own)}/{sum(row.without_label for row in own)}, "
            f"emptied {sum(row.emptied for row in own)}/{sum(row.with_label for row in own)}"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the volumes of a folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of volumes")
    parser.add_argument("--planes", type=int, nargs="+", default=[3, 6], metavar="K")
    parser.add_argument("--only", nargs="*", help="only these volumes")
    parser.add_argument("--models", default="starter")
    parser.add_argument("--json", type=Path, help="write every score here")
    options = parser.parse_args(arguments)
    folders = sorted(path.parent for path in options.data.glob("*/meta.json"))
    if options.only:
        folders = [folder for folder in folders if folder.name in options.only]
    if not folders:
        sys.exit(f"No volume in {options.data}: expected folders with meta.json.")
    segmenter = ICLSAM(options.models)
    rows: list[Row] = []
    for folder in folders:
        for count in options.planes:
            rows += run(segmenter, read_volume(folder), count)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
