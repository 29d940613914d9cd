"""Segment whole volumes from a few labelled planes, beside interpolation between these planes.

A volume is a folder with ``image.nii.gz``, ``labels.nii.gz`` (the ground truth) and ``meta.json``
(names of the labels, and the axis of the planes in z, y, x order). The labelled planes are evenly
spaced over those that hold any label. For each label, over all other planes: Dice in the volume,
Dice of linear interpolation of signed distances between the labelled planes, planes without the
label that were marked, planes with the label that were emptied, and the mean Dice of planes, beside
what the software expected of the same planes.

With ``--corrections N``, the N planes that need to be checked most are labelled, too, and the
volume is segmented anew: Dice before and after, over the planes that are labelled in neither run.
With ``--pictures FOLDER``, planes of each label are drawn: see `benchmarks.volume_pictures`.
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

from benchmarks.volume_pictures import draw_label
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
    plane_dice: float
    expected: float
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


@dataclass(frozen=True, slots=True)
class Correction:
    """Dice of one label over planes that are labelled in neither run."""

    volume: str
    labelled: int
    label: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Filled:
    """A volume as it was filled.

    Attributes
    ----------
    labels : ndarray, (Z, Y, X), int32
    expected : dict of int to (dict of int to float)
        Estimated Dice, by plane and label.
    doubt : dict of int to float
        How much a plane needs to be checked.
    seconds : float
    """

    labels: NDArray[np.int32]
    expected: dict[int, dict[int, float]]
    doubt: dict[int, float]
    seconds: float


def fill(segmenter: ICLSAM, volume: Volume, given: Sequence[int]) -> Filled:
    """Segment a volume from labelled planes."""
    painted = np.zeros_like(volume.truth)
    painted[given] = volume.truth[given]
    empty = [plane for plane in given if not volume.truth[plane].any()]
    start = time.perf_counter()
    stack = segmenter.fit_stack(volume.image, painted, spacing=volume.spacing, empty_planes=empty)
    labels = painted.copy()
    expected, doubt = {}, {}
    for step in stack.steps():
        if step.stage == "settled":
            assert step.plane is not None
            assert step.prediction is not None
            labels[step.plane] = step.prediction.labels
            expected[step.plane] = dict(step.prediction.estimated_dice)
            doubt[step.plane] = step.prediction.need_of_check
    return Filled(labels, expected, doubt, time.perf_counter() - start)


def scored(volume: Volume, given: Sequence[int], filled: Filled) -> list[Row]:
    """Compare a filled volume with the truth, label by label."""
    rest = np.setdiff1d(np.arange(len(volume.truth)), given)
    rows = []
    for label, name in volume.labels.items():
        truth = volume.truth == label
        found = filled.labels == label
        # a label that is in no labelled plane, or in no other, cannot be scored
        if not truth[given].any() or not truth[rest].any():
            continue
        lines = interpolated({plane: truth[plane] for plane in given}, len(truth))
        marked = found[rest].any(axis=(1, 2))
        present = truth[rest].any(axis=(1, 2))
        judged = [plane for plane, by_label in filled.expected.items() if label in by_label]
        rows.append(
            Row(
                volume=volume.name,
                labelled=len(given),
                label=name,
                dice=dice(found[rest], truth[rest]),
                interpolation=dice(lines[rest], truth[rest]),
                without_label=int((~present).sum()),
                marked=int((marked & ~present).sum()),
                with_label=int(present.sum()),
                emptied=int((present & ~marked).sum()),
                plane_dice=float(np.mean([dice(found[z], truth[z]) for z in judged] or [0.0])),
                expected=float(np.mean([filled.expected[z][label] for z in judged] or [0.0])),
                seconds=filled.seconds,
            )
        )
    return rows


def corrected(
    segmenter: ICLSAM, volume: Volume, given: Sequence[int], filled: Filled, count: int
) -> list[Correction]:
    """Label the most doubtful planes, too, and compare all planes that are labelled in no run."""
    doubtful = sorted(filled.doubt, key=lambda plane: filled.doubt[plane], reverse=True)
    more = sorted([*given, *doubtful[:count]])
    again = fill(segmenter, volume, more)
    rest = np.setdiff1d(np.arange(len(volume.truth)), more)
    rows = []
    for label, name in volume.labels.items():
        truth = volume.truth[rest] == label
        if truth.any() and (volume.truth[given] == label).any():
            before = dice(filled.labels[rest] == label, truth)
            after = dice(again.labels[rest] == label, truth)
            rows.append(Correction(volume.name, len(given), name, before, after))
    return rows


def draw(volume: Volume, given: Sequence[int], filled: Filled, folder: Path) -> None:
    """Draw planes of each label that was segmented."""
    folder.mkdir(parents=True, exist_ok=True)
    rest = np.setdiff1d(np.arange(len(volume.truth)), given)
    for label, name in volume.labels.items():
        truth = volume.truth == label
        if truth[given].any() and truth[rest].any():
            path = folder / f"{volume.name}_{name}_{len(given)}.png"
            draw_label(volume.image, truth, filled.labels == label, list(given), path)


def show(rows: Sequence[Row]) -> None:
    """Print a line a label, and the mean."""
    for row in rows:
        print(
            f"{row.volume:18s} K={row.labelled} {row.label:16s} Dice {row.dice:.3f}  "
            f"interpolation {row.interpolation:.3f}  marked {row.marked}/{row.without_label}  "
            f"emptied {row.emptied}/{row.with_label}  "
            f"planes {row.plane_dice:.2f}, expected {row.expected:.2f}  {row.seconds:.0f} s"
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
            f"emptied {sum(row.emptied for row in own)}/{sum(row.with_label for row in own)}, "
            f"planes {np.mean([row.plane_dice for row in own]):.3f}, "
            f"expected {np.mean([row.expected for row in own]):.3f}"
        )


def show_corrections(rows: Sequence[Correction]) -> None:
    """Print a line a label, and the mean."""
    for row in rows:
        print(
            f"{row.volume:18s} K={row.labelled} {row.label:16s} "
            f"corrected: Dice {row.before:.3f} -> {row.after:.3f}"
        )
    if rows:
        before = np.mean([row.before for row in rows])
        after = np.mean([row.after for row in rows])
        print(f"corrected: Dice {before:.3f} -> {after:.3f}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the volumes of a folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of volumes")
    parser.add_argument("--planes", type=int, nargs="+", default=[3, 6], metavar="K")
    parser.add_argument("--only", nargs="*", help="only these volumes")
    parser.add_argument("--models", default="starter")
    parser.add_argument("--corrections", type=int, default=0, metavar="N")
    parser.add_argument("--json", type=Path, help="write every score here")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER")
    options = parser.parse_args(arguments)
    folders = sorted(path.parent for path in options.data.glob("*/meta.json"))
    if options.only:
        folders = [folder for folder in folders if folder.name in options.only]
    if not folders:
        sys.exit(f"No volume in {options.data}: expected folders with meta.json.")
    segmenter = ICLSAM(options.models)
    rows: list[Row] = []
    corrections: list[Correction] = []
    for folder in folders:
        volume = read_volume(folder)
        for count in options.planes:
            given = labelled_planes(volume.truth, count)
            filled = fill(segmenter, volume, given)
            rows += scored(volume, given, filled)
            if options.pictures:
                draw(volume, given, filled, options.pictures)
            if options.corrections:
                corrections += corrected(segmenter, volume, given, filled, options.corrections)
    show(rows)
    show_corrections(corrections)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
