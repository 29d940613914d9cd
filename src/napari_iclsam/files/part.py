"""Which part of a file is meant: a channel, a level of resolution, a series."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """What is to be read of a file that holds more than one image.

    Attributes
    ----------
    channel : str, optional
        Name or number, counted from 0.
    level : int, optional
        Of a file with several resolutions: 0 is the finest.
    series : str, optional
        Of a folder of DICOM files: the UID of a series, or its end. Of a file of a microscope: the
        number or name of a scene.
    pixel_size : float, optional
        In micrometers: the level whose pixels are nearest to it is read if none was named.
    own_planes : bool
        Of an OME-TIFF of several files, only the planes in the file itself.
    """

    channel: str | None = None
    level: int | None = None
    series: str | None = None
    pixel_size: float | None = None
    own_planes: bool = False


WHOLE = Part()
"""Of a file that holds one image."""
