"""Every number of the promptable model's training, in one frozen dataclass."""

from __future__ import annotations

from dataclasses import dataclass

from training.sam_batches import Phase


@dataclass(frozen=True, slots=True)
class SamConfig:
    """Every number of the recipe.

    Time is training time in minutes, so that a schedule fits the machine at hand.

    ``families`` is how often each family of synthetic tasks is drawn; by default as in
    `training.synthetic`. ``icl_chance`` is the share of mask prompts that the in-context model
    makes, if its weights are given.
    """

    minutes: float = 87.0
    phases: tuple[Phase, ...] = (
        Phase(0.0, 192, 4, 2),
        Phase(0.5, 256, 3, 2),
        Phase(0.82, 256, 3, 2, mask_chance=0.25, bias_chance=0.35),
    )
    rate: float = 1e-3
    warmup_steps: int = 200
    decay: float = 0.02
    clip: float = 1.0
    average: float = 0.999
    probe_weight: float = 1.0
    iou_weight: float = 0.2
    similarity_weight: float = 0.5
    ridge: float = 3e-3
    synthetic_share: float = 0.5
    real_chances: tuple[tuple[str, float], ...] = (
        ("axon_sem", 1.2),
        ("cxr_lungs", 0.8),
        ("drosophila_disc", 0.5),
        ("drosophila_ovary", 0.4),
        ("dsb2018_nuclei", 1.5),
        ("msd_hippocampus", 1.0),
        ("usiigaci_phase", 0.8),
        ("vocalfolds", 1.6),
    )
    mixed_sets: tuple[str, ...] = ("dsb2018_nuclei",)
    synthetic_tasks: int = 400
    synthetic_size: int = 256
    families: tuple[tuple[str, float], ...] = ()
    icl_chance: float = 0.7
    checkpoint_minutes: float = 5.0
    validation_batches: int = 8
    seed: int = 20261124
