"""How good a segmentation is, and how good the examples say that it will be."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.prediction import Progress

if TYPE_CHECKING:
    from napari_iclsam.core.segmenter import ICLSAM


def dice(predicted: NDArray[Any], truth: NDArray[Any]) -> float:
    """Return ``2 |A n B| / (|A| + |B|)`` of two masks of one shape; 1 if both are empty."""
    predicted, truth = np.asarray(predicted, bool), np.asarray(truth, bool)
    if predicted.shape != truth.shape:
        raise ValueError(f"Both masks must have one shape; got {predicted.shape} and {truth.shape}.")
    total = int(predicted.sum()) + int(truth.sum())
    return 2 * int((predicted & truth).sum()) / total if total else 1.0


@dataclass(frozen=True, slots=True)
class Score:
    """Mean Dice over the examples that have a label, of each stage."""

    icl: float
    sam: float
    fused: float
    examples: int


@dataclass(frozen=True, slots=True)
class Check:
    """What the examples say of each other.

    Attributes
    ----------
    scores : mapping of int to Score
        By label.
    names : mapping of int to str
    """

    scores: Mapping[int, Score]
    names: Mapping[int, str]

    def sentences(self) -> list[str]:
        """Say in plain words what to expect and whether SAM helps here."""
        lines = []
        for label, score in self.scores.items():
            words = "good" if score.fused >= 0.85 else "fair" if score.fused >= 0.7 else "rough"
            gain = score.fused - score.icl
            sam = (
                "SAM helps here" if gain > 0.01 else "SAM does harm here" if gain < -0.01 else "SAM changes little here"
            )
            lines.append(
                f"{self.names[label]}: expect a {words} result, Dice about {score.fused:.2f} ({sam}: "
                f"{score.icl:.2f} without, {score.fused:.2f} with)."
            )
        if min(score.fused for score in self.scores.values()) < 0.85:
            lines.append(
                "More examples, above all of images that look different, are the surest way to a better result."
            )
        return lines


def leave_one_out(segmenter: ICLSAM, support: SupportSet) -> Generator[Progress, None, Check]:
    """Segment each example by means of the others.

    Yields
    ------
    Progress
        One an example.

    Returns
    -------
    Check

    Raises
    ------
    ValueError
        If there are fewer than two examples, or no label occurs in two of them.
    """
    if len(support) < 2:
        raise ValueError("Checking takes at least two examples, since each is segmented by the others; got one.")
    found: dict[int, list[tuple[float, float, float]]] = {label: [] for label in support.ids}
    for pair in range(len(support)):
        yield Progress("check", f"Segmenting example {pair + 1} of {len(support)} by the others", pair, len(support))
        present = [i for i in support.ids if support.mask(pair, i).any()]
        rest = support.without(pair)
        learnt = [i for i in present if any(rest.mask(k, i).any() for k in range(len(rest)))]
        if not learnt:
            continue
        prediction = segmenter.fit_support(rest).predict(support.images[pair])
        for label in learnt:
            truth = support.mask(pair, label)
            maps = (prediction.icl_labels, prediction.sam_labels, prediction.labels)
            found[label].append(tuple(dice(m == label, truth) for m in maps))  # type: ignore[arg-type]
    scores = {i: _score(values) for i, values in found.items() if values}
    if not scores:
        raise ValueError("No label occurs in two examples, so none can be segmented by another one.")
    return Check(scores, {i: support.name(i) for i in scores})


def _score(values: list[tuple[float, float, float]]) -> Score:
    icl, sam, fused = np.mean(values, axis=0).tolist()
    return Score(icl, sam, fused, len(values))
