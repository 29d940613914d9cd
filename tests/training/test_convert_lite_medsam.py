"""The bundled LiteMedSAM is made of the published file and of nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from napari_iclsam.models.checkpoint import metadata, read_tensors
from napari_iclsam.weights.checks import CheckFailed
from napari_iclsam.weights.folders import bundled_folder
from tests.parity.test_lite_medsam import published
from training.convert_lite_medsam import PUBLISHED, convert, halved, main, with_sorted_header

BUNDLED = bundled_folder() / "lite_medsam.safetensors"


def test_another_file_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "lite_medsam.pth").write_bytes(b"something else")
    with pytest.raises(CheckFailed, match=f"expected {PUBLISHED}"):
        convert(tmp_path / "lite_medsam.pth", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_matrices_are_halved_and_vectors_and_positions_stay() -> None:
    positions = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    count = torch.tensor(3)
    tensors = {
        "conv": torch.rand(2, 3, 1, 1),
        "bias": torch.rand(2),
        positions: torch.rand(2, 4),
        "count": count,
    }
    types = {name: value.dtype for name, value in halved(tensors).items()}
    assert types == {
        "conv": torch.float16,
        "bias": torch.float32,
        positions: torch.float32,
        "count": torch.int64,
    }


def test_a_sorted_header_makes_the_same_file_whatever_the_order() -> None:
    tensors = {"b": torch.arange(3.0), "a": torch.ones(2, dtype=torch.float16)}
    notes = {f"key {n}": str(n) for n in range(9)}
    files = {with_sorted_header(safetensors.torch.save(tensors, notes)) for _ in range(20)}
    assert len(files) == 1
    loaded = safetensors.torch.load(files.pop())
    assert all(torch.equal(loaded[name], value) for name, value in tensors.items())


def test_the_bundled_file_says_where_it_is_from_and_what_was_changed() -> None:
    notes = metadata(BUNDLED)
    assert notes["architecture"] == "vit_t_256"
    assert notes["licence"] == "Apache-2.0"
    assert notes["source_sha256"] == PUBLISHED.partition(":")[2]
    assert "format" in notes["notice"]
    assert "precision" in notes["notice"]
    assert notes["citation"].endswith("doi:10.1038/s41467-024-44824-z")


def test_the_bundled_file_holds_435_finite_tensors_of_which_matrices_are_halves() -> None:
    tensors = read_tensors(BUNDLED)
    assert len(tensors) == 435
    assert all(value.isfinite().all() for value in tensors.values())
    large = [value for value in tensors.values() if value.ndim > 1 and value.numel() > 1000]
    assert {value.dtype for value in large} == {torch.float16}


def test_the_bundled_file_is_the_converted_published_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = published()
    if path is None:
        pytest.skip("the published lite_medsam.pth is not here: name it in ICLSAM_LITE_MEDSAM")
    main([path, str(tmp_path / "again.safetensors")])
    assert (tmp_path / "again.safetensors").read_bytes() == BUNDLED.read_bytes()
    assert "19,779," in capsys.readouterr().out
