"""Which weights there are: address, checksum, license, citation, cost.

The module knows no files on this computer and no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from napari_iclsam.weights.entry import Kind, Weights

_SAM = "Kirillov et al., Segment Anything, ICCV 2023, doi:10.1109/ICCV51070.2023.00371"
_MEDSAM = (
    "Ma et al., Segment anything in medical images, Nature Communications 2024, "
    "doi:10.1038/s41467-024-44824-z"
)
_MICRO_SAM = (
    "Archit et al., Segment Anything for Microscopy, Nature Methods 2025, "
    "doi:10.1038/s41592-024-02580-4"
)
_PATHO_SAM = (
    "Griebel et al., Segment Anything for Histopathology, MIDL 2025, "
    "PMLR 301:515-546, arXiv:2502.00408"
)
_STARTER = "napari-iclsam starter models (see the model card in the package)"
_META = "https://dl.fbaipublicfiles.com/segment_anything/"
_MIRROR = "https://huggingface.co/ybelkada/segment-anything/resolve/main/checkpoints/"
_SAM_LICENSE = "https://github.com/facebookresearch/segment-anything/blob/main/LICENSE"
_MEDSAM_LICENSE = "https://github.com/bowang-lab/MedSAM/blob/main/LICENSE"
_MOBILE_SAM = (
    "ChaoningZhang/MobileSAM/{}f706ad9c4eb7f219c00d9050e46328518ffb65d2/weights/mobile_sam.pt"
)
_ZOO = "https://uk1s3.embassy.ebi.ac.uk/public-datasets/bioimage.io/"
_CLOUD = "https://owncloud.gwdg.de/index.php/s/"
_VIT_T_PARAMETERS = 10_130_092
_VIT_B_PARAMETERS = 93_735_472
_VIT_L_PARAMETERS = 312_342_832
_VIT_T_COST = "about a tenth of ViT-B"
_VIT_B_COST = "a few seconds an image on a CPU, tenths of a second on a graphics card"
_VIT_L_COST = "about 3 times ViT-B"

_ENTRIES = (
    Weights(
        name="starter_sam",
        title="Starter (promptable)",
        kind="sam",
        architecture="starter_sam",
        filename="starter_sam.safetensors",
        license="CC-BY-SA-4.0",
        license_url="https://creativecommons.org/licenses/by-sa/4.0/",
        citation=_STARTER,
        preprocessing="starter",
        parameters=4_772_541,
        memory=500_000_000,
        cost="fractions of a second an image on a CPU",
        good_for="a first try, and computers without a graphics card; comes with the package",
        bundled=True,
    ),
    Weights(
        name="lite_medsam",
        title="LiteMedSAM",
        kind="sam",
        architecture="vit_t_256",
        filename="lite_medsam.safetensors",
        license="Apache-2.0",
        license_url=_MEDSAM_LICENSE,
        citation=_MEDSAM,
        preprocessing="lite_medsam",
        parameters=9_801_412,
        memory=300_000_000,
        cost="fractions of a second an image on a CPU",
        good_for="medical images on a computer without a graphics card; comes with the package",
        bundled=True,
    ),
    Weights(
        name="starter_icl",
        title="Starter (in-context)",
        kind="icl",
        architecture="starter_icl",
        filename="starter_icl.safetensors",
        license="CC-BY-SA-4.0",
        license_url="https://creativecommons.org/licenses/by-sa/4.0/",
        citation=_STARTER,
        preprocessing="universeg",
        parameters=3_788_102,
        memory=400_000_000,
        cost="fractions of a second an image on a CPU",
        good_for="every image; comes with the package",
        bundled=True,
    ),
    Weights(
        name="sam_vit_b",
        title="SAM ViT-B",
        kind="sam",
        architecture="vit_b",
        filename="sam_vit_b_01ec64.pth",
        license="Apache-2.0",
        license_url=_SAM_LICENSE,
        citation=_SAM,
        preprocessing="sam",
        parameters=_VIT_B_PARAMETERS,
        memory=1_200_000_000,
        cost=_VIT_B_COST,
        good_for="the published method on images of any kind",
        urls=(_META + "sam_vit_b_01ec64.pth", _MIRROR + "sam_vit_b_01ec64.pth"),
        size=375_042_383,
        checksum="sha256:ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    Weights(
        name="sam_vit_l",
        title="SAM ViT-L",
        kind="sam",
        architecture="vit_l",
        filename="sam_vit_l_0b3195.pth",
        license="Apache-2.0",
        license_url=_SAM_LICENSE,
        citation=_SAM,
        preprocessing="sam",
        parameters=_VIT_L_PARAMETERS,
        memory=2_200_000_000,
        cost=_VIT_L_COST,
        good_for="a graphics card, when ViT-B is not good enough",
        urls=(_META + "sam_vit_l_0b3195.pth", _MIRROR + "sam_vit_l_0b3195.pth"),
        checksum="sha256:3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    Weights(
        name="sam_vit_h",
        title="SAM ViT-H",
        kind="sam",
        architecture="vit_h",
        filename="sam_vit_h_4b8939.pth",
        license="Apache-2.0",
        license_url=_SAM_LICENSE,
        citation=_SAM,
        preprocessing="sam",
        parameters=641_090_608,
        memory=3_800_000_000,
        cost="about 6 times ViT-B",
        good_for="a graphics card with 8 GB or more",
        urls=(_META + "sam_vit_h_4b8939.pth", _MIRROR + "sam_vit_h_4b8939.pth"),
        size=2_564_550_879,
        checksum="sha256:a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
    Weights(
        name="medsam_vit_b",
        title="MedSAM ViT-B",
        kind="sam",
        architecture="vit_b",
        filename="medsam_vit_b.pth",
        license="Apache-2.0",
        license_url=_MEDSAM_LICENSE,
        citation=_MEDSAM,
        preprocessing="medsam",
        parameters=_VIT_B_PARAMETERS,
        memory=1_200_000_000,
        cost=_VIT_B_COST,
        good_for="radiology, fundus and endoscopy images",
        urls=("https://zenodo.org/records/10689643/files/medsam_vit_b.pth",),
        checksum="md5:3bb6db55bd0c9ca30b61248bca72f8d6",
    ),
    Weights(
        name="mobile_sam",
        title="MobileSAM",
        kind="sam",
        architecture="vit_t",
        filename="mobile_sam.pt",
        license="Apache-2.0",
        license_url="https://github.com/ChaoningZhang/MobileSAM/blob/master/LICENSE",
        citation="Zhang et al., Faster Segment Anything, 2023, arXiv:2306.14289",
        preprocessing="sam",
        parameters=_VIT_T_PARAMETERS,
        memory=700_000_000,
        cost=_VIT_T_COST,
        good_for="computers without a graphics card, and large stacks",
        urls=(
            "https://raw.githubusercontent.com/" + _MOBILE_SAM.format(""),
            "https://github.com/" + _MOBILE_SAM.format("raw/"),
        ),
        size=40_728_226,
        checksum="sha256:6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
    ),
    Weights(
        name="vit_t_lm",
        title="micro-sam ViT-T, light microscopy",
        kind="sam",
        architecture="vit_t",
        filename="vit_t_lm.pt",
        license="CC-BY-4.0",
        license_url="https://bioimage.io/#/?id=faithful-chicken",
        citation=_MICRO_SAM,
        preprocessing="sam",
        parameters=_VIT_T_PARAMETERS,
        memory=700_000_000,
        cost=_VIT_T_COST,
        good_for="cells and nuclei in light microscopy, without a graphics card",
        urls=(_ZOO + "faithful-chicken/1.1/files/vit_t.pt",),
        checksum="xxh128:72ec5074774761a6e5c05a08942f981e",
    ),
    Weights(
        name="vit_b_lm",
        title="micro-sam ViT-B, light microscopy",
        kind="sam",
        architecture="vit_b",
        filename="vit_b_lm.pt",
        license="CC-BY-4.0",
        license_url="https://bioimage.io/#/?id=diplomatic-bug",
        citation=_MICRO_SAM,
        preprocessing="sam",
        parameters=_VIT_B_PARAMETERS,
        memory=1_200_000_000,
        cost=_VIT_B_COST,
        good_for="cells and nuclei in light microscopy",
        urls=(_ZOO + "diplomatic-bug/1.2/files/vit_b.pt",),
        checksum="xxh128:fe9252a29f3f4ea53c15a06de471e186",
    ),
    Weights(
        name="vit_l_lm",
        title="micro-sam ViT-L, light microscopy",
        kind="sam",
        architecture="vit_l",
        filename="vit_l_lm.pt",
        license="CC-BY-4.0",
        license_url="https://bioimage.io/#/?id=idealistic-rat",
        citation=_MICRO_SAM,
        preprocessing="sam",
        parameters=_VIT_L_PARAMETERS,
        memory=2_200_000_000,
        cost=_VIT_L_COST,
        good_for="cells and nuclei in light microscopy, on a graphics card",
        urls=(_ZOO + "idealistic-rat/1.2/files/vit_l.pt",),
        checksum="xxh128:017f20677997d628426dec80a8018f9d",
    ),
    Weights(
        name="vit_t_em_organelles",
        title="micro-sam ViT-T, organelles in EM",
        kind="sam",
        architecture="vit_t",
        filename="vit_t_em_organelles.pt",
        license="CC-BY-4.0",
        license_url="https://bioimage.io/#/?id=greedy-whale",
        citation=_MICRO_SAM,
        preprocessing="sam",
        parameters=_VIT_T_PARAMETERS,
        memory=700_000_000,
        cost=_VIT_T_COST,
        good_for="mitochondria and nuclei in electron microscopy, without a graphics card",
        urls=(_ZOO + "greedy-whale/1/files/vit_t.pt",),
        checksum="xxh128:253474720c497cce605e57c9b1d18fd9",
    ),
    Weights(
        name="vit_b_em_organelles",
        title="micro-sam ViT-B, organelles in EM",
        kind="sam",
        architecture="vit_b",
        filename="vit_b_em_organelles.pt",
        license="CC-BY-4.0",
        license_url="https://bioimage.io/#/?id=noisy-ox",
        citation=_MICRO_SAM,
        preprocessing="sam",
        parameters=_VIT_B_PARAMETERS,
        memory=1_200_000_000,
        cost=_VIT_B_COST,
        good_for="mitochondria and nuclei in electron microscopy",
        urls=(_ZOO + "noisy-ox/1.2/files/vit_b.pt",),
        checksum="xxh128:f3bf2ed83d691456bae2c3f9a05fb438",
    ),
    Weights(
        name="vit_l_em_organelles",
        title="micro-sam ViT-L, organelles in EM",
        kind="sam",
        architecture="vit_l",
        filename="vit_l_em_organelles.pt",
        license="CC-BY-4.0",
        license_url="https://bioimage.io/#/?id=humorous-crab",
        citation=_MICRO_SAM,
        preprocessing="sam",
        parameters=_VIT_L_PARAMETERS,
        memory=2_200_000_000,
        cost=_VIT_L_COST,
        good_for="mitochondria and nuclei in electron microscopy, on a graphics card",
        urls=(_ZOO + "humorous-crab/1.2/files/vit_l.pt",),
        checksum="xxh128:810b084b6e51acdbf760a993d8619f2d",
    ),
    Weights(
        name="vit_b_histopathology",
        title="PathoSAM ViT-B, histopathology",
        kind="sam",
        architecture="vit_b",
        filename="vit_b_histopathology.pt",
        license="see its model card",
        license_url="https://github.com/computational-cell-analytics/patho-sam",
        citation=_PATHO_SAM,
        preprocessing="sam",
        parameters=_VIT_B_PARAMETERS,
        memory=1_200_000_000,
        cost=_VIT_B_COST,
        good_for="nuclei in stained tissue",
        urls=(_CLOUD + "sBB4H8CTmIoBZsQ/download",),
        checksum="xxh128:ffd1a2cd84570458b257bd95fdd8f974",
    ),
    Weights(
        name="vit_l_histopathology",
        title="PathoSAM ViT-L, histopathology",
        kind="sam",
        architecture="vit_l",
        filename="vit_l_histopathology.pt",
        license="see its model card",
        license_url="https://github.com/computational-cell-analytics/patho-sam",
        citation=_PATHO_SAM,
        preprocessing="sam",
        parameters=_VIT_L_PARAMETERS,
        memory=2_200_000_000,
        cost=_VIT_L_COST,
        good_for="nuclei in stained tissue, on a graphics card",
        urls=(_CLOUD + "IZgnn1cpBq2PHod/download",),
        checksum="xxh128:b591833c89754271023e901281dee3f2",
    ),
    Weights(
        name="vit_b_medical_imaging",
        title="MedicoSAM ViT-B, medical images",
        kind="sam",
        architecture="vit_b",
        filename="vit_b_medical_imaging.pt",
        license="see its model card",
        license_url="https://github.com/computational-cell-analytics/medico-sam",
        citation="Archit et al., MedicoSAM, 2025, arXiv:2501.11734",
        preprocessing="sam",
        parameters=_VIT_B_PARAMETERS,
        memory=1_200_000_000,
        cost=_VIT_B_COST,
        good_for="medical images",
        urls=(_CLOUD + "f5Ol4FrjPQWfjUF/download",),
        checksum="xxh128:40169f1e3c03a4b67bff58249c176d92",
    ),
    Weights(
        name="universeg_v1",
        title="UniverSeg v1",
        kind="icl",
        architecture="universeg",
        filename="universeg_v1_nf64_ss64_STA.pt",
        license="OpenRAIL++-M (research purposes only)",
        license_url="https://github.com/JJGO/UniverSeg#licenses",
        citation="Butoi et al., UniverSeg: Universal Medical Image Segmentation, ICCV 2023, "
        "doi:10.1109/ICCV51070.2023.01960",
        preprocessing="universeg",
        parameters=1_182_785,
        memory=400_000_000,
        cost="fractions of a second an image on a CPU",
        good_for="the published method on medical images, in research",
        urls=(
            "https://github.com/JJGO/UniverSeg/releases/download/weights/universeg_v1_nf64_ss64_STA.pt",
        ),
        checksum="git-blob-sha1:eedd25b13679d2f06ec4f9b59bcf02fc9205e06b",
        research_only=True,
    ),
)

CATALOGUE: Mapping[str, Weights] = MappingProxyType({entry.name: entry for entry in _ENTRIES})
"""Every file of weights by its name."""

ALIASES: Mapping[tuple[Kind, str], str] = MappingProxyType(
    {
        ("sam", "starter"): "lite_medsam",
        ("icl", "starter"): "starter_icl",
        ("sam", "medsam"): "medsam_vit_b",
        ("icl", "universeg"): "universeg_v1",
    }
)
"""Shorter names, each within its kind."""


EXPERTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"starter": ("lite_medsam", "starter_sam")}
)
"""Promptable models that are used together, by their common name."""
