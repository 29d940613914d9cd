"""Predictions written into layers of the viewer, plane by plane; what a person painted stays."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Shapes
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.slice_stacks import Cut, Planes, Position
from napari_iclsam.core.images.support import LabelStyle
from napari_iclsam.core.prediction import Prediction

Target = Literal["update", "new", "fill"]
"""Write into the previous result of the image, into a new layer, or into unlabelled pixels of the
user's labels."""

Extra = Literal["probability", "confidence", "icl", "sam", "boxes"]


@dataclass(frozen=True, slots=True)
class Output:
    """Where a run writes and what else it shows.

    Attributes
    ----------
    target : {"update", "new", "fill"}
    replace_corrections : bool
        Write over planes that were corrected by hand.
    extras : frozenset of Extra
    """

    target: Target = "update"
    replace_corrections: bool = False
    extras: frozenset[Extra] = frozenset()


@dataclass(slots=True)
class Written:
    """What this plugin has written into a labels layer, to tell afterwards what a person has changed.

    Attributes
    ----------
    image : Layer
    level : int
        Of a multiscale image.
    cut : Cut
    sums : dict of Position to int
        Check of each plane as it was written.
    touched : set of Position
        Planes that were painted since.
    taken : dict of Position to int
        Check of each plane as it was when it became an example.
    estimates : dict of Position to float
        Estimated Dice of each plane as it was written: that of its worst label.
    checked : set of Position
        Planes that the user was led to, to check them, since they were written.
    """

    image: Layer
    level: int
    cut: Cut
    sums: dict[Position, int] = field(default_factory=dict)
    touched: set[Position] = field(default_factory=set)
    taken: dict[Position, int] = field(default_factory=dict)
    estimates: dict[Position, float] = field(default_factory=dict)
    checked: set[Position] = field(default_factory=set)

    def is_corrected(self, layer: Labels, position: Position) -> bool:
        """Whether a plane of the layer was painted and differs from what was written."""
        if position not in self.touched:
            return False
        return self.sums.get(position) != _sum(layer.data[self.cut.key(position)])


