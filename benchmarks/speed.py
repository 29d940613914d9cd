"""Speed as ratios, both sides alternating in one process: the encoder, the in-context model, the whole method, threads.

Wall-clock times need a machine with nothing else to do. Where it has, processor times of a single thread are the ones
to read: ``--threads 1`` (waiting threads count as busy otherwise). Networks have random weights where none are bundled:
speed does not depend on them. Peak memory is what one run adds, measured in a process of its own.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from segment_anything.modeling import ImageEncoderViT
from torch import Tensor, nn

from napari_iclsam import ICLSAM, Settings, dice
from napari_iclsam.core.device import choose_precision
from napari_iclsam.core.embeddings import EmbeddingCache
from napari_iclsam.core.networks import Networks
from napari_iclsam.models.build import HalfPrecision
from napari_iclsam.models.image_encoder import ImageEncoder
from napari_iclsam.models.sam import Sam
from napari_iclsam.models.universeg import UniverSeg

ENCODER_FLOP = 940e9
"""Of ViT-B at 1024 x 1024: 696 in linear layers, 206 and 24 in global and windowed attention, 14 elsewhere."""

VIT_B = (768, 12, 12, (2, 5, 8, 11))

STACKS = (
    (4, 3, 512, 2),
    (4, 3, 512, 4),
    (1, 3, 512, 1),
    (16, 3, 512, 1),
    (4, 3, 256, 1),
    (4, 3, 1024, 1),
    (4, 6, 512, 1),
)
"""Support, planes, size and labels of the stacks, one of them changed at a time."""


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


def alternate(runs: Mapping[str, Callable[[], Any]], repeats: int, *, warm: bool = False) -> dict[str, Timed]:
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


def rows(section: str, timed: Mapping[str, Timed], base: str, notes: Mapping[str, str]) -> list[Row]:
    """Make rows with ratios against one of them; by processor time if there is one thread, by the clock otherwise."""
    single = torch.get_num_threads() == 1
    against = timed[base].cpu if single else timed[base].wall
    return [
        Row(section, name, t.wall, t.cpu, against / (t.cpu if single else t.wall), notes.get(name, ""))
        for name, t in timed.items()
    ]


# The machine


def gemm_rate(dtype: torch.dtype) -> float:
    """Measure the machine's rate of matrix products as large as the encoder's, in FLOP/s."""
    a, b = torch.randn(4096, 768).to(dtype), torch.randn(768, 3072).to(dtype)
    timed = alternate({"product": partial(torch.mm, a, b)}, 5)["product"]
    return 2 * 4096 * 768 * 3072 / (timed.cpu if torch.get_num_threads() == 1 else timed.wall)


def machine() -> dict[str, Any]:
    """Describe the machine and how busy it is."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
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


@cache
def encoders() -> dict[str, nn.Module]:
    """Build segment-anything's own encoder and ours in both precisions, with the same random weights."""
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


def encoder_section(repeats: int) -> list[Row]:
    """Compare the encoders: time, difference, share of the machine's rate, memory."""
    image, made = torch.randn(1, 3, 1024, 1024), encoders()
    results = {name: network(image) for name, network in made.items()}
    truth, notes = results["segment-anything"], {}
    timed = alternate({name: partial(network, image) for name, network in made.items()}, repeats, warm=True)
    for name, t in timed.items():
        rate = gemm_rate(torch.bfloat16 if name == "bfloat16" else torch.float32)
        seconds = t.cpu if torch.get_num_threads() == 1 else t.wall
        difference = results[name] - truth
        notes[name] = (
            f"max difference {difference.abs().max():.1e}, relative {difference.norm() / truth.norm():.2%}, "
            f"{ENCODER_FLOP / seconds / rate:.0%} of the rate of products, {peak('encoder', name):.0f} MB"
        )
    return rows("encoder, ViT-B", timed, "segment-anything", notes)


# The in-context model


def plain_universeg(*arguments: Any) -> Tensor:
    """Run the plain transcription of the published network, which the tests compare with."""
    from tests.models.test_universeg import plain_universeg as plain

    return plain(*arguments)


