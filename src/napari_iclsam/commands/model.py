"""Which models a command uses, and the segmenter made of them."""

from __future__ import annotations

from dataclasses import dataclass

import click

from napari_iclsam.core.encoder.cache import EmbeddingCache, default_folder
from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.core.recipe import resolve
from napari_iclsam.core.segmenter import ICLSAM
from napari_iclsam.core.settings import Settings
from napari_iclsam.weights.folders import NO_HOME


@dataclass(frozen=True, slots=True)
class Model:
    """Which models compute where, and how."""

    choice: ModelChoice
    settings: Settings

    @property
    def uses_neighbors(self) -> bool:
        """Whether the labelled planes of a stack tell of the planes beside."""
        return resolve(self.settings).use_neighbors

    def segmenter(self) -> ICLSAM:
        """Return what segments; the networks are loaded later."""
        folder = default_folder()
        # Each run embeds all images anew, and the user may wonder why.
        if folder is None:
            click.echo(f"Note: {NO_HOME}", err=True)
        choice = self.choice
        return ICLSAM(
            choice.sam,
            icl=choice.icl,
            device=choice.device,
            settings=self.settings,
            cache=EmbeddingCache(folder),
        )
