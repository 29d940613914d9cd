"""OME-TIFF of several files: which planes of the image are in which of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FILE_NAME = re.compile(r'FileName="([^"]*)"')


def is_one_of_several(path: Path) -> bool:
    """Tell whether a TIFF file says that planes of its image are in other files, too."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            metadata = tif.ome_metadata or ""
    # What is wrong with the file is said where it is read.
    except (OSError, ValueError):
        return False
    return len(set(_FILE_NAME.findall(metadata))) > 1


def whole_image(series: Any) -> NDArray[Any]:
    """Read all planes.

    Raises
    ------
    ValueError
        If some are in files that are not there.
    """
    missing = sum(page is None for page in series.pages)
    # Before the pixels are read: tifffile fills planes that are missing with 0.
    if missing:
        raise ValueError(
            f"it is one file of an OME-TIFF of several, and {missing} of {len(series.pages)} "
            "planes are in files that "
            "are not beside it; put all of them into one folder, or save this one as a plain TIFF"
        )
    return np.asarray(series.asarray())


def planes_of_file(tif: Any, series: Any) -> NDArray[Any]:
    """Read the planes that are in one of the files alone, (n, H, W) and perhaps colors.

    Raises
    ------
    ValueError
        If there is none.
    """
    own = [page for page in series.pages if page is not None and page.parent is tif]
    if not own:
        raise ValueError("it holds no plane of its image: all of them are in other files")
    return np.stack([np.asarray(page.asarray()) for page in own])


def other_files(series: Any, path: Path) -> list[str]:
    """Return the names of the other files that planes of the image are in."""
    names = set()
    for page in series.pages:
        # A series of several files keeps None for planes of a file that is not there.
        if page is not None:
            names.add(Path(page.parent.filehandle.path).name)
    return sorted(names - {path.name})
