"""The architecture of a checkpoint, read off its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_iclsam.weights.entry import Architecture

if TYPE_CHECKING:
    pass


_GRID = 64
"""Cells of SAM's embedding in each direction."""


_PATCH = 16
"""Pixels of a cell of SAM's vision transformers in each direction."""


_VIT_BY_WIDTH: Mapping[int, Architecture] = {1024: "vit_l", 1280: "vit_h"}
"""Channels of SAM's vision transformers but the smallest."""


@dataclass(frozen=True, slots=True)
class VitShape:
    """The size of a SAM image encoder, as `vit_encoder` takes it."""

    embed_dim: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]
    image_size: int


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
