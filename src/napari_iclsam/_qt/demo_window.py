"""The window that the command demo opens: the sample, its result and the dock."""

from __future__ import annotations

import sys
from pathlib import Path

import napari

from napari_iclsam._qt.viewer.layers import PROVENANCE
from napari_iclsam.files import read_labels


def show_demo(viewer: napari.Viewer, name: str, result: Path, plane: int) -> None:
    """Open a sample with what the demo has found, on a plane that it has segmented.

    Parameters
    ----------
    viewer : napari.Viewer
        Empty.
    name : {"brain", "cells"}
    result : Path
        The labels that were found.
    plane : int
    """
    image, _, labels = viewer.open_sample("napari-iclsam", name)
    viewer.add_labels(
        read_labels(result).array,
        name=f"{name} demo result",
        # no labels of a person, to take as examples
        metadata={PROVENANCE: {"image": image.name}},
        features=labels.features,
        colormap=labels.colormap,
        scale=image.scale,
        units=image.units,
        axis_labels=image.axis_labels[:3],
    )
    viewer.dims.set_current_step(0, plane)
    viewer.window.add_plugin_dock_widget("napari-iclsam", "ICL-SAM")


def main() -> None:
    """Open the window and wait until it is closed."""
    name, result, plane = sys.argv[1:]
    show_demo(napari.Viewer(), name, Path(result), int(plane))
    napari.run()


if __name__ == "__main__":
    main()
