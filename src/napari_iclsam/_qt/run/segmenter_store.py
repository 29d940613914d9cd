"""The segmenter of the last run, whose networks and cache serve the next one where they can."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.core.recipe import resolve
from napari_iclsam.core.settings import Settings

if TYPE_CHECKING:
    from napari_iclsam.core.segmenter import ICLSAM

MakeSegmenter = Callable[[ModelChoice, Settings], "ICLSAM"]


class SegmenterStore:
    """Keeps one segmenter.

    Parameters
    ----------
    cache_bytes : int, optional
        How much the cache of embeddings may hold on disk.
    make : callable, optional
        Makes a segmenter of models and settings; by default of the models' names.
    """

    def __init__(self, cache_bytes: int | None = None, make: MakeSegmenter | None = None) -> None:
        self._cache_bytes = cache_bytes
        self._make = self._make_by_name if make is None else make
        self._models: ModelChoice | None = None
        self._segmenter: ICLSAM | None = None

    def get(self, models: ModelChoice, settings: Settings) -> ICLSAM:
        """Return a segmenter of models and settings: the last one, if it is of these."""
        from napari_iclsam.core.segmenter import ICLSAM  # (torch)

        last = self._segmenter
        if last is None or models != self._models or not _same_precision(last, settings):
            self._segmenter = self._make(models, settings)
            self._models = models
        elif settings != last.settings:
            # the networks are loaded already
            self._segmenter = ICLSAM(settings=settings, cache=last.cache, networks=last.networks)
        assert self._segmenter is not None
        return self._segmenter

    def _make_by_name(self, models: ModelChoice, settings: Settings) -> ICLSAM:
        from napari_iclsam.core.encoder.cache import DISK_LIMIT, EmbeddingCache, default_folder
        from napari_iclsam.core.segmenter import ICLSAM

        if self._segmenter is None:
            limit = self._cache_bytes or DISK_LIMIT
            cache = EmbeddingCache(default_folder(), disk_limit=limit)
        else:
            # what one model has embedded may be wanted again when the user returns to it
            cache = self._segmenter.cache
        return ICLSAM(
            models.sam, icl=models.icl, device=models.device, settings=settings, cache=cache
        )


def _same_precision(segmenter: ICLSAM, settings: Settings) -> bool:
    """Return whether networks that were loaded for a segmenter serve other settings, too."""
    return resolve(segmenter.settings).half_precision == resolve(settings).half_precision
