"""A bad day, on purpose: kills, full and read-only disks, little memory, hostile files.

``python -m benchmarks.drill [--sections NAME ...] [--trials 20] [--files 10000] [--seed 0]`` prints
a row of a table for each section, and ends with 1 if something was lost or read half. On Linux;
``disk`` and ``readonly`` mount small file systems in memory and need root.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import tifffile
import torch

from benchmarks.drill_downloads import downloads
from benchmarks.drill_outcome import Outcome, killed_after
from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.images.support import LabelStyle, SupportSet
from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.core.settings import Settings
from napari_iclsam.core.task_file import Origin, SavedTask, read_task, write_task
from napari_iclsam.files import read_labels
from napari_iclsam.models.checkpoint import read_tensors
from napari_iclsam.models.features import Features

QUICK = ("--setting", "use_sam=false", "--setting", "fine_tune=false", "--device", "cpu")
"""Settings with which a stack takes seconds."""

PATIENCE = 600
"""Seconds after which a command counts as hanging."""


def cache_writes(trials: int, rng: random.Random) -> Outcome:
    """Kill a process that writes embeddings, and read what it left."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder, log = Path(place) / "cache", Path(place) / "log"
        wrong = lost = whole = 0
        for trial in range(trials):
            killed_after(partial(_write_embeddings, folder, log, trial), rng.uniform(0.05, 0.6))
            done = {int(line) for line in log.read_text().split()} if log.exists() else set()
            cache = EmbeddingCache(folder)
            for path in folder.glob("*.safetensors"):
                number = int(path.stem, 16)
                features = cache.get(path.stem)
                is_whole = features is not None and bool((features.embedding == number).all())
                whole += is_whole
                wrong += not is_whole
                done.discard(number)
            lost += len(done)
            cache.clear()
            log.unlink(missing_ok=True)
    said = f"{whole} embeddings found whole, {wrong} broken, {lost} of the finished ones lost"
    return Outcome("kill: writing embeddings", str(trials), said, not wrong and not lost)


def _write_embeddings(folder: Path, log: Path, trial: int) -> None:
    cache = EmbeddingCache(folder)
    for number in range(1000 * trial, 1000 * trial + 999):
        embedding = torch.full((1, 256, 64, 64), float(number))
        cache.put(f"{number:064x}", Features(embedding, None))
        with log.open("a") as file:
            file.write(f"{number}\n")


