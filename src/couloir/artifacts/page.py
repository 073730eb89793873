"""The frame of a report: one HTML file that needs no network, light or dark as the reader's system is.

Text that comes from users goes through `text`; a colour of a chart is the name of a variable of `page.css`, such as
`--accent`, so that it follows the colour scheme.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)
"""Nothing is loaded from anywhere; WebGL's part of plotly.js builds functions from text."""
DIGITS = 6
"""Significant digits of a number in a chart: more cannot be seen, and a thousand trials have many."""


@dataclass(frozen=True)
class Chart:
    """A figure of plotly.js.

    Attributes:
        data: its traces.
        layout: its layout, without what every chart shares (fonts, background, grids, margins).
        label: what it shows, for those who do not see it.
        height: in pixels.
        min_width: in pixels; where the page is narrower, the chart scrolls.
        max_width: in pixels; where the page is wider, the chart is not.
        group: the name of the controls that it follows, if any. Its traces say what they do with them in `meta`:
            `keys`, the choices that must all be on for it to be seen; `smooth`, whether it is smoothed; `cycle`,
            whether it takes its colour from its place among those that are seen; `matrix`, a heat map of counts. A
            layout with `meta.log` has an axis that can be logarithmic.
    """

    data: list[dict[str, Any]]
    layout: dict[str, Any]
    label: str
    height: int = 320
    min_width: int = 0
    max_width: int = 0
    group: str = ""


@dataclass(frozen=True)
class Choice:
    """A box to tick.

    Attributes:
        does: what it does, an attribute that `page.js` knows: `key` shows the traces of a key, `log` makes axes
            logarithmic, `share` divides a matrix by its rows' sums, `only` hides the rows of a table that are not kept.
        of: the group of charts, or the name of the table, that follows it.
        label: what stands beside it.
        key: of the traces.
        on: whether it is ticked at first.
        colour: a variable of `page.css`, shown beside it.
    """

    does: str
    of: str
    label: str
    key: str = ""
    on: bool = False
    colour: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        shown: what stands there, as text.
        value: what it is sorted by, where that is not its text; None sorts last.
        kind: a class of `page.css`: `number`, `code`, `state completed`, ...
        link: an address beside the file, that its text leads to.
        choice: a box to tick, in the place of the text.
    """

    shown: str
    value: float | None = None
    kind: str = ""
    link: str = ""
    choice: Choice | None = None


@dataclass
class Page:
    """A report in the making.

    Attributes:
        title: its name.
        parts: the HTML of its sections, in order.
        styles: rules of its own.
        titles: of its sections.
    """

    title: str
    parts: list[str] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)

    def section(self, title: str, *parts: str, note: str = "", kind: str = "") -> None:
        """Add a section: a heading, a sentence below it, and its parts; `kind` is a class of `page.css`."""
        said = f'<p class="note">{text(note)}</p>' if note else ""
        marked = f' class="{kind}"' if kind else ""
        self.titles.append(title)
        self.parts.append(
            f'<section id="{_anchor(title)}"{marked}><h2>{text(title)}</h2>{said}{"".join(parts)}</section>'
        )

    def contents(self) -> str:
        """Links to the sections that there are."""
        links = "".join(f'<a href="#{_anchor(title)}">{text(title)}</a>' for title in self.titles)
        return f'<nav aria-label="sections">{links}</nav>'

    def as_html(self) -> str:
        """The whole file, with plotly.js in it only where there is a chart."""
        from plotly.offline import get_plotlyjs  # 5 MB of text that only a report needs

        here = Path(__file__)
        body = "\n".join(self.parts)
        plotly = f"<script>{get_plotlyjs()}</script>" if 'class="chart"' in body else ""
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta name="color-scheme" content="light dark">\n<title>{text(self.title)}</title>\n'
            f"<style>\n{here.with_name('page.css').read_text(encoding='utf-8')}{''.join(self.styles)}</style></head>\n"
            f'<body><a class="skip" href="#content">to the content</a>\n<main id="content">\n{body}\n</main>\n'
            f"{plotly}\n"
            f"<script>\n{here.with_name('page.js').read_text(encoding='utf-8')}</script></body></html>\n"
        )


def text(value: object) -> str:
    """Text for HTML, its marks without meaning."""
    return html.escape(str(value), quote=True)


def shortened(words: str, longest: int) -> str:
    """A text without its middle where it is long."""
    return words if len(words) <= longest else f"{words[: longest * 2 // 3]}…{words[-(longest // 3) :]}"


def label(value: object, longest: int = 60) -> str:
    """Text for a chart, where plotly reads marks as HTML too; its middle is left out where it is long."""
    return html.escape(shortened(str(value), longest), quote=False)


def copyable(command: str) -> str:
    """A line of code with a button that copies it."""
    return f'<div class="code"><code>{text(command)}</code><button type="button" class="copy">copy</button></div>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Numbers that stand out: a name and a value each."""
    return (
        "<dl>" + "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in pairs) + "</dl>"
    )


