"""Both networks of a run, loaded by name, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import nn

from napari_iclsam.core.context import Runners
from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.encoder.device import choose_device, choose_precision
from napari_iclsam.core.encoder.runner import PromptableRunner
from napari_iclsam.core.in_context.runner import InContextNetwork, InContextRunner
from napari_iclsam.core.model_choice import ModelChoice, Precision
from napari_iclsam.core.recipe import Recipe
from napari_iclsam.models.build import Built, build_icl, build_sam, describe
from napari_iclsam.weights.catalogue import CATALOGUE, FusionDefault


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model beside its network.

    Attributes
    ----------
    name : str
        Under which it is found again, whatever the working folder.
    checksum : str
        Of its weights.
    license : str
    fine_tunable : bool
        Whether it gains by test-time fine-tuning.
    fusion_default : {"published", "starter"}
        Which fusion weights hold before any are cross-validated.
    """

    name: str = ""
    checksum: str = ""
    license: str = ""
    fine_tunable: bool = False
    fusion_default: FusionDefault = "published"


@dataclass(frozen=True, slots=True)
class Networks:
    """A promptable and an in-context network on a device.

    Attributes
    ----------
    sam : nn.Module
        A `napari_iclsam.core.encoder.runner.Promptable`.
    icl : nn.Module
        An `InContextNetwork`.
    device : torch.device
    precision : str
        Of the promptable network: "float32", "bfloat16" or "float16".
    icl_dtype : torch.dtype
        In which the in-context network computes.
    sam_facts, icl_facts : ModelFacts
    """

    sam: nn.Module
    icl: InContextNetwork
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: str = "float32"
    icl_dtype: torch.dtype = torch.float32
    sam_facts: ModelFacts = field(default_factory=ModelFacts)
    icl_facts: ModelFacts = field(default_factory=ModelFacts)

    def runners(self, recipe: Recipe, cache: EmbeddingCache) -> Runners:
        """Bind the networks to what they are run with."""
        promptable = PromptableRunner(
            self.sam, cache, self.device, self.precision, self.sam_facts.checksum
        )
        in_context = InContextRunner(self.icl, self.device, self.icl_dtype, recipe)
        return Runners(promptable, in_context, recipe)


@dataclass(frozen=True, slots=True)
class NetworkSource:
    """Networks by name, known to exist, that are loaded when they are needed.

    Attributes
    ----------
    choice : ModelChoice
    device : torch.device
    sam_dtype, icl_dtype : torch.dtype
    """

    choice: ModelChoice
    device: torch.device
    sam_dtype: torch.dtype
    icl_dtype: torch.dtype

    @classmethod
    def of(cls, choice: ModelChoice, precision: Precision = "float32") -> NetworkSource:
        """Check names, device and precision.

        Raises
        ------
        ValueError
            If one of them is unknown.
        """
        large = describe(choice.sam, "sam").large
        device = choose_device(choice.device)
        describe(choice.icl, "icl")
        return cls(
            choice,
            device,
            choose_precision(precision, device, large=large),
            choose_precision(precision, device, large=True),
        )

    @torch.inference_mode(False)
    def load(self) -> Networks:
        """Read both networks from disk.

        Their parameters are no inference tensors, whoever calls: a copy of them is to be fine-tuned.

        Raises
        ------
        FileNotFoundError
            If the weights are not on this computer.
        """
        in_main_memory = self.device.type == "cpu"
        sam = build_sam(self.choice.sam, self.sam_dtype, here=in_main_memory)
        icl = build_icl(self.choice.icl, here=in_main_memory)
        return Networks(
            sam=sam.module.to(self.device),
            icl=cast(InContextNetwork, icl.module.to(self.device)),
            device=self.device,
            precision=str(sam.dtype).removeprefix("torch."),
            icl_dtype=self.icl_dtype,
            sam_facts=_facts(self.choice.sam, sam),
            icl_facts=_facts(self.choice.icl, icl),
        )


def _facts(name: str, built: Built) -> ModelFacts:
    return ModelFacts(
        name=_lasting_name(name, built),
        checksum=built.sha256,
        license=built.weights.license,
        fine_tunable=built.weights.fine_tunable,
        fusion_default=built.weights.fusion_default,
    )


def _lasting_name(name: str, built: Built) -> str:
    """Return a name under which a network is found again, whatever the working folder: a file's whole path."""
    if built.weights.name in CATALOGUE:
        return built.weights.name
    prefix = "" if Path(name).expanduser().is_file() else name.partition(":")[0] + ":"
    return prefix + str(built.path.resolve())
