"""Image files <-> arrays with their spatial metadata: TIFF, PNG, JPEG, NIfTI. Knows no model and no viewer."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["tiff", "nifti", "picture"]

_KINDS: Mapping[str, Kind] = {
    ".tif": "tiff",
    ".tiff": "tiff",
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".png": "picture",
    ".jpg": "picture",
    ".jpeg": "picture",
}


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Where the pixels of a file lie.

    Attributes
    ----------
    axes : str
        Letters of the spatial axes (and time) of the array, such as "YX", "ZYX", "TYX".
    spacing : tuple of float
        Distance of neighbours along each of these axes; empty where the file does not say.
    unit : str
        Of the spacing, as the file spells it; empty where it does not say.
    dialect : {"plain", "imagej", "ome"}
        How a TIFF file says it.
    nifti : Nifti, optional
        What only a NIfTI file knows.
    """

    axes: str
    spacing: tuple[float, ...] = ()
    unit: str = ""
    dialect: Literal["plain", "imagej", "ome"] = "plain"
    nifti: Nifti | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Nifti:
    """Affine, header and shape (in the file's order: x, y, z) of a NIfTI file."""

    affine: NDArray[np.float64]
    header: Any
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ImageFile:
    """An image and where it came from.

    Attributes
    ----------
    path : Path
    array : ndarray
        (H, W) or (Z, H, W), with a last axis of channels if it is a color image. NIfTI's (x, y, z)
        becomes (z, y, x).
    color : bool
    space : Space
    """

    path: Path
    array: NDArray[Any]
    color: bool
    space: Space

    @property
    def shape(self) -> tuple[int, ...]:
        """Size without the channels."""
        return self.array.shape[:-1] if self.color else self.array.shape

    @property
    def is_stack(self) -> bool:
        """Whether it has three axes beside the channels."""
        return len(self.shape) == 3


def suffix(path: Path) -> str:
    """Return the suffix that says the kind of a file, in lower case; of ``a.ome.tif`` and ``a.nii.gz`` both parts."""
    name = path.name.lower()
    for double in (".ome.tif", ".ome.tiff", ".nii.gz"):
        if name.endswith(double):
            return double
    return path.suffix.lower()


def stem(path: Path) -> str:
    """Return the name of a file without its `suffix`."""
    return path.name[: len(path.name) - len(suffix(path))]


def labels_suffix(path: Path) -> str:
    """Return the suffix for labels of an image: its own, but PNG for JPEG, which would change the numbers."""
    own = suffix(path)
    return ".png" if own in (".jpg", ".jpeg") else own


def read_image(path: Path) -> ImageFile:
    """Read a plane or a stack, grey or color.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
    ValueError
        It is not an image of a kind that is read, is damaged, or has more than three axes beside
        the channels.
    """
    return _read(path, indices=False)


def read_labels(path: Path) -> ImageFile:
    """Read a plane or a stack of labels, as integers.

    Whole numbers that are stored as floating point (common in NIfTI), and grey values that are
    stored as colors, are taken as the integers that they are.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
    ValueError
        As `read_image`; also if the pixels are not whole numbers of 0 or more.
    """
    file = _read(path, indices=True)
    array = file.array
    if file.color:
        if not (array[..., :3] == array[..., :1]).all():
            raise ValueError(
                f"{path} is a color picture; labels must be one plane of whole numbers: 0 background, 1, 2, ... "
                "objects."
            )
        array = array[..., 0]
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if not np.issubdtype(array.dtype, np.integer):
        fractions = array[np.asarray(~np.isfinite(array) | (array != np.round(array)))]
        if fractions.size:
            raise ValueError(
                f"{path}: labels must be whole numbers (0 background, 1, 2, ... objects); {fractions.size} of "
                f"{array.size} pixels are not, such as {fractions.flat[0]:g}."
            )
        array = array.astype(np.int64)
    if array.size and array.min() < 0:
        raise ValueError(
            f"{path}: labels must be 0 (background) or positive; the smallest is {array.min()}."
        )
    return replace(file, array=array, color=False)


def check_writable_as(path: Path, highest: int, *, stack: bool) -> None:
    """Raise `ValueError` unless labels up to ``highest`` can be kept under this name."""
    kind, end = _KINDS.get(suffix(path).replace(".ome", "")), suffix(path)
    if kind is None or end in (".jpg", ".jpeg"):
        why = "JPEG changes the numbers" if kind else f"{end or 'no suffix'} is not among them"
        raise ValueError(f"Labels are written as .tif, .png, .nii or .nii.gz; {why}: {path}.")
    if kind == "picture" and stack:
        raise ValueError(
            f"A PNG file holds one plane and this is a stack: name a .tif or .nii.gz file, not {path}."
        )
    if kind == "picture" and highest > np.iinfo(np.uint16).max:
        raise ValueError(
            f"A PNG file holds labels up to 65535 and there is a {highest}: name a .tif file, not {path}."
        )


