"""Find weights by name."""

from __future__ import annotations

import difflib

from napari_iclsam.weights.catalogue import ALIASES, CATALOGUE, EXPERTS
from napari_iclsam.weights.entry import Kind, Weights


def expert_names(name: str) -> tuple[str, ...]:
    """Return the promptable models that a name stands for: those of `EXPERTS`, "a+b", or itself."""
    if name in EXPERTS:
        return EXPERTS[name]
    # The path of a checkpoint may hold a "+", too: then not all parts are known.
    parts = tuple(part.strip() for part in name.split("+"))
    known = all(part in CATALOGUE or ("sam", part) in ALIASES for part in parts)
    return parts if known else (name,)


def names(kind: Kind) -> tuple[str, ...]:
    """Return the names of all weights of one kind, the default first."""
    return tuple(entry.name for entry in CATALOGUE.values() if entry.kind == kind)


def lookup(name: str, kind: Kind | None = None) -> Weights:
    """Return the entry of a name or alias.

    Parameters
    ----------
    name : str
        "sam_vit_b", "medsam", "starter", ...
    kind : {"sam", "icl"}, optional
        In which role; needed for "starter", which is a name in both.

    Raises
    ------
    ValueError
        The name is unknown, or is that of a model of the other kind.
    """
    kinds: tuple[Kind, ...] = ("sam", "icl") if kind is None else (kind,)
    for each in kinds:
        # Aliases go first, so that a file added later cannot change what they mean.
        entry = CATALOGUE.get(ALIASES.get((each, name), name))
        if entry is not None and (kind is None or entry.kind == kind):
            return entry
    # Not "unknown": the name is right, and stands at the wrong option.
    if kind is not None and name in _every_name():
        raise ValueError(_of_other_kind(name, kind))
    raise ValueError(_unknown(name, kind))


def _every_name() -> list[str]:
    """Return all names, then all aliases."""
    aliases = [alias for _, alias in ALIASES]
    return [*CATALOGUE, *aliases]


def _of_other_kind(name: str, kind: Kind) -> str:
    """Return the message for a model in the role of the other kind."""
    role = "a promptable model" if kind == "sam" else "an in-context model"
    option = "--icl" if kind == "sam" else "--models"
    known = ", ".join(names(kind))
    return f"{name!r} is not {role}: give it as {option}, and here one of {known}"


def _unknown(name: str, kind: Kind | None) -> str:
    """Return the message for an unknown name, with the most similar one."""
    known = _every_name() if kind is None else [*names(kind)]
    short = [alias for role, alias in ALIASES if kind in (None, role)]
    close = difflib.get_close_matches(name, [*known, *short], n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    # An alias may stand in both kinds.
    each_once = ", ".join(dict.fromkeys(known))
    return f"no weights are called {name!r}: {hint}known are {each_once}"
