"""Where results come from: models with checksums and licenses, settings, examples."""

from __future__ import annotations

from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.networks import Networks
from napari_iclsam.core.prediction import Provenance
from napari_iclsam.core.recipe import Recipe
from napari_iclsam.core.settings import Settings
from napari_iclsam.version import version


def provenance_of(
    networks: Networks, recipe: Recipe, settings: Settings, support: SupportSet
) -> Provenance:
    """Return the provenance of the results of a task.

    Parameters
    ----------
    networks : Networks
    recipe : Recipe
        Says which promptable models take part.
    settings : Settings
    support : SupportSet
    """
    facts = {}
    sams = networks.taking_part(recipe)
    for number, sam in enumerate(sams, start=1):
        facts["sam" if number == 1 else f"sam{number}"] = sam.facts
    facts["icl"] = networks.icl_facts
    return Provenance(
        version=version(),
        models={role: of_role.name for role, of_role in facts.items()},
        checksums={role: of_role.checksum for role, of_role in facts.items()},
        licenses={role: of_role.license for role, of_role in facts.items()},
        settings=settings.to_dict(),
        support=support.fingerprint(),
        examples=len(support),
        device=str(networks.device),
        precision=networks.encoder_autocast(sams[0], recipe) or sams[0].precision,
        icl_precision=str(networks.icl_dtype).removeprefix("torch."),
    )