class Results:
    """The result layers of a viewer and what was written into them."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._written: WeakKeyDictionary[Layer, Written] = WeakKeyDictionary()

    def written(self, layer: Layer) -> Written | None:
        """Return what was written into a layer; None if it is no result of this session."""
        return self._written.get(layer)

    def previous(self, image: Layer, size: Sequence[int]) -> Labels | None:
        """Return the newest result of an image that is still in the viewer and has this shape."""
        for layer in reversed(self._viewer.layers):
            known = self._written.get(layer)
            if known is not None and known.image is image and layers.shape(layer) == tuple(size):
                return layer
        return None

    def of_image(self, image: Layer | None) -> list[Labels]:
        """Return the results of an image that are still in the viewer."""
        return [
            each
            for each in self._viewer.layers
            if each in self._written and self._written[each].image is image
        ]

    def note_painted(self, layer: Labels, item: Any) -> None:
        """Remember which planes of a result a person has painted."""
        known = self._written.get(layer)
        if known is not None:
            known.touched |= layers.painted(item, known.cut)

    def corrected(self, layer: Labels) -> list[Position]:
        """Return the planes of a result that differ by hand from what was written: painted, and not undone."""
        known = self._written.get(layer)
        return (
            []
            if known is None
            else sorted(p for p in known.touched if known.is_corrected(layer, p))
        )

    def unlearnt(self, layer: Labels) -> list[Position]:
        """Return the corrected planes of a result that are no examples yet, or were corrected since."""
        known = self._written.get(layer)
        found = self.corrected(layer)
        return [
            p for p in found if known and known.taken.get(p) != _sum(layer.data[known.cut.key(p)])
        ]

    def take(self, layer: Labels, positions: Iterable[Position]) -> None:
        """Note that planes of a result are examples as they are now."""
        known = self._written[layer]
        known.taken.update((p, _sum(layer.data[known.cut.key(p)])) for p in positions)

    def open(
        self, image: Layer, level: int, planes: Planes, look: Look, blank: Labels | None = None
    ) -> Sheet:
        """Choose or add the layer that the planes of an image go into; a new one is `blank`, if it is given."""
        labels = self.target(image, level, planes, look)
        if labels is None:
            labels = blank or self.blank(image, level, look)
            with _tools_later(labels):
                self._viewer.add_layer(labels)
        if labels is look.fill and look.output.target == "fill":
            return Sheet(self, labels, image, planes, look, None)
        known = self._written.get(labels)
        if known is None or known.cut != planes.cut:
            known = self._written[labels] = Written(image, level, planes.cut)
        return Sheet(self, labels, image, planes, look, known)

    def target(self, image: Layer, level: int, planes: Planes, look: Look) -> Labels | None:
        """Return the layer of the viewer that the planes of an image are written into; None if it takes a new one."""
        if look.output.target == "fill" and look.fill is not None:
            return look.fill
        labels = (
            self.previous(image, layers.shape(image, level))
            if look.output.target == "update"
            else None
        )
        if (
            labels is None
            or self._written[labels].cut == planes.cut
            or look.output.replace_corrections
        ):
            return labels
        return (
            None if self.corrected(labels) else labels
        )  # planes along another axis would run through corrections

    def blank(self, image: Layer, level: int, look: Look) -> Labels:
        """Make an empty result of an image, outside the viewer. Apart from adding it, since either takes a while."""
        return Labels(
            np.zeros(layers.shape(image, level), look.dtype),
            name=f"{image.name} [ICL-SAM]",
            metadata={layers.PROVENANCE: {"image": image.name}},
            features=layers.features(look.styles) or None,
            **layers.spatial(image, level),
            **({} if look.colormap is None else {"colormap": look.colormap}),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """How results of a run look and where they go.

    Attributes
    ----------
    output : Output
    styles : mapping of int to LabelStyle
    dtype : dtype
        Of new labels layers.
    colormap : LabelColormapBase, optional
        Of new labels layers; by default napari's.
    fill : Labels, optional
        The user's labels, if they are to be filled.
    """

    output: Output
    styles: Mapping[int, LabelStyle]
    dtype: np.dtype[Any]
    colormap: Any = None
    fill: Labels | None = None


class Sheet:
    """The layers that one job writes into."""

    def __init__(
        self,
        results: Results,
        labels: Labels,
        image: Layer,
        planes: Planes,
        look: Look,
        written: Written | None,
    ) -> None:
        self.labels = labels
        self._results, self._image, self._planes, self._look = results, image, planes, look
        self._written = written
        self._replaceable = (
            set(results.corrected(labels)) if look.output.replace_corrections else set()
        )
        self._extras: dict[str, Layer] = {}
        self._dirty: set[Layer] = set()
        self._level = 0 if written is None else written.level
        self.kept: set[Position] = set()

    @property
    def is_alive(self) -> bool:
        """Whether the layer to write into is still in the viewer."""
        return self.labels in self._results._viewer.layers

    def copy(self, position: Position, labels: NDArray[Any]) -> None:
        """Put an example's own labels where they belong."""
        if self._written is None or self._stays(position):
            return
        self._put(self.labels, position, labels)
        self._remember(position, {})

    def has(self, number: int) -> bool:
        """Whether a plane was written before."""
        return self._written is not None and self._planes.positions[number] in self._written.sums

    def write(self, number: int, prediction: Prediction) -> None:
        """Write the prediction of one plane; `refresh` shows it."""
        position = self._planes.positions[number]
        cut = self._planes.cut
        if self._written is None:
            key = self._fill_key(cut, position)
            plane = np.asarray(self.labels.data[key])
            self._put_at(self.labels, key, np.where(plane == 0, prediction.labels, plane))
        elif self._stays(position):
            self.kept.add(position)
        else:
            self._put(self.labels, position, prediction.labels)
            self._remember(position, prediction.estimated_dice)
        self._note(prediction)
        self._write_extras(position, prediction)

    def refresh(self) -> None:
        """Show what was written since the last time."""
        for layer in self._dirty:
            layer.refresh()
        self._dirty.clear()

    def _stays(self, position: Position) -> bool:
        """Whether a person has painted a plane, before the run or meanwhile, that is not to be replaced."""
        assert self._written is not None
        return position not in self._replaceable and self._written.is_corrected(
            self.labels, position
        )

    def _fill_key(self, cut: Cut, position: Position) -> tuple[int | slice, ...]:
        return cut.key(position)[cut.ndim - self.labels.ndim :]

    def _remember(self, position: Position, estimated_dice: Mapping[int, float]) -> None:
        known = self._written
        assert known is not None
        known.sums[position] = _sum(self.labels.data[self._planes.cut.key(position)])
        known.estimates.pop(position, None)
        if estimated_dice:
            known.estimates[position] = min(estimated_dice.values())
        for noted in (known.touched, known.checked, self._replaceable):
            noted.discard(position)

    def _put(self, layer: Layer, position: Position, values: NDArray[Any]) -> None:
        self._put_at(layer, self._planes.cut.key(position), values)

    def _put_at(self, layer: Layer, key: Any, values: NDArray[Any]) -> None:
        layer.data[key] = values
        self._dirty.add(layer)

    def _note(self, prediction: Prediction) -> None:
        record = asdict(prediction.provenance)
        record |= {
            "image": self._image.name,
            "labels": {i: s.name for i, s in self._look.styles.items()},
        }
        self.labels.metadata[layers.PROVENANCE] = record

    def _write_extras(self, position: Position, prediction: Prediction) -> None:
        wanted = self._look.output.extras
        for extra, maps in (
            ("probability", prediction.probabilities),
            ("confidence", prediction.confidence),
        ):
            if extra in wanted:
                for label, values in maps.items():
                    title = {"probability": "probability of", "confidence": "confidence map of"}[
                        extra
                    ]
                    self._put(self._image_layer(f"{title} {self._name(label)}"), position, values)
        for extra, title, labels in (
            ("icl", "in-context model only", prediction.icl_labels),
            ("sam", "SAM only", prediction.sam_labels),
        ):
            if extra in wanted:
                self._put(self._labels_layer(title), position, labels)
        if "boxes" in wanted:
            self._add_boxes(position, prediction)

    def _name(self, label: int) -> str:
        style = self._look.styles.get(label)
        return style.name if style is not None and style.name else f"label {label}"

    def _image_layer(self, title: str) -> Image:
        return self._extra(
            title,
            Image,
            np.float32,
            contrast_limits=(0, 1),
            colormap="inferno",
            blending="additive",
        )

    def _labels_layer(self, title: str) -> Labels:
        return self._extra(title, Labels, self._look.dtype, colormap=self._look.colormap)

    def _extra(self, title: str, kind: type[Layer], dtype: Any, **options: Any) -> Any:
        name = f"{self._image.name} [ICL-SAM] {title}"
        layer = self._extras.get(title) or self._find(name, kind)
        if layer is None or layer not in self._results._viewer.layers:
            data = np.zeros(layers.shape(self._image, self._level), dtype)
            options = {k: v for k, v in options.items() if v is not None}
            layer = self._add(kind(data, name=name, **self._base(), **options))
        self._extras[title] = layer
        return layer

    def _add_boxes(self, position: Position, prediction: Prediction) -> None:
        cut, name = self._planes.cut, f"{self._image.name} [ICL-SAM] boxes"
        layer = self._extras.get("boxes")
        if layer is None or layer not in self._results._viewer.layers:
            layer = self._extras["boxes"] = self._find(name, Shapes)
            if layer is None:
                empty = Shapes(
                    ndim=cut.ndim, name=name, face_color="transparent", edge_width=1, **self._base()
                )
                layer = self._extras["boxes"] = self._add(empty)
        here = [n for n, box in enumerate(layer.data) if _lies_at(box, cut, position)]
        if here:
            layer.selected_data = set(here)
            layer.remove_selected()
        for label, boxes in prediction.boxes.items():
            corners = [_corners(box, cut, position) for box in boxes]
            if corners:
                style = self._look.styles.get(label)
                color = style.color if style is not None and style.color is not None else "yellow"
                layer.add(
                    corners, shape_type="rectangle", edge_color=[color] * len(corners), edge_width=1
                )
                layer.selected_data = set()

    def _base(self) -> dict[str, Any]:
        return {
            **layers.spatial(self._image, self._level),
            "metadata": {layers.PROVENANCE: {"image": self._image.name}},
        }

    def _find(self, name: str, kind: type[Layer]) -> Layer | None:
        size = layers.shape(self._image, self._level)
        for layer in self._results._viewer.layers:
            ours = layer.name == name and isinstance(layer, kind) and layers.is_result(layer)
            if ours and (kind is Shapes or layers.shape(layer) == size):
                return layer
        return None

    def _add(self, layer: Layer) -> Layer:
        """Add a layer just below the labels, which stay on top and active."""
        stack = self._results._viewer.layers
        place = stack.index(self.labels) if self.labels in stack else len(stack)
        active = stack.selection.active
        with _tools_later(layer):
            stack.insert(place, layer)
        stack.selection.active = active
        return layer


