"""Where to compute and how precisely."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast, get_args

import torch

from napari_iclsam.core.model_choice import Precision


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
        # a name may be valid and its device absent: only using it shows that
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        raise ValueError(
            f"Device {name!r} cannot be used here. Choose one of: {', '.join(available())}."
        ) from error
    return device


def available() -> list[str]:
    """Return the names that `choose_device` takes on this machine."""
    names = ["auto", "cpu"]
    names += [f"cuda:{n}" for n in range(torch.cuda.device_count())]
    return [*names, "mps"] if torch.backends.mps.is_available() else names


def choose_precision(name: Precision, device: torch.device, *, large: bool) -> torch.dtype:
    """Return in which precision a network computes.

    "auto" is half precision where that is faster and the network is large: bfloat16 on processors
    with instructions for it (AVX512-BF16, AMX) and on graphics cards that know it, float16 on older
    ones, else float32.

    Parameters
    ----------
    name : {"auto", "float32", "bfloat16", "float16"}
    device : torch.device
    large : bool
        Whether it is one of SAM's vision transformers or an in-context model. Small encoders lose
        more by conversions than they win.

    Raises
    ------
    ValueError
        If there is no such precision.
    """
    if name not in get_args(Precision):
        raise ValueError(
            f"Precision must be one of {', '.join(get_args(Precision))}; got {name!r}."
        )
    if name != "auto":
        return cast(torch.dtype, getattr(torch, name))
    if not large:
        return torch.float32
    if device.type == "cuda":
        return (
            torch.bfloat16
            if torch.cuda.is_bf16_supported(including_emulation=False)
            else torch.float16
        )
    return (
        torch.bfloat16 if device.type == "cpu" and _multiplies_bfloat16(_cpu()) else torch.float32
    )


def _cpu() -> Mapping[str, object]:
    """Return what the processor can do; nothing is known to PyTorch older than 2.10."""
    # where nothing is known, float32 is the safe choice
    ask = getattr(torch.cpu, "get_capabilities", dict)
    return cast(Mapping[str, object], ask())


def _multiplies_bfloat16(cpu: Mapping[str, object]) -> bool:
    return bool(cpu.get("avx512_bf16") or cpu.get("amx_bf16"))
