"""Image files read as images, as labels, and as pairs, for command line and window."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.crops import PixelSlices
from napari_iclsam.files.label_patch import patch_of
from napari_iclsam.files.label_values import as_labels
from napari_iclsam.files.level_choice import check_same_place, level_of_size, levels_for_labels
from napari_iclsam.files.names import FOLDER_KINDS, Kind, kind_of, suffix
from napari_iclsam.files.ome_files import is_one_of_several
from napari_iclsam.files.omezarr import labels_group
from napari_iclsam.files.orientation import on_grid_of
from napari_iclsam.files.part import WHOLE, Part
from napari_iclsam.files.readers import reader_of
from napari_iclsam.files.space import ImageFile
from napari_iclsam.files.upright import swaps_sides, to_upright

Read = TypeVar("Read")

_DAMAGE = (
    OSError, ValueError, EOFError, SyntaxError, KeyError, IndexError, TypeError, struct.error,
    zlib.error
)  # fmt: skip
"""What the libraries raise at files that are damaged or not what their suffix says."""

_CALLED = {
    "tiff": "TIFF",
    "nifti": "NIfTI",
    "picture": "PNG or JPEG",
    "omezarr": "OME-Zarr",
    "dicom": "DICOM",
    "nrrd": "NRRD",
    "metaimage": "MetaImage",
    "microscope": "a file of a microscope",
}

READ_KINDS = "TIFF, PNG, JPEG, NIfTI, OME-Zarr, DICOM, NRRD, MHA or a microscope's format (CZI ...)"
"""What is read, in words."""


@dataclass(frozen=True, slots=True, eq=False)
class FilePair:
    """An image file and its labels, of the same size and in the same place."""

    image: ImageFile
    labels: ImageFile

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of both, each with the file that it is about."""
        said = []
        for file in (self.image, self.labels):
            said += [f"{file.path.name}: {note}" for note in file.notes]
        return tuple(said)


def read_image(path: Path, part: Part = WHOLE, *, in_memory: bool = True) -> ImageFile:
    """Read a plane or a stack, grey or color.

    Parameters
    ----------
    path : Path
    part : Part
        What is meant of a file that holds several channels, resolutions or series.
    in_memory : bool
        Read all of it now. Else a stack of an OME-Zarr, and a large plane of an OME-Zarr or TIFF,
        stay on disk: the array is one whose parts are read when they are needed.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
    ValueError
        It is not an image of a kind that is read, is damaged, has several channels and none was
        named, or has more than three axes beside the colors.
    """
    return _read(path, for_labels=False, part=part, in_memory=in_memory)


def read_labels(path: Path) -> ImageFile:
    """Read a plane or a stack of labels, as integers.

    What the numbers of masks as people have them mean is told by `as_labels`.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
    ValueError
        As `read_image`, and as `as_labels`.
    """
    return as_labels(_read(path, for_labels=True))


def read_pair(
    image_path: Path,
    labels_path: Path,
    part: Part = WHOLE,
    *,
    ignore_affine: bool = False,
    in_memory: bool = True,
    box: PixelSlices | None = None,
) -> FilePair:
    """Read an image and its labels; the pair tells what neither file tells alone.

    Stacks of three or four planes that were saved as colors are stacks again; NIfTI labels are
    turned onto the grid of their image; labels drawn on a photograph as it is stored are turned
    upright with it.

    Parameters
    ----------
    image_path, labels_path : Path
    part : Part
        Of the image. Of an OME-Zarr a level that has the size of the labels is read.
    ignore_affine : bool
        Take labels pixel by pixel, wherever they say that they lie.
    in_memory : bool
        Of the image, as in `read_image`. Labels are always read.
    box : tuple of slice, optional
        Rows and columns outside of which labels are not needed: of a large plane on disk, the
        labels are then a `LabelPatch`.

    Raises
    ------
    OSError, ValueError
        As `read_image` and `read_labels`; also if the sizes differ, or both lie on different grids.
    """
    image, labels = _both(image_path, labels_path, part, in_memory=in_memory, box=box)
    if box is not None and _are_on_disk(image, labels):
        if not ignore_affine:
            _check_place(image, labels)
        return FilePair(image, patch_of(labels, box))
    labels = replace(labels, array=np.asarray(labels.array))
    # Before the labels are understood, which would take slices for colors.
    image, labels = _both_as_stack(image, labels)
    labels = as_labels(labels)
    if not ignore_affine:
        _check_place(image, labels)
        labels = replace(labels, array=on_grid_of(labels, image))
    # After that their sizes must agree: nothing else explains a difference.
    labels = _as_drawn(labels, image)
    if image.shape != labels.shape:
        raise ValueError(_sizes_differ(image, labels))
    return FilePair(image, labels)


