"""PNG and JPEG files: one picture, upright, of any size; labels are written as PNG."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.files.channels import COLORS, choose_channel
from napari_iclsam.files.names import JPEG_SUFFIXES, suffix
from napari_iclsam.files.space import ImageFile, Space, Storage
from napari_iclsam.files.upright import orientation_of, swaps_sides, to_upright

if TYPE_CHECKING:
    from PIL import Image

_ORIENTATION_TAG = 274

_AS_IMAGE = {
    "P": "RGB",
    "PA": "RGBA",
    "LA": "L",
    "La": "L",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "RGBa": "RGBA",
}
"""Modes of Pillow that are converted, and into which."""

_AS_LABELS = {"PA": "RGBA", "La": "LA", "CMYK": "RGB", "YCbCr": "RGB", "RGBa": "RGBA"}
"""Likewise; the numbers of a palette and the alpha channel are kept, for they may be the labels."""

_FINEST = 2e-8
"""Smallest pixel, in inches, whose number per meter fits into PNG's 31 bits: half a nanometer."""

_LIMIT = threading.Lock()


def read_picture(path: Path, *, for_labels: bool = False, channel: str | None = None) -> ImageFile:
    """Read a picture and turn it upright, as every viewer shows it.

    Parameters
    ----------
    path : Path
    for_labels : bool
        Keep the numbers of a palette, and the alpha channel: (H, W, 2) of grey and alpha.
    channel : str, optional
        Of a color picture, the color that is meant.
    """
    from PIL import Image

    with _without_limit(), Image.open(path) as image:
        modes = _AS_LABELS if for_labels else _AS_IMAGE
        mode = modes.get(image.mode)
        array = np.asarray(image.convert(mode) if mode else image)
        storage = _storage(image, path, for_labels=for_labels)
        spacing = _spacing(image)
    if channel is not None and array.ndim == 3 and not for_labels:
        number = choose_channel(COLORS, array.shape[-1], channel)
        array = array[..., number]
    # Pillow gives the resolution of all kinds in dots an inch.
    space = Space("YX", spacing, "inch" if spacing else "")
    file = ImageFile(path, array, array.ndim == 3, space, storage)
    return file if storage.turned == 1 else _upright(file)


def _storage(image: Image.Image, path: Path, *, for_labels: bool) -> Storage:
    palette = _palette(image) if for_labels and image.mode == "P" else ()
    return Storage(
        lossy=suffix(path) in JPEG_SUFFIXES,
        palette=palette,
        transparent=_transparent_entry(image) if palette else None,
        turned=orientation_of(image.getexif().get(_ORIENTATION_TAG)),
    )


def _upright(file: ImageFile) -> ImageFile:
    turned = file.storage.turned
    space = file.space
    spacing = space.spacing[::-1] if swaps_sides(turned) else space.spacing
    return replace(
        file,
        array=to_upright(file.array, turned),
        space=replace(space, spacing=spacing),
        notes=("It was turned upright, as its EXIF data say.",),
    )


def write_picture(path: Path, labels: NDArray[Any], space: Space) -> None:
    """Write labels (H, W), 8 or 16 bits, as PNG, with dots per inch if the spacing is known."""
    from PIL import Image

    options: dict[str, Any] = {}
    sizes = [size or 0.0 for size in space.spacing_in("inch")[-2:]]
    # PNG keeps both or none.
    if len(sizes) == 2 and min(sizes) > _FINEST:
        height, width = sizes
        options["dpi"] = (1 / width, 1 / height)
    Image.fromarray(labels).save(path, **options)


@contextmanager
def _without_limit() -> Iterator[None]:
    """Lift Pillow's limit of pixels: it guards web servers, and a scanned slide is larger.

    The limit is a global of Pillow, so only one picture is opened at a time.
    """
    from PIL import Image

    with _LIMIT:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _palette(image: Image.Image) -> tuple[tuple[int, int, int], ...]:
    values = image.getpalette("RGB") or []
    colors = []
    for start in range(0, len(values), 3):
        red, green, blue = values[start : start + 3]
        colors.append((red, green, blue))
    return tuple(colors)


def _transparent_entry(image: Image.Image) -> int | None:
    """Return the one entry of a palette that is more transparent than opaque."""
    given = image.info.get("transparency")
    # A PNG gives either the entry or the alpha of each.
    if isinstance(given, int):
        return given
    entries = [number for number, alpha in enumerate(given or b"") if alpha < 128]
    return entries[0] if len(entries) == 1 else None


def _spacing(image: Image.Image) -> tuple[float | None, ...]:
    """Return the size of a pixel, rows first, in inches; empty if the file does not say."""
    dots = image.info.get("dpi")
    if not dots or min(dots) <= 0:
        return ()
    across, down = dots
    return (1 / float(down), 1 / float(across))
