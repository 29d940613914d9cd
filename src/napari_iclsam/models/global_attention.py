"""Attention over the whole grid of SAM's image encoder, without its matrix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_QUERIES = 256
"""Queries of one head that attend over the whole grid at once."""


@dataclass(frozen=True, slots=True)
class GlobalHeads:
    """Attention over the whole grid, of all heads of B images or of one head.

    Attributes
    ----------
    q, k, v : Tensor, (B, heads, T, c) or (T, c)
    by_row, by_column : Tensor, (B, heads, T, size) or (T, size)
        The relative positions' terms of the logits, for each row and for each column of keys.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    by_row: Tensor
    by_column: Tensor

    def one(self, image: int, head: int) -> GlobalHeads:
        """Return one head of one image."""
        at = (image, head)
        return GlobalHeads(
            q=self.q[at],
            k=self.k[at],
            v=self.v[at],
            by_row=self.by_row[at],
            by_column=self.by_column[at],
        )


def span_length(span: slice) -> int:
    """Return how many items a slice takes."""
    length: int = span.stop - span.start
    return length


def attend_one_by_one(heads: GlobalHeads) -> Tensor:
    """Attend head by head, as a processor does it best: (B, T, heads, c)."""
    images, count, tokens, channels = heads.q.shape
    out = heads.q.new_empty(images, tokens, count, channels)
    # In half precision, processors take twice as long for the fused kernel.
    attend = _attend_fused if heads.q.dtype == torch.float32 else _attend_by_products
    for image in range(images):
        for head in range(count):
            one = heads.one(image, head)
            attend(one, out[image, :, head])
    return out


def _attend_fused(head: GlobalHeads, out: Tensor) -> None:
    """Attend with one head by PyTorch's fused kernel, some queries at a time.

    Parameters
    ----------
    head : GlobalHeads
    out : Tensor, (T, c)
        Takes the result.
    """
    k = head.k[None, None]
    v = head.v[None, None]
    for part in _parts(len(head.q)):
        q = head.q[None, None, part]
        by_row = head.by_row[part, :, None]
        by_column = head.by_column[part, None, :]
        bias = (by_row + by_column).flatten(1)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        out[part] = attended[0, 0]


def _attend_by_products(head: GlobalHeads, out: Tensor) -> None:
    """Attend with one head step by step; parameters as of `_attend_fused`."""
    scale = head.k.shape[-1] ** -0.5
    keys = (head.k * scale).T.contiguous()
    buffer = head.q.new_empty(_QUERIES, len(head.k))
    for part in _parts(len(head.q)):
        logits = buffer[: span_length(part)]
        torch.mm(head.q[part], keys, out=logits)
        by_row = head.by_row[part, :, None]
        by_column = head.by_column[part, None, :]
        # In place, because fresh memory takes longer than the sum.
        grid = logits.unflatten(1, (by_row.shape[1], -1))
        grid.add_(by_row)
        grid.add_(by_column)
        weights = torch.softmax(logits, dim=1, out=logits)
        out[part] = weights @ head.v


def attend_folded(heads: GlobalHeads) -> Tensor:
    """Attend with all heads in one call: relative positions as further channels of the product.

    A graphics card waits for many small calls longer than for a larger product.

    Returns
    -------
    Tensor, (B, T, heads, c)
    """
    rows = heads.by_row.shape[-1]
    columns = heads.by_column.shape[-1]
    place = _one_hot_places((rows, columns), heads.k)
    of_all = place.expand(*heads.k.shape[:2], -1, -1)
    scaled = heads.q * heads.q.shape[-1] ** -0.5
    queries = torch.cat([scaled, heads.by_row, heads.by_column], dim=-1)
    keys = torch.cat([heads.k, of_all], dim=-1)
    attended = F.scaled_dot_product_attention(
        queries,
        keys,
        heads.v,
        scale=1.0,
    )
    return attended.transpose(1, 2)


def _one_hot_places(size: tuple[int, int], like: Tensor) -> Tensor:
    """Return row and column of each cell, one-hot: (rows * columns, rows + columns)."""
    rows, columns = size
    index = torch.arange(rows * columns, device=like.device)
    row = F.one_hot(index // columns, rows)
    column = F.one_hot(index % columns, columns)
    places = torch.cat([row, column], dim=1)
    return places.to(like.dtype)


def _parts(count: int) -> Iterator[slice]:
    """Split queries into parts of at most `_QUERIES`."""
    for start in range(0, count, _QUERIES):
        yield slice(start, min(start + _QUERIES, count))
