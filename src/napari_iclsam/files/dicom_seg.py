"""DICOM segmentation objects, read and written by highdicom."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.support import LabelStyle
from napari_iclsam.files.optional import needed
from napari_iclsam.files.placed import from_lps, nifti_of
from napari_iclsam.files.space import ImageFile, Space, Storage

_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation Storage and Label Map Segmentation Storage."""

_MOST_SEGMENTS = 65535
"""The number of a segment has 16 bits."""


def is_segmentation(header: Any) -> bool:
    """Tell whether a file is a segmentation object, which must not be read as an image."""
    return str(header.get("SOPClassUID")) in _CLASSES


def read_segmentation(path: Path, file: Path) -> ImageFile:
    """Read a segmentation; planes that it left out are empty.

    Raises
    ------
    ValueError
        If segments overlap, or the planes are not one volume.
    """
    seg = needed("highdicom.seg", "DICOM-SEG", "dicom-seg")
    dataset = seg.segread(file)
    try:
        volume = dataset.get_volume(combine_segments=True)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"its segments cannot be one label image: {error}") from error
    if volume is None:
        raise ValueError("its planes are not one evenly spaced volume")
    array = np.asarray(volume.array)
    # highdicom counts (plane, row, column); an affine here (column, row, plane).
    affine = from_lps(np.asarray(volume.affine)[:, [2, 1, 0, 3]])
    spacing = tuple(float(size) for size in volume.spacing)
    space = Space("ZYX", spacing, "mm", nifti=nifti_of(affine, array.shape[::-1]))
    styles = {}
    for segment in dataset.SegmentSequence:
        # Label maps describe their background, too.
        if int(segment.SegmentNumber):
            styles[int(segment.SegmentNumber)] = LabelStyle(str(segment.SegmentLabel))
    return ImageFile(path, array, color=False, space=space, storage=Storage(partial=True),
                     styles=styles)  # fmt: skip


def check_segmentation(path: Path, space: Space, highest: int) -> None:
    """Raise `ValueError` unless labels up to ``highest`` of an image can be a segmentation."""
    if not space.dicom:
        raise ValueError(f"{path}: DICOM-SEG is written of DICOM images only; name a .nii.gz file.")
    if highest > _MOST_SEGMENTS:
        raise ValueError(
            f"{path}: DICOM-SEG holds labels up to {_MOST_SEGMENTS} and there is a {highest}; name "
            "a .nii.gz file."
        )
    # a series may lack what a segmentation has to name: found out before anything is computed
    pydicom = needed("pydicom", "DICOM", "dicom")
    source = pydicom.dcmread(space.dicom[0], stop_before_pixels=True)
    try:
        frames = int(source.get("NumberOfFrames", 1))
        _segmentation([source], np.zeros((frames, source.Rows, source.Columns), int), [], {})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: DICOM-SEG cannot be written of this series ({error}); name a .nii.gz file."
        ) from error


def write_segmentation(
    path: Path, labels: NDArray[Any], space: Space, styles: Mapping[int, LabelStyle]
) -> None:
    """Write labels of a DICOM series as a segmentation of it; segments count from 1.

    A segmentation describes one segment at least. Where nothing is labelled, these are the labels
    that were looked for, and all planes are stored, empty.

    Raises
    ------
    ValueError
        See `check_segmentation`.
    """
    check_segmentation(path, space, int(labels.max()))
    found = [int(label) for label in np.unique(labels) if label]
    pydicom = needed("pydicom", "DICOM", "dicom")
    sources = [pydicom.dcmread(file, stop_before_pixels=True) for file in space.dicom]
    planes = labels.reshape(-1, *labels.shape[-2:])
    _segmentation(sources, planes, found, styles).save_as(path)


def _segmentation(
    sources: Sequence[Any],
    planes: NDArray[Any],
    found: Sequence[int],
    styles: Mapping[int, LabelStyle],
) -> Any:
    """Return the dataset of labels; where none is found, of empty planes."""
    hd = needed("highdicom", "DICOM-SEG", "dicom-seg")
    described = found or sorted(styles) or [1]
    # What highdicom minds about names of patients, their scanner has written.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return hd.seg.Segmentation(
            source_images=sources,
            pixel_array=_segments(planes, found),
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=_descriptions(hd, described, styles),
            omit_empty_frames=bool(found),
            series_instance_uid=hd.UID(),
            series_number=1000,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="napari-iclsam",
            manufacturer_model_name="napari-iclsam",
            software_versions="1",
            device_serial_number="1",
        )


def _segments(planes: NDArray[Any], found: Sequence[int]) -> NDArray[np.uint16]:
    """Return labels as numbers of segments, which have no gaps."""
    return np.searchsorted([0, *found], planes).astype(np.uint16)


def _descriptions(hd: Any, labels: Sequence[int], styles: Mapping[int, LabelStyle]) -> list[Any]:
    codes = needed("pydicom.sr.codedict", "DICOM", "dicom").codes
    algorithm = hd.AlgorithmIdentificationSequence(
        name="ICL-SAM", version="1", family=codes.cid7162.ArtificialIntelligence
    )
    descriptions = []
    for number, label in enumerate(labels, start=1):
        name = styles.get(label, LabelStyle()).name or f"label {label}"
        description = hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=codes.SCT.AnatomicalStructure,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        descriptions.append(description)
    return descriptions
