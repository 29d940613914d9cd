"""SAM with a guided mask decoder, on segment-anything's networks.

Kirillov et al., "Segment Anything", ICCV 2023; guidance: Hu et al. 2024. The `segment-anything`
package stays unmodified and the state dict has its names. Guidance is published as attention
weights multiplied by exp(b) after the softmax and renormalised, which is the same as b added to the
attention logits before it. The module knows no files and no devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer
from segment_anything.modeling.transformer import Attention
from torch import Tensor, nn
from torch.nn import functional as F

from napari_iclsam.models.features import Decoded, Features, Resampling
from napari_iclsam.models.image_encoder import ImageEncoder
from napari_iclsam.models.prompts import Prompts

Preprocessing = Literal["sam", "medsam", "lite_medsam"]
"""How pixels are scaled: by ImageNet's mean and standard deviation, or to [0, 1] by the image's own
extremes.

"lite_medsam" is "medsam" on an image that was resized by averages over areas.
"""

_SINGLE_MASK = 1
"""Output tokens are [IoU, 4 masks, prompts]; the first mask token is that of the single mask."""

_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_IMAGENET_DEVIATION = (58.395, 57.12, 57.375)
"""Of red, green and blue, 0 to 255."""


@dataclass(frozen=True, slots=True)
class _Image:
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
        image = _Image(cells, position)
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
            image = _Image(cells, position)
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
        logits[:, :, _SINGLE_MASK] += bias[:, None]
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
        logits[:, :, _SINGLE_MASK] += bias[:, None]
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


class GuidedMaskDecoder(MaskDecoder):  # type: ignore[misc]
    """SAM's mask decoder, guided, with the single mask of each prompt as output."""

    def forward(
        self,
        embedding: Tensor,
        image_pe: Tensor,
        sparse: Tensor,
        dense: Tensor,
        bias: Tensor | None = None,
    ) -> Decoded:
        """Decode N prompts of one image.

        Parameters
        ----------
        embedding, image_pe : Tensor, (1, C, h, w)
        sparse : Tensor, (N, P, C)
            Embedded boxes and points.
        dense : Tensor, (N, C, h, w)
            Embedded masks.
        bias : Tensor, (N, h * w), optional
        """
        count = sparse.shape[0]
        outputs = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        outputs = outputs.expand(count, -1, -1)
        tokens = torch.cat([outputs, sparse], dim=1)
        position = image_pe.expand(count, -1, -1, -1)
        tokens, cells = self.transformer(
            embedding + dense,
            position,
            tokens,
            bias,
        )
        # The other masks are answers to ambiguous clicks; a box is not ambiguous.
        weights = self.output_hypernetworks_mlps[0](tokens[:, _SINGLE_MASK])
        logits = self._upscaled(
            cells,
            weights,
            embedding.shape[-2:],
        )
        iou = self.iou_prediction_head(tokens[:, 0])
        return Decoded(logits, iou[:, 0])

    def _upscaled(self, cells: Tensor, weights: Tensor, size: torch.Size) -> Tensor:
        """Upscale cells fourfold and weigh their channels.

        A transposed convolution of stride and size two is a product for each cell, with its four
        parts in the order of the cells; only the logits are put in the order of the image.

        Parameters
        ----------
        cells : Tensor, (N, h * w, C)
        weights : Tensor, (N, c)
        size : torch.Size
            h and w.

        Returns
        -------
        Tensor, (N, 4 h, 4 w)
            Logits.
        """
        first, norm, activate, second, finish = self.output_upscaling
        height, width = size
        x = _quartered(first, cells)
        shape = norm.weight.shape
        x = F.layer_norm(
            x,
            shape,
            norm.weight,
            norm.bias,
            norm.eps,
        )
        x = activate(x)
        upscaled = finish(_quartered(second, x))
        logits: Tensor = upscaled.flatten(1, -2) @ weights[:, :, None]
        parts = logits.view(-1, height, width, 2, 2, 2, 2)
        ordered = parts.permute(0, 1, 3, 5, 2, 4, 6)
        return ordered.reshape(-1, 4 * height, 4 * width)


