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
    assert len(list(tmp_path.glob("napari-iclsam-stack-*/*"))) == (
        2 if request.param == "disk" else 0
    )
    yield made
    made.close()
    assert not list(tmp_path.iterdir())


def test_what_was_put_comes_back_in_small_steps(store: EvidenceStore) -> None:
    store.put(1, ODDS)
    store.put_grey(1, GREY)
    for label, odds in ODDS.items():
        found = store.log_odds(label, 1)
        assert found.dtype == np.float32
        assert np.abs(found - odds).max() <= 1 / 8
    assert np.array_equal(store.grey(1), GREY)
    assert store.grey(1).dtype == np.uint8


def test_outlines_stay_exactly_as_they_were(store: EvidenceStore) -> None:
    small = ODDS[2] / 100
    store.put(0, {2: small, 9: -small})
    assert np.array_equal(store.log_odds(2, 0) > 0, small > 0)
    assert np.array_equal(store.log_odds(9, 0) > 0, small < 0)


def test_log_odds_beyond_what_a_byte_holds_are_limited(store: EvidenceStore) -> None:
    store.put(0, {2: np.full(SHAPE[1:], 1000.0), 9: np.full(SHAPE[1:], -1000.0)})
    assert (store.log_odds(2, 0) == 127 / 8).all()
    assert (store.log_odds(9, 0) == -127 / 8).all()


def test_a_plane_that_was_not_segmented_tells_nothing(store: EvidenceStore) -> None:
    store.put(1, ODDS)
    assert not store.log_odds(9, 2).any()


def test_it_knows_of_which_planes_it_has_grey_values(store: EvidenceStore) -> None:
    store.put(1, ODDS)
    store.put_grey(3, GREY)
    assert [store.has_grey(plane) for plane in range(4)] == [False, False, False, True]


def test_what_is_put_again_replaces_what_was_there(store: EvidenceStore) -> None:
    store.put(1, ODDS)
    store.put(1, {2: ODDS[9], 9: ODDS[2]})
    assert np.abs(store.log_odds(2, 1) - ODDS[9]).max() <= 1 / 8
