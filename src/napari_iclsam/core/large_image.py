"""Images that are larger than memory, segmented tile by tile into an array on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.band_canvas import Band, BandCanvas
from napari_iclsam.core.images.crops import PixelSlices
from napari_iclsam.core.images.intensity import is_constant
from napari_iclsam.core.images.planes import Writable
from napari_iclsam.core.images.tiles import plan_tiles
from napari_iclsam.core.lazy_image import LazyImage
from napari_iclsam.core.prediction import LargeResult, Prediction, Progress
from napari_iclsam.core.steps import mapped
from napari_iclsam.core.tile_estimates import TileEstimates

TILE = "Tile"
"""Messages of the steps of tiles begin so."""

LARGE = 32_000_000
"""Pixels of a plane from which on it is segmented part by part: in memory, blended tiles and
objects take about a hundred bytes for each."""

ImageSteps = Callable[[NDArray[np.uint8]], Generator[Progress, None, Prediction]]
"""Segments an image (H, W, 3) as a whole, step by step."""


@dataclass(frozen=True, slots=True)
class LargePlan:
    """How an image is seen.

    Attributes
    ----------
    tile : tuple of int
        Height and width of its tiles.
    ids : tuple of int
        Labels that are looked for.
    is_empty : callable
        Tells tiles (h, w, 3) in which nothing is looked for.
    """

    tile: tuple[int, int]
    ids: tuple[int, ...]
    is_empty: Callable[[NDArray[np.uint8]], bool] = is_constant


@dataclass(frozen=True, slots=True, eq=False)
class LargeTarget:
    """Where the result of an image is written, rows by rows.

    Attributes
    ----------
    labels : Writable, (H, W), integer
    certainty : Writable, (H, W), floating point, optional
        How likely each pixel is of its label; 0 in the background.
    """

    labels: Writable
    certainty: Writable | None = None

    def write(self, band: Band) -> None:
        """Write rows that are finished."""
        self.labels[band.rows] = band.labels
        if self.certainty is not None:
            self.certainty[band.rows] = band.certainty


def check_target(labels: Writable, shape: tuple[int, int], highest: int) -> None:
    """Raise ValueError if labels of an image (H, W) cannot be written into an array."""
    if tuple(labels.shape) != shape:
        raise ValueError(
            f"Labels are written into an array of the image's size {shape}; got "
            f"{tuple(labels.shape)}."
        )
    dtype = np.dtype(labels.dtype)
    if not np.issubdtype(dtype, np.integer) or np.iinfo(dtype).max < highest:
        raise ValueError(f"Labels go up to {highest}; got an array of {dtype}. Make one of int32.")


def large_steps(
    whole: ImageSteps, image: LazyImage, target: LargeTarget, plan: LargePlan
) -> Generator[Progress, None, LargeResult]:
    """Segment an image tile by tile; rows are written as soon as no tile changes them any more.

    Parameters
    ----------
    whole : callable
        Segments a tile (h, w, 3) step by step.
    image : LazyImage
    target : LargeTarget
    plan : LargePlan
    """
    shape = image.shape
    tile = plan.tile
    places = plan_tiles(shape, tile)
    canvas = BandCanvas(tile[0], shape[1], plan.ids)
    seen = _Seen(plan.ids)
    done = 0
    for top, row in groupby(places, key=_top):
        if top > canvas.top:
            target.write(canvas.take(top))
        # read once for all its tiles: those that overlap would unpack the same chunks
        band = image.read((slice(top, top + tile[0]), slice(0, shape[1])))
        for place in row:
            located = partial(
                replace, message=f"{TILE} {done + 1} of {len(places)}", done=done, total=len(places)
            )
            rgb = np.ascontiguousarray(band[:, place[1]])
            prediction = None
            if plan.is_empty(rgb):
                yield located(Progress("icl", ""))
            else:
                prediction = yield from mapped(whole(rgb), located)
            seen.add(prediction)
            canvas.add(place, prediction)
            done += 1
    target.write(canvas.take(shape[0]))
    return LargeResult(
        len(places), seen.blank, tile, seen.estimates.means(), seconds=dict(seen.seconds)
    )


class _Seen:
    """What is known of the tiles so far."""

    def __init__(self, ids: tuple[int, ...]) -> None:
        self.estimates = TileEstimates(ids)
        self.seconds: Counter[str] = Counter()
        self.blank = 0

    def add(self, prediction: Prediction | None) -> None:
        """Take in a tile; None if nothing was looked for in it."""
        if prediction is None:
            self.blank += 1
            return
        self.estimates.add(prediction)
        self.seconds.update(prediction.seconds)


def _top(place: PixelSlices) -> int:
    return int(place[0].start)
