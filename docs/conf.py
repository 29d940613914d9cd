"""Configuration of the documentation: Sphinx, Markdown pages, reference generated from the code."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "napari-iclsam"
author = "napari-iclsam developers"
project_copyright = "2026, napari-iclsam developers"
release = version_of("napari-iclsam")
version = release.split("+", maxsplit=1)[0]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "from_the_code",
    "mathml",
]
exclude_patterns = ["_build", "notebooks", "jobs/*_numbers.md", "jobs/*_table.md"]

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

default_role = "py:obj"
nitpicky = True
nitpick_ignore = [("py:class", "Path"), ("py:obj", "dataclasses.replace")]
nitpick_ignore_regex = [
    # The types of numpy docstrings are prose ("ndarray, (H, W), integer"). Only class names are
    # links there: one capitalised word.
    ("py:class", r"(?![A-Z]\w+$).*"),
]
autodoc_typehints = "none"  # the docstrings say more: shapes, ranges, orders of axes
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_math_renderer = "mathml"
html_title = "napari-iclsam"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_sourcelink = False
