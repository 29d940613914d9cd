"""Records of results that are complete: by which task they were made, of which image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_iclsam.commands.model import Model
from napari_iclsam.commands.query_run import Work

FOLDER = ".napari-iclsam"
"""Beside results: their records, and what is being written."""

_BLOCK = 1 << 20
"""Bytes of a file that are read at once."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a result.

    Attributes
    ----------
    task : str
        See `task_checksum`.
    image : str
        See `image_checksum`.
    entry : mapping
        What a report says of it, `Outcome.to_dict`.
    """

    task: str
    image: str
    entry: Mapping[str, Any]

    def is_of(self, path: Path, task: str) -> bool:
        """Return whether the result was made by this task, of what this image holds now."""
        return self.task == task and self.image == image_checksum(path)


def record_path(output: Path) -> Path:
    """Return where the record of a result is."""
    return output.parent / FOLDER / f"{output.name}.json"


def read_record(output: Path) -> Record | None:
    """Return the record of a result; None if there is none, or it is damaged."""
    try:
        values = json.loads(record_path(output).read_text(encoding="utf-8"))
        return Record(values["task"], values["image"], values["entry"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_record(place: Path, record: Record) -> None:
    """Write a record."""
    values = {"task": record.task, "image": record.image, "entry": record.entry}
    place.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def results_recorded(folder: Path) -> list[Path]:
    """Return the results in a folder that have a record."""
    records = (folder / FOLDER).glob("*.json")
    return [folder / record.name.removesuffix(".json") for record in records]


def image_checksum(path: Path) -> str:
    """Return a checksum of a file's content.

    Of a folder that is an image it is one of the names, sizes and times of its files.
    """
    digest = hashlib.sha256()
    if path.is_dir():
        # A terabyte is not read to find out that it is the same.
        for file in sorted(path.rglob("*")):
            facts = file.stat()
            name = file.relative_to(path).as_posix()
            digest.update(f"{name}/{facts.st_size}/{facts.st_mtime_ns}\n".encode())
        return f"folder:{digest.hexdigest()}"
    with path.open("rb") as file_bytes:
        while block := file_bytes.read(_BLOCK):
            digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def task_checksum(work: Work, model: Model) -> str:
    """Return a checksum of all that a result depends on beside its image.

    The device and the version of this software are left out: neither makes another task.
    """
    examples = work.examples
    reading = work.reading
    reference = examples.reference
    depends = {
        "support": examples.support.fingerprint(),
        "settings": model.settings.to_dict(),
        "models": [_model_facts(name) for name in (model.choice.sam, model.choice.icl)],
        "axis": reading.axis,
        "channel": reading.channel,
        "level": reading.level,
        "series": reading.series,
        "pixel_size": examples.resolution.pixel_size,
        "window": None if examples.window is None else repr(examples.window),
        "reference": None if reference is None else reference.tolist(),
        "objects": [work.objects.are_output, work.objects.are_measured],
        "stacks": [sorted(stack.pairs.items()) for stack in examples.stacks],
    }
    text = json.dumps(depends, sort_keys=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _model_facts(name: str) -> str:
    """Return what tells models apart: a name, and of a custom checkpoint its size and time."""
    path = Path(name.rpartition(":")[2]).expanduser()
    if not path.is_file():
        return name
    facts = path.stat()
    return f"{path.name}/{facts.st_size}/{facts.st_mtime_ns}"
