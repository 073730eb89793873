"""A drawing of lines, boxes and words, as a PNG by Pillow or as an SVG.

What each run draws at its end is drawn here: Matplotlib takes longer to import than a small run takes to train, and
five times as long for a picture of some lines. Nothing here imports Matplotlib; its fonts are read from its folder.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape

from PIL import Image, ImageDraw, ImageFont

DPI = 160
"""Pixels of an inch."""
POINT = DPI / 72
"""Pixels of a point, in which letters and lines are measured."""
FINER = 3
"""So many times as many pixels are drawn each way and averaged: edges are smooth."""
DASH, SPACE = 1.1, 1.7
"""Of a dotted line, in widths of the line."""
FAMILY = "DejaVu Sans, Verdana, sans-serif"

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]


@functools.cache
def letters(size: float, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The letters of Matplotlib's own font, which has those of many languages.

    Args:
        size: of the letters, in pixels.
        bold: whether they are bold.
    """
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    found = importlib.util.find_spec("matplotlib")  # where it is, without importing it
    assert found is not None
    assert found.submodule_search_locations is not None
    return ImageFont.truetype(str(Path(found.submodule_search_locations[0]) / "mpl-data/fonts/ttf" / name), size)


@dataclass(frozen=True)
class Stroke:
    """A line through points (x, y)."""

    points: tuple[Point, ...]
    colour: str
    width: float
    dotted: bool


@dataclass(frozen=True)
class Box:
    """A rectangle or, with `round`, the ellipse in it: left, upper, right and lower edge."""

    edges: tuple[float, float, float, float]
    fill: str | None
    outline: str | None
    width: float
    opacity: float
    round: bool


@dataclass(frozen=True)
class Words:
    """A line of text, from, around or up to a point that is as high as the middle of its letters."""

    at: Point
    text: str
    points: float
    colour: str
    anchor: Anchor
    upward: bool
    bold: bool


