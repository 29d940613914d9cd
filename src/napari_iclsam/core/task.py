"""A fitted task: it segments images and stacks."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.context import FittedContext, run_models
from napari_iclsam.core.encoder.embedding import EmbeddedImage
from napari_iclsam.core.fitted_fusion import FittedFusion
from napari_iclsam.core.fused_prediction import SegmentedImage, empty_if_blank, prediction_of
from napari_iclsam.core.fusion.weights import FusionWeights
from napari_iclsam.core.images.intensity import check_contrast, check_image
from napari_iclsam.core.images.planes import (
    ArrayLike,
    PlaneError,
    Writable,
    plane_indices,
    read_ahead,
    stack_axis,
)
from napari_iclsam.core.images.planes import plane as read_plane
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.inference import StageTimer, without_gradients
from napari_iclsam.core.metrics import StageScores
from napari_iclsam.core.prediction import LargeResult, Prediction, Progress, Provenance
from napari_iclsam.core.settings import Settings
from napari_iclsam.core.steps import drain, mapped
from napari_iclsam.core.task_file import SavedTask, write_task
from napari_iclsam.core.tiled import TileSegmenter


class Task:
    """A fitted task, ready to segment. Made by `ICLSAM.fit` or `load_task`; never changes.

    Attributes
    ----------
    support : SupportSet
    settings : Settings
    provenance : Provenance
    weights : tuple of FusionWeights
        Label by label.
    cross_validated : mapping of int to StageScores
        By label: mean Dice of held-out examples, if there was cross-validation
        (``Settings.cross_validate``).
    """

    def __init__(
        self,
        context: FittedContext,
        fusion: FittedFusion,
        settings: Settings,
        provenance: Provenance,
    ) -> None:
        self.context = context
        self.fusion = fusion
        self.settings = settings
        self.provenance = provenance

    @property
    def support(self) -> SupportSet:
        """The support set."""
        return self.context.examples.support

    @property
    def weights(self) -> tuple[FusionWeights, ...]:
        """Weights of the fusion, label by label."""
        return self.fusion.weights

    @property
    def cross_validated(self) -> Mapping[int, StageScores]:
        """Mean Dice of held-out examples by label; empty without cross-validation."""
        return self.fusion.scores

    @property
    def expected(self) -> Mapping[int, StageScores]:
        """Old name of `cross_validated`."""
        warnings.warn(
            "Task.expected is now called Task.cross_validated.", DeprecationWarning, stacklevel=2
        )
        return self.cross_validated

    def predict(self, image: NDArray[Any]) -> Prediction:
        """Segment one image.

        Parameters
        ----------
        image : ndarray, (H, W) or (H, W, 3 or 4)
            Any real dtype, any size.

        Raises
        ------
        ValueError, TypeError
            If it is not one plane of finite numbers, or has the same value everywhere. (Empty
            planes of a stack are no error: nothing is found in them.)
        """
        # an error of single images alone: a stack may have blank planes
        check_contrast(check_image(image))
        return drain(self.steps(image))

    def predict_into(
        self, image: ArrayLike, labels: Writable, certainty: Writable | None = None
    ) -> LargeResult:
        """Segment an image that is larger than memory, tile by tile, into an array.

        Peak memory goes with the image's width, not with its area.

        Parameters
        ----------
        image : numpy, dask or zarr array, (H, W) or (H, W, 3 or 4)
            All parts are seen on one scale of grey values, estimated from windows all over it.
        labels : numpy or zarr array, (H, W), integer
            The result is written here, rows by rows.
        certainty : numpy or zarr array, (H, W), floating point, optional
            How likely each pixel is of the label that it has is written here.

        Raises
        ------
        ValueError
            If the image is not one plane of finite numbers, or the labels have another size or
            cannot hold all labels.
        """
        return drain(self.large_steps(image, labels, certainty))

    def large_steps(
        self, image: ArrayLike, labels: Writable, certainty: Writable | None = None
    ) -> Generator[Progress, None, LargeResult]:
        """Segment an image that is larger than memory step by step; see `predict_into`."""
        return without_gradients(self._tiles.into_steps(image, labels, certainty))

    def is_tiled(self, shape: tuple[int, int]) -> bool:
        """Return whether an image (H, W) is seen in tiles, and not as a whole."""
        return self._tiles.tile_shape(shape) is not None

    def steps(self, image: NDArray[Any]) -> Generator[Progress, None, Prediction]:
        """Segment one image step by step; see `predict`."""
        return without_gradients(self._steps(check_image(image)))

    def predict_stack(
        self, volume: ArrayLike, axis: int = 0, *, planes: Iterable[int] | None = None
    ) -> NDArray[np.int32]:
        """Segment the planes of a stack.

        Of dask and zarr arrays, a plane is read while another is segmented.

        Parameters
        ----------
        volume : numpy, dask or zarr array, three axes, or three and colors
        axis : int
            The axis that the planes are stacked along.
        planes : iterable of int, optional
            Only these planes; by default all.

        Returns
        -------
        ndarray, int32
            Of the shape of the volume without colors; 0 in the planes left out.

        Raises
        ------
        PlaneError
            If a plane has pixels that are not finite, or cannot be read; it says which.
        ValueError, TypeError
            If it is not a stack of planes.
        """
        axis = stack_axis(volume.shape, axis)
        labels = np.zeros(volume.shape[:3], np.int32)
        for progress in self.stack_steps(volume, axis, planes=planes):
            # the steps in between carry messages alone
            if progress.prediction is not None:
                assert progress.plane is not None
                labels[(slice(None),) * axis + (progress.plane,)] = progress.prediction.labels
        return labels

    def stack_steps(
        self, volume: ArrayLike, axis: int = 0, *, planes: Iterable[int] | None = None
    ) -> Generator[Progress, None, None]:
        """Segment the planes of a stack step by step.

        The steps with stage "done" carry a plane's prediction.
        """
        axis = stack_axis(volume.shape, axis)
        wanted = plane_indices(volume.shape[axis], planes)
        return without_gradients(self._stack_steps(volume, axis, wanted))

    def save(self, path: str | Path) -> None:
        """Save the examples, the settings and the names of the models as a ``.iclsam`` file.

        See `napari_iclsam.core.task_file.write_task` for what may go wrong.
        """
        write_task(SavedTask.of(self.support, self.settings, self.provenance), path)

    def _steps(self, image: NDArray[Any]) -> Generator[Progress, None, Prediction]:
        return (yield from self._tiles.steps(self.context.examples.seen(image)))

    @property
    def _tiles(self) -> TileSegmenter:
        recipe = self.context.runners.recipe
        return TileSegmenter(
            self.support,
            self.provenance,
            self._image_steps,
            recipe.tile,
            is_unrefined=self.settings.use_sam and not recipe.refine,
            screen=self.context.is_empty,
        )

    def _image_steps(self, rgb: NDArray[np.uint8]) -> Generator[Progress, None, Prediction]:
        """Segment an image, seen as a whole."""
        timer = StageTimer()
        yield Progress("embed", "Embedding the image")
        with timer.stage("embed"):
            query = self.context.runners.experts.embed(rgb)
        return (yield from self._segment_steps(query, timer))

    def _stack_steps(
        self, volume: ArrayLike, axis: int, wanted: tuple[int, ...]
    ) -> Generator[Progress, None, None]:
        volume = self.context.examples.seen_stack(volume, axis, wanted)
        shape = tuple(size for number, size in enumerate(volume.shape[:3]) if number != axis)
        if self._tiles.tile_shape((shape[0], shape[1])) is not None:
            yield from self._tiled_stack_steps(volume, axis, wanted)
            return
        total = len(wanted)
        # closed at once when a run is cancelled: its thread would go on reading
        with closing(read_ahead(volume, axis, wanted)) as images:
            queries = self.context.runners.experts.embed_planes(images)
            for done, plane in enumerate(wanted):
                yield Progress(
                    "embed", f"Embedding slice {done + 1} of {total}", done, total, plane
                )
                timer = StageTimer()
                try:
                    with timer.stage("embed"):
                        query = next(queries)
                # what is wrong with a plane is of use only with its number
                except (ValueError, TypeError) as error:
                    raise PlaneError(plane, str(error)) from error
                located = partial(
                    replace,
                    done=done,
                    total=total,
                    plane=plane,
                )
                prediction = yield from mapped(self._segment_steps(query, timer), located)
                message = f"Slice {done + 1} of {total} is done"
                yield Progress(
                    "done",
                    message,
                    done + 1,
                    total,
                    plane,
                    prediction,
                )

    def _tiled_stack_steps(
        self, volume: ArrayLike, axis: int, wanted: tuple[int, ...]
    ) -> Generator[Progress, None, None]:
        """Segment planes of a stack, each in tiles."""
        total = len(wanted)
        for done, plane in enumerate(wanted):
            located = partial(replace, done=done, total=total, plane=plane)
            try:
                image = check_image(read_plane(volume, axis, plane))
            except (ValueError, TypeError) as error:
                raise PlaneError(plane, str(error)) from error
            prediction = yield from mapped(self._steps(image), located)
            message = f"Slice {done + 1} of {total} is done"
            yield Progress("done", message, done + 1, total, plane, prediction)

    def _segment_steps(
        self, query: EmbeddedImage, timer: StageTimer
    ) -> Generator[Progress, None, Prediction]:
        """Segment an embedded image."""
        outputs = yield from run_models(self.context, query, timer)
        yield Progress("fuse", "Fusing both models")
        with timer.stage("fuse"):
            fused = self.fusion.fuse(outputs, self.context.runners.recipe.fusion)
            segmented = SegmentedImage(outputs, fused, timer)
            prediction = prediction_of(segmented, self.support, self.provenance)
            return empty_if_blank(prediction, query.rgb)
