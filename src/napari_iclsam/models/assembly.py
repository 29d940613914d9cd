"""Networks of the tensors of a file."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from napari_iclsam.models.architectures import vit_shape
from napari_iclsam.models.checkpoint import load_strictly, metadata
from napari_iclsam.models.starter_sam import StarterSam
from napari_iclsam.models.two_scales import TwoScales
from napari_iclsam.models.universeg import UniverSeg
from napari_iclsam.weights.entry import Architecture, Scaling

if TYPE_CHECKING:
    from napari_iclsam.models.sam import Preprocessing, Sam


IN_CONTEXT = frozenset({"starter_icl", "universeg"})
"""Architectures of in-context models; the others are promptable."""


@dataclass(frozen=True, slots=True)
class File:
    """Content of a file of weights."""

    path: Path
    architecture: Architecture
    tensors: Mapping[str, Tensor]

    @property
    def misfit(self) -> str:
        """The beginning of the message for tensors that are missing or unknown."""
        return f"{self.path} does not fit {self.architecture}"


def assemble(file: File, scaling: Scaling, dtype: torch.dtype) -> nn.Module:
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


def _in_context(file: File) -> nn.Module:
    """Build an in-context network in single precision."""
    module = TwoScales() if file.architecture == "starter_icl" else _universeg(file.tensors)
    tensors = _owned(file.tensors, torch.float32)
    load_strictly(module, tensors, file.misfit)
    return module


def _tiny_sam(file: File, preprocessing: Preprocessing, dtype: torch.dtype) -> Sam:
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


def _vit_sam(file: File, preprocessing: Preprocessing, dtype: torch.dtype) -> Sam:
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
