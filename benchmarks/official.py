"""A full-size SAM checkpoint through the whole way, beside segment-anything's own predictor.

The published files cannot be had without a network, so a checkpoint of the same layout and size is
made with random weights and offered by a server on this machine under the published name. It is
downloaded (killed at half, then resumed), loaded by name, and embeds and decodes one image;
segment-anything does the same. Run as

    python benchmarks/official.py [--size vit_b|vit_l|vit_h] [--json OUT]
"""

from __future__ import annotations

import argparse
import concurrent.futures
import http.server
import json
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

HALF_SENT = threading.Event()
SENT: list[dict[str, int]] = []


class Offer(http.server.BaseHTTPRequestHandler):
    """Gives one file, with ranges; the first request waits at half until it is dropped."""

    file: Path

    def log_message(self, *args: object) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        """Answer one request and note what went out."""
        size, said = self.file.stat().st_size, self.headers.get("Range", "")
        start = int(said.removeprefix("bytes=").removesuffix("-")) if said else 0
        note = {"from": start, "sent": 0}
        SENT.append(note)
        self.send_response(206 if said else 200)
        self.send_header("Content-Length", str(size - start))
        if said:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.end_headers()
        try:
            with self.file.open("rb") as file:
                file.seek(start)
                while chunk := file.read(1 << 20):
                    self.wfile.write(chunk)
                    note["sent"] += len(chunk)
                    if len(SENT) == 1 and note["sent"] > size // 2:
                        HALF_SENT.set()
                        time.sleep(0.02)  # so that there is a half at which to kill the other side
        except OSError:
            self.close_connection = True


def image() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Make an RGB image of 600 x 800 with objects in it."""
    y, x = np.mgrid[:600, :800]
    blobs = np.exp(-((x % 200 - 100) ** 2 + (y % 150 - 75) ** 2) / 900)
    waves = [120 + 60 * np.sin(x / 37) * np.cos(y / 53), 90 + 40 * np.cos((x + y) / 71), 60 + x / 8]
    return np.stack([wave + 100 * blobs for wave in waves], axis=-1).clip(0, 255).astype(np.uint8)


BOX = (120.0, 80.0, 480.0, 420.0)


def peak() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not tell the peak memory of a process")


def make(folder: Path, size: str) -> None:
    """Write a checkpoint as segment-anything does, with random weights, and one of UniverSeg."""
    import torch
    from segment_anything import sam_model_registry

    from napari_iclsam.models.universeg import UniverSeg

    torch.manual_seed(0)
    sam = sam_model_registry[size]()
    for name, value in sam.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            torch.nn.init.normal_(value, std=0.05)
    torch.save(sam.state_dict(), folder / "sam.pth")
    torch.save(UniverSeg().state_dict(), folder / "icl.pth")


def publish(name: str, url: str, size: int, check: str) -> None:
    """Put the made file in the place of the published one in this process."""
    from napari_iclsam.weights import catalogue, lookup

    entry = replace(catalogue.CATALOGUE[name], urls=(url,), size=size, checksum=check)
    # where names are looked up, in this process alone
    vars(lookup)["CATALOGUE"] = {**catalogue.CATALOGUE, name: entry}


def fetch(published: tuple[str, str, int, str], _: Path) -> dict[str, Any]:
    """Download by name."""
    from napari_iclsam.weights import download

    publish(*published)
    begin = time.perf_counter()
    path = download.fetch(published[0])
    return {"seconds": time.perf_counter() - begin, "bytes": path.stat().st_size, "path": str(path)}


def ours(
    published: tuple[str, str, int, str], folder: Path, dtype: str = "float32"
) -> dict[str, Any]:
    """Load by name, embed, decode a box."""
    import torch

    from napari_iclsam.core.encoder.cache import EmbeddingCache
    from napari_iclsam.core.encoder.runner import PromptableRunner
    from napari_iclsam.models.build import build_sam
    from napari_iclsam.models.prompts import Prompts

    publish(*published)
    begin = time.perf_counter()
    built = build_sam(published[0], getattr(torch, dtype))
    runner = PromptableRunner(built.module, EmbeddingCache(), torch.device("cpu"))
    loaded = time.perf_counter()
    rgb = image()
    scale = 1024 / max(rgb.shape)
    with torch.inference_mode():
        embedding = runner.embed(rgb)
        embedded = time.perf_counter()
        logits = runner.decode(embedding, Prompts(torch.tensor([BOX]) * scale))
    done = time.perf_counter()
    np.savez(
        folder / f"ours-{dtype}.npz",
        embedding=embedding.features.embedding.numpy(),
        logits=logits.numpy(),
    )
    return {
        "load": loaded - begin,
        "embed": embedded - loaded,
        "decode": done - embedded,
        "peak": peak(),
    }


def ours_half(published: tuple[str, str, int, str], folder: Path) -> dict[str, Any]:
    """Do the same with the encoder in bfloat16."""
    return ours(published, folder, "bfloat16")


def theirs(published: tuple[str, str, int, str], folder: Path) -> dict[str, Any]:
    """Do the same with segment-anything's registry and predictor."""
    import torch
    from segment_anything import SamPredictor, sam_model_registry

    begin = time.perf_counter()
    predictor = SamPredictor(
        sam_model_registry[published[0].removeprefix("sam_")](str(folder / "sam.pth"))
    )
    loaded = time.perf_counter()
    with torch.inference_mode():
        predictor.set_image(image())
        embedded = time.perf_counter()
        _, _, logits = predictor.predict(box=np.array(BOX), multimask_output=False)
    done = time.perf_counter()
    np.savez(
        folder / "theirs.npz", embedding=predictor.get_image_embedding().numpy(), logits=logits
    )
    return {
        "load": loaded - begin,
        "embed": embedded - loaded,
        "decode": done - embedded,
        "peak": peak(),
    }


