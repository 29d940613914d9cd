"""What was made of one query, gathered plane by plane, for people and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.commands.queries import Query
from napari_iclsam.core.images.support import LabelStyle
from napari_iclsam.core.objects.instances import Separation
from napari_iclsam.core.prediction import LargeResult, Prediction, Provenance
from napari_iclsam.files import AnyLabels, LabelPlanes, LabelRows, planes_in, result_kind

_WHOLE = "The result was written as a whole: an .ome.zarr is written part by part, too."

_DOUBTS = 5
"""So many planes of a stack are named as those to check first."""


@dataclass(slots=True)
class Outcome:
    """What is known of a query so far; grows by a prediction a plane.

    Attributes
    ----------
    query : Query
    output : Path
    names : mapping of int to str
        What the labels are called.
    labels : ndarray, `LabelPlanes` or `LabelRows`, of the shape of the query, integers
    boxes : mapping of int to list of Box
    needs : mapping of int to float
        By plane of a stack that is settled: how much it needs to be checked, from 0 to 1.
    seconds : Counter
        By stage.
    notes : mapping of str to list of int
        Each note with the planes that it is about; none for a single plane.
    interpolated : list of int
        Planes of a stack that no model saw.
    provenance : Provenance, optional
        Once there is a prediction.
    styles : mapping of int to LabelStyle
        Names and colors that are written with the labels.
    certainty : ndarray or `LabelRows`, of the shape of the query, float16, optional
        How likely each pixel is of its label, if objects are measured.
    objects : mapping of int to int
        By label: number of objects, if these are counted.
    separations : mapping of int to Separation
        By label: how touching objects are told apart, where examples teach it.
    """

    query: Query
    output: Path
    names: Mapping[int, str]
    labels: AnyLabels
    boxes: dict[int, list[Box]] = field(default_factory=dict)
    estimates: dict[int | None, Mapping[int, float]] = field(default_factory=dict)
    needs: dict[int, float] = field(default_factory=dict)
    seconds: Counter[str] = field(default_factory=Counter)
    notes: dict[str, list[int]] = field(default_factory=dict)
    interpolated: list[int] = field(default_factory=list)
    provenance: Provenance | None = None
    styles: Mapping[int, LabelStyle] = field(default_factory=dict)
    certainty: NDArray[np.float16] | LabelRows | None = None
    objects: Mapping[int, int] = field(default_factory=dict)
    separations: Mapping[int, Separation] = field(default_factory=dict)

    def keep_pixels(self, prediction: Prediction, plane: int | None) -> None:
        """Take in the labels of one plane, and how likely they are if that is wanted."""
        axis = self.query.axis or 0
        # An image without planes is filled as a whole, whatever its axes.
        key = (...,) if plane is None else (slice(None),) * axis + (plane,)
        assert not isinstance(self.labels, LabelRows)
        if isinstance(self.labels, LabelPlanes):
            assert plane is not None
            self.labels[plane] = prediction.labels
        else:
            self.labels[key] = prediction.labels
        # A worker sends labels alone.
        if self.certainty is not None and prediction.probabilities:
            self.certainty[key] = prediction.certainty

    def settle(self, prediction: Prediction, plane: int | None) -> None:
        """Take in the final labels of a plane of a stack, in the place of its first answer."""
        self.keep_pixels(prediction, plane)
        if plane is not None:
            plane = self.query.placement.number_in_file(plane)
            self.needs[plane] = prediction.need_of_check
            if prediction.interpolated:
                self.interpolated.append(plane)
        self.estimates[plane] = prediction.estimated_dice
        self._note(prediction.notes, plane)

    def add(self, prediction: Prediction, plane: int | None = None) -> None:
        """Take in the prediction of one plane."""
        self.keep_pixels(prediction, plane)
        # From here on the plane is called as the file counts it: users look it up there.
        if plane is not None:
            plane = self.query.placement.number_in_file(plane)
        for label, found in prediction.boxes.items():
            boxes = self.boxes.setdefault(label, [])
            for corners in found:
                # numpy's integers cannot be written as JSON.
                boxes.append(Box(tuple(map(int, corners)), plane))
        self.estimates[plane] = prediction.estimated_dice
        self.seconds.update(prediction.seconds)
        self._note(prediction.notes, plane)
        self.provenance = prediction.provenance

    def take_large(self, result: LargeResult, provenance: Provenance) -> None:
        """Take in what is known of a plane whose labels were written part by part."""
        megapixels = self.labels.size / 1e6
        about = (
            f"Its {megapixels:.0f} megapixels were segmented part by part; {result.blank} of "
            f"{result.tiles} tiles hold nothing."
        )
        self._note((about, result.note), None)
        if result_kind(self.output) != "omezarr":
            self._note((_WHOLE,), None)
        self.estimates[None] = result.estimated_dice
        self.seconds.update(result.seconds)
        self.provenance = provenance

    def _note(self, notes: Sequence[str], plane: int | None) -> None:
        """Keep notes; what holds of many planes is said once, with their numbers."""
        for note in notes:
            planes = self.notes.setdefault(note, [])
            if plane is not None:
                planes.append(plane)

    def pixels(self) -> dict[int, int]:
        """Count the pixels of each label."""
        counts = dict.fromkeys(self.names, 0)
        for plane in planes_in(self.labels):
            for label in self.names:
                counts[label] += int(np.count_nonzero(plane == label))
        return counts

    def lines(self) -> list[str]:
        """Say in a few lines what was found."""
        pixels = self.pixels()
        seconds = sum(self.seconds.values())
        lines = [f"{self.query.path} -> {self.output}  ({seconds:.1f} s)"]
        for label in self.names:
            lines.append(self._line_of(label, pixels[label]))
        lines += self._doubts()
        lines += [f"  {note}" for note in self.said()]
        return lines

    def _line_of(self, label: int, pixels: int) -> str:
        """Say what was found of a label that has so many pixels."""
        share = 100 * pixels / self.labels.size
        line = f"  {self.names[label]}: {pixels} pixels ({share:.1f} %)"
        if label in self.objects:
            line += f", {self.objects[label]} objects"
        # Boxes of a million objects are not kept.
        elif not isinstance(self.labels, LabelRows):
            count = len(self.boxes.get(label, ()))
            line += f", {count} {'box' if count == 1 else 'boxes'}"
        # Of a stack, whose planes differ, `_doubts` names the worst instead.
        dice = self.estimates.get(None, {}).get(label)
        return line if dice is None else f"{line}, Dice about {dice:.2f}"

    def _doubts(self) -> list[str]:
        """Say which planes most need a look: those of the least estimated Dice of any label."""
        if self.needs:
            most_first = sorted(self.needs, key=lambda plane: -self.needs[plane])
            named = sorted(most_first[:_DOUBTS])
            return [f"  check first: planes {', '.join(map(str, named))}"]
        worst = []
        for plane, dice in self.estimates.items():
            if dice and plane is not None:
                worst.append((min(dice.values()), plane))
        # Of one plane there is nothing to choose from.
        if len(worst) < 2:
            return []
        parts = []
        for least, plane in sorted(worst)[:_DOUBTS]:
            parts.append(f"{plane} (Dice about {least:.2f})")
        return [f"  check first: planes {', '.join(parts)}"]

    def said(self) -> list[str]:
        """Return the notes, each with its planes."""
        said = []
        for note, planes in self.notes.items():
            said.append(f"{note} (planes {_ranges(planes)})" if planes else note)
        return said

    def to_dict(self) -> dict[str, Any]:
        """Return all but the pixels, ready for JSON."""
        pixels = self.pixels()
        found = {
            "query": str(self.query.path),
            "output": str(self.output),
            "shape": list(self.query.placement.shape),
            "axis": self.query.axis,
            "spacing": list(self.query.space.spacing),
            "unit": self.query.space.unit,
            "labels": [self._label_to_dict(label, pixels[label]) for label in self.names],
            "seconds": {stage: round(value, 4) for stage, value in self.seconds.items()},
            "notes": self.said(),
        }
        if self.query.axis is not None:
            found["interpolated"] = sorted(self.interpolated)
        return found | self._made_by()

    def _label_to_dict(self, label: int, pixels: int) -> dict[str, Any]:
        """Return what was found of a label that has so many pixels."""
        estimates = []
        # Planes are segmented in another order.
        for plane, dice in sorted(self.estimates.items(), key=_by_plane):
            # A label that no example lets estimate is left out, not called 0.
            if label in dice:
                estimates.append({"dice": round(dice[label], 3)} | _placed(plane))
        boxes = self.boxes.get(label, [])
        counted = {}
        if label in self.objects:
            counted["objects"] = self.objects[label]
        return counted | {
            "label": label,
            "name": self.names[label],
            "pixels": pixels,
            "boxes": [box.to_dict() for box in sorted(boxes, key=lambda box: box.plane or 0)],
            "estimated_dice": estimates,
        }

    def _made_by(self) -> dict[str, Any]:
        """Return what made the result; nothing did if nothing was looked for."""
        made = self.provenance
        if made is None:
            return {}
        models = {}
        for role, name in made.models.items():
            # Not every network comes from a file of which both are known.
            models[role] = {
                "name": name,
                "checksum": made.checksums.get(role, ""),
                "license": made.licenses.get(role, ""),
            }
        return {
            "models": models,
            "settings": dict(made.settings),
            "support": {"fingerprint": made.support, "examples": made.examples},
            "device": made.device,
            "precision": made.precision,
            "icl_precision": made.icl_precision,
            "version": made.version,
        }


def _by_plane(estimate: tuple[int | None, object]) -> int:
    """Return the number of a plane; an image has none, and one estimate."""
    return estimate[0] or 0


@dataclass(frozen=True, slots=True)
class Box:
    """A box prompt: x0, y0, x1, y1, pixel indices that are inside, and its plane in a stack."""

    corners: tuple[int, ...]
    plane: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {"box": list(self.corners)} | _placed(self.plane)


def _placed(plane: int | None) -> dict[str, int]:
    return {} if plane is None else {"plane": plane}


def write_report(
    path: Path,
    entries: Sequence[Mapping[str, Any]],
    support: Sequence[tuple[Path, Path]],
    notes: Sequence[str],
) -> None:
    """Write the results of all queries, their files, and the notes on these, as JSON.

    Parameters
    ----------
    path : Path
    entries : sequence of mapping
        A query each, `Outcome.to_dict`.
    support : sequence of (Path, Path)
    notes : sequence of str
    """
    report = {
        "support": [{"image": str(image), "labels": str(labels)} for image, labels in support],
        "notes": list(dict.fromkeys(notes)),
        "queries": list(entries),
    }
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _ranges(numbers: Sequence[int]) -> str:
    """Write ascending numbers as "0-12, 15"."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    words = []
    for first, *others in parts:
        words.append(f"{first}-{others[-1]}" if others else str(first))
    return ", ".join(words)
