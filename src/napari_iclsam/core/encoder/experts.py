"""One promptable model or several, which embed each image together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.encoder.embedding import EmbeddedImage
from napari_iclsam.core.encoder.runner import PromptableRunner
from napari_iclsam.core.images.intensity import check_image, to_rgb8


@dataclass(frozen=True, slots=True)
class Experts:
    """Promptable models that know different things.

    Attributes
    ----------
    runners : tuple of PromptableRunner
        At least one.
    """

    runners: tuple[PromptableRunner, ...]

    def __len__(self) -> int:
        return len(self.runners)

    @property
    def images_at_once(self) -> int:
        """How many images are best embedded in one call."""
        # the one that takes fewest decides, since all embed the same batch
        return min(runner.images_at_once for runner in self.runners)

    def subset(self, chosen: Sequence[int]) -> Experts:
        """Return some of the models."""
        return Experts(tuple(self.runners[expert] for expert in chosen))

    def embed(self, rgb: NDArray[np.uint8]) -> EmbeddedImage:
        """Embed an 8-bit RGB image (H, W, 3) by each model."""
        return self.embed_batch([rgb])[0]

    def embed_batch(self, images: Sequence[NDArray[np.uint8]]) -> list[EmbeddedImage]:
        """Embed images in one call of each model; see `embed`."""
        by_expert = [runner.embed_batch(images) for runner in self.runners]
        embedded = []
        for index, rgb in enumerate(images):
            embeddings = tuple(of_expert[index] for of_expert in by_expert)
            embedded.append(EmbeddedImage(rgb, embeddings))
        return embedded

    def embed_planes(self, planes: Iterator[NDArray[Any]]) -> Iterator[EmbeddedImage]:
        """Check planes, convert them to 8 bits and embed them, `images_at_once` in one call.

        What is wrong with a plane is raised when its turn comes, after those before it.
        """
        ended = False
        while not ended:
            batch: list[NDArray[np.uint8]] = []
            error: Exception | None = None
            try:
                while len(batch) < self.images_at_once:
                    batch.append(to_rgb8(check_image(next(planes))))
            # the last batch may be smaller
            except StopIteration:
                ended = True
            except Exception as raised:  # noqa: BLE001 (raised below)
                error = raised
            # planes before a broken one are good: they come first, and the error in its place
            yield from self.embed_batch(batch)
            if error is not None:
                raise error