@contextmanager
def _tools_later(layer: Layer) -> Iterator[None]:
    """Add a layer without what its tools draw (the lines of polygon and brush); that follows piece by piece.

    Making everything in one go stops the window for more than a tenth of a second.
    """
    visible = [overlay for overlay in getattr(layer, "_overlays", {}).values() if overlay.visible]
    for overlay in visible:
        overlay.visible = False
    try:
        yield
    finally:
        for turn, overlay in enumerate(visible, start=1):
            QTimer.singleShot(20 * turn, partial(setattr, overlay, "visible", True))


def _sum(plane: Any) -> int:
    return zlib.crc32(np.ascontiguousarray(plane).data)


def _corners(box: NDArray[np.int64], cut: Cut, position: Position) -> NDArray[np.float64]:
    """Return the corners of a box in the coordinates of an array, around its pixels."""
    x0, y0, x1, y1 = box.tolist()
    corners = np.zeros((4, cut.ndim))
    corners[:, list(cut.others)] = position
    corners[:, cut.rows] = [y0 - 0.5, y0 - 0.5, y1 + 0.5, y1 + 0.5]
    corners[:, cut.columns] = [x0 - 0.5, x1 + 0.5, x1 + 0.5, x0 - 0.5]
    return corners


def _lies_at(box: NDArray[Any], cut: Cut, position: Position) -> bool:
    return bool(np.all(np.asarray(box)[:, list(cut.others)] == np.array(position)))
