"""MobileSAM's image encoder: TinyViT from timm under SAM's neck. Knows no files and no devices.

Zhang et al., "Faster Segment Anything", 2023; Wu et al., "TinyViT", ECCV 2022. Against TinyViT for
classification: 1024 x 1024 input, the last stage keeps the 64 x 64 grid of the one before, and
SAM's neck stands in the place of the classification head.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from segment_anything.modeling.common import LayerNorm2d
from timm.models.tiny_vit import TinyVit
from torch import Tensor, nn

UNNEEDED = frozenset(
    f"image_encoder.{name}"
    for name in ("norm_head.weight", "norm_head.bias", "head.weight", "head.bias")
)
"""Names of the published file without use here: the head with which TinyViT was trained to
classify."""

_INDICES = re.compile(r"\.attention_bias_idxs$")
"""Which entry of the bias table each pair of cells takes: follows from the window, kept in some
copies of the file."""

_RENAMED = (
    (re.compile(r"^image_encoder\.patch_embed\.seq\.0\."), "image_encoder.patch_embed.conv1."),
    (re.compile(r"^image_encoder\.patch_embed\.seq\.2\."), "image_encoder.patch_embed.conv2."),
    (re.compile(r"^image_encoder\.layers\.(\d+)\.blocks\."), r"image_encoder.stages.\1.blocks."),
    (re.compile(r"^(image_encoder\..*)\.c\.weight$"), r"\1.conv.weight"),
)
_DOWNSAMPLE = re.compile(r"^image_encoder\.layers\.(\d+)\.downsample\.")


class TinyVitEncoder(nn.Module):
    """(B, 3, 1024, 1024) -> (B, 256, 64, 64)."""

    def __init__(self) -> None:
        super().__init__()
        backbone = TinyVit(
            num_classes=0,
            embed_dims=(64, 128, 160, 320),
            depths=(2, 2, 6, 2),
            num_heads=(2, 4, 5, 10),
            window_sizes=(7, 7, 14, 7),
            drop_path_rate=0.0,
        )
        merging: Any = backbone.stages[3].downsample
        merging.conv2.conv.stride = (1, 1)  # timm halves the grid here, MobileSAM keeps it
        self.patch_embed, self.stages = backbone.patch_embed, backbone.stages
        self.neck = nn.Sequential(
            nn.Conv2d(320, 256, 1, bias=False),
            LayerNorm2d(256),
            nn.Conv2d(256, 256, 3, padding=1, bias=False),
            LayerNorm2d(256),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Embed normalised images."""
        return self.neck(self.stages(self.patch_embed(x)))  # type: ignore[no-any-return]


def from_published(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of a published MobileSAM file the names that timm has; the decoder's names stay."""
    return {renamed(name): value for name, value in tensors.items() if not _INDICES.search(name)}


def renamed(name: str) -> str:
    """Return timm's name of a published name: downsampling opens a stage there, and closes the one before here."""
    name = _DOWNSAMPLE.sub(
        lambda match: f"image_encoder.stages.{int(match[1]) + 1}.downsample.", name
    )
    for pattern, replacement in _RENAMED:
        name = pattern.sub(replacement, name)
    return name