def charts(figures: Sequence[Chart], columns: bool = False, width: int = 0) -> str:
    """Charts below each other, or beside each other where there is room.

    Args:
        figures: the charts.
        columns: whether they stand in columns of one width.
        width: in pixels; if not 0, they share the whole row, each at least so wide.
    """
    kind = "charts columns" if columns else "charts shared" if width else "charts"
    style = f' style="--least:{width}px"' if width else ""
    return f'<div class="{kind}"{style}>{"".join(map(_chart, figures))}</div>'


def beside(*parts: str) -> str:
    """Parts beside each other where there is room."""
    return f'<div class="beside">{"".join(f"<div>{part}</div>" for part in parts if part)}</div>'


def choices(entries: Sequence[Choice], what: str) -> str:
    """Boxes to tick, in a row that wraps; `what` names them for those who do not see them."""
    return f'<div class="controls" role="group" aria-label="{text(what)}">{"".join(map(_choice, entries))}</div>'


def smoothing(group: str) -> str:
    """A slider that smooths the curves of a group."""
    return (
        f'<label>smoothing <input type="range" min="0" max="0.95" step="0.05" value="0" data-smooth="{text(group)}">'
        "<output>0.00</output></label>"
    )


def search(name: str, what: str) -> str:
    """A field that hides the rows of a table that do not hold the words typed into it."""
    return (
        f'<div class="controls"><label class="search">{text(what)} <input type="search" data-search="{text(name)}" '
        'autocomplete="off" spellcheck="false"></label><output aria-live="polite"></output></div>'
    )


def details(summary: str, *parts: str) -> str:
    """What is there for whoever asks."""
    return f"<details><summary>{text(summary)}</summary>{''.join(parts)}</details>"


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], caption: str, name: str = "", kept: Sequence[bool] = ()
) -> str:
    """A table whose rows are sorted by a click on a heading, or by Enter there.

    Args:
        columns: the headings.
        rows: the cells of each row.
        caption: what it shows, for those who do not see it.
        name: by which a `Choice` or a search finds it.
        kept: for each row whether it stays when a `Choice` hides what is not kept.
    """
    head = "".join(
        f'<th scope="col" aria-sort="none"><button type="button">{text(name)}</button></th>' for name in columns
    )
    body = "\n".join(
        f"<tr{' class=kept' if place < len(kept) and kept[place] else ''}>{''.join(map(_cell, cells))}</tr>"
        for place, cells in enumerate(rows)
    )
    named = f' data-name="{text(name)}"' if name else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}"{named}><table class="sortable">'
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>"
    )


def _anchor(title: str) -> str:
    return "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in title.lower())


def _choice(entry: Choice) -> str:
    swatch = f'<i style="background:var({entry.colour})"></i>' if entry.colour else ""
    return f"<label>{_box(entry)}{swatch}{text(entry.label)}</label>"


def _box(entry: Choice, named: bool = False) -> str:
    key = f' data-key="{text(entry.key)}"' if entry.key else ""
    name = f' aria-label="{text(entry.label)}"' if named else ""
    return f'<input type="checkbox" data-{entry.does}-of="{text(entry.of)}"{key}{name}{" checked" if entry.on else ""}>'


def _cell(cell: Cell) -> str:
    kind = f' class="{cell.kind}"' if cell.kind else ""
    value = "" if cell.value is None else f' data-value="{cell.value:.10g}"'
    shown = text(cell.shown)
    if cell.choice is not None:
        shown = _box(cell.choice, named=True)
    elif cell.link:
        shown = f'<a href="{text(cell.link)}">{shown}</a>'
    return f"<td{kind}{value}>{shown}</td>"


def _chart(chart: Chart) -> str:
    content = json.dumps({"data": _rounded(chart.data), "layout": _rounded(chart.layout)}, separators=(",", ":"))
    content = content.replace("<", "\\u003c")  # no text may end the script
    width = f"min-width:{chart.min_width}px;" if chart.min_width else ""
    width += f"max-width:{chart.max_width}px;" if chart.max_width else ""
    group = f' data-group="{text(chart.group)}"' if chart.group else ""
    return (
        f'<figure class="frame"><div class="chart" role="img" aria-label="{text(chart.label)}"{group} '
        f'style="{width}height:{chart.height}px"><script type="application/json">{content}</script></div></figure>'
    )


def _rounded(value: Any) -> Any:
    """The value with numbers as long as a chart needs them; null for what is no number in JSON."""
    if isinstance(value, dict):
        return {name: _rounded(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(entry) for entry in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
