"""The version of this package: its tag's, or 0+unknown in a bare source tree."""

from __future__ import annotations


def version() -> str:
    """Return the version."""
    from importlib import metadata  # takes longer to import than the rest of the package

    try:
        return metadata.version("napari-iclsam")
    except metadata.PackageNotFoundError:
        return "0+unknown"
