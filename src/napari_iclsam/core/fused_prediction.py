"""From the fused scores of an image to its prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from napari_iclsam.core.fitted_fusion import Fused
from napari_iclsam.core.fusion.label_maps import by_label, decided, label_map
from napari_iclsam.core.fusion.outputs import StageOutputs
from napari_iclsam.core.images.geometry import resize
from napari_iclsam.core.images.intensity import is_constant
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.inference import StageTimer
from napari_iclsam.core.prediction import Prediction, Provenance


@dataclass(frozen=True, slots=True)
class SegmentedImage:
    """What both models and their fusion say of an image.

    Attributes
    ----------
    outputs : StageOutputs
    fused : Fused
    timer : StageTimer
        What each stage took.
    """

    outputs: StageOutputs
    fused: Fused
    timer: StageTimer


def prediction_of(
    segmented: SegmentedImage, support: SupportSet, provenance: Provenance
) -> Prediction:
    """Return the labels of an image, and the maps and estimates that they rest on."""
    outputs = segmented.outputs
    ids = support.ids
    # once for both, so that labels and probabilities never contradict each other
    scores = decided(segmented.fused.scores)
    labels = label_map(scores, ids)
    full_image = resize(outputs.full_image, outputs.size) - 0.5
    # in paper mode there are none
    estimates = dict(zip(ids, segmented.fused.estimates, strict=False))
    present = set(np.unique(labels).tolist())
    of_found = {label: dice for label, dice in estimates.items() if label in present}
    return Prediction(
        labels=labels,
        probabilities=by_label(ids, torch.sigmoid(scores)),
        confidence=by_label(ids, outputs.confidence),
        icl_labels=label_map(decided(full_image), ids),
        sam_labels=label_map(outputs.sam, ids),
        boxes=dict(zip(ids, outputs.boxes, strict=True)),
        seconds=segmented.timer.seconds,
        provenance=provenance,
        notes=_notes(segmented, support),
        estimated_dice=of_found,
        all_estimates=estimates,
        separations=support.separations,
    )


def empty_if_blank(prediction: Prediction, rgb: NDArray[np.uint8]) -> Prediction:
    """Return a prediction; of an image of one value, whatever the models saw, an empty one."""
    if not is_constant(rgb):
        return prediction
    nothing = np.zeros_like(prediction.labels)
    maps = prediction.probabilities
    return replace(
        prediction,
        labels=nothing,
        probabilities={label: np.zeros_like(values) for label, values in maps.items()},
        icl_labels=nothing,
        sam_labels=nothing,
        boxes={label: _no_boxes() for label in prediction.boxes},
        notes=("The image has one value everywhere: nothing is found in it.",),
        estimated_dice={},
        all_estimates={},
    )


def _no_boxes() -> NDArray[np.int64]:
    return np.zeros((0, 4), np.int64)


def _notes(segmented: SegmentedImage, support: SupportSet) -> tuple[str, ...]:
    missing = []
    absent = []
    for number, boxes in enumerate(segmented.outputs.boxes):
        name = support.name(support.ids[number])
        if not len(boxes):
            missing.append(name)
        elif number in segmented.fused.absent:
            absent.append(name)
    notes = [f"Nothing found of: {', '.join(missing)}."] if missing else []
    if absent:
        notes.append(f"Judged to be absent: {', '.join(absent)}.")
    return tuple(notes)
