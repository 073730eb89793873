"""Panels of lines over a common kind of axis, with ticks, a grid and legends: what `curves.png` is made of."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from couloir.artifacts.canvas import DPI, POINT, Canvas, Point, fitted, letters, width_of

LINE = 2.9
"""Inches of a row of panels."""
LEFT, RIGHT, TOP, BOTTOM = 0.66, 0.12, 0.27, 0.48
"""Inches around the axes of a panel, for its words; more at the left where the numbers there are long."""
HEADING = 0.27
"""Inches above all, for a title."""
ROOM = 0.05
"""The share of an axis that stays empty at each end."""
LETTERS, SMALL = 9.0, 8.0
"""Points of the letters of axes, and of legends."""
GREY, GRID, BLACK = "#777777", "#ececec", "#000000"
NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
WHOLE = (1.0, 2.0, 5.0, 10.0)
"""Distances of two ticks, times a power of ten."""
SMALLEST, LARGEST = 0.01, 1e5
"""Between these an axis ends without a power of ten above it."""
TICK, GAP, BESIDE = 3.5, 11.0, 22.0
"""Points of a tick's length, from the numbers to the label beside them, and of all beside the numbers."""
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MOST = 8
"""Numbers of an axis, and one, at most."""
DIGITS = 5
"""Of a number of an axis at most, from its first to the last that changes."""
CONSTANT = 1e-11
"""Values that differ by less than this share of them are drawn as one."""
HUGE = 1e300
"""From this size on, a value is a gap as what is no number is."""
PROBES = 60
"""Points of a line, evenly spaced, that a legend is to stay away from."""