def stack_runs(suffix: str, trials: int, rng: random.Random) -> Outcome:
    """Kill the command line in the middle of a stack, and read the result if there is one."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        arguments = _segmentation(folder, folder / f"whole{suffix}")
        began = time.perf_counter()
        # a process of its own: what is forked later must not have computed
        subprocess.run(arguments, check=True, capture_output=True, timeout=PATIENCE)
        duration = time.perf_counter() - began
        expected = read_labels(folder / f"whole{suffix}").array
        counts: Counter[str] = Counter()
        for trial in range(trials):
            output = folder / f"{trial}{suffix}"
            process = subprocess.Popen(
                _segmentation(folder, output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            # most of the writing is at the end
            time.sleep(duration * rng.uniform(0.3, 1.0))
            process.kill()
            process.wait()
            counts[_state(output, expected)] += 1
        subprocess.run(
            _segmentation(folder, folder / f"after{suffix}"), check=True, capture_output=True
        )
        is_same = np.array_equal(read_labels(folder / f"after{suffix}").array, expected)
    said = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    said += f"; the next run is {'equal' if is_same else 'DIFFERENT'}"
    is_good = is_same and not counts["half written"]
    return Outcome(f"kill: a stack into {suffix}", str(trials), said, is_good)


def _segmentation(folder: Path, output: Path) -> list[str]:
    """Return a command that segments a small stack, which is written on the first call."""
    stack = folder / "stack.tif"
    if not stack.exists():
        planes, rows, columns = np.indices((12, 64, 64))
        labels = (np.hypot(rows - 32, columns - 32) < 12 + planes).astype(np.uint8)
        noise = np.random.default_rng(0).normal(0, 8, labels.shape)
        tifffile.imwrite(stack, np.clip(60 + 90 * labels + noise, 0, 255).astype(np.uint8))
        labels[[0, 1, 2, 4, 5, 6, 7, 9, 10, 11]] = 0
        tifffile.imwrite(folder / "labels.tif", labels)
    support = ("--support", str(stack), str(folder / "labels.tif"))
    command = (sys.executable, "-m", "napari_iclsam.cli", "segment", *support, *QUICK)
    return [*command, "--query", str(stack), "--output", str(output)]


def _state(output: Path, expected: np.ndarray) -> str:
    """Tell what a killed run has left in the place of its result."""
    if not output.exists():
        return "without a result"
    try:
        found = read_labels(output).array
    except (ValueError, OSError):
        return "refused by the reader"
    return "complete" if np.array_equal(found, expected) else "half written"


@contextlib.contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """Mount a file system in memory that holds so much."""
    with tempfile.TemporaryDirectory() as place:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place]
        subprocess.run(mount, check=True)
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", place], check=True)


def full_disk() -> Outcome:
    """Write the cache, and then the result, to a disk that is full."""
    with small_disk("64k") as disk, tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with contextlib.suppress(OSError), (disk / "full").open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        cache = _said(_segmentation(folder, folder / "a.tif"), home=disk)
        result = _said(_segmentation(folder, disk / "a.tif"), home=folder / "home")
        left = sorted(path.name for path in disk.iterdir())
    said = f"cache: {cache}; result: {result}; left on it: {', '.join(left)}"
    is_good = cache.startswith("exit 0") and result.startswith("exit 2")
    return Outcome("disk full", "2", said, is_good and "a.tif" not in left)


def read_only() -> Outcome:
    """Keep the cache in, and write the result to, a folder that may only be read."""
    with small_disk("1m") as disk, tempfile.TemporaryDirectory() as place:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        folder = Path(place)
        cache = _said(_segmentation(folder, folder / "a.tif"), home=disk)
        result = _said(_segmentation(folder, disk / "a.tif"), home=folder / "home")
    said = f"cache: {cache}; result: {result}"
    is_good = cache.startswith("exit 0") and result.startswith("exit 2")
    return Outcome("read-only cache, output", "2", said, is_good)


def little_memory() -> Outcome:
    """Limit the address space, as `ulimit -v` does."""
    found = []
    is_good = True
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for gigabytes in (1.0, 1.5, 2.0, 3.0, 4.0):
            limit = int(gigabytes * (1 << 30))
            command = _segmentation(folder, folder / f"{gigabytes}.tif")
            said = _said(command, home=folder / "home", limit=limit)
            found.append(f"{gigabytes:g} GiB: {said}")
            is_good &= said.startswith(("exit 0", "exit 2"))
    return Outcome("ulimit -v", str(len(found)), "; ".join(found), is_good)


def _said(command: list[str], home: Path, limit: int | None = None) -> str:
    """Return the exit status of a command and the last line that it said."""
    variables = {**os.environ, "NAPARI_ICLSAM_HOME": str(home), "OMP_NUM_THREADS": "1"}

    def restrict() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    ran = subprocess.run(
        command,
        env=variables,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        preexec_fn=restrict,
    )
    lines = [line for line in ran.stderr.splitlines() if line.startswith(("Error", "Note"))]
    last = (lines or ran.stderr.splitlines() or [""])[-1]
    return f"exit {ran.returncode}" + (f' "{last[:110]}"' if last else "")


def task_files(count: int, rng: random.Random) -> Outcome:
    """Read task files in which bytes, members or numbers were changed."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "task.iclsam"
        image = np.arange(24 * 24, dtype=np.uint16).reshape(24, 24)
        support = SupportSet.of([image], [(image > 300).astype(np.int32)], {1: LabelStyle("a")})
        reference = ((2.0, 0, 0, -5), (0, 2.0, 0, 0), (0, 0, 3.0, 1), (0, 0, 0, 1.0))
        origin = Origin(reference, (-160.0, 240.0), "axial", 0.25, own_planes=True)
        models = ModelChoice("starter", "starter")
        write_task(SavedTask(support, Settings(), models, origin), path)
        return _hostile("hostile task files", path, count, rng, read_task)