def _are_on_disk(image: ImageFile, labels: ImageFile) -> bool:
    """Tell whether both are planes of one size that stay on disk."""
    stay = not any(isinstance(file.array, np.ndarray) for file in (image, labels))
    is_plane = len(labels.shape) == 2 and not labels.color
    return stay and is_plane and image.shape == labels.shape


def as_stack(image: ImageFile) -> ImageFile:
    """Return the planes of a file that was taken for colors as a stack (S, H, W)."""
    space = image.space
    # The file knows no distance of what it took for colors.
    spacing = (None, *space.spacing) if space.spacing else ()
    stack = np.moveaxis(image.array, -1, 0)
    note = f"{stack.shape[0]} slices that were saved as colors are taken as slices."
    return replace(
        image,
        array=stack,
        color=False,
        space=replace(space, axes=f"Z{space.axes}", spacing=spacing),
        notes=(*image.notes, note),
    )


def _both(
    image_path: Path, labels_path: Path, part: Part, *, in_memory: bool, box: PixelSlices | None
) -> tuple[ImageFile, ImageFile]:
    """Read an image and its labels, of an OME-Zarr the levels that fit each other."""
    all_labels = box is None
    multiscale = [kind_of(path) == "omezarr" for path in (image_path, labels_path)]
    labels_part = WHOLE
    if all(multiscale):
        # What the metadata say is checked as if it were read.
        part, labels_part = _said_of(
            image_path, "omezarr", lambda: levels_for_labels(image_path, labels_path, part)
        )
    elif multiscale[0]:
        labels = _read(labels_path, for_labels=True, in_memory=all_labels)
        part = _of_size(image_path, part, labels.shape)
        return read_image(image_path, part, in_memory=in_memory), labels
    image = read_image(image_path, part, in_memory=in_memory) if multiscale[1] else None
    if image is not None and not multiscale[0]:
        labels_part = _of_size(labels_group(labels_path), WHOLE, image.shape)
    labels = _read(labels_path, for_labels=True, part=labels_part, in_memory=all_labels)
    return image or _labelled_part(image_path, labels, part, in_memory=in_memory), labels


def _labelled_part(path: Path, labels: ImageFile, part: Part, *, in_memory: bool) -> ImageFile:
    """Read an image; of an OME-TIFF of several files the one that is labelled, if it is one."""
    if kind_of(path) == "tiff" and path.is_file() and is_one_of_several(path):
        own = read_image(path, replace(part, own_planes=True))
        if own.shape == labels.shape:
            return own
    return read_image(path, part, in_memory=in_memory)


def _of_size(group: Path, part: Part, shape: tuple[int, ...]) -> Part:
    """Return a part of the level that has a size, unless one was named or none has."""
    if part.level is not None:
        return part
    return replace(part, level=_said_of(group, "omezarr", lambda: level_of_size(group, shape)))


def _check_place(image: ImageFile, labels: ImageFile) -> None:
    ours = image.space.omezarr
    theirs = labels.space.omezarr
    if ours is None or theirs is None:
        return
    try:
        check_same_place(ours.image, ours.level, theirs.image, theirs.level)
    except ValueError as error:
        raise ValueError(f"{image.path} and {labels.path}: {error}.") from error


