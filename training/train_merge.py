"""Train the merge of both scales of starter-icl.

``python -m training.train_merge --data D --run R --weights FILE``.

Only `napari_iclsam.models.two_scales.Merge` learns, in minutes, without checkpoints; the network
stays as it is.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import time
from pathlib import Path
from typing import TextIO

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from napari_iclsam.models.loss import segmentation_loss
from napari_iclsam.models.two_scales import Merge, ScaleOutputs, TwoScales
from training.config import IclConfig, settings_of
from training.episodes import Batch, Episodes
from training.optimisation import dice
from training.train_icl import export, load_weights, sources

_LOGGED = 20
"""Steps of a row of the log."""


class _Batches(Dataset[Batch]):
    def __init__(self, episodes: Episodes, count: int) -> None:
        self._episodes = episodes
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, step: int) -> Batch:
        return self._episodes.for_merge(step)


def train_merge(config: IclConfig, module: TwoScales, workers: int = 1) -> None:
    """Train a module's merge from scratch, in place.

    A log of 20-step means goes to ``merge.csv`` of the run.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(config.seed)
    module.merge = Merge()
    module.to(device).network.requires_grad_(False)
    optimiser = torch.optim.AdamW(module.merge.parameters(), config.merge_rate, weight_decay=0)
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1, 0, config.merge_steps)
    batches = DataLoader(
        _Batches(Episodes(config, sources(config)[0]), config.merge_steps),
        batch_size=None,
        num_workers=workers,
    )
    config.run.mkdir(parents=True, exist_ok=True)
    with (config.run / "merge.csv").open("w", newline="") as stream:
        log = _Log(stream)
        for step, batch in enumerate(batches, start=1):
            log.add(_step(module, optimiser, batch.to(device)))
            falling.step()
            if step % _LOGGED == 0 or step == config.merge_steps:
                log.write(step)


def _step(module: TwoScales, optimiser: torch.optim.Optimizer, batch: Batch) -> Tensor:
    """Take one step; return the loss, the Dice, and the Dice of the plain mean, (3,)."""
    with torch.autocast(batch.query.device.type, dtype=torch.bfloat16):
        context = module.encode_support(batch.images, batch.masks)
        outputs = module.at_scales(batch.query, context)
    fine = outputs.fine.float()
    coarse = outputs.coarse.float()
    outputs = ScaleOutputs(fine, coarse, outputs.similarity)
    merged = module.merge(outputs, batch.query, context.traits)
    loss = segmentation_loss(merged, batch.target)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    plain = dice(fine + coarse, batch.target).mean()
    found = dice(merged.detach(), batch.target).mean()
    return torch.stack([loss.detach(), found, plain])


class _Log:
    """Means of the values of several steps, as rows of a table."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._writer = csv.writer(stream)
        self._writer.writerow(["step", "seconds", "loss", "dice", "dice of the mean"])
        self._began = time.monotonic()
        self._recent: list[Tensor] = []

    def add(self, values: Tensor) -> None:
        """Add the values of a step."""
        self._recent.append(values)

    def write(self, step: int) -> None:
        """Write the means since the last row."""
        seconds = round(time.monotonic() - self._began, 1)
        means = torch.stack(self._recent).mean(dim=0).tolist()
        row = [step, seconds, *means]
        self._writer.writerow([round(value, 4) for value in row])
        self._stream.flush()
        self._recent = []


def main() -> None:
    """Read the command line, train, export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the training sets")
    parser.add_argument(
        "--run", type=Path, required=True, help="folder of the log and of the synthetic tasks"
    )
    parser.add_argument(
        "--weights", type=Path, required=True, help="what training.train_icl exported"
    )
    parser.add_argument(
        "--export", type=Path, help="where to write the result; by default in place of the weights"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="other settings, as JSON"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    changes = settings_of(arguments.set)
    module = load_weights(arguments.weights)
    train_merge(dataclasses.replace(IclConfig(arguments.data, arguments.run), **changes), module)
    export(module, arguments.export or arguments.weights)


if __name__ == "__main__":
    main()
