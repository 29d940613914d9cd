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
from napari_iclsam.core.prediction import Prediction, Provenance

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
    labels : ndarray, of the shape of the query, int32
    boxes : mapping of int to list of Box
    needs : mapping of int to float
        By plane of a stack that is settled: how much it needs to be checked, from 0 to 1.
    seconds : Counter
        By stage.
    notes : mapping of str to list of int
        Each note with the planes that it is about; none for a single plane.
    provenance : Provenance, optional
        Once there is a prediction.
    """

    query: Query
    output: Path
    names: Mapping[int, str]
    labels: NDArray[np.int32]
    boxes: dict[int, list[Box]] = field(default_factory=dict)
    estimates: dict[int | None, Mapping[int, float]] = field(default_factory=dict)
    needs: dict[int, float] = field(default_factory=dict)
    seconds: Counter[str] = field(default_factory=Counter)
    notes: dict[str, list[int]] = field(default_factory=dict)
    provenance: Provenance | None = None

    def keep_labels(self, labels: NDArray[np.int32], plane: int | None) -> None:
        """Take in the labels of one plane."""
        axis = self.query.axis or 0
        key = (...,) if plane is None else (slice(None),) * axis + (plane,)
        self.labels[key] = labels

    def settle(self, prediction: Prediction, plane: int | None) -> None:
        """Take in the final labels of a plane of a stack, in the place of its first answer."""
        self.keep_labels(prediction.labels, plane)
        if plane is not None:
            plane = self.query.placement.number_in_file(plane)
            self.needs[plane] = prediction.need_of_check
        self.estimates[plane] = prediction.estimated_dice
        for note in prediction.notes:
            self.notes.setdefault(note, []).extend(() if plane is None else (plane,))

    def add(self, prediction: Prediction, plane: int | None = None) -> None:
        """Take in the prediction of one plane."""
        self.keep_labels(prediction.labels, plane)
        if plane is not None:
            plane = self.query.placement.number_in_file(plane)
        for label, found in prediction.boxes.items():
            self.boxes.setdefault(label, []).extend(
                Box(tuple(map(int, box)), plane) for box in found
            )
        self.estimates[plane] = prediction.estimated_dice
        self.seconds.update(prediction.seconds)
        for note in prediction.notes:
            self.notes.setdefault(note, []).extend(() if plane is None else (plane,))
        self.provenance = prediction.provenance

    def pixels(self) -> dict[int, int]:
        """Count the pixels of each label."""
        return {label: int((self.labels == label).sum()) for label in self.names}

    def lines(self) -> list[str]:
        """Say in a few lines what was found."""
        pixels, total = self.pixels(), self.labels.size
        lines = [f"{self.query.path} -> {self.output}  ({sum(self.seconds.values()):.1f} s)"]
        for label, name in self.names.items():
            count = len(self.boxes.get(label, ()))
            share = f"{100 * pixels[label] / total:.1f} %"
            line = f"  {name}: {pixels[label]} pixels ({share}), {count} {'box' if count == 1 else 'boxes'}"
            dice = self.estimates.get(None, {}).get(label)
            lines.append(line if dice is None else f"{line}, Dice about {dice:.2f}")
        return lines + self._doubts() + [f"  {note}" for note in self.said()]

    def _doubts(self) -> list[str]:
        """Say which planes of a stack most need a look: those whose worst label has the least estimated Dice."""
        if self.needs:
            first = sorted(self.needs, key=lambda plane: -self.needs[plane])[:_DOUBTS]
            return [f"  check first: planes {', '.join(map(str, sorted(first)))}"]
        stack = {
            plane: dice for plane, dice in self.estimates.items() if dice and plane is not None
        }
        worst = sorted((min(dice.values()), plane) for plane, dice in stack.items())
        planes = ", ".join(f"{plane} (Dice about {dice:.2f})" for dice, plane in worst[:_DOUBTS])
        return [f"  check first: planes {planes}"] if len(worst) > 1 else []

    def said(self) -> list[str]:
        """Return the notes, each with its planes."""
        return [
            f"{note} (planes {_ranges(planes)})" if planes else note
            for note, planes in self.notes.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return all but the pixels, ready for JSON."""
        pixels = self.pixels()
        return {
            "query": str(self.query.path),
            "output": str(self.output),
            "shape": list(self.query.placement.shape),
            "axis": self.query.axis,
            "spacing": list(self.query.space.spacing),
            "unit": self.query.space.unit,
            "labels": [
                {
                    "label": label,
                    "name": name,
                    "pixels": pixels[label],
                    "boxes": [box.to_dict() for box in self.boxes.get(label, ())],
                    "estimated_dice": [
                        {"dice": round(dice[label], 3)} | _placed(plane)
                        for plane, dice in self.estimates.items()
                        if label in dice
                    ],
                }
                for label, name in self.names.items()
            ],
            "seconds": {stage: round(value, 4) for stage, value in self.seconds.items()},
            "notes": self.said(),
        } | self._made_by()

    def _made_by(self) -> dict[str, Any]:
        """Return what made the result; nothing did if nothing was looked for."""
        made = self.provenance
        if made is None:
            return {}
        return {
            "models": {
                role: {
                    "name": name,
                    "hash": made.checksums.get(role, ""),
                    "license": made.licenses.get(role, ""),
                }
                for role, name in made.models.items()
            },
            "settings": dict(made.settings),
            "support": {"fingerprint": made.support, "examples": made.examples},
            "device": made.device,
            "precision": made.precision,
            "icl_precision": made.icl_precision,
            "version": made.version,
        }


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
    outcomes: Sequence[Outcome],
    support: Sequence[tuple[Path, Path]],
    notes: Sequence[str],
) -> None:
    """Write what was made of all queries, of which files, and what was noticed about these, as JSON."""
    report = {
        "support": [{"image": str(image), "labels": str(labels)} for image, labels in support],
        "notes": list(dict.fromkeys(notes)),
        "queries": [outcome.to_dict() for outcome in outcomes],
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
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
