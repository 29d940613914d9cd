"""Test-time fine-tuning: what it changes, what it leaves alone, and when it is done."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_iclsam import ICLSAM, Settings, dice
from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.encoder.examples import Examples
from napari_iclsam.core.images.intensity import as_rgb8
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.in_context import fine_tuning
from napari_iclsam.core.in_context.augmentation import draw_transform
from napari_iclsam.core.in_context.coarse_to_fine import preview
from napari_iclsam.core.in_context.fine_tuning import (
    FULL,
    SPARING,
    EpisodeSampler,
    Schedule,
    can_fine_tune,
    draw_pairs,
    fine_tune,
)
from napari_iclsam.core.in_context.runner import InContextRunner
from napari_iclsam.core.inference import StageTimer
from napari_iclsam.core.networks import ModelFacts, Networks
from napari_iclsam.core.prediction import Progress
from napari_iclsam.core.recipe import Recipe, resolve
from napari_iclsam.models.build import build_icl
from napari_iclsam.models.starter_icl import StarterIcl
from napari_iclsam.models.two_scales import TwoScales

Scene = Callable[..., tuple[NDArray[np.uint8], NDArray[np.int64]]]

CPU = torch.device("cpu")
RECIPE = resolve(Settings())


@pytest.fixture(scope="module")
def starter(networks: Networks) -> Networks:
    """Put a small in-context model of the bundled kind beside the small SAM."""
    torch.manual_seed(0)
    icl = TwoScales(StarterIcl((8, 8), meeting=())).eval().requires_grad_(False)
    return replace(networks, icl=icl, icl_facts=ModelFacts("small_starter", fine_tunable=True))


@pytest.fixture(scope="module")
def runner(starter: Networks) -> InContextRunner:
    return runner_of(starter.icl)


def runner_of(network: Any, recipe: Recipe = RECIPE) -> InContextRunner:
    return InContextRunner(network, CPU, torch.float32, recipe)


def examples_of(scene: Scene, *seeds: int, labels: tuple[int, ...] = (1, 4)) -> Examples:
    scenes = [scene(seed=seed) for seed in seeds]
    masks = [np.where(np.isin(mask, labels), mask, 0) for _, mask in scenes]
    support = SupportSet.of([image for image, _ in scenes], masks)
    return Examples(support, tuple(as_rgb8(image) for image in support.images))


def fine_tuned(
    runner: InContextRunner, examples: Examples
) -> tuple[list[Progress], InContextRunner]:
    steps, seen = fine_tune(runner, examples, StageTimer()), []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as stop:
            return seen, stop.value


def state(runner: InContextRunner) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in runner.network.state_dict().items()}


def test_a_copy_is_fine_tuned_and_the_model_itself_stays_as_it_is(
    runner: InContextRunner, scene: Scene
) -> None:
    before = state(runner)
    seen, tuned = fine_tuned(runner, examples_of(scene, 0, 1, 2))
    after = state(runner)
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not all(torch.equal(value, before[name]) for name, value in state(tuned).items())
    assert all(torch.isfinite(value).all() for value in state(tuned).values())
    assert not any(weight.requires_grad for weight in tuned.network.parameters())
    assert replace(tuned, network=runner.network) == runner
    assert {p.stage for p in seen} == {"fine_tune"}
    assert seen[-1].message == "Fine-tuning on the examples: 20 of 20"


def test_a_stack_takes_fewer_and_larger_steps(runner: InContextRunner, scene: Scene) -> None:
    of_stack = replace(runner, recipe=replace(RECIPE, sparing=True))
    seen, _ = fine_tuned(of_stack, examples_of(scene, 0, 1))
    assert seen[-1].message == "Fine-tuning on the examples: 3 of 3"
    assert max(map(SPARING.rate, range(SPARING.steps))) > max(map(FULL.rate, range(FULL.steps)))


@pytest.mark.parametrize("schedule", [FULL, SPARING], ids=["full", "sparing"])
def test_the_rate_rises_to_its_peak_and_falls(schedule: Schedule) -> None:
    rates = [schedule.rate(step) for step in range(schedule.steps)]
    assert max(rates) == rates[schedule.warmup - 1] == schedule.peak
    assert 0 < rates[-1] <= schedule.peak / 2
    assert rates[: schedule.warmup] == sorted(rates[: schedule.warmup])
    assert rates[schedule.warmup :] == sorted(rates[schedule.warmup :], reverse=True)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_it_is_the_same_each_time_and_nobodys_random_state_changes(
    runner: InContextRunner,
    scene: Scene,
    context: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fine_tuning, "FULL", replace(fine_tuning.FULL, steps=5))
    examples = examples_of(scene, 0, 1)
    first = state(fine_tuned(runner, examples)[1])
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with context():
        second = state(fine_tuned(runner, examples)[1])
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    other_seed = replace(runner, recipe=replace(RECIPE, seed=1))
    other = state(fine_tuned(other_seed, examples)[1])
    assert not all(torch.equal(value, other[name]) for name, value in first.items())


def test_the_optimiser_is_that_of_torch() -> None:
    code = """
