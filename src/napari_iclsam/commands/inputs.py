"""What the user gives: examples, queries and settings, read and checked before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_iclsam.core.images.intensity import check_contrast, check_image
from napari_iclsam.core.images.planes import plane, stack_axis
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.settings import Description, Settings, describe
from napari_iclsam.files import ImageFile, Space, read_image, read_labels


@dataclass(frozen=True, slots=True)
class Query:
    """An image to segment: it has been read and checked, and is read again when its turn comes.

    Attributes
    ----------
    path : Path
    shape : tuple of int
        Without channels.
    axis : int, optional
        That the planes of a stack are stacked along; None for a single plane.
    space : Space
    """

    path: Path
    shape: tuple[int, ...]
    axis: int | None
    space: Space


def read_settings(mode: str | None, assignments: Sequence[str]) -> Settings:
    """Make settings of ``--mode`` and of ``NAME=VALUE`` texts.

    Raises
    ------
    ValueError
        If a text is none, a name is unknown or a value is not allowed.
    """
    known, values = describe(), {} if mode is None else {"mode": mode}
    for text in assignments:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or name not in known:
            raise ValueError(
                f"--setting takes NAME=VALUE, the name one of {', '.join(known)}; got {text!r}."
            )
        values[name] = _parse(name, value, known[name])
    return Settings.from_dict(values)


def read_support(pairs: Sequence[tuple[Path, Path]], axis: int) -> SupportSet:
    """Read pairs of an image and a label file.

    Of a stack, the planes along ``axis`` that have any label become examples.

    Raises
    ------
    OSError, ValueError
        See `read_image`, `read_labels` and `SupportSet.of`; also if the sizes of a pair differ.
    """
    images: list[NDArray[Any]] = []
    labels: list[NDArray[Any]] = []
    for image_path, labels_path in pairs:
        image, given = read_image(image_path), read_labels(labels_path)
        if image.shape != given.shape:
            raise ValueError(
                f"An image and its labels must have the same size; {image_path} has {_in_words(image.shape)} and "
                f"{labels_path} {_in_words(given.shape)} pixels."
            )
        if not image.is_stack:
            images.append(check_image(image.array, f"image {image_path}"))
            labels.append(given.array)
            continue
        along = stack_axis(image.array.shape, axis)
        painted = [
            index for index in range(image.shape[along]) if plane(given.array, along, index).any()
        ]
        if not painted:
            raise ValueError(
                f"{labels_path} is background everywhere: paint at least one object in one plane."
            )
        for index in painted:
            images.append(
                check_image(plane(image.array, along, index), f"plane {index} of {image_path}")
            )
            labels.append(plane(given.array, along, index))
    return SupportSet.of(images, labels)


def read_query(path: Path, axis: int) -> Query:
    """Read and check an image to segment.

    Raises
    ------
    OSError, ValueError
        See `read_image`; also if a plane is not one of finite numbers, or all pixels are equal.
    """
    file = read_image(path)
    along = stack_axis(file.array.shape, axis) if file.is_stack else None
    if along is None:
        check_image(file.array, f"image {path}")
    else:
        for index in range(file.shape[along]):
            check_image(plane(file.array, along, index), f"plane {index} of {path}")
    check_contrast(file.array, f"image {path}")
    return Query(path, file.shape, along, file.space)


def read_again(query: Query) -> ImageFile:
    """Read the pixels of a query."""
    return read_image(query.path)


def _parse(name: str, text: str, description: Description) -> Any:
    """Convert the text of a setting to its type; `Settings` checks the limits."""
    if description.kind is bool:
        known = {
            "true": True,
            "yes": True,
            "on": True,
            "1": True,
            "false": False,
            "no": False,
            "off": False,
            "0": False,
        }
        if text.lower() not in known:
            raise ValueError(f"{name} must be true or false; got {text!r}.")
        return known[text.lower()]
    try:
        return description.kind(text)
    except ValueError as error:
        kind = "a whole number" if description.kind is int else "a number"
        raise ValueError(f"{name} must be {kind}; got {text!r}.") from error


def _in_words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
