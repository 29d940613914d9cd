"""A volume whose planes are read on one scale of grey values."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.intensity import check_image
from napari_iclsam.core.images.planes import ArrayLike, plane
from napari_iclsam.core.volume.intensity import GreyScale, estimate_grey_scale, sampled_planes


@dataclass(frozen=True, slots=True, eq=False)
class ScaledVolume:
    """Planes of a volume in 8 bits, all on one scale; read one by one.

    Attributes
    ----------
    volume : numpy, dask or zarr array, three axes, or three and colors
    axis : int
        The axis that the planes are stacked along, counted from the front.
    scale : GreyScale
    """

    volume: ArrayLike
    axis: int
    scale: GreyScale

    @classmethod
    def of(
        cls, volume: ArrayLike, axis: int, labelled: Collection[int], wanted: Collection[int]
    ) -> ScaledVolume:
        """Estimate the scale of a volume from a sample of its planes.

        Parameters
        ----------
        volume : numpy, dask or zarr array
        axis : int
        labelled : collection of int
            Planes that are among the sample.
        wanted : collection of int
            Planes that the others of the sample are drawn from, evenly spaced.
        """
        # only these: planes that nobody wants are not read
        known = sorted({*labelled, *wanted})
        places = {number: place for place, number in enumerate(known)}
        sample = sampled_planes(len(known), [places[number] for number in labelled])
        # a generator: one plane of the sample is in memory at a time
        planes = (plane(volume, axis, known[place]) for place in sample)
        return cls(volume, axis, estimate_grey_scale(planes))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the volume."""
        return self.volume.shape

    @property
    def dtype(self) -> Any:
        """Always uint8."""
        return np.dtype(np.uint8)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Read one plane, as `napari_iclsam.core.images.planes.plane` does.

        Raises
        ------
        ValueError, TypeError
            If it is not a plane of finite numbers.
        """
        # checked before scaling, which would turn NaN into a grey value without a word
        return self.scale.to_uint8(check_image(np.asarray(self.volume[key])))
