"""SAM's image encoder, equal to segment-anything's and cheaper. Knows no files and no devices.

Kirillov et al., "Segment Anything", ICCV 2023; Li et al., "Exploring Plain Vision Transformer
Backbones", ECCV 2022. Parameters are segment-anything's own; only the way through them differs:

* Between the blocks the tokens lie window after window, so that a block that attends within windows
  moves none of
  them. The windows at the border are smaller; the padding that fills them up in the original has
  one key and one value, the bias of their projection, and needs neither queries nor output.
* A block that attends over the whole grid never holds its attention matrix: one head and some
  queries at a time, their
  relative positions as the sum of a term a row and a term a column of keys; on a graphics card all
  at once in a fused kernel, the positions folded into the product of queries and keys.
* What is added to the tokens is added in place, and the MLP takes as many tokens at once as the
  cache holds.
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

_WINDOW = 14
"""Side of a window, in tokens."""

_QUERIES = 256
"""Queries of one head that attend over the whole grid at once."""

_MLP_TOKENS = 1024
"""Tokens that a processor takes through the MLP at once: their hidden layer stays in its cache."""


@dataclass(frozen=True, slots=True)
class _Windows:
    """Windows of one size: the tokens ``start`` to ``stop``, of the rows and columns of the grid given by slices."""

    start: int
    stop: int
    rows: slice
    columns: slice
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class _Positions:
    """Relative positions of a block, (size of queries, size of keys, channels of a head) along each axis."""

    rows: Tensor
    columns: Tensor


class ImageEncoder(ImageEncoderViT):  # type: ignore[misc]
    """SAM's image encoder: (B, 3, image_size, image_size) -> (B, 256, image_size / 16, image_size / 16).

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
        """Embed normalised, padded images."""
        if torch.is_grad_enabled() and (
            x.requires_grad or any(p.requires_grad for p in self.parameters())
        ):
            return super().forward(x)  # type: ignore[no-any-return]
        grid = self.patch_embed(x) + self.pos_embed
        tokens = self._to_windows(grid)
        for index, block in enumerate(self.blocks):
            normed = block.norm1(tokens)
            if block.window_size:
                tokens += block.attn.proj(self._attend_in_windows(index, block.attn, normed))
            else:
                tokens += block.attn.proj(self._attend_globally(index, block.attn, normed))
            for part in tokens.flatten(0, 1).split(
                _MLP_TOKENS if tokens.is_cpu else tokens[..., 0].numel()
            ):
                part.add_(block.mlp(block.norm2(part)))
        grid = self._to_grid(tokens, grid.shape[1])
        return self.neck(grid.permute(0, 3, 1, 2))  # type: ignore[no-any-return]

    def _attend_in_windows(self, index: int, attention: Attention, tokens: Tensor) -> Tensor:
        """Let the tokens of each window attend to it: (B, T, C) -> (B, T, C)."""
        positions, heads = self._relative_positions(index, attention, _WINDOW), attention.num_heads
        qkv = attention.qkv(tokens)
        padding = attention.qkv.bias.view(3, heads, 1, 1, -1)
        out = torch.empty_like(tokens)
        for group in self._windows:
            shape = (-1, group.height * group.width, 3, heads, qkv.shape[-1] // (3 * heads))
            q, k, v = qkv[:, group.start : group.stop].reshape(shape).permute(2, 0, 3, 1, 4)
            q = q.unflatten(2, (group.height, group.width))
            if (group.height, group.width) != (_WINDOW, _WINDOW):
                k, v = (
                    _fill_up(x.unflatten(2, (group.height, group.width)), pad, _WINDOW)
                    for x, pad in ((k, padding[1]), (v, padding[2]))
                )
            by_row = torch.einsum("nhyxc,ykc->nhyxk", q, positions.rows[: group.height])
            by_column = torch.einsum("nhyxc,xkc->nhyxk", q, positions.columns[: group.width])
            bias = (by_row[..., :, None] + by_column[..., None, :]).flatten(4).flatten(2, 3)
            attended = F.scaled_dot_product_attention(q.flatten(2, 3), k, v, attn_mask=bias)
            out[:, group.start : group.stop] = attended.transpose(1, 2).reshape(
                len(tokens), -1, tokens.shape[-1]
            )
        return out

    def _attend_globally(self, index: int, attention: Attention, tokens: Tensor) -> Tensor:
        """Let each token attend to all: (B, T, C) -> (B, T, C)."""
        size, heads = self._windows[-1].rows.stop, attention.num_heads
        positions = self._relative_positions(index, attention, size)
        grid = self._to_grid(attention.qkv(tokens), size)
        q, k, v = (
            x.contiguous()
            for x in grid.flatten(1, 2).unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        )
        rows = q.unflatten(2, (size, size))
        by_row = torch.einsum("nhyxc,ykc->nhyxk", rows, positions.rows).flatten(2, 3)
        by_column = torch.einsum("nhyxc,xkc->nhyxk", rows, positions.columns).flatten(2, 3)
        out = tokens.new_empty(len(tokens), size * size, heads, q.shape[-1])
        if q.is_cuda:
            out = _attend_folded(q, k, v, by_row, by_column).transpose(1, 2)
            return self._to_windows(out.flatten(2).unflatten(1, (size, size)))
        attend = _attend_fused if q.dtype == torch.float32 else _attend_by_products
        for image in range(len(tokens)):
            for head in range(heads):
                one = (image, head)
                attend(q[one], k[one], v[one], by_row[one], by_column[one], out[image, :, head])
        return self._to_windows(out.flatten(2).unflatten(1, (size, size)))

    def _to_windows(self, grid: Tensor) -> Tensor:
        """Put the tokens of a grid (B, H, W, C) window after window, (B, H * W, C)."""
        batch, size, _, channels = grid.shape
        tokens = grid.new_empty(batch, size * size, channels)
        for there, here in self._pairs(grid, tokens):
            here.copy_(there)
        return tokens

    def _to_grid(self, tokens: Tensor, size: int) -> Tensor:
        """Undo `_to_windows`."""
        grid = tokens.new_empty(len(tokens), size, size, tokens.shape[-1])
        for there, here in self._pairs(grid, tokens):
            there.copy_(here)
        return grid

    def _pairs(self, grid: Tensor, tokens: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Go through views of a grid and of its tokens that hold the same windows: (B, rows, columns, h, w, C)."""
        for group in self._windows:
            height, width = group.height, group.width
            there = (
                grid[:, group.rows, group.columns]
                .unflatten(2, (-1, width))
                .unflatten(1, (-1, height))
            )
            there = there.transpose(2, 3)
            yield there, tokens[:, group.start : group.stop].view(there.shape)

    def _relative_positions(self, index: int, attention: Attention, size: int) -> _Positions:
        """Return the relative positions of a block, laid out once."""
        if index not in self._positions:
            at = torch.arange(size, device=attention.rel_pos_h.device)
            offset = at[:, None] - at[None, :] + size - 1
            self._positions[index] = _Positions(
                attention.rel_pos_h[offset], attention.rel_pos_w[offset]
            )
        return self._positions[index]

    # What is laid out once is forgotten when the parameters change.

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


def _partition(size: int, window: int) -> Iterator[_Windows]:
    """Part a square grid into windows, those of one size next to each other."""
    whole = size - size % window
    spans = [(slice(0, whole), window), (slice(whole, size), size % window)]
    start = 0
    for rows, height in spans:
        for columns, width in spans:
            count = (rows.stop - rows.start) * (columns.stop - columns.start)
            if count:
                yield _Windows(start, start + count, rows, columns, height, width)
                start += count


def _fill_up(x: Tensor, padding: Tensor, window: int) -> Tensor:
    """Fill (N, heads, h, w, c) up to whole windows with what the padding's tokens have, and flatten the windows."""
    filled = padding.expand(len(x), -1, window, window, -1).contiguous()
    filled[:, :, : x.shape[2], : x.shape[3]] = x
    return filled.flatten(2, 3)


def _attend_fused(
    q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_column: Tensor, out: Tensor
) -> None:
    """Attend with one head, q, k, v (T, c), by PyTorch's fused kernel, some queries at a time."""
    for part in _parts(len(q)):
        bias = (by_row[part, :, None] + by_column[part, None, :]).flatten(1)
        attended = F.scaled_dot_product_attention(
            q[None, None, part], k[None, None], v[None, None], attn_mask=bias
        )
        out[part] = attended[0, 0]


def _attend_by_products(
    q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_column: Tensor, out: Tensor
) -> None:
    """Do the same step by step: on processors, the fused kernel is half as fast in half precision."""
    keys = (k * k.shape[-1] ** -0.5).T.contiguous()
    logits = q.new_empty(_QUERIES, len(k))
    for part in _parts(len(q)):
        here = torch.mm(q[part], keys, out=logits[: part.stop - part.start])
        here.unflatten(1, (by_row.shape[1], -1)).add_(by_row[part, :, None]).add_(
            by_column[part, None, :]
        )
        out[part] = torch.softmax(here, dim=1, out=here) @ v


def _attend_folded(q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_column: Tensor) -> Tensor:
    """Attend with all heads, (B, heads, T, c), in one call: relative positions as further channels of the product.

    A graphics card waits for many small calls longer than for a larger product.
    """
    rows, columns = by_row.shape[-1], by_column.shape[-1]
    at = torch.arange(rows * columns, device=q.device)
    where = torch.cat([F.one_hot(at // columns, rows), F.one_hot(at % columns, columns)], dim=1).to(
        k.dtype
    )
    asking = torch.cat([q * q.shape[-1] ** -0.5, by_row, by_column], dim=-1)
    keys = torch.cat([k, where.expand(*k.shape[:2], -1, -1)], dim=-1)
    return F.scaled_dot_product_attention(asking, keys, v, scale=1.0)


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _QUERIES, count)) for start in range(0, count, _QUERIES))
