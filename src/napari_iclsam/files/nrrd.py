"""NRRD files, and segmentations of 3D Slicer in them (``.seg.nrrd``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.support import LabelStyle
from napari_iclsam.files.optional import needed
from napari_iclsam.files.orientation import as_read
from napari_iclsam.files.placed import from_lps, nifti_of
from napari_iclsam.files.space import ImageFile, Space, Storage
from napari_iclsam.files.units import convert, is_length, unit_of

_TO_RAS: Mapping[str, tuple[float, float, float]] = {
    "right-anterior-superior": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "ras": (1, 1, 1),
    "las": (-1, 1, 1),
    "lps": (-1, -1, 1),
}
"""Signs that turn a space of NRRD into right, anterior, superior."""

_COLORS = ("rgb-color", "rgba-color", "3-color", "4-color")


@dataclass(frozen=True, slots=True)
class _Segment:
    """A segment of 3D Slicer: the voxels of one value in one layer."""

    name: str
    value: int
    layer: int
    color: tuple[float, ...] | None


def read_nrrd(path: Path, *, for_labels: bool = False) -> ImageFile:
    """Read a plane or a volume; of a segmentation its segments as labels.

    Raises
    ------
    ValueError
        If segments overlap.
    """
    nrrd = needed("nrrd", "NRRD", "nrrd")
    try:
        array, header = nrrd.read(str(path), index_order="F")
    except nrrd.NRRDError as error:
        raise ValueError(str(error)) from error
    segments = _segments(header)
    styles: dict[int, LabelStyle] = {}
    if segments:
        array, styles = _labels_of(array, header, segments)
    # What stands first in a file varies fastest: colors, and layers.
    color = _is_color(header) and not segments
    pixels = np.moveaxis(array, 0, -1) if color else array
    pixels = _as_read(pixels, color=color)
    space = _space(header, array.shape[1:] if color else array.shape, pixels.ndim - color)
    storage = Storage(partial=bool(segments) and for_labels)
    return ImageFile(path, pixels, color, space, storage, styles=styles)


def write_seg_nrrd(
    path: Path, labels: NDArray[Any], space: Space, styles: Mapping[int, LabelStyle]
) -> None:
    """Write labels, (H, W) or (Z, H, W), as a segmentation of 3D Slicer with one layer."""
    nrrd = needed("nrrd", "NRRD", "nrrd")
    volume = labels.T if labels.ndim == 3 else labels.T[..., None]
    if space.nifti is not None:
        volume = labels.T.reshape(space.nifti.shape[:3])
        affine = from_lps(space.nifti.affine)
    else:
        sizes = [size or 1.0 for size in reversed(space.spacing_in("mm") or space.spacing)]
        affine = np.diag([*sizes, 1.0, 1.0, 1.0][:4])
    header: dict[str, Any] = {
        "space": "left-posterior-superior",
        "kinds": ["domain"] * 3,
        "space directions": affine[:3, :3].T,
        "space origin": affine[:3, 3],
        "encoding": "gzip",
    }
    # Without a unit in the file, millimeters would be made up.
    if space.nifti is not None or space.spacing_in("mm"):
        header["space units"] = ["mm"] * 3
    found = [int(label) for label in np.unique(labels) if label]
    for number, label in enumerate(found):
        header |= _segment_fields(number, label, styles.get(label, LabelStyle()))
    nrrd.write(str(path), np.ascontiguousarray(volume), header, index_order="F")


def _segment_fields(number: int, label: int, style: LabelStyle) -> dict[str, str]:
    prefix = f"Segment{number}_"
    fields = {
        "ID": f"Segment_{label}",
        "Name": style.name or f"label {label}",
        "LabelValue": str(label),
        "Layer": "0",
    }
    if style.color:
        fields["Color"] = " ".join(f"{share:.6g}" for share in style.color[:3])
    return {prefix + name: value for name, value in fields.items()}


def _segments(header: Mapping[str, Any]) -> list[_Segment]:
    segments = []
    number = 0
    while f"Segment{number}_LabelValue" in header:
        prefix = f"Segment{number}_"
        color = header.get(f"{prefix}Color")
        segments.append(
            _Segment(
                str(header.get(f"{prefix}Name", "")),
                int(header[f"{prefix}LabelValue"]),
                int(header.get(f"{prefix}Layer", 0)),
                (*map(float, str(color).split()), 1.0) if color else None,
            )
        )
        number += 1
    return segments


def _labels_of(
    array: NDArray[Any], header: Mapping[str, Any], segments: list[_Segment]
) -> tuple[NDArray[Any], dict[int, LabelStyle]]:
    """Return one label image of all layers; values that occur in several are numbered anew."""
    layers = array if len(_kinds(header)) == 4 else array[None]
    values = [segment.value for segment in segments]
    is_unique = len(set(values)) == len(values)
    labels = np.zeros(layers.shape[1:], np.int32)
    styles: dict[int, LabelStyle] = {}
    for number, segment in enumerate(segments, start=1):
        # Values begin again in each layer, so that one may stand for two segments.
        label = segment.value if is_unique else number
        mask = layers[segment.layer] == segment.value
        taken = np.unique(labels[mask])
        if taken.any():
            other = styles[int(taken[taken > 0][0])].name
            raise ValueError(
                f"its segments {other!r} and {segment.name!r} overlap, and a pixel has one label; "
                "separate them, or save one of them alone"
            )
        labels[mask] = label
        styles[label] = LabelStyle(segment.name, segment.color)
    return labels, styles


def _kinds(header: Mapping[str, Any]) -> list[str]:
    kinds = header.get("kinds") or ["domain"] * int(header["dimension"])
    return [str(kind).lower() for kind in kinds]


def _is_color(header: Mapping[str, Any]) -> bool:
    return _kinds(header)[0] in _COLORS


def _as_read(array: NDArray[Any], *, color: bool) -> NDArray[Any]:
    """Return (x, y, z) as (z, y, x), colors last."""
    if not color:
        return as_read(array)
    order = [*reversed(range(array.ndim - 1)), array.ndim - 1]
    return np.squeeze(array.transpose(order))


def _space(header: Mapping[str, Any], shape: tuple[int, ...], axes: int) -> Space:
    letters = "ZYX"[-axes:] if axes <= 3 else "QZYX"[-axes:]
    directions = header.get("space directions")
    signs = _TO_RAS.get(str(header.get("space", "")).lower())
    units = header.get("space units") or [""]
    unit = unit_of(units[0])
    if directions is None:
        return _without_directions(header, letters)
    rows = np.array([row for row in np.atleast_2d(directions) if np.isfinite(row).all()], float)
    lengths = np.linalg.norm(rows, axis=1)[::-1]
    long = [float(size) for size, count in zip(lengths, shape[::-1], strict=False) if count > 1]
    spacing_known = tuple(long) if len(long) == axes else tuple(map(float, lengths[-axes:]))
    # In a space of a body, what has no unit is in millimeters.
    unit = unit or ("mm" if signs else "")
    nifti = None
    if signs and rows.shape == (3, 3) and is_length(unit):
        origin = np.asarray(header.get("space origin", np.zeros(3)), float)
        affine = _affine(rows, origin, convert(1.0, unit, "mm"))
        nifti = nifti_of(np.diag([*signs, 1.0]) @ affine, shape)
    return Space(letters, spacing_known, unit, nifti=nifti)


def _affine(
    rows: NDArray[np.float64], origin: NDArray[np.float64], factor: float
) -> NDArray[np.float64]:
    """Return an affine in millimeters, of directions as rows, both times a factor."""
    affine = np.eye(4)
    affine[:3, :3] = rows.T * factor
    affine[:3, 3] = origin * factor
    return affine


def _without_directions(header: Mapping[str, Any], letters: str) -> Space:
    """Return the space of a file that knows no directions, at most the size of voxels."""
    axes = len(letters)
    spacing = [float(size) for size in reversed(header.get("spacings", []))]
    known = tuple(size if np.isfinite(size) else None for size in spacing[:axes])
    return Space(letters, known if len(known) == axes else (), unit_of(_axis_unit(header)))


def _axis_unit(header: Mapping[str, Any]) -> str:
    units = header.get("units") or [""]
    return str(units[-1])
