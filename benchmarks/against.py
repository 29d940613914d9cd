"""Compare this build with another checkout: whole runs, alternating, as ratios of medians."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]

SCENARIOS = ("brain", "parts")

Times = Mapping[str, float]


def run(checkout: Path, scenario: str, threads: int, data: Path) -> Times:
    """Run one scenario of `benchmarks.scenarios` with the package of a checkout."""
    script = ROOT / "benchmarks" / "scenarios.py"
    # embeddings that an earlier run has kept would make the later ones seem faster
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {
            "PYTHONPATH": str(checkout / "src"),
            "OMP_NUM_THREADS": str(threads),
            "NAPARI_ICLSAM_HOME": home,
        }
        # our own script with our own arguments
        output = subprocess.run(
            [sys.executable, script, scenario, str(threads), data],
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
    times: dict[str, float] = json.loads(output.splitlines()[-1])
    return times


def compare(
    other: Path, scenarios: Sequence[str], repeats: int, threads: int, data: Path
) -> list[tuple[str, str, float, float]]:
    """Run both builds in turn; return scenario, what, median of the other, median of this one."""
    found = []
    for scenario in scenarios:
        times: dict[Path, list[Times]] = {other: [], ROOT: []}
        for _ in range(repeats):
            for checkout, each in times.items():
                each.append(run(checkout, scenario, threads, data))
        for what in times[ROOT][0]:
            before, after = (
                statistics.median(one[what] for one in times[checkout])
                for checkout in (other, ROOT)
            )
            found.append((scenario, what, before, after))
    return found


def table_of(found: Sequence[tuple[str, str, float, float]]) -> Table:
    """Lay out the comparison."""
    table = Table("run", "what", "other", "this", "ratio", title="Against another checkout")
    for scenario, what, before, after in found:
        table.add_row(scenario, what, f"{before:.1f}", f"{after:.1f}", f"{before / after:.2f}")
    return table
