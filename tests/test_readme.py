"""The README on GitHub, on PyPI and on the napari hub, which know no relative links."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
URLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
REPOSITORY = URLS["Source"]


def without_code(text: str) -> str:
    """Drop fenced blocks and spans of code: brackets in them are no links."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]+`", "", text)


def targets_of(markdown: str) -> list[str]:
    """List the targets of links and pictures, written in Markdown or in HTML, once each."""
    text = without_code(markdown)
    inline = re.findall(r"\]\(\s*<?([^)>\s]+)", text)
    references = re.findall(r"^\[[^\]]+\]:\s*<?([^>\s]+)", text, flags=re.MULTILINE)
    html = re.findall(r"""(?:href|src|srcset)\s*=\s*["']([^"']+)["']""", text)
    return sorted({*inline, *references, *html})


def anchors_of(markdown: str) -> set[str]:
    """Return the anchors that GitHub gives the headings."""
    headings = re.findall(r"^#+ +(.+?) *$", without_code(markdown), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def path_in_repository(url: str) -> str | None:
    """Return the path that an address names in the repository's main branch, else None."""
    owner_and_name = REPOSITORY.removeprefix("https://github.com/")
    homes = (
        f"{REPOSITORY}/blob/main/",
        f"{REPOSITORY}/tree/main/",
        f"{REPOSITORY}/raw/main/",
        f"https://raw.githubusercontent.com/{owner_and_name}/main/",
    )
    for home in homes:
        if url.startswith(home):
            return url.removeprefix(home).partition("#")[0].partition("?")[0]
    return None


def test_links_and_pictures_are_found_in_markdown_and_html() -> None:
    markdown = """
    [one](a.md) ![two](b.png "title") [![three](c.svg)](d.md) <img alt="" src="e.gif">
    <a href='f.md'>six</a>
    `[no](link.md)`
    """
    reference = "\n[seven]: g.md\n"
    fence = "\n```python\n[0](x)\n```\n"
    found = targets_of(markdown + reference + fence)
    assert found == ["a.md", "b.png", "c.svg", "d.md", "e.gif", "f.md", "g.md"]


@pytest.mark.parametrize("target", targets_of(README))
def test_each_link_and_picture_of_the_readme_is_absolute_or_an_anchor_of_it(target: str) -> None:
    if target.startswith("#"):
        assert target[1:] in anchors_of(README)
    else:
        assert target.startswith(("https://", "mailto:"))


@pytest.mark.parametrize("url", sorted({*targets_of(README), *URLS.values()}))
def test_each_address_in_the_repository_names_what_is_there(url: str) -> None:
    path = path_in_repository(url)
    if path is not None:
        assert (ROOT / path).exists()


def test_the_addresses_of_the_package_lie_in_one_repository() -> None:
    assert {"Homepage", "Documentation", "Source", "Issues", "Changelog"} <= set(URLS)
    assert all(url == REPOSITORY or url.startswith(f"{REPOSITORY}/") for url in URLS.values())
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"repository-code: {REPOSITORY}\n" in citation