class Canvas:
    """Shapes in the order in which they are drawn, in pixels from the upper left corner; words stand above all else.

    Args:
        width: in pixels.
        height: in pixels.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = round(width), round(height)
        self.shapes: list[Stroke | Box] = []
        self.words: list[Words] = []

    def stroke(self, points: Sequence[Point], colour: str, width: float, dotted: bool = False) -> None:
        """Draw a line of some width in points; of a single point nothing."""
        if len(points) > 1:
            self.shapes.append(Stroke(tuple(points), colour, width * POINT, dotted))

    def box(
        self, edges: tuple[float, float, float, float], fill: str | None = None, outline: str | None = None,
        width: float = 0.8, opacity: float = 1.0,
    ) -> None:  # fmt: skip
        """Draw a rectangle between its left, upper, right and lower edge."""
        self.shapes.append(Box(edges, fill, outline, width * POINT, opacity, round=False))

    def dot(self, at: Point, size: float, fill: str | None, outline: str | None = None, width: float = 1.0) -> None:
        """Draw a disc or, without `fill`, a ring, `size` points wide."""
        half = size * POINT / 2
        edges = at[0] - half, at[1] - half, at[0] + half, at[1] + half
        self.shapes.append(Box(edges, fill, outline, width * POINT, opacity=1.0, round=True))

    def write(
        self, at: Point, text: str, points: float = 9, colour: str = "#000000", anchor: Anchor = "middle",
        upward: bool = False, bold: bool = False,
    ) -> None:  # fmt: skip
        """Write a line of text, from bottom to top with `upward`."""
        if text:
            self.words.append(Words(at, text, points, colour, anchor, upward, bold))

    def png(self) -> bytes:
        """The drawing as a PNG file."""
        page = Image.new("RGB", (self.width * FINER, self.height * FINER), "white")
        draw = ImageDraw.Draw(page)
        for shape in self.shapes:
            if isinstance(shape, Stroke):
                for piece in _pieces(shape):
                    draw.line(_finer(piece), shape.colour, max(1, round(shape.width * FINER)), joint="curve")
            else:
                _paint(page, draw, shape)
        page = page.reduce(FINER)
        for words in self.words:
            _write(page, words)
        stream = io.BytesIO()
        page.save(stream, format="PNG")
        return stream.getvalue()

    def svg(self) -> bytes:
        """The drawing as an SVG file; the same drawing gives the same bytes."""
        size = f'width="{self.width / POINT:g}pt" height="{self.height / POINT:g}pt"'
        box = f'viewBox="0 0 {self.width} {self.height}"'
        lines = [
            '<?xml version="1.0" encoding="utf-8"?>',
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box} font-family="{FAMILY}">',
            f'<rect width="{self.width}" height="{self.height}" fill="#ffffff"/>',
            *(_stroke_svg(shape) if isinstance(shape, Stroke) else _box_svg(shape) for shape in self.shapes),
            *(_words_svg(words) for words in self.words),
            "</svg>",
        ]
        return "\n".join(lines).encode() + b"\n"


def width_of(text: str, points: float = 9, bold: bool = False) -> float:
    """The width of a line of text in pixels."""
    return letters(points * POINT, bold).getlength(text)


def fitted(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """A line of text, without its middle where it is wider than some pixels: names often differ at their ends alone."""
    text = " ".join(text.split())
    if font.getlength(text) <= room:
        return text
    for kept in range(min(len(text) - 1, round(2 * room)), 0, -1):
        shorter = f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"
        if font.getlength(shorter) <= room:
            return shorter
    return "…"


def legible(classes: Sequence[str]) -> list[str]:
    """Names of classes; one with letters that are not in the font, which has no Chinese, is its number from 0 on."""
    return [name if all(map(_has, name)) else f"class {number}" for number, name in enumerate(classes)]


@functools.cache
def _has(letter: str) -> bool:
    """Whether the font draws a letter, and not the box that stands for what it lacks."""
    font, lacking = letters(20), "\U0010ffff"
    return letter.isspace() or _drawn(font, letter) != _drawn(font, lacking)


def _drawn(font: ImageFont.FreeTypeFont, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


def _finer(points: Sequence[Point]) -> list[Point]:
    return [(x * FINER, y * FINER) for x, y in points]


def _pieces(shape: Stroke) -> Iterator[tuple[Point, ...]]:
    """The line itself, or the dashes of a dotted one."""
    if not shape.dotted:
        yield shape.points
        return
    dash, period = DASH * shape.width, (DASH + SPACE) * shape.width
    gone = 0.0
    for (x, y), (to_x, to_y) in itertools.pairwise(shape.points):
        length = math.hypot(to_x - x, to_y - y)
        first = math.floor(gone / period)
        for number in range(first, math.ceil((gone + length) / period)):
            begin, end = number * period - gone, number * period + dash - gone
            begin, end = max(begin, 0.0), min(end, length)
            if end > begin:
                yield tuple((x + (to_x - x) * way / length, y + (to_y - y) * way / length) for way in (begin, end))
        gone += length


def _paint(page: Image.Image, draw: ImageDraw.ImageDraw, shape: Box) -> None:
    left, top, right, bottom = (round(edge * FINER) for edge in shape.edges)
    width = max(1, round(shape.width * FINER)) if shape.outline else 0
    edges = (left, top, max(left, right - 1), max(top, bottom - 1))
    if shape.opacity < 1 and shape.fill is not None:
        below = page.crop((left, top, right, bottom))
        page.paste(Image.blend(below, Image.new("RGB", below.size, shape.fill), shape.opacity), (left, top))
    elif shape.round:
        draw.ellipse(edges, shape.fill, shape.outline, width)
    else:
        draw.rectangle(edges, shape.fill, shape.outline, width)


def _write(page: Image.Image, words: Words) -> None:
    font = letters(words.points * POINT, words.bold)
    anchor = {"start": "l", "middle": "m", "end": "r"}[words.anchor]
    # The middle of capital letters: that of all letters depends on which there are.
    x, y = words.at
    down = words.points * POINT * CAPITAL / 2
    if not words.upward:
        ImageDraw.Draw(page).text((x, y + down), words.text, words.colour, font, anchor=f"{anchor}s")
        return
    long, high = math.ceil(font.getlength(words.text)) + 4, math.ceil(words.points * POINT * 1.6)
    mask = Image.new("L", (long, high), 0)
    ImageDraw.Draw(mask).text((2, high / 2 + down), words.text, 255, font, anchor="ls")
    mask = mask.transpose(Image.Transpose.ROTATE_90)
    below = {"start": y + 2, "middle": y + long / 2, "end": y + long - 2}[words.anchor]
    page.paste(Image.new("RGB", mask.size, words.colour), (round(x - high / 2), round(below - long)), mask)


CAPITAL = 0.73
"""Height of the font's capital letters, in sizes of the font."""


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _stroke_svg(shape: Stroke) -> str:
    points = " ".join(f"{_number(x)},{_number(y)}" for x, y in shape.points)
    dotted = f' stroke-dasharray="{_number(DASH * shape.width)} {_number(SPACE * shape.width)}"' if shape.dotted else ""
    return (
        f'<polyline points="{points}" fill="none" stroke="{shape.colour}" stroke-width="{_number(shape.width)}" '
        f'stroke-linejoin="round"{dotted}/>'
    )


def _box_svg(shape: Box) -> str:
    left, top, right, bottom = shape.edges
    width, height = right - left, bottom - top
    if shape.round:
        place = f'ellipse cx="{_number(left + width / 2)}" cy="{_number(top + height / 2)}" '
        place += f'rx="{_number(width / 2)}" ry="{_number(height / 2)}"'
    else:
        place = f'rect x="{_number(left)}" y="{_number(top)}" width="{_number(width)}" height="{_number(height)}"'
    line = f' stroke="{shape.outline}" stroke-width="{_number(shape.width)}"' if shape.outline else ""
    opacity = f' fill-opacity="{shape.opacity:g}"' if shape.opacity < 1 else ""
    return f'<{place} fill="{shape.fill or "none"}"{line}{opacity}/>'


def _words_svg(words: Words) -> str:
    size, (x, y) = words.points * POINT, words.at
    down = size * CAPITAL / 2
    place = f'transform="translate({_number(x + down)} {_number(y)}) rotate(-90)"' if words.upward else (
        f'x="{_number(x)}" y="{_number(y + down)}"'
    )  # fmt: skip
    bold = ' font-weight="bold"' if words.bold else ""
    return (
        f'<text {place} font-size="{_number(size)}" fill="{words.colour}" text-anchor="{words.anchor}"{bold}>'
        f"{escape(words.text)}</text>"
    )
