"""Half precision within a block."""

from __future__ import annotations

import torch


def computing_in(dtype: torch.dtype, device: torch.device) -> torch.autocast:
    """Let networks compute in a dtype within a block (autocast); float32 changes nothing."""
    # autocast is made for half precision, and on processors warns of float32
    half = dtype != torch.float32
    return torch.autocast(
        device.type,
        dtype=dtype if half else None,
        enabled=half,
    )