def _quartered(convolution: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """Apply a transposed convolution of stride and size two: (..., C) -> (..., 2, 2, c).

    Rows come before columns.
    """
    weight = convolution.weight.permute(2, 3, 1, 0)
    assert convolution.bias is not None
    # All four parts of a cell have the same bias.
    bias = convolution.bias.repeat(4)
    quarters = F.linear(
        x,
        weight.flatten(0, 2),
        bias,
    )
    split: Tensor = quarters.unflatten(-1, weight.shape[:3])
    return split


class Sam(nn.Module):
    """SAM: image encoder, prompt encoder and guided mask decoder.

    Parameters
    ----------
    image_encoder : nn.Module
        (B, 3, image_size, image_size) -> (B, 256, 64, 64).
    image_size : int
        Side of the square input; images are resized to it by their longer side and padded at the
        bottom and right.
    preprocessing : {"sam", "medsam", "lite_medsam"}
        A property of the weights.
    """

    grid = 64
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        image_encoder: nn.Module,
        *,
        image_size: int = 1024,
        preprocessing: Preprocessing = "sam",
    ) -> None:
        super().__init__()
        self.image_size = image_size
        self.preprocessing = preprocessing
        self.image_encoder = image_encoder
        grid = (self.grid, self.grid)
        self.prompt_encoder = PromptEncoder(
            256,
            grid,
            (image_size, image_size),
            mask_in_chans=16,
        )
        transformer = GuidedTwoWayTransformer(
            depth=2,
            embedding_dim=256,
            num_heads=8,
            mlp_dim=2048,
        )
        self.mask_decoder = GuidedMaskDecoder(transformer_dim=256, transformer=transformer)
        self.register_buffer("pixel_mean", _per_channel(_IMAGENET_MEAN), persistent=False)
        self.register_buffer("pixel_std", _per_channel(_IMAGENET_DEVIATION), persistent=False)

    @property
    def resampling(self) -> Resampling:
        """How images are resized to the square input."""
        return "area" if self.preprocessing == "lite_medsam" else "bilinear"

    def normalise(self, pixels: Tensor) -> Tensor:
        """Scale the grey values of images (B, 3, h, w) in 0..255, before padding."""
        if self.preprocessing == "sam":
            return (pixels - self.pixel_mean) / self.pixel_std
        all_pixels = (1, 2, 3)
        # Of each image by itself: a batch may hold different ones.
        low = pixels.amin(dim=all_pixels, keepdim=True)
        high = pixels.amax(dim=all_pixels, keepdim=True)
        # A constant image becomes zeros.
        span = (high - low).clamp_min(1e-8)
        return (pixels - low) / span

    def encode(self, pixels: Tensor) -> Features:
        """Embed normalised, padded images (B, 3, image_size, image_size)."""
        return Features(self.image_encoder(pixels))

    def decode(self, features: Features, prompts: Prompts) -> Decoded:
        """Decode N prompts of one image in one call.

        Parameters
        ----------
        features : Features
            Of one image (B = 1).
        prompts : Prompts
            G is 64.
        """
        points = None
        if prompts.points is not None:
            points = (prompts.points, prompts.point_labels)
        sparse, dense = self.prompt_encoder(
            points,
            prompts.boxes,
            prompts.masks,
        )
        bias = prompts.bias
        if bias is not None:
            bias = bias.expand(len(sparse), -1)
        position = self.prompt_encoder.get_dense_pe()
        decoded: Decoded = self.mask_decoder(
            features.embedding,
            position,
            sparse,
            dense,
            bias,
        )
        return decoded


def _per_channel(values: tuple[float, float, float]) -> Tensor:
    return torch.tensor(values).view(3, 1, 1)


def vit_encoder(
    embed_dim: int, depth: int, heads: int, global_blocks: Sequence[int], image_size: int = 1024
) -> ImageEncoder:
    """Build SAM's image encoder of a given size (b: 768, 12, 12, (2, 5, 8, 11))."""
    return ImageEncoder(embed_dim, depth, heads, global_blocks, image_size)
