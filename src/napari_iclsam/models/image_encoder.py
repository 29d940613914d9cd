"""SAM's image encoder, equal to segment-anything's and cheaper.

Kirillov et al., "Segment Anything", ICCV 2023; Li et al., "Exploring Plain Vision Transformer
Backbones", ECCV 2022. Parameters are segment-anything's own; only the way through them differs:

* Between the blocks the tokens lie window after window, so that a block that attends within windows
  moves none of them. The windows at the border are smaller; the padding that fills them up in the
  original has one key and one value, the bias of their projection, and needs neither queries nor
  output.
* A block that attends over the whole grid never holds its attention matrix: one head and some
  queries at a time, their relative positions as the sum of a term a row and a term a column of
  keys; on a graphics card all at once in a fused kernel, the positions folded into the product of
  queries and keys.
* Changes of the tokens are added in place, and the MLP takes as many tokens at once as the cache
  holds.

The module knows no files and no devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, cast

import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import Attention
from torch import Tensor, nn
from torch.nn import functional as F

from napari_iclsam.models.global_attention import (
    GlobalHeads,
    attend_folded,
    attend_one_by_one,
    span_length,
)

_WINDOW = 14
"""Side of a window, in tokens."""


_MLP_TOKENS = 1024
"""Tokens that a processor takes through the MLP at once: their hidden layer stays in its cache."""


@dataclass(frozen=True, slots=True)
class _Windows:
    """Windows of one size.

    Attributes
    ----------
    tokens : slice
        Where their tokens lie.
    rows, columns : slice
        Of the grid.
    height, width : int
        Of one window.
    """

    tokens: slice
    rows: slice
    columns: slice
    height: int
    width: int

    @property
    def whole(self) -> bool:
        """Whether the windows are as large as in the middle of the image."""
        return (self.height, self.width) == (_WINDOW, _WINDOW)


@dataclass(frozen=True, slots=True)
class _Positions:
    """Relative positions of a block, (size of queries, size of keys, channels of a head)."""

    rows: Tensor
    columns: Tensor


class ImageEncoder(ImageEncoderViT):  # type: ignore[misc]
    """SAM's image encoder: (B, 3, s, s) -> (B, 256, s / 16, s / 16).

    Where gradients are wanted it runs in segment-anything's own way.

    Parameters
    ----------
    embed_dim, depth, heads : int
        ViT-B: 768, 12, 12.
    global_blocks : sequence of int
        Which blocks attend over the whole grid. ViT-B: 2, 5, 8, 11.
    image_size : int
    """

    def __init__(
        self,
        embed_dim: int,
        depth: int,
        heads: int,
        global_blocks: Sequence[int],
        image_size: int = 1024,
    ) -> None:
        layer_norm: Callable[..., nn.Module] = partial(nn.LayerNorm, eps=1e-6)
        super().__init__(
            img_size=image_size,
            embed_dim=embed_dim,
            depth=depth,
            num_heads=heads,
            global_attn_indexes=tuple(global_blocks),
            norm_layer=layer_norm,
            use_rel_pos=True,
            window_size=_WINDOW,
        )
        self._windows = tuple(_partition(image_size // 16, _WINDOW))
        self._positions: dict[int, _Positions] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Embed normalised, padded images (B, 3, image_size, image_size)."""
        if self._wants_gradients(x):
            return super().forward(x)  # type: ignore[no-any-return]
        grid = self.patch_embed(x) + self.pos_embed
        size = grid.shape[1]
        tokens = self._to_windows(grid)
        for index, block in enumerate(self.blocks):
            attend = self._attend_in_windows if block.window_size else self._attend_globally
            attended = attend(index, block.attn, block.norm1(tokens))
            tokens += block.attn.proj(attended)
            _add_mlp(block, tokens)
        grid = self._to_grid(tokens, size)
        return self.neck(grid.permute(0, 3, 1, 2))  # type: ignore[no-any-return]

    def _wants_gradients(self, x: Tensor) -> bool:
        if not torch.is_grad_enabled():
            return False
        return x.requires_grad or any(p.requires_grad for p in self.parameters())

    def _attend_in_windows(self, index: int, attention: Attention, tokens: Tensor) -> Tensor:
        """Let the tokens of each window attend to each other: (B, T, C) -> (B, T, C)."""
        batch, _, channels = tokens.shape
        positions = self._relative_positions(index, attention, _WINDOW)
        heads = attention.num_heads
        qkv = attention.qkv(tokens).unflatten(2, (3, heads, -1))
        padding = attention.qkv.bias.view(3, heads, 1, 1, -1)
        # Groups are written side by side: joining them would copy all tokens once more.
        out = torch.empty_like(tokens)
        for group in self._windows:
            part = qkv[:, group.tokens]
            cells = group.height * group.width
            windows = part.reshape(-1, cells, *part.shape[2:])
            q, k, v = windows.permute(2, 0, 3, 1, 4)
            bias = _window_bias(q, positions, group)
            # The original pads the border with tokens of zeros before the projection.
            if not group.whole:
                k = _fill_up(k, padding[1], group)
                v = _fill_up(v, padding[2], group)
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
            together = attended.transpose(1, 2)
            out[:, group.tokens] = together.reshape(batch, -1, channels)
        return out

    def _attend_globally(self, index: int, attention: Attention, tokens: Tensor) -> Tensor:
        """Let each token attend to all: (B, T, C) -> (B, T, C)."""
        size = self._windows[-1].rows.stop
        heads = self._heads(index, attention, tokens)
        attend = attend_folded if tokens.is_cuda else attend_one_by_one
        out = attend(heads)
        grid = out.flatten(2).unflatten(1, (size, size))
        return self._to_windows(grid)

    def _heads(self, index: int, attention: Attention, tokens: Tensor) -> GlobalHeads:
        """Project the tokens (B, T, C) of the whole grid, in the order of its rows."""
        size = self._windows[-1].rows.stop
        positions = self._relative_positions(index, attention, size)
        grid = self._to_grid(attention.qkv(tokens), size)
        cells = grid.flatten(1, 2)
        qkv = cells.unflatten(2, (3, attention.num_heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        # The products below read it twice and more.
        q = q.contiguous()
        rows = q.unflatten(2, (size, size))
        by_row = torch.einsum("nhyxc,ykc->nhyxk", rows, positions.rows)
        by_column = torch.einsum("nhyxc,xkc->nhyxk", rows, positions.columns)
        return GlobalHeads(
            q=q,
            k=k.contiguous(),
            v=v.contiguous(),
            by_row=by_row.flatten(2, 3),
            by_column=by_column.flatten(2, 3),
        )

    def _to_windows(self, grid: Tensor) -> Tensor:
        """Put the tokens of a grid (B, H, W, C) window after window, (B, H * W, C)."""
        batch, size, _, channels = grid.shape
        tokens = grid.new_empty(batch, size * size, channels)
        for pair in self._pairs(grid, tokens):
            pair.tokens.copy_(pair.grid)
        return tokens

    def _to_grid(self, tokens: Tensor, size: int) -> Tensor:
        """Undo `_to_windows`."""
        batch, _, channels = tokens.shape
        grid = tokens.new_empty(batch, size, size, channels)
        for pair in self._pairs(grid, tokens):
            pair.grid.copy_(pair.tokens)
        return grid

    def _pairs(self, grid: Tensor, tokens: Tensor) -> Iterator[_SameWindows]:
        """Go through views of a grid and of its tokens that hold the same windows."""
        for group in self._windows:
            part = grid[:, group.rows, group.columns]
            part = part.unflatten(2, (-1, group.width))
            part = part.unflatten(1, (-1, group.height))
            part = part.transpose(2, 3)
            same = tokens[:, group.tokens]
            yield _SameWindows(part, same.view(part.shape))

    def _relative_positions(self, index: int, attention: Attention, size: int) -> _Positions:
        """Return the relative positions of a block, laid out once."""
        if index not in self._positions:
            at = torch.arange(size, device=attention.rel_pos_h.device)
            offset = at[:, None] - at[None, :] + size - 1
            rows = attention.rel_pos_h[offset]
            self._positions[index] = _Positions(rows, attention.rel_pos_w[offset])
        return self._positions[index]

    # The relative positions are laid out anew when the parameters change.

    def train(self, mode: bool = True) -> Self:
        """Switch to training or evaluation mode."""
        self._positions.clear()
        return cast(Self, super().train(mode))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._positions.clear()
        return cast(Self, super()._apply(fn, recurse))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], *args: Any) -> None:
        self._positions.clear()
        super()._load_from_state_dict(state_dict, *args)


