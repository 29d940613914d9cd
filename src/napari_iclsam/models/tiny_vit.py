"""The image encoder of MobileSAM and LiteMedSAM: TinyViT from timm under SAM's neck.

Zhang et al., "Faster Segment Anything", 2023; Wu et al., "TinyViT", ECCV 2022. Against TinyViT for
classification, the last stage keeps the 64 x 64 grid of the one before, and SAM's neck stands in
the place of the classification head. MobileSAM embeds 1024 x 1024 pixels. LiteMedSAM (Ma et al.,
"Segment anything in medical images", 2024) embeds 256 x 256 pixels: its patch embedding does not
reduce the resolution, so the grid is the same. The module knows no files and no devices.

Parameters and names are timm's; the way through them is cheaper and gives the same embedding:

* Batch norms are folded into the convolutions before them, once the weights are loaded.
* Images are channels-last, and a processor takes a few rows at once through the convolutions of the
  first stage, and some tokens at once through an MLP: what lies between the layers stays in its
  cache.
* The table of attention biases has four dimensions. With three, as in timm, PyTorch does not find
  its
  fused kernel for processors and is four times slower.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from segment_anything.modeling.common import LayerNorm2d
from timm.models.tiny_vit import ConvNorm, TinyVit
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

IGNORED_KEYS = frozenset(
    {
        "image_encoder.norm_head.weight",
        "image_encoder.norm_head.bias",
        "image_encoder.head.weight",
        "image_encoder.head.bias",
    }
)
"""Keys of the published file without use here: the head with which TinyViT was trained to
classify."""

_INDICES = re.compile(r"\.attention_bias_idxs$")
"""Tables of which entry of the biases each pair of cells takes: they follow from the window, but
some copies of the file keep them."""

_RENAMED = (
    (re.compile(r"^image_encoder\.patch_embed\.seq\.0\."), "image_encoder.patch_embed.conv1."),
    (re.compile(r"^image_encoder\.patch_embed\.seq\.2\."), "image_encoder.patch_embed.conv2."),
    (re.compile(r"^image_encoder\.layers\.(\d+)\.blocks\."), r"image_encoder.stages.\1.blocks."),
    (re.compile(r"^(image_encoder\..*)\.c\.weight$"), r"\1.conv.weight"),
)
"""Patterns of published names, and timm's names for them."""

_DOWNSAMPLE = re.compile(r"^image_encoder\.layers\.(\d+)\.downsample\.")

LITE_IMAGE_SIZE = 256
"""Side of LiteMedSAM's square input, in pixels."""

_ROWS = 16
"""Rows of the image that a processor takes through a bottleneck at once."""

_MLP_TOKENS = 1024
"""Tokens that a processor takes through an MLP at once."""


class TinyVitEncoder(nn.Module):
    """(B, 3, image_size, image_size) -> (B, 256, 64, 64).

    Parameters
    ----------
    image_size : {1024, 256}
        Side of the square input in pixels: 1024 for MobileSAM, 256 for LiteMedSAM.
    """

    def __init__(self, image_size: int = 1024) -> None:
        super().__init__()
        if image_size not in (1024, LITE_IMAGE_SIZE):
            raise ValueError(
                f"expected an image size of 1024 or {LITE_IMAGE_SIZE}, got {image_size}"
            )
        backbone = TinyVit(
            num_classes=0,
            embed_dims=(64, 128, 160, 320),
            depths=(2, 2, 6, 2),
            num_heads=(2, 4, 5, 10),
            window_sizes=(7, 7, 14, 7),
            drop_path_rate=0.0,
        )
        merging: Any = backbone.stages[3].downsample
        # timm halves the grid here, MobileSAM keeps it.
        merging.conv2.conv.stride = (1, 1)
        if image_size == LITE_IMAGE_SIZE:
            _keep_resolution(backbone.patch_embed)
        self.patch_embed: Any = backbone.patch_embed
        self.stages: Any = backbone.stages
        self.neck = nn.Sequential(
            nn.Conv2d(320, 256, 1, bias=False),
            LayerNorm2d(256),
            nn.Conv2d(
                256,
                256,
                3,
                padding=1,
                bias=False,
            ),
            LayerNorm2d(256),
        )

    def fold_norms(self) -> None:
        """Fold each batch norm into the convolution before it. Only in evaluation mode."""
        for parent in list(self.modules()):
            for name, layer in list(parent.named_children()):
                if isinstance(layer, ConvNorm):
                    setattr(parent, name, fuse_conv_bn_eval(layer.conv, layer.bn))

    def forward(self, x: Tensor) -> Tensor:
        """Embed normalised images."""
        if self._wants_gradients(x):
            return self.neck(self.stages(self.patch_embed(x)))  # type: ignore[no-any-return]
        x = self.patch_embed(x.contiguous(memory_format=torch.channels_last))
        for block in self.stages[0].blocks:
            x = _through_bottleneck(block, x)
        for stage in self.stages[1:]:
            tokens = stage.downsample(x).permute(0, 2, 3, 1)
            tokens = tokens.contiguous()
            for block in stage.blocks:
                tokens = _through_transformer(block, tokens)
            x = tokens.permute(0, 3, 1, 2)
        return self.neck(x)  # type: ignore[no-any-return]

    def _wants_gradients(self, x: Tensor) -> bool:
        if not torch.is_grad_enabled():
            return False
        return x.requires_grad or any(p.requires_grad for p in self.parameters())


