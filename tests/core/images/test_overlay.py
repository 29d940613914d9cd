"""Labels drawn on pictures."""

from __future__ import annotations

import numpy as np

from napari_iclsam.core.images.overlay import DEFAULT_COLORS, OPACITY, default_color, overlay

RGB = np.full((2, 3, 3), 100, np.uint8)
LABELS = np.array([[0, 1, 1], [0, 2, 3]])


def test_background_and_labels_without_a_color_are_left_as_they_are() -> None:
    drawn = overlay(RGB, LABELS, {1: (0, 0, 0), 2: (0, 0, 0)})
    np.testing.assert_array_equal(drawn[LABELS == 0], 100)
    np.testing.assert_array_equal(drawn[LABELS == 3], 100)


def test_labels_are_mixed_with_the_picture() -> None:
    drawn = overlay(RGB, LABELS, {1: (200, 0, 100)})
    expected = (1 - OPACITY) * 100 + OPACITY * np.array([200, 0, 100])
    np.testing.assert_allclose(drawn[0, 1], expected, atol=1)
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(RGB, 100)


def test_default_colors_begin_with_the_first_label_and_repeat() -> None:
    assert default_color(1) == DEFAULT_COLORS[0]
    assert default_color(1 + len(DEFAULT_COLORS)) == DEFAULT_COLORS[0]
    assert len(set(DEFAULT_COLORS)) == len(DEFAULT_COLORS)