def pipeline(published: tuple[str, str, int, str], folder: Path) -> dict[str, Any]:
    """Fit a task to one example and segment one image, by name."""
    from napari_iclsam.core.encoder.cache import EmbeddingCache
    from napari_iclsam.core.segmenter import ICLSAM

    publish(*published)
    rgb = image()
    labels = (rgb[..., 0] > 160).astype(np.uint8)
    begin = time.perf_counter()
    segmenter = ICLSAM(
        published[0], icl=str(folder / "icl.pth"), device="cpu", cache=EmbeddingCache()
    )
    task = segmenter.fit([rgb], [labels])
    fitted = time.perf_counter()
    prediction = task.predict(rgb[:, ::-1].copy())
    done = time.perf_counter()
    provenance = prediction.provenance
    return {
        "fit": fitted - begin,
        "predict": done - fitted,
        "peak": peak(),
        "shape": list(prediction.labels.shape),
        "models": dict(provenance.models),
        "hashes": dict(provenance.checksums),
        "licenses": dict(provenance.licenses),
    }


def in_process(part: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Run a part in a fresh process, so that its peak memory is its own."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(part, *arguments).result()


def killed_then_resumed(published: tuple[str, str, int, str], folder: Path) -> dict[str, Any]:
    """Kill a download with SIGKILL at half, and go on in another process."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=fetch, args=(published, folder))
    process.start()
    HALF_SENT.wait()
    process.kill()
    process.join()
    part = next(folder.rglob("*.part"))
    kept = part.stat().st_size
    fetched = in_process(fetch, published, folder)
    return {
        "exit": process.exitcode,
        "kept": kept,
        "resumed from": SENT[1]["from"],
        "sent then": SENT[1]["sent"],
    } | fetched


def difference(one: Path, other: Path) -> dict[str, float]:
    """Compare embeddings and logits of two sides."""
    a, b = np.load(one), np.load(other)
    logits = a["logits"].ravel(), b["logits"].ravel()
    return {
        "embedding": float(np.abs(a["embedding"] - b["embedding"]).max()),
        "embedding scale": float(np.abs(b["embedding"]).max()),
        "logits": float(np.abs(logits[0] - logits[1]).max()),
        "logits scale": float(np.abs(logits[1]).max()),
        "mask pixels that differ": float(((logits[0] > 0) != (logits[1] > 0)).mean()),
    }


def main() -> None:
    """Run every part and print what came out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="vit_b", choices=["vit_b", "vit_l", "vit_h"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["NAPARI_ICLSAM_HOME"] = str(folder / "home")
        in_process(made, folder, options.size)
        from napari_iclsam.weights.checksums import checksum

        file = folder / "sam.pth"
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Bound", (Offer,), {"file": file})
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/sam.pth"
        published = (f"sam_{options.size}", url, file.stat().st_size, checksum(file))
        report: dict[str, Any] = {"file": {"bytes": published[2], "check": published[3]}}
        report["download"] = killed_then_resumed(published, folder)
        print(f"download: {json.dumps(report['download'])}", flush=True)
        parts = {
            "ours": ours,
            "ours in bfloat16": ours_half,
            "segment-anything": theirs,
            "pipeline": pipeline,
        }
        for title, part in parts.items():
            report[title] = in_process(part, published, folder)
            print(f"{title}: {json.dumps(report[title])}", flush=True)
        report["difference"] = difference(folder / "ours-float32.npz", folder / "theirs.npz")
        report["difference in bfloat16"] = difference(
            folder / "ours-bfloat16.npz", folder / "theirs.npz"
        )
        for title in ("difference", "difference in bfloat16"):
            print(f"{title}: {json.dumps(report[title])}")
        server.shutdown()
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def made(folder: Path, size: str) -> dict[str, Any]:
    """Make the files, and say so."""
    make(folder, size)
    return {"made": str(folder)}


if __name__ == "__main__":
    main()
