"""Train starter-sam: ``python -m training.train_sam --data FOLDER --out FOLDER``.

Run it again to resume.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from napari_iclsam.models.features import Features
from napari_iclsam.models.prompt_maps import PromptMaps, prompt_maps
from napari_iclsam.models.prompts import Prompts
from napari_iclsam.models.starter_sam import StarterSam
from training.config import settings_of
from training.data import DataSet, Sample, load_sets
from training.sam_batches import Batch, Phase, by_look, draw_batch
from training.sam_config import SamConfig
from training.sam_losses import ProbeLoss, guidance, mask_loss, probe_loss, similarity_loss
from training.sam_masks import InContextMasks
from training.sam_prompts import Prompt
from training.synthetic import draw_task

_LOGGED = 50
"""Steps of a row of the log."""

_LOGGED_VALUES = ("mask", "probe", "dice", "auc")
"""Values of `StepResult` in the log."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """The loss to descend and the numbers for the log."""

    loss: Tensor
    mask: float
    probe: float
    dice: float
    auc: float


@dataclass(frozen=True, slots=True)
class Probed:
    """What the probes of a batch found, and which of them looked for (view, label values)."""

    where: dict[tuple[int, tuple[int, ...]], int]
    result: ProbeLoss


@dataclass(slots=True)
class State:
    """All that a checkpoint holds."""

    network: StarterSam
    average: StarterSam
    scale: nn.Parameter
    optimiser: torch.optim.AdamW
    rng: np.random.Generator
    step: int = 0
    seconds: float = 0.0


def held_out(data: DataSet, validation: bool) -> DataSet:
    """Return every eighth subject of a set (validation), or all others."""
    subjects = sorted({sample.subject for sample in data.samples})
    chosen = set(subjects[min(3, len(subjects) - 1) :: 8])
    return replace(data, samples=[s for s in data.samples if (s.subject in chosen) == validation])


def run_step(
    network: StarterSam,
    scale: Tensor,
    batch: Batch,
    config: SamConfig,
    rng: np.random.Generator,
    bias_chance: float,
) -> StepResult:
    """Embed a batch, probe it, decode its prompts with guidance, and sum the losses."""
    device = scale.device
    pixels = torch.stack([view.pixels for view in batch.views]).to(device)
    with torch.autocast(device.type, torch.bfloat16):
        features = network.encode(network.normalise(pixels))
    probed = probe_batch(features, scale, batch, config)
    bias = guide_prompts(probed, batch, bias_chance, rng)
    prompts = batch_maps(batch, features.embedding.shape[-1], bias, device)
    with torch.autocast(device.type, torch.bfloat16):
        owners = torch.tensor(batch.owners, device=device)
        similarity = network.decoder.similarity(features, prompts, owners)
        decoded = network.decoder(features, prompts, owners, similarity)
    truth = (
        torch.as_tensor(np.stack([prompt.target for prompt in batch.prompts])).float().to(device)
    )
    target = F.avg_pool2d(truth[:, None], 2)[:, 0]
    near = _near(target)
    result = mask_loss(decoded.logits, decoded.iou, target, near)
    alike = similarity_loss(similarity.fine[:, 0], similarity.coarse[:, 0], target, near)
    loss = result.mask + config.iou_weight * result.iou + config.similarity_weight * alike
    if probed is None:
        return StepResult(
            loss, float(result.mask.detach()), math.nan, float(result.dice.mean()), math.nan
        )
    return StepResult(
        loss + config.probe_weight * probed.result.loss,
        float(result.mask.detach()),
        float(probed.result.loss.detach()),
        float(result.dice.mean()),
        float(probed.result.auc.mean()),
    )


def probe_batch(
    features: Features, scale: Tensor, batch: Batch, config: SamConfig
) -> Probed | None:
    """Fit and evaluate the probes of a batch; None without any.

    The label of a probe covers some cells of both views, but not all.
    """
    device = features.embedding.device
    labels = torch.stack([torch.as_tensor(view.labels) for view in batch.views])[:, 4::8, 4::8].to(
        device
    )
    chosen, pairs = [], []
    for probe in batch.probes:
        values = torch.tensor(probe.values, device=device)
        both = torch.stack(
            [torch.isin(labels[view], values) for view in (probe.support, probe.query)]
        )
        if both.any((1, 2)).all() and not both.all(2).all(1).any():
            chosen.append(probe)
            pairs.append(both.float())
    if not chosen:
        return None
    support = torch.tensor([probe.support for probe in chosen], device=device)
    query = torch.tensor([probe.query for probe in chosen], device=device)
    result = probe_loss(
        features.embedding, torch.stack(pairs), support, query, scale.exp(), config.ridge
    )
    return Probed(
        {(probe.query, probe.values): index for index, probe in enumerate(chosen)}, result
    )


def guide_prompts(
    probed: Probed | None, batch: Batch, chance: float, rng: np.random.Generator
) -> list[Tensor | None]:
    """Draw guidance (1, G * G), of varying sharpness and beta, for a share of the prompts.

    Only prompts whose label has a probe can have it.
    """
    biases: list[Tensor | None] = []
    for owner, prompt in zip(batch.owners, batch.prompts, strict=True):
        at = None if probed is None else probed.where.get((owner, prompt.value))
        if probed is None or at is None or rng.random() >= chance:
            biases.append(None)
            continue
        maps = probed.result.maps[at : at + 1] * float(np.exp(rng.normal(0, 0.5)))
        biases.append(guidance(maps, maps.new_tensor([rng.uniform(0.5, 3.0)])).flatten(1))
    return biases


def shown(prompt: Prompt, bias: Tensor | None, device: torch.device) -> Prompts:
    """Return the kinds of a prompt that the network is shown."""
    return Prompts(
        boxes=torch.as_tensor(prompt.box)[None].to(device) if prompt.has_box else None,
        bias=bias,
        masks=torch.as_tensor(prompt.mask)[None, None].to(device) if prompt.has_mask else None,
        points=torch.as_tensor(prompt.points)[None].to(device) if prompt.has_points else None,
        point_labels=torch.as_tensor(prompt.point_labels)[None].to(device)
        if prompt.has_points
        else None,
    )


def batch_maps(
    batch: Batch, grid: int, biases: Sequence[Tensor | None], device: torch.device
) -> PromptMaps:
    """Draw the prompts of a batch as maps, the kinds that each prompt shows and no others."""
    like = torch.zeros((), device=device)
    maps: list[PromptMaps] = []
    for prompt, bias in zip(batch.prompts, biases, strict=True):
        maps.append(prompt_maps(grid, shown(prompt, bias, device), like))
    return PromptMaps(
        *[torch.cat([getattr(one, field.name) for one in maps]) for field in fields(PromptMaps)]
    )


def _near(target: Tensor) -> Tensor:
    """Full weight within the doubled box of each object, a twentieth elsewhere."""
    weights = torch.full_like(target, 0.05)
    height, width = target.shape[-2:]
    for weight, one in zip(weights, target, strict=True):
        rows, columns = one.amax(1).nonzero()[:, 0], one.amax(0).nonzero()[:, 0]
        dy, dx = int(rows[-1] - rows[0]) // 2 + 4, int(columns[-1] - columns[0]) // 2 + 4
        top, left = max(int(rows[0]) - dy, 0), max(int(columns[0]) - dx, 0)
        weight[top : min(int(rows[-1]) + dy, height), left : min(int(columns[-1]) + dx, width)] = 1
    return weights


def learning_rate(config: SamConfig, step: int, share: float) -> float:
    """Warm up over the first steps, then fall as a cosine over the time."""
    return (
        config.rate
        * min(1.0, (step + 1) / config.warmup_steps)
        * (0.5 + 0.5 * math.cos(math.pi * min(share, 1.0)))
    )


def chances_of(sets: Sequence[DataSet], config: SamConfig) -> NDArray[np.float64]:
    """How often each set is drawn.

    The configured chances for real sets, an equal share for the synthetic ones.
    """
    table = dict(config.real_chances)
    real = np.array([table.get(data.name, 0.0) for data in sets])
    synthetic = np.array([float(data.name.startswith("synthetic")) for data in sets])
    share: NDArray[np.float64] = real / real.sum()
    if synthetic.any():
        share *= 1 - config.synthetic_share
        share += config.synthetic_share * synthetic / synthetic.sum()
    return share


def validate(
    network: StarterSam, scale: Tensor, sets: Sequence[DataSet], config: SamConfig
) -> StepResult:
    """Mean Dice and AUC over a fixed drawing of held-out subjects."""
    rng, phase = np.random.default_rng(config.seed + 1), Phase(0.0, 256, 2, 4)
    real = [data for data in sets if data.samples]
    chances = chances_of(real, replace(config, synthetic_share=0.0))
    results = []
    with torch.inference_mode():
        for _ in range(config.validation_batches):
            batch = draw_batch(rng, real, chances, phase)
            results.append(run_step(network, scale, batch, config, rng, phase.bias_chance))
    return StepResult(
        torch.stack([r.loss for r in results]).mean(),
        *[float(np.nanmean([getattr(r, name) for r in results])) for name in _LOGGED_VALUES],
    )


def synthetic_set(rng: np.random.Generator, config: SamConfig) -> DataSet:
    """Draw one synthetic task of three images as a set."""
    family = None
    if config.families:
        names, chances = zip(*config.families, strict=True)
        family = str(rng.choice(names, p=np.array(chances) / sum(chances)))
    scenes = draw_task(rng, config.synthetic_size, 3, family)
    images = (scenes.images * 255).round().astype(np.uint8)
    samples = [
        Sample(
            image,
            labels,
            None if scenes.instances is None else scenes.instances[index],
            str(index),
            "",
        )
        for index, (image, labels) in enumerate(zip(images, scenes.labels, strict=True))
    ]
    return DataSet(f"synthetic {scenes.family}", {}, samples)


def new_state(config: SamConfig, device: torch.device, weights: Path | None = None) -> State:
    """Random or given weights, their average, and an optimiser."""
    torch.manual_seed(config.seed)
    network = StarterSam().to(device).to(memory_format=torch.channels_last)
    if weights is not None:
        network.load_state_dict(load_file(weights))
    average = StarterSam().to(device).to(memory_format=torch.channels_last)
    average.load_state_dict(network.state_dict())
    scale = nn.Parameter(torch.tensor(1.0, device=device))
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": config.decay},
        {"params": [p for p in network.parameters() if p.ndim <= 1] + [scale], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, config.rate, betas=(0.9, 0.98))
    return State(network, average, scale, optimiser, np.random.default_rng(config.seed))


def save_state(state: State, path: Path) -> None:
    """Write a checkpoint beside its name first, then move it there."""
    kept = {
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "scale": state.scale.detach(),
        "optimiser": state.optimiser.state_dict(),
        "step": state.step,
        "seconds": state.seconds,
    }
    torch.save(kept, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def load_state(state: State, path: Path, config: SamConfig) -> None:
    """Go on from a checkpoint, with a fresh random stream that depends on the step."""
    kept = torch.load(path, weights_only=True, map_location=state.scale.device)
    state.network.load_state_dict(kept["network"])
    state.average.load_state_dict(kept["average"])
    state.optimiser.load_state_dict(kept["optimiser"])
    with torch.no_grad():
        state.scale.copy_(kept["scale"])
    state.step, state.seconds = int(kept["step"]), float(kept["seconds"])
    state.rng = np.random.default_rng([config.seed, state.step])


def advance(
    state: State,
    sets: Sequence[DataSet],
    chances: NDArray[np.float64],
    config: SamConfig,
    masks: InContextMasks | None = None,
) -> StepResult:
    """Do one step of training; a batch without any prompt or probe is drawn again."""
    share = state.seconds / (60 * config.minutes)
    phase = [phase for phase in config.phases if phase.start <= share][-1]
    batch = draw_batch(state.rng, sets, chances, phase)
    while not batch.prompts:
        batch = draw_batch(state.rng, sets, chances, phase)
    if masks is not None:
        batch = masks.replaced(batch, config.icl_chance, state.rng)
    result = run_step(state.network, state.scale, batch, config, state.rng, phase.bias_chance)
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(config, state.step, share)
    state.optimiser.zero_grad(set_to_none=True)
    result.loss.backward()
    norm = nn.utils.clip_grad_norm_([*state.network.parameters(), state.scale], config.clip)
    if torch.isfinite(norm):
        state.optimiser.step()
    keep = min(config.average, (state.step + 1) / (state.step + 10))
    with torch.no_grad():
        for slow, fast in zip(state.average.parameters(), state.network.parameters(), strict=True):
            slow.lerp_(fast, 1 - keep)
    state.step += 1
    return result


def export(network: StarterSam, path: Path) -> None:
    """Write the weights in half precision."""
    tensors = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    save_file(tensors, path, {"image_size": str(network.image_size)})


@dataclass(frozen=True, slots=True)
class Run:
    """Files of one training.

    Attributes
    ----------
    data, out : Path
        Folder of the training sets; folder of checkpoint, log and weights.
    weights : Path, optional
        Exported weights to begin with; from scratch by default.
    icl : Path, optional
        Weights of starter-icl, which then makes mask prompts.
    """

    data: Path
    out: Path
    weights: Path | None = None
    icl: Path | None = None

    @property
    def checkpoint(self) -> Path:
        """Where a training goes on from."""
        return self.out / "checkpoint.pt"


@dataclass(frozen=True, slots=True)
class _Sets:
    """Sets to train on, the real ones first, with their chances; sets for validation."""

    train: list[DataSet]
    chances: NDArray[np.float64]
    validation: list[DataSet]
    real: int

    def renew(self, rng: np.random.Generator, config: SamConfig) -> None:
        """Exchange one synthetic set for a new one."""
        index = self.real + rng.integers(config.synthetic_tasks)
        self.train[index] = synthetic_set(rng, config)


def _load(folder: Path, config: SamConfig, rng: np.random.Generator) -> _Sets:
    """Read the real sets and draw the synthetic ones."""
    train: list[DataSet] = []
    validation: list[DataSet] = []
    for data in load_sets(folder):
        tasks = by_look(data) if data.name in config.mixed_sets else data
        train.append(held_out(tasks, validation=False))
        validation.append(held_out(tasks, validation=True))
    real = len(train)
    for _ in range(config.synthetic_tasks):
        train.append(synthetic_set(rng, config))
    return _Sets(train, chances_of(train, config), validation, real)


def train(run: Run, config: SamConfig, device: torch.device) -> None:
    """Train until the configured time is spent, from the last checkpoint if there is one."""
    masks = None if run.icl is None else InContextMasks(run.icl, device)
    run.out.mkdir(parents=True, exist_ok=True)
    state = new_state(config, device, run.weights)
    resumed = run.checkpoint.is_file()
    if resumed:
        load_state(state, run.checkpoint, config)
    sets = _load(run.data, config, state.rng)
    lines = [f"{name} = {value}" for name, value in asdict(config).items()]
    (run.out / "config.txt").write_text("\n".join(lines) + "\n")
    with (run.out / "log.csv").open("a", newline="") as file:
        log = _Log(file)
        if not resumed:
            log.begin()
        saved = time.monotonic()
        while state.seconds < 60 * config.minutes:
            begun = time.monotonic()
            if config.synthetic_tasks and state.step % 2 == 0:
                sets.renew(state.rng, config)
            log.add(advance(state, sets.train, sets.chances, config, masks))
            state.seconds += time.monotonic() - begun
            if state.step % _LOGGED == 0:
                log.write_training(state)
            over = state.seconds >= 60 * config.minutes
            if over or time.monotonic() - saved > 60 * config.checkpoint_minutes:
                save_state(state, run.checkpoint)
                export(state.average, run.out / "starter_sam.safetensors")
                result = validate(state.average, state.scale, sets.validation, config)
                log.write("validate", state, [result])
                saved = time.monotonic()


class _Log:
    """Results of training and validation, as rows of a table."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._writer = csv.writer(file)
        self._running: list[StepResult] = []

    def begin(self) -> None:
        """Write the names of the columns."""
        self._writer.writerow(["kind", "step", "minutes", *_LOGGED_VALUES])

    def add(self, result: StepResult) -> None:
        """Add the result of a step."""
        self._running.append(result)

    def write_training(self, state: State) -> None:
        """Write the means of the steps since the last row."""
        self.write("train", state, self._running)
        self._running = []

    def write(self, kind: str, state: State, results: list[StepResult]) -> None:
        """Write the means of some results."""
        row = [kind, state.step, f"{state.seconds / 60:.2f}"]
        for name in _LOGGED_VALUES:
            mean = np.nanmean([getattr(result, name) for result in results])
            row.append(f"{mean:.4f}")
        self._writer.writerow(row)
        self._file.flush()


def main() -> None:
    """Read the command line and train."""
    defaults = SamConfig()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of training sets")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of checkpoint, log and weights"
    )
    parser.add_argument(
        "--weights", type=Path, help="exported weights to begin with; by default from scratch"
    )
    parser.add_argument(
        "--icl", type=Path, help="weights of starter-icl, which then makes mask prompts"
    )
    parser.add_argument("--minutes", type=float, default=defaults.minutes)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch wants")
    parser.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="other settings of the configuration, as JSON",
    )
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    changes = settings_of(options.set)
    if "phases" in changes:
        changes["phases"] = tuple(Phase(*phase) for phase in changes["phases"])
    config = replace(defaults, minutes=options.minutes, seed=options.seed, **changes)
    run = Run(options.data, options.out, options.weights, options.icl)
    train(run, config, device)


if __name__ == "__main__":
    main()
