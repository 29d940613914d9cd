"""Which device this computer has, found in a worker: PyTorch takes long to import."""

from __future__ import annotations

from collections.abc import Generator

from napari_iclsam._qt.background.process_state import without_garbage_collection


def find_device_steps(name: str) -> Generator[None, None, str]:
    """Return what a device such as "auto" is on this computer.

    This imports all that a run needs, too: the first run begins sooner.
    """
    yield
    with without_garbage_collection():
        import napari_iclsam.core.segmenter  # noqa: F401 (takes a second)
        from napari_iclsam.core.encoder.device import choose_device

    return str(choose_device(name))
