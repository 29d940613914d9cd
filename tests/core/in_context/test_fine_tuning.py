"""Getting used to the examples: what it changes, what it leaves alone, and when it is done."""

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
from napari_iclsam.core import adaptation
from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.images.intensity import as_rgb8
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.in_context.coarse_to_fine import Examples
from napari_iclsam.core.in_context.fine_tuning import adapt_steps, can_adapt
from napari_iclsam.core.inference import StageTimer
from napari_iclsam.core.networks import Networks
from napari_iclsam.core.prediction import Progress
from napari_iclsam.models.build import build_icl
from napari_iclsam.models.starter_icl import StarterIcl, TwoScales

Scene = Callable[..., tuple[NDArray[np.uint8], NDArray[np.int64]]]

SETTINGS = Settings(cross_validate=False)


@pytest.fixture(scope="module")
def starter(networks: Networks) -> Networks:
    """Put a small in-context model of the bundled kind beside the small SAM."""
    torch.manual_seed(0)
    icl = TwoScales(StarterIcl((8, 8), meeting=())).eval().requires_grad_(False)
    return replace(networks, icl=icl)


def examples_of(scene: Scene, *seeds: int, labels: tuple[int, ...] = (1, 4)) -> Examples:
    scenes = [scene(seed=seed) for seed in seeds]
    masks = [np.where(np.isin(mask, labels), mask, 0) for _, mask in scenes]
    support = SupportSet.of([image for image, _ in scenes], masks)
    return Examples(support, tuple(as_rgb8(image) for image in support.images), ())


def adapted(
    networks: Networks, examples: Examples, settings: Settings = SETTINGS
) -> tuple[list[Progress], Networks]:
    steps, seen = adapt_steps(networks, examples, settings, StageTimer()), []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as stop:
            return seen, stop.value


def state(networks: Networks) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in networks.icl.state_dict().items()}


def test_the_copy_has_learnt_and_the_model_itself_stays_as_it_is(
    starter: Networks, scene: Scene
) -> None:
    before = state(starter)
    seen, used = adapted(starter, examples_of(scene, 0, 1, 2))
    after = state(starter)
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not all(torch.equal(value, before[name]) for name, value in state(used).items())
    assert all(torch.isfinite(value).all() for value in state(used).values())
    assert not any(weight.requires_grad for weight in used.icl.parameters())
    assert replace(used, icl=starter.icl) == starter
    assert {p.stage for p in seen} == {"fine_tune"}
    assert seen[-1].message == "Getting used to the examples: 20 of 20"


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_it_is_the_same_each_time_and_nobodys_random_state_changes(
    starter: Networks, scene: Scene, context: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adaptation, "_STEPS", 5)
    examples = examples_of(scene, 0, 1)
    first = state(adapted(starter, examples)[1])
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with context():
        second = state(adapted(starter, examples)[1])
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    other = state(adapted(starter, examples, replace(SETTINGS, seed=1))[1])
    assert not all(torch.equal(value, other[name]) for name, value in first.items())


def test_the_optimiser_is_that_of_torch() -> None:
    code = """
import torch
from napari_iclsam.core.in_context.fine_tuning import _Adam
torch.manual_seed(0)
ours, theirs = torch.nn.Linear(5, 3), torch.nn.Linear(5, 3)
theirs.load_state_dict(ours.state_dict())
one, other = _Adam(list(ours.parameters())), torch.optim.Adam(theirs.parameters())
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
"""  # in a process of its own: torch's loads the compiler, which beside a window's renderer has ended the process
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "the same", done.stderr


