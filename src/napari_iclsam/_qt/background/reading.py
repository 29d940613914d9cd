"""What the reader does in its worker: finds labelled planes, makes thumbnails, opens files. Knows no widgets."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam._qt.run.request import Pair
from napari_iclsam._qt.thumbnails import Picture, picture
from napari_iclsam._qt.viewer.slice_stacks import Cut, Position, scan_steps
from napari_iclsam.core.images.intensity import as_rgb8, unit_channels
from napari_iclsam.core.images.planes import ArrayLike, is_rgb
from napari_iclsam.core.recipe import resolve
from napari_iclsam.core.settings import Settings

if TYPE_CHECKING:
    from napari_iclsam.core.task_file import SavedTask

TASK_SUFFIX = ".iclsam"

_LABEL_WORDS = ("label", "mask", "seg", "truth", "gt", "annotation")


@dataclass(frozen=True, slots=True, eq=False)
class Scanned:
    """Labelled planes by cut, of several arrays by number."""

    found: Mapping[int, Mapping[Cut, list[Position]]]


@dataclass(frozen=True, slots=True, eq=False)
class Pictured:
    """Small pictures of pairs by key."""

    pictures: Mapping[Any, Picture]


@dataclass(frozen=True, slots=True, eq=False)
class FilePair:
    """Image and labels that came from files."""

    name: str
    image: NDArray[Any]
    labels: NDArray[Any]


def scan_all_steps(arrays: Mapping[int, ArrayLike]) -> Generator[None, None, Scanned]:
    """Find the labelled planes of several arrays of labels."""
    found = {}
    for number, array in arrays.items():
        found[number] = yield from scan_steps(array)
    return Scanned(found)


def picture_steps(pairs: Mapping[Any, Pair]) -> Generator[None, None, Pictured]:
    """Make small pictures of pairs."""
    pictures = {}
    for key, pair in pairs.items():
        yield
        image, labels = arrays_of(pair)
        if image.shape[:2] == labels.shape:
            pictures[key] = picture(image, labels)
    return Pictured(pictures)


def open_task_steps(path: str) -> Generator[None, None, SavedTask]:
    """Read a task file.

    Raises
    ------
    ValueError, OSError
        See `read_task`.
    """
    yield
    from napari_iclsam.core.task_file import read_task

    return read_task(path)


def save_task_steps(saved: Any, path: str) -> Generator[None, None, str]:
    """Write a task file: ``saved`` is called in the worker and returns what to save."""
    yield
    from napari_iclsam.core.task_file import write_task

    write_task(saved(), path)
    return path


def open_pairs_steps(paths: Sequence[str]) -> Generator[None, None, tuple[FilePair, ...]]:
    """Read image files and pair each image with its labels.

    Raises
    ------
    ValueError
        If they are not pairs of 2D images and labels; the message says what came.
    """
    arrays = {}
    for path in paths:
        yield
        arrays[path] = _read_image(path)
    labels = [p for p in paths if any(word in Path(p).stem.lower() for word in _LABEL_WORDS)]
    images = [p for p in paths if p not in labels]
    if len(labels) != len(images) or not images:
        names = ", ".join(Path(p).name for p in paths)
        raise ValueError(
            "Drop as many label images as images, the labels with 'label', 'mask' or 'seg' in their names "
            f"(cell1.png and cell1_labels.png); got {len(images)} images and {len(labels)} label images: {names}."
        )
    pairs = zip(sorted(images), sorted(labels), strict=True)
    return tuple(FilePair(Path(i).name, arrays[i], _as_labels(arrays[m], m)) for i, m in pairs)


def _read_image(path: str) -> NDArray[Any]:
    if Path(path).suffix.lower() in (".tif", ".tiff"):
        import tifffile

        array = np.asarray(tifffile.imread(path))
    else:
        import imageio.v3 as iio

        array = np.asarray(iio.imread(path))
    if array.ndim == 2 or (array.ndim == 3 and is_rgb(array.shape)):
        return array
    raise ValueError(
        f"{Path(path).name} is not one picture: it has the size {array.shape}. Open stacks as layers instead."
    )


def _as_labels(array: NDArray[Any], path: str) -> NDArray[Any]:
    plane = array[..., 0] if array.ndim == 3 else array
    if not (np.issubdtype(plane.dtype, np.integer) or plane.dtype == bool):
        raise ValueError(
            f"{Path(path).name} holds no labels: they must be whole numbers; got {plane.dtype}."
        )
    return plane.astype(np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """An example as the models see it.

    Attributes
    ----------
    rgb : ndarray, (H, W, 3), uint8
    labels : ndarray, (H, W)
    small : ndarray, (s, s, 3), uint8
        Colors or grey values of the in-context model.
    small_labels : ndarray, (s, s)
    ids : tuple of int
    is_grey : bool
        Whether the in-context model sees no colors.
    """

    rgb: NDArray[np.uint8]
    labels: NDArray[Any]
    small: NDArray[np.uint8]
    small_labels: NDArray[Any]
    ids: tuple[int, ...]
    is_grey: bool


def seen_steps(pair: Pair, icl: str, settings: Settings) -> Generator[None, None, Seen]:
    """Show an example as the models see it, if it is the only one.

    Parameters
    ----------
    pair : Pair
    icl : str
        Name or path of the in-context model.
    settings : Settings
    """
    yield
    import torch

    from napari_iclsam.core.images.geometry import resize_mask
    from napari_iclsam.core.in_context.coarse_to_fine import full_image_side
    from napari_iclsam.core.in_context.runner import in_context_input
    from napari_iclsam.models.build import icl_class

    image, labels = arrays_of(pair)
    rgb, network = as_rgb8(image), icl_class(icl)
    ids = tuple(int(i) for i in np.unique(labels) if i)
    recipe = resolve(settings)
    side = full_image_side(
        network.image_sizes, [[labels == i] for i in ids] or [[labels > 0]], recipe
    )
    channels = torch.from_numpy(unit_channels(rgb, network.image_channels, settings.channel))
    small = in_context_input(channels, side, antialias=recipe.antialias, rescale=True)[0]
    small = (255 * small).byte().expand(3, -1, -1).permute(1, 2, 0)
    small_labels = resize_mask(labels, (side, side))[0, 0].numpy().astype(labels.dtype)
    return Seen(rgb, labels, small.numpy(), small_labels, ids, network.image_channels == 1)


def arrays_of(pair: Pair) -> tuple[NDArray[Any], NDArray[Any]]:
    """Read the image and the labels of a pair."""
    image = pair.image if isinstance(pair.image, np.ndarray) else pair.image[0]
    labels = pair.labels if isinstance(pair.labels, np.ndarray) else pair.labels[0]
    return image, labels
