"""Load a task from its file, ready to segment."""

from __future__ import annotations

from pathlib import Path

from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.segmenter import ICLSAM
from napari_iclsam.core.task import Task
from napari_iclsam.core.task_file import read_task


def load_task(
    path: str | Path, *, device: str = "auto", cache: EmbeddingCache | None = None
) -> Task:
    """Read a task file and fit the task, with the models it was saved with.

    Raises
    ------
    ValueError, FileNotFoundError
        See `read_task`; also if its models are unknown, or not on this computer.
    """
    saved = read_task(path)
    models = saved.models
    segmenter = ICLSAM(
        models.sam, icl=models.icl, device=device, settings=saved.settings, cache=cache
    )
    return segmenter.fit_support(saved.support)
