"""SAM's two-way transformer with guidance by a confidence map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from segment_anything.modeling import TwoWayTransformer
from segment_anything.modeling.transformer import Attention
from torch import Tensor, nn
from torch.nn import functional as F

SINGLE_MASK = 1
"""Output tokens are [IoU, 4 masks, prompts]; the first mask token is that of the single mask."""


@dataclass(frozen=True, slots=True)
class TransformerImage:
    """Cells of the image, (N, h * w, C), and their positional encoding."""

    cells: Tensor
    position: Tensor

    @property
    def placed(self) -> Tensor:
        """The cells with their position."""
        return self.cells + self.position


class GuidedTwoWayTransformer(TwoWayTransformer):  # type: ignore[misc]
    """SAM's two-way transformer with guidance.

    A bias is added in its last two attentions between tokens and image.
    """

    def forward(
        self,
        image_embedding: Tensor,
        image_pe: Tensor,
        point_embedding: Tensor,
        bias: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run the transformer.

        Parameters
        ----------
        image_embedding, image_pe : Tensor, (N, C, h, w)
        point_embedding : Tensor, (N, T, C)
        bias : Tensor, (N, h * w), optional
            Added to the logits with which image cells attend to the single-mask token in the last
            block, and to those with which that token attends to image cells at the end.

        Returns
        -------
        tuple of Tensor, (N, T, C) and (N, h * w, C)
            Tokens and image.
        """
        # Cells in a list, as attention takes them.
        cells = image_embedding.flatten(2).transpose(1, 2)
        position = image_pe.flatten(2).transpose(1, 2)
        image = TransformerImage(cells, position)
        tokens = point_embedding
        token_pe = point_embedding
        last = len(self.layers) - 1
        for index, block in enumerate(self.layers):
            placed = image.placed
            tokens = _attend_among_tokens(block, tokens, token_pe)
            attention = block.cross_attn_token_to_image
            attended = _tokens_to_image(attention, tokens + token_pe, placed, image.cells)
            tokens = block.norm2(tokens + attended)
            tokens = block.norm3(tokens + block.mlp(tokens))
            attention = block.cross_attn_image_to_token
            guidance = bias if index == last else None
            attended = _image_to_tokens(attention, placed, tokens + token_pe, tokens, guidance)
            cells = block.norm4(attended.add_(image.cells))
            image = TransformerImage(cells, position)
        attention = self.final_attn_token_to_image
        attended = _tokens_to_image(
            attention,
            tokens + token_pe,
            image.placed,
            image.cells,
            bias,
        )
        return self.norm_final_attn(tokens + attended), image.cells


def _attend_among_tokens(block: nn.Module, tokens: Tensor, token_pe: Tensor) -> Tensor:
    """Run the self-attention of a block on tokens (N, T, C) with positional encoding."""
    attention = cast(Attention, block.self_attn)
    if block.skip_first_layer_pe:
        # The first block has the positional encoding in its tokens already.
        attended = _attend(attention, tokens, tokens, tokens)
    else:
        placed = tokens + token_pe
        attended = tokens + _attend(attention, placed, placed, tokens)
    normed: Tensor = cast(nn.LayerNorm, block.norm1)(attended)
    return normed


def _attend(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Run one of segment-anything's attention modules."""
    q = _by_head(attention.q_proj(q), attention)
    k = _by_head(attention.k_proj(k), attention)
    v = _by_head(attention.v_proj(v), attention)
    attended = F.scaled_dot_product_attention(
        q.transpose(1, 2),
        k.transpose(1, 2),
        v.transpose(1, 2),
    )
    joined = attended.transpose(1, 2).flatten(2)
    return attention.out_proj(joined)  # type: ignore[no-any-return]


def _tokens_to_image(
    attention: Attention, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Let few tokens attend to many cells.

    The cells are not projected: q . (W k) = (W^T q) . k, and the weighted mean of W v is W times
    that of v. The bias of W adds the same to the logits of all cells.

    Parameters
    ----------
    attention : Attention
    q : Tensor, (N, T, C)
        Tokens.
    k, v : Tensor, (N, M, C)
        Cells.
    bias : Tensor, (N, M), optional
        Added to the logits of the single-mask token.

    Returns
    -------
    Tensor, (N, T, C)
    """
    q = _by_head(attention.q_proj(q), attention)
    _, tokens, heads, depth = q.shape
    into_k = _by_head(attention.k_proj.weight.T, attention)
    into_v = _by_head(attention.v_proj.weight.T, attention)
    queries = torch.einsum("nthd,chd->nhtc", q, into_k)
    logits = queries.flatten(1, 2) @ k.mT
    logits = logits.unflatten(1, (heads, tokens))
    logits = logits / depth**0.5
    if bias is not None:
        logits[:, :, SINGLE_MASK] += bias[:, None]
    weights = logits.softmax(dim=-1)
    mixed = weights.flatten(1, 2) @ v
    mixed = mixed.unflatten(1, (heads, tokens))
    out = torch.einsum("nhtc,chd->nthd", mixed, into_v).flatten(2)
    return attention.out_proj(out + attention.v_proj.bias)  # type: ignore[no-any-return]


def _image_to_tokens(
    attention: Attention, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Let many cells attend to few tokens.

    As in `_tokens_to_image`, the cells are not projected, neither before nor after.

    Parameters
    ----------
    attention : Attention
    q : Tensor, (N, M, C)
        Cells.
    k, v : Tensor, (N, T, C)
        Tokens.
    bias : Tensor, (N, M), optional
        Added to the logits of the single-mask token.

    Returns
    -------
    Tensor, (N, M, C)
    """
    k = _by_head(attention.k_proj(k), attention)
    v = _by_head(attention.v_proj(v), attention)
    _, tokens, heads, depth = k.shape
    into_q = _by_head(attention.q_proj.weight.T, attention)
    # The bias of the projection of q is the same for all cells, but not for all tokens.
    q_bias = _by_head(attention.q_proj.bias, attention)
    constant = torch.einsum("nthd,hd->nht", k, q_bias)
    keys = torch.einsum("nthd,chd->nhtc", k, into_q)
    logits = keys.flatten(1, 2) @ q.mT
    logits = logits.unflatten(1, (heads, tokens))
    logits = logits + constant[..., None]
    logits = logits / depth**0.5
    if bias is not None:
        logits[:, :, SINGLE_MASK] += bias[:, None]
    out_weight = _by_head(attention.out_proj.weight, attention)
    values = torch.einsum("nthd,chd->nhtc", v, out_weight)
    weights = logits.softmax(dim=2)
    attended: Tensor = weights.flatten(1, 2).mT @ values.flatten(1, 2)
    # In place, because fresh memory takes longer than the sum.
    return attended.add_(attention.out_proj.bias)


def _by_head(x: Tensor, attention: Attention) -> Tensor:
    """Split the last axis: (..., heads * d) -> (..., heads, d)."""
    split: Tensor = x.unflatten(-1, (attention.num_heads, -1))
    return split
