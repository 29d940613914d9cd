"""Train the in-context starter model: ``python -m training.train_icl --data DIR --run DIR``.

Resumes by itself.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from napari_iclsam.models.loss import segmentation_loss
from napari_iclsam.models.starter_icl import StarterIcl
from napari_iclsam.models.two_scales import TwoScales
from training.config import IclConfig, Stage, settings_of
from training.data import load_sets
from training.episodes import Batch, Episodes, Source, as_source, split, validation_tasks
from training.optimisation import dice, similarity_loss

_FOREVER = 10**9
"""Steps that no training by the clock comes to."""


@dataclass(slots=True)
class State:
    """What a checkpoint holds."""

    network: StarterIcl
    average: dict[str, Tensor]
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0


def fresh_state(config: IclConfig, device: torch.device, weights: Path | None = None) -> State:
    """Build a network from scratch, or with exported weights."""
    torch.manual_seed(config.seed)
    network = StarterIcl().to(device)
    if weights is not None:
        network.load_state_dict(load_weights(weights).network.state_dict())
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW(
        network.parameters(), betas=(0.9, 0.98), weight_decay=config.weight_decay
    )
    return State(network, average, optimiser)


def save(state: State, path: Path) -> None:
    """Write a checkpoint, whole or not at all."""
    content: dict[str, Any] = {
        "network": state.network.state_dict(),
        "average": state.average,
        "optimiser": state.optimiser.state_dict(),
        "step": state.step,
        "seconds": state.seconds,
    }
    torch.save(content, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def restore(state: State, path: Path) -> None:
    """Read a checkpoint into a state of the same configuration."""
    content = torch.load(path, weights_only=True)
    state.network.load_state_dict(content["network"])
    state.average = {
        name: value.to(state.average[name].device) for name, value in content["average"].items()
    }
    state.optimiser.load_state_dict(content["optimiser"])
    state.step, state.seconds = int(content["step"]), float(content["seconds"])


def spent(state: State, config: IclConfig) -> float:
    """Return the share of the training that is over."""
    return state.seconds / (60 * config.minutes) if config.minutes else state.step / config.steps


def rate(config: IclConfig, step: int, share: float) -> float:
    """Return the learning rate when a share of the training is over.

    Linear rise, plateau, linear fall.
    """
    return config.learning_rate * max(
        0.0, min(1.0, (step + 1) / config.warmup, (1 - share) / config.decay_share)
    )


def train_step(state: State, batch: Batch, config: IclConfig) -> Tensor:
    """Take one optimiser step, unless the loss is too large; return loss, Dice and norm."""
    for group in state.optimiser.param_groups:
        group["lr"] = rate(config, state.step, spent(state, config))
    state.optimiser.zero_grad(set_to_none=True)
    batch = batch.to(next(state.network.parameters()).device)
    with torch.autocast(batch.query.device.type, dtype=torch.bfloat16):
        support = state.network.encode_support(batch.images, batch.masks)
        similarity = state.network.similarity(batch.query, support)
        logits = state.network(batch.query, support, similarity=similarity).float()
    loss = segmentation_loss(logits, batch.target) + config.similarity_loss * similarity_loss(
        similarity, batch.target
    )
    loss.backward()
    norm = nn.utils.clip_grad_norm_(state.network.parameters(), config.clip)
    found = torch.stack([loss.detach(), dice(logits.detach(), batch.target).mean(), norm]).cpu()
    if float(found[0]) < config.skip_loss and math.isfinite(found[2]):
        state.optimiser.step()
    state.step += 1
    keep = min(config.average, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for name, weight in state.network.state_dict().items():
            state.average[name].lerp_(weight, 1 - keep)
    return found


@torch.no_grad()
def validate(state: State, batches: list[Batch]) -> float:
    """Return the mean Dice of the averaged weights over tasks that training never sees."""
    device = next(state.network.parameters()).device
    network = StarterIcl().to(device)
    network.load_state_dict(state.average)
    scores = []
    for batch in (batch.to(device) for batch in batches):
        with torch.autocast(device.type, dtype=torch.bfloat16):
            logits = network(batch.query, network.encode_support(batch.images, batch.masks)).float()
        scores.append(float(dice(logits, batch.target).mean()))
    return sum(scores) / len(scores)


def export(module: TwoScales, path: Path) -> None:
    """Write weights in half precision."""
    metadata = {"architecture": "starter_icl", "license": "CC-BY-SA-4.0"}
    halves = {
        name: value.detach().cpu().half().contiguous()
        for name, value in module.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(halves, path, metadata=metadata)
    path.chmod(0o644)


def load_weights(path: Path) -> TwoScales:
    """Read what `export` wrote, in single precision."""
    module = TwoScales()
    module.load_state_dict(load_file(path))
    return module


def sources(config: IclConfig) -> tuple[list[Source], list[Source]]:
    """Read the real sets and part each by subject: for training, for validation."""
    train, held = [], []
    for data in load_sets(config.data):
        kept, left = split(data, config.held_out, config.validation_seed)
        train.append(as_source(data.name, kept))
        if left:
            held.append(as_source(data.name, left))
    return train, held


def train(
    config: IclConfig, workers: int = 1, until: int | None = None, weights: Path | None = None
) -> State:
    """Train to the end or to a step.

    From the last checkpoint if there is one, else from weights or from scratch.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config.run.mkdir(parents=True, exist_ok=True)
    (config.run / "config.json").write_text(
        json.dumps(dataclasses.asdict(config), default=str, indent=1)
    )
    kept, held = sources(config)
    state = fresh_state(config, device, weights)
    if (config.run / "last.pt").exists():
        restore(state, config.run / "last.pt")
    end = _FOREVER if config.minutes else config.steps
    end = min(end if until is None else until, end) if spent(state, config) < 1 else state.step
    loader = DataLoader(
        Episodes(config, kept),
        batch_size=None,
        sampler=range(state.step, end),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=device.type == "cuda",
    )
    checks = validation_tasks(config, held, config.pools[0][0], 4, 4)
    with (config.run / "log.csv").open("a", newline="") as stream:
        _run(state, loader, checks, config, stream)
    save(state, config.run / "last.pt")
    return state


