"""Leads from image to image of a series, and opens files when their turn comes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Layer
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog

from napari_iclsam._qt.background.image_file import OpenedImage, open_image_steps
from napari_iclsam._qt.background.runner import Runner
from napari_iclsam._qt.forms.series_form import SeriesForm
from napari_iclsam._qt.review.image_series import Entry, ImageSeries, SeriesFile
from napari_iclsam._qt.review.series_view import SeriesView
from napari_iclsam._qt.viewer import layers
from napari_iclsam.commands.found_images import find_images
from napari_iclsam.files import labels_beside


class SeriesControl(QObject):
    """The state of the series' list.

    Parameters
    ----------
    viewer : ViewerModel
    series : ImageSeries
    view : SeriesView
    form : SeriesForm

    Attributes
    ----------
    shown : Signal(object)
        An image came on view.
    failed : Signal(object)
        A folder or file could not be opened.
    opener : Runner
    """

    shown = Signal(object)
    failed = Signal(object)

    def __init__(
        self, viewer: ViewerModel, series: ImageSeries, view: SeriesView, form: SeriesForm
    ) -> None:
        super().__init__(form)
        self.opener = Runner(self)
        self._opening: SeriesFile | None = None
        self._viewer = viewer
        self._series = series
        self._view = view
        self._form = form
        form.step_requested.connect(self._on_step_requested)
        form.picked.connect(self._on_picked)
        form.paint_requested.connect(self._on_paint_requested)
        form.folder_requested.connect(self._on_folder_requested)
        self.opener.returned.connect(self._on_opened)
        self.opener.failed.connect(self._on_not_opened)

    def update(self) -> None:
        """Show the images and their states as they are now."""
        self._view.hide_new()
        entries = self._series.entries
        shown = self._series.shown
        number = entries.index(shown) if shown in entries else None
        self._form.show_rows(self._series.rows(), number)

    def show(self, entry: Entry) -> None:
        """Show an image; a file is opened first."""
        if isinstance(entry, SeriesFile):
            self._opening = entry
            self._form.show_opening(entry.image.name)
            self.opener.start(partial(open_image_steps, entry.image, entry.labels))
            return
        self._view.show(entry)
        self.shown.emit(entry)
        self.update()

    def add_folder(self, folder: Path) -> None:
        """List the images of a folder, each with its labels if they lie beside it."""
        try:
            found = find_images([folder]).paths
        except OSError as error:
            self.failed.emit(error)
            return
        labels = labels_beside(found)
        images = [path for path in found if path not in labels.values()]
        self._series.add_files([SeriesFile(image, labels.get(image)) for image in images])
        self.update()

    def close(self) -> None:
        """Stop opening files."""
        self.opener.close()

    def _on_step_requested(self, step: int) -> None:
        entry = self._series.beside(step)
        if entry is not None:
            self.show(entry)

    def _on_picked(self, number: int) -> None:
        self.show(self._series.entries[number])

    def _on_paint_requested(self) -> None:
        """Add empty labels to the image on view, ready for the brush."""
        image = self._series.shown
        if not isinstance(image, Layer):
            return
        level = layers.level_of(image, None)
        labels = Labels(
            np.zeros(layers.shape(image, level), np.int32),
            name=f"{image.name} labels",
            **layers.spatial(image, level),
        )
        self._viewer.add_layer(labels)
        labels.mode = "paint"

    def _on_folder_requested(self) -> None:
        folder = QFileDialog.getExistingDirectory(self._form, "Add a folder of images")
        if folder:
            self.add_folder(Path(folder))

    def _on_not_opened(self, error: Exception) -> None:
        assert self._opening is not None
        self._series.note_unreadable(self._opening, str(error))
        self.update()
        self.failed.emit(error)

    def _on_opened(self, opened: OpenedImage) -> None:
        assert self._opening is not None
        image = self._viewer.add_image(opened.array, name=opened.name, rgb=opened.is_color or None)
        if opened.labels is not None:
            self._viewer.add_labels(opened.labels, name=f"{image.name} labels")
        self._series.note_opened(self._opening, image)
        self.show(image)