def weight_files(count: int, rng: random.Random) -> Outcome:
    """Read checkpoints, of torch and of safetensors, in which bytes were changed."""
    from safetensors.torch import save_file

    tensors = {"a.weight": torch.arange(64.0), "b": torch.ones(3, 4)}
    with tempfile.TemporaryDirectory() as place:
        torch.save(tensors, Path(place) / "a.pt")
        save_file(tensors, Path(place) / "a.safetensors")
        found = []
        for name in ("a.pt", "a.safetensors"):
            path = Path(place) / name
            found.append(_hostile(name, path, count // 2, rng, read_tensors))
    said = "; ".join(f"{each.section}: {each.found}" for each in found)
    return Outcome("hostile weights", str(count), said, all(each.is_good for each in found))


def _hostile(
    section: str, path: Path, count: int, rng: random.Random, read: Callable[[Path], object]
) -> Outcome:
    """Read changed copies of a file: each is read, or refused by a `ValueError`."""
    original = path.read_bytes()
    counts: Counter[str] = Counter()
    slowest = 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(count):
        path.write_bytes(changed(original, rng))
        began = time.perf_counter()
        try:
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                read(path)
            counts["read"] += 1
        except (ValueError, MemoryError) as error:
            counts[type(error).__name__] += 1
        except Exception as error:  # noqa: BLE001 (what is counted)
            counts[f"WRONG {type(error).__name__}: {str(error)[:80]}"] += 1
        slowest = max(slowest, time.perf_counter() - began)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    said = ", ".join(f"{number} {what}" for what, number in counts.most_common())
    said += f"; slowest {slowest:.2f} s, memory {grown:.0f} MB more at its peak"
    is_good = set(counts) <= {"read", "ValueError", "MemoryError"} and grown < 500
    return Outcome(section, str(count), said, is_good)


def changed(data: bytes, rng: random.Random) -> bytes:
    """Return a file with one of several kinds of damage."""
    kind = rng.choice(("bytes", "cut", "doubled", "member", "number", "deep", "noise"))
    spoiled = bytearray(data)
    if kind == "bytes":
        for _ in range(rng.randint(1, 8)):
            spoiled[rng.randrange(len(spoiled))] = rng.randrange(256)
    elif kind == "cut":
        del spoiled[rng.randrange(len(spoiled)) :]
    elif kind == "doubled":
        place = rng.randrange(len(spoiled))
        spoiled[place:place] = spoiled[place : place + rng.randint(1, 400)]
    elif kind == "number":
        # a length or shape in a header becomes huge
        place = rng.randrange(max(len(spoiled) - 8, 1))
        spoiled[place : place + 8] = rng.choice((b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"9" * 8))
    elif kind == "noise":
        spoiled = bytearray(rng.randbytes(rng.randint(0, 300)))
    elif zipfile.is_zipfile(io.BytesIO(data)):
        return _with_other_member(data, rng, deep=kind == "deep")
    return bytes(spoiled)


def _with_other_member(data: bytes, rng: random.Random, *, deep: bool) -> bytes:
    """Return an archive in which a member holds something else: nested lists, noise, zeros."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    if deep:
        members[name] = b"[" * 100_000
    else:
        content = bytearray(members[name])
        for _ in range(rng.randint(1, 6)):
            if content:
                content[rng.randrange(len(content))] = rng.randrange(256)
        members[name] = rng.choice((bytes(content), b"", bytes(5_000_000)))
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, content_of in members.items():
            archive.writestr(each, content_of)
    return written.getvalue()


def main() -> int:
    """Run sections, and return 1 if one has found something wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20, help="kills a section")
    parser.add_argument("--files", type=int, default=10_000, help="hostile files of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sections", nargs="*")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    sections: dict[str, Callable[[], Outcome]] = {
        "download": partial(downloads, options.trials, rng),
        "cache": partial(cache_writes, options.trials, rng),
        "tiff": partial(stack_runs, ".tif", options.trials, rng),
        "zarr": partial(stack_runs, ".ome.zarr", options.trials, rng),
        "disk": full_disk,
        "readonly": read_only,
        "memory": little_memory,
        "tasks": partial(task_files, options.files, rng),
        "weights": partial(weight_files, options.files, rng),
    }
    print("| what | trials | found |\n| --- | --- | --- |", flush=True)
    is_good = True
    for name in options.sections or sections:
        outcome = sections[name]()
        is_good &= outcome.is_good
        mark = "" if outcome.is_good else "**WRONG** "
        print(f"| {outcome.section} | {outcome.trials} | {mark}{outcome.found} |", flush=True)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
