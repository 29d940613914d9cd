"""Name of a model, or custom checkpoint -> a built, strictly loaded network, and what it is."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from napari_iclsam.models import memory
from napari_iclsam.models.checkpoint import load_strictly, metadata, read_tensors
from napari_iclsam.models.starter_icl import TwoScales
from napari_iclsam.models.starter_sam import StarterSam
from napari_iclsam.models.universeg import UniverSeg
from napari_iclsam.weights import checksums, download
from napari_iclsam.weights.catalogue import (
    ALIASES,
    CATALOGUE,
    Architecture,
    Kind,
    Scaling,
    Weights,
    lookup,
)

if TYPE_CHECKING:
    from napari_iclsam.models.sam import Preprocessing, Sam

_GRID = 64
"""Cells of SAM's embedding in each direction."""

IN_CONTEXT = frozenset({"starter_icl", "universeg"})
"""Architectures of in-context models; the others are promptable."""

_ROOM = 800_000_000
"""Bytes beside its parameters that a ViT takes to embed one image."""

_PATCH = 16
"""Pixels of a cell of SAM's vision transformers in each direction."""

_SCALING: Mapping[Architecture, Scaling] = {
    "starter_sam": "starter",
    "vit_t_256": "lite_medsam",
    "starter_icl": "universeg",
    "universeg": "universeg",
}
"""Preprocessing of the architectures that have only one."""

_VIT_BY_WIDTH: Mapping[int, Architecture] = {1024: "vit_l", 1280: "vit_h"}
"""Channels of SAM's vision transformers but the smallest."""


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


@dataclass(frozen=True, slots=True)
class VitShape:
    """The size of a SAM image encoder, as `vit_encoder` takes it."""

    embed_dim: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]
    image_size: int


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
    file = _File(path, found, tensors)
    module = _assemble(file, weights.preprocessing, dtype)
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


def recognise(tensors: Mapping[str, Tensor], path: Path) -> Architecture:
    """Return the architecture that tensors belong to.

    Raises
    ------
    ValueError
        To none that is known here.
    """
    if "enc_blocks.0.cross.cross_conv.weight" in tensors:
        return "universeg"
    if "network.core.enc_blocks.0.cross.cross_conv.weight" in tensors:
        return "starter_icl"
    tiny_patch = tensors.get("image_encoder.patch_embed.seq.0.c.weight")
    if tiny_patch is not None:
        return "vit_t_256" if tiny_patch.shape[-2:] == (1, 1) else "vit_t"
    patch = tensors.get("image_encoder.patch_embed.proj.weight")
    if patch is not None:
        return _VIT_BY_WIDTH.get(patch.shape[0], "vit_b")
    if any(name.startswith("encoder.stem.") for name in tensors):
        return "starter_sam"
    raise ValueError(
        f"{path} holds {len(tensors)} tensors of a network that is not known here "
        f"(first: {next(iter(tensors))}); expected SAM (ViT-B, L or H), MobileSAM, LiteMedSAM, "
        "UniverSeg, starter-sam or starter-icl"
    )


def vit_shape(tensors: Mapping[str, Tensor], path: Path) -> VitShape:
    """Read the size of a SAM image encoder off its tensors.

    Width and patch from the patch embedding, heads from the width of the relative positions, and
    which blocks attend globally from their number: 2 * 64 - 1 instead of 2 * 14 - 1.

    Raises
    ------
    ValueError
        Tensors are missing, or it takes images of another size than 1024 x 1024.
    """
    try:
        embed_dim, _, patch, _ = tensors["image_encoder.patch_embed.proj.weight"].shape
        grid = tensors["image_encoder.pos_embed"].shape[1]
        positions = _position_shapes(tensors)
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{path} holds an incomplete SAM: {error} is missing or of another shape"
        ) from error
    if not positions or grid != _GRID or patch != _PATCH or embed_dim % positions[0][1]:
        raise ValueError(
            f"{path} holds a SAM for images of {grid * patch} x {grid * patch} "
            f"in patches of {patch}, expected 1024 x 1024 in patches of 16"
        )
    heads = embed_dim // positions[0][1]
    global_blocks = [n for n, shape in enumerate(positions) if shape[0] == 2 * grid - 1]
    return VitShape(
        embed_dim=embed_dim,
        depth=len(positions),
        heads=heads,
        global_blocks=tuple(global_blocks),
        image_size=grid * patch,
    )


def _position_shapes(tensors: Mapping[str, Tensor]) -> list[torch.Size]:
    """Return the shape of the relative positions of each block of a SAM image encoder.

    Raises
    ------
    KeyError
        A block has none.
    """
    blocks = set()
    for name in tensors:
        if match := re.match(r"image_encoder\.blocks\.(\d+)\.", name):
            blocks.add(int(match[1]))
    shapes = []
    for number in range(len(blocks)):
        shapes.append(tensors[f"image_encoder.blocks.{number}.attn.rel_pos_h"].shape)
    return shapes