def icl_inputs(pairs: int) -> tuple[UniverSeg, Sequence[Tensor]]:
    """Make a network and query, images, masks and guidance."""
    torch.manual_seed(pairs)
    network = UniverSeg().eval().requires_grad_(False)
    masks = (torch.rand(pairs, 1, 128, 128) > 0.5).float()
    return network, (torch.rand(1, 128, 128), torch.rand(pairs, 1, 128, 128), masks, 0.3 * torch.randn(1, 128, 128))


def icl_section(repeats: int) -> list[Row]:
    """Compare with the plain transcription, guided, one query and four at once."""
    found = []
    for pairs in (1, 4, 16, 64):
        network, (query, images, masks, guidance) = icl_inputs(pairs)
        start = time.perf_counter()
        context = network.encode_support(images[None], masks[None])
        once = time.perf_counter() - start
        runs: dict[str, Callable[[], Tensor]] = {
            f"S = {pairs}: as published": partial(plain_universeg, network, query, images, masks, guidance),
            f"S = {pairs}": partial(network, query[None], context, guidance[None]),
        }
        plain, ours = (run() for run in runs.values())
        difference = ((ours[0] - plain).abs().max() / plain.std()).item()
        timed = alternate(runs, repeats, warm=True)
        names = list(runs)
        notes = {name: f"{peak(kind, str(pairs)):.0f} MB" for name, kind in zip(names, ("plain", "icl"), strict=True)}
        notes[names[1]] += f", difference {difference:.1e} of a deviation, once a task {once:.2f} s"
        found += rows("in-context model", timed, names[0], notes)
        four = alternate({"": lambda q=query, c=context, g=guidance, n=network: n(_four(q), c, _four(g))}, repeats)[""]
        found.append(Row("in-context model", f"S = {pairs}: four queries, each", four.wall / 4, four.cpu / 4))
    return found


def _four(x: Tensor) -> Tensor:
    return x.expand(4, *x.shape).contiguous()


# The whole method


def networks(precision: str = "auto") -> Networks:
    """Make SAM with a random ViT-B, and the bundled in-context model."""
    from napari_iclsam.models.build import build_icl

    torch.manual_seed(0)
    device = torch.device("cpu")
    dtype = choose_precision(precision, device, large=True)
    name = str(dtype).removeprefix("torch.")
    sam = Sam(encoders()[name]).eval().requires_grad_(False)
    icl_dtype = choose_precision("auto", device, large=True)  # as `ICLSAM` does
    return Networks(sam, build_icl("starter").module, device, name, icl_dtype, hashes={"sam": name})


def scene(count: int, size: int, labels: int, seed: int = 0) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.int32]]]:
    """Draw images of discs, a label a grey value."""
    random, images, masks = np.random.default_rng(seed), [], []
    y, x = np.mgrid[:size, :size] / size
    for _ in range(count):
        image, mask = random.normal(60, 10, (size, size)), np.zeros((size, size), np.int32)
        for label in range(1, labels + 1):
            for _disc in range(3):
                at = random.uniform(0.1, 0.9, 2)
                disc = np.hypot(y - at[0], x - at[1]) < random.uniform(0.05, 0.1)
                mask[disc] = label
                image[disc] += 30 * label
        images.append(np.clip(image, 0, 255).astype(np.uint8))
        masks.append(mask)
    return images, masks


def timed_stack(segmenter: ICLSAM, support: int, planes: int, size: int, labels: int) -> Row:
    """Segment a stack whose support is embedded already; a row a plane, with where the time went."""
    images, masks = scene(support, size, labels)
    volume = np.stack(scene(planes, size, labels, seed=1)[0])
    task = segmenter.fit(images, masks)
    wall, cpu, seconds = time.perf_counter(), time.process_time(), dict[str, float]()
    for step in task.stack_steps(volume):
        if step.prediction is not None:
            for stage, spent in step.prediction.seconds.items():
                seconds[stage] = seconds.get(stage, 0) + spent / planes
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    note = ", ".join(f"{stage} {spent:.2f} s" for stage, spent in seconds.items())
    return Row("stack, a plane", f"{planes} of {size} x {size}, {labels} labels, K = {support}", wall, cpu, note=note)