def _run(
    state: State, loader: DataLoader[Batch], checks: list[Batch], config: IclConfig, log: TextIO
) -> None:
    """Take the steps that the loader holds.

    Log step, seconds, loss, Dice, norm (50-step means) and validation.
    """
    before, recent = state.seconds, []
    began = time.monotonic()
    for batch in loader:
        recent.append(train_step(state, batch, config))
        state.seconds = before + time.monotonic() - began
        step, over = state.step, spent(state, config) >= 1
        if step % config.checkpoint_every == 0:
            save(state, config.run / "last.pt")
        checked = validate(state, checks) if step % config.validate_every == 0 or over else None
        if step % 50 == 0 or over:
            row = [
                step,
                round(state.seconds, 1),
                *(round(x, 4) for x in torch.stack(recent).mean(dim=0).tolist()),
            ]
            csv.writer(log).writerow([*row, "" if checked is None else round(checked, 4)])
            log.flush()
            print(*row, "" if checked is None else f"validation {checked:.4f}", flush=True)
            recent = []
        if over:
            break


def main() -> None:
    """Read the command line, train, export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the training sets")
    parser.add_argument("--run", type=Path, required=True, help="folder of checkpoints and log")
    parser.add_argument("--export", type=Path, help="where to write the weights at the end")
    parser.add_argument(
        "--weights", type=Path, help="exported weights to begin with; by default from scratch"
    )
    parser.add_argument("--until", type=int, help="stop at this step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1, help="processes that draw tasks")
    parser.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="other settings of the configuration",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    changes = settings_of(arguments.set)
    if "stages" in changes:
        changes["stages"] = tuple(Stage(*stage) for stage in changes["stages"])
    config = dataclasses.replace(IclConfig(arguments.data, arguments.run), **changes)
    state = train(config, arguments.workers, arguments.until, arguments.weights)
    if arguments.export:
        average = StarterIcl()
        average.load_state_dict(state.average)
        export(TwoScales(average), arguments.export)


if __name__ == "__main__":
    main()
