"""Names of any length where there is little room."""

from __future__ import annotations

import re

_WIDTH = 18

_ENDING = re.compile(
    r"(\.ome|\.seg)?\.(tiff?|png|jpe?g|nii(\.gz)?|zarr|nrrd|mha|dcm|czi|nd2|lif)(?=$|, )", re.I
)
"""What all files of a series end on, which tells nothing of one; its slice may follow."""


def shortened(name: str, width: int = _WIDTH) -> str:
    """Return a long name without its ending and middle: files of a series differ before these."""
    if len(name) > width:
        name = _ENDING.sub("", name)
    if len(name) <= width:
        return name
    start = (width - 1) // 3
    end = width - 1 - start
    return f"{name[:start]}…{name[-end:]}"
