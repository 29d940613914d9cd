"""The in-context recipe.

Sets are read whole, augmentation keeps pairs together, training resumes where it stopped.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_iclsam.core.in_context.augmentation import draw_object_crops
from napari_iclsam.models.build import build_icl
from napari_iclsam.models.loss import segmentation_loss
from napari_iclsam.models.two_scales import TwoScales
from training.augment import Pairs, augment, crop, own_range
from training.config import IclConfig, Stage
from training.data import DataSet, load_set, load_sets
from training.episodes import Episodes, as_source, real_task, split, synthetic_task
from training.optimisation import dice, similarity_loss
from training.parts import Parts
from training.train_icl import State, export, fresh_state, load_weights, rate, train, train_step
from training.train_merge import train_merge


def write_set(folder: Path, *, subjects: int = 4, grey: bool = False) -> None:
    rng = np.random.default_rng(0)
    samples = []
    for name in ("images", "masks", "instances"):
        (folder / name).mkdir(parents=True)
    for index in range(subjects * 2):
        mask = np.zeros((40, 48), np.uint8)
        top, left = rng.integers(4, 20, 2)
        mask[top : top + 14, left : left + 14] = 1
        mask[top + 4 : top + 9, left + 4 : left + 9] = 2
        image = (mask[..., None] * 90 + rng.integers(0, 40, (40, 48, 3))).astype(np.uint8)
        iio.imwrite(folder / f"images/{index}.png", image[..., 0] if grey else image)
        iio.imwrite(folder / f"masks/{index}.png", mask)
        iio.imwrite(folder / f"instances/{index}.png", (mask > 0).astype(np.uint16) * 300)
        samples.append(
            {
                "image": f"images/{index}.png",
                "mask": f"masks/{index}.png",
                "instances": f"instances/{index}.png",
                "subject": f"subject {index // 2}",
            }
        )
    meta = {"name": folder.name, "labels": {"1": "body", "2": "core"}, "samples": samples}
    (folder / "meta.json").write_text(json.dumps(meta))


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    write_set(tmp_path / "toy")
    return load_set(tmp_path / "toy")


@pytest.fixture
def config(tmp_path: Path) -> IclConfig:
    write_set(tmp_path / "data" / "toy")
    return IclConfig(
        tmp_path / "data",
        tmp_path / "run",
        stages=(Stage(3, 6, ((32, 1.0),)), Stage(1, 6, ((64, 1.0),))),
        supports=(1, 2),
        support_weights=(0.5, 0.5),
        pool_start=2,
        pool_tasks=3,
        pools=((32, 4, 1.0), (64, 4, 0.5)),
        warmup=1,
        validate_every=4,
        checkpoint_every=2,
    )


def test_a_set_is_read_with_labels_instances_and_subjects(data: DataSet) -> None:
    assert data.name == "toy"
    assert data.labels == {1: "body", 2: "core"}
    assert len(data.samples) == 8
    assert data.samples[0].image.shape == (40, 48, 3)
    assert data.samples[0].instances is not None
    assert data.samples[0].instances.max() == 300
    assert [sample.subject for sample in data.samples[:3]] == [
        "subject 0",
        "subject 0",
        "subject 1",
    ]


def test_a_grey_image_has_its_channel_three_times(tmp_path: Path) -> None:
    write_set(tmp_path / "grey", grey=True)
    image = load_sets(tmp_path)[0].samples[0].image
    assert image.shape == (40, 48, 3)
    assert np.array_equal(image[..., 0], image[..., 2])


def test_a_folder_without_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"meta\.json"):
        load_set(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"meta\.json"):
        load_sets(tmp_path)


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path / "toy")
    iio.imwrite(tmp_path / "toy/masks/0.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(ValueError, match="mask is"):
        load_set(tmp_path / "toy")


def test_a_split_keeps_every_subject_on_one_side(tmp_path: Path) -> None:
    write_set(tmp_path / "large", subjects=10)
    train_part, held = split(load_set(tmp_path / "large"), 0.2, seed=0)
    assert len(held) == 4
    assert not {sample.subject for sample in train_part} & {sample.subject for sample in held}


def test_the_query_of_a_real_task_is_of_another_subject(data: DataSet) -> None:
    samples = [
        dataclasses.replace(s, image=np.full_like(s.image, int(s.subject[-1]) * 60))
        for s in data.samples
    ]
    source = as_source("toy", samples)
    for seed in range(20):
        pairs = real_task(np.random.default_rng(seed), source, 16, 3)
        shades = pairs.images.mean(axis=(1, 2, 3))
        assert np.abs(shades[1:] - shades[0]).min() > 0.1


def test_a_window_keeps_image_and_mask_together() -> None:
    mask = np.zeros((60, 80), bool)
    mask[20:40, 30:60] = True
    image = np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)
    for extent in (None, 0.5, 1.0):
        pairs = crop(np.random.default_rng(1), image, mask, 32, extent, smooth=True)
        assert pairs.images.shape == (1, 3, 32, 32)
        assert np.mean((pairs.images[0, 0] > 0.5) == (pairs.masks[0, 0] > 0.5)) > 0.95


def test_windows_of_a_closer_look_hold_the_object_at_one_scale_in_all_images() -> None:
    masks = [np.zeros((80, 120), bool) for _ in range(4)]
    for n, mask in enumerate(masks):
        mask[10 + 10 * n : 26 + 10 * n, 30 + 15 * n : 54 + 15 * n] = (
            True  # a fifth of the image in each direction
        )
    for seed in range(20):
        windows = draw_object_crops(np.random.default_rng(seed), masks)
        assert windows is not None
        shares = [mask[window].mean() for window, mask in zip(windows, masks, strict=True)][1:]
        assert all(
            mask[window].sum() == mask.sum()
            for window, mask in zip(windows[1:], masks[1:], strict=True)
        )
        assert 1 / 2.6**2 < min(shares) < 1.1 * max(shares) < 1.3 / 1.15**2
        assert masks[0][windows[0]].any()
    assert draw_object_crops(np.random.default_rng(0), [np.ones((80, 120), bool)] * 4) is None
    assert draw_object_crops(np.random.default_rng(0), [*masks, np.zeros((80, 120), bool)]) is None


def test_augmentation_keeps_masks_binary_images_in_range_and_grey_images_grey() -> None:
    rng = np.random.default_rng(0)
    for seed in range(30):
        images = np.repeat(rng.random((3, 1, 24, 24), dtype=np.float32), 3, axis=1)
        masks = np.zeros((3, 1, 24, 24), np.float32)
        masks[:, :, 8:16, 6:14] = 1
        out = augment(np.random.default_rng(seed), Pairs(images, masks))
        assert set(np.unique(out.masks)) <= {0.0, 1.0}
        assert out.images.dtype == np.float32
        assert out.images.min(axis=(1, 2, 3)) == pytest.approx(0)
        assert out.images.max(axis=(1, 2, 3)) == pytest.approx(1)


def test_augmentation_moves_image_and_mask_alike() -> None:
    agreement = []
    for seed in range(40):
        masks = np.zeros((2, 1, 32, 32), np.float32)
        masks[:, :, 6:18, 8:26] = 1
        out = augment(np.random.default_rng(seed), Pairs(np.repeat(masks, 3, axis=1), masks))
        same = np.mean((out.images.mean(axis=1) > 0.5) == (out.masks[:, 0] > 0.5))
        agreement.append(max(same, 1 - same))  # either may be inverted
    assert np.median(agreement) > 0.93  # outlines and edges as targets are the few that differ


def test_a_constant_image_is_zeros() -> None:
    assert not own_range(np.full((1, 3, 4, 4), 0.7, np.float32)).any()


def test_a_batch_depends_on_its_step_alone(config: IclConfig) -> None:
    source = as_source("toy", load_sets(config.data)[0].samples)
    first, second = Episodes(config, [source]), Episodes(config, [source])
    second[0]
    assert torch.equal(first[2].images, second[2].images)
    assert first[2].query.shape[-1] == 32
    assert first[3].query.shape[-1] == 64
    assert len(first) == 4


def test_a_synthetic_task_repeats_supports_only_when_it_must() -> None:
    task = np.zeros((3, 16, 16, 4), np.uint8)
    task[:, 4:8, 4:8, 3] = 1
    pairs = synthetic_task(np.random.default_rng(0), task, 16, 6)
    assert pairs.images.shape == (6, 3, 16, 16)


def test_the_loss_is_small_for_the_truth_and_dice_counts_pixels() -> None:
    target = torch.zeros(2, 1, 8, 8)
    target[0, :, :4] = 1
    assert float(segmentation_loss((target - 0.5) * 40, target)) < 1e-3
    assert float(segmentation_loss((0.5 - target) * 40, target)) > 1.4
    half = torch.full((2, 1, 8, 8), -1.0)
    half[0, :, :2] = 1
    assert dice(half, target).tolist() == pytest.approx([2 * 16 / 48, 1.0])


def test_the_loss_of_a_similarity_counts_both_sides_alike() -> None:
    target = torch.zeros(1, 1, 8, 8)
    target[..., :2, :2] = 1
    right = F.avg_pool2d(target, 2) * 6 - 3
    assert float(similarity_loss(right, target)) < 0.01
    assert float(similarity_loss(torch.full_like(right, -3), target)) == pytest.approx(
        float(similarity_loss(torch.full_like(right, 3), target)), rel=1e-4
    )


def test_the_rate_rises_stays_and_falls(config: IclConfig) -> None:
    long = dataclasses.replace(config, stages=(Stage(1000, 6),), warmup=10, decay_share=0.5)
    rates = [rate(long, step, step / 1000) / long.learning_rate for step in (0, 10, 499, 750, 999)]
    assert rates == pytest.approx([0.1, 1, 1, 0.5, 0.002])


def test_a_step_changes_the_weights_and_their_average_follows(config: IclConfig) -> None:
    state = fresh_state(config, torch.device("cpu"))
    before = {name: value.clone() for name, value in state.network.state_dict().items()}
    logged = train_step(
        state, Episodes(config, [as_source("toy", load_sets(config.data)[0].samples)])[0], config
    )
    moved = [
        name
        for name, value in state.network.state_dict().items()
        if not torch.equal(value, before[name])
    ]
    assert {"core.enc_blocks.0.cross.cross_conv.weight", "stem.levels.0.0.weight"} <= set(moved)
    assert torch.isfinite(logged).all()
    assert state.step == 1
    assert not torch.equal(
        state.average["core.out_conv.conv.weight"], before["core.out_conv.conv.weight"]
    )


def test_a_step_with_an_absurd_loss_is_skipped(config: IclConfig) -> None:
    strict = dataclasses.replace(config, skip_loss=0.01)
    state = fresh_state(strict, torch.device("cpu"))
    before = {name: value.clone() for name, value in state.network.state_dict().items()}
    train_step(
        state, Episodes(strict, [as_source("toy", load_sets(strict.data)[0].samples)])[0], strict
    )
    assert all(
        torch.equal(value, before[name]) for name, value in state.network.state_dict().items()
    )


def test_resumed_training_equals_uninterrupted_training(config: IclConfig) -> None:
    whole: State = train(config, workers=0)
    parted_config = dataclasses.replace(config, run=config.run.with_name("parted"))
    train(parted_config, workers=0, until=2)
    parted = train(parted_config, workers=0)
    assert parted.step == whole.step == 4
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, parted.network.state_dict()[name]), name
        assert torch.equal(whole.average[name], parted.average[name]), name


def test_a_training_by_the_clock_ends_when_its_time_is_over(config: IclConfig) -> None:
    state = train(dataclasses.replace(config, minutes=1e-3), workers=0)
    assert state.step > 0
    assert state.seconds > 0.06
    assert train(dataclasses.replace(config, minutes=1e-3), workers=0).step == state.step
    assert (
        train(dataclasses.replace(config, minutes=2e3), workers=0, until=state.step + 1).step
        == state.step + 1
    )


def test_a_part_of_an_image_is_asked_for_in_changed_copies_of_it(
    tmp_path: Path, data: DataSet
) -> None:
    parts, found = Parts(tmp_path / "parts"), []
    for seed in range(10):
        pairs = parts.task(np.random.default_rng(seed), "toy", data.samples[0], 32, 3)
        assert pairs.images.shape == (3, 3, 32, 32)
        assert pairs.masks.shape == (3, 1, 32, 32)
        assert set(np.unique(pairs.masks)) <= {0.0, 1.0}
        inside, outside = (
            pairs.images[0].mean(axis=0)[pairs.masks[0, 0] == value] for value in (1, 0)
        )
        if min(len(inside), len(outside)) > 40:
            found.append(abs(inside.mean() - outside.mean()) / (inside.std() + outside.std()))
        assert not np.array_equal(pairs.images[0], pairs.images[1])
    assert np.median(found) > 0.3  # parts look unlike the rest
    names = {file.name for file in (tmp_path / "parts").iterdir()}
    assert len(names) > 1
    assert names <= {"toy_0_100.npy", "toy_0_300.npy", "toy_0_900.npy"}


def test_exported_weights_load_into_the_network_and_say_what_they_are(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, path = TwoScales(), tmp_path / "weights.safetensors"
    export(module, path)
    built = build_icl(str(path))
    assert built.weights.architecture == "starter_icl"
    for network in (built.module, load_weights(path)):
        for name, value in network.state_dict().items():
            assert torch.allclose(value, module.state_dict()[name], atol=1e-3), name
    assert path.stat().st_size < 8e6


def test_a_training_begins_with_given_weights(tmp_path: Path, config: IclConfig) -> None:
    torch.manual_seed(7)
    module, path = TwoScales(), tmp_path / "weights.safetensors"
    export(module, path)
    state = fresh_state(config, torch.device("cpu"), path)
    for name, value in module.network.state_dict().items():
        assert torch.allclose(state.network.state_dict()[name], value, atol=1e-3), name
        assert torch.allclose(state.average[name], value, atol=1e-3), name


def test_the_merge_learns_and_the_network_stays(config: IclConfig) -> None:
    torch.manual_seed(0)
    module = TwoScales()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    small = dataclasses.replace(config, merge_steps=2, merge_sizes=(64, 128))
    train_merge(small, module, workers=0)
    for name, value in module.network.state_dict().items():
        assert torch.equal(value, before[f"network.{name}"]), name
    assert module.merge.decide.weight.abs().max() > 0
    lines = (config.run / "merge.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "2"]
