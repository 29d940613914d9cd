"""Names of labels as readers and people give them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from napari.layers import Labels

from napari_iclsam._qt.viewer.label_styles import names_of

NAMES = {1: "nucleus", 5: "cell"}


@pytest.mark.parametrize(
    "features",
    [
        {"index": [0, 1, 5], "name": ["background", "nucleus", "cell"]},
        {"label_value": [1, 5], "name": ["nucleus", "cell"]},
        {"label-value": [5, 1], "class": ["cell", "nucleus"]},
        {"label": [1, 5], "name": ["nucleus", "cell"]},
        {"label_value": [1.0, 5.0], "label": ["nucleus", "cell"]},
        # as read beside numbers of the rows
        {"index": [0, 1], "label_value": [1, 5], "name": ["nucleus", "cell"]},
        # row by row
        {"name": ["background", "nucleus", None, "", np.nan, "cell"]},
    ],
    ids=["index", "label_value", "label-value", "label", "texts in label", "row numbers", "rows"],
)
def test_names_are_found_by_the_column_that_holds_the_labels(features: dict[str, Any]) -> None:
    labels = Labels(np.zeros((4, 4), int), features=pd.DataFrame(features))
    assert names_of(labels) == NAMES


def test_measurements_without_names_name_nothing() -> None:
    features = {"index": [0, 1], "area": [0.0, 12.5], "label": [1, 2]}
    assert names_of(Labels(np.zeros((4, 4), int), features=pd.DataFrame(features))) == {}
