"""Pixel classifier: each pixel by its surroundings, fitted to the support images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from napari_iclsam.core.refinement.pixel_features import (
    count_channels,
    feature_maps,
    select_channels,
)
from napari_iclsam.core.refinement.pixel_network import fit_pixel_network

LIMIT = 7.0
"""Largest magnitude of the log-odds, a probability of 0.999: few images tell no more."""

_PIXELS = 80_000
"""Pixels in the training set at most, over all images and classes."""

_LARGEST_GRID = 1024 * 1024
"""Pixels classified of an image at most; of larger images, a grid of as many is."""

_BLOCK = 1 << 16
"""Pixels classified at once."""


class FeatureClassifier(Protocol):
    """What tells classes by features."""

    def predict_proba(self, features: NDArray[np.float32]) -> NDArray[np.floating]:
        """Return the probability of each class (n, C), given features (n, F)."""


Fit = Callable[[NDArray[np.float32], NDArray[np.intp], int], FeatureClassifier]
"""Fits a classifier to features (n, F) and classes (n,), given a seed."""


@dataclass(frozen=True, slots=True)
class ImageSample:
    """Pixels drawn of one image.

    Attributes
    ----------
    features : ndarray, (n, F), float32
    target : ndarray, (n,), intp
        Their classes.
    pixels : ndarray, (C,), int64
        Pixels of each class in the whole image.
    """

    features: NDArray[np.float32]
    target: NDArray[np.intp]
    pixels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PixelSamples:
    """Pixels drawn of the support images, balanced over images and classes.

    A class is one combination of labels: background, one label, or labels that overlap.

    Attributes
    ----------
    channels : int
        Channels of the images from which features are computed: 1 or 3.
    members : ndarray, (C, L), bool
        Which labels each class contains.
    of_image : tuple of ImageSample
    """

    channels: int
    members: NDArray[np.bool_]
    of_image: tuple[ImageSample, ...]

    def subset(self, pairs: Sequence[int]) -> PixelSamples:
        """Return the pixels of some of the images."""
        return replace(self, of_image=tuple(self.of_image[pair] for pair in pairs))


@dataclass(frozen=True, slots=True)
class PixelClassifier:
    """Classifies each pixel by its surroundings.

    Attributes
    ----------
    classifier : FeatureClassifier or None
        None if all pixels are of one class.
    channels : int
        Channels of the images from which features are computed: 1 or 3.
    members : ndarray, (C, L), bool
        Which labels each class contains that the images show; see `PixelSamples`.
    prior_ratio : ndarray, (C,), float64
        Share of each of these classes in the support images over its share in the training set.
    """

    classifier: FeatureClassifier | None
    channels: int
    members: NDArray[np.bool_]
    prior_ratio: NDArray[np.float64]

    def log_odds(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the log-odds of each label on an image.

        Parameters
        ----------
        rgb : ndarray, (H, W, 3), uint8

        Returns
        -------
        ndarray, (L, H, W), float32
            In [-7, 7]. A label of no pixel of the support has -7 everywhere, a label of all has 7.
            A very large image is classified on a grid, between whose points the log-odds are
            interpolated.
        """
        height, width = rgb.shape[:2]
        step = max(1.0, math.sqrt(height * width / _LARGEST_GRID))
        rows = _grid_positions(height, step)
        columns = _grid_positions(width, step)
        maps = feature_maps(select_channels(rgb, self.channels))
        if step > 1.0:
            # cut out map by map, so that no more than one map of the whole image is held
            maps = (values[np.ix_(rows, columns)] for values in maps)
        grid = self._classified(maps).reshape(-1, len(rows), len(columns))
        if step > 1.0:
            return _resize(grid, height, width)
        return np.ascontiguousarray(grid)

    def sampled_log_odds(self, rgb: NDArray[np.uint8], step: int) -> NDArray[np.float32]:
        """Return the log-odds of each label at every so many rows and columns, (L, n)."""
        maps = feature_maps(select_channels(rgb, self.channels))
        return self._classified(values[::step, ::step] for values in maps)

    def _classified(self, maps: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the log-odds of each label, (L, n), of maps of n pixels."""
        flat = [values.ravel() for values in maps]
        blocks = []
        for start in range(0, flat[0].size, _BLOCK):
            block = slice(start, start + _BLOCK)
            features = _transpose([values[block] for values in flat])
            blocks.append(self._label_log_odds(features))
        return np.concatenate(blocks).T

    def _label_log_odds(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the log-odds (n, L) of pixels with features (n, F)."""
        sampled: NDArray[np.floating] = np.ones((len(features), 1))
        if self.classifier is not None:
            sampled = self.classifier.predict_proba(features)
        # Bayes' rule: the classes are balanced in the training set, but not in images
        weights = sampled * self.prior_ratio
        foreground = weights @ self.members
        background = weights @ ~self.members
        # the least probability keeps the logarithms finite
        least = math.exp(-2 * LIMIT) * weights.sum(axis=1, keepdims=True)
        odds = np.log(foreground + least) - np.log(background + least)
        clipped = np.clip(odds, -LIMIT, LIMIT)
        return np.asarray(clipped, np.float32)


def sample_pixels(
    images: Sequence[NDArray[np.uint8]],
    masks: Sequence[NDArray[np.bool_]],
    seed: int,
    known: Sequence[NDArray[np.bool_]] | None = None,
) -> PixelSamples:
    """Draw the pixels that a classifier is fitted to.

    They are balanced over images and classes, so that a thin or rare object gets as many pixels as
    the background.

    Parameters
    ----------
    images : sequence of ndarray, (H, W, 3), uint8
        The K support images; sizes may differ.
    masks : sequence of ndarray, (L, H, W), bool
        Of the K support images, one mask a label; labels may overlap.
    seed : int
    known : sequence of ndarray, (H, W), bool, optional
        The pixels to draw from; by default all.
    """
    members, classes = _find_classes(masks)
    # one color image among grey ones makes color a feature of all
    channels = max(count_channels(rgb) for rgb in images)
    # one generator for all images: the draw depends on the seed and the order of the set alone
    rng = np.random.default_rng(seed)
    quota = max(1, _PIXELS // (len(images) * len(members)))
    samples = []
    for pair, (rgb, own) in enumerate(zip(images, classes, strict=True)):
        candidates = np.arange(own.size) if known is None else np.flatnonzero(known[pair])
        chosen = candidates[_sample_balanced(own[candidates], quota, rng)]
        features = _features_at(rgb, channels, chosen)
        pixels = np.bincount(own[candidates], minlength=len(members))
        samples.append(ImageSample(features, own[chosen], pixels))
    return PixelSamples(channels, members, tuple(samples))


def fit_pixel_classifier(
    samples: PixelSamples, seed: int, fit: Fit = fit_pixel_network
) -> PixelClassifier:
    """Fit one classifier for all labels.

    The log-odds are corrected for the balance of the samples.

    Parameters
    ----------
    samples : PixelSamples
    seed : int
    fit : callable
        What is fitted: by default a small network.
    """
    drawn = np.concatenate([sample.target for sample in samples.of_image])
    pixels = np.sum([sample.pixels for sample in samples.of_image], axis=0)
    # some classes may be in other images alone: what is fitted tells apart those that it has seen
    seen, target = np.unique(drawn, return_inverse=True)
    classifier = None
    if len(seen) > 1:
        features = np.concatenate([sample.features for sample in samples.of_image])
        classifier = fit(features, target, seed)
    share_in_images = pixels[seen] / pixels.sum()
    share_in_training = np.bincount(target) / len(target)
    return PixelClassifier(
        classifier, samples.channels, samples.members[seen], share_in_images / share_in_training
    )


def _find_classes(
    masks: Sequence[NDArray[np.bool_]],
) -> tuple[NDArray[np.bool_], list[NDArray[np.intp]]]:
    """Return the labels of each class (C, L), and the class (H * W,) of each pixel by image."""
    flat = [mask.reshape(len(mask), -1) for mask in masks]
    by_label = np.concatenate(flat, axis=1)
    classes = np.zeros(by_label.shape[1], np.intp)
    for mask in by_label:
        # each class splits into pixels without and with the label; those that occur are renumbered
        classes = np.unique(2 * classes + mask, return_inverse=True)[1].reshape(-1)
    _, first = np.unique(classes, return_index=True)
    ends = np.cumsum([mask[0].size for mask in masks])
    return by_label[:, first].T, np.split(classes, ends[:-1])


def _sample_balanced(
    classes: NDArray[np.intp], quota: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Draw at most ``quota`` pixels of each class of an image, given classes (H * W,)."""
    chosen = [np.zeros(0, np.intp)]
    for number in np.unique(classes):
        pixels = np.flatnonzero(classes == number)
        chosen.append(rng.permutation(pixels)[:quota])
    # in the order of memory, for quick reading
    return np.sort(np.concatenate(chosen))


def _features_at(
    rgb: NDArray[np.uint8], channels: int, pixels: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Return the features (n, F) of n pixels of an image, given their flat indices."""
    maps = feature_maps(select_channels(rgb, channels))
    return _transpose([values.ravel()[pixels] for values in maps])


def _transpose(columns: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return F columns (n,) as one array (n, F)."""
    tensors = [torch.from_numpy(column) for column in columns]
    stacked = torch.stack(tensors)
    # torch transposes twice as fast as NumPy
    return np.asarray(stacked.T.contiguous().numpy(), np.float32)


def _grid_positions(length: int, step: float) -> NDArray[np.intp]:
    """Return positions from the first pixel to the last, about ``step`` apart."""
    count = max(1, round(length / step))
    return np.rint(np.linspace(0, length - 1, count)).astype(np.intp)


def _resize(grid: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Interpolate values on a grid (L, h, w), from the first pixel to the last, to (L, H, W)."""
    planes = torch.from_numpy(np.ascontiguousarray(grid))[None]
    resized = interpolate(
        planes,
        (height, width),
        mode="bilinear",
        align_corners=True,
    )
    return np.asarray(resized[0].numpy(), np.float32)
