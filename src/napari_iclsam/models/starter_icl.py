"""starter-icl, the bundled in-context network: UniverSeg on patches and ridge similarity.

Three additions make UniverSeg (`napari_iclsam.models.universeg`) cheaper, quicker to train and less
tied to place:

* patches: two by two pixels enter as channels of one cell, and leave the same way, so that images
  of 128 x 128 cost what 64 x 64 would;
* ridge similarity: a small pyramid of convolutions describes every cell; a ridge regression in
  closed form, fitted to the cells of the support set, gives each cell of the query a value of how
  much it resembles the target, once by appearance alone and once by appearance and position
  (`napari_iclsam.models.ridge`). UniverSeg's pairs meet only where they lie above each other; this
  way color and texture are found anywhere;
* attention: at the two coarsest of its five levels, cells of 16 and 32 pixels, every cell of the
  query also attends to all cells of the support set, so that what has more shape than color is
  found anywhere, too.

Its blocks are normalised by groups of channels. It is trained on images of several sizes and runs
at two (`TwoScales`): thin things need the fine one, large ones the coarse one, and a third, small
network weighs the two outputs, pixel by pixel. The module knows no files and no devices.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_iclsam.models.ridge import RidgeClassifier, fit_ridge
from napari_iclsam.models.support_groups import Groups
from napari_iclsam.models.universeg import SLOPE, SupportFeatures, UniverSeg

PATCH = 2
"""Pixels of a cell in each direction."""

_RIDGE = 0.01
"""Weight of the squared norm in the regression, relative to the mean variance of the
descriptors."""

_GROUPS = 4
"""Groups of the normalisation."""

_HEAD = 32
"""Channels of a head of the attention."""

SIMILARITIES = 2
"""By appearance, and by appearance and position."""

_POSITION = 5
"""Descriptors of position, the last ones."""


@dataclass(frozen=True, slots=True)
class StarterContext:
    """Output of `StarterIcl.encode_support` for a support set alone.

    Attributes
    ----------
    classifier : RidgeClassifier
        Separates the target's cells from the others: by appearance alone, and by appearance and
        position.
    features : SupportFeatures
    """

    classifier: RidgeClassifier
    features: SupportFeatures


class _Pyramid(nn.Module):
    """Descriptors of each cell from three scales: cells, and cells of 2 and 4 times the size."""

    def __init__(self, channels: int, widths: tuple[int, int, int], descriptors: int) -> None:
        super().__init__()
        inputs = (channels, *widths[:-1])
        self.levels = nn.ModuleList(map(_level, inputs, widths))
        self.describe = nn.ModuleList()
        for width in widths:
            self.describe.append(nn.Conv2d(width, descriptors, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        size = x.shape[-2:]
        found: list[Tensor] = []
        for level, describe in zip(self.levels, self.describe, strict=True):
            if found:
                x = F.avg_pool2d(x, 2)
            x = level(x)
            found.append(resized_to(describe(x), size))
        return torch.cat(found, dim=1)


def _level(channels_in: int, channels_out: int) -> nn.Sequential:
    """Stack two normalised convolutions."""
    layers: list[nn.Module] = []
    for channels in (channels_in, channels_out):
        layers.append(
            nn.Conv2d(
                channels,
                channels_out,
                3,
                padding=1,
            )
        )
        layers.append(nn.GroupNorm(_GROUPS, channels_out))
        layers.append(nn.LeakyReLU(SLOPE))
    return nn.Sequential(*layers)


class _Attention(nn.Module):
    """Attention of every cell of the target to all cells of the support, added to the target.

    Untrained, it adds nothing.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = channels // _HEAD
        self.norm = nn.LayerNorm(channels)
        self.support_norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)
        # Training starts from the network without attention.
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, u: Tensor, v: Groups) -> Tensor:
        """Return u (B, F, h, w), changed, of u and of the support's groups (B, s, F, h, w)."""
        target = self.norm(u.flatten(2).mT)
        cells = [_listed(group) for group in v]
        support = self.support_norm(torch.cat(cells, dim=1))
        attended = F.scaled_dot_product_attention(
            self._by_head(self.query(target)),
            self._by_head(self.key(support)),
            self._by_head(self.value(support)),
        )
        joined = attended.transpose(1, 2).flatten(2)
        change = self.out(joined).mT
        met: Tensor = u + change.unflatten(2, u.shape[-2:])
        return met

    def _by_head(self, x: Tensor) -> Tensor:
        """Split channels into heads: (B, n, F) -> (B, heads, n, F / heads)."""
        split: Tensor = x.unflatten(-1, (self.heads, _HEAD))
        return split.transpose(1, 2)


class _Core(UniverSeg):
    """UniverSeg whose target and support, at some levels, also meet by attention."""

    def __init__(self, features: Sequence[int], meeting: Collection[int]) -> None:
        cells = PATCH**2
        channels = 3 * cells + SIMILARITIES
        super().__init__(
            channels,
            features,
            mask_channels=cells,
            groups=_GROUPS,
        )
        self.attention = nn.ModuleDict()
        for level in meeting:
            self.attention[str(level)] = _Attention(features[level])

    def meet(self, level: int, u: Tensor, v: Groups) -> Tensor:
        if str(level) not in self.attention:
            return u
        met: Tensor = self.attention[str(level)](u, v)
        return met


