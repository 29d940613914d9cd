"""Libraries that only some kinds of files need."""

from __future__ import annotations

import importlib
from typing import Any


def needed(module: str, kind: str, extra: str) -> Any:
    """Import a library.

    Parameters
    ----------
    module : str
    kind : str
        Of files, in words.
    extra : str
        Of this package, that brings the library.

    Raises
    ------
    ModuleNotFoundError
        It says what to install.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A library that is there and lacks something says so itself.
        if error.name != module.partition(".")[0]:
            raise
        raise ModuleNotFoundError(
            f"{kind} needs {module.partition('.')[0]}, which is not installed: pip install "
            f'"napari-iclsam[{extra}]".',
            name=error.name,
        ) from None