def _keep_resolution(patch_embed: Any) -> None:
    """Exchange both 3 x 3 convolutions of stride 2 for 1 x 1 convolutions of stride 1."""
    for layer in (patch_embed.conv1, patch_embed.conv2):
        strided = layer.conv
        layer.conv = nn.Conv2d(
            strided.in_channels,
            strided.out_channels,
            kernel_size=1,
            bias=False,
        )


def _through_bottleneck(block: Any, x: Tensor) -> Tensor:
    """Take (B, C, H, W) through timm's `MBConv`, on a processor some rows at once."""
    height = x.shape[2]
    rows = _ROWS if x.is_cpu else height
    out = torch.empty_like(x)
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        # The 3 x 3 convolution sees one row more at each side.
        above = min(start, 1)
        seen = x[:, :, start - above : stop + 1]
        hidden = F.gelu(block.conv1(seen))
        hidden = F.gelu(block.conv2(hidden))
        hidden = block.conv3(hidden[:, :, above : above + stop - start])
        hidden += x[:, :, start:stop]
        out[:, :, start:stop] = F.gelu(hidden)
    return out


def _through_transformer(block: Any, tokens: Tensor) -> Tensor:
    """Take (B, H, W, C) through timm's `TinyVitBlock`."""
    tokens = tokens + _attend_in_windows(block.attn, tokens, block.window_size)
    grid = block.local_conv(tokens.permute(0, 3, 1, 2))
    mixed: Tensor = grid.permute(0, 2, 3, 1).contiguous()
    flat = mixed.view(-1, mixed.shape[-1])
    at_once = _MLP_TOKENS if flat.is_cpu else len(flat)
    for part in flat.split(at_once):
        part.add_(block.mlp(part))
    return mixed


def _attend_in_windows(attention: Any, tokens: Tensor, side: int) -> Tensor:
    """Let the tokens of each window attend to each other.

    Windows at the border are filled up with zeros.

    Parameters
    ----------
    attention : timm's `NormAttention`
    tokens : Tensor, (B, H, W, C)
    side : int
        Of a window, in tokens.

    Returns
    -------
    Tensor, (B, H, W, C)
    """
    _, height, width, _ = tokens.shape
    # The grid is no multiple of the window's side.
    right = -width % side
    below = -height % side
    padded = F.pad(tokens, (0, 0, 0, right, 0, below))
    windows = _windows(padded, side)
    listed = windows.flatten(0, 2).flatten(1, 2)
    attended = _attend(attention, listed)
    grid = attended.view(windows.shape).transpose(2, 3)
    whole: Tensor = grid.reshape(padded.shape)
    return whole[:, :height, :width]


def _windows(grid: Tensor, side: int) -> Tensor:
    """Split (B, H, W, C) into windows: (B, rows, columns, side, side, C)."""
    by_column = grid.unflatten(2, (-1, side))
    windows: Tensor = by_column.unflatten(1, (-1, side))
    return windows.transpose(2, 3)


def _attend(attention: Any, windows: Tensor) -> Tensor:
    """Run timm's attention on N windows of T tokens, (N, T, C)."""
    projected = attention.qkv(attention.norm(windows))
    heads = projected.unflatten(2, (attention.num_heads, -1))
    heads = heads.transpose(1, 2)
    depths = [attention.key_dim, attention.key_dim, attention.val_dim]
    query, key, value = heads.split(depths, dim=3)
    # A table of three dimensions, as timm has it, would miss the fused kernel.
    bias = attention.get_attention_biases(windows.device)
    bias = bias[None].to(query.dtype)
    attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    joined = attended.transpose(1, 2).flatten(2)
    output: Tensor = attention.proj(joined)
    return output


def from_published(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of a published file the names that timm has; the decoder's names stay."""
    ours = {}
    for name, value in tensors.items():
        if not _INDICES.search(name):
            ours[renamed(name)] = value
    return ours


def renamed(name: str) -> str:
    """Return timm's name of a published name."""
    name = _DOWNSAMPLE.sub(_renamed_downsample, name)
    for pattern, replacement in _RENAMED:
        name = pattern.sub(replacement, name)
    return name


def _renamed_downsample(match: re.Match[str]) -> str:
    # In timm downsampling opens a stage, in the published file it closes the one before.
    stage = int(match[1]) + 1
    return f"image_encoder.stages.{stage}.downsample."
