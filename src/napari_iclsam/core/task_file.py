"""A task on disk: a zip of TIFF images and one JSON file, in full resolution and without pickle."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_iclsam.core.images.support import LabelStyle, SupportSet
from napari_iclsam.core.images.unknown import UNKNOWN
from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.core.objects.cleaning import Cleaning
from napari_iclsam.core.objects.instances import Separation
from napari_iclsam.core.prediction import Provenance
from napari_iclsam.core.settings import Settings
from napari_iclsam.models.memory import available
from napari_iclsam.version import version

FORMAT = 1
"""Version of the layout; raised when an older reader would misunderstand a file."""

_INDEX = "task.json"

_MOST_INDEX = 16 << 20
"""Bytes of the JSON file, unpacked: names and numbers take far less."""

_NUMBERS = "biuf"
"""Kinds of dtypes that images have; another could take any amount of memory a pixel."""

_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    tifffile.TiffFileError,
    json.JSONDecodeError,
    OSError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    UnicodeDecodeError,
    ArithmeticError,  # sizes of zero in a header
    RuntimeError,  # encrypted, or compressed in a way that zipfile does not know
)
"""What reading a file raises that is not what `write_task` wrote."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What queries have to know of the files that examples came from.

    Attributes
    ----------
    reference : tuple of tuple of float, optional
        Rows of the affine (4, 4) of the first file that says how it lies, from (x, y, z) to
        millimeters to the right, front and up: volumes are turned to lie as it does.
    window : (float, float), optional
        Grey values that became black and white in the examples.
    axis : int or str, optional
        That the examples' planes lie along, if they are planes of stacks: a number, or "axial",
        "coronal" or "sagittal".
    pixel_size : float, optional
        Of the first example that says it, in micrometers: of queries with several resolutions, the
        nearest is segmented.
    own_planes : bool
        Whether single files of an OME-TIFF of several were labelled.
    """

    reference: tuple[tuple[float, ...], ...] | None = None
    window: tuple[float, float] | None = None
    axis: int | str | None = None
    pixel_size: float | None = None
    own_planes: bool = False


@dataclass(frozen=True, slots=True)
class SavedTask:
    """What a task file holds: enough to fit the task again.

    Attributes
    ----------
    support : SupportSet
    settings : Settings
    models : ModelChoice
        The device is not kept: it is of the computer, not of the task.
    origin : Origin
        What is known of the files that the examples came from.
    """

    support: SupportSet
    settings: Settings
    models: ModelChoice
    origin: Origin = Origin()

    @classmethod
    def of(cls, support: SupportSet, settings: Settings, provenance: Provenance) -> SavedTask:
        """Return what to save of a fitted task."""
        names = provenance.models
        # in the order of their roles: the first model's embeddings choose examples and places
        sams = [name for role, name in names.items() if role.startswith("sam")]
        models = ModelChoice("+".join(sams) or "starter", names["icl"] or "starter")
        return cls(support, settings, models)


def write_task(saved: SavedTask, path: str | Path) -> None:
    """Write a task file. It appears whole or not at all; a file of that name is replaced.

    Parameters
    ----------
    saved : SavedTask
    path : str or Path
        Commonly with the suffix ``.iclsam``.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path = Path(path)
    support = saved.support
    index = {
        "format": FORMAT,
        "version": version(),
        "models": saved.models.sam,
        "icl": saved.models.icl,
        "settings": saved.settings.to_dict(),
        "pairs": len(support),
        "regions": support.are_regions,
        "separations": {str(i): asdict(each) for i, each in support.separations.items()},
        "fingerprint": support.fingerprint(),
        # TIFF knows neither booleans nor each byte order, and the fingerprint depends on them
        "dtypes": [image.dtype.str for image in support.images],
        "styles": {str(label): asdict(style) for label, style in support.styles.items()},
        "origin": asdict(saved.origin),
    }
    # beside the file, since a rename is atomic within one file system alone
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with zipfile.ZipFile(part, "x", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(_INDEX, json.dumps(index, indent=2))
            for n, (image, labels) in enumerate(zip(support.images, support.labels, strict=True)):
                archive.writestr(f"{n}.image.tif", _to_tiff(image))
                archive.writestr(f"{n}.labels.tif", _to_tiff(labels))
        part.replace(path)
    finally:
        # after an error the earlier file of that name is still whole
        part.unlink(missing_ok=True)


def read_task(path: str | Path) -> SavedTask:
    """Read a task file without fitting it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a task file, is damaged, from a newer version, or holds paths outside itself.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no task file {path}.")
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path)
    except _DAMAGE as error:
        raise ValueError(
            f"{path} is not a complete task file ({error}). Save the task again, or copy the file "
            "once more."
        ) from error


def _read(archive: zipfile.ZipFile, path: Path) -> SavedTask:
    for name in archive.namelist():
        # nothing is unpacked here, but others may unpack the file
        if _leads_outside(name):
            raise ValueError(
                f"{path} is not read: it holds a path that leads outside itself ({name!r})."
            )
    _check_size(archive, path)
    index = json.loads(archive.read(_INDEX))
    # before all else: what another format holds cannot be judged
    found = index.get("format") if isinstance(index, dict) else None
    if found != FORMAT:
        raise ValueError(
            f"{path} has task format {found!r}, this version of napari-iclsam reads format "
            f"{FORMAT}. Update napari-iclsam, or save the task again with this version."
        )
    support = _read_support(archive, index)
    # a result names the fingerprint of its examples: it must stay true
    if support.fingerprint() != index["fingerprint"]:
        raise ValueError(
            f"{path} was changed after it was saved: its images are not those it was saved with."
        )
    models = ModelChoice(
        str(index["models"]),
        str(index["icl"]),
    )
    return SavedTask(
        support,
        Settings.from_dict(index["settings"]),
        models,
        # files of earlier versions say nothing of it
        _origin(index.get("origin", {})),
    )


def _origin(values: Mapping[str, Any]) -> Origin:
    rows = values.get("reference")
    window = values.get("window")
    pixel_size = values.get("pixel_size")
    return Origin(
        None if rows is None else tuple(tuple(map(float, row)) for row in rows),
        None if window is None else (float(window[0]), float(window[1])),
        values.get("axis"),
        None if pixel_size is None else float(pixel_size),
        bool(values.get("own_planes", False)),
    )


def _check_size(archive: zipfile.ZipFile, path: Path) -> None:
    """Raise if a file would fill the memory once it is unpacked: a small one can claim any size."""
    if archive.getinfo(_INDEX).file_size > _MOST_INDEX:
        raise ValueError(f"{path} is no task file: its {_INDEX} is too long.")
    size = sum(member.file_size for member in archive.infolist())
    free = available()
    # the images are in memory twice, as files and as arrays
    if 2 * size > free:
        raise ValueError(
            f"{path} needs {2 * size / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free: "
            "open it on a larger computer, or save a task of fewer or smaller images."
        )


def _leads_outside(name: str) -> bool:
    return PurePosixPath(name).is_absolute() or "/" in name or "\\" in name or ".." in name


def _read_support(archive: zipfile.ZipFile, index: Mapping[str, Any]) -> SupportSet:
    images = []
    labels = []
    for pair in range(int(index["pairs"])):
        images.append(_from_tiff(archive.read(f"{pair}.image.tif"), index["dtypes"][pair]))
        labels.append(_from_tiff(archive.read(f"{pair}.labels.tif"), "<i4"))
    styles = {int(label): _style(style) for label, style in index["styles"].items()}
    # files of earlier versions know no regions
    are_regions = bool(index.get("regions", False))
    support = SupportSet.of(images, labels, styles, are_regions=are_regions, unknown=(UNKNOWN,))
    return replace(support, separations=_separations(index.get("separations", {})))


def _separations(values: Mapping[str, Any]) -> dict[int, Separation]:
    separations = {}
    for label, numbers in values.items():
        cleaning = numbers["cleaning"]
        separations[int(label)] = Separation(
            min_distance=float(numbers["min_distance"]),
            smoothness=float(numbers["smoothness"]),
            cleaning=Cleaning(speck=float(cleaning["speck"]), hole=float(cleaning["hole"])),
        )
    return separations


def _style(values: Mapping[str, Any]) -> LabelStyle:
    # files of earlier versions spell it so
    color = values["color"] if "color" in values else values["colour"]
    return LabelStyle(
        str(values["name"]),
        None if color is None else tuple(map(float, color)),
    )


def _to_tiff(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    # TIFF has no booleans
    plain = array.view(np.uint8) if array.dtype == bool else array
    tifffile.imwrite(
        buffer,
        plain,
        photometric="rgb" if array.ndim == 3 else "minisblack",
    )
    return buffer.getvalue()


def _from_tiff(data: bytes, dtype: str) -> NDArray[Any]:
    """Read a TIFF in the dtype it was saved with.

    TIFF has no booleans, and its byte order may be another one.
    """
    kind = np.dtype(dtype)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        # written without compression: a file that claims more pixels than it holds is none of ours
        if kind.kind not in _NUMBERS or file.series[0].nbytes > len(data):
            raise OSError("it claims more pixels than it holds")
        pixels = np.asarray(file.asarray())
    return pixels.astype(kind, copy=False)
