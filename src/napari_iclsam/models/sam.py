"""SAM with a guided mask decoder, on segment-anything's networks. Knows no files and no devices.

Kirillov et al., "Segment Anything", ICCV 2023; guidance: Hu et al. 2024. The `segment-anything`
package stays unmodified and the state dict has its names. Guidance is published as attention
weights multiplied by exp(b) after the softmax and renormalised, which is the same as b added to the
attention logits before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer
from segment_anything.modeling.transformer import Attention
from torch import Tensor, nn
from torch.nn import functional as F

from napari_iclsam.models.features import Decoded, Features, Resampling
from napari_iclsam.models.image_encoder import ImageEncoder

Preprocessing = Literal["sam", "medsam", "lite_medsam"]
"""How pixels are scaled: by ImageNet's mean and standard deviation, or to [0, 1] by the image's own
extremes.

"lite_medsam" is "medsam" on an image that was resized by averages over areas.
"""

_SINGLE_MASK = 1
"""Output tokens are [IoU, 4 masks, prompts]; the first mask token is that of the single mask."""


class GuidedTwoWayTransformer(TwoWayTransformer):  # type: ignore[misc]
    """SAM's two-way transformer with an additive bias in its last two attentions between tokens and image."""

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
        keys, key_pe = (
            image_embedding.flatten(2).transpose(1, 2),
            image_pe.flatten(2).transpose(1, 2),
        )
        tokens, token_pe = point_embedding, point_embedding
        for index, block in enumerate(self.layers):
            if block.skip_first_layer_pe:
                tokens = _attend(block.self_attn, tokens, tokens, tokens)
            else:
                with_pe = tokens + token_pe
                tokens = tokens + _attend(block.self_attn, with_pe, with_pe, tokens)
            tokens = block.norm1(tokens)
            image_keys = keys + key_pe
            attended = _tokens_to_image(
                block.cross_attn_token_to_image, tokens + token_pe, image_keys, keys
            )
            tokens = block.norm2(tokens + attended)
            tokens = block.norm3(tokens + block.mlp(tokens))
            guidance = bias if index == len(self.layers) - 1 else None
            attended = _image_to_tokens(
                block.cross_attn_image_to_token, image_keys, tokens + token_pe, tokens, guidance
            )
            keys = block.norm4(attended.add_(keys))
        attended = _tokens_to_image(
            self.final_attn_token_to_image, tokens + token_pe, keys + key_pe, keys, bias
        )
        return self.norm_final_attn(tokens + attended), keys


def _attend(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Run one of segment-anything's attention modules."""
    q, k, v = (
        projection(x).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        for projection, x in ((attention.q_proj, q), (attention.k_proj, k), (attention.v_proj, v))
    )
    return attention.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def _tokens_to_image(
    attention: Attention, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Let few tokens q (N, T, C) attend to many cells k, v (N, M, C); the bias (N, M) is for the single-mask token.

    The cells are not projected: q . (W k) = (W^T q) . k, and the weighted mean of W v is W times
    that of v. What the bias of W adds to the logits is the same for all cells.
    """
    q = _by_head(attention.q_proj(q), attention)
    into_k, into_v = (_by_head(p.weight.T, attention) for p in (attention.k_proj, attention.v_proj))
    logits = torch.einsum("nthd,chd->nhtc", q, into_k).flatten(1, 2) @ k.mT
    logits = logits.unflatten(1, (q.shape[2], q.shape[1])) / q.shape[3] ** 0.5
    if bias is not None:
        logits[:, :, _SINGLE_MASK] += bias[:, None]
    mixed = (logits.softmax(dim=-1).flatten(1, 2) @ v).unflatten(1, (q.shape[2], q.shape[1]))
    out = torch.einsum("nhtc,chd->nthd", mixed, into_v).flatten(2) + attention.v_proj.bias
    return attention.out_proj(out)  # type: ignore[no-any-return]


def _image_to_tokens(
    attention: Attention, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Let many cells q (N, M, C) attend to few tokens k, v (N, T, C); the bias (N, M) is for the single-mask token.

    As in `_tokens_to_image`, the cells are not projected, neither before nor after. What is large
    is added in place: fresh memory takes longer than the sum.
    """
    k, v = (_by_head(p(x), attention) for p, x in ((attention.k_proj, k), (attention.v_proj, v)))
    into_q = _by_head(attention.q_proj.weight.T, attention)
    constant = torch.einsum("nthd,hd->nht", k, _by_head(attention.q_proj.bias, attention))
    logits = torch.einsum("nthd,chd->nhtc", k, into_q).flatten(1, 2) @ q.mT
    logits = (logits.unflatten(1, (k.shape[2], k.shape[1])) + constant[..., None]) / k.shape[
        3
    ] ** 0.5
    if bias is not None:
        logits[:, :, _SINGLE_MASK] += bias[:, None]
    out = torch.einsum("nthd,chd->nhtc", v, _by_head(attention.out_proj.weight, attention)).flatten(
        1, 2
    )
    attended: Tensor = logits.softmax(dim=2).flatten(1, 2).mT @ out
    return attended.add_(attention.out_proj.bias)


def _by_head(x: Tensor, attention: Attention) -> Tensor:
    """Split the last axis: (..., heads * d) -> (..., heads, d)."""
    split: Tensor = x.unflatten(-1, (attention.num_heads, -1))
    return split


class GuidedMaskDecoder(MaskDecoder):  # type: ignore[misc]
    """SAM's mask decoder, guided, giving the single mask of each prompt."""

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
        tokens = torch.cat([outputs.expand(count, -1, -1), sparse], dim=1)
        tokens, image = self.transformer(
            embedding + dense, image_pe.expand(count, -1, -1, -1), tokens, bias
        )
        weights = self.output_hypernetworks_mlps[0](tokens[:, _SINGLE_MASK])
        logits = self._upscaled(image, weights, embedding.shape[-2], embedding.shape[-1])
        return Decoded(logits, self.iou_prediction_head(tokens[:, 0])[:, 0])

    def _upscaled(self, image: Tensor, weights: Tensor, h: int, w: int) -> Tensor:
        """Upscale cells (N, h * w, C) fourfold and weigh their channels by (N, c): logits (N, 4 h, 4 w).

        A transposed convolution of stride and size two is a product for each cell, with its four
        parts in the order of the cells; only the logits are put in the order of the image.
        """
        first, norm, activate, second, finish = self.output_upscaling
        x = _quartered(first, image)
        x = activate(F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.eps))
        logits: Tensor = finish(_quartered(second, x)).flatten(1, -2) @ weights[:, :, None]
        return (
            logits.view(-1, h, w, 2, 2, 2, 2).permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, 4 * h, 4 * w)
        )


