"""All that is known of one label before any plane is decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from napari_iclsam.core.volume.appearance import Appearance, learn_appearance
from napari_iclsam.core.volume.labelled_planes import Axis, LabelledPlanes
from napari_iclsam.core.volume.propagation import Matching, estimate_noise, propagate, search_radius
from napari_iclsam.core.volume.shape_prior import shape_log_odds
from napari_iclsam.core.volume.strengths import DEFAULT_STRENGTHS, Strengths
from napari_iclsam.core.volume.working_grid import (
    enlarge_plane,
    reduce_labelled,
    reduce_plane,
    reduction_factor,
)

_IMAGE_LIMIT = 4.0
"""Log-odds of the 2-D method beyond which it is not surer."""

_NOISE_PAIRS = 16


@dataclass(frozen=True, slots=True, eq=False)
class PlaneEvidence:
    """What the image of one plane tells of one label.

    Attributes
    ----------
    log_odds : ndarray, (H, W), floating point
        Of the 2-D method. NaN counts as 0.
    grey : ndarray, (H, W), uint8
        Grey values on the volume's one scale (`GreyScale`).
    estimated_dice : float
        Of the 2-D method, from 0 (nothing found) to 1.
    """

    log_odds: NDArray[np.floating]
    grey: NDArray[np.uint8]
    estimated_dice: float = 0.5


def is_blank(evidence: PlaneEvidence) -> bool:
    """Return whether a plane has one grey value everywhere: its image tells nothing."""
    return bool(evidence.grey.min() == evidence.grey.max())


ReadEvidence = Callable[[int], PlaneEvidence]
"""Returns the evidence of a plane. Of labelled planes only the grey values are used."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelContext:
    """Labelled planes of one label, and what was learnt from them, on the working grid.

    Attributes
    ----------
    labelled : LabelledPlanes
        Reduced by ``factor``.
    axis : Axis
        Step in pixels of the working grid.
    factor : int
    appearance : Appearance
    matching : Matching
    strengths : Strengths
    """

    labelled: LabelledPlanes
    axis: Axis
    factor: int
    appearance: Appearance
    matching: Matching
    strengths: Strengths = DEFAULT_STRENGTHS

    def image_log_odds(self, evidence: PlaneEvidence) -> NDArray[np.float32]:
        """Return the log-odds (H, W) of the 2-D method, limited, on the working grid."""
        values = reduce_plane(np.nan_to_num(evidence.log_odds.astype(np.float32)), self.factor)
        return np.asarray(np.clip(values, -_IMAGE_LIMIT, _IMAGE_LIMIT), dtype=np.float32)

    def grey(self, evidence: PlaneEvidence) -> NDArray[np.uint8]:
        """Return grey values on the working grid."""
        return reduce_plane(evidence.grey, self.factor).astype(np.uint8)

    def own_log_odds(self, plane: int, evidence: PlaneEvidence) -> NDArray[np.float32]:
        """Add up image, grey values and shape prior of a plane, without the planes beside."""
        strengths = self.strengths
        shape = shape_log_odds(
            self.labelled,
            plane,
            self.axis,
            strengths,
        )
        if is_blank(evidence):
            return shape
        # weighted, because the parts are not independent: added as they are, they would be too
        # sure
        image = strengths.image * self.image_log_odds(evidence)
        appearance = strengths.appearance * self.appearance.log_odds(self.grey(evidence))
        return np.asarray(image + appearance + shape, dtype=np.float32)


