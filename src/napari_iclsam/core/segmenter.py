"""ICL-SAM (Hu et al., MIDL 2024) as its user calls it: fit a task to examples, segment images and stacks with it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_iclsam.core.encoder.cache import Embedding, EmbeddingCache, default_folder
from napari_iclsam.core.encoder.device import Precision
from napari_iclsam.core.encoder.embedded_planes import embedded_planes
from napari_iclsam.core.encoder.runner import Networks, NetworkSource
from napari_iclsam.core.fusion.cross_validation import Case, case_of, choose_weights, correction_of, expected, folds
from napari_iclsam.core.fusion.log_odds import combine, evidence_of, starter_weights
from napari_iclsam.core.fusion.published import Weights, fuse, icl_score, label_map, published_weights, sam_score
from napari_iclsam.core.images.geometry import resize
from napari_iclsam.core.images.intensity import as_rgb8, check_contrast, check_image
from napari_iclsam.core.images.planes import ArrayLike, plane_indices, planes_ahead, stack_axis
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.in_context.coarse_to_fine import Examples, glance
from napari_iclsam.core.in_context.fine_tuning import adapt_steps, can_adapt
from napari_iclsam.core.prediction import Prediction, Progress, Provenance
from napari_iclsam.core.quality.dice_estimate import estimate_dice
from napari_iclsam.core.quality.leave_one_out import Score
from napari_iclsam.core.refinement.sam import Clock, Learnt, Maps, learn, look
from napari_iclsam.core.settings import Settings
from napari_iclsam.models.starter_sam import StarterSam
from napari_iclsam.version import version

T = TypeVar("T")

_UNDECIDED = 1e-6
"""A score of no more than this rounds to a probability of one half, and is no foreground."""


class ICLSAM:
    """Segment images from a few labelled examples.

    Parameters
    ----------
    models : str
        Promptable model: a name (see ``napari-iclsam models``) or the path of a SAM checkpoint.
    icl : str, optional
        In-context model: a name or a path. By default the bundled one.
    device : str
        "auto", "cpu", "cuda", ...
    settings : Settings, optional
    cache : EmbeddingCache, optional
        By default a cache on disk, shared by all runs of this user.
    networks : Networks, optional
        Networks that are loaded already, instead of names and device.
    precision : {"auto", "float32", "bfloat16", "float16"}
        Of the large networks. "auto" is half precision where it pays (`choose_precision`), and float32 in paper mode.

    Raises
    ------
    ValueError
        If a name, the device or the precision is unknown.

    Examples
    --------
    >>> segmenter = ICLSAM("starter")  # doctest: +SKIP
    >>> task = segmenter.fit(images, labels)  # doctest: +SKIP
    >>> prediction = task.predict(image)  # doctest: +SKIP
    """

    def __init__(
        self,
        models: str = "starter",
        *,
        icl: str | None = None,
        device: str = "auto",
        settings: Settings | None = None,
        cache: EmbeddingCache | None = None,
        networks: Networks | None = None,
        precision: Precision = "auto",
    ) -> None:
        self.settings = settings or Settings()
        self.cache = cache or EmbeddingCache(default_folder())
        if precision == "auto" and self.settings.mode == "paper":
            precision = "float32"
        self._source = None if networks else NetworkSource.of(models, icl or "starter", device, precision)
        self._networks = networks

    @property
    def networks(self) -> Networks:
        """The networks, loaded at first use."""
        if self._networks is None:
            assert self._source is not None
            self._networks = self._source.load()
        return self._networks

    def fit(self, images: Sequence[NDArray[Any]], labels: Sequence[NDArray[Any]]) -> Task:
        """Define a task by examples.

        Parameters
        ----------
        images : sequence of ndarray, (H, W) or (H, W, 3 or 4)
            Any real dtype; sizes may differ.
        labels : sequence of ndarray, (H, W), integer
            0 is background.

        Raises
        ------
        ValueError, TypeError
            See `SupportSet.of`.
        """
        return self.fit_support(SupportSet.of(images, labels))

    def fit_support(self, support: SupportSet) -> Task:
        """Define a task by a checked support set."""
        return _drain(self.fit_steps(support))

    def fit_steps(self, support: SupportSet, first_look: NDArray[Any] | None = None) -> Generator[Progress, None, Task]:
        """Define a task step by step; see `fit`.

        Embed the examples, check them against each other, let the in-context model get used to them, fit the probe,
        keep what does not depend on the query.

        Parameters
        ----------
        support : SupportSet
        first_look : ndarray, (H, W) or (H, W, 3 or 4), optional
            An image to segment before all else, by the in-context model alone: a step with stage "done" carries what it
            found.
        """
        count, clock = len(support), Clock()
        yield Progress("load", "Loading the models", 0, count)
        networks, settings = self.networks, self.settings
        images = tuple(as_rgb8(image) for image in support.images)
        reference = None
        if first_look is not None:
            yield Progress("icl", "Taking a first look", 0, count)
            with clock.step("icl"):
                unread = Examples(support, images, ())
                reference, icl = glance(networks, unread, as_rgb8(first_look), settings)
            prediction = self._unrefined(support, resize(icl, first_look.shape[:2]), clock)
            yield Progress("done", "A first look is done", 0, count, prediction=prediction)
        embeddings = []
        for n, image in enumerate(images, start=1):
            yield Progress("embed", f"Reading the examples: {n} of {count}", n - 1, count)
            with clock.step("embed"):
                embeddings.append(networks.embed(image, self.cache))
        examples = Examples(support, images, tuple(embeddings))
        if settings.mode == "auto" and isinstance(networks.sam, StarterSam):
            defaults = [starter_weights(masks) for masks in examples.masks_by_label()]
        else:
            defaults = [published_weights(count)] * len(support.ids)
        cases: list[Case] = []
        if settings.mode == "auto" and settings.calibrate and settings.use_sam and count > 1:
            cases = yield from self._hold_out_steps(examples, clock)
        weights = tuple(choose_weights(cases, label, default) for label, default in enumerate(defaults))
        scores = {i: expected(cases, n, weights[n]) for n, i in enumerate(support.ids)}
        corrections = tuple(correction_of(cases, label, own) for label, own in enumerate(weights))
        if can_adapt(networks, examples, settings):
            networks, reference = (yield from adapt_steps(networks, examples, settings, clock)), None
        yield Progress("fit", "Learning what to look for", count, count)
        with clock.step("fit"):
            learnt = learn(networks, examples, settings, reference)
        known = {i: score for i, score in scores.items() if score is not None}
        return Task(self, networks, examples, learnt, weights, known, corrections)

    def _hold_out_steps(self, examples: Examples, clock: Clock) -> Generator[Progress, None, list[Case]]:
        """Segment examples by means of the others."""
        networks, settings = self.networks, replace(self.settings, probe_cells=min(self.settings.probe_cells, 20_000))
        count = len(examples.support)
        cases: list[Case] = []
        parts = folds(count)
        for part in parts:
            rest = examples.subset([pair for pair in range(count) if pair not in part])
            with clock.step("check"):
                learnt = learn(networks, rest, settings)
            for pair in part:
                message = f"Checking the examples against each other: {len(cases) + 1} of {sum(map(len, parts))}"
                yield Progress("check", message, count, count)
                image, query = examples.images[pair], examples.embeddings[pair]
                maps = _drain(look(networks, learnt, rest, image, query, settings, clock))
                with clock.step("check"):
                    cases.append(case_of(maps, examples.masks(pair)))
        return cases

    def _unrefined(self, support: SupportSet, icl: Tensor, clock: Clock) -> Prediction:
        """Return what the in-context model's probabilities (L, 1, H, W) alone say of an image."""
        ids, nothing = support.ids, np.zeros((0, 4), np.int64)
        probabilities = dict(zip(ids, icl[:, 0].cpu().numpy(), strict=True))
        labels = label_map(F.hardshrink(icl - 0.5, _UNDECIDED), ids)
        return Prediction(
            labels=labels,
            probabilities=probabilities,
            confidence={i: np.full_like(p, 0.5) for i, p in probabilities.items()},
            icl_labels=labels,
            sam_labels=np.zeros_like(labels),
            boxes=dict.fromkeys(ids, nothing),
            seconds=dict(clock.seconds),
            provenance=self._provenance(support),
            notes=("A first look by the in-context model alone.",),
        )

    def _provenance(self, support: SupportSet) -> Provenance:
        networks = self.networks
        return Provenance(
            version=version(),
            models=dict(networks.names),
            hashes=dict(networks.hashes),
            licences=dict(networks.licences),
            settings=self.settings.to_dict(),
            support=support.fingerprint(),
            examples=len(support),
            device=str(networks.device),
            precision=networks.precision,
            icl_precision=str(networks.icl_dtype).removeprefix("torch."),
        )


