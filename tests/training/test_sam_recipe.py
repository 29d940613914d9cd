"""The recipe of starter-sam on small images made here.

Prompts, pairs of views, losses, a run and its resumption.
"""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_iclsam.models.starter_sam import StarterSam
from napari_iclsam.weights.folders import bundled_folder
from training import evaluate_sam
from training.data import DataSet, Sample, load_sets
from training.plot_sam import draw_curves, read_log
from training.sam_batches import Phase, by_look, draw_batch, warp
from training.sam_config import SamConfig
from training.sam_losses import area_under_curve, guidance, mask_loss, probe_loss, similarity_loss
from training.sam_masks import InContextMasks
from training.sam_prompts import (
    coarse_mask,
    draw_box,
    draw_prompt,
    draw_target,
    jitter_box,
    tight_box,
)
from training.train_sam import (
    Run,
    chances_of,
    export,
    held_out,
    learning_rate,
    new_state,
    synthetic_set,
    train,
)


def disc(size: int, x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return (columns - x) ** 2 + (rows - y) ** 2 < radius**2


def sample(seed: int, *, instances: bool = False) -> Sample:
    """Return a bright disc (1) and a dark one (2) on noise, at places that depend on the seed."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((60, 60), np.uint8)
    labels[disc(60, *rng.uniform(14, 24, 2), 9)] = 1
    labels[disc(60, *rng.uniform(38, 46, 2), 10)] = 2
    grey = np.array([120, 220, 30])[labels] + rng.normal(0, 8, labels.shape)
    image = np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    return Sample(
        image, labels, labels.astype(np.uint16) if instances else None, f"subject {seed}", ""
    )


@pytest.fixture
def data() -> DataSet:
    return DataSet("axon_sem", {1: "bright", 2: "dark"}, [sample(seed) for seed in range(10)])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


class TestPrompts:
    def test_a_tight_box_ends_at_the_far_edge_of_the_last_pixel(self) -> None:
        mask = np.zeros((10, 12), bool)
        mask[2:5, 3:9] = True
        np.testing.assert_array_equal(tight_box(mask), [3, 2, 9, 5])

    def test_a_jittered_box_moves_no_side_further_than_told_and_stays_inside(
        self, rng: np.random.Generator
    ) -> None:
        box = np.array([2, 10, 42, 30], np.float32)
        moved = np.stack([jitter_box(rng, box, 0.1, (50, 50)) for _ in range(200)])
        assert (np.abs(moved - box) <= np.array([4, 2, 4, 2]) + 1e-5).all()
        assert moved.min() >= 0
        assert np.abs(moved - box).max() > 3

    def test_a_box_without_a_mask_is_seldom_off_by_more_than_a_tenth(
        self, rng: np.random.Generator
    ) -> None:
        mask = disc(100, 50, 50, 20)
        tight, extent = tight_box(mask), 40
        off = {
            careful: [
                np.abs(draw_box(rng, mask, careful=careful) - tight).max() / extent
                for _ in range(300)
            ]
            for careful in (True, False)
        }
        assert np.mean(np.array(off[True]) > 0.11) < 0.1 < np.mean(np.array(off[False]) > 0.11)
        assert np.median(off[True]) < np.median(off[False])

    def test_a_component_is_the_target_where_no_instances_are_known(
        self, rng: np.random.Generator
    ) -> None:
        labels = np.zeros((40, 40), np.int64)
        labels[2:12, 2:12] = labels[20:35, 20:35] = 1
        drawn = [draw_target(rng, labels, None, (1,)) for _ in range(40)]
        areas = {int(target.mask.sum()) for target in drawn if target is not None}
        assert areas == {100, 225, 325}
        assert all(target is not None and target.label.sum() == 325 for target in drawn)

    def test_an_instance_is_the_target_where_they_are_known(self, rng: np.random.Generator) -> None:
        labels = np.ones((20, 20), np.int64)
        instances = np.repeat([[1] * 10 + [2] * 10], 20, axis=0)
        for _ in range(5):
            target = draw_target(rng, labels, instances, (1,))
            assert target is not None
            assert target.mask.sum() == 200

    def test_too_small_an_object_is_no_target(self, rng: np.random.Generator) -> None:
        labels = np.zeros((20, 20), np.int64)
        labels[3:5, 3:5] = 1
        assert draw_target(rng, labels, None, (1,)) is None

    def test_every_prompt_shows_something_and_its_points_are_labelled_truly(
        self, rng: np.random.Generator
    ) -> None:
        mask = disc(64, 30, 30, 15)
        target = draw_target(rng, mask.astype(np.int64), None, (1,))
        assert target is not None
        for _ in range(60):
            prompt = draw_prompt(rng, target)
            assert prompt.has_box or prompt.has_mask or prompt.has_points
            columns, rows = prompt.points.astype(int).T
            shown = prompt.point_labels >= 0
            np.testing.assert_array_equal(
                mask[rows, columns][shown], prompt.point_labels[shown] == 1
            )

    def test_a_coarse_mask_resembles_its_object_but_is_not_it(
        self, rng: np.random.Generator
    ) -> None:
        mask = disc(64, 30, 30, 15)
        half = mask[::2, ::2]
        overlaps = []
        for _ in range(20):
            drawn = coarse_mask(rng, mask) > 0
            overlaps.append(2 * (drawn & half).sum() / (drawn.sum() + half.sum()))
        assert 0.6 < np.mean(overlaps) < 0.99


class TestViews:
    def test_labels_follow_the_pixels(self, rng: np.random.Generator) -> None:
        view = warp(rng, sample(3), 64, 1.0)
        grey = view.pixels[0].numpy()
        assert grey[view.labels == 1].mean() > 190
        assert grey[view.labels == 2].mean() < 70

    def test_padding_is_grey_whatever_the_acquisition(
        self, rng: np.random.Generator, data: DataSet
    ) -> None:
        views = [
            view
            for _ in range(6)
            for view in draw_batch(rng, [data], np.ones(1), Phase(0.0, 64, 1, 1)).views
        ]
        padded = [view for view in views if view.padding.any()]
        assert padded
        assert all((view.pixels[:, view.padding[0]] == 127.5).all() for view in padded)
        assert all((view.labels[view.padding[0].numpy()] == 0).all() for view in padded)

    def test_a_mixed_set_is_parted_by_look(self, data: DataSet) -> None:
        first = data.samples[0]
        inverse = replace(first, image=255 - first.image, mask=(first.mask == 1).astype(np.uint8))
        alone = replace(inverse, image=first.image)
        tasks = [one.task for one in by_look(replace(data, samples=[inverse, alone])).samples]
        assert tasks == ["dark grey", "bright grey"]

    def test_a_batch_has_pairs_of_views_with_prompts_and_probes_both_ways(
        self, rng: np.random.Generator, data: DataSet
    ) -> None:
        batch = draw_batch(rng, [data], np.ones(1), Phase(0.0, 64, 2, 3))
        assert len(batch.views) == 4
        assert 0 < len(batch.prompts) == len(batch.owners) <= 12
        directions = {(probe.support, probe.query) for probe in batch.probes}
        assert directions == {(0, 1), (1, 0), (2, 3), (3, 2)}
        for prompt, owner in zip(batch.prompts, batch.owners, strict=True):
            assert set(np.unique(batch.views[owner].labels[prompt.target])) <= set(prompt.value)

    def test_the_in_context_model_makes_masks_within_boxes_of_prompts_that_have_one(
        self, rng: np.random.Generator, data: DataSet
    ) -> None:
        batch = draw_batch(rng, [data], np.ones(1), Phase(0, 64, 4, 4, mask_chance=0.5))
        masks = InContextMasks(bundled_folder() / "starter_icl.safetensors", torch.device("cpu"))
        changed = masks.replaced(batch, 1.0, rng)
        assert changed.views is batch.views
        different = 0
        for old, new in zip(batch.prompts, changed.prompts, strict=True):
            if new is old:
                continue
            different += 1
            assert old.has_mask
            assert new.mask.shape == old.mask.shape
            rows, columns = np.nonzero(new.mask > 0)
            if new.has_box:
                margin = 0.1 * (new.box[2:] - new.box[:2]).max() + 2
                assert 2 * columns.min() >= new.box[0] - margin
                assert 2 * rows.max() <= new.box[3] + margin
        assert different > 2
        assert masks.replaced(batch, 0.0, rng).prompts == batch.prompts

    def test_the_same_seed_draws_the_same_batch(self, data: DataSet) -> None:
        first, second = (
            draw_batch(np.random.default_rng(5), [data], np.ones(1), Phase(0.0, 64, 1, 2))
            for _ in range(2)
        )
        assert all(
            torch.equal(a.pixels, b.pixels) for a, b in zip(first.views, second.views, strict=True)
        )


class TestLosses:
    def test_the_right_mask_loses_less_than_the_wrong_one_and_has_dice_one(self) -> None:
        target = torch.zeros(1, 16, 16)
        target[:, 4:9, 4:9] = 1
        logits = 12 * target - 6
        right = mask_loss(logits, torch.ones(1), target, torch.ones_like(target))
        wrong = mask_loss(-logits, torch.ones(1), target, torch.ones_like(target))
        assert right.mask < 0.05
        assert wrong.mask > 3
        assert float(right.dice) == 1
        assert float(right.iou) == 0

    def test_the_probe_finds_a_label_that_one_direction_of_the_embedding_tells(self) -> None:
        generator = torch.Generator().manual_seed(0)
        truth = (torch.rand(2, 12, 12, generator=generator) < 0.3).float()
        embedding = torch.randn(2, 16, 12, 12, generator=generator)
        embedding[:, 5] += 6 * truth
        pairs = torch.stack([truth, truth.flip(0)], dim=1)
        probed = probe_loss(
            embedding,
            pairs,
            torch.tensor([0, 1]),
            torch.tensor([1, 0]),
            torch.tensor(4.0),
            ridge=1e-2,
        )
        assert probed.auc.min() > 0.98
        blind = probe_loss(
            torch.randn(2, 16, 12, 12, generator=generator),
            pairs,
            torch.tensor([0, 1]),
            torch.tensor([1, 0]),
            torch.tensor(4.0),
            ridge=1e-2,
        )
        assert probed.loss < 0.5 * blind.loss

    def test_a_similarity_that_agrees_with_the_object_loses_less(self) -> None:
        target = torch.zeros(1, 16, 16)
        target[:, 4:12, 4:12] = 1
        near = torch.ones_like(target)
        fine, coarse = 2 * target[:, ::2, ::2] - 1, 2 * target[:, ::4, ::4] - 1
        right, wrong = (
            similarity_loss(fine, coarse, target, near),
            similarity_loss(-fine, -coarse, target, near),
        )
        assert right < 0.06
        assert wrong > 2.9

    def test_area_under_the_curve_counts_ordered_pairs(self) -> None:
        score = torch.tensor([[0.1, 0.4, 0.35, 0.8]])
        assert float(area_under_curve(score, torch.tensor([[0.0, 0.0, 1.0, 1.0]]))) == 0.75

    def test_guidance_is_the_centred_map_in_standard_deviations_times_beta(self) -> None:
        maps = torch.randn(1, 6, 6)
        p = torch.sigmoid(maps)
        torch.testing.assert_close(guidance(maps, torch.tensor([2.0])), 2 * (p - 0.5) / p.std())


class TestRun:
    def test_the_two_parts_of_a_set_share_no_subject_and_lose_no_image(self, data: DataSet) -> None:
        parts = [held_out(data, validation) for validation in (False, True)]
        subjects = [{one.subject for one in part.samples} for part in parts]
        assert not subjects[0] & subjects[1]
        assert sum(len(part.samples) for part in parts) == len(data.samples)
        assert subjects[1]

    def test_synthetic_sets_take_their_share_together(
        self, data: DataSet, rng: np.random.Generator
    ) -> None:
        sets = [data, *(synthetic_set(rng, SamConfig(synthetic_size=64)) for _ in range(2))]
        np.testing.assert_allclose(
            chances_of(sets, replace(SamConfig(), synthetic_share=0.4)), [0.6, 0.2, 0.2]
        )

    def test_synthetic_tasks_are_of_the_families_that_are_told(
        self, rng: np.random.Generator
    ) -> None:
        config = SamConfig(synthetic_size=64, families=(("cells", 1.0), ("vessels", 0.0)))
        assert {synthetic_set(rng, config).name for _ in range(5)} == {"synthetic cells"}

    def test_a_training_begins_with_given_weights(self, tmp_path: Path) -> None:
        torch.manual_seed(3)
        network, path = StarterSam(), tmp_path / "weights.safetensors"
        export(network, path)
        state = new_state(SamConfig(), torch.device("cpu"), path)
        for name, value in network.state_dict().items():
            for begun in (state.network, state.average):
                assert torch.allclose(begun.state_dict()[name], value, atol=1e-3), name

    def test_the_rate_warms_up_and_falls_to_nothing(self) -> None:
        config = SamConfig()
        assert learning_rate(config, 0, 0.0) < 0.02 * config.rate
        assert learning_rate(config, 10_000, 0.0) == config.rate
        assert learning_rate(config, 10_000, 1.0) < 1e-9

    def test_a_short_run_writes_weights_log_and_checkpoint_and_goes_on_from_it(
        self, tmp_path: Path, data: DataSet
    ) -> None:
        folder = tmp_path / "data" / data.name
        write_set(folder, data)
        config = SamConfig(
            minutes=0.02,
            phases=(Phase(0.0, 64, 1, 2),),
            synthetic_tasks=2,
            synthetic_size=64,
            validation_batches=1,
        )
        out = tmp_path / "run"
        train(Run(folder.parent, out), config, torch.device("cpu"))
        first = torch.load(out / "checkpoint.pt", weights_only=True)
        longer = replace(config, minutes=first["seconds"] / 60 + 0.01)
        train(Run(folder.parent, out), longer, torch.device("cpu"))
        second = torch.load(out / "checkpoint.pt", weights_only=True)
        assert second["step"] > first["step"] > 0
        weights = load_file(out / "starter_sam.safetensors")
        StarterSam().load_state_dict(
            {name: value.float() for name, value in weights.items()}, strict=True
        )
        with (out / "log.csv").open(newline="") as file:
            kinds = [row["kind"] for row in csv.DictReader(file)]
        assert kinds.count("validate") == 2
        rows = read_log(out / "log.csv")
        assert rows["validate"][0]["step"] == first["step"]
        draw_curves(rows).savefig(tmp_path / "curves.png")
        assert (tmp_path / "curves.png").stat().st_size > 1000


class TestMeasures:
    def test_small_images_are_measured_with_boxes_masks_and_probes(self, data: DataSet) -> None:
        torch.manual_seed(0)
        network = StarterSam(image_size=64).eval()
        rng = np.random.default_rng(0)
        with torch.inference_mode():
            boxes = evaluate_sam.score_boxes(network, data, 3, rng)
            auc = evaluate_sam.score_probe(network, data, evaluate_sam.Draws(2, 1, 2), rng)
        assert 0.8 < boxes.filled < 0.95  # a disc in its box: 2 / (1 + 4 / pi) = 0.88
        assert boxes.filled_jittered < boxes.filled
        assert 0 <= boxes.tight <= 1
        assert set(boxes.by_label) == {"bright", "dark"}
        assert auc > 0.7  # grey value alone tells the discs apart, even in random features


def write_set(folder: Path, data: DataSet) -> None:
    """Write a set as `load_set` reads it."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    entries = []
    for index, one in enumerate(data.samples):
        iio.imwrite(folder / "images" / f"{index}.png", one.image)
        iio.imwrite(folder / "masks" / f"{index}.png", one.mask)
        entries.append(
            {"image": f"images/{index}.png", "mask": f"masks/{index}.png", "subject": one.subject}
        )
    meta = {
        "name": data.name,
        "labels": {str(k): v for k, v in data.labels.items()},
        "samples": entries,
    }
    (folder / "meta.json").write_text(json.dumps(meta))
    assert len(load_sets(folder.parent)[0].samples) == len(data.samples)