@dataclass(frozen=True)
class Line:
    """A line through (x, y); what is no number leaves a gap.

    Attributes:
        x: one value a point.
        y: one value a point.
        colour: as `#rrggbb`.
        label: what the legend says of it; None: nothing.
        width: in points.
        dotted: whether it is.
        marked: the places that have a dot.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    colour: str
    label: str | None = None
    width: float = 1.4
    dotted: bool = False
    marked: tuple[int, ...] = ()


@dataclass
class Panel:
    """Lines and their axes.

    Attributes:
        label: of the y axis.
        lines: in the order of the legend.
        width: in inches, with its words.
        over: of the x axis.
        log: whether the y axis is logarithmic; all values are positive then.
        low: where the y axis begins; None: below the least value.
        high: where it ends; None: above the largest.
        best: x of a dotted line from top to bottom, if any.
        best_label: what the legend says of it.
        ring: a point with a ring around it, if any.
        note: what stands above, at the right.
    """

    label: str
    lines: list[Line] = field(default_factory=list)
    width: float = 3.6
    over: str = "epoch"
    log: bool = False
    low: float | None = None
    high: float | None = None
    best: float | None = None
    best_label: str | None = None
    ring: Point | None = None
    note: str = ""

    def labels(self) -> list[str]:
        """The words of the legend."""
        return [label for label, _ in self.legend()]

    def legend(self) -> list[tuple[str, Line]]:
        """The entries of the legend: the words, and a line as it is drawn."""
        entries = [(line.label, line) for line in self.lines if line.label is not None]
        if self.best_label is not None:
            entries.append((self.best_label, Line((), (), GREY, width=1.1, dotted=True)))
        return entries

    def y_range(self) -> tuple[float, float]:
        """The lower and the upper end of the y axis."""
        values = [value for line in self.lines for value in line.y if can_be_drawn(value)]
        values += [self.ring[1]] if self.ring is not None and can_be_drawn(self.ring[1]) else []
        low, high = min(values, default=0.0), max(values, default=1.0)
        if self.log:
            room = ROOM * (math.log10(high) - math.log10(low)) or 0.1
            return low / 10**room or low, high * 10**room
        if high - low < CONSTANT * max(abs(low), abs(high)):
            low = high
        room = ROOM * (high - low) or ROOM * abs(high) or ROOM
        return low - room if self.low is None else self.low, high + room if self.high is None else self.high

    def x_range(self) -> tuple[float, float]:
        """The left and the right end of the x axis."""
        values = [value for line in self.lines for value in line.x]
        low, high = min(values, default=0.0), max(values, default=1.0)
        room = ROOM * (high - low) or 0.5  # of a single epoch; no other stands beside it
        return low - room, high + room

    def base(self) -> float:
        """What the numbers of the y axis are counted from, and that stands above it; 0: they are the values."""
        low, high = self.y_range()
        largest = max(abs(low), abs(high))
        if self.log or largest < 10.0 ** (DIGITS - 1) * (high - low) / MOST:
            return 0.0
        size = 10.0 ** math.ceil(math.log10(high - low))
        return math.floor(low / size) * size

    def power(self) -> int:
        """The power of ten that the numbers of the y axis leave out, and that stands above it; 0: none."""
        base = self.base()
        largest = max(abs(end - base) for end in self.y_range())
        return 0 if self.log or SMALLEST <= largest < LARGEST else math.floor(math.log10(largest))

    def above(self) -> str:
        """What makes a value of a number of the y axis, in words: ×10⁻⁶ + 2.302585."""
        factor = f"×{_power_of_ten(self.power())} " if self.power() else ""
        base = self.base()
        return f"{factor}{'−' if base < 0 else '+'} {abs(base):.12g}" if base else factor.strip()

    def y_ticks(self) -> list[tuple[float, str]]:
        """Where the y axis has a number, and the number, without what stands above it."""
        low, high = self.y_range()
        if self.log:
            return log_ticks(low, high)
        factor, base = 10.0 ** self.power(), self.base()
        found = ticks((low - base) / factor, (high - base) / factor, most=MOST)
        return [(value * factor + base, words) for value, words in found]

    def left(self) -> float:
        """Inches that the words at the left of the axes need."""
        beside = max((width_of(words, LETTERS) for _, words in self.y_ticks()), default=0.0)
        return max(LEFT, (beside + BESIDE * POINT) / DPI)

    def x_ticks(self) -> list[tuple[float, str]]:
        """Where the x axis has a number, a whole one, and the number."""
        return ticks(*self.x_range(), most=MOST, whole=True)


def can_be_drawn(value: float) -> bool:
    """Whether a value is a number, and small enough for the length of an axis to be one."""
    return abs(value) < HUGE


def chart(panels: Sequence[Sequence[Panel]], title: str = "") -> Canvas:
    """Panels row by row; those of a column are as wide as the one at the top.

    Args:
        panels: rows of panels.
        title: what stands above all.
    """
    widths = [panel.width for panel in panels[0]]
    above = HEADING if title else 0.0
    lefts = [max(panel.left() for panel in column) for column in _columns(panels)]
    canvas = Canvas(sum(widths) * DPI, (LINE * len(panels) + above) * DPI)
    if title:
        shown = fitted(title, letters((LETTERS + 1) * POINT), canvas.width - 2 * BESIDE)
        canvas.write((canvas.width / 2, above * DPI * 0.6), shown, LETTERS + 1)
    for row, line in enumerate(panels):
        left = 0.0
        for panel, width, beside in zip(line, widths, lefts, strict=False):
            top = above + row * LINE
            edges = (left + beside, top + TOP, left + width - RIGHT, top + LINE - BOTTOM)
            draw_panel(canvas, panel, (edges[0] * DPI, edges[1] * DPI, edges[2] * DPI, edges[3] * DPI))
            left += width
    return canvas


def _columns(panels: Sequence[Sequence[Panel]]) -> list[list[Panel]]:
    """The panels that stand above each other, from left to right."""
    return [[row[place] for row in panels if place < len(row)] for place in range(len(panels[0]))]


def draw_panel(canvas: Canvas, panel: Panel, edges: tuple[float, float, float, float]) -> None:
    """Draw one panel, its axes between the left, upper, right and lower edge."""
    left, top, right, bottom = edges
    (x_low, x_high), (y_low, y_high) = panel.x_range(), panel.y_range()
    scaled = math.log10 if panel.log else float
    depth = scaled(y_high) - scaled(y_low)

    def across(x: float) -> float:
        return left + (x - x_low) / (x_high - x_low) * (right - left)

    def down(y: float) -> float:
        return bottom - (scaled(y) - scaled(y_low)) / depth * (bottom - top)

    tick = TICK * POINT
    for value, words in panel.x_ticks():
        canvas.stroke([(across(value), top), (across(value), bottom)], GRID, 0.6)
        canvas.stroke([(across(value), bottom), (across(value), bottom + tick)], BLACK, 0.8)
        canvas.write((across(value), bottom + tick + 8 * POINT), words, LETTERS)
    for value, words in panel.y_ticks():
        canvas.stroke([(left, down(value)), (right, down(value))], GRID, 0.6)
        canvas.stroke([(left - tick, down(value)), (left, down(value))], BLACK, 0.8)
        canvas.write((left - tick - 3 * POINT, down(value)), words, LETTERS, anchor="end")
    for value in small_ticks(y_low, y_high) if panel.log else ():
        canvas.stroke([(left - tick / 2, down(value)), (left, down(value))], BLACK, 0.6)
    canvas.stroke([(left, top), (left, bottom), (right, bottom)], BLACK, 0.8)
    canvas.write(((left + right) / 2, bottom + 26 * POINT), panel.over, LETTERS)
    beside = max((width_of(words, LETTERS) for _, words in panel.y_ticks()), default=0.0)
    label = fitted(panel.label, letters(LETTERS * POINT), bottom - top + 2 * TOP * DPI)
    canvas.write((left - tick - GAP * POINT - beside, (top + bottom) / 2), label, LETTERS, upward=True)
    canvas.write((left, top - 9 * POINT), panel.above(), SMALL, anchor="start")
    canvas.write((right, top - 9 * POINT), panel.note, SMALL, "#4d4d4d", anchor="end")
    if panel.best is not None and x_low <= panel.best <= x_high:
        canvas.stroke([(across(panel.best), top), (across(panel.best), bottom)], GREY, 1.1, dotted=True)
    drawn: list[Point] = []
    for line in panel.lines:
        for points in _runs(line):
            shown = [(across(x), down(y)) for x, y in points]
            for piece in clipped(shown, top, bottom):
                canvas.stroke(piece, line.colour, line.width, line.dotted)
                drawn += piece
        for place in line.marked:
            x, y = line.x[place], line.y[place]
            if can_be_drawn(y) and top <= down(y) <= bottom:
                canvas.dot((across(x), down(y)), 4.0, line.colour)
                drawn.append((across(x), down(y)))
    if panel.ring is not None and can_be_drawn(panel.ring[1]) and top <= down(panel.ring[1]) <= bottom:
        canvas.dot((across(panel.ring[0]), down(panel.ring[1])), 6.5, None, "#333333")
        drawn.append((across(panel.ring[0]), down(panel.ring[1])))
    _draw_legend(canvas, panel.legend(), edges, drawn)


def _draw_legend(
    canvas: Canvas, entries: list[tuple[str, Line]], edges: tuple[float, float, float, float], drawn: Sequence[Point]
) -> None:
    """Draw the legend in the corner in which it hides least."""
    if not entries:
        return
    line, sample, pad = 11.5 * POINT, 16 * POINT, 4 * POINT
    room = edges[2] - edges[0] - sample - 4 * pad
    entries = [(fitted(words, letters(SMALL * POINT), room), shown) for words, shown in entries]
    width = sample + max(width_of(words, SMALL) for words, _ in entries) + 3 * pad
    height = line * len(entries) + pad
    left, top = corner(edges, (width, height), drawn)
    canvas.box((left, top, left + width, top + height), fill="#ffffff", opacity=0.75)
    for number, (words, shown) in enumerate(entries):
        y = top + pad / 2 + line * (number + 0.5)
        canvas.stroke([(left + pad, y), (left + pad + sample, y)], shown.colour, shown.width, shown.dotted)
        if shown.marked:
            canvas.dot((left + pad + sample / 2, y), 4.0, shown.colour)
        canvas.write((left + 2 * pad + sample, y), words, SMALL, anchor="start")


def corner(edges: tuple[float, float, float, float], size: tuple[float, float], drawn: Sequence[Point]) -> Point:
    """The upper left end of a box of some size, where it hides fewest points: in a corner, or else in a middle."""
    left, top, right, bottom = edges
    gap = 2 * POINT
    far, low = right - size[0] - gap, bottom - size[1] - gap
    near, high, middle = left + gap, top + gap, (top + bottom - size[1]) / 2
    between = (left + right - size[0]) / 2
    places = [(far, high), (near, high), (near, low), (far, low), (far, middle), (near, middle), (between, high),
              (between, low), (between, middle)]  # fmt: skip

    def hidden(place: Point) -> int:
        return sum(
            place[0] <= x <= place[0] + size[0] and place[1] <= y <= place[1] + size[1] for x, y in _between(drawn)
        )

    return min(places, key=hidden)


def _between(points: Sequence[Point]) -> Iterator[Point]:
    """Points, and some between each two neighbours, so that there are about `PROBES` at least."""
    parts = max(1, PROBES // max(1, len(points)))
    for (x, y), (to_x, to_y) in zip(points, [*points[1:], *points[-1:]], strict=True):
        for part in range(parts):
            yield x + (to_x - x) * part / parts, y + (to_y - y) * part / parts


def _runs(line: Line) -> Iterator[list[Point]]:
    """The parts of a line between its gaps."""
    run: list[Point] = []
    for x, y in zip(line.x, line.y, strict=True):
        if can_be_drawn(y):
            run.append((x, y))
        elif run:
            yield run
            run = []
    if run:
        yield run


def clipped(points: Sequence[Point], top: float, bottom: float) -> Iterator[list[Point]]:
    """The parts of a line that lie between two heights."""
    if all(top <= y <= bottom for _, y in points):
        yield list(points)
        return
    part: list[Point] = []
    for (x, y), (to_x, to_y) in itertools.pairwise(points):
        ways = sorted((edge - y) / (to_y - y) for edge in (top, bottom)) if to_y != y else [-math.inf, math.inf]
        begin, end = max(0.0, ways[0]), min(1.0, ways[1])
        if end <= begin or (to_y == y and not top <= y <= bottom):
            continue
        ends = [(x + (to_x - x) * way, y + (to_y - y) * way) for way in (begin, end)]
        if begin > 0 or not part:
            if part:
                yield part
            part = [ends[0]]
        part.append(ends[1])
    if part:
        yield part


def ticks(low: float, high: float, most: int, whole: bool = False) -> list[tuple[float, str]]:
    """Round numbers of an axis, at most so many and one, in words; `whole`: whole numbers alone."""
    size = 10.0 ** math.floor(math.log10((high - low) / most))
    steps = [factor * size * power for power in (1.0, 10.0) for factor in (WHOLE if whole else NICE)]
    step = next(step for step in steps if (high - low) / step <= most and (not whole or step >= 1))
    values = [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
    decimals = next(digits for digits in range(20) if abs(round(step, digits) - step) < 1e-6 * step)
    return [(value, in_words(value, decimals)) for value in values]


def in_words(value: float, decimals: int) -> str:
    """A number of an axis, short: 0.25, −3, 2e−05."""
    shown = f"{value:.{decimals}f}"
    if len(shown) > 6:
        shown = f"{value:g}"
    return ("0" if float(shown) == 0 and decimals == 0 else shown).replace("-", "−")


def log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Numbers of a logarithmic axis, closer than at powers of ten where there would be few of these."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if high / low < 2000 and low > 1e-6 and high < 1e6:
        values = [factor * 10.0**power for power in range(first, last + 1) for factor in (1, 2, 5)]
        return [(value, f"{value:g}") for value in values if low <= value <= high]
    every = max(1, math.ceil((last - first) / 8))
    powers = [power for power in range(first, last + 1, every) if low <= 10.0**power <= high]
    return [(10.0**power, _power_of_ten(power)) for power in powers]


def _power_of_ten(power: int) -> str:
    return f"10{str(power).translate(SUPERSCRIPT)}"


def small_ticks(low: float, high: float) -> list[float]:
    """Twice, three times ... a power of ten, where a logarithmic axis has room for them."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    values = [factor * 10.0**power for power in range(first, last + 1) for factor in range(1, 10)]
    return values[bisect.bisect_left(values, low) : bisect.bisect_right(values, high)] if last - first <= 8 else []