def prepare_label(
    labelled: LabelledPlanes,
    axis: Axis,
    read: ReadEvidence,
    strengths: Strengths = DEFAULT_STRENGTHS,
) -> LabelContext:
    """Learn grey values and noise from the planes of a label.

    Parameters
    ----------
    labelled : LabelledPlanes
        At full size; one plane at least holds the object.
    axis : Axis
        Step in pixels at full size.
    read : ReadEvidence
        Only grey values are used; ``log_odds`` may be anything.
    strengths : Strengths

    Raises
    ------
    ValueError
        If no labelled plane holds the object, or a labelled plane is outside the volume.
    """
    _check_labelled(labelled, axis)
    height, width = labelled.masks.shape[1:]
    # two sweeps over a volume of full planes would take too much memory and time
    factor = reduction_factor((height, width))

    def read_grey(plane: int) -> NDArray[np.uint8]:
        return reduce_plane(read(plane).grey, factor).astype(np.uint8)

    reduced = reduce_labelled(labelled, factor)
    appearance = learn_appearance(reduced, read_grey)
    count = min(axis.count - 1, _NOISE_PAIRS)
    spread = np.linspace(0, axis.count - 2, count).round().astype(int)
    pairs = []
    for plane in spread.tolist():
        pairs.append((read_grey(plane), read_grey(plane + 1)))
    noise = estimate_noise(pairs)
    # in pixels of the working grid, as all other lengths here
    reduced_axis = replace(axis, step=axis.step / factor)
    return LabelContext(
        reduced,
        reduced_axis,
        factor,
        appearance,
        Matching(noise, search_radius(reduced_axis.step)),
        strengths,
    )


def _check_labelled(labelled: LabelledPlanes, axis: Axis) -> None:
    if not labelled.holding:
        raise ValueError("No labelled plane holds the label: there is nothing to learn from.")
    if labelled.planes[0] < 0 or labelled.planes[-1] >= axis.count:
        raise ValueError(
            f"Labelled planes must be in the volume of {axis.count} planes, 0 to {axis.count - 1}; "
            f"got {labelled.planes}."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """What a plane learns from those before it in a sweep.

    Attributes
    ----------
    plane : int
    log_odds : ndarray, (h, w), float32, optional
        On the working grid; None until the sweep has met a labelled plane.
    own : ndarray, (h, w), float32, optional
        The plane's own log-odds; None in labelled planes.
    """

    plane: int
    log_odds: NDArray[np.float32] | None
    own: NDArray[np.float32] | None


def sweep_planes(
    context: LabelContext, planes: Iterable[int], read: ReadEvidence
) -> Iterator[Message]:
    """Go from plane to plane, carrying along where the object is (recursive Bayesian filter).

    Parameters
    ----------
    context : LabelContext
    planes : iterable of int
        Neighbours one after the other, in either direction.
    read : ReadEvidence
        Read once a plane; the two latest planes are kept in memory.
    """
    probability: NDArray[np.float32] | None = None
    source: NDArray[np.uint8] | None = None
    for plane in planes:
        evidence = read(plane)
        grey = context.grey(evidence)
        message = None
        if probability is not None and source is not None:
            message = propagate(probability, source, grey, context.matching)
            message = message - np.float32(context.strengths.fade)
        own = None
        if plane in context.labelled.planes:
            # the sweep starts anew here: what came before does not outweigh a person
            probability = context.labelled.mask(plane).astype(np.float32)
        else:
            own = context.own_log_odds(plane, evidence)
            # before the first labelled plane nothing is known, so nothing is carried along
            if message is not None:
                probability = special.expit(message + own)
        source = grey
        yield Message(plane, message, own)


def total_log_odds(
    context: LabelContext,
    plane: int,
    evidence: PlaneEvidence,
    message: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Add up a plane's own log-odds and those by the planes beside, at full size (H, W).

    The 2-D method counts at full size; all else is smooth and enlarged from the working grid.
    """
    own = context.own_log_odds(plane, evidence)
    if context.factor == 1:
        return np.asarray(message + own, dtype=np.float32)
    if is_blank(evidence):
        return enlarge_plane(
            message + own,
            context.factor,
            evidence.grey.shape,
        )
    weight = np.float32(context.strengths.image)
    # the image's part is taken out here and added at full size, where its edges are sharp
    others = message + own - weight * context.image_log_odds(evidence)
    image = np.nan_to_num(evidence.log_odds.astype(np.float32))
    image = np.clip(image, -_IMAGE_LIMIT, _IMAGE_LIMIT)
    enlarged = enlarge_plane(
        others,
        context.factor,
        evidence.grey.shape,
    )
    return np.asarray(enlarged + weight * image, dtype=np.float32)
