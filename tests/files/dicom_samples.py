"""Small DICOM files, made for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

SHAPE = (6, 5, 7)
VOLUME = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
SERIES = "1.2.826.0.1.3680043.8.498.1"
FRAME_OF_REFERENCE = "1.2.826.0.1.3680043.8.498.2"
STUDY = "1.2.826.0.1.3680043.8.498.3"
ENHANCED_CT = UID("1.2.840.10008.5.1.4.1.1.2.1")


def base(pixels: NDArray[Any], uid: UID = CTImageStorage, **tags: Any) -> Dataset:
    """Return a dataset with pixels, (H, W) or (S, H, W), that can be saved."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = uid
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID = uid
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.Modality = "CT"
    data.PatientID = data.PatientName = data.StudyID = "test"
    data.PatientBirthDate = data.PatientSex = data.AccessionNumber = ""
    data.StudyDate = data.StudyTime = data.ReferringPhysicianName = ""
    data.StudyInstanceUID = STUDY
    data.SeriesInstanceUID = SERIES
    data.FrameOfReferenceUID = FRAME_OF_REFERENCE
    data.SeriesNumber = 1
    data.Rows, data.Columns = pixels.shape[-2:]
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = pixels.dtype.itemsize * 8
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    return data


def save(data: Dataset, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def series(
    folder: Path,
    volume: NDArray[Any] = VOLUME,
    *,
    step: Sequence[float] = (0, 0, 2),
    orientation: Sequence[float] = (1, 0, 0, 0, 1, 0),
    origin: Sequence[float] = (10, -20, 30),
    name: str = "{}.dcm",
    **tags: Any,
) -> Path:
    """Write a file a plane; names run against the places."""
    for number, plane in enumerate(volume):
        position = np.add(origin, np.multiply(number, step)).tolist()
        data = base(
            plane,
            InstanceNumber=number + 1,
            ImagePositionPatient=position,
            ImageOrientationPatient=list(orientation),
            PixelSpacing=[0.5, 0.25],
            SliceThickness=3.0,
            **tags,
        )
        save(data, folder / name.format(len(volume) - number))
    return folder


def enhanced(
    path: Path, volume: NDArray[Any], order: Sequence[int], slopes: Sequence[float] = ()
) -> Path:
    """Write a file of several frames, stored in some order, each with its own slope."""
    per_frame = []
    for number in order:
        position = Dataset()
        position.ImagePositionPatient = [10, -20, 30 + 2 * number]
        group = Dataset()
        group.PlanePositionSequence = Items([position])
        if slopes:
            values = Dataset()
            values.RescaleSlope = slopes[number]
            values.RescaleIntercept = -10
            group.PixelValueTransformationSequence = Items([values])
        per_frame.append(group)
    direction = Dataset()
    direction.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures = Dataset()
    measures.PixelSpacing = [0.5, 0.25]
    shared = Dataset()
    shared.PlaneOrientationSequence = Items([direction])
    shared.PixelMeasuresSequence = Items([measures])
    data = base(volume[list(order)], ENHANCED_CT, NumberOfFrames=len(volume))
    data.PerFrameFunctionalGroupsSequence = Items(per_frame)
    data.SharedFunctionalGroupsSequence = Items([shared])
    return save(data, path)
