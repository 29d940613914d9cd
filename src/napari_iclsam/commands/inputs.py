"""What the user gives beside files: how these are to be read, and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import click

from napari_iclsam.core.images.regions import LabelledRegion
from napari_iclsam.core.images.windows import Window
from napari_iclsam.core.settings import RENAMED, Description, Settings, describe
from napari_iclsam.files.orientation import WORLD_AXES
from napari_iclsam.files.part import Part

Axis = int | str
"""Of a stack: a number, counted from 0, or the direction of its planes, a key of `WORLD_AXES`."""

_TRUTH = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}
"""Words that people write for a setting that is on or off."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are to be read, beyond what they say themselves.

    Attributes
    ----------
    axis : int or str
        That the planes of stacks lie along.
    axis_is_given : bool
        Whether the user named it.
    channel : str, optional
        Name or number of the channel that is meant, of files with several.
    window : Window, optional
        Grey values that become black and white in all images.
    ignored_labels : tuple of int
        Numbers of pixels that are neither an object nor background.
    instances_as_one : bool
        Take all numbers but 0 for one object.
    ignore_affine : bool
        Take labels of NIfTI files pixel by pixel, wherever they say that they lie.
    empty_planes : tuple of int
        Planes of stacks of examples that hold no object for sure.
    level : int, optional
        Of images with several resolutions.
    series : str, optional
        Of folders with several series of DICOM files.
    regions : mapping of int to tuple of LabelledRegion
        By number of a pair of examples: what is labelled of it, if not the whole.
    """

    axis: Axis = 0
    axis_is_given: bool = False
    channel: str | None = None
    window: Window | None = None
    ignored_labels: tuple[int, ...] = ()
    instances_as_one: bool = False
    ignore_affine: bool = False
    empty_planes: tuple[int, ...] = ()
    level: int | None = None
    series: str | None = None
    regions: Mapping[int, tuple[LabelledRegion, ...]] = field(default_factory=dict)

    def along_axis_of(self, examples: Axis | None) -> Reading:
        """Return a reading along the axis of the examples, unless the user named one."""
        if self.axis_is_given or examples is None:
            return self
        return replace(self, axis=examples)

    @property
    def part(self) -> Part:
        """What is meant of files that hold more than one image."""
        return Part(self.channel, self.level, self.series)


def parse_axis(text: str) -> Axis:
    """Read the value of ``--axis``.

    Raises
    ------
    ValueError
        If it is neither one of the three axes nor a direction.
    """
    name = text.strip().lower()
    if name in WORLD_AXES:
        return name
    # axes count from the end, too, as in numpy
    if name in map(str, range(-3, 3)):
        return int(name)
    known = ", ".join(reversed(WORLD_AXES))
    raise ValueError(f"--axis takes a number (0, 1, 2) or one of {known}; got {text!r}.")


def read_settings(mode: str | None, assignments: Sequence[str]) -> Settings:
    """Make settings of ``--mode`` and of ``NAME=VALUE`` texts.

    Raises
    ------
    ValueError
        If a text is none, a name is unknown or a value is not allowed.
    """
    known = describe()
    values: dict[str, Any] = {} if mode is None else {"mode": mode}
    for text in assignments:
        left, equals, right = text.partition("=")
        name = _of_today(left.strip())
        value = right.strip()
        if not equals or name not in known:
            raise ValueError(
                f"--setting takes NAME=VALUE, the name one of {', '.join(known)}; got {text!r}."
            )
        values[name] = _parse(name, value, known[name])
    return Settings.from_dict(values)


def _of_today(name: str) -> str:
    """Return the name of a setting for one of an earlier version, which scripts still use."""
    if name not in RENAMED:
        return name
    click.echo(f"Note: the setting {name} is now called {RENAMED[name]}.", err=True)
    return RENAMED[name]


def _parse(name: str, text: str, description: Description) -> Any:
    """Convert the text of a setting to its type; `Settings` checks the limits."""
    # bool("false") is True, so words are looked up.
    if description.kind is bool:
        if text.lower() not in _TRUTH:
            raise ValueError(f"{name} must be true or false; got {text!r}.")
        return _TRUTH[text.lower()]
    try:
        return description.kind(text)
    except ValueError as error:
        kind = "a whole number" if description.kind is int else "a number"
        raise ValueError(f"{name} must be {kind}; got {text!r}.") from error
