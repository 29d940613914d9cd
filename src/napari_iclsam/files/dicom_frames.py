"""Frames of DICOM files: where they lie, in order, and what is wrong with a series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.files.orientation import TOLERANCE
from napari_iclsam.files.placed import from_lps

_SAME_PLACE = 0.1
"""Slices nearer than this share of the largest distance lie at one place."""

_TILT = 0.1
"""Angle, in degrees, from which on a gantry counts as tilted."""

_TELLING = (
    "AcquisitionNumber",
    "EchoTime",
    "TemporalPositionIdentifier",
    "ConvolutionKernel",
    "AcquisitionTime",
    "ImageType",
)
"""What tells scans apart that share a series."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One plane of a file, without its pixels.

    Attributes
    ----------
    header : Dataset
    path : Path
    index : int
        In a file of several frames.
    position, orientation : ndarray, (3,) and (6,), optional
        Of the first pixel, in millimeters to the left, to the back, up (LPS); directions of a row
        and of a column.
    spacing : tuple of float
        Distance of rows and of columns; empty if it is not known.
    slope, intercept : float
    """

    header: Any
    path: Path
    index: int
    position: NDArray[np.float64] | None
    orientation: NDArray[np.float64] | None
    spacing: tuple[float, ...]
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def normal(self) -> NDArray[np.float64]:
        """Direction that planes are stacked along."""
        assert self.orientation is not None
        return np.cross(self.orientation[:3], self.orientation[3:])

    def along(self, direction: NDArray[np.float64]) -> float:
        """Return its place along a direction, in millimeters."""
        assert self.position is not None
        return float(np.dot(self.position, direction))

    @property
    def name(self) -> str:
        """File, and the frame if it has several."""
        frames = int(self.header.get("NumberOfFrames") or 1)
        return self.path.name if frames == 1 else f"frame {self.index + 1} of {self.path.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """Frames in the order of their places.

    Attributes
    ----------
    frames : tuple of Frame
    affine : ndarray, (4, 4), optional
        From (column, row, plane) to millimeters to the right, to the front, up (RAS).
    distance : float, optional
        Of planes, along their normal.
    notes : tuple of str
    """

    frames: tuple[Frame, ...]
    affine: NDArray[np.float64] | None = None
    distance: float | None = None
    notes: tuple[str, ...] = ()


def frames_of(header: Any, path: Path) -> list[Frame]:
    """Return the frames of a file, as they are stored."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence")
    count = int(header.get("NumberOfFrames") or 1)
    if not per_frame:
        return [_frame(header, [header], path, index) for index in range(count)]
    shared = header.get("SharedFunctionalGroupsSequence") or [{}]
    frames = []
    for index, own in enumerate(per_frame):
        groups = [*_items(own), *_items(shared[0]), header]
        frames.append(_frame(header, groups, path, index))
    return frames


def in_order(frames: Sequence[Frame]) -> Volume:
    """Sort frames by place, and find out where the volume lies.

    Raises
    ------
    ValueError
        If they are not one volume of evenly spaced planes; the message names what is amiss.
    """
    _check_alike(frames)
    placed = [frame for frame in frames if frame.position is not None]
    if not placed:
        return Volume(_by_number(frames))
    if len(placed) < len(frames):
        raise ValueError(
            f"{len(frames) - len(placed)} of {len(frames)} planes do not say where they lie; take "
            "them out of the folder"
        )
    normal = frames[0].normal
    ordered = tuple(sorted(frames, key=lambda frame: frame.along(normal)))
    if len(ordered) == 1:
        thickness = float(ordered[0].header.get("SliceThickness") or 1.0)
        return Volume(ordered, _affine(ordered[0], normal * thickness), thickness)
    _check_gaps(ordered, normal)
    return _volume(ordered, normal)


def _items(group: Any) -> list[Any]:
    """Return the one item of each sequence in a functional group."""
    items = []
    for element in group:
        if element.VR == "SQ" and element.value:
            items.append(element.value[0])
    return items


def _frame(header: Any, groups: Sequence[Any], path: Path, index: int) -> Frame:
    position = _numbers(groups, "ImagePositionPatient")
    orientation = _numbers(groups, "ImageOrientationPatient")
    is_placed = position is not None and orientation is not None
    spacing = _numbers(groups, "PixelSpacing")
    # At the detector, which is all that an X-ray image knows.
    if spacing is None:
        spacing = _numbers(groups, "ImagerPixelSpacing")
    slope = _numbers(groups, "RescaleSlope")
    intercept = _numbers(groups, "RescaleIntercept")
    return Frame(
        header,
        path,
        index,
        position if is_placed else None,
        orientation if is_placed else None,
        () if spacing is None else tuple(spacing.tolist()),
        1.0 if slope is None else float(slope[0]),
        0.0 if intercept is None else float(intercept[0]),
    )