class Task:
    """What was learnt from a support set, ready to segment. Made by `ICLSAM.fit` or `load_task`; never changes.

    Attributes
    ----------
    segmenter : ICLSAM
    networks : Networks
        The segmenter's, or with an in-context model that has got used to the examples.
    support : SupportSet
    weights : tuple of Weights
        Of the fusion, label by label.
    expected : mapping of int to Score
        By label: how well the examples segmented each other, if they were asked to (``Settings.calibrate``).
    """

    def __init__(
        self,
        segmenter: ICLSAM,
        networks: Networks,
        examples: Examples,
        learnt: Learnt,
        weights: tuple[Weights, ...],
        expected: Mapping[int, Score],
        corrections: tuple[float, ...],
    ) -> None:
        self.segmenter = segmenter
        self.networks = networks
        self.support = examples.support
        self.weights = weights
        self.expected = expected
        self._examples = examples
        self._learnt = learnt
        self._corrections = corrections
        self._provenance = segmenter._provenance(examples.support)

    def predict(self, image: NDArray[Any]) -> Prediction:
        """Segment one image.

        Parameters
        ----------
        image : ndarray, (H, W) or (H, W, 3 or 4)
            Any real dtype, any size.

        Raises
        ------
        ValueError, TypeError
            If it is not one plane of finite numbers, or has the same value everywhere. (Empty planes of a stack are
            no error: nothing is found in them.)
        """
        check_contrast(check_image(image))
        return _drain(self.steps(image))

    def steps(self, image: NDArray[Any]) -> Generator[Progress, None, Prediction]:
        """Segment one image step by step; see `predict`."""
        clock = Clock()
        yield Progress("embed", "Looking at the image")
        rgb = as_rgb8(image)
        with clock.step("embed"):
            query = self.networks.embed(rgb, self.segmenter.cache)
        return (yield from self._embedded_steps(rgb, query, clock))

    def predict_stack(
        self, volume: ArrayLike, axis: int = 0, *, planes: Iterable[int] | None = None
    ) -> NDArray[np.int32]:
        """Segment the planes of a stack; of dask and zarr arrays, one is read while another is worked on.

        Parameters
        ----------
        volume : numpy, dask or zarr array, three axes, or three and colours
        axis : int
            The axis that the planes are stacked along.
        planes : iterable of int, optional
            Only these planes; by default all.

        Returns
        -------
        ndarray, int32
            Of the shape of the volume without colours; 0 in the planes left out.

        Raises
        ------
        ValueError, TypeError
            If it is not a stack of planes of finite numbers; the message names the plane.
        """
        axis = stack_axis(volume.shape, axis)
        labels = np.zeros(volume.shape[:3], np.int32)
        for progress in self.stack_steps(volume, axis, planes=planes):
            if progress.prediction is not None:
                assert progress.plane is not None
                labels[(slice(None),) * axis + (progress.plane,)] = progress.prediction.labels
        return labels

    def stack_steps(
        self, volume: ArrayLike, axis: int = 0, *, planes: Iterable[int] | None = None
    ) -> Generator[Progress, None, None]:
        """Segment the planes of a stack step by step; the steps with stage "done" carry a plane's prediction."""
        axis = stack_axis(volume.shape, axis)
        wanted = plane_indices(volume.shape[axis], planes)
        total = len(wanted)
        with closing(planes_ahead(volume, axis, wanted)) as images:
            ready = embedded_planes(images, self.networks, self.segmenter.cache)
            for done, index in enumerate(wanted):
                yield Progress("embed", f"Looking at slice {done + 1} of {total}", done, total, index)
                try:
                    plane = next(ready)
                except (ValueError, TypeError) as error:
                    raise type(error)(f"Plane {index}: {error}") from error
                place = partial(replace, done=done, total=total, plane=index)
                prediction = yield from _each(self._embedded_steps(plane.rgb, plane.query, plane.clock), place)
                yield Progress("done", f"Slice {done + 1} of {total} is done", done + 1, total, index, prediction)

    def save(self, path: str | Path) -> None:
        """Save the examples, the settings and the names of the models as a ``.iclsam`` file; see `save_task`."""
        from napari_iclsam.core.task_file import save_task

        save_task(self, path)

    def _embedded_steps(
        self, rgb: NDArray[np.uint8], query: Embedding, clock: Clock
    ) -> Generator[Progress, None, Prediction]:
        """Segment an image whose embedding is there."""
        settings = self.segmenter.settings
        maps = yield from look(self.networks, self._learnt, self._examples, rgb, query, settings, clock)
        yield Progress("fuse", "Joining both models")
        with clock.step("fuse"):
            return self._fuse(maps, clock)

    def _fuse(self, maps: Maps, clock: Clock) -> Prediction:
        settings, ids = self.segmenter.settings, self.support.ids
        size, estimates = (maps.sam.shape[-2], maps.sam.shape[-1]), list[float]()
        if not settings.use_sam:
            scores = resize(maps.icl, size) - 0.5
        elif settings.mode == "paper":
            scores = fuse(icl_score(maps.icl, size), sam_score(maps.sam), self.weights)
        else:
            evidence = evidence_of(maps)
            scores, estimates = combine(evidence, self.weights), estimate_dice(evidence, self._corrections)
        scores = F.hardshrink(scores, _UNDECIDED)
        probabilities, labels = torch.sigmoid(scores)[:, 0].cpu().numpy(), label_map(scores, ids)
        missing = [self.support.name(i) for i, found in zip(ids, maps.boxes, strict=True) if not len(found)]
        return Prediction(
            labels=labels,
            probabilities=dict(zip(ids, probabilities, strict=True)),
            confidence=dict(zip(ids, maps.confidence[:, 0].cpu().numpy(), strict=True)),
            icl_labels=label_map(F.hardshrink(resize(maps.icl_alone, size) - 0.5, _UNDECIDED), ids),
            sam_labels=label_map(maps.sam, ids),
            boxes=dict(zip(ids, maps.boxes, strict=True)),
            seconds=clock.seconds,
            provenance=self._provenance,
            notes=(f"Nothing found of: {', '.join(missing)}.",) if missing else (),
            estimated_dice={i: dice for i, dice in zip(ids, estimates, strict=False) if (labels == i).any()},
        )


def _each(steps: Generator[Progress, None, T], change: Callable[[Progress], Progress]) -> Generator[Progress, None, T]:
    """Run a generator, changing what it yields."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        yield change(step)


def _drain(steps: Generator[Any, None, T]) -> T:
    """Run a generator to its end and return what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
