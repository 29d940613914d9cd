"""Evidence of planes, kept in memory or on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from napari_iclsam.core.volume import evidence_store
from napari_iclsam.core.volume.evidence_store import EvidenceStore

SHAPE = (4, 5, 6)
RANDOM = np.random.default_rng(0)
ODDS = {label: RANDOM.normal(0, 3, SHAPE[1:]).astype(np.float32) for label in (2, 9)}
GREY = RANDOM.integers(0, 255, SHAPE[1:], np.uint8)


@pytest.fixture(params=["memory", "disk"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EvidenceStore]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if request.param == "disk":
        monkeypatch.setattr(evidence_store, "_IN_MEMORY", 2 * 4 * 5 * 6 - 1)
    made = EvidenceStore(SHAPE, (2, 9))
    assert len(list(tmp_path.glob("napari-iclsam-stack-*/*.npy"))) == (
        2 if request.param == "disk" else 0
    )
    yield made
    made.close()
    assert not list(tmp_path.iterdir())


def test_what_was_put_comes_back_in_small_steps(store: EvidenceStore) -> None:
    store.put(1, ODDS, {2: 0.7})
    store.put_grey(1, GREY)
    for label, odds in ODDS.items():
        found = store.evidence(1, label)
        assert found.log_odds.dtype == np.float32
        assert np.abs(found.log_odds - np.clip(odds, -127 / 16, 127 / 16)).max() <= 1 / 32
        assert np.array_equal(found.grey, GREY)
        assert found.grey.dtype == np.uint8
    assert store.evidence(1, 2).estimated_dice == 0.7


def test_log_odds_beyond_what_a_byte_holds_are_limited(store: EvidenceStore) -> None:
    wild = {2: np.full(SHAPE[1:], 1000.0), 9: np.full(SHAPE[1:], -1000.0)}
    store.put(0, wild, {})
    assert (store.evidence(0, 2).log_odds == 127 / 16).all()
    assert (store.evidence(0, 9).log_odds == -127 / 16).all()


def test_a_label_that_was_not_found_has_an_estimate_of_zero(store: EvidenceStore) -> None:
    store.put(1, ODDS, {2: 0.7})
    assert store.evidence(1, 9).estimated_dice == 0


def test_a_plane_that_was_not_segmented_tells_nothing(store: EvidenceStore) -> None:
    store.put(1, ODDS, {2: 0.7, 9: 0.9})
    unknown = store.evidence(2, 9)
    assert not unknown.log_odds.any()
    assert unknown.estimated_dice == 0.5


def test_it_knows_of_which_planes_it_has_grey_values(store: EvidenceStore) -> None:
    store.put(1, ODDS, {})
    store.put_grey(3, GREY)
    assert [store.has_grey(plane) for plane in range(4)] == [False, False, False, True]
    assert np.array_equal(store.evidence(3, 2).grey, GREY)


def test_what_is_put_again_replaces_what_was_there(store: EvidenceStore) -> None:
    store.put(1, ODDS, {2: 0.7, 9: 0.9})
    store.put(1, {2: ODDS[9], 9: ODDS[2]}, {2: 0.1})
    found = store.evidence(1, 2)
    assert np.abs(found.log_odds - np.clip(ODDS[9], -8, 8)).max() <= 0.1
    assert found.estimated_dice == 0.1
    assert store.evidence(1, 9).estimated_dice == 0


def test_as_much_as_the_limit_stays_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(evidence_store, "_IN_MEMORY", 2 * 4 * 5 * 6)
    store = EvidenceStore(SHAPE, (2, 9))
    assert not list(tmp_path.iterdir())
    store.close()
