"""Objects of masks: touching ones separated, each with an id of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.segmentation import watershed

from napari_iclsam.core.metrics import match_objects
from napari_iclsam.core.objects.cleaning import NO_CLEANING, Cleaning, learn_cleaning

_DISTANCE = 0.75
"""Smallest distance of two markers, relative to the radius of the objects, before any is learnt."""

_SMOOTHNESS = 0.25
"""Standard deviation of the smoothing of distances, relative to that radius, likewise."""

_DISTANCES = (0.5, 0.75, 1.0, 1.5)
"""Relative distances of which instance examples choose."""

_SMOOTHNESSES = (0.0, 0.15, 0.3)
"""Relative smoothing of which instance examples choose."""

_STRICT = 0.75
"""IoU from which on an object counts as separated rightly when both are learnt."""


@dataclass(frozen=True, slots=True)
class Separation:
    """How touching objects are told apart.

    Attributes
    ----------
    min_distance : float
        Smallest distance of the markers of two objects, in pixels.
    smoothness : float
        Standard deviation of the Gaussian that smooths the distance to the background, in pixels.
    cleaning : Cleaning
        What is no object, and no hole of one. By default nothing.
    """

    min_distance: float
    smoothness: float
    cleaning: Cleaning = NO_CLEANING


@dataclass(frozen=True, slots=True, eq=False)
class Instances:
    """Objects of an image, of all labels.

    Attributes
    ----------
    ids : ndarray, (H, W) or (Z, H, W), int32
        1 to n, without gaps; 0 is background.
    labels : ndarray, (n + 1,), int32
        By id: the label that the object has; 0 for the background.
    """

    ids: NDArray[np.int32]
    labels: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels) - 1


def find_instances(
    labels: NDArray[np.integer[Any]],
    separations: Mapping[int, Separation] | None = None,
) -> Instances:
    """Find the objects of each label.

    Parameters
    ----------
    labels : ndarray, (H, W) or (Z, H, W), integer
        0 is background.
    separations : mapping of int to Separation, optional
        By label. By default each is estimated by `estimate_separation`.
    """
    given = separations or {}
    ids = np.zeros(labels.shape, np.int32)
    owners = [np.zeros(1, np.int32)]
    count = 0
    for label in _values(labels):
        objects = separate(labels == label, given.get(label))
        found = int(objects.max())
        # one counter for all labels, so that an id names one object; a hole may hold another label
        inside = (objects > 0) & np.isin(labels, (0, label))
        ids[inside] = objects[inside] + count
        owners.append(np.full(found, label, np.int32))
        count += found
    return Instances(ids, np.concatenate(owners))


def separate(mask: NDArray[np.bool_], separation: Separation | None = None) -> NDArray[np.int32]:
    """Separate touching objects by a watershed of the distance to the background.

    Parameters
    ----------
    mask : ndarray, (H, W) or (Z, H, W), bool
    separation : Separation, optional
        By default that of `estimate_separation`.

    Returns
    -------
    ndarray, of the same shape, int32
        1 to n. Every pixel of the mask belongs to an object, unless it is in a speck.
    """
    if separation is not None:
        mask = separation.cleaning.of(mask)
    distance = _distance(mask)
    chosen = separation or _separation_of(distance, mask)
    height = distance
    if chosen.smoothness > 0:
        height = ndimage.gaussian_filter(distance, chosen.smoothness)
    markers = _markers(mask, height, chosen.min_distance)
    # full connectivity, as components have: otherwise a pixel at a corner would be lost
    connectivity = np.ones((3,) * mask.ndim)
    objects = watershed(-height, markers, connectivity=connectivity, mask=mask)
    return np.asarray(objects, np.int32)


def estimate_separation(mask: NDArray[np.bool_]) -> Separation:
    """Estimate how to separate the objects of a mask by their usual radius."""
    return _separation_of(_distance(mask), mask)


def learn_separation(examples: Sequence[NDArray[np.integer[Any]]]) -> Separation:
    """Choose how to separate touching objects by examples in which each has its own id.

    Parameters
    ----------
    examples : sequence of ndarray, (H, W), integer
        0 is background, every other number one object.

    Returns
    -------
    Separation
        The one with most objects found again at an IoU of 0.75. Specks and holes are those far
        smaller than the objects.

    Raises
    ------
    ValueError
        If there is no object.
    """
    objects = [each for ids in examples for each in _objects(ids)]
    if not objects:
        raise ValueError(
            "Instance examples must hold at least one object; got background everywhere. "
            "Give label images in which every object has its own number."
        )
    radius = float(np.median([_distance(each).max() for each in objects]))
    best = Separation(_DISTANCE * radius, _SMOOTHNESS * radius)
    found = _found_again(examples, best)
    for distance in _DISTANCES:
        for smoothness in _SMOOTHNESSES:
            candidate = Separation(distance * radius, smoothness * radius)
            score = _found_again(examples, candidate)
            # the default stays where others are no better
            if score > found:
                best = candidate
                found = score
    return replace(best, cleaning=learn_cleaning(objects))


def _found_again(examples: Sequence[NDArray[np.integer[Any]]], separation: Separation) -> float:
    """Return the F1 score of the objects that come out of the examples' foreground."""
    right = 0
    total = 0
    for ids in examples:
        matches = match_objects(separate(ids > 0, separation), ids, _STRICT)
        right += matches.true_positives
        total += matches.predicted + matches.truth
    return 2 * right / total


