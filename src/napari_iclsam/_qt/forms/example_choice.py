"""Which examples the user has added to those that were found, and which were removed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from napari_iclsam._qt.viewer.example import Example, LayerExample

Judge: TypeAlias = Callable[[Example], bool]
"""Tells whether an example has to go."""


class ExampleChoice:
    """The user's choice, by keys of examples: it outlives that labels are read again."""

    def __init__(self) -> None:
        self._added: set[Any] = set()
        self._dismissed: set[Any] = set()

    def add(self, key: Any) -> None:
        """Note that the user wants an example."""
        self._added.add(key)
        self._dismissed.discard(key)

    def dismiss(self, key: Any) -> None:
        """Note that the user does not want an example, even if it is found again."""
        self._dismissed.add(key)
        self._added.discard(key)

    def withdraw(self, keys: set[Any]) -> None:
        """Forget that examples were added."""
        self._added -= keys

    def wanted(self, found: Iterable[Example]) -> list[Example]:
        """Return those that were found and not removed."""
        return [example for example in found if example.key not in self._dismissed]

    def is_gone(self, found: Iterable[Example]) -> Judge:
        """Return what tells whether an example was neither found nor added."""
        kept = self._added | {example.key for example in found}

        def judge(example: Example) -> bool:
            # examples of files depend on no layer, and stay
            if not isinstance(example, LayerExample):
                return False
            return example.key not in kept or not example.exists

        return judge


def is_outdated(new: Sequence[LayerExample]) -> Judge:
    """Return what tells whether an example is of the same slice of the same image as new ones."""
    places = {example.place for example in new}
    keys = {example.key for example in new}
    are_regions = all(example.region for example in new)

    def judge(example: Example) -> bool:
        if not isinstance(example, LayerExample) or example.key in keys:
            return False
        # regions of one slice stand beside each other
        if are_regions and example.region is not None:
            return False
        return example.place in places

    return judge
