"""What comes with a result."""

from __future__ import annotations

import pytest

from napari_iclsam.core.prediction import Provenance


@pytest.mark.parametrize(("old", "new"), [("hashes", "checksums"), ("licences", "licenses")])
def test_an_old_name_in_the_provenance_warns_and_works(old: str, new: str) -> None:
    provenance = Provenance(
        version="1",
        models={"sam": "small"},
        checksums={"sam": "sha256:a"},
        licenses={"sam": "MIT"},
        settings={},
        support="",
        examples=1,
        device="cpu",
        precision="float32",
        icl_precision="float32",
    )
    with pytest.warns(DeprecationWarning, match=f"{old} is now called Provenance.{new}") as caught:
        value = getattr(provenance, old)
    assert value == getattr(provenance, new)
    # the place that has to be changed, not our module
    assert caught[0].filename == __file__