class StarterIcl(nn.Module):
    """The in-context network at one scale; its methods take and return the same as `UniverSeg`'s.

    Parameters
    ----------
    features : sequence of int
        Of each level, finest first: cells of 2, 4, 8, ... pixels.
    meeting : collection of int
        Levels at which target and support also meet by attention.
    """

    def __init__(
        self, features: Sequence[int] = (64, 64, 96, 128, 128), meeting: Collection[int] = (3, 4)
    ) -> None:
        super().__init__()
        self.stem = _Pyramid(
            3 * PATCH**2,
            (24, 48, 64),
            16,
        )
        self.core = _Core(features, meeting)

    def encode_support(self, images: Tensor, masks: Tensor) -> StarterContext:
        """Compute what does not depend on the query; H and W divisible by 32.

        See `UniverSeg.encode_support`.
        """
        described = self._describe(images)
        classifier = _fit(described, masks)
        similarity = _similarity(classifier, described).to(images.dtype)
        shared = _cells(images).expand(len(masks), -1, -1, -1, -1)
        cells = torch.cat([shared, similarity], dim=2)
        features = self.core.encode_support(cells, _cells(masks))
        return StarterContext(classifier, features)

    def forward(
        self,
        query: Tensor,
        support: StarterContext,
        guidance: Tensor | None = None,
        *,
        similarity: Tensor | None = None,
    ) -> Tensor:
        """Segment Q queries with each of T support sets. See `UniverSeg.forward`.

        The ridge similarity may be given if it has been computed before.
        """
        if similarity is None:
            similarity = self.similarity(query, support)
        similarity = similarity.to(query.dtype)
        # one query for all support sets looks different to each by its similarity
        shared = _cells(query).expand(len(similarity), -1, -1, -1)
        cells = torch.cat([shared, similarity], dim=1)
        logits: Tensor = self.core(cells, support.features, guidance)
        return F.pixel_shuffle(logits, PATCH)

    def similarity(self, query: Tensor, support: StarterContext) -> Tensor:
        """Return how much each cell resembles the target.

        Parameters
        ----------
        query : Tensor, (T * Q, 3, H, W)
            Or (1, 3, H, W), one for all tasks.
        support : StarterContext
            Of T tasks.

        Returns
        -------
        Tensor, (T * Q, 2, H / 2, W / 2)
            By appearance, and by appearance and position.
        """
        tasks = 1 if len(query) == 1 else len(support.classifier.mean)
        described = self._describe(query.unflatten(0, (tasks, -1)))
        similarity = _similarity(support.classifier, described)
        return similarity.flatten(0, 1)

    def _describe(self, images: Tensor) -> Tensor:
        """Describe each cell of (B, N, 3, H, W) by stem, mean color and position.

        Returns
        -------
        Tensor, (B, N, H / 2, W / 2, D), float32
        """
        flat = images.flatten(0, 1)
        # The regression that follows needs float32, and the descriptors of a cell together.
        learned = self.stem(_cells(flat)).float().movedim(1, -1)
        color = F.avg_pool2d(flat.float(), PATCH).movedim(1, -1)
        described = torch.cat([learned, color, _positions(learned)], dim=-1)
        of_pairs: Tensor = described.unflatten(0, images.shape[:2])
        return of_pairs


def _positions(like: Tensor) -> Tensor:
    """Return x, y, their squares and their product for each cell of (N, h, w, D): (N, h, w, 5)."""
    count, height, width, _ = like.shape
    rows = torch.linspace(
        -1,
        1,
        height,
        device=like.device,
    )
    columns = torch.linspace(
        -1,
        1,
        width,
        device=like.device,
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    values = torch.stack([x, y, x * x, y * y, x * y], dim=-1)
    return values.expand(count, -1, -1, -1)


def _fit(described: Tensor, masks: Tensor) -> RidgeClassifier:
    """Fit the target's cells against the others.

    Parameters
    ----------
    described : Tensor, (B, S, h, w, D)
        Descriptors, position last; or (1, S, h, w, D), of images that all tasks share.
    masks : Tensor, (B, S, 1, 2 h, 2 w)
    """
    pairs = masks.shape[:2]
    share = F.avg_pool2d(masks.flatten(0, 1).float(), PATCH)
    share = share.unflatten(0, pairs).flatten(1)
    cells = described.flatten(1, 3).expand(len(masks), -1, -1)
    descriptors = cells.shape[2]
    used = (descriptors - _POSITION, descriptors)
    return fit_ridge(cells, share, 1 - share, _RIDGE, used)


def _cells(x: Tensor) -> Tensor:
    """Turn patches of pixels into channels: (..., C, H, W) -> (..., 4 C, H / 2, W / 2)."""
    return F.pixel_unshuffle(x, PATCH)


def _similarity(classifier: RidgeClassifier, described: Tensor) -> Tensor:
    """Evaluate classifiers of B tasks: (B or 1, N, h, w, D) -> (B, N, 2, h, w), within [-3, 3]."""
    size = described.shape[1:4]
    # Far from the support set the line of a regression has no end.
    values = classifier.similarity(described.flatten(1, 3)).clamp(-3, 3)
    maps: Tensor = values.unflatten(1, size)
    return maps.movedim(-1, 2)


def _listed(x: Tensor) -> Tensor:
    """List the cells of all pairs: (B, S, C, h, w) -> (B, S * h * w, C)."""
    return x.movedim(2, -1).flatten(1, 3)


def resized_to(x: Tensor, size: torch.Size) -> Tensor:
    """Resize bilinearly."""
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
