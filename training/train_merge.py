"""Train the merge of both scales of starter-icl: ``python -m training.train_merge --data D --run R --weights FILE``.

Only `napari_iclsam.models.starter_icl.Merge` learns, in minutes, without checkpoints; the network
stays as it is.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

from napari_iclsam.models.loss import segmentation_loss
from napari_iclsam.models.starter_icl import Merge, ScaleOutputs, TwoScales
from training.config import IclConfig, settings_of
from training.episodes import Batch, Episodes
from training.optimisation import dice
from training.train_icl import export, load_weights, sources


class _Batches(Dataset[Batch]):
    def __init__(self, episodes: Episodes, count: int) -> None:
        self._episodes, self._count = episodes, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, step: int) -> Batch:
        return self._episodes.for_merge(step)


def train_merge(config: IclConfig, module: TwoScales, workers: int = 1) -> None:
    """Train a module's merge from scratch, in place; a log of 20-step means goes to ``merge.csv`` of the run."""
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
    began, recent = time.monotonic(), []
    with (config.run / "merge.csv").open("w", newline="") as stream:
        log = csv.writer(stream)
        log.writerow(["step", "seconds", "loss", "dice", "dice of the mean"])
        for step, batch in enumerate((batch.to(device) for batch in batches), start=1):
            with torch.autocast(device.type, dtype=torch.bfloat16):
                context = module.encode_support(batch.images, batch.masks)
                outputs = module.at_scales(batch.query, context)
            fine, coarse = outputs.fine.float(), outputs.coarse.float()
            outputs = ScaleOutputs(fine, coarse, outputs.similarity)
            merged = module.merge(outputs, batch.query, context.traits)
            loss = segmentation_loss(merged, batch.target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            falling.step()
            plain = dice(fine + coarse, batch.target)
            recent.append(
                torch.stack(
                    [loss.detach(), dice(merged.detach(), batch.target).mean(), plain.mean()]
                )
            )
            if step % 20 == 0 or step == config.merge_steps:
                row = [
                    step,
                    round(time.monotonic() - began, 1),
                    *torch.stack(recent).mean(dim=0).tolist(),
                ]
                log.writerow([round(value, 4) for value in row])
                stream.flush()
                recent = []


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
