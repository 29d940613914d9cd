"""The 2D images of a viewer as a series, and files of a folder that are not opened yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from napari.components import ViewerModel
from napari.layers import Layer

from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.example import LayerExample
from napari_iclsam._qt.viewer.results import Results


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """What is shown of an image of the series.

    Attributes
    ----------
    name : str
    state : str
        "not opened", "example", "done", "corrected", "failed", or empty.
    estimate : float, optional
        Estimated Dice of its worst label.
    reason : str
        Why it failed.
    is_closed : bool
        Whether it is a file that is not opened.
    """

    name: str
    state: str
    estimate: float | None = None
    reason: str = ""
    is_closed: bool = False


@dataclass(frozen=True, slots=True)
class SeriesFile:
    """An image file that is not opened yet.

    Attributes
    ----------
    image : Path
    labels : Path, optional
        The file of its labels, if one lies beside it.
    """

    image: Path
    labels: Path | None = None


Entry: TypeAlias = "Layer | SeriesFile"
"""An image of the series."""


class ImageSeries:
    """The 2D images of a viewer, in the order in which they were opened or listed.

    Parameters
    ----------
    viewer : ViewerModel
    results : Results
    examples : callable
        Returns the examples that are slices of layers.

    Attributes
    ----------
    shown : Entry, optional
        The image on view, as far as it was chosen here.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        results: Results,
        examples: Callable[[], Sequence[LayerExample]],
    ) -> None:
        self._viewer = viewer
        self._results = results
        self._examples = examples
        self._entries: list[Entry] = []
        self._unreadable: dict[SeriesFile, str] = {}
        self._opened: dict[Path, Layer] = {}
        self.shown: Entry | None = None

    @property
    def entries(self) -> list[Entry]:
        """The images, as far as they are still there."""
        opened = [image for image in layers.images_in(self._viewer)[::-1] if image.ndim == 2]
        kept = [each for each in self._entries if isinstance(each, SeriesFile) or each in opened]
        self._entries = kept + [image for image in opened if image not in kept]
        return list(self._entries)

    @property
    def images(self) -> list[Layer]:
        """Those that are opened."""
        return [entry for entry in self.entries if not isinstance(entry, SeriesFile)]

    @property
    def examples(self) -> Sequence[LayerExample]:
        """The examples that are slices of layers."""
        return self._examples()

    def add_files(self, files: Sequence[SeriesFile]) -> None:
        """List files, which are opened when they are shown; those that are listed stay."""
        entries = self.entries
        listed = {entry.image for entry in entries if isinstance(entry, SeriesFile)}
        for path, image in self._opened.items():
            # one whose layer was deleted can be opened again
            if image in entries:
                listed.add(path)
        self._entries = entries + [file for file in files if file.image not in listed]

    def note_opened(self, file: SeriesFile, image: Layer) -> None:
        """Put a layer in the place of the file that it was opened from."""
        entries = [entry for entry in self.entries if entry is not image]
        entries[entries.index(file)] = image
        self._entries = entries
        self._opened[file.image] = image

    def note_unreadable(self, file: SeriesFile, reason: str) -> None:
        """Note that a file cannot be opened; the way leads past it."""
        self._unreadable[file] = reason
        self.shown = file

    def beside(self, step: int) -> Entry | None:
        """Return the image so many places after the one on view; None beyond the ends."""
        entries = self.entries
        if self.shown not in entries:
            return entries[0] if entries else None
        place = entries.index(self.shown) + step
        return entries[place] if 0 <= place < len(entries) else None

    def rows(self) -> list[SeriesRow]:
        """Return what is shown of each image."""
        examples = {example.image for example in self._examples()}
        return [self._row(entry, entry in examples) for entry in self.entries]

    def _row(self, entry: Entry, is_example: bool) -> SeriesRow:
        if isinstance(entry, SeriesFile):
            why = self._unreadable.get(entry, "")
            state = "failed" if why else "not opened"
            return SeriesRow(entry.image.name, state, reason=why, is_closed=True)
        reason = self._results.failures.get(entry)
        if reason is not None:
            return SeriesRow(entry.name, "failed", reason=reason)
        results = self._results.of_image(entry)
        if not results:
            return SeriesRow(entry.name, "example" if is_example else "")
        newest = results[-1]
        record = self._results.record(newest)
        assert record is not None
        state = "corrected" if record.corrected(newest) else "done"
        return SeriesRow(entry.name, state, record.estimates.get(()))
