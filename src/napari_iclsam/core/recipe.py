"""The two modes as data: what each does where they differ, resolved once from the settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from napari_iclsam.core.settings import Channel, Settings, Tile

InputSize = Literal["nearest", "by detail", "smallest"]
FusionRule = Literal["published", "log-odds", "in-context model alone"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the method does, step by step.

    Made by `resolve`; the text of each field is its row in the documentation. ``sparing`` and
    ``in_tiles`` are set for the labelled planes of a stack, and for examples that are tiles.
    """

    shared_scale: Annotated[
        bool, "Scale the grey values of CT images alike, as all are in Hounsfield units."
    ]
    antialias: Annotated[
        bool, "Smooth an image before it is made smaller for the in-context model."
    ]
    rescale_query: Annotated[
        bool, "Scale a query to [0, 1] again after it was resized, as support images are."
    ]
    input_size: Annotated[
        InputSize,
        "Input size of the in-context model: the one nearest to the images, the smallest that "
        "keeps their detail, or the smallest of all.",
    ]
    coarse_to_fine: Annotated[bool, "Segment crops around small objects after the full image."]
    feature_similarity: Annotated[
        bool, "Average the in-context model's full image with what SAM's features tell."
    ]
    fine_tune: Annotated[bool, "Fine-tune the in-context model on the support set."]
    tta_flips: Annotated[
        bool, "Test-time augmentation: average over mirrored copies, if the setting is on."
    ]
    cell_center: Annotated[
        float,
        "Where in a cell of the embedding the mask is read for the linear probe: 0 its corner, "
        "0.5 its center.",
    ]
    box_thin_masks: Annotated[bool, "Box a mask as it is if the opening removes all of it."]
    mask_prompt: Annotated[bool, "Prompt SAM with the in-context model's mask besides boxes."]
    max_experts: Annotated[int, "At most so many promptable models are fused."]
    pixel_classifier: Annotated[
        bool, "Fuse a classifier of pixels by their surroundings, where it helps."
    ]
    cross_validate: Annotated[
        bool, "Choose the fusion weights by cross-validation on the support set."
    ]
    use_neighbors: Annotated[bool, "Let the labelled planes of a stack tell of the planes beside."]
    interpolate_slices: Annotated[
        bool,
        "Interpolate slices of a stack between two segmented ones that agree, where the models "
        "are reliable.",
    ]
    fusion: Annotated[FusionRule, "How both models are fused."]
    half_precision: Annotated[bool, "Compute in half precision where that is faster."]
    sparing: bool = False
    in_tiles: bool = False
    tile: Tile = "off"
    channel: Channel = "luminance"
    icl_guidance: float = 0.3
    sam_guidance: float = 2.0
    refine: bool = True
    max_examples: int = 32
    min_component: float = 0.05
    max_boxes: int = 64
    probe_cells: int = 60_000
    seed: int = 0


PAPER = Recipe(
    shared_scale=False,
    antialias=False,
    rescale_query=False,
    input_size="nearest",
    coarse_to_fine=False,
    feature_similarity=False,
    fine_tune=False,
    tta_flips=False,
    cell_center=0.0,
    box_thin_masks=False,
    mask_prompt=False,
    max_experts=1,
    pixel_classifier=False,
    cross_validate=False,
    use_neighbors=False,
    interpolate_slices=False,
    fusion="published",
    half_precision=False,
)
"""Step by step as published (Hu et al. 2024)."""

AUTO = Recipe(
    shared_scale=True,
    antialias=True,
    rescale_query=True,
    input_size="by detail",
    coarse_to_fine=True,
    feature_similarity=True,
    fine_tune=True,
    tta_flips=True,
    cell_center=0.5,
    box_thin_masks=True,
    mask_prompt=True,
    max_experts=4,
    pixel_classifier=True,
    cross_validate=True,
    use_neighbors=True,
    interpolate_slices=True,
    fusion="log-odds",
    half_precision=True,
)
"""With the known gaps of the published method closed."""

MODES = {"paper": PAPER, "auto": AUTO}


def resolve(settings: Settings) -> Recipe:
    """Return the recipe of a mode, with what the settings turn off left out."""
    mode = MODES[settings.mode]
    return replace(
        mode,
        coarse_to_fine=mode.coarse_to_fine and settings.coarse_to_fine,
        feature_similarity=mode.feature_similarity and settings.icl_guidance > 0,
        fine_tune=mode.fine_tune and settings.fine_tune,
        tta_flips=mode.tta_flips and settings.tta_flips,
        mask_prompt=mode.mask_prompt and settings.mask_prompt,
        pixel_classifier=mode.pixel_classifier and settings.use_sam,
        cross_validate=mode.cross_validate and settings.cross_validate and settings.use_sam,
        interpolate_slices=mode.interpolate_slices and settings.interpolate_slices,
        fusion=mode.fusion if settings.use_sam else "in-context model alone",
        tile=settings.tile if mode.coarse_to_fine and settings.coarse_to_fine else "off",
        channel=settings.channel,
        icl_guidance=settings.icl_guidance,
        sam_guidance=settings.sam_guidance,
        refine=settings.use_sam,
        max_examples=settings.max_examples,
        min_component=settings.min_component,
        max_boxes=settings.max_boxes,
        probe_cells=settings.probe_cells,
        seed=settings.seed,
    )