def test_it_does_not_load_the_compiler_of_torch() -> None:
    code = """
import sys, numpy as np
from napari_iclsam import ICLSAM, Settings
from napari_iclsam.core import adaptation
adaptation._STEPS = 5
images = np.random.default_rng(0).integers(0, 255, (2, 64, 64), np.uint8)
labels = np.zeros((2, 64, 64), np.int32)
labels[:, 20:40, 20:40] = 1
task = ICLSAM(settings=Settings(cross_validate=False)).fit(list(images), list(labels))
assert task.networks is not task.segmenter.networks
print(sorted({"torch._dynamo", "triton"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_it_can_be_given_up_after_each_step(starter: Networks, scene: Scene) -> None:
    before = state(starter)
    for count in (1, 3):
        steps = adapt_steps(starter, examples_of(scene, 0, 1), SETTINGS, StageTimer())
        for _ in range(count):
            next(steps)
        steps.close()
    assert all(torch.equal(value, before[name]) for name, value in state(starter).items())


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
def test_it_takes_two_examples_and_auto_mode(
    starter: Networks,
    networks: Networks,
    scene: Scene,
    seeds: tuple[int, ...],
    settings: dict[str, Any],
    wanted: bool,
) -> None:
    examples = examples_of(scene, *seeds)
    assert can_adapt(starter, examples, Settings(**settings)) is wanted
    assert not can_adapt(networks, examples, Settings(**settings)), "no other in-context model"


def test_a_label_of_one_example_is_not_asked_for(starter: Networks, scene: Scene) -> None:
    (image, labels), (other, second) = scene(seed=0), scene(seed=1)
    support = SupportSet.of(
        [image, other], [np.where(labels == 1, 1, 0), np.where(second == 4, 4, 0)]
    )
    examples = Examples(support, tuple(as_rgb8(i) for i in support.images), ())
    assert not can_adapt(starter, examples, SETTINGS)


@pytest.mark.parametrize("side", [64, 128, 512])
@pytest.mark.parametrize("closer", [True, False])
def test_windows_lie_in_the_images_and_mostly_on_the_label(side: int, closer: bool) -> None:
    rng, settings = np.random.default_rng(0), Settings(coarse_to_fine=closer)
    masks = [np.zeros((300, 200), bool), np.zeros((90, 120), bool)]
    masks[0][200:230, 20:50] = True
    masks[1][10:25, 70:90] = True
    hits, parts = 0, 0
    for _ in range(200):
        for mask, window in zip(
            masks, adaptation._draw_windows(rng, masks, side, settings), strict=True
        ):
            for extent, size in zip(window, mask.shape, strict=True):
                assert 0 <= extent.start < extent.stop <= size
            hits += mask[window].any()
            parts += mask[window].size < mask.size
    assert hits > 320
    assert (parts > 0) == (closer or side > 128)


@pytest.mark.parametrize(("width", "wanted"), [(2, True), (9, False)], ids=["thin", "thick"])
def test_one_example_teaches_what_is_thin(starter: Networks, width: int, wanted: bool) -> None:
    mask = np.zeros((96, 96), np.int64)
    for row in range(5, 90, 20):
        mask[row : row + width] = 1
    image = (50 + 100 * mask + np.random.default_rng(0).normal(0, 10, mask.shape)).astype(np.uint8)
    support = SupportSet.of([image], [mask])
    examples = Examples(support, (as_rgb8(image),), ())
    assert can_adapt(starter, examples, SETTINGS) is wanted
    if wanted:
        before, (_, used) = state(starter), adapted(starter, examples)
        assert not all(torch.equal(value, before[name]) for name, value in state(used).items())


def test_an_example_that_no_other_can_ask_for_asks_for_itself() -> None:
    assert adaptation._draw_pairs(np.random.default_rng(0), [np.ones((4, 4), bool)]) == [0, 0]


def test_who_is_asked_and_one_of_the_others_hold_the_label() -> None:
    rng, masks = np.random.default_rng(0), [np.ones((4, 4), bool)] * 12
    drawn = [adaptation._draw_pairs(rng, masks) for _ in range(50)]
    assert all(len(pairs) == len(set(pairs)) == 7 for pairs in drawn)
    assert {pairs[0] for pairs in drawn} == set(range(12))


def test_examples_without_the_label_are_asked_too_and_one_of_the_others_holds_it() -> None:
    rng, holders = np.random.default_rng(0), {3, 8}
    masks = [np.full((4, 4), n in holders) for n in range(12)]
    drawn = [adaptation._draw_pairs(rng, masks) for _ in range(200)]
    for asked, *others in drawn:
        assert len(others) == len(set(others)) == 6
        assert asked not in others
        assert holders & set(others)
    assert 0.3 < np.mean([pairs[0] not in holders for pairs in drawn]) < 0.5


def test_changes_are_of_image_and_mask_alike() -> None:
    rng = np.random.default_rng(0)
    shape = torch.zeros(8, 1, 64, 64)
    shape[:, :, 20:44, 16:40] = 1
    images, masks = adaptation._change(rng, shape.expand(-1, 3, -1, -1), shape)
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


def test_the_bundled_model_finds_on_new_images_what_it_confused_before() -> None:
    built = build_icl("starter")
    networks = Networks(torch.nn.Identity(), built.module, hashes={"sam": "none"})
    scenes = [discs(seed) for seed in range(8)]
    support = SupportSet.of([image for image, _ in scenes[:4]], [mask for _, mask in scenes[:4]])
    examples = Examples(support, tuple(as_rgb8(image) for image in support.images), ())
    _, used = adapted(networks, examples)

    def found(one: Networks) -> float:
        from napari_iclsam.core.in_context.coarse_to_fine import glance

        scores = []
        for image, mask in scenes[4:]:
            with torch.inference_mode():
                _, probability = glance(one, examples, as_rgb8(image), SETTINGS)
            small = (
                torch.nn.functional.interpolate(probability, mask.shape, mode="bilinear")[0, 0]
                > 0.5
            )
            scores.append(dice(small.numpy(), mask > 0))
        return float(np.mean(scores))

    before, after = found(networks), found(used)
    assert after > before


def test_a_task_is_checked_with_the_model_as_it_comes_and_used_with_the_copy(
    starter: Networks, scene: Scene
) -> None:
    (query, _), cache = scene(seed=7), EmbeddingCache(None)
    tasks = {}
    for adapt in (True, False):
        segmenter = ICLSAM(networks=starter, settings=Settings(fine_tune=adapt), cache=cache)
        scenes = [scene(seed=seed) for seed in range(3)]
        tasks[adapt] = segmenter.fit([s[0] for s in scenes], [s[1] for s in scenes])
    assert tasks[True].weights == tasks[False].weights
    assert tasks[True].expected == tasks[False].expected
    assert tasks[True].networks.icl is not starter.icl
    assert tasks[False].networks.icl is starter.icl
    with_, without = (tasks[adapt].predict(query) for adapt in (True, False))
    assert not np.array_equal(with_.probabilities[1], without.probabilities[1])
    assert with_.provenance.settings["fine_tune"] is True
