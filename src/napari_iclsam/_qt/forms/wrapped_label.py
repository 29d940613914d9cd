"""A text that breaks long words, such as names of files, instead of widening the form."""

from __future__ import annotations

import re

from qtpy.QtWidgets import QLabel

_BREAK = "\N{ZERO WIDTH SPACE}"

_LONGEST = 20
"""Letters that stay together."""

_WORD = re.compile(rf"\w{{{_LONGEST}}}(?=\w)")

_TAG = re.compile(r"(<[^>]*>)")


class WrappedLabel(QLabel):
    """Text in as many lines as it takes; by itself, Qt breaks it at spaces alone."""

    def __init__(self, text: str = "") -> None:
        super().__init__(wordWrap=True)
        self._text = ""
        self.setText(text)

    def setText(self, text: str) -> None:
        """Show a text, plain or rich."""
        self._text = text
        super().setText(breakable(text))

    def text(self) -> str:
        """Return the text as it was given."""
        return self._text


def breakable(text: str) -> str:
    """Return a text that can be broken within long words, but not within tags."""
    parts = _TAG.split(text)
    # tags are every second part
    parts[::2] = [_WORD.sub(rf"\g<0>{_BREAK}", part) for part in parts[::2]]
    return "".join(parts)