def write_labels(path: Path, labels: NDArray[np.integer[Any]], space: Space) -> None:
    """Write labels in the smallest integers that hold them, with the spatial metadata of their image.

    Parameters
    ----------
    path : Path
        Its suffix says the kind of file.
    labels : ndarray, (H, W) or (Z, H, W)
        0 or more.
    space : Space
        Of the image.
    """
    highest = int(labels.max(initial=0))
    check_writable_as(path, highest, stack=labels.ndim == 3)
    labels = labels.astype(
        next(t for t in (np.uint8, np.uint16, np.int32) if highest <= np.iinfo(t).max)
    )
    kind = _KINDS[suffix(path).replace(".ome", "")]
    if kind == "tiff":
        _write_tiff(path, labels, space)
    elif kind == "nifti":
        _write_nifti(path, labels, space)
    else:
        _write_picture(path, labels, space)


def _read(path: Path, *, indices: bool) -> ImageFile:
    kind = _KINDS.get(suffix(path).replace(".ome", ""))
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name an image file.")
    if kind is None:
        raise ValueError(
            f"{path}: the kind {suffix(path) or 'without suffix'} is not read; give TIFF, PNG, JPEG or NIfTI."
        )
    if not path.stat().st_size:
        raise ValueError(f"{path} is an empty file.")
    try:
        if kind == "tiff":
            file = _read_tiff(path)
        elif kind == "nifti":
            file = _read_nifti(path)
        else:
            file = _read_picture(path, indices=indices)
    except PermissionError:
        raise
    except _DAMAGE as error:
        what = {"tiff": "TIFF", "nifti": "NIfTI", "picture": "PNG or JPEG"}[kind]
        raise ValueError(f"{path} cannot be read as {what}: {error}") from error
    if len(file.shape) not in (2, 3):
        raise ValueError(
            f"{path} has {len(file.shape)} axes of size {file.shape}; an image has 2, a stack 3. "
            "Save the channel and the time point that you mean as a file of its own."
        )
    if 0 in file.array.shape:
        raise ValueError(f"{path} is empty: its size is {file.array.shape}.")
    return file


_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    SyntaxError,
    KeyError,
    IndexError,
    TypeError,
    struct.error,
    zlib.error,
)
"""What the libraries raise at files that are damaged or not what their suffix says."""


def _read_picture(path: Path, *, indices: bool) -> ImageFile:
    from PIL import Image

    try:
        with Image.open(path) as image:
            dpi = image.info.get("dpi")
            keep = indices and image.mode == "P"  # labels are the numbers of the palette's entries
            as_mode = {
                "P": "RGB",
                "PA": "RGBA",
                "LA": "L",
                "La": "L",
                "CMYK": "RGB",
                "YCbCr": "RGB",
            }.get(image.mode)
            array = np.asarray(image.convert(as_mode) if as_mode and not keep else image)
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error
    spacing = tuple(1 / float(d) for d in reversed(dpi)) if dpi and min(dpi) > 0 else ()
    return ImageFile(path, array, array.ndim == 3, Space("YX", spacing, "inch" if spacing else ""))


def _write_picture(path: Path, labels: NDArray[Any], space: Space) -> None:
    from PIL import Image

    dpi = (
        tuple(1 / s for s in reversed(space.spacing))
        if space.unit == "inch" and len(space.spacing) == 2
        else None
    )
    options: dict[str, Any] = {"dpi": dpi} if dpi else {}
    Image.fromarray(labels).save(path, **options)


def _read_tiff(path: Path) -> ImageFile:
    import tifffile

    with tifffile.TiffFile(path) as tif:
        if len(tif.series) != 1:
            raise ValueError(
                f"it holds {len(tif.series)} images of different kinds; save the one that you mean"
            )
        series = tif.series[0]
        array, axes = np.asarray(series.asarray()), series.axes
        keep = [n for n, letter in enumerate(axes) if array.shape[n] != 1 or letter in "YX"]
        array, axes = array.reshape([array.shape[n] for n in keep]), "".join(axes[n] for n in keep)
        color = "S" in axes
        if color:
            array, axes = np.moveaxis(array, axes.index("S"), -1), axes.replace("S", "")
        return ImageFile(path, array, color, _tiff_space(tif, axes))


