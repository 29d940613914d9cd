"""Name, or file of one's own -> a built, strictly loaded module in evaluation mode, and what it is."""

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
from napari_iclsam.weights import checks, download
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
    from napari_iclsam.models.sam import Preprocessing

_GRID = 64
"""Cells of SAM's embedding in each direction."""

IN_CONTEXT = frozenset({"starter_icl", "universeg"})
"""Architectures of in-context models; the others are promptable."""

_ROOM = 800_000_000
"""Bytes beside its parameters that a ViT takes to embed one image."""


@dataclass(frozen=True, slots=True)
class Built:
    """A network ready to run, on the CPU.

    Attributes
    ----------
    module : nn.Module
        In evaluation mode, without gradients.
    weights : Weights
        What it is: title, license, citation, preprocessing; made up for a file of the user's own.
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
        A name of the catalogue ("starter", "medsam", "sam_vit_b", ...), the path of a file of one's
        own, whose network is recognised from its tensors, or NAME:PATH to read such a file with
        NAME's preprocessing and license.
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
    """Return what network `build_icl` builds, for what it says of its input; nothing is read."""
    return TwoScales if describe(name, "icl").architecture == "starter_icl" else UniverSeg


def describe(name: str, kind: Kind) -> Weights:
    """Return what a name or path of `build_sam` and `build_icl` stands for, without reading tensors.

    The architecture of a file of one's own is a guess until it is built.

    Raises
    ------
    ValueError
        It is neither a name nor a file.
    """
    return _locate(name, kind)[0]


def _locate(name: str, kind: Kind) -> tuple[Weights, Path | None]:
    """Return what to build, and the user's file if it is one."""
    like, _, rest = name.partition(":")
    if rest and (like in CATALOGUE or (kind, like) in ALIASES):
        path = Path(rest).expanduser()
        return _own(path, lookup(like, kind)), _existing(path)
    path = Path(name).expanduser()
    if path.suffix or len(path.parts) > 1:
        return _own(path, _same_name(path, kind)), _existing(path)
    return lookup(name, kind), None


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"there is no file of weights {path}")
    return path


def _same_name(path: Path, kind: Kind) -> Weights | None:
    """Return the published file of the same name, whose preprocessing a copy elsewhere has as well."""
    return next(
        (each for each in CATALOGUE.values() if each.filename == path.name and each.kind == kind),
        None,
    )


