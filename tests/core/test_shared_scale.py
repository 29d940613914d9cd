"""Examples and queries of CT, which share a unit, are seen on one scale of grey values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_iclsam.core.images.planes import PlaneError
from napari_iclsam.core.segmenter import ICLSAM
from tests.core.conftest import Scene

Make = Callable[..., ICLSAM]


def hounsfield(grey: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Take grey values for air at -1000, bone at 700."""
    return (grey.astype(np.int16) * 7 - 1000).astype(np.int16)


def with_metal(image: NDArray[np.int16]) -> NDArray[np.int16]:
    """Put metal into a corner: by itself, this image would be seen far darker."""
    image = image.copy()
    image[:6, :6] = 3071
    return image


@pytest.fixture
def pair(scene: Scene) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    image, labels = scene(seed=0)
    return hounsfield(image), labels


@pytest.fixture
def query(scene: Scene) -> NDArray[np.int16]:
    return with_metal(hounsfield(scene(seed=1)[0]))


def test_a_query_of_ct_is_seen_on_the_scale_of_the_examples(
    segmenter: Make, pair: tuple[NDArray[Any], NDArray[Any]], query: NDArray[np.int16]
) -> None:
    image, labels = pair
    task = segmenter().fit([image], [labels])
    window = task.context.examples.window
    assert window is not None
    seen = segmenter().fit([window.apply(image)], [labels])
    expected = seen.predict(window.apply(query))
    found = task.predict(query)
    assert all((found.probabilities[i] == expected.probabilities[i]).all() for i in (1, 4))
    stack = np.stack([image, query])
    assert (task.predict_stack(stack)[1] == expected.labels).all()
    # what is saved keeps its grey values
    assert task.support.images[0].dtype == np.int16


def test_the_published_method_scales_each_image_by_itself(
    segmenter: Make, pair: tuple[NDArray[Any], NDArray[Any]]
) -> None:
    assert segmenter(mode="paper").fit([pair[0]], [pair[1]]).context.examples.window is None


def test_a_plane_of_ct_with_nan_is_still_named(
    segmenter: Make, pair: tuple[NDArray[Any], NDArray[Any]], query: NDArray[np.int16]
) -> None:
    task = segmenter().fit([pair[0]], [pair[1]])
    stack = np.stack([query] * 7).astype(np.float32)
    stack[1, 2, 3] = np.nan
    with pytest.raises(PlaneError, match="not finite") as caught:
        task.predict_stack(stack)
    assert caught.value.plane == 1