def _tiff_space(tif: Any, axes: str) -> Space:
    page = tif.pages[0]
    if tif.is_ome:
        import tifffile

        pixels = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]
        pixels = (pixels[0] if isinstance(pixels, list) else pixels)["Pixels"]
        spacing = tuple(float(pixels.get(f"PhysicalSize{letter}", 1)) for letter in axes)
        known = "PhysicalSizeX" in pixels
        return Space(
            axes,
            spacing if known else (),
            pixels.get("PhysicalSizeXUnit", "µm") if known else "",
            "ome",
        )
    within = _tiff_resolution(page)
    if tif.is_imagej:
        meta = tif.imagej_metadata or {}
        spacing = (
            ((float(meta.get("spacing", 1)),) if len(axes) == 3 else ()) + within if within else ()
        )
        return Space(axes, spacing, str(meta.get("unit", "")), "imagej")
    unit = {2: "inch", 3: "cm"}.get(
        int(page.tags["ResolutionUnit"].value) if "ResolutionUnit" in page.tags else 1, ""
    )
    return Space(axes, (1.0,) * (len(axes) - 2) + within if within else (), unit if within else "")


def _tiff_resolution(page: Any) -> tuple[float, ...]:
    """Return the distance of rows and of columns, in the file's unit; empty if the file does not say."""
    values = [
        page.tags[name].value if name in page.tags else (0, 1)
        for name in ("YResolution", "XResolution")
    ]
    return (
        tuple(below / above for above, below in values) if all(min(v) > 0 for v in values) else ()
    )


def _write_tiff(path: Path, labels: NDArray[Any], space: Space) -> None:
    import tifffile

    axes, spacing = space.axes[-labels.ndim :], space.spacing[-labels.ndim :]
    dialect = "ome" if ".ome" in suffix(path) else space.dialect
    if space.nifti is not None:
        dialect = "imagej"  # plain TIFF cannot say millimetres, nor the distance of planes
    options: dict[str, Any] = {"photometric": "minisblack"}
    if dialect == "ome":
        sizes = {
            f"PhysicalSize{letter}": size
            for letter, size in zip(axes, spacing, strict=False)
            if letter in "XYZ"
        }
        units = {f"{name}Unit": space.unit or "µm" for name in sizes}
        tifffile.imwrite(
            path,
            labels,
            ome=True,
            compression="zlib",
            metadata={"axes": axes} | sizes | units,
            **options,
        )
        return
    if len(spacing) >= 2:
        options["resolution"] = (1 / spacing[-1], 1 / spacing[-2])
    if dialect == "imagej" and labels.dtype != np.int32:  # ImageJ knows no 32-bit integers
        meta = {
            "axes": "".join(letter if letter in "TZYX" else "Z" for letter in axes),
            "unit": space.unit,
        }
        if len(spacing) == 3:
            meta["spacing"] = spacing[0]  # type: ignore[assignment]
        tifffile.imwrite(path, labels, imagej=True, resolutionunit="NONE", metadata=meta, **options)
        return
    unit = {"inch": "INCH", "cm": "CENTIMETER"}.get(space.unit, "NONE")
    tifffile.imwrite(
        path, labels, compression="zlib", resolutionunit=unit, metadata={"axes": axes}, **options
    )


def _read_nifti(path: Path) -> ImageFile:
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        image: Any = nibabel.load(path)
        array = np.asanyarray(image.dataobj)
    except (ImageFileError, HeaderDataError) as error:
        raise ValueError(str(error)) from error
    if array.dtype.names:
        raise ValueError(
            f"it holds colors ({', '.join(array.dtype.names)}); give a file of grey values"
        )
    keep = [n for n, size in enumerate(array.shape) if n < 2 or size != 1]
    zooms = [float(image.header.get_zooms()[n]) for n in keep]
    array = array.reshape([array.shape[n] for n in keep]).T
    unit = image.header.get_xyzt_units()[0]
    nifti = Nifti(np.asarray(image.affine), image.header.copy(), image.shape)
    axes = "".join("XYZT"[n] if n < 4 else "Q" for n in reversed(keep))
    space = Space(axes, tuple(reversed(zooms)), "" if unit == "unknown" else unit, nifti=nifti)
    return ImageFile(path, array, color=False, space=space)


def _write_nifti(path: Path, labels: NDArray[Any], space: Space) -> None:
    import nibabel

    data, nifti = labels.T, space.nifti
    if nifti is None:
        spacing = [*reversed(space.spacing or (1.0,) * labels.ndim), 1.0][:3]
        image: Any = nibabel.Nifti1Image(data, np.diag([*spacing, 1.0]))
        image.header.set_xyzt_units(
            {"mm": "mm", "µm": "micron", "um": "micron", "micron": "micron"}.get(space.unit)
        )
    else:
        header = nifti.header.copy()
        header.set_data_dtype(labels.dtype)
        header["cal_min"] = header["cal_max"] = 0  # the window of the image, not of its labels
        kind: Any = (
            nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
        )
        image = kind(data.reshape(nifti.shape), nifti.affine, header)
    image.header.set_intent("label")
    nibabel.save(image, path)
