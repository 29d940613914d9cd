"""Which level of an OME-Zarr is read beside which labels: one of their size, as fine as needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.files.omezarr import labels_group, read_omezarr
from napari_iclsam.files.omezarr_metadata import Multiscale, multiscale_of
from napari_iclsam.files.part import WHOLE, Part

_ENOUGH = 64
"""Width of objects, in pixels, from which on a finer level would show little more.

A box around such an object is a quarter of what the in-context model sees at a time.
"""

_SMALL = 1024
"""Planes whose sides are no longer are not replaced by coarser ones: they are quick anyway."""

_PLANES = 20
"""So many planes with labels are looked at."""

_LABELS = 50
"""So many labels of a plane are looked at."""


def levels_for_labels(image_path: Path, labels_path: Path, part: Part) -> tuple[Part, Part]:
    """Choose the level of an image and that of its labels, both OME-Zarr.

    Without a level that was named, it is the coarsest at which objects are still `_ENOUGH` pixels
    wide, and none that is coarser than one of `_SMALL` pixels.

    Returns
    -------
    image, labels : Part

    Raises
    ------
    ValueError
        If no level of the image has the size of one of the labels, or both lie in different places.
    """
    image = multiscale_of(image_path)
    labels = multiscale_of(labels_group(labels_path))
    matches = _matches(image, labels)
    if part.level is not None and not 0 <= part.level < len(image.levels):
        return part, WHOLE  # reading it says which levels there are
    wanted = {part.level: matches.get(part.level)} if part.level is not None else matches
    if not wanted or None in wanted.values():
        raise ValueError(_no_match(image_path, labels_path, image, labels, part))
    candidates = {int(number or 0): int(match or 0) for number, match in wanted.items()}
    chosen = max(candidates) if len(candidates) > 1 else next(iter(candidates))
    if len(candidates) > 1:
        chosen = _by_object_size(image, labels_path, candidates)
    return replace(part, level=chosen), Part(level=candidates[chosen])


def level_of_size(group: Path, shape: tuple[int, ...]) -> int | None:
    """Return the finest level of an image that has a size, without axes of size one."""
    image = multiscale_of(group)
    wanted = _long(shape)
    for number in range(len(image.levels)):
        if _long(image.sizes(number, image.axes.replace("C", ""))) == wanted:
            return number
    return None


def check_same_place(image: Multiscale, number: int, labels: Multiscale, match: int) -> None:
    """Check that labels lie where the level of their image lies.

    Raises
    ------
    ValueError
        If a corner of both lies more than a pixel apart.
    """
    letters = "".join(letter for letter in "ZYX" if letter in image.axes and letter in labels.axes)
    ours = image.scales(number, letters)
    theirs = labels.scales(match, letters)
    # What does not say where it lies is taken pixel by pixel. So are units that differ.
    if 0 in (*ours, *theirs) or image.unit != labels.unit:
        return
    first = np.subtract(labels.starts(match, letters), image.starts(number, letters))
    last = first + np.subtract(theirs, ours) * np.subtract(image.sizes(number, letters), 1)
    apart = np.maximum(np.abs(first), np.abs(last)) / ours
    if apart.max() > 1 + 1e-6:
        raise ValueError(
            f"labels and image have one size but not one place: along {letters} they lie "
            f"{', '.join(f'{each:.3g}' for each in apart)} pixels apart; cut the image to the "
            "part that is labelled, or give --ignore-affine if they fit pixel by pixel"
        )


def _matches(image: Multiscale, labels: Multiscale) -> dict[int | None, int | None]:
    """Return, by level of the image, the level of the labels that has its size."""
    sizes: dict[tuple[int, ...], int] = {}
    for number in range(len(labels.levels)):
        sizes.setdefault(_long(labels.sizes(number, labels.axes.replace("C", ""))), number)
    matches: dict[int | None, int | None] = {}
    for number in range(len(image.levels)):
        match = sizes.get(_long(image.sizes(number, image.axes.replace("C", ""))))
        if match is not None:
            matches[number] = match
    return matches


def _long(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size > 1)


def _no_match(
    image_path: Path, labels_path: Path, image: Multiscale, labels: Multiscale, part: Part
) -> str:
    which = "No level" if part.level is None else f"Level {part.level}"
    sizes = []
    for each in (image, labels):
        levels = range(len(each.levels))
        letters = each.axes.replace("C", "")
        sizes.append(", ".join("x".join(map(str, each.sizes(n, letters))) for n in levels))
    return (
        f"{which} of {image_path} has the size of one of its labels {labels_path}: its levels are "
        f"{sizes[0]}, those of the labels {sizes[1]}. Resample the labels, or name another --level."
    )


def _by_object_size(image: Multiscale, labels_path: Path, candidates: dict[int, int]) -> int:
    """Return the coarsest level that shows objects wide enough, of those not needlessly coarse."""
    numbers = sorted(candidates)
    small = [number for number in numbers if max(image.sizes(number, "YX")) <= _SMALL]
    coarsest = small[0] if small else numbers[-1]
    # From the coarsest on, so that no more is read than has to be.
    for number in reversed([number for number in numbers if number <= coarsest]):
        labels = read_omezarr(labels_path, for_labels=True, part=Part(level=candidates[number]))
        if _typical_width(labels.array) >= _ENOUGH:
            return number
    return numbers[0]


def _typical_width(labels: NDArray[Any]) -> float:
    """Return the median diameter of connected objects in planes with labels, in pixels."""
    from scipy import ndimage

    planes = labels.reshape(-1, *labels.shape[-2:])
    painted = [plane for plane in planes if plane.any()][:_PLANES]
    areas: list[float] = []
    for plane in painted:
        for label in np.unique(plane[plane > 0])[:_LABELS]:
            components, _ = ndimage.label(plane == label)
            areas += np.bincount(components.ravel())[1:].tolist()
    return 2 * float(np.sqrt(np.median(areas) / np.pi)) if areas else 0.0
