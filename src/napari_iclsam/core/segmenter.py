"""ICL-SAM (Hu et al., MIDL 2024) as its user calls it: choose models, fit a task to examples."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_iclsam.core.context import Runners, fit_context
from napari_iclsam.core.encoder.cache import EmbeddingCache, default_cache
from napari_iclsam.core.encoder.examples import Examples
from napari_iclsam.core.fitting import draw_pixels, embed_steps, hold_out_steps
from napari_iclsam.core.fusion.cross_validation import (
    HeldOut,
    choose_weights,
    cross_validated_scores,
    helpful_parts,
)
from napari_iclsam.core.fusion.log_odds import foreground_log_odds, shifted_for_thin
from napari_iclsam.core.fusion.published import label_map
from napari_iclsam.core.fusion.weights import (
    FusionWeights,
    default_weights,
    published_weights,
)
from napari_iclsam.core.images.geometry import resize
from napari_iclsam.core.images.intensity import to_rgb8
from napari_iclsam.core.images.planes import ArrayLike, plane
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.in_context.coarse_to_fine import EncodedSupport, preview
from napari_iclsam.core.in_context.fine_tuning import can_fine_tune, fine_tune
from napari_iclsam.core.inference import StageTimer, without_gradients
from napari_iclsam.core.model_choice import ModelChoice, Precision
from napari_iclsam.core.networks import Networks, NetworkSource
from napari_iclsam.core.prediction import Prediction, Progress, Provenance
from napari_iclsam.core.quality.dice_estimate import bias_correction
from napari_iclsam.core.recipe import resolve
from napari_iclsam.core.refinement.pixel_classifier import PixelSamples
from napari_iclsam.core.settings import Settings
from napari_iclsam.core.stack_task import (
    LabelledStack,
    Spacing,
    StackTask,
    check_stack,
    labelled_planes_of,
)
from napari_iclsam.core.steps import drain
from napari_iclsam.core.task import FittedFusion, Task, by_label, decided
from napari_iclsam.core.task_file import read_task
from napari_iclsam.core.volume.labelled_planes import AxisKind
from napari_iclsam.core.volume.scaled_volume import ScaledVolume
from napari_iclsam.version import version


class ICLSAM:
    """Segment images from a few labelled examples.

    Parameters
    ----------
    sam : str
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
        Of the large networks. "auto" is half precision where it pays (`choose_precision`), and
        float32 in paper mode.
    models : str, optional
        Old name of ``sam``.

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

    def __init__(  # noqa: PLR0913 (options with defaults, each by name)
        self,
        sam: str = "starter",
        *,
        icl: str | None = None,
        device: str = "auto",
        settings: Settings | None = None,
        cache: EmbeddingCache | None = None,
        networks: Networks | None = None,
        precision: Precision = "auto",
        models: str | None = None,
    ) -> None:
        if models is not None:
            warnings.warn(
                "ICLSAM(models=...) is now called sam=.", DeprecationWarning, stacklevel=2
            )
            sam = models
        self.settings = settings or Settings()
        self.cache = cache or default_cache()
        self._recipe = resolve(self.settings)
        self._networks = networks
        self._source: NetworkSource | None = None
        if networks is None:
            if precision == "auto" and not self._recipe.half_precision:
                precision = "float32"
            self._source = NetworkSource.of(ModelChoice(sam, icl or "starter", device), precision)

    @property
    def networks(self) -> Networks:
        """The networks, loaded at first use."""
        if self._networks is None:
            assert self._source is not None
            self._networks = self._source.load()
        return self._networks

    @property
    def uses_neighbors(self) -> bool:
        """Whether the labelled planes of a stack tell of the planes beside; see `fit_stack`."""
        return self._recipe.use_neighbors

    def fit(self, images: Sequence[NDArray[Any]], labels: Sequence[NDArray[Any]]) -> Task:
        """Fit a task to examples.

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
        """Fit a task to a checked support set."""
        return drain(self.fit_steps(support))

    def fit_steps(
        self, support: SupportSet, preview_image: NDArray[Any] | None = None
    ) -> Generator[Progress, None, Task]:
        """Fit a task step by step; see `fit`.

        Embed the examples, cross-validate the fusion weights, fine-tune the in-context model, fit
        the probe, and encode what does not depend on the query.

        Parameters
        ----------
        support : SupportSet
        preview_image : ndarray, (H, W) or (H, W, 3 or 4), optional
            An image to segment before all else, by the in-context model alone: a step with stage
            "done" carries what it found.
        """
        return without_gradients(self._fit_steps(support, preview_image))

    def fit_stack(
        self,
        volume: ArrayLike,
        labels: NDArray[Any],
        axis: int = 0,
        *,
        empty_planes: Iterable[int] = (),
        spacing: Spacing | None = None,
        kind: AxisKind = "space",
    ) -> StackTask:
        """Fit a task to the labelled planes of a stack, to segment its other planes.

        Parameters
        ----------
        volume : numpy, dask or zarr array, (Z, Y, X) or (Z, Y, X, 3 or 4)
            Any real dtype. All planes are seen on one scale of grey values.
        labels : ndarray, (Z, Y, X), integer
            Planes with any label are the examples.
        axis : int
            The axis that the planes are stacked along.
        empty_planes : iterable of int
            Planes that hold no label for sure: they are examples, too.
        spacing : tuple of float, optional
            Distance of planes, rows and columns, in any one unit.
        kind : {"space", "time"}
            Along a time axis an object may vanish and return.

        Raises
        ------
        ValueError, TypeError
            If labels and volume do not fit, a plane that was declared empty holds labels, or a
            labelled plane is no plane of finite numbers; see also `SupportSet.of`.
        """
        axis = check_stack(volume, labels, axis)
        planes = labelled_planes_of(labels, axis, empty_planes)
        scaled = ScaledVolume.of(volume, axis, planes, range(volume.shape[axis]))
        support = SupportSet.of(
            [plane(scaled, axis, number) for number in planes],
            [plane(labels, axis, number) for number in planes],
        )
        pairs = {number: pair for pair, number in enumerate(planes)}
        stack = LabelledStack(scaled, axis, pairs, spacing, kind)
        return StackTask(self.fit_support(support), stack)

    def _fit_steps(
        self, support: SupportSet, preview_image: NDArray[Any] | None
    ) -> Generator[Progress, None, Task]:
        count = len(support)
        timer = StageTimer()
        yield Progress("load", "Loading the models", 0, count)
        runners = self.networks.runners(self._recipe, self.cache)
        images = Examples(support, tuple(to_rgb8(image) for image in support.images))
        encoded = None
        if preview_image is not None:
            encoded = yield from self._preview_steps(runners, images, preview_image)
        examples = yield from embed_steps(runners, images, timer)
        with timer.stage("fit"):
            samples = draw_pixels(self._recipe, examples)
        fusion = yield from self._fusion_steps(runners, examples, samples, timer)
        # what does not help costs nothing from here on
        samples = samples if fusion.kept.pixels else None
        runners = replace(runners, experts=runners.experts.subset(fusion.kept.experts))
        examples = examples.with_experts(fusion.kept.experts)
        if (
            self._recipe.fine_tune
            and self.networks.icl_facts.fine_tunable
            and can_fine_tune(examples)
        ):
            tuned = yield from fine_tune(runners.in_context, examples, timer)
            runners = replace(runners, in_context=tuned)
            # what the model encoded before it was fine-tuned is out of date
            encoded = None
        yield Progress("fit", "Fitting the confidence map", count, count)
        with timer.stage("fit"):
            context = fit_context(runners, examples, encoded, samples)
        return Task(context, fusion, self.settings, self._provenance(support))

    def _preview_steps(
        self, runners: Runners, examples: Examples, image: NDArray[Any]
    ) -> Generator[Progress, None, EncodedSupport]:
        """Segment an image by the in-context model alone, before the examples are embedded."""
        count = len(examples)
        timer = StageTimer()
        yield Progress("icl", "Segmenting a preview", 0, count)
        with timer.stage("icl"):
            encoded, probabilities = preview(runners.in_context, examples, to_rgb8(image))
        shown = resize(probabilities, (image.shape[0], image.shape[1]))
        prediction = self._preview_prediction(examples.support, shown, timer)
        yield Progress("done", "A preview is done", 0, count, prediction=prediction)
        return encoded

    def _fusion_steps(
        self,
        runners: Runners,
        examples: Examples,
        samples: PixelSamples | None,
        timer: StageTimer,
    ) -> Generator[Progress, None, FittedFusion]:
        """Cross-validate the fusion weights on the examples; without that, the defaults hold."""
        cases: list[HeldOut] = []
        if self._recipe.cross_validate and len(examples) > 1:
            cases = yield from hold_out_steps(runners, examples, samples, timer)
        defaults = self._default_weights(examples)
        weights = []
        corrections = []
        scores = {}
        kept = helpful_parts(cases, defaults)
        cases = [case.only(kept) for case in cases]
        for label, default in enumerate(defaults):
            chosen = choose_weights(cases, label, default.only(kept))
            score = cross_validated_scores(cases, label, chosen)
            weights.append(chosen)
            corrections.append(bias_correction(cases, label, chosen))
            if score is not None:
                scores[examples.support.ids[label]] = score
        foreground = foreground_log_odds(examples.all_masks())
        return FittedFusion(tuple(weights), scores, tuple(corrections), kept, tuple(foreground))

    def _default_weights(self, examples: Examples) -> list[FusionWeights]:
        """Return the fusion weights of each label before any are cross-validated."""
        if self._recipe.fusion != "log-odds":
            return [published_weights(len(examples))] * len(examples.support.ids)
        sams = self.networks.sams[: self._recipe.max_experts]
        kinds = [sam.facts.fusion_default for sam in sams]
        default = default_weights(kinds, len(examples))
        defaults = [default] * len(examples.support.ids)
        if kinds != ["published"]:
            defaults = [shifted_for_thin(default, masks) for masks in examples.masks_by_label()]
        if not self._recipe.pixel_classifier:
            return defaults
        # what it says of other images is known once it was tried on one
        return [of_label.with_pixels(0.0) for of_label in defaults]

    def _preview_prediction(
        self, support: SupportSet, probabilities: Tensor, timer: StageTimer
    ) -> Prediction:
        """Return what the in-context model's probabilities (L, 1, H, W) alone show of an image."""
        ids = support.ids
        labels = label_map(decided(probabilities - 0.5), ids)
        of_label = by_label(ids, probabilities)
        return Prediction(
            labels=labels,
            probabilities=of_label,
            confidence={i: np.full_like(of_label[i], 0.5) for i in ids},
            icl_labels=labels,
            sam_labels=np.zeros_like(labels),
            boxes=dict.fromkeys(ids, np.zeros((0, 4), np.int64)),
            seconds=dict(timer.seconds),
            provenance=self._provenance(support),
            notes=("A preview by the in-context model alone.",),
        )

    def _provenance(self, support: SupportSet) -> Provenance:
        networks = self.networks
        facts = {}
        for number, sam in enumerate(networks.sams[: self._recipe.max_experts], start=1):
            facts["sam" if number == 1 else f"sam{number}"] = sam.facts
        facts["icl"] = networks.icl_facts
        return Provenance(
            version=version(),
            models={role: of_role.name for role, of_role in facts.items()},
            checksums={role: of_role.checksum for role, of_role in facts.items()},
            licenses={role: of_role.license for role, of_role in facts.items()},
            settings=self.settings.to_dict(),
            support=support.fingerprint(),
            examples=len(support),
            device=str(networks.device),
            precision=networks.sams[0].precision,
            icl_precision=str(networks.icl_dtype).removeprefix("torch."),
        )


def load_task(
    path: str | Path, *, device: str = "auto", cache: EmbeddingCache | None = None
) -> Task:
    """Read a task file and fit the task, with the models it was saved with.

    Raises
    ------
    ValueError, FileNotFoundError
        See `read_task`; also if its models are unknown, or not on this computer.
    """
    saved = read_task(path)
    models = saved.models
    segmenter = ICLSAM(
        models.sam, icl=models.icl, device=device, settings=saved.settings, cache=cache
    )
    return segmenter.fit_support(saved.support)
