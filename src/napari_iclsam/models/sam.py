"""SAM with a guided mask decoder, on segment-anything's networks.

Kirillov et al., "Segment Anything", ICCV 2023; guidance: Hu et al. 2024. The `segment-anything`
package stays unmodified and the state dict has its names. Guidance is published as attention
weights multiplied by exp(b) after the softmax and renormalised, which is the same as b added to the
attention logits before it. The module knows no files and no devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder
from torch import Tensor, nn
from torch.nn import functional as F

from napari_iclsam.models.features import Decoded, Features, Resampling
from napari_iclsam.models.guided_transformer import SINGLE_MASK, GuidedTwoWayTransformer
from napari_iclsam.models.image_encoder import ImageEncoder
from napari_iclsam.models.prompts import Prompts

Preprocessing = Literal["sam", "medsam", "lite_medsam"]
"""How pixels are scaled: by ImageNet's mean and standard deviation, or to [0, 1] by the image's own
extremes.

"lite_medsam" is "medsam" on an image that was resized by averages over areas.
"""


_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_IMAGENET_DEVIATION = (58.395, 57.12, 57.375)
"""Of red, green and blue, 0 to 255."""


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
        weights = self.output_hypernetworks_mlps[0](tokens[:, SINGLE_MASK])
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
