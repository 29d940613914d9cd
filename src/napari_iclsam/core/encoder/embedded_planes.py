"""Planes of a stack on their way to being segmented: checked, in 8 bits, embedded; several at once where that helps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.encoder.cache import Embedding, EmbeddingCache
from napari_iclsam.core.encoder.runner import Networks
from napari_iclsam.core.images.intensity import as_rgb8, check_image
from napari_iclsam.core.refinement.sam import Clock


@dataclass(frozen=True, slots=True)
class Plane:
    """An embedded image, (H, W, 3) uint8, and the time that this took."""

    rgb: NDArray[np.uint8]
    query: Embedding
    clock: Clock


def embedded_planes(images: Iterator[NDArray[Any]], networks: Networks, cache: EmbeddingCache) -> Iterator[Plane]:
    """Read, check and embed planes, as many at once as the networks like (`Networks.images_at_once`).

    What is wrong with a plane is raised when its turn comes, after those before it.
    """
    wrong, more = None, True
    while more and wrong is None:
        planes = list[NDArray[np.uint8]]()
        try:
            while len(planes) < networks.images_at_once:
                planes.append(as_rgb8(check_image(next(images))))
        except StopIteration:
            more = False
        except Exception as error:  # noqa: BLE001 (raised below)
            wrong = error
        clock = Clock()
        with clock.step("embed"):
            embeddings = networks.embed_all(planes, cache)
        for rgb, query in zip(planes, embeddings, strict=True):
            yield Plane(rgb, query, Clock({"embed": clock.seconds["embed"] / len(planes)}))
    if wrong is not None:
        raise wrong
