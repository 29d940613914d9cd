"""Compare files of weights with what their publishers say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_iclsam.weights import checksums
from napari_iclsam.weights.catalogue import CATALOGUE
from napari_iclsam.weights.download import MissingWeights, status
from napari_iclsam.weights.entry import Weights
from napari_iclsam.weights.lookup import lookup


@dataclass(frozen=True, slots=True)
class Verified:
    """Outcome of a comparison with the published checksum.

    Attributes
    ----------
    path : Path
    expected : str, optional
        The published checksum; None for bundled weights and custom checkpoints.
    found : str
        The checksum of the file, of the same kind.
    sha256 : str
        "sha256:...", whatever kind the publisher gives.
    """

    path: Path
    expected: str | None
    found: str
    sha256: str

    @property
    def matches(self) -> bool:
        """Whether the file is the published one; True if no checksum is published."""
        return self.expected is None or self.expected.lower() == self.found


def verify(name: str | Path) -> Verified:
    """Compare a file with what its publisher says; nothing is changed whatever the outcome.

    Parameters
    ----------
    name : str or Path
        A name of the catalogue (its file on this computer), or any file: one whose name is that of
        a published file is compared with that.

    Raises
    ------
    MissingWeights
        The catalogue's file is not on this computer.
    FileNotFoundError
        There is no such file.
    """
    path = Path(name)
    # A file in the working folder goes before a name of the catalogue.
    if path.is_file():
        weights = _by_filename(path.name)
    else:
        weights = lookup(str(name))
        found = status(weights).path
        if found is None:
            raise MissingWeights(weights)
        path = found
    sha256 = checksums.checksum(path)
    expected = None if weights is None else weights.checksum
    # A checkpoint of the user's own: its sha256 can still be compared by hand.
    if expected is None:
        return Verified(path, None, sha256, sha256)
    of_kind = checksums.checksum(path, checksums.kind_of(expected))
    return Verified(path, expected, of_kind, sha256)


def _by_filename(filename: str) -> Weights | None:
    """Return the published weights of a file name, if there are any."""
    for weights in CATALOGUE.values():
        if weights.filename == filename:
            return weights
    return None