import torch
from napari_iclsam.core.adam import Adam
torch.manual_seed(0)
ours, theirs = torch.nn.Linear(5, 3), torch.nn.Linear(5, 3)
theirs.load_state_dict(ours.state_dict())
one, other = Adam(list(ours.parameters())), torch.optim.Adam(theirs.parameters())
for step in range(5):
    inputs = torch.randn(4, 5)
    for layer in (ours, theirs):
        layer.zero_grad()
        layer(inputs).square().mean().backward()
    other.param_groups[0]["lr"] = 0.01 * (step + 1)
    before = ours.weight.clone()
    one.step(0.01 * (step + 1))
    other.step()
    assert not torch.allclose(ours.weight, before)
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-6)
    assert torch.allclose(ours.bias, theirs.bias, atol=1e-6)
print("the same")
"""
    # in its own process: torch's loads the compiler, which has ended processes with a window
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "the same", done.stderr


def test_it_does_not_load_the_compiler_of_torch() -> None:
    code = """
import sys, numpy as np
from napari_iclsam import ICLSAM, Settings
from napari_iclsam.core.in_context import fine_tuning
fine_tuning.FULL = fine_tuning.Schedule(steps=5, peak=5e-4, warmup=4)
images = np.random.default_rng(0).integers(0, 255, (2, 64, 64), np.uint8)
labels = np.zeros((2, 64, 64), np.int32)
labels[:, 20:40, 20:40] = 1
segmenter = ICLSAM("starter_sam", settings=Settings(cross_validate=False))
task = segmenter.fit(list(images), list(labels))
assert task.context.runners.in_context.network is not segmenter.networks.icl
print(sorted({"torch._dynamo", "triton"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_it_can_be_given_up_after_each_step(runner: InContextRunner, scene: Scene) -> None:
    before = state(runner)
    for count in (1, 3):
        steps = fine_tune(runner, examples_of(scene, 0, 1), StageTimer())
        for _ in range(count):
            next(steps)
        steps.close()
    assert all(torch.equal(value, before[name]) for name, value in state(runner).items())


@pytest.mark.parametrize(
    ("seeds", "settings", "wanted"),
    [
        ((0, 1), {}, True),
        ((0,), {}, False),
        ((0, 1), {"fine_tune": False}, False),
        ((0, 1), {"mode": "paper"}, False),
    ],
    ids=["two examples", "one example", "turned off", "paper mode"],
)
def test_it_takes_two_examples_auto_mode_and_a_model_that_gains_by_it(
    starter: Networks,
    networks: Networks,
    scene: Scene,
    seeds: tuple[int, ...],
    settings: dict[str, Any],
    wanted: bool,
) -> None:
    support = examples_of(scene, *seeds).support

    def is_fine_tuned(networks: Networks) -> bool:
        chosen = Settings(cross_validate=False, **settings)
        segmenter = ICLSAM(networks=networks, settings=chosen, cache=EmbeddingCache())
        steps = segmenter.fit_steps(support)
        following = next(step.stage for step in steps if step.stage in {"fine_tune", "fit"})
        steps.close()
        return following == "fine_tune"

    assert is_fine_tuned(starter) is wanted
    assert not is_fine_tuned(networks), "no other in-context model"


@pytest.mark.parametrize(
    ("seeds", "wanted"), [((0, 1), True), ((0,), False)], ids=["two examples", "one example"]
)
def test_one_example_of_something_thick_makes_no_episodes(
    scene: Scene, seeds: tuple[int, ...], wanted: bool
) -> None:
    assert can_fine_tune(examples_of(scene, *seeds)) is wanted


def test_labels_of_one_example_each_make_no_episodes(scene: Scene) -> None:
    (image, labels), (other, second) = scene(seed=0), scene(seed=1)
    support = SupportSet.of(
        [image, other], [np.where(labels == 1, 1, 0), np.where(second == 4, 4, 0)]
    )
    examples = Examples(support, tuple(as_rgb8(i) for i in support.images))
    assert not can_fine_tune(examples)


@pytest.mark.parametrize("side", [64, 128, 512])
@pytest.mark.parametrize("coarse_to_fine", [True, False])
def test_crops_lie_in_the_images_and_mostly_on_the_label(side: int, coarse_to_fine: bool) -> None:
    rng = np.random.default_rng(0)
    masks = [np.zeros((300, 200), bool), np.zeros((90, 120), bool)]
    masks[0][200:230, 20:50] = True
    masks[1][10:25, 70:90] = True
    recipe = replace(RECIPE, coarse_to_fine=coarse_to_fine)
    sampler = EpisodeSampler(runner_of(TwoScales(), recipe), (), (masks,), side)
    hits, parts = 0, 0
    for _ in range(200):
        for mask, crop in zip(masks, sampler.draw_crops(rng, masks), strict=True):
            for span, pixels in zip(crop, mask.shape, strict=True):
                assert 0 <= span.start < span.stop <= pixels
            hits += mask[crop].any()
            parts += mask[crop].size < mask.size
    assert hits > 320
    assert (parts > 0) == (coarse_to_fine or side > 128)


@pytest.mark.parametrize(("width", "wanted"), [(2, True), (9, False)], ids=["thin", "thick"])
def test_one_example_of_something_thin_makes_episodes(
    runner: InContextRunner, width: int, wanted: bool
) -> None:
    mask = np.zeros((96, 96), np.int64)
    for row in range(5, 90, 20):
        mask[row : row + width] = 1
    image = (50 + 100 * mask + np.random.default_rng(0).normal(0, 10, mask.shape)).astype(np.uint8)
    support = SupportSet.of([image], [mask])
    examples = Examples(support, (as_rgb8(image),))
    assert can_fine_tune(examples) is wanted
    if wanted:
        before, (_, tuned) = state(runner), fine_tuned(runner, examples)
        assert not all(torch.equal(value, before[name]) for name, value in state(tuned).items())


def test_a_single_example_is_query_and_support() -> None:
    assert draw_pairs(np.random.default_rng(0), [np.ones((4, 4), bool)]) == [0, 0]


def test_a_thin_label_of_one_example_makes_episodes_of_the_size_of_all_others(
    runner: InContextRunner,
) -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((3, 96, 96), np.int64)
    labels[:, 20:60, 20:60] = 1
    labels[0, 70:72, 10:90] = 2
    images = [as_rgb8(60 * of_image + rng.normal(50, 5, of_image.shape)) for of_image in labels]
    support = SupportSet.of(images, list(labels))
    assert len({len(draw_pairs(rng, support_masks)) for support_masks in _by_label(support)}) == 1
    fine_tuned(runner, Examples(support, tuple(images)))


def _by_label(support: SupportSet) -> list[list[NDArray[np.bool_]]]:
    pairs = range(len(support.images))
    return [[support.mask(pair, label) for pair in pairs] for label in support.ids]


def test_query_and_support_are_different_examples() -> None:
    rng, masks = np.random.default_rng(0), [np.ones((4, 4), bool)] * 12
    drawn = [draw_pairs(rng, masks) for _ in range(50)]
    assert all(len(pairs) == len(set(pairs)) == 7 for pairs in drawn)
    assert {pairs[0] for pairs in drawn} == set(range(12))


def test_examples_without_the_label_are_queries_too_and_some_support_holds_it() -> None:
    rng, holders = np.random.default_rng(0), {3, 8}
    masks = [np.full((4, 4), n in holders) for n in range(12)]
    drawn = [draw_pairs(rng, masks) for _ in range(200)]
    for query, *others in drawn:
        assert len(others) == len(set(others)) == 6
        assert query not in others
        assert holders & set(others)
    assert 0.3 < np.mean([pairs[0] not in holders for pairs in drawn]) < 0.5


def test_image_and_mask_are_transformed_alike() -> None:
    rng = np.random.default_rng(0)
    shape = torch.zeros(8, 1, 64, 64)
    shape[:, :, 20:44, 16:40] = 1
    pictures = shape.expand(-1, 3, -1, -1)
    images, masks = draw_transform(rng, pictures).apply(pictures, shape)
    assert images.amin() == 0
    assert images.amax() == 1
    assert set(masks.unique().tolist()) == {0, 1}
    for image, mask in zip(images, masks, strict=True):
        assert dice((image[0] > 0.5).numpy(), mask[0].numpy() > 0) > 0.95
        assert 0.3 < dice(mask[0].numpy() > 0, shape[0, 0].numpy() > 0) < 0.999


def discs(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw three bright discs in noise; the largest is the label."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((96, 96))
    places = rng.permutation([(26, 26), (26, 70), (70, 26), (70, 70)])[:3] + rng.integers(
        -6, 7, (3, 2)
    )
    inside = [
        np.hypot(y - r, x - c) < size for (r, c), size in zip(places, (13, 11, 11), strict=True)
    ]
    image = (
        (60 + 110 * np.any(inside, axis=0) + rng.normal(0, 20, y.shape))
        .clip(0, 255)
        .astype(np.uint8)
    )
    return image, inside[0].astype(np.int64)


def test_the_bundled_model_tells_apart_in_new_images_what_it_confused_before() -> None:
    runner = runner_of(build_icl("starter").module)
    scenes = [discs(seed) for seed in range(8)]
    support = SupportSet.of([image for image, _ in scenes[:4]], [mask for _, mask in scenes[:4]])
    examples = Examples(support, tuple(as_rgb8(image) for image in support.images))
    _, tuned = fine_tuned(runner, examples)

    def mean_dice(one: InContextRunner) -> float:
        scores = []
        for image, mask in scenes[4:]:
            with torch.inference_mode():
                _, probability = preview(one, examples, as_rgb8(image))
            small = (
                torch.nn.functional.interpolate(probability, mask.shape, mode="bilinear")[0, 0]
                > 0.5
            )
            scores.append(dice(small.numpy(), mask > 0))
        return float(np.mean(scores))

    before, after = mean_dice(runner), mean_dice(tuned)
    assert after > before


def test_a_task_is_cross_validated_with_the_model_as_it_comes_and_runs_the_copy(
    starter: Networks, scene: Scene
) -> None:
    (query, _), cache = scene(seed=7), EmbeddingCache(None)
    tasks = {}
    for tuned in (True, False):
        segmenter = ICLSAM(networks=starter, settings=Settings(fine_tune=tuned), cache=cache)
        scenes = [scene(seed=seed) for seed in range(3)]
        tasks[tuned] = segmenter.fit([s[0] for s in scenes], [s[1] for s in scenes])
    assert tasks[True].weights == tasks[False].weights
    assert tasks[True].cross_validated == tasks[False].cross_validated
    assert tasks[True].context.runners.in_context.network is not starter.icl
    assert tasks[False].context.runners.in_context.network is starter.icl
    with_, without = (tasks[tuned].predict(query) for tuned in (True, False))
    assert not np.array_equal(with_.probabilities[1], without.probabilities[1])
    assert with_.provenance.settings["fine_tune"] is True