def _read(path: Path, *, for_labels: bool, part: Part = WHOLE, in_memory: bool = True) -> ImageFile:
    kind = _checked_kind(path)
    read = reader_of(kind, path, part, for_labels=for_labels, in_memory=in_memory)
    file = _said_of(path, kind, read)
    if len(file.shape) not in (2, 3):
        raise ValueError(
            f"{path} has {len(file.shape)} axes of size {file.shape}; an image has 2, a stack 3. "
            "Save the channel and the time point that you mean as a file of its own."
        )
    if 0 in file.array.shape:
        raise ValueError(f"{path} is empty: its size is {file.array.shape}.")
    return file


def _said_of(path: Path, kind: Kind, read: Callable[[], Read]) -> Read:
    """Read something, and name the file in what is wrong with it."""
    try:
        return read()
    # It is an OSError, too, but says nothing of the file's content.
    except PermissionError:
        raise
    except _DAMAGE as error:
        # Some libraries end their messages with a full stop, others do not.
        message = f"{path} cannot be read as {_CALLED[kind]}: {error}.".replace("..", ".")
        raise ValueError(message) from error


def _checked_kind(path: Path) -> Kind:
    kind = kind_of(path)
    # A name that is wrong is said first: its suffix would be beside the point.
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    if path.is_dir() and kind not in FOLDER_KINDS:
        raise IsADirectoryError(f"{path} is a folder; name an image file.")
    if kind is None:
        what = suffix(path) or "without suffix"
        raise ValueError(f"{path}: the kind {what} is not read; give {READ_KINDS}.")
    if path.is_file() and not path.stat().st_size:
        raise ValueError(f"{path} is an empty file.")
    return kind


def _both_as_stack(image: ImageFile, labels: ImageFile) -> tuple[ImageFile, ImageFile]:
    """Make slices of colors where the other file of the pair shows that they are slices."""
    both_planar = image.storage.planar and labels.storage.planar
    # Labels alike in all colors are one plane that was saved as a grey picture.
    if both_planar and image.array.shape == labels.array.shape:
        if not _is_grey(labels.array):
            return as_stack(image), as_stack(labels)
        note = "Its colors are alike: taken as one plane. Save slices with photometric=minisblack."
        return image, replace(labels, notes=(*labels.notes, note))
    if _are_slices_of(image, labels):
        return as_stack(image), labels
    if _are_slices_of(labels, image):
        return image, as_stack(labels)
    return image, labels


def _are_slices_of(file: ImageFile, stack: ImageFile) -> bool:
    """Tell whether the colors of a file are as many as the planes of a stack."""
    return file.storage.planar and not stack.color and stack.shape == _stack_shape(file)


def _is_grey(colors: NDArray[Any]) -> bool:
    # Without alpha, which is the fourth.
    return bool((colors[..., :3] == colors[..., :1]).all())


def _stack_shape(file: ImageFile) -> tuple[int, ...]:
    return (file.array.shape[-1], *file.array.shape[:-1])


def _as_drawn(labels: ImageFile, image: ImageFile) -> ImageFile:
    """Turn labels upright that fit a photograph as it is stored, but not as it is shown."""
    turned = image.storage.turned
    # Only where sides are swapped does the size tell; any other turn would be a guess.
    if not swaps_sides(turned) or labels.storage.turned != 1:
        return labels
    if labels.shape == image.shape:
        return labels
    if labels.shape[::-1] != image.shape:
        return labels
    note = "It fits the image as it is stored, and was turned upright with it."
    return replace(labels, array=to_upright(labels.array, turned), notes=(*labels.notes, note))


def _sizes_differ(image: ImageFile, labels: ImageFile) -> str:
    hint = ""
    # The commonest mistake: a picture of several channels, labelled once.
    if image.is_stack and image.shape[1:] == labels.shape:
        hint = f" If its {image.shape[0]} slices are channels, name one with --channel."
    return (
        f"An image and its labels must have the same size; {image.path} has "
        f"{_in_words(image.shape)} and {labels.path} {_in_words(labels.shape)} pixels.{hint}"
    )


def _in_words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
