"""Every number a user may change, declared once with its limits and its explanation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import wraps
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

RENAMED = {
    "closer_looks": "coarse_to_fine",
    "adapt": "fine_tune",
    "calibrate": "cross_validate",
    "flips": "tta_flips",
}
"""Old names of settings, in files and programs of earlier versions, and the names of today."""

Mode = Literal["auto", "paper"]
Channel = Literal["luminance", "red", "green", "blue"]
Tile = Literal["auto", "off", "128", "192", "256", "384", "512", "768", "1024"]
"""Side of the tiles in which large images are seen, in pixels."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Smallest and largest value of a number, both allowed, and the step of a control for it."""

    low: float
    high: float
    step: float = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run can be told. Immutable; `dataclasses.replace` makes a changed copy.

    Raises
    ------
    ValueError
        If a value is outside its limits or not one of its choices.
    TypeError
        If a value has the wrong type.
    """

    mode: Annotated[
        Mode,
        "auto: the method with its known gaps closed, fusion weights chosen by cross-validation. "
        "paper: step by step as published (Hu et al. 2024).",
    ] = "auto"
    channel: Annotated[
        Channel,
        "Channel of a color image for an in-context model with one channel. The published code "
        "takes red.",
    ] = "luminance"
    icl_guidance: Annotated[
        float,
        Limits(0, 2, 0.05),
        "alpha0: how strongly the confidence map guides the in-context model; alpha = alpha0 "
        "exp(-K / 10). 0 leaves out the similarity by features, too.",
    ] = 0.3
    sam_guidance: Annotated[
        float,
        Limits(0, 10, 0.1),
        "beta: how strongly the confidence map guides SAM's mask decoder.",
    ] = 2.0
    coarse_to_fine: Annotated[
        bool,
        "auto mode: after the full image, segment crops where the in-context model found "
        "something and where it is to be expected. Changes nothing where objects fill the images.",
    ] = True
    tile: Annotated[
        Tile,
        "auto mode: side of the overlapping tiles in which large images are seen, in pixels. auto: "
        "as the examples' objects need it; off: images are seen whole.",
    ] = "auto"
    use_sam: Annotated[bool, "Refine with SAM. Without it, the in-context model decides alone."] = (
        True
    )
    mask_prompt: Annotated[
        bool,
        "auto mode: give SAM the in-context model's mask as a prompt besides its box, if the "
        "model understands it.",
    ] = True
    cross_validate: Annotated[
        bool,
        "auto mode: choose the fusion weights by cross-validation: segment each example by means "
        "of the others. Needs two examples or more; makes reading the examples slower.",
    ] = True
    fine_tune: Annotated[
        bool,
        "auto mode: fine-tune the bundled in-context model on the examples by a few steps of "
        "gradient descent. Needs two examples, or one of something thin; takes some seconds "
        "before the first slice.",
    ] = True
    interpolate_slices: Annotated[
        bool,
        "auto mode: in a stack with labelled slices, where these show the models to be reliable, "
        "interpolate about every second slice between the segmented ones beside it, if they agree. "
        "Without it, every slice is segmented, which takes up to half as long again.",
    ] = True
    tta_flips: Annotated[
        bool,
        "auto mode: test-time augmentation, the mean of the in-context model over mirrored "
        "copies of image and examples. Four times its cost.",
    ] = False
    max_examples: Annotated[
        int,
        Limits(1, 256),
        "At most so many examples are shown to the in-context model; of more, those most similar "
        "to the image.",
    ] = 32
    min_component: Annotated[
        float,
        Limits(0, 1, 0.01),
        "Components smaller than this fraction of the largest one get no box.",
    ] = 0.05
    max_boxes: Annotated[
        int, Limits(1, 512), "At most so many boxes a label and image, largest first."
    ] = 64
    probe_cells: Annotated[
        int,
        Limits(1000, 1_000_000, 1000),
        "The confidence map is fitted to at most so many cells of the examples' embeddings, "
        "drawn with the seed.",
    ] = 60_000
    seed: Annotated[int, Limits(0, 2**31 - 1), "Seed of everything drawn at random."] = 0

    def __post_init__(self) -> None:
        for name, description in describe().items():
            description.check(name, getattr(self, name))

    def __getattr__(self, name: str) -> Any:
        """Resolve the old name of a setting; see `RENAMED`."""
        if name not in RENAMED:
            raise AttributeError(f"Settings has no attribute {name!r}")
        _warn_of_old_name(name)
        return getattr(self, RENAMED[name])

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Settings:
        """Make settings of values by name; old names are understood, unknown ones are an error."""
        for old in RENAMED.keys() & values.keys():
            _check_given_once(old, values)
        values = {RENAMED.get(name, name): value for name, value in values.items()}
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(
                f"Unknown settings: {', '.join(sorted(unknown))}. Was this made by a newer version?"
            )
        return replace(cls(), **values)


def _accept_old_names(init: Callable[..., None]) -> Callable[..., None]:
    """Let the constructor take old names of settings, with a warning."""

    @wraps(init)
    def accept(self: Settings, *args: Any, **kwargs: Any) -> None:
        # dataclasses.replace fills in all names, also those that the old ones stand for
        is_changed_copy = kwargs.keys() >= {f.name for f in fields(Settings)}
        for old in RENAMED.keys() & kwargs.keys():
            if not is_changed_copy:
                _check_given_once(old, kwargs)
            _warn_of_old_name(old)
            kwargs[RENAMED[old]] = kwargs.pop(old)
        init(self, *args, **kwargs)

    return accept


def _check_given_once(old: str, values: Mapping[str, Any]) -> None:
    """Raise if a setting has both its old and its new name: one value would be lost."""
    name = RENAMED[old]
    if name in values:
        raise ValueError(f"{old} is the old name of {name}: give {name} alone.")


def _warn_of_old_name(old: str) -> None:
    warnings.warn(
        f"The setting {old} is now called {RENAMED[old]}.", DeprecationWarning, stacklevel=3
    )


Settings.__init__ = _accept_old_names(Settings.__init__)  # type: ignore[method-assign]


@dataclass(frozen=True, slots=True)
class Description:
    """What a form or a reference page needs to know about one field of `Settings`."""

    kind: type
    default: Any
    text: str
    limits: Limits | None = None
    choices: tuple[str, ...] = ()

    def check(self, name: str, value: Any) -> None:
        """Raise if the value is not allowed."""
        if self.choices:
            if value not in self.choices:
                raise ValueError(f"{name} must be one of {', '.join(self.choices)}; got {value!r}.")
            return
        allowed: tuple[type, ...] = (int, float) if self.kind is float else (self.kind,)
        if not isinstance(value, allowed) or (self.kind is not bool and isinstance(value, bool)):
            raise TypeError(
                f"{name} must be {self.kind.__name__}; got {value!r} of type "
                f"{type(value).__name__}."
            )
        limits: Limits | None = self.limits
        number: Any = value
        if limits and not limits.low <= number <= limits.high:
            raise ValueError(
                f"{name} must lie between {limits.low:.10g} and {limits.high:.10g}; got {value!r}."
            )


def describe() -> dict[str, Description]:
    """Describe each field of `Settings`, in order."""
    hints = get_type_hints(Settings, include_extras=True)
    described = {}
    for field in fields(Settings):
        kind, *notes = get_args(hints[field.name])
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        described[field.name] = Description(
            kind=str if choices else kind,
            default=field.default,
            text=next(note for note in notes if isinstance(note, str)),
            limits=next((note for note in notes if isinstance(note, Limits)), None),
            choices=choices,
        )
    return described
