"""What the models see of an example: a window with two pictures."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QGridLayout, QLabel, QWidget

from napari_iclsam._qt.background.reading import Seen, seen_steps
from napari_iclsam._qt.background.runner import Runner
from napari_iclsam._qt.thumbnails import overlay, pixmap
from napari_iclsam._qt.viewer.example import Example
from napari_iclsam._qt.viewer.layers import in_words
from napari_iclsam.core.settings import Settings

_SIDE = 300


class Preview(QDialog):
    """A window that shows an example twice: as SAM sees it, and as the in-context model does."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("What the model sees")
        self._example: Example | None = None
        self._reader = Runner(self)
        self._reader.returned.connect(self._on_seen)
        self.title = QLabel()
        self.sam, self.icl = QLabel(), QLabel()
        self.sam_text, self.icl_text = QLabel(wordWrap=True), QLabel(wordWrap=True)
        layout = QGridLayout(self)
        layout.addWidget(self.title, 0, 0, 1, 2)
        for column, (picture, text) in enumerate(
            ((self.sam, self.sam_text), (self.icl, self.icl_text))
        ):
            picture.setFixedSize(_SIDE, _SIDE)
            picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
            layout.addWidget(picture, 1, column)
            layout.addWidget(text, 2, column)

    def show_example(self, example: Example, icl: str, settings: Settings) -> None:
        """Show an example as a model sees it; see `seen_steps`."""
        self._example = example
        self.title.setText(example.title())
        self._reader.start(partial(seen_steps, example.pair(), icl, settings))
        self.show()
        self.raise_()

    def close_down(self) -> None:
        """Stop reading."""
        self._reader.close()
        self.close()

    def _on_seen(self, seen: Seen) -> None:
        assert self._example is not None
        styles = dict(self._example.styles(seen.ids))
        self.sam.setPixmap(pixmap(overlay(seen.rgb, seen.labels, styles), _SIDE))
        self.icl.setPixmap(
            pixmap(overlay(seen.small, seen.small_labels, styles), _SIDE, smooth=False)
        )
        self.sam_text.setText(
            f"SAM: 8-bit color, {in_words(seen.labels.shape)}, padded to a square."
        )
        self.icl_text.setText(
            f"In-context model: {'grey' if seen.is_grey else 'color'}, {in_words(seen.small_labels.shape)}. "
            "Objects thinner than a pixel here are lost to it. In auto mode it looks at small ones again, closer."
        )
        self.adjustSize()  # for the lines of text