def _numbers(groups: Sequence[Any], name: str) -> NDArray[np.float64] | None:
    """Return the first value of a name in datasets, the nearest to a frame first."""
    for group in groups:
        value = group.get(name)
        if value not in (None, ""):
            return np.atleast_1d(np.asarray(value, np.float64))
    return None


def _check_alike(frames: Sequence[Frame]) -> None:
    """Check that all planes have one size and one direction."""
    sizes = {(int(each.header.Rows), int(each.header.Columns)) for each in frames}
    if len(sizes) > 1:
        listed = " and ".join(f"{rows} x {columns}" for rows, columns in sorted(sizes))
        raise ValueError(f"its planes have different sizes ({listed}); keep those of one scan")
    directions = [each.orientation for each in frames if each.orientation is not None]
    for direction in directions:
        if np.abs(direction - directions[0]).max() > 1e-3:
            raise ValueError(
                "its planes lie in different directions, as those of a localizer do; keep those "
                "of one scan"
            )


def _by_number(frames: Sequence[Frame]) -> tuple[Frame, ...]:
    """Sort planes without a place by the number of their file, then as they are stored."""
    return tuple(
        sorted(frames, key=lambda each: (int(each.header.get("InstanceNumber") or 0), each.index))
    )


def _check_gaps(frames: Sequence[Frame], normal: NDArray[np.float64]) -> None:
    """Check that no place is doubled and none is missing."""
    places = np.array([frame.along(normal) for frame in frames])
    gaps = np.diff(places)
    is_double = gaps < max(_SAME_PLACE * gaps.max(), 1e-4)
    if is_double.any():
        first = int(np.argmax(is_double))
        raise ValueError(
            f"it holds several planes at one place: {int(is_double.sum())} of {len(frames)}, such "
            f"as {frames[first].name} and {frames[first + 1].name} at {places[first]:.2f} mm"
            f"{_difference(frames)}; put each scan into a folder of its own"
        )
    # The smallest: of three planes of four, the median lies between both distances.
    usual = float(gaps.min())
    is_wide = gaps > 1.5 * usual
    if is_wide.any():
        first = int(np.argmax(is_wide))
        missing = max(1, round(gaps[first] / usual) - 1)
        are_missing = "1 plane is missing" if missing == 1 else f"{missing} planes are missing"
        raise ValueError(
            f"{are_missing} between {frames[first].name} at {places[first]:.2f} mm "
            f"and {frames[first + 1].name} at {places[first + 1]:.2f} mm, where the others are "
            f"{usual:.2f} mm apart; add the files that are missing"
        )


def _difference(frames: Sequence[Frame]) -> str:
    """Say in what scans differ that share a series."""
    for name in _TELLING:
        values = {str(frame.header.get(name)) for frame in frames}
        if 1 < len(values) < len(frames):
            return f" (they differ in {name}: {', '.join(sorted(values)[:3])})"
    return ""


def _volume(frames: tuple[Frame, ...], normal: NDArray[np.float64]) -> Volume:
    positions = np.array([frame.position for frame in frames])
    step = (positions[-1] - positions[0]) / (len(frames) - 1)
    expected = positions[0] + np.arange(len(frames))[:, None] * step
    off = np.linalg.norm(positions - expected, axis=1)
    size = float(np.linalg.norm(step))
    if off.max() > TOLERANCE * size:
        worst = frames[int(off.argmax())]
        raise ValueError(
            f"its planes are not evenly spaced: {worst.name} lies {off.max():.2f} mm from where "
            f"steps of {size:.2f} mm lead; resample the scan"
        )
    distance = float(np.dot(step, normal))
    tilt = float(np.degrees(np.arccos(min(1.0, distance / size))))
    notes = []
    if tilt > _TILT:
        notes.append(
            f"The gantry was tilted by {tilt:.1f} degrees: planes are taken as they are, and the "
            "result keeps the shear."
        )
    return Volume(frames, _affine(frames[0], step), distance, tuple(notes))


def _affine(first: Frame, step: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the affine of a volume, of its first plane and the step from plane to plane."""
    assert first.orientation is not None
    assert first.position is not None
    rows, columns = first.spacing or (1.0, 1.0)
    affine = np.eye(4)
    affine[:3, 0] = first.orientation[:3] * columns
    affine[:3, 1] = first.orientation[3:] * rows
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return from_lps(affine)
