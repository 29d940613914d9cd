"""Makes the query follow the examples and the layers, unless the user has chosen otherwise."""

from __future__ import annotations

from weakref import ref

from napari.components import ViewerModel
from napari.layers import Layer

from napari_iclsam._qt.forms.examples_form import ExamplesForm
from napari_iclsam._qt.forms.query_form import ImageAxes, QueryForm, Scope
from napari_iclsam._qt.run.origins import axis_of, window_of
from napari_iclsam._qt.run.plan import Planner
from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.example import LayerExample


class QueryDefaults:
    """Fills in the form of the query, and leaves alone what was chosen there."""

    def __init__(
        self, viewer: ViewerModel, examples: ExamplesForm, query: QueryForm, planner: Planner
    ) -> None:
        self._viewer = viewer
        self._examples = examples
        self._query = query
        self._planner = planner
        # the image for which scope or axis was chosen
        self._chosen_on: ref[Layer] | None = None
        self._is_image_chosen = False
        query.scope.activated.connect(self._on_chosen)
        query.axis.activated.connect(self._on_chosen)

    def follow(self) -> None:
        """Offer what the viewer has; choose what the user has not chosen."""
        images = layers.images_in(self._viewer)
        self._query.image.offer(images)
        # a chosen layer may be gone
        if self._query.image.layer is None:
            self._is_image_chosen = False
        if not self._is_image_chosen:
            self._query.image.set_layer(self._examples.image.layer)
        # before the scope: which scopes there are depends on the image
        self._show_image()
        self._query.show_window(window_of(self._planner.ticked_examples()))
        query_image = self._query.image.layer
        unlabelled = self._unlabelled(images)
        others = [image for image in images if image is not query_image]
        self._query.offer(others, unlabelled)
        if not self._is_chosen:
            self._chosen_on = None
            self._query.choose(self._likely_scope(unlabelled))

    def keep_image(self) -> None:
        """Keep the image that the user has picked, and follow in all else."""
        self._is_image_chosen = True
        self.follow()

    def choose(self, image: Layer, slices: range | None) -> None:
        """Choose an image and some of its slices, by default all that are no examples.

        Raises
        ------
        ValueError
            The image has no such slices.
        """
        self._query.image.set_layer(image)
        self._chosen_on = None
        self.keep_image()
        if slices is None and image.ndim == 2:
            # itself, though it may be an example beside other images
            self._query.choose("current")
            self._on_chosen()
        if slices is None:
            return
        orientation = self._query.orientation()
        count = 0
        if orientation is not None and orientation.axis is not None:
            count = layers.shape(image, self._planner.level(image))[orientation.axis]
        if slices.step != 1 or not len(slices) or slices.start < 0 or slices.stop > count:
            raise ValueError(f"Expected a range of slices within range(0, {count}); got {slices}.")
        self._query.choose_range(slices.start, slices.stop - 1)
        self._on_chosen()

    def _unlabelled(self, images: list[Layer]) -> list[Layer]:
        """Return the 2D images that are no examples."""
        labelled = []
        for row in self._examples.table.rows():
            if isinstance(row.example, LayerExample):
                labelled.append(row.example.image)
        return [image for image in images if image.ndim == 2 and image not in labelled]

    def _likely_scope(self, unlabelled: list[Layer]) -> Scope:
        """Return what a user most likely wants: the rest of a stack, or the other images."""
        image = self._query.image.layer
        orientation = self._query.orientation()
        if image is None or orientation is None or image.ndim == 2:
            return "layers" if unlabelled and image not in unlabelled else "current"
        examples = self._planner.examples_on(image, orientation)
        total = len(orientation.positions(layers.shape(image, self._planner.level(image))))
        return "rest" if 0 < len(examples) < total else "all"

    def _show_image(self) -> None:
        """Show the query's image in its form, stacked like the examples."""
        image = self._query.image.layer
        if image is None:
            self._query.show_image(None)
            return
        shape = layers.shape(image, self._planner.level(image))
        names = layers.axis_names(image, self._viewer.dims.axis_labels)
        self._query.show_image(ImageAxes(shape, tuple(names)), self._axis_of_examples(image))
        self._query.show_level(self._level_in_words(image))

    def _axis_of_examples(self, image: Layer) -> int | None:
        """Return the axis of an image that the examples are stacked along, unless one is chosen."""
        orientation = self._examples.orientation()
        if self._is_chosen:
            return None
        if orientation is None or not self._planner.layer_examples():
            return axis_of(self._planner.ticked_examples(), image)
        if not image.ndim >= orientation.ndim > 2:
            return None
        return orientation.with_leading_axes(image.ndim - orientation.ndim).axis

    def _level_in_words(self, image: Layer) -> str:
        if not image.multiscale:
            return ""
        level = self._planner.level(image)
        size = layers.in_words(layers.shape(image, level))
        count = len(layers.levels(image))
        return f"The image has {count} resolutions; level {level} is segmented: {size}."

    @property
    def _is_chosen(self) -> bool:
        """Whether the user has chosen scope or axis, for data of this kind that are still there."""
        chosen_on = None if self._chosen_on is None else self._chosen_on()
        image = self._query.image.layer
        if chosen_on is None or image is None or chosen_on not in self._viewer.layers:
            return False
        return bool(image.ndim == chosen_on.ndim)

    def _on_chosen(self) -> None:
        image = self._query.image.layer
        self._chosen_on = None if image is None else ref(image)
