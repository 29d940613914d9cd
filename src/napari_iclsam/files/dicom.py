"""DICOM: a folder with a series, or a file, as one volume in the place that it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.files.dicom_frames import Frame, Volume, frames_of, in_order
from napari_iclsam.files.dicom_seg import is_segmentation, read_segmentation
from napari_iclsam.files.optional import needed
from napari_iclsam.files.part import WHOLE, Part
from napari_iclsam.files.placed import nifti_of
from napari_iclsam.files.space import ImageFile, Space


def read_dicom(path: Path, *, for_labels: bool = False, part: Part = WHOLE) -> ImageFile:
    """Read a series, its planes sorted by their places, rescaled plane by plane.

    Parameters
    ----------
    path : Path
        A folder or a file.
    for_labels : bool
        Take a segmentation object; for an image it is refused.
    part : Part
        Which series, if a folder holds several.

    Raises
    ------
    ValueError
        If there are several series and none was named, or the planes are not one volume.
    """
    headers = _chosen(_series_in(path), part.series)
    if is_segmentation(headers[0]):
        if not for_labels:
            raise ValueError("it is a segmentation and no image; give it as labels")
        return read_segmentation(path, Path(headers[0].filename))
    frames = []
    for header in headers:
        frames += frames_of(header, Path(header.filename))
    volume = in_order(frames)
    pixels, color, notes = _pixels(volume.frames, for_labels=for_labels)
    # One name stands for all folders of a command, of which some may hold one series only.
    if part.series is not None and not str(headers[0].SeriesInstanceUID).endswith(part.series):
        notes = (f"It holds one series, which is not {part.series!r}, and was taken.", *notes)
    is_single = len(volume.frames) == 1
    space = _space(volume)
    return ImageFile(
        path, pixels[0] if is_single else pixels, color, space, notes=(*volume.notes, *notes)
    )


def _series_in(path: Path) -> Mapping[str, list[Any]]:
    """Return the headers of all images, by series."""
    pydicom = needed("pydicom", "DICOM", "dicom")
    files = sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]
    series: dict[str, list[Any]] = {}
    for file in files:
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True)
        # Folders of series also hold reports, pictures and the index of a disc.
        except pydicom.errors.InvalidDicomError:
            if path.is_dir():
                continue
            raise ValueError("it is no DICOM file") from None
        if "Rows" in header:
            series.setdefault(str(header.get("SeriesInstanceUID")), []).append(header)
    if not series:
        raise ValueError("it holds no image")
    return series


def _chosen(series: Mapping[str, list[Any]], wanted: str | None) -> list[Any]:
    """Return the headers of the series that is meant: a single one has no other."""
    if len(series) == 1:
        return next(iter(series.values()))
    found = [uid for uid in series if wanted is None or uid.endswith(wanted)]
    if len(found) == 1:
        return series[found[0]]
    listed = "; ".join(_described(uid, headers) for uid, headers in series.items())
    if wanted is None:
        raise ValueError(
            f"it holds {len(series)} series ({listed}); name one with --series, its UID or the end "
            "of it"
        )
    which = "no series" if not found else f"{len(found)} series"
    raise ValueError(f"it has {which} {wanted!r}; its series are {listed}")


def _described(uid: str, headers: Sequence[Any]) -> str:
    first = headers[0]
    words = [uid, str(first.get("Modality") or ""), str(first.get("SeriesDescription") or "")]
    named = " ".join(word for word in words if word)
    return f"{named}, {len(headers)} files"


def _pixels(
    frames: Sequence[Frame], *, for_labels: bool
) -> tuple[NDArray[Any], bool, tuple[str, ...]]:
    """Return the planes (S, H, W) or (S, H, W, 3), whether they are colors, and notes."""
    rescaled = any((each.slope, each.intercept) != (1, 0) for each in frames)
    is_inverted = False
    color = False
    planes = []
    stored: dict[Path, Any] = {}
    for frame in frames:
        if frame.path not in stored:
            # Of a series of files no more than one is held.
            stored = {frame.path: _decoded(frame.path)}
        dataset, array = stored[frame.path]
        plane = array[frame.index] if int(dataset.get("NumberOfFrames") or 1) > 1 else array
        kind = str(dataset.PhotometricInterpretation)
        color = plane.ndim == 3 or (kind == "PALETTE COLOR" and not for_labels)
        if kind == "MONOCHROME1" and not for_labels:
            plane = _inverted(plane, dataset)
            is_inverted = True
        elif kind == "PALETTE COLOR" and not for_labels:
            plane = _colored(plane, dataset)
        if rescaled and not color:
            plane = plane.astype(np.float32) * np.float32(frame.slope) + np.float32(frame.intercept)
        planes.append(plane)
    notes = ("It counts from white to black (MONOCHROME1) and was inverted.",) * is_inverted
    return np.stack(planes), color, notes


def _decoded(path: Path) -> tuple[Any, NDArray[Any]]:
    pydicom = needed("pydicom", "DICOM", "dicom")
    dataset = pydicom.dcmread(path)
    try:
        return dataset, dataset.pixel_array
    # What a decoder lacks or meets is said in many ways.
    except (RuntimeError, NotImplementedError, AttributeError) as error:
        raise ValueError(f"the pixels of {path.name} cannot be decoded: {error}") from error


def _inverted(plane: NDArray[Any], dataset: Any) -> NDArray[Any]:
    bits = int(dataset.BitsStored)
    # The darkest and the brightest number change places: 0 and 4095, or -2048 and 2047.
    ends = -1 if int(dataset.PixelRepresentation) else 2**bits - 1
    return np.asarray(ends - plane.astype(np.int32)).astype(plane.dtype)


def _colored(plane: NDArray[Any], dataset: Any) -> NDArray[np.uint8]:
    pixels = needed("pydicom.pixels", "DICOM", "dicom")
    colors = pixels.apply_color_lut(plane, dataset)
    return np.asarray(colors >> 8 if colors.dtype == np.uint16 else colors).astype(np.uint8)


def _space(volume: Volume) -> Space:
    first = volume.frames[0]
    count = len(volume.frames)
    spacing: tuple[float | None, ...] = first.spacing
    if spacing and count > 1:
        spacing = (volume.distance, *spacing)
    shape = (int(first.header.Columns), int(first.header.Rows), count)
    nifti = None if volume.affine is None else nifti_of(volume.affine, shape)
    files = tuple(dict.fromkeys(frame.path for frame in volume.frames))
    axes = "ZYX" if count > 1 else "YX"
    return Space(axes, spacing, "mm" if spacing else "", nifti=nifti, dicom=files)