def _objects(ids: NDArray[np.integer[Any]]) -> Iterator[NDArray[np.bool_]]:
    """Yield each object of an example as a mask (h, w) of its box."""
    # contiguous: the time of find_objects goes with the largest id
    numbers = np.unique(ids, return_inverse=True)[1].reshape(ids.shape) + (ids.min() > 0)
    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        yield numbers[box] == number


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the distance of each pixel of a mask to the background, in pixels."""
    # without a background pixel, scipy would measure to a point just outside the array
    padded = np.pad(mask, 1)
    distance = ndimage.distance_transform_edt(padded)
    inside = (slice(1, -1),) * mask.ndim
    return np.asarray(distance[inside], np.float32)


def _separation_of(distance: NDArray[np.float32], mask: NDArray[np.bool_]) -> Separation:
    components, count = _components(mask)
    if not count:
        return Separation(1.0, 0.0)
    largest = np.zeros(count + 1, np.float32)
    # ndimage.maximum would sort all pixels
    np.maximum.at(largest, components.ravel(), distance.ravel())
    largest = largest[1:]
    # weighted by size: specks are many and say nothing of the objects
    radius = float(np.average(largest, weights=np.square(largest)))
    return Separation(_DISTANCE * radius, _SMOOTHNESS * radius)


def _components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    components, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    return components, int(count)


def _markers(
    mask: NDArray[np.bool_], height: NDArray[np.float32], min_distance: float
) -> NDArray[np.int32]:
    """Return a marker for each peak of a height, and for each component without a peak."""
    markers = np.zeros(mask.shape, np.int32)
    components, count = _components(mask)
    if not count:
        return markers
    # smoothing may have moved a peak of a ring into its hole
    peaks = _peaks(np.where(mask, height, 0), max(1, round(min_distance)))
    # from top to bottom, not by height: neighbors have neighboring numbers
    peaks = peaks[np.lexsort(peaks.T[::-1])]
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    with_peak = np.unique(components[markers > 0])
    # a small object beside a large one is nearer than markers may be, and is none the less one
    missing = np.setdiff1d(np.arange(1, count + 1), with_peak)
    places = ndimage.maximum_position(height, components, missing) if len(missing) else []
    for number, place in enumerate(places, start=len(peaks) + 1):
        markers[place] = number
    return markers


def _peaks(height: NDArray[np.float32], distance: int) -> NDArray[np.intp]:
    """Return where a height is largest within a distance along each axis, (n, axes).

    Of peaks of one height that are nearer to each other, one is kept.
    """
    # in two steps, since scikit-image's spacing takes minutes for 100,000 peaks
    largest = ndimage.maximum_filter(height, 2 * distance + 1)
    ridges, _ = _components((height == largest) & (height > 0))
    numbers, first_pixels = np.unique(ridges, return_index=True)
    # one pixel of each ridge: pairs of all of them would be many
    peaks = np.stack(np.unravel_index(first_pixels[numbers > 0], height.shape), axis=1)
    pairs = cKDTree(peaks).query_pairs(distance, p=np.inf, output_type="ndarray")
    dropped = np.zeros(len(peaks), bool)
    for first, second in pairs[np.lexsort(pairs.T[::-1])]:
        if not dropped[first]:
            dropped[second] = True
    return np.asarray(peaks[~dropped])


def _values(labels: NDArray[np.integer[Any]]) -> list[int]:
    """Return the labels that occur, without 0."""
    values: list[int] = np.unique(labels).tolist()
    return [value for value in values if value]
