"""A preview: the in-context model alone segments an image, before the examples are embedded."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_iclsam.core.encoder.examples import Examples
from napari_iclsam.core.fusion.label_maps import by_label, decided, label_map
from napari_iclsam.core.images.geometry import resize
from napari_iclsam.core.in_context.coarse_to_fine import EncodedSupport, preview
from napari_iclsam.core.in_context.runner import InContextRunner
from napari_iclsam.core.inference import StageTimer
from napari_iclsam.core.prediction import Prediction, Progress, Provenance


def preview_steps(
    runner: InContextRunner, examples: Examples, image: NDArray[Any], provenance: Provenance
) -> Generator[Progress, None, EncodedSupport]:
    """Segment an image; return what was encoded of the examples.

    Parameters
    ----------
    runner : InContextRunner
    examples : Examples
        Their embeddings are not needed.
    image : ndarray, (H, W) or (H, W, 3 or 4)
    provenance : Provenance
    """
    count = len(examples)
    timer = StageTimer()
    yield Progress("icl", "Segmenting a preview", 0, count)
    with timer.stage("icl"):
        encoded, probabilities = preview(runner, examples, examples.seen(image))
    shown = resize(probabilities, (image.shape[0], image.shape[1]))
    prediction = _prediction(examples.support.ids, shown, timer, provenance)
    yield Progress("done", "A preview is done", 0, count, prediction=prediction)
    return encoded


def _prediction(
    ids: tuple[int, ...], probabilities: Tensor, timer: StageTimer, provenance: Provenance
) -> Prediction:
    """Return what the in-context model's probabilities (L, 1, H, W) alone show of an image."""
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
        provenance=provenance,
        notes=("A preview by the in-context model alone.",),
    )
