"""Every number a user may change, declared once with its limits and its explanation."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

Mode = Literal["auto", "paper"]
Channel = Literal["luminance", "red", "green", "blue"]


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
        "auto: the method with its known gaps closed, weights of the fusion learned from the examples. "
        "paper: step by step as published (Hu et al. 2024).",
    ] = "auto"
    channel: Annotated[
        Channel,
        "What of a colour image an in-context model with one channel sees. The published code takes red.",
    ] = "luminance"
    icl_guidance: Annotated[
        float,
        Limits(0, 2, 0.05),
        "alpha0: how strongly the confidence map guides the in-context model; alpha = alpha0 exp(-K / 10).",
    ] = 0.3
    sam_guidance: Annotated[
        float, Limits(0, 10, 0.1), "beta: how strongly the confidence map guides SAM's mask decoder."
    ] = 2.0
    closer_looks: Annotated[
        bool,
        "auto mode: let the in-context model look again, closer, where it has found something and where it is to be "
        "expected, beside the like parts of the examples. Changes nothing where objects fill the images.",
    ] = True
    use_sam: Annotated[bool, "Refine with SAM. Without it, the in-context model decides alone."] = True
    mask_prompt: Annotated[
        bool,
        "auto mode: give SAM the in-context model's mask as a prompt besides its box, if the model understands it.",
    ] = True
    calibrate: Annotated[
        bool,
        "auto mode: segment each example by the others and learn from it how far to trust each part. "
        "Needs two examples or more; makes reading the examples slower.",
    ] = True
    adapt: Annotated[
        bool,
        "auto mode: let the bundled in-context model get used to the examples in a few steps of learning, each example "
        "asked by the others. Needs two examples, or one of something thin; takes some seconds before the first slice.",
    ] = True
    flips: Annotated[
        bool, "auto mode: average the in-context model over mirrored copies of image and examples. Four times its cost."
    ] = False
    max_examples: Annotated[
        int,
        Limits(1, 256),
        "The in-context model sees at most so many examples; of more, the most similar to the image are chosen.",
    ] = 32
    min_component: Annotated[
        float, Limits(0, 1, 0.01), "Components smaller than this fraction of the largest one get no box."
    ] = 0.05
    max_boxes: Annotated[int, Limits(1, 512), "At most so many boxes a label and image, largest first."] = 64
    probe_cells: Annotated[
        int,
        Limits(1000, 1_000_000, 1000),
        "At most so many cells of the examples' features, drawn with the seed, teach the confidence map.",
    ] = 60_000
    seed: Annotated[int, Limits(0, 2**31 - 1), "Seed of everything drawn at random."] = 0

    def __post_init__(self) -> None:
        for name, description in describe().items():
            description.check(name, getattr(self, name))

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Settings:
        """Make settings of values by name; names that this version does not know are an error."""
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"Unknown settings: {', '.join(sorted(unknown))}. Was this made by a newer version?")
        return replace(cls(), **values)


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
            raise TypeError(f"{name} must be {self.kind.__name__}; got {value!r} of type {type(value).__name__}.")
        limits: Limits | None = self.limits
        number: Any = value
        if limits and not limits.low <= number <= limits.high:
            raise ValueError(f"{name} must lie between {limits.low:.10g} and {limits.high:.10g}; got {value!r}.")


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
