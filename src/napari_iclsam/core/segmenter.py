"""ICL-SAM (Hu et al., MIDL 2024) as its user calls it: choose models, fit a task to examples."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Generator, Iterable, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from napari_iclsam.core.encoder.cache import EmbeddingCache, default_cache
from napari_iclsam.core.images.planes import ArrayLike
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.inference import without_gradients
from napari_iclsam.core.model_choice import ModelChoice, Precision
from napari_iclsam.core.networks import Networks, NetworkSource
from napari_iclsam.core.prediction import Progress
from napari_iclsam.core.recipe import Recipe, resolve
from napari_iclsam.core.settings import Settings
from napari_iclsam.core.stack_fitting import StackAxis, StackLabels, stack_examples
from napari_iclsam.core.stack_task import StackTask
from napari_iclsam.core.steps import drain
from napari_iclsam.core.task import Task
from napari_iclsam.core.task_fitting import TaskFitting
from napari_iclsam.core.volume.labelled_planes import AxisKind, Spacing


class ICLSAM:
    """Segment images from a few labelled examples.

    Parameters
    ----------
    sam : str
        Promptable model: a name (see ``napari-iclsam models``) or the path of a SAM checkpoint.
    icl : str, optional
        In-context model: a name or a path. By default the bundled one.
    device : str
        "auto", "cpu", "cuda", ...
    settings : Settings, optional
    cache : EmbeddingCache, optional
        By default a cache on disk, shared by all runs of this user.
    networks : Networks, optional
        Networks that are loaded already, instead of names and device.
    precision : {"auto", "float32", "bfloat16", "float16"}
        Of the large networks and, in stacks on processors, of the encoder of starter-sam. "auto" is
        half precision where it pays (`choose_precision`), and float32 in paper mode.
    models : str, optional
        Old name of ``sam``.

    Raises
    ------
    ValueError
        If a name, the device or the precision is unknown.

    Examples
    --------
    >>> segmenter = ICLSAM("starter")  # doctest: +SKIP
    >>> task = segmenter.fit(images, labels)  # doctest: +SKIP
    >>> prediction = task.predict(image)  # doctest: +SKIP
    """

    def __init__(  # noqa: PLR0913 (options with defaults, each by name)
        self,
        sam: str = "starter",
        *,
        icl: str | None = None,
        device: str = "auto",
        settings: Settings | None = None,
        cache: EmbeddingCache | None = None,
        networks: Networks | None = None,
        precision: Precision = "auto",
        models: str | None = None,
    ) -> None:
        if models is not None:
            warnings.warn(
                "ICLSAM(models=...) is now called sam=.", DeprecationWarning, stacklevel=2
            )
            sam = models
        self.settings = settings or Settings()
        self.cache = cache or default_cache()
        self._recipe = resolve(self.settings)
        self._networks = networks
        self._source: NetworkSource | None = None
        if networks is None:
            if precision == "auto" and not self._recipe.half_precision:
                precision = "float32"
            self._source = NetworkSource.of(ModelChoice(sam, icl or "starter", device), precision)

    @property
    def networks(self) -> Networks:
        """The networks, loaded at first use."""
        if self._networks is None:
            assert self._source is not None
            self._networks = self._source.load()
        return self._networks

    @property
    def uses_neighbors(self) -> bool:
        """Whether the labelled planes of a stack tell of the planes beside; see `fit_stack`."""
        return self._recipe.use_neighbors

    def fit(
        self,
        images: Sequence[NDArray[Any]],
        labels: Sequence[NDArray[Any]],
        *,
        regions: Sequence[Sequence[Sequence[int]]] | None = None,
        ignore_labels: Collection[int] = (),
        numbered: bool = False,
    ) -> Task:
        """Fit a task to examples.

        Examples that are large against many small objects are cut into tiles.

        Parameters
        ----------
        images : sequence of ndarray, (H, W) or (H, W, 3 or 4)
            Any real dtype; sizes may differ.
        labels : sequence of ndarray, (H, W), integer
            0 is background.
        regions : sequence of sequence of four int, optional
            For each image the regions that are labelled, each y0, x0, y1, x1 (the ends do not
            belong to it); none for an image that is labelled as a whole. What lies outside of
            them is unknown. Images are then seen in tiles, in which objects have the same size.
        ignore_labels : collection of int
            Numbers of pixels of which nobody knows what they are, such as a rim of 255: they are
            neither an object nor background.
        numbered : bool
            Whether each number of the labels is one object (an instance mask). All are then one
            class, label 1, and teach how touching objects are told apart.

        Raises
        ------
        ValueError, TypeError
            See `SupportSet.of` and `SupportSet.of_regions`.
        """
        if regions is None:
            support = SupportSet.of(images, labels, unknown=ignore_labels)
        else:
            support = SupportSet.of_regions(images, labels, regions, ignore_labels)
        return self.fit_support(support.as_one_class() if numbered else support)

    def fit_support(self, support: SupportSet) -> Task:
        """Fit a task to a checked support set."""
        return drain(self.fit_steps(support))

    def fit_steps(
        self,
        support: SupportSet,
        preview_image: NDArray[Any] | None = None,
        *,
        sparing: bool = False,
    ) -> Generator[Progress, None, Task]:
        """Fit a task step by step; see `fit`.

        Embed the examples, cross-validate the fusion weights, fine-tune the in-context model, fit
        the probe, and encode what does not depend on the query.

        Parameters
        ----------
        support : SupportSet
        preview_image : ndarray, (H, W) or (H, W, 3 or 4), optional
            An image to segment before all else, by the in-context model alone: a step with stage
            "done" carries what it found.
        sparing : bool
            Keep only the models that clearly help: the labelled planes of a stack tell the rest.
        """
        recipe = replace(self._recipe, sparing=sparing)
        if sparing:
            # the labelled planes beside tell better where the object is
            recipe = replace(recipe, feature_similarity=False)
        return without_gradients(self._fit_steps(support, preview_image, recipe))

    def fit_stack(  # noqa: PLR0913 (options with defaults, each by name)
        self,
        volume: ArrayLike,
        labels: NDArray[Any],
        axis: int = 0,
        *,
        empty_planes: Iterable[int] = (),
        spacing: Spacing | None = None,
        kind: AxisKind = "space",
        ignore_labels: Collection[int] = (),
    ) -> StackTask:
        """Fit a task to the labelled planes of a stack, to segment its other planes.

        Parameters
        ----------
        volume : numpy, dask or zarr array, (Z, Y, X) or (Z, Y, X, 3 or 4)
            Any real dtype. All planes are seen on one scale of grey values.
        labels : ndarray, (Z, Y, X), integer
            Planes with any label are the examples.
        axis : int
            The axis that the planes are stacked along.
        empty_planes : iterable of int
            Planes that hold no label for sure: they are examples, too.
        spacing : tuple of float, optional
            Distance of planes, rows and columns, in any one unit.
        kind : {"space", "time"}
            Along a time axis an object may vanish and return.
        ignore_labels : collection of int
            As in `fit`.

        Raises
        ------
        ValueError, TypeError
            If labels and volume do not fit, a plane that was declared empty holds labels, or a
            labelled plane is no plane of finite numbers; see also `SupportSet.of`.
        """
        along = StackAxis(axis, spacing, kind)
        given = StackLabels(labels, tuple(empty_planes), tuple(ignore_labels))
        examples = stack_examples(volume, given, along)
        task = drain(self.fit_steps(examples.support, sparing=True))
        return StackTask(task, examples.stack)

    def _fit_steps(
        self, support: SupportSet, preview_image: NDArray[Any] | None, recipe: Recipe
    ) -> Generator[Progress, None, Task]:
        yield Progress("load", "Loading the models", 0, len(support))
        networks = self.networks
        # the planes of a stack tell of each other, and stay whole
        if not recipe.sparing:
            tiles = support.in_tiles(recipe.tile)
            is_region = support.are_regions and recipe.tile != "off"
            recipe = replace(recipe, in_tiles=is_region or len(tiles) > len(support))
            support = tiles
        runners = networks.runners(recipe, self.cache)
        # seen as a whole, its objects would have another size than those of the examples
        if preview_image is not None and support.tile_shape(recipe.tile, preview_image.shape):
            preview_image = None
        fitting = TaskFitting(networks, runners, self.settings)
        return (yield from fitting.steps(support, preview_image))
