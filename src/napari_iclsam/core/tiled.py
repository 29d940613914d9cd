"""Large images with many small objects, segmented tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.intensity import is_constant
from napari_iclsam.core.images.planes import ArrayLike, Writable
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.images.tiles import plan_tiles
from napari_iclsam.core.large_image import (
    TILE,
    ImageSteps,
    LargePlan,
    LargeTarget,
    check_target,
    large_steps,
)
from napari_iclsam.core.lazy_image import LazyImage
from napari_iclsam.core.prediction import LargeResult, Prediction, Progress, Provenance
from napari_iclsam.core.settings import Tile
from napari_iclsam.core.steps import mapped
from napari_iclsam.core.tile_canvas import TileCanvas


@dataclass(frozen=True, slots=True)
class TileSegmenter:
    """Segments images in tiles where the examples call for it.

    Attributes
    ----------
    support : SupportSet
    provenance : Provenance
    whole : callable
        Segments an image, or a tile, as a whole.
    tile : Tile
        Which tiles the user wants.
    is_unrefined : bool
        Whether promptable models are left out since they gain little.
    screen : callable, optional
        Tells tiles (H, W, 3) that hold nothing; without it, those of one value do.
    """

    support: SupportSet
    provenance: Provenance
    whole: ImageSteps
    tile: Tile = "auto"
    is_unrefined: bool = False
    screen: Callable[[NDArray[np.uint8]], bool] | None = None

    def tile_shape(self, shape: tuple[int, int]) -> tuple[int, int] | None:
        """Return height and width of the tiles of an image (H, W); None if it is seen whole."""
        return self.support.tile_shape(self.tile, shape)

    def steps(self, rgb: NDArray[np.uint8]) -> Generator[Progress, None, Prediction]:
        """Segment an image (H, W, 3): as a whole, or in tiles of the size of the examples."""
        tile = self.tile_shape((rgb.shape[0], rgb.shape[1]))
        if tile is None:
            return (yield from self.whole(rgb))
        return (yield from self.tile_steps(rgb, tile))

    def tile_steps(
        self, rgb: NDArray[np.uint8], tile: tuple[int, int]
    ) -> Generator[Progress, None, Prediction]:
        """Segment an image (H, W, 3) in overlapping tiles of a height and a width."""
        shape = (rgb.shape[0], rgb.shape[1])
        places = plan_tiles(shape, tile)
        canvas = TileCanvas(shape, self.support.ids)
        for done, place in enumerate(places):
            if self.is_empty(rgb[place]):
                canvas.add_blank(place)
                continue
            located = partial(
                replace,
                message=f"{TILE} {done + 1} of {len(places)}",
                done=done,
                total=len(places),
            )
            prediction = yield from mapped(self.whole(rgb[place]), located)
            canvas.add(place, prediction)
        prediction = canvas.prediction(self.provenance, self._note(len(places), tile))
        return replace(prediction, separations=self.support.separations)

    def into_steps(
        self, image: ArrayLike, labels: Writable, certainty: Writable | None = None
    ) -> Generator[Progress, None, LargeResult]:
        """Segment an image (H, W, ...) that is larger than memory; see `Task.predict_into`."""
        lazy = LazyImage.of(image)
        check_target(labels, lazy.shape, max(self.support.ids))
        tile = self.tile_shape(lazy.shape) or lazy.shape
        plan = LargePlan(tile, self.support.ids, self.is_empty)
        return self._noted(large_steps(self.whole, lazy, LargeTarget(labels, certainty), plan))

    def _noted(
        self, steps: Generator[Progress, None, LargeResult]
    ) -> Generator[Progress, None, LargeResult]:
        result = yield from steps
        return replace(result, note=self._note(result.tiles, result.tile))

    def is_empty(self, rgb: NDArray[np.uint8]) -> bool:
        """Return whether a tile (H, W, 3) holds nothing: it then costs hardly any time."""
        if is_constant(rgb):
            return True
        return self.screen is not None and self.screen(rgb)

    def _note(self, count: int, tile: tuple[int, int]) -> str:
        """Say in which tiles an image was seen, and why."""
        why = "the size of the examples, since the objects are small"
        if self.tile != "auto":
            why = "as the settings say"
        note = f"Seen in {count} tiles of {tile[0]} x {tile[1]} pixels, {why}."
        if self.is_unrefined:
            note += " Not refined by the promptable model, which gained little on the examples."
        return note
