"""Speed as ratios, both sides alternating in one process.

The encoder, the in-context model, the whole method, threads.

Wall-clock times need a machine with nothing else to do. Where it has, processor times of a single
thread are the ones to read: ``--threads 1`` (waiting threads count as busy otherwise). With
``--against CHECKOUT``, whole stacks are filled by another checkout and by this one. Networks
have random weights where none are bundled: speed does not depend on them. Peak memory is what one
run adds, measured in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
from rich.console import Console
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where this is run as a script

from benchmarks.against import SCENARIOS, compare, table_of
from benchmarks.measured import Row, Timed, alternate, encoders, rows, table
from benchmarks.stacks import masks_section, method_section
from napari_iclsam.core.encoder.device import choose_precision
from napari_iclsam.models.universeg import UniverSeg

ENCODER_FLOP = 940e9
"""Of ViT-B at 1024 x 1024: 696 in linear layers, 206 and 24 in global and windowed attention, 14
elsewhere."""

# The machine


def gemm_rate(dtype: torch.dtype) -> float:
    """Measure the machine's rate of matrix products as large as the encoder's, in FLOP/s."""
    a, b = torch.randn(4096, 768).to(dtype), torch.randn(768, 3072).to(dtype)
    timed = alternate({"product": partial(torch.mm, a, b)}, 5)["product"]
    return 2 * 4096 * 768 * 3072 / (timed.cpu if torch.get_num_threads() == 1 else timed.wall)


def machine() -> dict[str, Any]:
    """Describe the machine and how busy it is."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "processor": capabilities.get("cpu_name", platform.processor()),
        "cores": psutil.cpu_count(logical=False),
        "bfloat16": bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.platform(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg(),
        "gemm_float32_gflops": round(gemm_rate(torch.float32) / 1e9),
        "gemm_bfloat16_gflops": round(gemm_rate(torch.bfloat16) / 1e9),
    }


# The encoder


def encoder_section(repeats: int) -> list[Row]:
    """Compare the encoders: time, difference, share of the machine's rate, memory."""
    image, made = torch.randn(1, 3, 1024, 1024), encoders()
    results = {name: network(image) for name, network in made.items()}
    truth, notes = results["segment-anything"], {}
    timed = alternate(
        {name: partial(network, image) for name, network in made.items()}, repeats, warm=True
    )
    for name, t in timed.items():
        rate = gemm_rate(torch.bfloat16 if name == "bfloat16" else torch.float32)
        seconds = t.cpu if torch.get_num_threads() == 1 else t.wall
        difference = results[name] - truth
        notes[name] = (
            f"max difference {difference.abs().max():.1e}, "
            f"relative {difference.norm() / truth.norm():.2%}, "
            f"{ENCODER_FLOP / seconds / rate:.0%} of the rate of products, "
            f"{peak('encoder', name):.0f} MB"
        )
    return rows("encoder, ViT-B", timed, "segment-anything", notes)


def card_section(repeats: int) -> list[Row]:
    """Compare the encoders on a graphics card, images at once.

    Time an image, difference, memory.
    """
    if not torch.cuda.is_available():
        return [Row("encoder on a graphics card", "there is none", math.nan, math.nan)]
    image, device = torch.randn(1, 3, 1024, 1024), torch.device("cuda")
    own, single, half = (network.to(device) for network in encoders().values())
    truth = own(image.to(device))
    runs = {f"segment-anything, batch {n}": (own, n) for n in (1, 4)}
    runs |= {
        f"segment-anything under autocast to bfloat16, batch {n}": (_Autocast(own), n)
        for n in (1, 4)
    }
    runs |= {f"float32, batch {n}": (single, n) for n in (1, 4)}
    runs |= {f"bfloat16, batch {n}": (half, n) for n in (1, 2, 4, 8, 16)}
    timed, notes = {}, {}
    for name, (network, batch) in runs.items():
        images = image.to(device).expand(batch, -1, -1, -1).contiguous()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        difference = (network(images)[-1:].float() - truth).norm() / truth.norm()
        notes[name] = (
            f"difference {difference:.2%}, "
            f"{(torch.cuda.max_memory_allocated() - before) / 1e6:.0f} MB"
        )
        once = alternate({name: partial(_synchronised, network, images)}, repeats)[name]
        timed[name] = Timed(once.wall / batch, once.cpu / batch)
    return rows(f"encoder on {torch.cuda.get_device_name()}", timed, next(iter(runs)), notes)


class _Autocast(torch.nn.Module):
    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self._network = network

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast("cuda", torch.bfloat16):
            found: Tensor = self._network(images)
        return found


def _synchronised(network: torch.nn.Module, images: Tensor) -> None:
    network(images)
    torch.cuda.synchronize()


# The in-context model


def plain_universeg(*arguments: Any) -> Tensor:
    """Run the plain transcription of the published network, which the tests compare with."""
    from tests.models.test_universeg import plain_universeg as plain

    found: Tensor = plain(*arguments)
    return found


def icl_inputs(pairs: int) -> tuple[UniverSeg, Sequence[Tensor]]:
    """Make a network and query, images, masks and guidance."""
    torch.manual_seed(pairs)
    network = UniverSeg().eval().requires_grad_(False)
    masks = (torch.rand(pairs, 1, 128, 128) > 0.5).float()
    return network, (
        torch.rand(1, 128, 128),
        torch.rand(pairs, 1, 128, 128),
        masks,
        0.3 * torch.randn(1, 128, 128),
    )


