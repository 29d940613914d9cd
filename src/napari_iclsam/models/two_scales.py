"""starter-icl at two scales, merged: what the package ships."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_iclsam.models.starter_icl import SIMILARITIES, StarterContext, StarterIcl, resized_to
from napari_iclsam.models.universeg import SLOPE

_TRAITS = 3
"""Values of `TwoScalesContext.traits`."""


@dataclass(frozen=True, slots=True)
class TwoScalesContext:
    """Output of `TwoScales.encode_support` for the support sets of T tasks alone.

    Attributes
    ----------
    fine, coarse : StarterContext
        At full and at half size.
    traits : Tensor, (T, 3), float32
        The share of the masks and of the images that is lost at half size; the square root of the
        masks' share of the image.
    """

    fine: StarterContext
    coarse: StarterContext
    traits: Tensor


@dataclass(frozen=True, slots=True)
class ScaleOutputs:
    """Outputs of the network at two scales, of B queries.

    Attributes
    ----------
    fine, coarse : Tensor, (B, 1, H, W)
        Logits at full size, and those at half size, resized to full size.
    similarity : Tensor, (B, 2, H / 2, W / 2)
        Ridge similarity at full size.
    """

    fine: Tensor
    coarse: Tensor
    similarity: Tensor


class Merge(nn.Module):
    """Weights the logits at full size against those at half size, pixel by pixel.

    Untrained, it is their mean.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        channels = 3 + SIMILARITIES + _TRAITS
        self.look = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(
                width,
                width,
                3,
                padding=2,
                dilation=2,
            ),
            nn.LeakyReLU(SLOPE),
        )
        self.decide = nn.Conv2d(width, 2, 1)
        # Training starts from the mean of both scales.
        nn.init.zeros_(self.decide.weight)
        nn.init.zeros_(self.decide.bias)  # type: ignore[arg-type]

    def forward(self, outputs: ScaleOutputs, image: Tensor, traits: Tensor) -> Tensor:
        """Merge logits.

        Parameters
        ----------
        outputs : ScaleOutputs
        image : Tensor, (B, 3, H, W) or (1, 3, H, W)
        traits : Tensor, (B, 3)
            Of `TwoScalesContext`.

        Returns
        -------
        Tensor, (B, 1, H, W)
            Logits.
        """
        fine = outputs.fine
        coarse = outputs.coarse
        size = fine.shape[-2:]
        logits = torch.cat([fine, coarse], dim=1)
        # one image for all outputs, or one for each
        lost = _lost(image).mean(dim=1, keepdim=True).expand(len(fine), -1, -1, -1)
        inputs = [
            torch.tanh(logits / 4),
            resized_to(outputs.similarity, size),
            lost * 8,
            traits[..., None, None].expand(-1, -1, *size),
        ]
        stacked = torch.cat([x.to(fine.dtype) for x in inputs], dim=1)
        decided = self.decide(self.look(stacked))
        gate, change = decided.split(1, dim=1)
        weight = torch.sigmoid(gate).to(fine.dtype)
        merged: Tensor = torch.lerp(coarse, fine, weight) + change
        return merged


class TwoScales(nn.Module):
    """The in-context network behind ``starter``: at full and at half size, merged.

    Its methods take and return the same as `UniverSeg`'s; height and width are divisible by 64.

    Parameters
    ----------
    network : StarterIcl, optional
        By default one of random weights.
    """

    image_sizes = (128, 256, 384, 512)
    """Sides of square images to choose from for a task; the network takes others, too."""

    image_channels = 3

    def __init__(self, network: StarterIcl | None = None) -> None:
        super().__init__()
        self.network = network or StarterIcl()
        self.merge = Merge()

    def encode_support(self, images: Tensor, masks: Tensor) -> TwoScalesContext:
        """Compute what does not depend on the query, at both scales.

        See `UniverSeg.encode_support`.
        """
        return TwoScalesContext(
            self.network.encode_support(images, masks),
            self.network.encode_support(_halved_pairs(images), _halved_pairs(masks)),
            _traits(images, masks),
        )

    def forward(
        self, query: Tensor, support: TwoScalesContext, guidance: Tensor | None = None
    ) -> Tensor:
        """Segment Q queries with each of T support sets. See `UniverSeg.forward`."""
        outputs = self.at_scales(query, support, guidance)
        queries = len(outputs.fine) // len(support.traits)
        traits = support.traits.repeat_interleave(queries, dim=0)
        merged: Tensor = self.merge(outputs, query, traits)
        return merged

    def at_scales(
        self, query: Tensor, support: TwoScalesContext, guidance: Tensor | None = None
    ) -> ScaleOutputs:
        """Segment at both scales without merging; parameters as of `forward`."""
        # Guidance is resized within: it needs no halving here.
        halved = self.network(_halved(query), support.coarse, guidance)
        coarse = resized_to(halved, query.shape[-2:])
        # Computed here, because the merge looks at it, too.
        similarity = self.network.similarity(query, support.fine)
        fine = self.network(
            query,
            support.fine,
            guidance,
            similarity=similarity,
        )
        return ScaleOutputs(fine, coarse, similarity)


def _traits(images: Tensor, masks: Tensor) -> Tensor:
    """Compute `TwoScalesContext.traits`.

    Parameters
    ----------
    images : Tensor, (T, S, 3, H, W) or (1, S, 3, H, W)
    masks : Tensor, (T, S, 1, H, W)

    Returns
    -------
    Tensor, (T, 3), float32
    """
    images = images.float()
    masks = masks.float()
    pixels = (1, 2, 3, 4)
    # At least a pixel, for masks that are all empty.
    area = masks.sum(pixels).clamp_min(1)
    thin = _lost_of_pairs(masks).sum(pixels) / area
    spread = images.std(dim=(-2, -1)).mean(dim=(1, 2))
    # An image without contrast has nothing to lose.
    spread = spread.clamp_min(1e-3)
    sharp = _lost_of_pairs(images).mean(pixels) / spread
    sharp = sharp.expand(len(masks))
    size = masks.mean(pixels).sqrt()
    # The factor brings the three to about the same range.
    return torch.stack([thin, 4 * sharp, size], dim=1)


def _lost(x: Tensor) -> Tensor:
    """Return the absolute change of (N, C, H, W) when it is halved in size and doubled again."""
    again = resized_to(_halved(x), x.shape[-2:])
    return (x - again).abs()


def _lost_of_pairs(x: Tensor) -> Tensor:
    """Return the same of (T, S, C, H, W)."""
    lost = _lost(x.flatten(0, 1))
    of_pairs: Tensor = lost.unflatten(0, x.shape[:2])
    return of_pairs


def _halved(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2)


def _halved_pairs(x: Tensor) -> Tensor:
    """Halve the size of (T, S, C, H, W)."""
    halved = _halved(x.flatten(0, 1))
    of_pairs: Tensor = halved.unflatten(0, x.shape[:2])
    return of_pairs