@dataclass(frozen=True, slots=True)
class _SameWindows:
    """Views of a grid and of its tokens that hold the same windows.

    Attributes
    ----------
    grid, tokens : Tensor, (B, rows, columns, h, w, C)
    """

    grid: Tensor
    tokens: Tensor


def _partition(size: int, window: int) -> Iterator[_Windows]:
    """Split a square grid into windows, those of one size next to each other."""
    whole = size - size % window
    middle = (slice(0, whole), window)
    border = (slice(whole, size), size % window)
    spans = [middle, border]
    start = 0
    for rows, height in spans:
        for columns, width in spans:
            count = span_length(rows) * span_length(columns)
            if count:
                tokens = slice(start, start + count)
                yield _Windows(tokens, rows, columns, height, width)
                start += count


def _window_bias(q: Tensor, positions: _Positions, group: _Windows) -> Tensor:
    """Return the relative positions' part of the logits.

    Parameters
    ----------
    q : Tensor, (N, heads, h * w, c)
        Queries of N windows.
    positions : _Positions
    group : _Windows

    Returns
    -------
    Tensor, (N, heads, h * w, 14 * 14)
        Keys are those of a whole window.
    """
    queries = q.unflatten(2, (group.height, group.width))
    rows = positions.rows[: group.height]
    columns = positions.columns[: group.width]
    by_row = torch.einsum("nhyxc,ykc->nhyxk", queries, rows)
    by_column = torch.einsum("nhyxc,xkc->nhyxk", queries, columns)
    bias = by_row[..., :, None] + by_column[..., None, :]
    return bias.flatten(4).flatten(2, 3)


def _fill_up(x: Tensor, padding: Tensor, group: _Windows) -> Tensor:
    """Fill windows of the border up to whole ones with the key or the value of the padding.

    Parameters
    ----------
    x : Tensor, (N, heads, h * w, c)
    padding : Tensor, (heads, 1, 1, c)
    group : _Windows

    Returns
    -------
    Tensor, (N, heads, 14 * 14, c)
    """
    filled = padding.expand(len(x), -1, _WINDOW, _WINDOW, -1)
    filled = filled.contiguous()
    windows = x.unflatten(2, (group.height, group.width))
    filled[:, :, : group.height, : group.width] = windows
    return filled.flatten(2, 3)


def _add_mlp(block: Any, tokens: Tensor) -> None:
    """Add the output of a block's MLP to the tokens (B, T, C), in place."""
    flat = tokens.flatten(0, 1)
    at_once = _MLP_TOKENS if tokens.is_cpu else len(flat)
    for part in flat.split(at_once):
        part.add_(block.mlp(block.norm2(part)))
