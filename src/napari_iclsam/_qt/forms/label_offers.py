"""Offers to make labels of what the viewer holds, and to read them as they are meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from napari.components import ViewerModel
from napari.layers import Labels, Layer
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QWidget

from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.example import Example
from napari_iclsam._qt.viewer.label_layers import convert_to_labels, join_labels, masks_among
from napari_iclsam._qt.viewer.single_axes import extra_axes, without_axes
from napari_iclsam._qt.viewer.turned_labels import turn_between, turned_onto
from napari_iclsam.files.label_sets import VOID, LabelReading, LabelSet


class LabelOffers(QPushButton):
    """A button, where there is something to offer.

    Attributes
    ----------
    made : Signal(object)
        Labels that were made of other layers, and are in the viewer.
    reread : Signal(object)
        Examples whose labels are now read in another way.
    sentence : str
        Why; empty where nothing is offered, or where it is said elsewhere.
    """

    made = Signal(object)
    reread = Signal(object)

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._act: Callable[[], None] | None = None
        self.sentence = ""
        self.clicked.connect(self._on_clicked)
        self.setVisible(False)

    def show_layers(self, image: Layer | None, labels: Layer | None) -> None:
        """Offer to lay labels onto their image, or to convert images that look like labels."""
        self._withdraw()
        turn = turn_between(image, labels)
        if image is not None and labels is not None and turn is not None:
            turned = turned_onto(image, labels, turn)
            self._offer("", "Turn labels", lambda: self._put([labels], turned))
            return
        extra = extra_axes(image, labels)
        if labels is not None and extra:
            flat = without_axes(labels, extra)
            self._offer("", "Drop axis of size one", lambda: self._put([labels], flat))
            return
        masks = masks_among(layers.images_in(self._viewer))
        if masks:
            what = "look like labels" if len(masks) > 1 else "looks like labels"
            how = "images" if len(masks) > 1 else "an image"
            sentence = f"{_listed(masks)} {what}, opened as {how}."
            self._offer(sentence, "Convert to labels", lambda: self._convert(masks))

    def show_parts(self, parts: Sequence[Layer], used: Layer | None) -> None:
        """Offer to join labels of one object each, if there are several."""
        self._withdraw()
        if len(parts) > 1 and used is not None:
            sentence = f"{_listed(parts)} hold one object each; only '{used.name}' is used."
            self._offer(sentence, f"Join {len(parts)} layers", lambda: self._join(parts))

    def show_readings(self, examples: Sequence[Example], found: LabelSet) -> bool:
        """Offer to read labels in another way, or as they are; return whether there is a reason.

        Parameters
        ----------
        examples : sequence of Example
        found : LabelSet
            What was noticed about their labels.
        """
        self._withdraw()
        if found.has_void:
            # what is odd about the labels is said by the notes
            self._offer_reading("", f"Ignore {VOID}", examples, _ignoring)
        elif found.has_instances:
            self._offer_reading("", "One class", examples, _as_one_class)
        elif any(each.reading.one_class for each in examples):
            sentence = "All numbers of the labels are taken for one class."
            self._offer_reading(sentence, "Each number its own class", examples, _as_numbered)
        elif any(each.reading.ignored for each in examples):
            sentence = f"{VOID} is ignored: neither an object nor background."
            self._offer_reading(sentence, f"Take {VOID} for an object", examples, _ignoring_nothing)
        return self._act is not None

    def _withdraw(self) -> None:
        self._offer("", "", None)

    def _offer(self, sentence: str, action: str, act: Callable[[], None] | None) -> None:
        self.sentence = sentence
        self.setText(action)
        self._act = act
        self.setVisible(act is not None)

    def _offer_reading(
        self,
        sentence: str,
        action: str,
        examples: Sequence[Example],
        change: Callable[[LabelReading], LabelReading],
    ) -> None:
        self._offer(sentence, action, lambda: self._reread(examples, change))

    def _on_clicked(self) -> None:
        if self._act is not None:
            self._act()

    def _convert(self, masks: Sequence[Layer]) -> None:
        for mask in masks:
            try:
                convert_to_labels(self._viewer, mask)
            except ValueError as error:
                show_error(str(error))

    def _join(self, parts: Sequence[Layer]) -> None:
        joined = join_labels(parts)
        if joined.overlap:
            show_info(
                f"{joined.overlap} pixels lie in two objects; each belongs to the upper layer's."
            )
        self._put(parts, joined.layer)

    def _put(self, originals: Sequence[Layer], labels: Labels) -> None:
        """Show labels in the place of the layers that they were made of."""
        for original in originals:
            original.visible = False
        self._viewer.add_layer(labels)
        self.made.emit(labels)

    def _reread(
        self, examples: Sequence[Example], change: Callable[[LabelReading], LabelReading]
    ) -> None:
        self.reread.emit([each.read_as(change(each.reading)) for each in examples])


def _ignoring(reading: LabelReading) -> LabelReading:
    return replace(reading, ignored=(VOID,))


def _ignoring_nothing(reading: LabelReading) -> LabelReading:
    return replace(reading, ignored=())


def _as_one_class(reading: LabelReading) -> LabelReading:
    return replace(reading, one_class=True)


def _as_numbered(reading: LabelReading) -> LabelReading:
    return replace(reading, one_class=False)


def _listed(several: Sequence[Layer]) -> str:
    """Return the names of layers, the first few of many."""
    names = [f"'{layer.name}'" for layer in several[:3]]
    if len(several) > len(names):
        names.append(f"{len(several) - len(names)} more")
    if len(names) == 1:
        return names[0]
    return f"{', '.join(names[:-1])} and {names[-1]}"
