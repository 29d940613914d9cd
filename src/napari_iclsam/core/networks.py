"""Both networks of a run, loaded by name, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import cast

import torch
from torch import nn

from napari_iclsam.core.context import Runners
from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.encoder.device import choose_device, choose_precision
from napari_iclsam.core.encoder.experts import Experts
from napari_iclsam.core.encoder.runner import PromptableRunner
from napari_iclsam.core.in_context.runner import InContextNetwork, InContextRunner
from napari_iclsam.core.inference import in_float32, refuse_forked
from napari_iclsam.core.model_choice import ModelChoice, Precision
from napari_iclsam.core.recipe import Recipe
from napari_iclsam.models.build import Built, build_icl, build_sam, describe
from napari_iclsam.models.starter_sam import StarterSam
from napari_iclsam.weights.catalogue import CATALOGUE
from napari_iclsam.weights.entry import FusionDefault
from napari_iclsam.weights.lookup import expert_names


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
class LoadedSam:
    """A promptable network.

    Attributes
    ----------
    network : nn.Module
        A `napari_iclsam.core.encoder.runner.Promptable`.
    precision : str
        Of the encoder: "float32", "bfloat16" or "float16".
    facts : ModelFacts
    """

    network: nn.Module
    precision: str = "float32"
    facts: ModelFacts = field(default_factory=ModelFacts)

    @property
    def parameters(self) -> int:
        """Number of its parameters."""
        return sum(parameter.numel() for parameter in self.network.parameters())


@dataclass(frozen=True)
class SamOnDemand:
    """A promptable network that is loaded when it first takes part: stacks go without the larger.

    Attributes
    ----------
    parameters : int
        Number of its parameters.
    load : callable
    """

    parameters: int
    load: Callable[[], LoadedSam]

    @cached_property
    def _loaded(self) -> LoadedSam:
        return self.load()

    @property
    def network(self) -> nn.Module:
        """See `LoadedSam`."""
        return self._loaded.network

    @property
    def precision(self) -> str:
        """See `LoadedSam`."""
        return self._loaded.precision

    @property
    def facts(self) -> ModelFacts:
        """See `LoadedSam`."""
        return self._loaded.facts


@dataclass(frozen=True, slots=True)
class Networks:
    """Promptable networks and an in-context network on a device.

    Attributes
    ----------
    sams : tuple of LoadedSam or SamOnDemand
        At least one.
    icl : nn.Module
        An `InContextNetwork`.
    device : torch.device
    icl_dtype : torch.dtype
        In which the in-context network and the mask decoders compute.
    icl_facts : ModelFacts
    """

    sams: tuple[LoadedSam | SamOnDemand, ...]
    icl: InContextNetwork
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    icl_dtype: torch.dtype = torch.float32
    icl_facts: ModelFacts = field(default_factory=ModelFacts)

    @property
    def sam_name(self) -> str:
        """Name of the promptable models together, as `ICLSAM` takes it."""
        return "+".join(sam.facts.name for sam in self.sams)

    def taking_part(self, recipe: Recipe) -> tuple[LoadedSam | SamOnDemand, ...]:
        """Return the promptable networks of a recipe: the smallest alone for planes and tiles."""
        if (recipe.sparing or recipe.in_tiles) and recipe.max_experts > 1:
            return (min(self.sams, key=lambda sam: sam.parameters),)
        return self.sams[: recipe.max_experts]

    @property
    def _half_precision(self) -> str:
        return str(self.icl_dtype).removeprefix("torch.")

    def encoder_autocast(self, sam: LoadedSam | SamOnDemand, recipe: Recipe) -> str:
        """Return in which precision an encoder computes, if that is not the one of its weights.

        In stacks, half precision halves the time of starter-sam's convolutions on a processor.
        Images, which are also compared by their features, lose by it: see benchmarks/RESULTS.md.
        """
        is_stack_here = recipe.sparing and self.device.type == "cpu"
        if is_stack_here and isinstance(sam.network, StarterSam):
            return self._half_precision
        return ""

    def runners(self, recipe: Recipe, cache: EmbeddingCache) -> Runners:
        """Bind the networks to what they are run with."""
        runners = []
        for sam in self.taking_part(recipe):
            checksum = sam.facts.checksum
            runner = PromptableRunner(
                sam.network,
                cache,
                self.device,
                sam.precision,
                checksum,
                # decoders gain by half precision that small encoders lose by
                self._half_precision,
                self.encoder_autocast(sam, recipe),
            )
            runners.append(runner)
        in_context = InContextRunner(
            self.icl,
            self.device,
            self.icl_dtype,
            recipe,
        )
        return Runners(Experts(tuple(runners)), in_context, recipe)


@dataclass(frozen=True, slots=True)
class NetworkSource:
    """Networks by name, known to exist, that are loaded when they are needed.

    Attributes
    ----------
    sams : tuple of (str, torch.dtype)
        Names of the promptable networks, and in which their encoders compute.
    icl : str
    device : torch.device
    icl_dtype : torch.dtype
    """

    sams: tuple[tuple[str, torch.dtype], ...]
    icl: str
    device: torch.device
    icl_dtype: torch.dtype

    @classmethod
    def of(cls, choice: ModelChoice, precision: Precision = "float32") -> NetworkSource:
        """Check names, device and precision.

        Raises
        ------
        ValueError
            If one of them is unknown.
        """
        device = choose_device(choice.device)
        # a wrong name is told at once and not after minutes of loading
        describe(choice.icl, "icl")
        sams = []
        for name in expert_names(choice.sam):
            # small encoders lose more by conversions than they win
            large = describe(name, "sam").large
            sams.append((name, choose_precision(precision, device, large=large)))
        icl_dtype = choose_precision(precision, device, large=True)
        return cls(
            tuple(sams),
            choice.icl,
            device,
            icl_dtype,
        )

    def load(self) -> Networks:
        """Read the networks from disk; promptable ones that come with the package when needed.

        Raises
        ------
        FileNotFoundError
            If the weights are not on this computer.
        RuntimeError
            In a process that was forked; see `refuse_forked`.
        """
        refuse_forked()
        sams = []
        for name, dtype in self.sams:
            weights = describe(name, "sam")
            load = partial(_load_sam, name, dtype, self.device)
            # others may be missing, which is to be told at once
            is_here = weights.bundled and len(self.sams) > 1
            sams.append(SamOnDemand(weights.parameters, load) if is_here else load())
        icl = _build(build_icl, self.icl, torch.float32, self.device)
        return Networks(
            sams=tuple(sams),
            icl=cast(InContextNetwork, icl.module),
            device=self.device,
            icl_dtype=self.icl_dtype,
            icl_facts=_facts(self.icl, icl),
        )


def _load_sam(name: str, dtype: torch.dtype, device: torch.device) -> LoadedSam:
    sam = _build(build_sam, name, dtype, device)
    precision = str(sam.dtype).removeprefix("torch.")
    return LoadedSam(sam.module, precision, _facts(name, sam))


@torch.inference_mode(False)
def _build(
    build: Callable[..., Built], name: str, dtype: torch.dtype, device: torch.device
) -> Built:
    """Read a network from disk, onto a device.

    Its parameters are no inference tensors, whoever calls: a copy of them is to be fine-tuned.
    """
    with in_float32():
        built = build(name, dtype, here=device.type == "cpu")
        return replace(built, module=built.module.to(device))


def _facts(name: str, built: Built) -> ModelFacts:
    return ModelFacts(
        name=_lasting_name(name, built),
        checksum=built.sha256,
        license=built.weights.license,
        fine_tunable=built.weights.fine_tunable,
        fusion_default=built.weights.fusion_default,
    )


def _lasting_name(name: str, built: Built) -> str:
    """Return a name that finds a network again from any working folder: a file's whole path."""
    if built.weights.name in CATALOGUE:
        return built.weights.name
    # a task is opened from other folders, too: a relative path would lead nowhere
    is_path = Path(name).expanduser().is_file()
    prefix = "" if is_path else name.partition(":")[0] + ":"
    return prefix + str(built.path.resolve())
