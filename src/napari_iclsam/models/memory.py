"""How much main memory is free, for networks that may not fit."""

from __future__ import annotations

from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")
"""The folder in which Linux keeps the limits of a container."""


def available() -> int:
    """Return the bytes that this process can still take without swapping."""
    free = int(psutil.virtual_memory().available)
    # The free memory of the whole machine does not include the limit of a container.
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        cached = _entry((_CGROUP / "memory.stat").read_text(), "inactive_file")
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return free
    # Cached files are given back when memory is wanted.
    return max(min(free, limit - used + cached), 0)


def _entry(text: str, name: str) -> int:
    """Return the number of a "NAME NUMBER" line, 0 without one."""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == [name]:
            return int(words[1])
    return 0


def require(needed: int, what: str, remedy: str) -> None:
    """Raise `MemoryError` unless enough memory is free.

    Parameters
    ----------
    needed : int
        Bytes.
    what, remedy : str
        For the message: what needs the memory, and what the user can do.
    """
    free = available()
    if free < needed:
        raise MemoryError(
            f"{what} needs about {needed / 1e9:.1f} GB of memory "
            f"and {free / 1e9:.1f} GB are free: {remedy}"
        )
