"""Leave-one-out on the support set: what to expect of other images, and whether SAM helps."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.metrics import StageScores, dice
from napari_iclsam.core.prediction import Prediction, Progress

_GOOD = 0.85
_FAIR = 0.7
_NOTICEABLE = 0.01
"""Difference of Dice that is worth a word."""


class Predictor(Protocol):
    """What a fitted task is here."""

    def predict(self, image: NDArray[Any]) -> Prediction: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Check:
    """What leave-one-out says of a support set.

    Attributes
    ----------
    scores : mapping of int to StageScores
        By label.
    names : mapping of int to str
    """

    scores: Mapping[int, StageScores]
    names: Mapping[int, str]

    def sentences(self) -> list[str]:
        """Say in plain words what to expect and whether SAM helps here."""
        lines = []
        for label, score in self.scores.items():
            lines.append(self._sentence(label, score))
        # the weakest label decides: the advice is for it
        if min(score.fused for score in self.scores.values()) < _GOOD:
            lines.append(
                "More examples, above all of images that look different, are the surest way to a "
                "better result."
            )
        return lines

    def _sentence(self, label: int, score: StageScores) -> str:
        quality = "good" if score.fused >= _GOOD else "fair" if score.fused >= _FAIR else "rough"
        gain = score.fused - score.icl
        effect = "changes little"
        if gain > _NOTICEABLE:
            effect = "helps"
        elif gain < -_NOTICEABLE:
            effect = "does harm"
        return (
            f"{self.names[label]}: expect a {quality} result, Dice about {score.fused:.2f} (SAM "
            f"{effect} here: {score.icl:.2f} without, {score.fused:.2f} with)."
        )


Fit = Callable[[SupportSet], Predictor]
"""Fits a task to a support set, as `ICLSAM.fit_support` does."""


class Fitter(Protocol):
    """What a segmenter is here."""

    def fit_support(self, support: SupportSet) -> Predictor: ...  # noqa: D102


def leave_one_out(fit: Fit | Fitter, support: SupportSet) -> Generator[Progress, None, Check]:
    """Segment each example by means of the others.

    Parameters
    ----------
    fit : callable
        Fits a task to a support set, as `ICLSAM.fit_support` does. A segmenter in its place works
        as it used to, with a warning.
    support : SupportSet

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
    if not callable(fit):
        warnings.warn(
            "leave_one_out(segmenter, ...) is now leave_one_out(segmenter.fit_support, ...).",
            DeprecationWarning,
            stacklevel=2,
        )
        fit = fit.fit_support
    return _leave_one_out(fit, support)


def _leave_one_out(fit: Fit, support: SupportSet) -> Generator[Progress, None, Check]:
    count = len(support)
    if count < 2:
        raise ValueError(
            "Checking takes at least two examples, since each is segmented by the others; got one."
        )
    scores: dict[int, list[StageScores]] = {label: [] for label in support.ids}
    for pair in range(count):
        yield Progress(
            "check", f"Segmenting example {pair + 1} of {count} by the others", pair, count
        )
        labels = _labels_to_score(support, pair)
        # an example whose labels no other one holds cannot be segmented by them
        if not labels:
            continue
        # fitted anew, so that weights and fine-tuning have not seen the example either
        prediction = fit(support.without(pair)).predict(support.images[pair])
        for label in labels:
            scores[label].append(
                _score(
                    prediction,
                    label,
                    support,
                    pair,
                )
            )
    means = {}
    for label, of_label in scores.items():
        if of_label:
            means[label] = _mean(of_label)
    if not means:
        raise ValueError(
            "No label occurs in two examples, so none can be segmented by another one."
        )
    return Check(
        means,
        {label: support.name(label) for label in means},
    )


def _labels_to_score(support: SupportSet, pair: int) -> list[int]:
    """Return the labels of a pair that another pair holds, too."""
    rest = support.without(pair)
    labels = []
    for label in support.ids:
        if not support.mask(pair, label).any():
            continue
        if any(rest.mask(other, label).any() for other in range(len(rest))):
            labels.append(label)
    return labels


def _score(prediction: Prediction, label: int, support: SupportSet, pair: int) -> StageScores:
    known = support.known(pair)
    truth = support.mask(pair, label)[known]
    return StageScores(
        icl=dice(prediction.icl_labels[known] == label, truth),
        sam=dice(prediction.sam_labels[known] == label, truth),
        fused=dice(prediction.labels[known] == label, truth),
        examples=1,
    )


def _mean(scores: list[StageScores]) -> StageScores:
    return StageScores(
        icl=float(np.mean([score.icl for score in scores])),
        sam=float(np.mean([score.sam for score in scores])),
        fused=float(np.mean([score.fused for score in scores])),
        examples=len(scores),
    )
