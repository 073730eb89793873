"""Which class the values of a mask's pixels are: the keys `colours` and `ignore_index`. Nothing here imports torch.

A value is a number, whatever the file's mode: a palette's index, a grey level, or a colour.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from couloir.config.fields import IGNORED
from couloir.errors import CouloirError, as_typed

Numbers = NDArray[np.int32]
COLOUR = 1 << 24
"""A colour that is no grey has the number COLOUR + 65536 red + 256 green + blue; a grey has its level."""
GREYS = 1 << 16
UNKNOWN = -1
OTHER = "other"
"""The word of a table for all numbers that it does not name."""
RANGES = as_typed(["data.colours={background: 0-127, object: 128-255}"])
EXAMPLE = as_typed(["data.colours={background: 0, object: 255}"])


@dataclass(frozen=True)
class Table:
    """Which class the numbers of a file are.

    Attributes:
        classes: the names, in the order of their labels.
        ranges: first and last number, and the label; none overlaps another.
        other: the label of all other numbers; None: they are a mistake.
        in_colour: whether the colours of a palette count, and not its indices.
    """

    classes: tuple[str, ...]
    ranges: tuple[tuple[int, int, int], ...]
    other: int | None = None
    in_colour: bool = False

    def in_words(self) -> list[str]:
        """Each class and its values, as the console shows them; last what takes no part."""
        values: dict[int, list[str]] = {}
        for first, last, label in self.ranges:
            shown = in_words(first) if first == last else f"{first}-{last}"
            values.setdefault(label, []).append(shown)
        if self.other is not None:
            values.setdefault(self.other, []).append(OTHER)
        stated = [(name, " ".join(values.get(label, []))) for label, name in enumerate(self.classes)]
        said = [name if name == value else f"{name} {value}" for name, value in stated]
        return [*said, f"ignored {' '.join(values[IGNORED])}"] if IGNORED in values else said

    def labels(self, numbers: Numbers) -> NDArray[np.int16]:
        """The label of each number, `UNKNOWN` where the table has none; `IGNORED` where it takes no part."""
        rest = UNKNOWN if self.other is None else self.other
        if numbers.max(initial=0) < GREYS:
            most = int(numbers.max(initial=0))
            known = np.full(most + 1, rest, np.int16)
            for first, last, label in self.ranges:
                known[first : min(last, most) + 1] = label
            return known[numbers]
        ranges = sorted(self.ranges)
        starts = np.array([first for first, _, _ in ranges], np.int32)
        ends = np.array([last for _, last, _ in ranges], np.int32)
        of_range = np.array([label for _, _, label in ranges], np.int16)
        place = np.maximum(np.searchsorted(starts, numbers, side="right") - 1, 0)
        inside = (numbers >= starts[place]) & (numbers <= ends[place])
        return np.where(inside, of_range[place], np.int16(rest))


def in_words(number: int) -> str:
    """A number as it is typed in a table."""
    return str(number) if number < COLOUR else f"#{number - COLOUR:06x}"


def few(numbers: Sequence[int]) -> str:
    """Some numbers, in order, as a message shows them."""
    shown = [in_words(number) for number in numbers]
    if list(numbers) == list(range(numbers[0], numbers[0] + len(numbers))) and len(numbers) > 3:
        return f"{shown[0]} to {shown[-1]}"
    return ", ".join(shown) if len(shown) <= 8 else f"{', '.join(shown[:6])}, ..., {shown[-1]}"


def table_of(colours: Mapping[Any, Any], ignored: Any = None) -> Table:
    """The table that the keys `colours` and `ignore_index` state.

    Args:
        colours: a class's name -> its value, or a list of several; a value is a grey level or an index of a palette,
            `[r, g, b]`, `#rrggbb`, a colour's name, a range `1-9`, or `other`: all that is not named.
        ignored: the value, written likewise, of pixels that take no part; None: there is none.

    Raises:
        CouloirError: a value cannot be read, or stands for two classes.
    """
    if not colours:
        raise CouloirError("data.colours names no class.", next_step=EXAMPLE)
    if len(colours) > IGNORED:
        raise CouloirError(f"data.colours names {len(colours)} classes; a mask has at most {IGNORED}.")
    ranges: list[tuple[int, int, int]] = []
    owners: list[str] = []
    names = [str(name) for name in colours]
    other, in_colour = None, False
    entries = [(name, label, value) for label, (name, value) in enumerate(zip(names, colours.values(), strict=True))]
    if ignored is not None:
        entries.append(("data.ignore_index", IGNORED, ignored))
    for name, label, value in entries:
        for part in _parts(value):
            if isinstance(part, str) and part.strip().lower() == OTHER and label != IGNORED:
                if other is not None:
                    raise CouloirError(
                        f"data.colours gives '{OTHER}' to two classes, {names[other]} and {name}.",
                        next_step="give the values of one of them",
                    )
                other = label
                continue
            first, last, coloured = _range_of(part, name, value)
            in_colour = in_colour or coloured
            clash = next((i for i, (low, high, _) in enumerate(ranges) if first <= high and last >= low), None)
            if clash is not None:
                shared = in_words(max(first, ranges[clash][0]))
                raise CouloirError(
                    f"The value {shared} stands for two things: {owners[clash]} and {name}.",
                    next_step="give each value to one class",
                )
            ranges.append((first, last, label))
            owners.append(name)
    return Table(tuple(names), tuple(ranges), other, in_colour)


def _parts(value: Any) -> list[Any]:
    """The single values of an entry of a table."""
    if isinstance(value, str) and "," in value:
        return [part.strip() for part in value.split(",")]
    if not isinstance(value, Sequence) or isinstance(value, str):
        return [value]
    return [value] if _is_colour(value) else [one for part in value for one in _parts(part)]


def _is_colour(value: Sequence[Any]) -> bool:
    return len(value) == 3 and all(isinstance(part, int) and not isinstance(part, bool) for part in value)


def _range_of(part: Any, name: str, value: Any) -> tuple[int, int, bool]:
    """First and last number of one value, and whether it is written as a colour."""
    text = str(part).strip() if isinstance(part, str) else ""
    if (isinstance(part, int) and not isinstance(part, bool) and 0 <= part < GREYS) or text.isdigit():
        number = int(part)
        if number < GREYS:
            return number, number, False
    if found := re.fullmatch(r"(\d+)\s*(?:-|\.\.)\s*(\d+)", text):
        first, last = int(found[1]), int(found[2])
        if first <= last < GREYS:
            return first, last, False
    colour: Any = part if not isinstance(part, str) and isinstance(part, Sequence) else None
    if text and not text[0].isdigit():
        try:
            colour = ImageColor.getrgb(text)
        except ValueError:
            colour = None
    if colour is not None and len(colour) == 3 and all(0 <= one <= 255 for one in colour):
        red, green, blue = colour
        number = red if red == green == blue else COLOUR + (red << 16) + (green << 8) + blue
        return number, number, True
    key = "data.ignore_index" if name == "data.ignore_index" else f"data.colours: {name}"
    shown = str(value).replace("'", "")
    if name.isdigit() and text:
        raise CouloirError(
            f"data.colours gives the class '{name}' the value {shown}: the name comes first.",
            next_step=as_typed([f"data.colours={{{text}: {name}, ...}}"]),
        )
    raise CouloirError(
        f"{key} is {shown}, which is no value of a pixel.",
        next_step="a grey level or an index of a palette (3), a colour ('#804080' or [128,64,128]), a range (1-9), or "
        f"{OTHER}",
    )