def method_section(_repeats: int) -> list[Row]:
    """Run stacks: first and again with another support, by labels, support, size and planes."""
    settings = Settings(calibrate=False)
    loaded, calls = networks(), [0]
    encode = loaded.sam.encode

    def counted(pixels: Tensor) -> Any:
        calls[0] += 1
        return encode(pixels)

    loaded.sam.encode = counted
    segmenter = ICLSAM(networks=loaded, settings=settings, cache=EmbeddingCache())
    timed_stack(segmenter, 1, 1, 256, 1)  # warm up
    found = []
    first = timed_stack(segmenter, 2, 3, 512, 1)
    before = calls[0]
    segmenter.fit(*scene(4, 512, 1))  # the examples to come, embedded
    extra = calls[0] - before
    again = timed_stack(segmenter, 4, 3, 512, 1)
    found.append(replace(first, what=f"first run: {first.what}"))
    encoded = calls[0] - before - extra
    note = f"{encoded} planes embedded again; {again.note}"
    found.append(replace(again, what=f"again: {again.what}", ratio=first.seconds / again.seconds, note=note))
    for support, planes, size, labels in STACKS:
        timed_stack(segmenter, support, planes, size, labels)  # embeds
        found.append(timed_stack(segmenter, support, planes, size, labels))
    return [
        replace(row, seconds=row.seconds / n, cpu_seconds=row.cpu_seconds / n) for row in found for n in (_planes(row),)
    ]


def _planes(row: Row) -> int:
    return int(row.what.split(": ")[-1].split()[0])


def masks_section(_repeats: int) -> list[Row]:
    """Compare final masks between the precisions; the encoder is random, the in-context model is not."""
    images, masks = scene(4, 512, 2)
    queries, settings = scene(3, 512, 2, seed=1)[0], Settings(calibrate=False)
    maps = {}
    for precision in ("float32", "bfloat16"):
        task = ICLSAM(networks=networks(precision), settings=settings, cache=EmbeddingCache()).fit(images, masks)
        start = time.perf_counter(), time.process_time()
        maps[precision] = [task.predict(query).labels for query in queries]
        spent = Timed(time.perf_counter() - start[0], time.process_time() - start[1])
    values = [
        dice(a == label, b == label) for a, b in zip(maps["float32"], maps["bfloat16"], strict=True) for label in (1, 2)
    ]
    note = f"Dice with float32: mean {np.mean(values):.4f}, smallest {np.min(values):.4f}"
    return [Row("masks", "bfloat16, three images", spent.wall, spent.cpu, note=note)]


# Threads


def worker_section(repeats: int) -> list[Row]:
    """Compare the main thread, a thread and napari's generator worker, each with ViT-B in the automatic precision."""
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
        QThreadPool.globalInstance().waitForDone()  # it says that it has finished a little before it has

    runs = {"main thread": partial(work, "main thread"), "a thread": in_thread, "napari's worker": in_worker}
    timed = alternate(runs, repeats)
    return rows("thread", timed, "main thread", {name: f"{count} threads" for name, count in threads.items()})


# Memory


def peak(what: str, which: str) -> float:
    """Run one thing in a process of its own and return by how many MB its memory rose while it ran."""
    command = [sys.executable, __file__, "--peak", what, which]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])  # noqa: S603


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
    return (highest * 1024 - before) / 1e6


SECTIONS = {
    "encoder": encoder_section,
    "icl": icl_section,
    "method": method_section,
    "masks": masks_section,
    "worker": worker_section,
}


def main() -> None:
    """Measure and report."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the plain transcription lies with the tests
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--peak", nargs=2, metavar=("WHAT", "WHICH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(measure_peak(*options.peak))
        return
    torch.set_num_threads(options.threads)
    console, found = Console(width=170), list[Row]()
    about = machine()
    console.print(about)
    with torch.inference_mode():
        for name in options.sections:
            section = SECTIONS[name](options.repeats)
            found += section
            console.print(table(section))
            if options.json:
                report = {"machine": about, "repeats": options.repeats, "rows": [asdict(row) for row in found]}
                options.json.write_text(json.dumps(report, indent=2))


def table(section: Sequence[Row]) -> Table:
    """Lay rows out."""
    made = Table(title=section[0].section, title_justify="left")
    for column in ("what", "seconds", "processor", "times as fast", ""):
        made.add_column(column, justify="left" if column in {"what", ""} else "right")
    for row in section:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        made.add_row(row.what, f"{row.seconds:.3f}", f"{row.cpu_seconds:.3f}", ratio, row.note)
    return made


if __name__ == "__main__":
    main()
