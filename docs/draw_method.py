"""Draw the figure of the method, docs/images/method.svg: ``python docs/draw_method.py``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FIGURE = Path(__file__).parent / "images" / "method.svg"

WIDTH, HEIGHT = 950, 400
BOX_WIDTH, BOX_HEIGHT = 172, 84

INK = "#1f2933"
DATA = "#e8edf2"
MODEL = "#d6e6f7"
GUIDE = "#c2410c"
RESULT = "#dcefdc"

STYLE = """
  text { font-family: "DejaVu Sans", Verdana, sans-serif; fill: #1f2933; text-anchor: middle; }
  .title { font-size: 16px; font-weight: bold; }
  .note { font-size: 13px; }
  .guide { fill: #c2410c; }
"""


@dataclass(frozen=True)
class Box:
    """A box with a title and up to two lines below it; x and y of its upper left corner."""

    x: int
    y: int
    title: str
    notes: tuple[str, ...]
    color: str

    @property
    def middle(self) -> int:
        """The x of its middle."""
        return self.x + BOX_WIDTH // 2

    def svg(self) -> str:
        """Return the box with its words."""
        outline = (
            f'<rect x="{self.x}" y="{self.y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8" '
            f'fill="{self.color}" stroke="{INK}" stroke-width="1.2"/>'
        )
        parts = [outline]
        first = self.y + BOX_HEIGHT / 2 + 5 - 9 * len(self.notes)
        parts.append(text(self.middle, first, self.title, "title"))
        for line, note in enumerate(self.notes, start=1):
            parts.append(text(self.middle, first + 19 * line, note, "note"))
        return "\n".join(parts)


def text(x: float, y: float, words: str, style: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{style}">{words}</text>'


def path(points: list[tuple[int, int]], *, arrow: bool = True, guide: bool = False) -> str:
    """Draw a line through points, with an arrow at its end; a guide is dashed."""
    color = GUIDE if guide else INK
    route = " ".join(f"{x},{y}" for x, y in points)
    marker = f' marker-end="url(#{"guide" if guide else "flow"})"' if arrow else ""
    dashes = ' stroke-dasharray="6 4"' if guide else ""
    return (
        f'<polyline points="{route}" fill="none" stroke="{color}" stroke-width="1.8"'
        f"{dashes}{marker}/>"
    )


def marker(name: str, color: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0,0 L10,5 L0,10 z" fill="{color}"/></marker>'
    )


def figure() -> str:
    """Return the figure as SVG."""
    examples = Box(12, 46, "Examples", ("K images", "and their labels"), DATA)
    query = Box(12, 216, "Query", ("the image or slice", "to segment"), DATA)
    in_context = Box(256, 46, "In-context model", ("UniverSeg,", "starter-icl"), MODEL)
    encoder = Box(256, 216, "Image encoder", ("of SAM:", "embeddings"), MODEL)
    prompts = Box(496, 46, "Prompts", ("boxes,", "a coarse mask"), DATA)
    confidence = Box(496, 216, "Confidence map", ("linear probe on", "the embeddings"), MODEL)
    decoder = Box(736, 46, "Mask decoder", ("of SAM:", "logits"), MODEL)
    fusion = Box(736, 216, "Fusion", ("weighted sum,", "threshold"), MODEL)
    boxes = (examples, query, in_context, encoder, prompts, confidence, decoder, fusion)
    lines = [
        # examples and query go to both models
        path([(184, 88), (220, 88)], arrow=False),
        path([(184, 258), (220, 258)], arrow=False),
        path([(220, 88), (220, 258)], arrow=False),
        path([(220, 88), (254, 88)]),
        path([(220, 258), (254, 258)]),
        # along the rows
        path([(428, 88), (494, 88)]),
        path([(668, 88), (734, 88)]),
        path([(428, 258), (494, 258)]),
        path([(668, 258), (734, 258)]),
        # probabilities of the in-context model to the fusion
        path([(452, 88), (452, 22), (932, 22), (932, 258), (910, 258)]),
        # embedding of the query to the mask decoder
        path([(342, 300), (342, 326), (700, 326), (700, 112), (734, 112)]),
        path([(822, 130), (822, 214)]),
        path([(822, 300), (822, 344)]),
        # guidance
        path([(540, 216), (540, 172), (342, 172), (342, 132)], guide=True),
        path([(624, 216), (624, 172), (780, 172), (780, 132)], guide=True),
    ]
    labels = [
        text(462 + 120, 16, "mask probabilities p", "note"),
        text(441, 164, "guidance", "note guide"),
        text(742, 164, "guidance", "note guide"),
        text(520, 344, "embedding of the query", "note"),
        text(838, 180, "m", "note"),
        text(684, 250, "c", "note"),
    ]
    result = (
        f'<rect x="736" y="346" width="{BOX_WIDTH}" height="42" rx="8" fill="{RESULT}" '
        f'stroke="{INK}" stroke-width="1.2"/>' + text(822, 372, "Labels", "title")
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img" aria-labelledby="title">'
    )
    return "\n".join(
        [
            head,
            '<title id="title">From examples and a query to labels: ICL-SAM</title>',
            f"<style>{STYLE}</style>",
            f"<defs>{marker('flow', INK)}{marker('guide', GUIDE)}</defs>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="#ffffff"/>',
            *lines,
            *(box.svg() for box in boxes),
            result,
            *labels,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    FIGURE.write_text(figure(), encoding="utf-8")
