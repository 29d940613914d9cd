"""Places of images in a body, of any kind of file, as a NIfTI file says them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.files.space import Nifti


def nifti_of(affine: NDArray[np.float64], shape: tuple[int, ...]) -> Nifti:
    """Return what a NIfTI file would say of a volume.

    Parameters
    ----------
    affine : ndarray, (4, 4)
        From (x, y, z) to millimeters to the right, to the front, up (RAS). It may shear.
    shape : tuple of int
        Along x, y, z.
    """
    import nibabel

    header = nibabel.Nifti1Header()
    header.set_data_shape(shape)
    header.set_sform(affine, code="scanner")
    # Programs take the sizes of voxels from here, not from the affine: ITK among them.
    header.set_zooms(nibabel.affines.voxel_sizes(affine)[: len(shape)])
    header.set_xyzt_units("mm")
    return Nifti(np.asarray(affine, np.float64), header, shape)


def from_lps(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an affine to the right and front of one to the left and back, or the other way."""
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