def _quartered(convolution: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """Apply a transposed convolution of stride and size two, (..., C) -> (..., 2, 2, c), rows before columns."""
    weight = convolution.weight.permute(2, 3, 1, 0)
    assert convolution.bias is not None
    quarters: Tensor = F.linear(x, weight.flatten(0, 2), convolution.bias.repeat(4)).unflatten(
        -1, weight.shape[:3]
    )
    return quarters


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
        self.prompt_encoder = PromptEncoder(
            256, (self.grid, self.grid), (image_size, image_size), mask_in_chans=16
        )
        self.mask_decoder = GuidedMaskDecoder(
            transformer_dim=256,
            transformer=GuidedTwoWayTransformer(
                depth=2, embedding_dim=256, num_heads=8, mlp_dim=2048
            ),
        )
        self.register_buffer(
            "pixel_mean", torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1), persistent=False
        )
        self.register_buffer(
            "pixel_std", torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1), persistent=False
        )

    @property
    def resampling(self) -> Resampling:
        """How images are resized to the square input."""
        return "area" if self.preprocessing == "lite_medsam" else "bilinear"

    def normalise(self, pixels: Tensor) -> Tensor:
        """Scale the grey values of images (B, 3, h, w) in 0..255, before padding."""
        if self.preprocessing == "sam":
            return (pixels - self.pixel_mean) / self.pixel_std
        low, high = (
            pixels.amin(dim=(1, 2, 3), keepdim=True),
            pixels.amax(dim=(1, 2, 3), keepdim=True),
        )
        return (pixels - low) / (high - low).clamp_min(1e-8)

    def encode(self, pixels: Tensor) -> Features:
        """Embed normalised, padded images (B, 3, image_size, image_size)."""
        return Features(self.image_encoder(pixels))

    def decode(
        self,
        features: Features,
        boxes: Tensor | None = None,
        points: Tensor | None = None,
        point_labels: Tensor | None = None,
        masks: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Decoded:
        """Decode N prompts of one image in one call.

        Parameters
        ----------
        features : Features
            Of one image (B = 1).
        boxes : Tensor, (N, 4), float, optional
            x0, y0, x1, y1 in pixels of the square input.
        points : Tensor, (N, P, 2), float, optional
            x, y in pixels of the square input.
        point_labels : Tensor, (N, P), optional
            1 foreground, 0 background, -1 no point.
        masks : Tensor, (N, 1, 256, 256), float, optional
            Mask prompts as logits over the square input.
        bias : Tensor, (4096,) or (N, 4096), float, optional
            Guidance, added to the attention logits of the single-mask token and the grid, row by
            row.
        """
        pairs = None if points is None else (points, point_labels)
        sparse, dense = self.prompt_encoder(points=pairs, boxes=boxes, masks=masks)
        if bias is not None:
            bias = bias.expand(len(sparse), -1)
        decoded: Decoded = self.mask_decoder(
            features.embedding, self.prompt_encoder.get_dense_pe(), sparse, dense, bias
        )
        return decoded


def vit_encoder(
    embed_dim: int, depth: int, heads: int, global_blocks: Sequence[int], image_size: int = 1024
) -> ImageEncoder:
    """Build SAM's image encoder of a given size (b: 768, 12, 12, (2, 5, 8, 11))."""
    return ImageEncoder(embed_dim, depth, heads, global_blocks, image_size)