@dataclass(frozen=True, slots=True)
class _File:
    """Content of a file of weights."""

    path: Path
    architecture: Architecture
    tensors: Mapping[str, Tensor]

    @property
    def misfit(self) -> str:
        """The beginning of the message for tensors that are missing or unknown."""
        return f"{self.path} does not fit {self.architecture}"


def _assemble(file: _File, scaling: Scaling, dtype: torch.dtype) -> nn.Module:
    """Build the network and load the tensors."""
    if file.architecture in IN_CONTEXT:
        return _in_context(file).to(dtype)
    if file.architecture == "starter_sam":
        image_size = int(metadata(file.path).get("image_size", 512))
        starter = StarterSam(image_size)
        tensors = _owned(file.tensors, torch.float32)
        load_strictly(starter, tensors, file.misfit)
        return starter
    preprocessing = cast("Preprocessing", scaling)
    if file.architecture in {"vit_t", "vit_t_256"}:
        sam = _tiny_sam(file, preprocessing, dtype)
    else:
        sam = _vit_sam(file, preprocessing, dtype)
    if dtype != torch.float32:
        sam.image_encoder = HalfPrecision(sam.image_encoder, dtype)
    return sam


def _in_context(file: _File) -> nn.Module:
    """Build an in-context network in single precision."""
    module = TwoScales() if file.architecture == "starter_icl" else _universeg(file.tensors)
    tensors = _owned(file.tensors, torch.float32)
    load_strictly(module, tensors, file.misfit)
    return module


def _tiny_sam(file: _File, preprocessing: Preprocessing, dtype: torch.dtype) -> Sam:
    """Build MobileSAM or LiteMedSAM."""
    with _triton_left_alone():
        # Imported here, because it brings torchvision, which takes seconds.
        from napari_iclsam.models import tiny_vit
        from napari_iclsam.models.sam import Sam

    image_size = tiny_vit.LITE_IMAGE_SIZE if file.architecture == "vit_t_256" else 1024
    encoder = tiny_vit.TinyVitEncoder(image_size)
    sam = Sam(encoder, image_size=image_size, preprocessing=preprocessing)
    tensors = _owned(tiny_vit.from_published(file.tensors), torch.float32)
    load_strictly(sam, tensors, file.misfit, tiny_vit.IGNORED_KEYS)
    # Before rounding: variances do not bear it.
    encoder.eval().fold_norms()
    encoder.to(dtype)
    return sam


def _vit_sam(file: _File, preprocessing: Preprocessing, dtype: torch.dtype) -> Sam:
    """Build SAM with a vision transformer."""
    with _triton_left_alone():
        from napari_iclsam.models.sam import Sam, vit_encoder

    shape = vit_shape(file.tensors, file.path)
    # The tensors come from the file: no memory and no time for random ones.
    with torch.device("meta"):
        encoder = vit_encoder(
            shape.embed_dim, shape.depth, shape.heads, shape.global_blocks, shape.image_size
        )
    sam = Sam(encoder, image_size=shape.image_size, preprocessing=preprocessing)
    tensors = _owned(file.tensors, torch.float32, encoder_dtype=dtype)
    load_strictly(sam, tensors, file.misfit)
    return sam


@contextmanager
def _triton_left_alone() -> Iterator[None]:
    """Keep torchvision from loading triton where there is no CUDA device, which alone could use it.

    Triton's LLVM and that of Mesa's software OpenGL, with which a window may be drawn already,
    crash in one process.
    """
    if torch.cuda.is_available() or "triton" in sys.modules:
        yield
        return
    # Its import fails, as where it is not installed.
    sys.modules["triton"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["triton"]


def _owned(
    tensors: Mapping[str, Tensor], dtype: torch.dtype, encoder_dtype: torch.dtype | None = None
) -> dict[str, Tensor]:
    """Copy tensors out of the file, so that it may be moved, in the precision wanted.

    Integers stay what they are.
    """
    owned = {}
    for name, value in tensors.items():
        wanted = dtype
        if encoder_dtype is not None and name.startswith("image_encoder."):
            wanted = encoder_dtype
        if not value.is_floating_point():
            wanted = value.dtype
        owned[name] = value.to(wanted, copy=True).contiguous()
    return owned


def _universeg(tensors: Mapping[str, Tensor]) -> UniverSeg:
    """Build UniverSeg of the size of its tensors."""
    pattern = re.compile(r"enc_blocks\.\d+\.cross\.cross_conv\.weight")
    weights = [value for name, value in sorted(tensors.items()) if pattern.fullmatch(name)]
    # An image of C channels twice and a mask enter the first block.
    channels = (weights[0].shape[1] - 1) // 2
    return UniverSeg(
        channels,
        [value.shape[0] for value in weights],
    )


class HalfPrecision(nn.Module):
    """An encoder that computes in half precision between float32 images and float32 embeddings.

    Prompt encoder and decoder are a twentieth of the parameters and stay in float32.
    """

    def __init__(self, encoder: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.encoder = encoder
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        """Embed normalised images."""
        return self.encoder(x.to(self.dtype)).float()  # type: ignore[no-any-return]
