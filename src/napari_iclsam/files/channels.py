"""Channels of a file: which one is meant, and what is said when it is not known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Channels:
    """What a file says of its channels.

    Attributes
    ----------
    names : tuple of str
        May be fewer than there are channels.
    of_labels : bool
        Whether the file holds labels.
    are_slices : bool
        Whether the file calls its channels slices, as ImageJ does after some of its commands.
    """

    names: tuple[str, ...] = ()
    of_labels: bool = False
    are_slices: bool = False


COLORS = Channels(("red", "green", "blue", "alpha"))


def choose_channel(channels: Channels, count: int, wanted: str | None) -> int:
    """Return the number of the channel that is meant, counted from 0.

    Parameters
    ----------
    channels : Channels
    count : int
        How many there are.
    wanted : str, optional
        Number or name of one.

    Raises
    ------
    ValueError
        If there are several and none was named, or it is not there; the message lists them.
    """
    if count == 1:
        return 0
    listed = _listed(channels.names, count)
    if channels.of_labels:
        raise ValueError(
            f"it holds {count} channels ({listed}); labels are one number a pixel, so save the "
            "channel that holds them"
        )
    if wanted is None:
        raise ValueError(
            f"it holds {count} channels ({listed}), not slices, and one is needed; name it with "
            "--channel, or save it as a file of its own"
        )
    # Numbers go first: a channel that is called "1" need not be number 1.
    if wanted.isdecimal() and int(wanted) < count:
        return int(wanted)
    names = [name.casefold() for name in channels.names]
    if wanted.casefold() in names:
        return names.index(wanted.casefold())
    raise ValueError(f"it has no channel {wanted!r}; its channels are {listed}")


def _listed(names: tuple[str, ...], count: int) -> str:
    """Write channels as "0 DAPI, 1 GFP"."""
    parts = []
    for number in range(count):
        name = names[number] if number < len(names) else ""
        parts.append(f"{number} {name}".strip())
    return ", ".join(parts)
