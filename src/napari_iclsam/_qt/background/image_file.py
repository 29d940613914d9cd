"""One image file and its labels, read in a worker as the command line reads them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_iclsam.files import ImageFile, read_image, read_pair, stem


@dataclass(frozen=True, slots=True, eq=False)
class OpenedImage:
    """An image of a series.

    Attributes
    ----------
    name : str
    array : ndarray, (H, W) or (H, W, 3 or 4)
    is_color : bool
    labels : ndarray, (H, W), integers, optional
    """

    name: str
    array: NDArray[Any]
    is_color: bool
    labels: NDArray[Any] | None


def open_image_steps(path: Path, labels: Path | None) -> Generator[None, None, OpenedImage]:
    """Read an image file, and its labels if there are any.

    Raises
    ------
    OSError, ValueError
        See `read_image` and `read_pair`; also if it is a stack.
    """
    yield
    if labels is None:
        return _opened(read_image(path), None)
    pair = read_pair(path, labels)
    return _opened(pair.image, pair.labels.array)


def _opened(file: ImageFile, labels: NDArray[Any] | None) -> OpenedImage:
    if file.is_stack:
        raise ValueError(f"{file.path.name} is a stack: open it as a layer of its own.")
    return OpenedImage(stem(file.path), file.array, file.color, labels)
