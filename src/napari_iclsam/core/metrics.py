"""Overlap of masks and matches of objects, with one rule for empty ones. Knows no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching


def dice(predicted: NDArray[Any], truth: NDArray[Any]) -> float:
    """Return the Dice coefficient ``2 |A n B| / (|A| + |B|)``.

    Parameters
    ----------
    predicted, truth : ndarray, of one shape
        Masks; what is not zero is foreground.

    Returns
    -------
    float
        In [0, 1]; 1 if both masks are empty, 0 if one of them is.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    predicted = np.asarray(predicted, bool)
    truth = np.asarray(truth, bool)
    if predicted.shape != truth.shape:
        raise ValueError(
            f"Both masks must have one shape; got {predicted.shape} and {truth.shape}."
        )
    both = int((predicted & truth).sum())
    return dice_of_counts(both, int(predicted.sum()) + int(truth.sum()))


def dice_of_counts(both: int, total: int) -> float:
    """Return the Dice coefficient of masks that share ``both`` pixels and have ``total`` together.

    See `dice`.
    """
    # two empty masks agree: nothing was to be found, and nothing was
    return 2 * both / total if total else 1.0


@dataclass(frozen=True, slots=True)
class StageScores:
    """Mean Dice over the examples that have a label, of each stage.

    Attributes
    ----------
    icl : float
        Of the in-context model alone, by its full-image stage.
    sam : float
        Of SAM's masks.
    fused : float
    examples : int
        Number of examples.
    """

    icl: float
    sam: float
    fused: float
    examples: int


@dataclass(frozen=True, slots=True, eq=False)
class SharedPixels:
    """Pairs of objects of two label images that share pixels.

    Attributes
    ----------
    first, second : ndarray, (n,), int64
        Ids in either image.
    pixels : ndarray, (n,), int64
        Pixels that both have.
    first_sizes, second_sizes : ndarray, (n,), int64
        Pixels of each of both.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    pixels: NDArray[np.int64]
    first_sizes: NDArray[np.int64]
    second_sizes: NDArray[np.int64]


def shared_pixels(first: NDArray[Any], second: NDArray[Any]) -> SharedPixels:
    """Count the pixels that objects of two label images of one shape share; 0 is background."""
    if first.shape != second.shape:
        raise ValueError(
            f"Both label images must have one shape; got {first.shape} and {second.shape}."
        )
    # by position among the ids that occur, so that large ids cost no memory
    first_ids, first_index, first_sizes = _counted(first)
    second_ids, second_index, second_sizes = _counted(second)
    code = first_index * len(second_ids) + second_index
    codes, pixels = np.unique(code, return_counts=True)
    a = codes // len(second_ids)
    b = codes % len(second_ids)
    objects = (first_ids[a] != 0) & (second_ids[b] != 0)
    a = a[objects]
    b = b[objects]
    return SharedPixels(
        first_ids[a],
        second_ids[b],
        pixels[objects],
        first_sizes[a],
        second_sizes[b],
    )


def _counted(
    ids: NDArray[Any],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the ids that occur, the index of each pixel's, and how many pixels each has."""
    values, index, counts = np.unique(ids, return_inverse=True, return_counts=True)
    return values.astype(np.int64), index.ravel(), counts


@dataclass(frozen=True, slots=True)
class ObjectMatches:
    """How many objects were found; the number of the field's scores.

    Attributes
    ----------
    true_positives : int
        Pairs of a predicted and a true object whose IoU reaches the threshold, each object in one.
    predicted, truth : int
        Number of objects.
    """

    true_positives: int
    predicted: int
    truth: int

    def __add__(self, other: ObjectMatches) -> ObjectMatches:
        """Return the matches of both images together."""
        return ObjectMatches(
            self.true_positives + other.true_positives,
            self.predicted + other.predicted,
            self.truth + other.truth,
        )

    @property
    def is_empty(self) -> bool:
        """Whether there is no object in either: such a pair has no score, and is in no mean."""
        return self.predicted + self.truth == 0

    @property
    def f1(self) -> float:
        """``2 TP / (2 TP + FP + FN)``; NaN if there is no object in either."""
        if self.is_empty:
            return float("nan")
        return 2 * self.true_positives / (self.predicted + self.truth)

    @property
    def average_precision(self) -> float:
        """``TP / (TP + FP + FN)``, as is usual for cells; NaN if there is no object in either."""
        if self.is_empty:
            return float("nan")
        return self.true_positives / (self.predicted + self.truth - self.true_positives)


def match_objects(predicted: NDArray[Any], truth: NDArray[Any], iou: float = 0.5) -> ObjectMatches:
    """Match the objects of two label images; 0 is background.

    Parameters
    ----------
    predicted, truth : ndarray, of one shape, integer
    iou : float
        An intersection over union of at least this is a match.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    shared = shared_pixels(predicted, truth)
    union = shared.first_sizes + shared.second_sizes - shared.pixels
    is_match = shared.pixels / union >= iou
    return ObjectMatches(
        _pairs(shared.first[is_match], shared.second[is_match]),
        _objects(predicted),
        _objects(truth),
    )


def _objects(ids: NDArray[Any]) -> int:
    return int(np.count_nonzero(np.unique(ids)))


def _pairs(first: NDArray[np.int64], second: NDArray[np.int64]) -> int:
    """Return how many pairs there are at most if each object may be in one."""
    if not len(first):
        return 0
    # scipy before 1.15 matches graphs of 32-bit indices only
    rows = np.unique(first, return_inverse=True)[1].astype(np.int32)
    columns = np.unique(second, return_inverse=True)[1].astype(np.int32)
    # at an IoU of .5 or less an object may reach the threshold with two others
    graph = csr_array((np.ones(len(rows), bool), (rows, columns)))
    matched = maximum_bipartite_matching(graph, perm_type="column")
    return int((matched >= 0).sum())
