"""Pixels that are neither an object nor background."""

from __future__ import annotations

import numpy as np
import pytest

from napari_iclsam.core.encoder.examples import Examples
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.images.unknown import UNKNOWN, decided, mark_unknown, without_unknown

ROWS, COLUMNS = np.indices((60, 60))
IMAGE = np.where(COLUMNS < 30, 200, 50).astype(np.uint8)
SQUARE = (abs(ROWS - 30) < 12) & (abs(COLUMNS - 30) < 12)
INNER = (abs(ROWS - 30) < 10) & (abs(COLUMNS - 30) < 10)


def rimmed() -> np.ndarray:
    return np.where(INNER, 1, np.where(SQUARE, UNKNOWN, 0)).astype(np.int32)


def half() -> np.ndarray:
    """Labels of which the left half is unknown."""
    return np.where(COLUMNS < 30, UNKNOWN, ROWS > 40).astype(np.int32)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_numbers_of_any_type_are_marked(dtype: type) -> None:
    labels = np.array([[0, 1, 255]], dtype)
    assert mark_unknown(labels, (255,)).tolist() == [[0, 1, UNKNOWN]]
    assert mark_unknown(labels, ()) is labels


def test_a_rim_is_divided_between_its_sides() -> None:
    filled = decided(rimmed())
    assert set(np.unique(filled)) == {0, 1}
    assert filled[30, 40] == 1
    assert filled[30, 41] == 0
    assert (filled[INNER] == 1).all()
    assert (filled[~SQUARE] == 0).all()


def test_a_wide_area_is_hidden_and_a_rim_is_not() -> None:
    rgb = np.repeat(IMAGE[..., None], 3, axis=2)
    assert (without_unknown(rgb, rimmed()) == rgb).all()
    hidden = without_unknown(rgb, half())
    # the known background is of 50
    assert (hidden[:, :25] == 50).all()
    assert (hidden[:, 30:] == rgb[:, 30:]).all()
    assert (decided(half())[:, :25] == 0).all()


def test_labels_without_unknown_pixels_stay() -> None:
    labels = np.asarray(SQUARE, np.int32)
    assert (decided(labels) == labels).all()
    assert not decided(np.full((4, 4), UNKNOWN, np.int32)).any()


def test_a_support_set_keeps_what_is_unknown_apart() -> None:
    labels = np.where(rimmed() == UNKNOWN, 255, rimmed()).astype(np.uint8)
    support = SupportSet.of([IMAGE], [labels], unknown=(255,))
    assert support.ids == (1,)
    assert (support.known(0) == (labels != 255)).all()
    assert (support.mask(0, 1) == INNER).all()
    rgb = np.repeat(IMAGE[..., None], 3, axis=2)
    shown = Examples(support, (rgb,)).without_unknown()
    assert set(np.unique(shown.support.labels[0])) == {0, 1}
    assert SupportSet.of([IMAGE], [labels]).ids == (1, 255)


def test_an_example_of_which_nothing_is_known_is_refused() -> None:
    with pytest.raises(ValueError, match="Example 1 tells nothing"):
        SupportSet.of([IMAGE], [np.full((60, 60), 255)], unknown=(255,))
