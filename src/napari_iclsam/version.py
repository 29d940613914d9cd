"""The version of this package: that of the tag it was built from, or 0+unknown in a bare source tree."""

from __future__ import annotations

from importlib import import_module


def version() -> str:
    """Return the version."""
    try:
        return str(import_module("napari_iclsam._version").__version__)
    except ImportError:
        return "0+unknown"
