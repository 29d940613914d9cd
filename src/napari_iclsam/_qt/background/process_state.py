"""Contexts that shield the window from what a worker does to the whole process. Knows no Qt."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Make many objects that stay, without the garbage collector's passes over all there are.

    A full pass stops the window for some tenths of a second; imports, networks and compiled code
    cause several.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # moves what was made into the oldest generation, without a pass
        gc.freeze()
        gc.unfreeze()
        if was_on:
            gc.enable()


@contextmanager
def with_thread_count_kept() -> Iterator[None]:
    """Keep the number of PyTorch's threads in this thread.

    Numba, which compiles how napari draws labels, sets it to the number of cores.
    """
    import torch

    count = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(count)
