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
    """

    data: list[dict[str, Any]]
    layout: dict[str, Any]
    label: str
    height: int = 320
    min_width: int = 0


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        shown: what stands there, as text.
        value: what it is sorted by, where that is not its text; None sorts last.
        kind: a class of `page.css`: `number`, `code`, `state completed`, ...
    """

    shown: str
    value: float | None = None
    kind: str = ""


@dataclass
class Page:
    """A report in the making.

    Attributes:
        title: its name.
        parts: the HTML of its sections, in order.
    """

    title: str
    parts: list[str] = field(default_factory=list)

    def section(self, title: str, *parts: str, note: str = "") -> None:
        """Add a section: a heading, a sentence below it, and its parts."""
        said = f'<p class="note">{text(note)}</p>' if note else ""
        self.parts.append(f"<section><h2>{text(title)}</h2>{said}{''.join(parts)}</section>")

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
            f"<style>\n{here.with_name('page.css').read_text(encoding='utf-8')}</style></head>\n"
            f"<body><main>\n{body}\n</main>\n{plotly}\n"
            f"<script>\n{here.with_name('page.js').read_text(encoding='utf-8')}</script></body></html>\n"
        )


def text(value: object) -> str:
    """Text for HTML, its marks without meaning."""
    return html.escape(str(value), quote=True)


def label(value: object, longest: int = 60) -> str:
    """Text for a chart, where plotly reads marks as HTML too; its middle is left out where it is long."""
    words = str(value)
    if len(words) > longest:
        words = f"{words[: longest * 2 // 3]}…{words[-(longest // 3) :]}"
    return html.escape(words, quote=False)


def copyable(command: str) -> str:
    """A line of code with a button that copies it."""
    return f'<div class="code"><code>{text(command)}</code><button type="button" class="copy">copy</button></div>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Numbers that stand out: a name and a value each."""
    return (
        "<dl>" + "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in pairs) + "</dl>"
    )


def charts(figures: Sequence[Chart], columns: bool = False) -> str:
    """Charts below each other, or beside each other where there is room."""
    return f'<div class="{"charts columns" if columns else "charts"}">{"".join(map(_chart, figures))}</div>'


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], caption: str) -> str:
    """A table whose rows are sorted by a click on a heading, or by Enter there.

    Args:
        columns: the headings.
        rows: the cells of each row.
        caption: what it shows, for those who do not see it.
    """
    head = "".join(
        f'<th scope="col" aria-sort="none"><button type="button">{text(name)}</button></th>' for name in columns
    )
    body = "\n".join(f"<tr>{''.join(map(_cell, cells))}</tr>" for cells in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}"><table class="sortable">'
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>"
    )


def _cell(cell: Cell) -> str:
    kind = f' class="{cell.kind}"' if cell.kind else ""
    value = "" if cell.value is None else f' data-value="{cell.value:.10g}"'
    return f"<td{kind}{value}>{text(cell.shown)}</td>"


def _chart(chart: Chart) -> str:
    content = json.dumps({"data": _rounded(chart.data), "layout": _rounded(chart.layout)}, separators=(",", ":"))
    content = content.replace("<", "\\u003c")  # no text may end the script
    width = f"min-width:{chart.min_width}px;" if chart.min_width else ""
    return (
        f'<figure class="frame"><div class="chart" role="img" aria-label="{text(chart.label)}" '
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
