"""Which label file belongs to which image file, told by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_iclsam.files.names import stem

_LABEL_WORDS = (
    "labels?|labelled|lbl|masks?|msk|segmentations?|segmented|seg|groundtruth|truth|gt|annotations?|annotated|annot"
    "|cp|outlines?|manual[12]?|roi|target"
)
_IMAGE_WORDS = "images?|img|raw|im|imgs|picture|scan|photo|original|orig|input"

_LABEL_WORD = re.compile(rf"(?<![a-z])(?:{_LABEL_WORDS})(?![a-z])")
_IMAGE_WORD = re.compile(rf"(?<![a-z])(?:{_IMAGE_WORDS})(?![a-z])")
"""Parts of longer words do not count; digits and underscores end one: mask01, cell_mask."""

_CAPITALS = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])")
"""Where a word begins within a name such as cellMask."""

_FOLDER = re.compile(
    rf"^(?:{_LABEL_WORDS})(?![a-z])|(?<![a-z])(?:{_LABEL_WORDS})$|^labels?(?:tr|ts)$"
)

_NNUNET_CHANNEL = re.compile(r"_0000$")


@dataclass(frozen=True, slots=True)
class NamedPair:
    """An image file and the file of its labels."""

    image: Path
    labels: Path


@dataclass(frozen=True, slots=True)
class _Name:
    """A file name without words for image and labels, and how many of the latter it had."""

    path: Path
    key: str
    label_words: int

    @property
    def of_labels(self) -> bool:
        return self.label_words > 0


def pairs_by_name(paths: Sequence[Path]) -> tuple[NamedPair, ...]:
    """Pair images and labels whose names are the same but for words such as "mask" and "labels".

    ``cell1.png`` belongs to ``cell1_mask.png``, ``images/a.tif`` to ``masks/a.tif``, ``img01.tif``
    to ``label01.tif``. One image and one label file belong together unless their names have
    different numbers.

    Parameters
    ----------
    paths : sequence of Path
        Not empty, in any order.

    Returns
    -------
    tuple of NamedPair
        In the order of the images.

    Raises
    ------
    ValueError
        If it is not clear what belongs together; the message names the files.
    """
    # A file that was dropped twice is one file.
    names = [_read_name(path) for path in dict.fromkeys(paths)]
    # First within folders: two patients may have files of the same names.
    folder_and_key = [(name.path.parent, name.key) for name in names]
    pairs, rest = _pair_within(folder_and_key, names)
    key = [(name.key,) for name in rest]
    more, rest = _pair_within(key, rest)
    pairs += more
    if rest:
        pairs.append(_last_pair(rest))
    order = {name.path: number for number, name in enumerate(names)}
    return tuple(sorted(pairs, key=lambda pair: order[pair.image]))


def labels_beside(paths: Sequence[Path]) -> dict[Path, Path]:
    """Return the label files among the files of a folder, by the images that they belong to.

    Told by names alone, as in `pairs_by_name`; what is not clear is no pair.
    """
    names = [_read_name(path) for path in paths]
    folder_and_key = [(name.path.parent, name.key) for name in names]
    pairs, _ = _pair_within(folder_and_key, names)
    return {pair.image: pair.labels for pair in pairs}


def _read_name(path: Path) -> _Name:
    text = _CAPITALS.sub("_", stem(path)).lower()
    words = len(_LABEL_WORD.findall(text))
    folder = _CAPITALS.sub("_", path.parent.name).lower()
    if _FOLDER.search(folder):
        words += 1
    left = _LABEL_WORD.sub("", text)
    left = _IMAGE_WORD.sub("", left)
    # nnU-Net numbers the channels of an image; its labels have no such number.
    left = _NNUNET_CHANNEL.sub("", left)
    key = re.sub(r"[\W_]+", "_", left).strip("_")
    return _Name(path, key, words)


def _pair_within(
    keys: Sequence[tuple[object, ...]], names: Sequence[_Name]
) -> tuple[list[NamedPair], list[_Name]]:
    """Pair names that share a key with exactly one other; return the pairs and the rest."""
    groups: dict[tuple[object, ...], list[_Name]] = {}
    for key, name in zip(keys, names, strict=True):
        groups.setdefault(key, []).append(name)
    pairs: list[NamedPair] = []
    rest: list[_Name] = []
    for group in groups.values():
        # The name of an image may hold such a word, too; that of its labels holds more.
        first, *others = sorted(group, key=lambda name: name.label_words)
        is_pair = len(others) == 1 and others[0].label_words > first.label_words
        if is_pair:
            pairs.append(NamedPair(first.path, others[0].path))
        else:
            rest += group
    return pairs, rest


def _last_pair(rest: Sequence[_Name]) -> NamedPair:
    """Pair what is left if it is one image and one label file that do not contradict each other."""
    images = [name for name in rest if not name.of_labels]
    labels = [name for name in rest if name.of_labels]
    if len(images) == len(labels) == 1 and _agree(images[0].key, labels[0].key):
        return NamedPair(images[0].path, labels[0].path)
    raise ValueError(
        f"It is not clear which labels belong to which image: {_listed(images, 'image')}, "
        f"{_listed(labels, 'labels')}. "
        "Give each image one label file of the same name and 'mask' or 'labels': cell1.png and "
        "cell1_mask.png."
    )


def _agree(image: str, labels: str) -> bool:
    """Tell whether names that differ may belong together: one is empty, or numbers agree."""
    if not image or not labels:
        return True
    of_image = re.findall(r"\d+", image)
    of_labels = re.findall(r"\d+", labels)
    if not of_image or not of_labels:
        return True
    return of_image == of_labels


def _listed(names: Sequence[_Name], what: str) -> str:
    if not names:
        return f"no {what}"
    shown = [name.path.name for name in names[:4]]
    # A folder of thousands would fill the screen.
    if len(names) > 4:
        shown.append("...")
    return f"{what} {', '.join(shown)}"
