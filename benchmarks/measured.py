"""What the benchmarks of speed share.

Times of functions in turn, rows and tables, encoders to compare.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from rich.table import Table
from segment_anything.modeling import ImageEncoderViT
from torch import nn

from napari_iclsam.models.assembly import HalfPrecision
from napari_iclsam.models.image_encoder import ImageEncoder

VIT_B = (768, 12, 12, (2, 5, 8, 11))


@dataclass(frozen=True)
class Row:
    """One line of the table: a time and, against a baseline, how many times as fast."""

    section: str
    what: str
    seconds: float
    cpu_seconds: float
    ratio: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Timed:
    """Medians over the repetitions."""

    wall: float
    cpu: float


def alternate(
    runs: Mapping[str, Callable[[], Any]], repeats: int, *, warm: bool = False
) -> dict[str, Timed]:
    """Time functions in turn; unless they are warm, once each before that without a clock."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for turn in range(int(warm), repeats + 1):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            if turn:
                times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: Timed(statistics.median(w for w, _ in each), statistics.median(c for _, c in each))
        for name, each in times.items()
    }


def rows(
    section: str, timed: Mapping[str, Timed], base: str, notes: Mapping[str, str]
) -> list[Row]:
    """Make rows with ratios against one of them.

    By processor time if there is one thread, by the clock otherwise.
    """
    single = torch.get_num_threads() == 1
    against = timed[base].cpu if single else timed[base].wall
    return [
        Row(
            section,
            name,
            t.wall,
            t.cpu,
            against / (t.cpu if single else t.wall),
            notes.get(name, ""),
        )
        for name, t in timed.items()
    ]


@cache
def encoders() -> dict[str, nn.Module]:
    """Build segment-anything's encoder and ours in both precisions, with the same weights."""
    torch.manual_seed(0)
    ours = ImageEncoder(*VIT_B).eval().requires_grad_(False)
    for name, parameter in ours.named_parameters():
        if "pos" in name:
            nn.init.normal_(parameter, std=0.02 if "pos_embed" in name else 0.1)
    own = ImageEncoderViT(
        img_size=1024,
        embed_dim=768,
        depth=12,
        num_heads=12,
        global_attn_indexes=(2, 5, 8, 11),
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=14,
    )
    own.load_state_dict(ours.state_dict())
    half = HalfPrecision(copy.deepcopy(ours).to(torch.bfloat16), torch.bfloat16)
    return {"segment-anything": own.eval().requires_grad_(False), "float32": ours, "bfloat16": half}


def table(section: Sequence[Row]) -> Table:
    """Lay rows out."""
    made = Table(title=section[0].section, title_justify="left")
    for column in ("what", "seconds", "processor", "times as fast", ""):
        made.add_column(column, justify="left" if column in {"what", ""} else "right")
    for row in section:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        made.add_row(row.what, f"{row.seconds:.3f}", f"{row.cpu_seconds:.3f}", ratio, row.note)
    return made
