"""Looks of the in-context model: at the whole image, and closer at what it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_iclsam import Settings, dice
from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.images.crops import Region, mean_extent, region_of, share_of, window_at
from napari_iclsam.core.images.intensity import as_rgb8
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.in_context.coarse_to_fine import Examples, Seen, refer, segment_in_context
from napari_iclsam.core.networks import Networks, some_tasks
from napari_iclsam.core.segmenter import ICLSAM
from napari_iclsam.core.task import Task
from napari_iclsam.models.starter_icl import TwoScales
from napari_iclsam.models.starter_sam import StarterSam
from napari_iclsam.models.universeg import UniverSeg

Make = Callable[..., ICLSAM]
SIDE = 96


def disc(row: int, column: int, radius: int, side: int = SIDE) -> NDArray[np.bool_]:
    y, x = np.mgrid[:side, :side]
    return np.asarray((y - row) ** 2 + (x - column) ** 2 <= radius**2)


def photo(mask: NDArray[np.bool_], seed: int) -> NDArray[np.uint8]:
    """A bright object on a dark, noisy ground."""
    noise = np.random.default_rng(seed).normal(0, 12, mask.shape)
    return np.clip(np.where(mask, 190, 80) + noise, 0, 255).astype(np.uint8)


def seen(task: Task, image: NDArray[np.uint8]) -> Seen:
    """What the in-context model says of an image, unguided."""
    networks, rgb = task.segmenter.networks, np.repeat(image[..., None], 3, axis=2)
    with torch.inference_mode():
        query = networks.embed(rgb, task.segmenter.cache)
        flat = torch.full((len(task.support.ids), 1, *image.shape), 0.5)
        return segment_in_context(
            networks,
            task._learnt.reference,
            task._examples,
            rgb,
            query,
            flat,
            task.segmenter.settings,
        )


def coarse_to_fine(task: Task) -> list[list[float]]:
    """Sides of the windows of each look, as shares of the image, in order."""
    reference = task._learnt.reference
    assert reference is not None
    return [list(look.extents.values()) for look in reference.closer]


@given(
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
)
def test_a_window_lies_in_its_image_and_has_its_share_of_it(
    row: float, column: float, share: float, shape: tuple[int, int]
) -> None:
    for part, centre, size in zip(
        window_at(row, column, share, shape), (row, column), shape, strict=True
    ):
        assert 0 <= part.start < part.stop <= size
        assert abs(part.stop - part.start - share * size) <= 1
        if part.start > 0 and part.stop < size:
            assert abs((part.start + part.stop) / 2 - centre * size) <= 1


def test_a_region_is_the_box_of_a_mask_in_shares_of_the_image() -> None:
    mask = np.zeros((100, 200), bool)
    mask[10:30, 40:60] = True
    mask[25, 100] = True
    assert region_of(mask) == Region(row=0.2, column=70.5 / 200, extent=61 / 200)
    assert region_of(np.zeros((5, 5), bool)) is None
    assert mean_extent([Region(0, 0, 0.1), Region(0, 0, 0.4)]) == pytest.approx(0.2)
    assert share_of(0.3, Region(0, 0, 0.5)) == pytest.approx(0.575)
    assert share_of(0.3, Region(0, 0, 1.0)) == 1
    assert share_of(0.3, None) == 0.3


class TestWhichLooks:
    """Small objects are looked at more closely, first from afar."""

    def fit(self, segmenter: Make, radius: int, **settings: Any) -> Task:
        masks = [disc(40, 50, radius), disc(55, 40, radius)]
        images = [photo(mask, seed) for seed, mask in enumerate(masks)]
        return segmenter(**settings).fit(images, [mask.astype(np.int32) for mask in masks])

    @pytest.mark.parametrize(("radius", "factors"), [(8, [2.2, 1.3]), (24, [1.3]), (38, [])])
    def test_the_smaller_the_objects_the_more(
        self, segmenter: Make, radius: int, factors: list[float]
    ) -> None:
        extent = (2 * radius + 1) / SIDE
        looks = coarse_to_fine(self.fit(segmenter, radius))
        assert looks == [[pytest.approx(factor * extent)] for factor in factors]

    @pytest.mark.parametrize("settings", [{"mode": "paper"}, {"coarse_to_fine": False}], ids=str)
    def test_none_where_they_are_turned_off(
        self, segmenter: Make, settings: dict[str, Any]
    ) -> None:
        assert coarse_to_fine(self.fit(segmenter, 8, **settings)) == []

    def test_without_them_all_is_said_by_the_look_at_the_whole_image(self, segmenter: Make) -> None:
        found = seen(self.fit(segmenter, 38), photo(disc(48, 48, 38), 7))
        assert torch.equal(found.alone, found.closer)

    def test_only_the_labels_that_are_small(self, segmenter: Make) -> None:
        labels = [np.where(disc(48, 48, 40), 1, 0) for _ in range(2)]
        for mask in labels:
            mask[disc(20, 30, 6)] = 5
        images = [photo(mask == 5, seed) for seed, mask in enumerate(labels)]
        reference = segmenter().fit(images, labels)._learnt.reference
        assert reference is not None
        assert [set(look.extents) for look in reference.closer] == [{1}, {1}]


def lines(width: int, side: int) -> NDArray[np.bool_]:
    """Slanting lines, three times as far apart as they are wide."""
    return np.asarray(np.indices((side, side)).sum(axis=0) % (4 * width) < width)


@pytest.mark.parametrize(
    ("mask", "side"),
    [
        (disc(150, 150, 120, 384), 256),
        (disc(150, 150, 60, 384) | disc(320, 320, 40, 384), 384),
        (lines(5, 384), 512),
        (lines(3, 256), 512),
        (lines(2, 128), 256),  # no more than twice their own size
        (disc(150, 150, 9, 384), 256),  # will be seen closer
        (disc(60, 60, 6, 256), 128),
        (disc(60, 60, 20, 128), 128),
    ],
)
def test_the_whole_image_is_as_large_as_the_masks_need(mask: NDArray[np.bool_], side: int) -> None:
    networks = Networks(StarterSam(64), TwoScales())
    examples = Examples(
        SupportSet.of([photo(mask, 0)], [mask.astype(np.int32)]), (as_rgb8(photo(mask, 0)),), ()
    )
    assert refer(networks, examples, Settings()).side == side
    assert refer(networks, examples, Settings(mode="paper")).side == len(mask)


class Counting(nn.Module):
    """An in-context network that finds what is bright, and says it the louder the more often it is asked."""

    image_sizes = (64, 128)
    image_channels = 1

    def __init__(self) -> None:
        super().__init__()
        self.queries: list[Tensor] = []
        self.supports: list[tuple[Tensor, Tensor]] = []

    def encode_support(self, images: Tensor, masks: Tensor) -> None:
        self.supports.append((images, masks))

    def forward(self, query: Tensor, support: None, guidance: Tensor | None = None) -> Tensor:
        self.queries.append(query)
        return torch.where(query > 0.5, 1.0, -1.0) * 2 * len(self.queries)


@pytest.fixture
def counting() -> ICLSAM:
    networks = Networks(StarterSam(64).eval(), Counting())
    return ICLSAM(
        settings=Settings(cross_validate=False, use_sam=False),
        networks=networks,
        cache=EmbeddingCache(),
    )


class TestLooking:
    """Windows are where the object is, and each look counts as much as the others."""

    def test_windows_of_the_examples_hold_their_objects(self, counting: ICLSAM) -> None:
        masks = [disc(30, 60, 8), disc(70, 20, 12), np.zeros((SIDE, SIDE), bool)]
        counting.fit(
            [photo(mask, 0) for mask in masks[:2]] + [photo(masks[0], 1)],
            [m.astype(np.int32) for m in masks],
        )
        icl = counting.networks.icl
        assert isinstance(icl, Counting)
        whole, far, near = icl.supports
        assert whole[0].shape == far[0].shape == (1, 3, 1, 64, 64)
        for (images, found), factor in ((far, 2.2), (near, 1.3)):
            share = found.mean(dim=(-3, -2, -1))[0]
            assert share[:2] == pytest.approx([np.pi / 4 / factor**2] * 2, rel=0.6)
            assert share[2] == 0
            assert (images > 0.5).float()[0, :2].sub(found[0, :2]).abs().mean() < 0.05

    def test_the_mean_of_all_looks_within_the_window_and_the_first_alone_outside(
        self, counting: ICLSAM
    ) -> None:
        mask = disc(30, 66, 8)
        task = counting.fit([photo(mask, 0)], [mask.astype(np.int32)])
        found = seen(task, photo(mask, 0)).closer[0, 0].logit()
        assert found[30, 66] == pytest.approx((2 + 4 + 6) / 3)
        assert found[30, 80] == pytest.approx(-(2 + 4) / 2)  # beyond the last window
        assert found[80, 10] == pytest.approx(-2)

    @pytest.mark.parametrize("reliable", [False, True])
    def test_where_a_label_is_expected_is_looked_at_too_or_alone_if_reliably(
        self, counting: ICLSAM, monkeypatch: pytest.MonkeyPatch, reliable: bool
    ) -> None:
        mask, there = disc(48, 48, 8), disc(24, 70, 8)
        task = counting.fit([photo(mask, 0)], [mask.astype(np.int32)])
        expected = {0: Region(0.75, 0.25, 0.0)}
        monkeypatch.setattr(
            "napari_iclsam.core.in_context.coarse_to_fine.expected_places",
            lambda surroundings, query: expected,
        )
        reference = task._learnt.reference
        assert reference is not None
        surroundings = {0: replace(reference.surroundings[0], reliable=reliable)}
        task._learnt = replace(
            task._learnt, reference=replace(reference, surroundings=surroundings)
        )
        image = np.where(there, 190, 80).astype(np.uint8)
        image[72, 24] = 110  # too faint to be found in the whole, the brightest within a window
        found = seen(task, image).closer[0, 0].logit()
        assert found[24, 70] == pytest.approx(2 if reliable else (2 + 4 + 8) / 3)
        assert found[77, 29] == pytest.approx(-(2 + 4 + 6) / 3 if reliable else -(2 + 6 + 10) / 3)

    def test_windows_that_meet_at_the_border_are_looked_at_once(
        self, counting: ICLSAM, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mask = disc(30, 48, 24)
        task = counting.fit([photo(mask, 0)], [mask.astype(np.int32)])
        expected = {
            0: Region(0.05, 0.5, 0.0)
        }  # a window of 0.66 of the image about either leaves it
        monkeypatch.setattr(
            "napari_iclsam.core.in_context.coarse_to_fine.expected_places",
            lambda surroundings, query: expected,
        )
        found = seen(task, photo(mask, 0)).closer[0, 0].logit()
        assert found[30, 48] == pytest.approx((2 + 4) / 2)

    def test_nothing_found_leads_nowhere(self, counting: ICLSAM) -> None:
        mask = disc(48, 48, 8)
        task = counting.fit([photo(mask, 0)], [mask.astype(np.int32)])
        found = seen(task, np.zeros((SIDE, SIDE), np.uint8))
        assert found.closer.unique() == pytest.approx(1 / (1 + np.exp(2)))

    def test_a_large_image_is_added_up_in_less_detail(self, counting: ICLSAM) -> None:
        mask = disc(100, 90, 20, side=300)
        task = counting.fit([photo(mask, 0)], [mask.astype(np.int32)])
        large = np.kron(photo(mask, 1), np.ones((4, 6), np.uint8))
        assert seen(task, large).closer.shape == (1, 1, 683, 1024)


@pytest.mark.parametrize("kind", [UniverSeg, TwoScales])
def test_some_tasks_are_answered_as_among_all(kind: type[UniverSeg] | type[TwoScales]) -> None:
    torch.manual_seed(0)
    network = kind().eval().requires_grad_(False)
    channels = network.image_channels
    images, masks = torch.rand(3, 2, channels, 64, 64), (torch.rand(3, 2, 1, 64, 64) > 0.5).float()
    queries, guidance = torch.rand(3, channels, 64, 64), torch.rand(3, 1, 64, 64)
    context, chosen = network.encode_support(images, masks), [2, 0]
    some = network(queries[chosen], some_tasks(context, chosen), guidance[chosen])
    assert some == pytest.approx(network(queries, context, guidance)[chosen], abs=1e-4)


@pytest.mark.parametrize("kind", [UniverSeg, TwoScales])
def test_tasks_are_answered_a_few_at_a_time_as_all_at_once(
    monkeypatch: pytest.MonkeyPatch, kind: type[UniverSeg] | type[TwoScales]
) -> None:
    torch.manual_seed(0)
    network, calls = kind().eval().requires_grad_(False), []
    network.register_forward_hook(lambda _, inputs, __: calls.append(len(inputs[0])))
    channels = network.image_channels
    images, masks = torch.rand(5, 2, channels, 64, 64), (torch.rand(5, 2, 1, 64, 64) > 0.5).float()
    queries, guidance = torch.rand(5, channels, 64, 64), torch.rand(5, 1, 64, 64)
    context, loaded = network.encode_support(images, masks), Networks(nn.Identity(), network)
    together = loaded.segment_in_context(queries, context, guidance)
    monkeypatch.setattr("napari_iclsam.core.encoder.runner.SMALL_TASKS", 0)
    apart = loaded.segment_in_context(queries, context, guidance)
    assert calls == [5, 2, 2, 1]
    assert apart == pytest.approx(together, abs=1e-4)


def test_labels_are_looked_at_each_in_its_own_place(networks: Networks) -> None:
    """Two labels at once get the windows, and so the answers, of each alone."""
    assert isinstance(networks.icl, UniverSeg)
    labels = np.where(disc(30, 30, 8), 1, 0) + np.where(disc(70, 60, 12), 4, 0)
    image = photo(labels > 0, 0)
    settings = Settings(cross_validate=False)

    def look(wanted: NDArray[Any]) -> Seen:
        return seen(
            ICLSAM(networks=networks, settings=settings, cache=EmbeddingCache()).fit(
                [image], [wanted]
            ),
            image,
        )

    both = look(labels)
    for index, label in enumerate((1, 4)):
        one = look(np.where(labels == label, label, 0))
        assert both.closer[index] == pytest.approx(one.closer[0], abs=1e-4)


def test_looking_closer_helps_the_bundled_models_with_what_is_small() -> None:
    places = [(90, 70), (150, 110), (120, 160), (70, 120)]
    rng = np.random.default_rng(5)
    scenes = []
    for row, column in places:
        target, other = disc(row, column, 14, 256), disc(row + 40, column - 45, 14, 256)
        grain = rng.normal(0, 14, (256, 256))
        grey = np.where(target, 120, np.where(other, 165, 90)) + grain
        scenes.append((np.clip(grey, 0, 255).astype(np.uint8), target))
    plain = ICLSAM(settings=Settings(coarse_to_fine=False), cache=EmbeddingCache())
    closer = ICLSAM(networks=plain.networks, settings=Settings(), cache=plain.cache)

    def mean(segmenter: ICLSAM) -> float:
        task = segmenter.fit([scenes[0][0]], [scenes[0][1].astype(np.int32)])
        return float(
            np.mean([dice(task.predict(image).labels == 1, mask) for image, mask in scenes[1:]])
        )

    before, after = mean(plain), mean(closer)
    assert after > before
