"""What came of a section of the drill, and the kill of a process that all kills share."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the trials of a section.

    Attributes
    ----------
    section, trials : str
    found : str
        In words, for the table.
    is_good : bool
    """

    section: str
    trials: str
    found: str
    is_good: bool


def killed_after(work: Callable[[], object], seconds: float) -> bool:
    """Do work in a process of its own and kill it after a while; tell whether it was still busy."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            work()
        os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)
