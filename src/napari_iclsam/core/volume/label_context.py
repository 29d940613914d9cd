"""What is known of one label of a volume: its labelled planes, and how a plane is scored."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.volume.appearance import APPEARANCE_LIMIT, Appearance, learn_appearance
from napari_iclsam.core.volume.labelled_planes import Axis, LabelledPlanes
from napari_iclsam.core.volume.motion import MotionGrid, PlaneMotion, ReadGrey
from napari_iclsam.core.volume.patch_votes import PatchVotes, vote_agreement
from napari_iclsam.core.volume.presence import is_out_of_reach
from napari_iclsam.core.volume.shape_prior import ShapePrior, signed_distances
from napari_iclsam.core.volume.specks import smallest_part
from napari_iclsam.core.volume.strengths import DEFAULT_STRENGTHS, Strengths
from napari_iclsam.core.volume.working_grid import (
    enlarge_plane,
    reduce_labelled,
    reduce_plane,
    reduction_factor,
)

IMAGE_LIMIT = 4.0
"""Log-odds of the 2-D method beyond which it is not surer."""


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

    @property
    def limited_log_odds(self) -> NDArray[np.float32]:
        """The log-odds of the 2-D method (H, W), as sure as they may be."""
        log_odds = np.nan_to_num(self.log_odds.astype(np.float32))
        return np.asarray(np.clip(log_odds, -IMAGE_LIMIT, IMAGE_LIMIT), dtype=np.float32)


def is_blank(evidence: PlaneEvidence) -> bool:
    """Return whether a plane has one grey value everywhere: its image tells nothing."""
    return bool(evidence.grey.min() == evidence.grey.max())


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
    size : tuple of int
        Height and width of a plane at full size.
    appearance : Appearance
    shape : ShapePrior
    votes : PatchVotes
    strengths : Strengths
    smallest : int
        Pixels, at full size, of the smallest part that a person has marked.
    """

    labelled: LabelledPlanes
    axis: Axis
    factor: int
    size: tuple[int, int]
    appearance: Appearance
    shape: ShapePrior
    votes: PatchVotes
    strengths: Strengths = DEFAULT_STRENGTHS
    smallest: int = 0

    def distance(self, plane: int) -> float:
        """Return the distance to the nearest labelled plane that holds the object, in reaches.

        Behind a labelled plane without the object, where it would have to come again, it is one
        more; in time it may well come again.
        """
        nearest = min(self.labelled.holding, key=lambda known: abs(plane - known))
        step = self.axis.step
        distance = abs(plane - nearest) * step / self.labelled.reach(step, plane)
        beside = self.labelled.above(plane) if nearest > plane else self.labelled.below(plane)
        if beside == nearest or self.axis.kind == "time":
            return distance
        return distance + 1

    def is_out_of_reach(self, plane: int) -> bool:
        """Return whether the object cannot be in a plane, whatever its image shows."""
        if self.labelled.encloses(plane):
            return False
        return is_out_of_reach(self.distance(plane), self.axis, self.strengths.presence)

    def combine(self, plane: int, evidence: PlaneEvidence) -> Combined:
        """Add up image, grey values, shape prior and votes of a plane.

        The image counts at full size, where its edges are sharp; all else is smooth and enlarged
        from the working grid.
        """
        strengths = self.strengths
        shape = self.shape.log_odds(plane, strengths)
        size = evidence.grey.shape
        if is_blank(evidence):
            return Combined(enlarge_plane(shape, self.factor, size), -APPEARANCE_LIMIT, 0.0)
        grey = reduce_plane(evidence.grey, self.factor).astype(np.uint8)
        appearance = self.appearance.log_odds(grey)
        expected = shape > 0
        where_expected = float(appearance[expected].mean()) if expected.any() else -APPEARANCE_LIMIT
        # weighted, because the parts are not independent: added as they are, they would be too
        # sure
        votes = self.votes.log_odds(self.labelled, plane)
        smooth = shape + np.float32(strengths.appearance) * appearance
        smooth += np.float32(strengths.votes) * votes
        enlarged = enlarge_plane(smooth, self.factor, size)
        image = np.float32(strengths.image) * evidence.limited_log_odds
        log_odds = np.asarray(enlarged + image, dtype=np.float32)
        mask = log_odds[:: self.factor, :: self.factor] > 0
        return Combined(log_odds, where_expected, vote_agreement(mask, votes))


@dataclass(frozen=True, slots=True, eq=False)
class Combined:
    """All evidence of one label in one plane.

    Attributes
    ----------
    log_odds : ndarray, (H, W), float32
        At full size.
    appearance : float
        Mean log-odds by grey values where the shape prior expects the object; the lowest there
        are, if it is expected nowhere or the plane is blank.
    agreement : float
        Of mask and votes; see `vote_agreement`.
    """

    log_odds: NDArray[np.float32]
    appearance: float
    agreement: float


def prepare_label(
    labelled: LabelledPlanes,
    axis: Axis,
    votes: PatchVotes,
    read_grey: ReadGrey,
    strengths: Strengths = DEFAULT_STRENGTHS,
) -> LabelContext:
    """Learn shape and grey values from the planes of a label.

    Parameters
    ----------
    labelled : LabelledPlanes
        At full size; one plane at least holds the object.
    axis : Axis
        Step in pixels at full size.
    votes : PatchVotes
        With the motion of `prepare_motion`.
    read_grey : ReadGrey
        Of planes at full size.
    strengths : Strengths

    Raises
    ------
    ValueError
        If no labelled plane holds the object, or a labelled plane is outside the volume.
    """
    _check_labelled(labelled, axis)
    factor = reduction_factor(labelled.size)
    reduced = reduce_labelled(labelled, factor)

    # in pixels of the working grid, as all other lengths here
    reduced_axis = replace(axis, step=axis.step / factor)
    shape = ShapePrior(reduced, reduced_axis, signed_distances(reduced), votes.motion)
    return LabelContext(
        reduced,
        reduced_axis,
        factor,
        labelled.size,
        learn_appearance(reduced, _reducing(read_grey, factor)),
        shape,
        votes,
        strengths,
        smallest_part(labelled),
    )


def prepare_motion(labelled: LabelledPlanes, count: int, read_grey: ReadGrey) -> PlaneMotion:
    """Return the motion of planes around all objects, to be shared by all labels.

    Parameters
    ----------
    labelled : LabelledPlanes
        Masks of all labels together, at full size.
    count : int
        Planes of the volume.
    read_grey : ReadGrey
        Of planes at full size.
    """
    factor = reduction_factor(labelled.size)
    grid = MotionGrid.around(reduce_labelled(labelled, factor).masks)
    return PlaneMotion(grid, labelled.planes, count, _reducing(read_grey, factor), factor)


def _reducing(read_grey: ReadGrey, factor: int) -> ReadGrey:
    """Return a reader of planes on the working grid."""

    def read(plane: int) -> NDArray[np.uint8]:
        return reduce_plane(read_grey(plane), factor).astype(np.uint8)

    return read


def _check_labelled(labelled: LabelledPlanes, axis: Axis) -> None:
    if not labelled.holding:
        raise ValueError("No labelled plane holds the label: there is nothing to learn from.")
    if labelled.planes[0] < 0 or labelled.planes[-1] >= axis.count:
        raise ValueError(
            f"Labelled planes must be in the volume of {axis.count} planes, 0 to {axis.count - 1}; "
            f"got {labelled.planes}."
        )
