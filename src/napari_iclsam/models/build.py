"""Name of a model, or custom checkpoint -> a built, strictly loaded network, and what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_iclsam.models import memory
from napari_iclsam.models.architectures import recognise
from napari_iclsam.models.assembly import IN_CONTEXT, File, assemble
from napari_iclsam.models.checkpoint import read_tensors
from napari_iclsam.models.two_scales import TwoScales
from napari_iclsam.models.universeg import UniverSeg
from napari_iclsam.weights import checksums, download
from napari_iclsam.weights.catalogue import ALIASES, CATALOGUE
from napari_iclsam.weights.entry import Architecture, Kind, Scaling, Weights
from napari_iclsam.weights.lookup import lookup

if TYPE_CHECKING:
    pass


_ROOM = 800_000_000
"""Bytes beside its parameters that a ViT takes to embed one image."""


_SCALING: Mapping[Architecture, Scaling] = {
    "starter_sam": "starter",
    "vit_t_256": "lite_medsam",
    "starter_icl": "universeg",
    "universeg": "universeg",
}
"""Preprocessing of the architectures that have only one."""


@dataclass(frozen=True, slots=True)
class Built:
    """A network ready to run, on the CPU.

    Attributes
    ----------
    module : nn.Module
        In evaluation mode, without gradients.
    weights : Weights
        What it is: title, license, citation, preprocessing; made up for a custom checkpoint.
    path : Path
    sha256 : str
        "sha256:..." of the file.
    dtype : torch.dtype
        Of the encoder (or of the in-context model).
    """

    module: nn.Module
    weights: Weights
    path: Path
    sha256: str
    dtype: torch.dtype


def build_sam(name: str, dtype: torch.dtype = torch.float32, *, here: bool = True) -> Built:
    """Build a promptable model.

    Parameters
    ----------
    name : str
        A name of the catalogue ("starter", "medsam", "sam_vit_b", ...), the path of a custom
        checkpoint, whose network is recognised from its tensors, or NAME:PATH to read such a file
        with NAME's preprocessing and license.
    dtype : torch.dtype
        Of the image encoder. float16 and bfloat16 halve its memory; it still takes and gives
        float32.
    here : bool
        Whether images will be embedded in main memory too, and not on another device.

    Raises
    ------
    ValueError
        Unknown name; a file that is damaged, not what its publisher says, or of another network.
    MissingWeights
        The weights are not on this computer.
    MemoryError
        There is not enough memory for it.
    """
    return _build(name, "sam", dtype, here=here)


def build_icl(name: str, dtype: torch.dtype = torch.float32, *, here: bool = True) -> Built:
    """Build an in-context model; parameters and errors are those of `build_sam`."""
    return _build(name, "icl", dtype, here=here)


def icl_class(name: str) -> type[TwoScales] | type[UniverSeg]:
    """Return the class of the network that `build_icl` builds, without reading its file."""
    architecture = describe(name, "icl").architecture
    return TwoScales if architecture == "starter_icl" else UniverSeg


def describe(name: str, kind: Kind) -> Weights:
    """Describe a name or path of `build_sam` and `build_icl`, without reading tensors.

    The architecture of a custom checkpoint is a guess until it is built.

    Raises
    ------
    ValueError
        It is neither a name nor a file.
    """
    return _locate(name, kind).weights


@dataclass(frozen=True, slots=True)
class _Located:
    """What to build.

    Attributes
    ----------
    weights : Weights
    custom : Path, optional
        The custom checkpoint, if it is one.
    """

    weights: Weights
    custom: Path | None


def _locate(name: str, kind: Kind) -> _Located:
    """Tell names, paths and NAME:PATH apart."""
    like, _, rest = name.partition(":")
    # A path may hold a colon, too: C:/models/sam.pt.
    if rest and (like in CATALOGUE or (kind, like) in ALIASES):
        path = Path(rest).expanduser()
        weights = _custom(path, lookup(like, kind))
        return _Located(weights, _existing(path))
    path = Path(name).expanduser()
    if path.suffix or len(path.parts) > 1:
        weights = _custom(path, _same_filename(path, kind))
        return _Located(weights, _existing(path))
    return _Located(lookup(name, kind), None)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"there is no file of weights {path}")
    return path


def _same_filename(path: Path, kind: Kind) -> Weights | None:
    """Return the published weights of the same file name, whose preprocessing a copy has."""
    for weights in CATALOGUE.values():
        if weights.filename == path.name and weights.kind == kind:
            return weights
    return None


def _custom(path: Path, like: Weights | None) -> Weights:
    """Describe a custom checkpoint, like published weights if they are given."""
    name = path.name
    if like is not None:
        title = f"{like.title} ({name})"
        return replace(
            like,
            name=name,
            title=title,
            urls=(),
            size=None,
            checksum=None,
        )
    return Weights(
        name=name,
        title=f"own file {name}",
        kind="sam",
        architecture="vit_b",
        filename=name,
        license="unknown (own file)",
        license_url="",
        citation="unknown (own file)",
        preprocessing="sam",
        parameters=0,
        memory=0,
        cost="unknown",
        good_for="what it was trained for",
    )


def _build(name: str, kind: Kind, dtype: torch.dtype, *, here: bool) -> Built:
    located = _locate(name, kind)
    weights = located.weights
    if located.custom is None:
        # Before gigabytes are downloaded or read.
        _require_memory(weights, dtype, here=here)
    path = located.custom or download.ready(weights)
    tensors = read_tensors(path)
    # By the tensors and not by the name: files are renamed.
    found = recognise(tensors, path)
    if located.custom is None and found != weights.architecture:
        raise ValueError(
            f"{path} holds {found}, expected {weights.architecture}: "
            f"{weights.name} was put together wrongly"
        )
    # Told here, since the error of a wrong network would name layers and not the cause.
    _require_kind(found, kind, path)
    if located.custom is not None:
        weights = _completed(weights, found, kind, tensors)
        _require_memory(weights, dtype, here=here)
    file = File(path, found, tensors)
    module = assemble(file, weights.preprocessing, dtype)
    # Gradients are wanted by fine-tuning alone, which copies the network first.
    module.eval().requires_grad_(False)
    # starter-sam is small, and faster without conversions.
    dtype = torch.float32 if found == "starter_sam" else dtype
    return Built(
        module,
        weights,
        path,
        checksums.checksum(path),
        dtype,
    )


def _require_kind(architecture: Architecture, kind: Kind, path: Path) -> None:
    """Raise if a promptable model is in the place of an in-context one, or the reverse."""
    if (architecture in IN_CONTEXT) == (kind == "icl"):
        return
    wanted = "a promptable model (SAM)" if kind == "sam" else "an in-context model (UniverSeg)"
    raise ValueError(f"{path} holds {architecture}, expected {wanted}")


def _completed(
    weights: Weights, architecture: Architecture, kind: Kind, tensors: Mapping[str, Tensor]
) -> Weights:
    """Complete the description of a custom checkpoint from its tensors."""
    parameters = sum(value.numel() for value in tensors.values())
    scaling = weights.preprocessing if weights.preprocessing in {"sam", "medsam"} else "sam"
    room = _ROOM if architecture.startswith("vit") else _ROOM // 4
    return replace(
        weights,
        kind=kind,
        architecture=architecture,
        preprocessing=_SCALING.get(architecture, scaling),
        parameters=parameters,
        memory=4 * parameters + room,
    )


def _require_memory(weights: Weights, dtype: torch.dtype, *, here: bool) -> None:
    """Raise `MemoryError` if the network would not fit.

    It needs room for its parameters and, if it runs here, for embedding an image.
    """
    room = weights.memory - 4 * weights.parameters if here else 0
    needed = room + dtype.itemsize * weights.parameters
    half = room + 2 * weights.parameters
    smaller = "" if needed == half else f"load it in bfloat16 (about {half / 1e9:.1f} GB), "
    memory.require(
        needed,
        weights.title,
        f"close other programs, {smaller}or choose a smaller model such as mobile_sam or starter",
    )
