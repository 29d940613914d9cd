"""The values handed from step to step and to the user."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.objects.instances import Instances, Separation, find_instances

Stage = Literal[
    "load",
    "embed",
    "fit",
    "check",
    "fine_tune",
    "icl",
    "sam",
    "fuse",
    "objects",
    "done",
    "settle",
    "settled",
]
"""The steps of the method: loading models, embedding, fitting, cross-validation of the examples,
fine-tuning, both models, fusion, a plane done."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made a result.

    Attributes
    ----------
    version : str
        Of this package.
    models : mapping of str to str
        Role ("sam", "icl") to model name.
    checksums : mapping of str to str
        Role to the checksum of the weights.
    licenses : mapping of str to str
        Role to the license of the weights.
    settings : mapping of str to value
    support : str
        Fingerprint of the support set.
    examples : int
        Number of pairs in the support set.
    device : str
    precision, icl_precision : str
        Of the image encoder and of the in-context model.
    """

    version: str
    models: Mapping[str, str]
    checksums: Mapping[str, str]
    licenses: Mapping[str, str]
    settings: Mapping[str, Any]
    support: str
    examples: int
    device: str
    precision: str
    icl_precision: str

    @property
    def hashes(self) -> Mapping[str, str]:
        """Old name of `checksums`."""
        _warn_of_old_name("Provenance.hashes", "Provenance.checksums")
        return self.checksums

    @property
    def licences(self) -> Mapping[str, str]:
        """Old name of `licenses`."""
        _warn_of_old_name("Provenance.licences", "Provenance.licenses")
        return self.licenses


def _warn_of_old_name(old: str, new: str) -> None:
    # the caller of the property is to be shown
    warnings.warn(f"{old} is now called {new}.", DeprecationWarning, stacklevel=3)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The segmentation of one plane of H x W pixels.

    Attributes
    ----------
    labels : ndarray, (H, W), int32
        Fused result; 0 is background.
    probabilities : mapping of int to ndarray, (H, W), float32
        For each label, how likely each pixel belongs to it, in [0, 1]: the logistic function of the
        fused score, above
        0.5 where the label is foreground.
    confidence : mapping of int to ndarray, (H, W), float32
        Semantic confidence map of each label, in [0, 1].
    icl_labels : ndarray, (H, W), int32
        Result of the in-context model alone, by its full-image stage.
    sam_labels : ndarray, (H, W), int32
        What SAM says, prompted by it.
    boxes : mapping of int to ndarray, (n, 4), int64
        Box prompts of each label: x0, y0, x1, y1, inclusive pixel indices, largest component first.
    seconds : mapping of str to float
        Time of each stage.
    provenance : Provenance
    notes : tuple of str
        What the user should know: what was not found, where the run fell back to something else.
    estimated_dice : mapping of int to float
        How good each label that was found probably is (see
        `napari_iclsam.core.quality.dice_estimate`): above all, which planes of a stack to check
        first. Empty in paper mode, without SAM, and of a preview.
    all_estimates : mapping of int to float
        As ``estimated_dice``, of labels that were not found, too: low where one is probably absent.
    presence : mapping of int to float
        Of a plane of a stack with labelled planes, once it is settled: how likely each label is in
        it, in [0, 1].
    need_of_check : float
        Of a settled plane: from 0 (the planes beside and the image agree) to 1.
    separations : mapping of int to Separation
        By label: how touching objects are told apart, where examples teach it.
    interpolated : bool
        Of a plane of a stack: it was interpolated between neighboring ones, and no model saw it.
    """

    labels: NDArray[np.int32]
    probabilities: Mapping[int, NDArray[np.float32]]
    confidence: Mapping[int, NDArray[np.float32]]
    icl_labels: NDArray[np.int32]
    sam_labels: NDArray[np.int32]
    boxes: Mapping[int, NDArray[np.int64]]
    seconds: Mapping[str, float]
    provenance: Provenance
    notes: tuple[str, ...] = ()
    estimated_dice: Mapping[int, float] = field(default_factory=dict)
    all_estimates: Mapping[int, float] = field(default_factory=dict)
    presence: Mapping[int, float] = field(default_factory=dict)
    need_of_check: float = 0.0
    separations: Mapping[int, Separation] = field(default_factory=dict)
    interpolated: bool = False

    @property
    def certainty(self) -> NDArray[np.float32]:
        """How likely each pixel is of the label that it has, (H, W); 0 in the background."""
        certainty = np.zeros(self.labels.shape, np.float32)
        for label, probabilities in self.probabilities.items():
            is_label = self.labels == label
            certainty[is_label] = probabilities[is_label]
        return certainty

    @property
    def instances(self) -> Instances:
        """The objects of all labels, touching ones separated; see `find_instances`.

        Computed at each call.
        """
        return find_instances(self.labels, self.separations)


@dataclass(frozen=True, slots=True)
class LargeResult:
    """How an image was segmented whose labels were written into an array.

    Attributes
    ----------
    tiles, blank : int
        Number of tiles, and of those among them in which nothing was looked for: they have one
        value everywhere, or the pixel classifier says that they hold nothing.
    tile : tuple of int
        Height and width of each.
    estimated_dice : mapping of int to float
        As `Prediction.estimated_dice`.
    seconds : mapping of str to float
        Time of each stage.
    note : str
        In which tiles the image was seen, and why.
    """

    tiles: int
    blank: int
    tile: tuple[int, int]
    estimated_dice: Mapping[int, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """A step taken.

    Attributes
    ----------
    stage : Stage
    message : str
        The step in words, for a user.
    done, total : int
        Units of work: examples while fitting, planes while predicting.
    plane : int, optional
        Index of the plane along the stack's axis, of stacks.
    prediction : Prediction, optional
        Given with stage "done", when a plane of a stack, or a preview of one, is finished.
    """

    stage: Stage
    message: str
    done: int = 0
    total: int = 1
    plane: int | None = None
    prediction: Prediction | None = field(default=None, repr=False)
