"""Where to compute and how precisely."""

from __future__ import annotations

import torch


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of a name: auto, cpu, cuda, cuda:1, mps, ...

    Raises
    ------
    ValueError
        If this machine or this PyTorch has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"Device {name!r} cannot be used here. Choose one of: {', '.join(available())}.") from error
    return device


def available() -> list[str]:
    """Return the names that `choose_device` takes on this machine."""
    names = ["auto", "cpu"]
    names += [f"cuda:{n}" for n in range(torch.cuda.device_count())]
    return [*names, "mps"] if torch.backends.mps.is_available() else names
