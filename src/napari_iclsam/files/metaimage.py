"""MetaImage files (``.mha``, ``.mhd``), read and written by SimpleITK."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.files.optional import needed
from napari_iclsam.files.placed import from_lps, nifti_of
from napari_iclsam.files.space import ImageFile, Space


def read_metaimage(path: Path) -> ImageFile:
    """Read a plane or a volume, with the rotation that it says."""
    sitk = needed("SimpleITK", "MetaImage", "mha")
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        # ITK says at length where in its source it is.
        raise ValueError(str(error).strip().splitlines()[-1]) from error
    array = sitk.GetArrayFromImage(image)
    color = image.GetNumberOfComponentsPerPixel() > 1
    spacing = tuple(float(size) for size in reversed(image.GetSpacing()))
    axes = image.GetDimension()
    nifti = None
    if axes == 3:
        affine = np.eye(4)
        affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
        affine[:3, 3] = image.GetOrigin()
        nifti = nifti_of(from_lps(affine), image.GetSize())
    letters = "QZYX"[-axes:]
    if axes == 3 and array.shape[0] == 1:
        array = array[0]
        letters = letters[1:]
        spacing = spacing[1:]
    return ImageFile(path, array, color, Space(letters, spacing, "mm", nifti=nifti))


def write_metaimage(path: Path, labels: NDArray[Any], space: Space) -> None:
    """Write labels, (H, W) or (Z, H, W), in the place of their image."""
    sitk = needed("SimpleITK", "MetaImage", "mha")
    if space.nifti is None:
        image = sitk.GetImageFromArray(labels)
        sizes = space.spacing_in("mm") or space.spacing
        image.SetSpacing([size or 1.0 for size in reversed(sizes)] or [1.0] * labels.ndim)
    else:
        affine = from_lps(space.nifti.affine)
        size = np.linalg.norm(affine[:3, :3], axis=0)
        direction = affine[:3, :3] / size
        if np.abs(direction.T @ direction - np.eye(3)).max() > 1e-4:
            raise ValueError(f"{path}: MetaImage keeps no shear; name a .nii.gz file.")
        image = sitk.GetImageFromArray(labels.T.reshape(space.nifti.shape[:3]).T)
        image.SetSpacing(size.tolist())
        image.SetOrigin(affine[:3, 3].tolist())
        image.SetDirection(direction.ravel().tolist())
    sitk.WriteImage(image, str(path), True)
