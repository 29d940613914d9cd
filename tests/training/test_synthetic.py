"""Synthetic tasks are in range, labelled, reproducible and different from each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.fields import log_uniform, resize, smooth_noise, star_blob
from training.pool import Pool
from training.synthetic import FAMILIES, draw_task


@pytest.mark.parametrize("family", list(FAMILIES), ids=list(FAMILIES))
def test_every_family_draws_labelled_images_in_range(family: str) -> None:
    for seed in range(3):
        scenes = draw_task(np.random.default_rng(seed), 64, 3, family)
        assert scenes.images.shape == (3, 64, 64, 3)
        assert scenes.images.dtype == np.float32
        assert scenes.images.min() >= 0
        assert scenes.images.max() <= 1
        assert scenes.images.std() > 0.005
        assert scenes.labels.shape == (3, 64, 64)
        assert scenes.labels.dtype == np.uint8
        assert len(np.unique(scenes.labels)) > 1
        assert scenes.family == family


@pytest.mark.parametrize("family", ["cells", "smear", "glands", "shapes", "fibres"])
def test_instances_lie_where_labels_lie(family: str) -> None:
    scenes = draw_task(np.random.default_rng(4), 64, 2, family)
    assert scenes.instances is not None
    assert scenes.instances.shape == scenes.labels.shape
    objects = (scenes.labels > 0) & (
        scenes.labels < 4
    )  # stroma of tissue is labelled, but is no object
    assert (scenes.instances[objects] > 0).mean() > 0.99


def test_the_same_seed_draws_the_same_task_and_another_seed_another() -> None:
    first, again, other = (draw_task(np.random.default_rng(seed), 64, 2) for seed in (5, 5, 6))
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.images, other.images)


def test_subjects_of_a_task_differ() -> None:
    scenes = draw_task(np.random.default_rng(7), 64, 4, "organs")
    assert all(not np.array_equal(scenes.labels[0], scenes.labels[n]) for n in range(1, 4))


def test_a_target_of_the_vessel_family_is_thin() -> None:
    widths = []
    for seed in range(6):
        lines = draw_task(np.random.default_rng(seed), 128, 1, "fundus").labels[0] == 1
        inner = (
            lines[1:-1, 1:-1]
            & lines[:-2, 1:-1]
            & lines[2:, 1:-1]
            & lines[1:-1, :-2]
            & lines[1:-1, 2:]
        )
        widths.append(inner.sum() / max(lines.sum(), 1))
    assert min(widths) < 0.3  # most pixels of a thin line touch its border


@pytest.mark.parametrize(
    ("size", "count", "family", "message"),
    [(8, 1, None, "at least 16"), (64, 0, None, "at least 1"), (64, 1, "unicorns", "unicorns")],
    ids=["size", "count", "family"],
)
def test_nonsense_is_refused_with_a_reason(
    size: int, count: int, family: str | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        draw_task(np.random.default_rng(0), size, count, family)


def test_the_pool_draws_a_task_once_and_reads_it_the_same(tmp_path: Path) -> None:
    drawn = np.array(Pool(tmp_path, 3, 64, 2).task(5))
    written = next(tmp_path.iterdir()).stat().st_mtime_ns
    again = Pool(tmp_path, 3, 64, 2).task(5)
    assert np.array_equal(drawn, again)
    assert drawn.shape == (2, 64, 64, 4)
    assert [path.stat().st_mtime_ns for path in tmp_path.iterdir()] == [written]
    assert not np.array_equal(drawn, Pool(tmp_path, 3, 64, 2).task(6))


def test_fields_have_the_scale_they_promise() -> None:
    rng = np.random.default_rng(0)
    assert smooth_noise(rng, 30, 32, 6).std() == pytest.approx(0.9, abs=0.3)
    assert resize(np.ones((1, 8, 8), np.float32), 4) == pytest.approx(1)
    assert 2 <= log_uniform(rng, 2, 3) <= 3
    where = np.stack(np.meshgrid(*[np.linspace(-1, 1, 33, dtype=np.float32)] * 2, indexing="ij"))[
        None
    ]
    blob = star_blob(rng, where, np.zeros((1, 2), np.float32), 0.5, elongation=1, wobble=0)
    assert blob[0, 16, 16] == pytest.approx(1, abs=1e-3)
    assert blob[0, 16, 24] == pytest.approx(0, abs=1e-3)
    assert blob[0, 0, 0] < 0
