"""Units of length: one table of spellings, conversion, and what each kind of file can say."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

METERS: Mapping[str, float] = {
    "pm": 1e-12,
    "Å": 1e-10,
    "nm": 1e-9,
    "µm": 1e-6,
    "mm": 1e-3,
    "cm": 1e-2,
    "m": 1.0,
    "inch": 0.0254,
}
"""Length of one of each unit that is known, by the name that is used here."""

_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "pm": ("pm", "picometer", "picometre"),
    "Å": ("å", "angstrom", "ångström", "ångstrom", "ang"),
    "nm": ("nm", "nanometer", "nanometre", "nanon"),
    "µm": ("μm", "um", "micron", "micrometer", "micrometre", "μ", "mcm"),
    "mm": ("mm", "millimeter", "millimetre"),
    "cm": ("cm", "centimeter", "centimetre"),
    "m": ("m", "meter", "metre"),
    "inch": ("inch", "in", "inche", '"'),
}
"""Singular, lower case, in Unicode's compatibility form (both micro signs are a Greek mu)."""

_CANONICAL: dict[str, str] = {}
"""The unit of each spelling."""

for _unit, _spelled in _SPELLINGS.items():
    _CANONICAL |= dict.fromkeys(_spelled, _unit)

_SAYS_NOTHING = (
    "",
    "pixel",
    "px",
    "voxel",
    "unknown",
    "none",
    "null",
    "reference frame",
    "unit",
    "grid",
)

_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
"""How Java, and so Fiji, writes letters that are not ASCII: ``\\u00B5m``."""


def unit_of(text: object) -> str:
    r"""Return the name used here for a unit as a file spells it.

    Parameters
    ----------
    text : object
        Such as "um", "micron", "µm" with either micro sign, "\\u00B5m", "millimetres". Bytes are
        decoded.

    Returns
    -------
    str
        A key of `METERS`; "" where the text says nothing, such as "pixel"; else the text itself,
        which is kept, but never converted.
    """
    raw = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text or "")
    unescaped = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), raw)
    # Fields of fixed length are filled up with zeros.
    raw = unescaped.strip().strip("\0")
    # "Âµm" is UTF-8 that was read as Latin-1.
    decoded = raw.replace("Â", "")
    plain = unicodedata.normalize("NFKC", decoded).lower()
    for spelling in (plain, plain.removesuffix("s")):
        if spelling in _CANONICAL:
            return _CANONICAL[spelling]
        if spelling in _SAYS_NOTHING:
            return ""
    return raw


def is_length(unit: str) -> bool:
    """Tell whether lengths in this unit can be converted."""
    return unit in METERS


def convert(value: float, unit: str, into: str) -> float:
    """Convert a length; both units must be in `METERS`. The same unit changes nothing."""
    if unit == into:
        return value
    # Twelve digits: 0.00025 mm is 0.25 µm, not 0.24999999999999997.
    return float(f"{value * METERS[unit] / METERS[into]:.12g}")


def ascii_unit(unit: str) -> str:
    """Return a unit in ASCII for ImageJ: "micron" for µm, other letters as Fiji escapes them."""
    # As ImageJ itself writes it.
    if unit == "µm":
        return "micron"
    escaped = ""
    for letter in unit:
        escaped += letter if letter.isascii() else f"\\u{ord(letter):04X}"
    return escaped
