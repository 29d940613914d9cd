"""A file of the published size and layout, by its published name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from segment_anything import sam_model_registry
from torch import nn

from napari_iclsam.models.build import build_sam
from napari_iclsam.models.sam import Sam
from napari_iclsam.weights import catalogue, folders
from napari_iclsam.weights.checksums import checksum


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_full_size_vit_b_is_loaded_by_name_and_equals_segment_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_ICLSAM_HOME", str(tmp_path))
    torch.manual_seed(0)
    reference = sam_model_registry["vit_b"]().eval()
    for name, value in reference.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            nn.init.normal_(value, std=0.05)
    file = folders.weights_folder() / "sam_vit_b_01ec64.pth"
    file.parent.mkdir(parents=True)
    torch.save(reference.state_dict(), file)
    assert file.stat().st_size == pytest.approx(
        catalogue.CATALOGUE["sam_vit_b"].about_size, rel=1e-3
    )
    entry = replace(
        catalogue.CATALOGUE["sam_vit_b"], size=file.stat().st_size, checksum=checksum(file)
    )
    monkeypatch.setattr("napari_iclsam.weights.lookup.CATALOGUE", {"sam_vit_b": entry})
    built = build_sam("sam_vit_b")
    assert (built.weights, built.path, built.sha256) == (entry, file, entry.checksum)
    assert isinstance(built.module, Sam)
    with torch.inference_mode():
        image = torch.rand(1, 3, 1024, 1024)
        expected = reference.image_encoder(image)
        assert (built.module.encode(image).embedding - expected).abs().max() < 1e-4
