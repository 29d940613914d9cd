"""Makes the query follow the examples and the layers, as far as the user has not chosen otherwise."""

from __future__ import annotations

from napari.components import ViewerModel
from napari.layers import Layer

from napari_iclsam._qt.forms.examples_form import ExamplesForm
from napari_iclsam._qt.forms.query_form import QueryForm, Scope, Stack
from napari_iclsam._qt.run.plan import Planner
from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.example import LayerExample


class Follower:
    """Fills the form of the query in sensibly, and leaves alone what was chosen there."""

    def __init__(
        self, viewer: ViewerModel, examples: ExamplesForm, query: QueryForm, planner: Planner
    ) -> None:
        self._viewer, self._examples, self._query, self._planner = viewer, examples, query, planner
        self._scope_chosen = self._image_chosen = False
        query.scope.activated.connect(self._on_scope_chosen)

    def follow(self) -> None:
        """Offer what the viewer has; choose what the user has not chosen."""
        every = [each for each in reversed(self._viewer.layers) if layers.is_image(each)]
        rows = self._examples.table.rows()
        used = [row.example.image for row in rows if isinstance(row.example, LayerExample)]
        flat = [each for each in every if each.ndim == 2 and each not in used]
        self._query.image.offer(every)
        if not self._image_chosen or self._query.image.layer is None:
            self._image_chosen = False
            self._query.image.set_layer(self._examples.image.layer)
        self._show_stack(follow=not self._scope_chosen)
        image = self._query.image.layer
        self._query.offer([each for each in every if each is not image], flat)
        if not self._scope_chosen:
            self._query.choose(self._sensible_scope(flat))

    def keep_image(self) -> None:
        """Keep the image that the user has picked, and follow in all else."""
        self._image_chosen = True
        self.follow()

    def _sensible_scope(self, unlabelled: list[Layer]) -> Scope:
        image, cut = self._query.image.layer, self._query.cut()
        if image is not None and image.ndim > 2 and cut is not None:
            ours = self._planner.on_image(image, cut)
            every = len(cut.positions(layers.shape(image, self._planner.level(image))))
            return "rest" if ours and len(ours) < every else "all"
        return "layers" if unlabelled and image not in unlabelled else "current"

    def _show_stack(self, *, follow: bool) -> None:
        """Show the query's image in its form, stacked like the examples."""
        image = self._query.image.layer
        if image is None:
            self._query.show_stack(None)
            return
        level, cut = self._planner.level(image), self._examples.cut()
        axis = None
        if follow and cut is not None and image.ndim >= cut.ndim > 2:
            axis = cut.behind(image.ndim - cut.ndim).axis
        names = tuple(layers.axis_names(image, self._viewer.dims.axis_labels))
        self._query.show_stack(Stack(layers.shape(image, level), names), axis)
        size = layers.in_words(layers.shape(image, level))
        text = f"The image has {len(layers.levels(image))} resolutions; level {level} is segmented: {size}."
        self._query.show_level(text if image.multiscale else "")

    def _on_scope_chosen(self) -> None:
        self._scope_chosen = True
