"""What the models see of an example: a window with two pictures."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QGridLayout, QLabel, QWidget

from napari_iclsam._qt.background.model_input import ModelInput, model_input_steps
from napari_iclsam._qt.background.runner import Runner
from napari_iclsam._qt.thumbnails import pixmap
from napari_iclsam._qt.viewer.example import Example
from napari_iclsam._qt.viewer.label_styles import rgb_of
from napari_iclsam._qt.viewer.layers import in_words
from napari_iclsam.core.images.overlay import overlay
from napari_iclsam.core.settings import Settings

_SIDE = 300
"""Of a picture, in pixels."""


class ModelInputDialog(QDialog):
    """A window that shows an example twice: as SAM gets it, and as the in-context model does."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("What the model sees")
        self._example: Example | None = None
        self._reader = Runner(self)
        self._reader.returned.connect(self._on_read)
        self.title = QLabel()
        self.sam = _picture()
        self.icl = _picture()
        self.sam_text = QLabel(wordWrap=True)
        self.icl_text = QLabel(wordWrap=True)
        layout = QGridLayout(self)
        layout.addWidget(self.title, 0, 0, 1, 2)
        layout.addWidget(self.sam, 1, 0)
        layout.addWidget(self.icl, 1, 1)
        layout.addWidget(self.sam_text, 2, 0)
        layout.addWidget(self.icl_text, 2, 1)

    def show_example(self, example: Example, icl: str, settings: Settings) -> None:
        """Show an example as it is given to the models; see `model_input_steps`."""
        self._example = example
        self.title.setText(example.title())
        self._reader.start(partial(model_input_steps, example.pair(), icl, settings))
        self.show()
        # it may be open already, behind the window
        self.raise_()

    def close_down(self) -> None:
        """Stop reading."""
        self._reader.close()
        self.close()

    def _on_read(self, given: ModelInput) -> None:
        assert self._example is not None
        colors = rgb_of(given.ids, self._example.styles(given.ids))
        self.sam.setPixmap(pixmap(overlay(given.rgb, given.labels, colors), _SIDE))
        # not smoothed below: the pixels of the model are what matters
        small = overlay(given.small, given.small_labels, colors)
        self.icl.setPixmap(pixmap(small, _SIDE, smooth=False))
        self.sam_text.setText(
            f"SAM: 8-bit color, {in_words(given.labels.shape)}, padded to a square."
        )
        channels = "grey" if given.is_grey else "color"
        self.icl_text.setText(
            f"In-context model: {channels}, {in_words(given.small_labels.shape)}. Objects thinner "
            "than a pixel here are lost to it. By the automatic method, crops around small objects "
            "are segmented again at a finer resolution."
        )
        # the texts may take other heights now
        self.adjustSize()


def _picture() -> QLabel:
    label = QLabel()
    label.setFixedSize(_SIDE, _SIDE)
    label.setAlignment(Qt.AlignmentFlag.AlignCenter)
    return label