def _own(path: Path, like: Weights | None) -> Weights:
    """Describe a file of the user's own."""
    if like is not None:
        return replace(
            like,
            name=path.name,
            title=f"{like.title} ({path.name})",
            urls=(),
            size=None,
            check=None,
        )
    return Weights(
        name=path.name,
        title=f"own file {path.name}",
        kind="sam",
        architecture="vit_b",
        filename=path.name,
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
    weights, own = _locate(name, kind)
    if own is None:
        _require_memory(weights, dtype, here=here)  # before gigabytes are fetched or read
    path = own or download.ready(weights)
    tensors = read_tensors(path)
    found = recognise(tensors, path)
    if own is None and found != weights.architecture:
        raise ValueError(
            f"{path} holds {found}, expected {weights.architecture}: {weights.name} was put together wrongly"
        )
    if (found in IN_CONTEXT) != (kind == "icl"):
        wanted = "a promptable model (SAM)" if kind == "sam" else "an in-context model (UniverSeg)"
        raise ValueError(f"{path} holds {found}, expected {wanted}")
    if own is not None:
        weights = _described(weights, found, kind, tensors)
        _require_memory(weights, dtype, here=here)
    module = _assemble(found, tensors, path, weights.preprocessing, dtype)
    dtype = (
        torch.float32 if found == "starter_sam" else dtype
    )  # small, and faster without conversions
    return Built(module.eval().requires_grad_(False), weights, path, checks.digest(path), dtype)


def _described(
    weights: Weights, architecture: Architecture, kind: Kind, tensors: Mapping[str, Tensor]
) -> Weights:
    """Complete the description of the user's own file from what is in it."""
    parameters = sum(value.numel() for value in tensors.values())
    scaling: dict[Architecture, Scaling] = {
        "starter_sam": "starter",
        "vit_t_256": "lite_medsam",
        "starter_icl": "universeg",
        "universeg": "universeg",
    }
    known = weights.preprocessing if weights.preprocessing in {"sam", "medsam"} else "sam"
    return replace(
        weights,
        kind=kind,
        architecture=architecture,
        preprocessing=scaling.get(architecture, known),
        parameters=parameters,
        memory=4 * parameters + (_ROOM if architecture.startswith("vit") else _ROOM // 4),
    )


def _require_memory(weights: Weights, dtype: torch.dtype, *, here: bool) -> None:
    """Raise `MemoryError` if it would not fit: its parameters, and if it runs here what embedding an image takes."""
    room = weights.memory - 4 * weights.parameters if here else 0
    needed, half = room + dtype.itemsize * weights.parameters, room + 2 * weights.parameters
    smaller = "" if needed == half else f"load it in bfloat16 (about {half / 1e9:.1f} GB), "
    memory.require(
        needed,
        weights.title,
        f"close other programs, {smaller}or choose a smaller model such as mobile_sam or starter",
    )


def recognise(tensors: Mapping[str, Tensor], path: Path) -> Architecture:
    """Tell which network tensors belong to.

    Raises
    ------
    ValueError
        To none that is known here.
    """
    if "enc_blocks.0.cross.cross_conv.weight" in tensors:
        return "universeg"
    if "network.core.enc_blocks.0.cross.cross_conv.weight" in tensors:
        return "starter_icl"
    if "image_encoder.patch_embed.seq.0.c.weight" in tensors:
        patch = tensors["image_encoder.patch_embed.seq.0.c.weight"].shape[-2:]
        return "vit_t_256" if patch == (1, 1) else "vit_t"
    if "image_encoder.patch_embed.proj.weight" in tensors:
        by_width: dict[int, Architecture] = {1024: "vit_l", 1280: "vit_h"}
        return by_width.get(tensors["image_encoder.patch_embed.proj.weight"].shape[0], "vit_b")
    if any(name.startswith("encoder.stem.") for name in tensors):
        return "starter_sam"
    raise ValueError(
        f"{path} holds {len(tensors)} tensors of a network that is not known here (first: {next(iter(tensors))}); "
        "expected SAM (ViT-B, L or H), MobileSAM, LiteMedSAM, UniverSeg, starter-sam or starter-icl"
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
        blocks = {
            int(match[1])
            for name in tensors
            if (match := re.match(r"image_encoder\.blocks\.(\d+)\.", name))
        }
        positions = [
            tensors[f"image_encoder.blocks.{n}.attn.rel_pos_h"].shape for n in range(len(blocks))
        ]
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{path} holds an incomplete SAM: {error} is missing or of another shape"
        ) from error
    if not positions or grid != _GRID or patch != 16 or embed_dim % positions[0][1]:
        raise ValueError(
            f"{path} holds a SAM for images of {grid * patch} x {grid * patch} in patches of {patch}, "
            "expected 1024 x 1024 in patches of 16"
        )
    global_blocks = tuple(n for n, shape in enumerate(positions) if shape[0] == 2 * grid - 1)
    return VitShape(
        embed_dim, len(blocks), embed_dim // positions[0][1], global_blocks, grid * patch
    )


def _assemble(
    architecture: Architecture,
    tensors: Mapping[str, Tensor],
    path: Path,
    scaling: Scaling,
    dtype: torch.dtype,
) -> nn.Module:
    """Build the network and load the tensors."""
    what = f"{path} does not fit {architecture}"
    module: nn.Module
    if architecture in IN_CONTEXT:
        module = TwoScales() if architecture == "starter_icl" else _universeg(tensors)
        load_strictly(module, _owned(tensors, torch.float32), what)
        return module.to(dtype)
    if architecture == "starter_sam":
        module = StarterSam(int(metadata(path).get("image_size", 512)))
        load_strictly(module, _owned(tensors, torch.float32), what)
        return module
    with _triton_left_alone():  # imported here: it brings torchvision, which takes seconds
        from napari_iclsam.models import tiny_vit
        from napari_iclsam.models.sam import Sam, vit_encoder

    preprocessing = cast("Preprocessing", scaling)
    if architecture in {"vit_t", "vit_t_256"}:
        image_size = tiny_vit.LITE_IMAGE_SIZE if architecture == "vit_t_256" else 1024
        tiny = tiny_vit.TinyVitEncoder(image_size)
        module = Sam(tiny, image_size=image_size, preprocessing=preprocessing)
        published = tiny_vit.from_published(tensors)
        load_strictly(module, _owned(published, torch.float32), what, tiny_vit.UNNEEDED)
        tiny.eval().fold_norms()  # before rounding: variances do not bear it
        tiny.to(dtype)
    else:
        shape = vit_shape(tensors, path)
        with torch.device(
            "meta"
        ):  # its tensors come from the file: no memory, no time for random ones
            encoder = vit_encoder(
                shape.embed_dim, shape.depth, shape.heads, shape.global_blocks, shape.image_size
            )
        module = Sam(encoder, image_size=shape.image_size, preprocessing=preprocessing)
        load_strictly(module, _owned(tensors, torch.float32, encoder_dtype=dtype), what)
    if dtype != torch.float32:
        module.image_encoder = HalfPrecision(module.image_encoder, dtype)
    return module


@contextmanager
def _triton_left_alone() -> Iterator[None]:
    """Keep torchvision from loading triton where there is no CUDA device, which alone could use it.

    Triton's LLVM and that of Mesa's software OpenGL, with which a window may be drawn already,
    crash in one process.
    """
    if torch.cuda.is_available() or "triton" in sys.modules:
        yield
        return
    sys.modules["triton"] = None  # type: ignore[assignment]  # its import fails, as where it is not installed
    try:
        yield
    finally:
        del sys.modules["triton"]


def _owned(
    tensors: Mapping[str, Tensor], dtype: torch.dtype, encoder_dtype: torch.dtype | None = None
) -> dict[str, Tensor]:
    """Copy tensors out of the file, so that it may be moved, in the precision wanted; integers stay what they are."""
    owned = {}
    for name, value in tensors.items():
        wanted = (
            encoder_dtype
            if encoder_dtype is not None and name.startswith("image_encoder.")
            else dtype
        )
        owned[name] = value.to(
            wanted if value.is_floating_point() else value.dtype, copy=True
        ).contiguous()
    return owned


def _universeg(tensors: Mapping[str, Tensor]) -> UniverSeg:
    """Build UniverSeg of the size of its tensors: 2 C + 1 channels enter the first block."""
    name = re.compile(r"enc_blocks\.\d+\.cross\.cross_conv\.weight")
    weights = [value for key, value in sorted(tensors.items()) if name.fullmatch(key)]
    return UniverSeg((weights[0].shape[1] - 1) // 2, [value.shape[0] for value in weights])


class HalfPrecision(nn.Module):
    """An encoder that computes in half precision between float32 images and float32 embeddings.

    Prompt encoder and decoder are a twentieth of the parameters and stay in float32.
    """

    def __init__(self, encoder: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.encoder, self.dtype = encoder, dtype

    def forward(self, x: Tensor) -> Tensor:
        """Embed normalised images."""
        return self.encoder(x.to(self.dtype)).float()  # type: ignore[no-any-return]
