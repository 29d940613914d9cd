"""How much main memory is free, for networks that may not fit."""

from __future__ import annotations

from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")
"""Where Linux says what a container may use, which the whole machine's number does not know."""


def available() -> int:
    """Return the bytes that this process can still take without swapping."""
    free = int(psutil.virtual_memory().available)
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        cached = _entry((_CGROUP / "memory.stat").read_text(), "inactive_file")
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return free
    return max(min(free, limit - used + cached), 0)


def _entry(text: str, name: str) -> int:
    """Return the number of a "NAME NUMBER" line, 0 without one."""
    return next(
        (int(line.split()[1]) for line in text.splitlines() if line.split()[:1] == [name]), 0
    )


def require(needed: int, what: str, remedy: str) -> None:
    """Raise `MemoryError` unless that many bytes are free.

    Parameters
    ----------
    needed : int
    what, remedy : str
        For the message: who needs it, and what to do.
    """
    free = available()
    if free < needed:
        raise MemoryError(
            f"{what} needs about {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free: {remedy}"
        )
