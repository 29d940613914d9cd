"""The scores of the stages: what they are called, their means, and a table of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

STAGES = {
    "icl": "ICL alone",
    "adapted": "ICL, adapted",
    "sam": "SAM, ICL's boxes",
    "fused": "fused",
    "sam_truth": "SAM, true boxes",
    "fill_truth": "filled true boxes",
    "sam_jitter": "SAM, boxes +-10 %",
    "fill_jitter": "filled boxes +-10 %",
    "auc": "AUC of the map",
    "estimate": "estimated",
    "estimate_off": "estimate off by",
    "foreground": "all foreground",
    "pixels": "pixel regression",
    "forest": "random forest",
}


@dataclass(frozen=True)
class Result:
    """Scores of one query by stage; stages that were not computed are missing."""

    dataset: str
    label: str
    support: int
    draw: int
    scores: dict[str, float]


def mean_of(results: Sequence[Result], stage: str) -> float:
    """Return the mean over the labels of the means over queries and draws; NaN if there is none."""
    means = []
    for label in sorted({r.label for r in results}):
        values = [r.scores[stage] for r in results if r.label == label and stage in r.scores]
        if values:
            means.append(float(np.mean(values)))
    return float(np.mean(means)) if means else float("nan")


def spread_of(results: Sequence[Result], stage: str) -> float:
    """Return the standard deviation over draws of `mean_of`."""
    draws = [
        mean_of([r for r in results if r.draw == d], stage)
        for d in sorted({r.draw for r in results})
    ]
    return float(np.std(draws))


def summarise(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return a row a set and K, and a row for the mean over sets and K."""
    rows: list[dict[str, Any]] = []
    for pairs in sorted({r.support for r in results}):
        own = []
        for name in sorted({r.dataset for r in results}):
            some = [r for r in results if r.dataset == name and r.support == pairs]
            if some:
                stages = {stage: mean_of(some, stage) for stage in STAGES}
                own.append(
                    {
                        "dataset": name,
                        "support": pairs,
                        **stages,
                        "fused_sd": spread_of(some, "fused"),
                    }
                )
        mean = {stage: float(np.nanmean([row[stage] for row in own])) for stage in STAGES}
        rows += [*own, {"dataset": "mean", "support": pairs, **mean, "fused_sd": float("nan")}]
    return rows


def show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """Print rows as a table."""
    table = Table("K", "set", *STAGES.values(), "sd of fused", title="Dice")
    for row in rows:
        numbers = [f"{row[stage]:.3f}" for stage in (*STAGES, "fused_sd")]
        table.add_row(
            str(row["support"]),
            row["dataset"],
            *numbers,
            style="bold" if row["dataset"] == "mean" else "",
        )
    console.print(table)
