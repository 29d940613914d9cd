"""The support set: pairs of image and labels that define a task, checked and fingerprinted."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.intensity import check_contrast, check_image, to_8bit
from napari_iclsam.core.images.regions import cut_examples
from napari_iclsam.core.images.tiles import TileRule, example_tiles
from napari_iclsam.core.images.unknown import UNKNOWN, decided, known_pixels, mark_unknown
from napari_iclsam.core.objects.instances import Separation, learn_separation
from napari_iclsam.core.settings import Tile


@dataclass(frozen=True, slots=True)
class LabelStyle:
    """How a label is called and shown.

    Attributes
    ----------
    name : str
        Empty if it has none.
    color : tuple of float, optional
        Red, green, blue, alpha in [0, 1].
    """

    name: str = ""
    color: tuple[float, ...] | None = None

    @property
    def colour(self) -> tuple[float, ...] | None:
        """Old name of `color`."""
        warnings.warn(
            "LabelStyle.colour is now called LabelStyle.color.", DeprecationWarning, stacklevel=2
        )
        return self.color


@dataclass(frozen=True, slots=True)
class SupportSet:
    """K pairs of image and labels. Made by `SupportSet.of`, which checks; sizes may differ.

    Attributes
    ----------
    images : tuple of ndarray, (H, W) or (H, W, 3 or 4)
        In the dtype they came in.
    labels : tuple of ndarray, (H, W), int32
        0 is background, -1 (``UNKNOWN``) is neither an object nor background.
    ids : tuple of int
        All labels that occur, ascending, without these two.
    styles : mapping of int to LabelStyle
        Names and colors, of those labels that have any.
    are_regions : bool
        Whether they are regions of images: these are then seen in tiles of their size.
    separations : mapping of int to Separation
        By label: how touching objects are told apart, where examples with numbered objects teach
        it.
    """

    images: tuple[NDArray[Any], ...]
    labels: tuple[NDArray[np.int32], ...]
    ids: tuple[int, ...]
    styles: Mapping[int, LabelStyle] = field(default_factory=dict)
    are_regions: bool = False
    separations: Mapping[int, Separation] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        images: Sequence[NDArray[Any]],
        labels: Sequence[NDArray[Any]],
        styles: Mapping[int, LabelStyle] | None = None,
        *,
        are_regions: bool = False,
        unknown: Collection[int] = (),
    ) -> SupportSet:
        """Check pairs of image and labels and keep copies of them.

        Parameters
        ----------
        images, labels : sequence of ndarray
        styles : mapping of int to LabelStyle, optional
        unknown : collection of int
            Numbers of pixels that are neither an object nor background, such as a rim of 255.

        Raises
        ------
        ValueError
            If there is no pair, the numbers differ, sizes of a pair differ, labels are negative,
            all background or all unknown, an image is not a plane of finite numbers, or one with
            labels has the same value everywhere.
        TypeError
            If labels are not integers.
        """
        if len(images) != len(labels):
            raise ValueError(
                f"Each example needs one image and one label image; got {len(images)} images and "
                f"{len(labels)} label images."
            )
        if len(images) == 0:
            raise ValueError("At least one example (an image with labels) is needed; got none.")
        pairs = [
            _check_pair(n, *pair, unknown)
            for n, pair in enumerate(zip(images, labels, strict=True), start=1)
        ]
        # of the set as a whole: a label may be absent from some examples
        found: set[int] = set()
        for _, painted in pairs:
            found.update(np.unique(painted).tolist())
        ids = sorted(found - {0, UNKNOWN})
        if not ids:
            raise ValueError(
                "All examples are background (label 0 everywhere). Paint at least one object in "
                "at least one of them."
            )
        return cls(
            tuple(p[0] for p in pairs),
            tuple(p[1] for p in pairs),
            tuple(ids),
            dict(styles or {}),
            are_regions,
        )

    @classmethod
    def of_regions(
        cls,
        images: Sequence[NDArray[Any]],
        labels: Sequence[NDArray[Any]],
        regions: Sequence[Sequence[Sequence[int]]],
        unknown: Collection[int] = (),
    ) -> SupportSet:
        """Keep the labelled regions of images; see `ICLSAM.fit`.

        Raises
        ------
        ValueError, TypeError
            If a region is none, leaves its image, or holds no labels; see also `of`.
        """
        parts, painted = cut_examples(images, labels, regions)
        return cls.of(parts, painted, are_regions=any(map(len, regions)), unknown=unknown)

    def __len__(self) -> int:
        return len(self.images)

    def mask(self, pair: int, label: int) -> NDArray[np.bool_]:
        """Return where one pair has one label, (H, W) bool."""
        return np.asarray(self.labels[pair] == label)

    def known(self, pair: int) -> NDArray[np.bool_]:
        """Return the pixels of one pair that are an object or background, (H, W) bool."""
        return known_pixels(self.labels[pair])

    def decided_labels(self) -> tuple[NDArray[np.int32], ...]:
        """Return the labels of each pair without unknown pixels."""
        return tuple(map(decided, self.labels))

    def name(self, label: int) -> str:
        """Return what a user calls a label: its name or ``label N``."""
        style = self.styles.get(label)
        return style.name if style and style.name else f"label {label}"

    def without(self, pair: int) -> SupportSet:
        """Return the support set without one pair; the labels stay those of the whole."""
        return self.subset([other for other in range(len(self)) if other != pair])

    def subset(self, pairs: Sequence[int]) -> SupportSet:
        """Return some pairs; the labels stay those of the whole."""
        return replace(
            self,
            images=tuple(self.images[p] for p in pairs),
            labels=tuple(self.labels[p] for p in pairs),
        )

    def with_images(self, images: Sequence[NDArray[Any]]) -> SupportSet:
        """Return the set with other images of the same sizes, checked as those before."""
        checked = SupportSet.of(
            images, self.labels, self.styles, are_regions=self.are_regions, unknown=(UNKNOWN,)
        )
        return replace(checked, separations=self.separations)

    def as_one_class(self) -> SupportSet:
        """Return the set with labels that number objects as one class, label 1.

        The numbers teach how touching objects are told apart.
        """
        numbered = [labels.clip(min=0) for labels in self.labels]
        masks = [_frozen(np.sign(labels)) for labels in self.labels]
        learnt = {1: learn_separation(numbered)}
        return replace(self, labels=tuple(masks), ids=(1,), styles={}, separations=learnt)

    def in_tiles(self, tile: Tile = "auto") -> SupportSet:
        """Return the set with examples that are large against their objects cut into tiles.

        Images that are cut have 8 bits from then on. If none is cut, it is this set.
        """
        side = TileRule(tile, self.are_regions).side(self.labels)
        if side is None:
            return self
        images: list[NDArray[Any]] = []
        labels: list[NDArray[np.int32]] = []
        for image, painted in zip(self.images, self.labels, strict=True):
            tiles = example_tiles(image, painted, side)
            # one grey scale for all tiles of an image, as for those of a query
            shown = image if len(tiles) == 1 else to_8bit(image)
            for place in tiles:
                images.append(shown[place])
                labels.append(painted[place])
        if len(images) == len(self):
            return self
        return replace(self, images=tuple(images), labels=tuple(labels))

    def tile_shape(self, tile: Tile, shape: Sequence[int]) -> tuple[int, int] | None:
        """Return the tiles in which to see an image (H, W, ...)."""
        rule = TileRule(tile, self.are_regions)
        return rule.shape(self.labels, (shape[0], shape[1]))

    def fingerprint(self) -> str:
        """Return the SHA-256 of all pixels and labels, in order."""
        digest = hashlib.sha256()
        # the same pixels are another task, whose images are seen in tiles
        if self.are_regions:
            digest.update(b"regions")
        if self.separations:
            digest.update(repr(sorted(self.separations.items())).encode())
        # dtype and shape belong to it: the same bytes may be other images
        for array in (*self.images, *self.labels):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def _check_pair(
    number: int, image: NDArray[Any], labels: NDArray[Any], unknown: Collection[int]
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    image = check_image(image, f"image of example {number}")
    labels = np.asarray(labels)
    if labels.shape != image.shape[:2]:
        raise ValueError(
            f"Example {number}: image and labels must have the same height and width; got image "
            f"{image.shape[:2]} and labels {labels.shape}."
        )
    # a mask is a label image with the one label 1
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(
            f"Example {number}: labels must be integers (0 background, 1, 2, ... objects); got "
            f"dtype {labels.dtype}."
        )
    known = labels[~np.isin(labels, list(unknown))] if unknown else labels
    if not known.size:
        raise ValueError(
            f"Example {number} tells nothing: all of its pixels have labels that are ignored."
        )
    low = int(known.min(initial=0))
    high = int(known.max(initial=0))
    if low < 0 or high > np.iinfo(np.int32).max:
        raise ValueError(
            f"Example {number}: labels must be 0 (background) or positive and below 2**31; got "
            f"values from {low} to {high}. Number them anew, for instance with "
            "skimage.segmentation.relabel_sequential."
        )
    # an example without any label may be blank: it shows where nothing is
    if high > 0:
        check_contrast(image, f"image of example {number}")
    return _frozen(image), _frozen(mark_unknown(labels, unknown).astype(np.int32))


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    copy = np.array(array)
    # a task must not change when its user goes on painting
    copy.flags.writeable = False
    return copy