def icl_section(repeats: int) -> list[Row]:
    """Compare with the plain transcription, guided, one query and four at once."""
    found = []
    for pairs in (1, 4, 16, 64):
        network, (query, images, masks, guidance) = icl_inputs(pairs)
        start = time.perf_counter()
        context = network.encode_support(images[None], masks[None])
        once = time.perf_counter() - start
        runs: dict[str, Callable[[], Tensor]] = {
            f"S = {pairs}: as published": partial(
                plain_universeg, network, query, images, masks, guidance
            ),
            f"S = {pairs}": partial(network, query[None], context, guidance[None]),
        }
        plain, ours = (run() for run in runs.values())
        difference = ((ours[0] - plain).abs().max() / plain.std()).item()
        timed = alternate(runs, repeats, warm=True)
        names = list(runs)
        notes = {
            name: f"{peak(kind, str(pairs)):.0f} MB"
            for name, kind in zip(names, ("plain", "icl"), strict=True)
        }
        notes[names[1]] += f", difference {difference:.1e} of a deviation, once a task {once:.2f} s"
        found += rows("in-context model", timed, names[0], notes)
        four = alternate({"": partial(network, _four(query), context, _four(guidance))}, repeats)[
            ""
        ]
        found.append(
            Row("in-context model", f"S = {pairs}: four queries, each", four.wall / 4, four.cpu / 4)
        )
    return found


def _four(x: Tensor) -> Tensor:
    return x.expand(4, *x.shape).contiguous()


# Threads


def worker_section(repeats: int) -> list[Row]:
    """Compare the main thread, a thread and napari's generator worker, each with ViT-B."""
    from napari.qt.threading import GeneratorWorker
    from qtpy.QtCore import QCoreApplication, QEventLoop, QThreadPool

    app = QCoreApplication.instance() or QCoreApplication([])
    dtype = str(choose_precision("auto", torch.device("cpu"), large=True)).removeprefix("torch.")
    encoder, image, threads = encoders()[dtype], torch.randn(1, 3, 1024, 1024), {}

    def work(name: str) -> None:
        threads[name] = torch.get_num_threads()
        with torch.inference_mode():
            encoder(image)

    def steps() -> Any:
        yield
        work("napari's worker")
        yield

    def in_thread() -> None:
        thread = threading.Thread(target=work, args=("a thread",))
        thread.start()
        thread.join()

    def in_worker() -> None:
        worker, loop = GeneratorWorker(steps), QEventLoop(app)
        worker.finished.connect(loop.quit)
        worker.start()
        loop.exec()
        # It says that it has finished a little before it has.
        QThreadPool.globalInstance().waitForDone()

    runs: dict[str, Callable[[], Any]] = {
        "main thread": partial(work, "main thread"),
        "a thread": in_thread,
        "napari's worker": in_worker,
    }
    timed = alternate(runs, repeats)
    return rows(
        "thread",
        timed,
        "main thread",
        {name: f"{count} threads" for name, count in threads.items()},
    )


# Memory


def peak(what: str, which: str) -> float:
    """Run one thing in a process of its own and return the rise of its memory in MB."""
    command = [sys.executable, __file__, "--peak", what, which]
    return float(
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]
    )


def measure_peak(what: str, which: str) -> float:
    """Do so in this process."""
    if what == "encoder":
        network = encoders()[which]
        run: Callable[[], Any] = partial(network, torch.randn(1, 3, 1024, 1024))
    else:
        icl, inputs = icl_inputs(int(which))
        if what == "plain":
            run = partial(plain_universeg, icl, *inputs)
        else:
            query, images, masks, guidance = (x[None] for x in inputs)
            run = lambda: icl(query, icl.encode_support(images, masks), guidance)  # noqa: E731
    clear = Path("/proc/self/clear_refs")
    if not clear.exists():
        raise SystemExit("Peak memory can be measured on Linux only.")
    before = psutil.Process().memory_info().rss
    clear.write_text("5")  # forget the highest memory so far
    with torch.inference_mode():
        run()
    status = Path("/proc/self/status").read_text()
    highest = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return float(highest * 1024 - before) / 1e6


SECTIONS: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
    "encoder": lambda options: encoder_section(options.repeats),
    "card": lambda options: card_section(options.repeats),
    "icl": lambda options: icl_section(options.repeats),
    "method": lambda _: method_section(),
    "masks": lambda options: masks_section(options.data),
    "worker": lambda options: worker_section(options.repeats),
}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--data", type=Path, help="folder of sets with ground truth, for the masks")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--peak", nargs=2, metavar=("WHAT", "WHICH"), help=argparse.SUPPRESS)
    parser.add_argument(
        "--against", type=Path, metavar="CHECKOUT", help="run whole stacks with both builds instead"
    )
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    options = parser.parse_args()
    if options.against:
        found = compare(
            options.against, options.scenarios, options.repeats, options.threads, options.data
        )
        Console(width=170).print(table_of(found))
        return
    if options.peak:
        print(measure_peak(*options.peak))
        return
    torch.set_num_threads(options.threads)
    console = Console(width=170)
    timed: list[Row] = []
    about = machine()
    console.print(about)
    with torch.inference_mode():
        for name in options.sections:
            section = SECTIONS[name](options)
            timed += section
            console.print(table(section))
            if options.json:
                report = {
                    "machine": about,
                    "repeats": options.repeats,
                    "rows": [asdict(row) for row in timed],
                }
                options.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
