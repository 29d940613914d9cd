"""Names of any length where there is little room."""

from __future__ import annotations

_WIDTH = 18


def shortened(name: str, width: int = _WIDTH) -> str:
    """Return a name without its middle if it is long: files of a series differ at their ends."""
    if len(name) <= width:
        return name
    start = (width - 1) // 3
    end = width - 1 - start
    return f"{name[:start]}…{name[-end:]}"
