"""`explain.html`: what a network answers and what it goes by, in one file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

import numpy as np
from PIL import Image

from couloir.artifacts.page import Page, charts, copyable, facts, text
from couloir.artifacts.sheet import picture_address, tiles
from couloir.inference.explain.exhibit import Exhibit, Panel
from couloir.inference.explain.steps.drawing import STYLE as OF_STEPS
from couloir.inference.explain.words import FULL, GROUPS, METHODS

SMALL = 64
"""Up to so many pixels of a side, a picture's pixels are shown as squares."""
BYTES = 120_000
"""Of a picture in the page, beyond which it becomes a JPEG file."""
STYLE = """
.exhibit { margin: 14px 0 22px; break-inside: avoid; }
.exhibits.narrow { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); gap: 0 28px; }
.exhibit:has(> .bars):has(> .tiles) { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1.3fr); gap: 0 14px; align-content: start; }
.exhibit:has(> .bars) > h3, .exhibit:has(> .bars) > .note { grid-column: 1 / -1; }
.exhibit .tiles { grid-template-columns: repeat(auto-fill, minmax(min(100%, var(--side)), 1fr)); }
.exhibit h3 { overflow-wrap: anywhere; }
.exhibit .warned { color: var(--bad); font-weight: 600; max-width: 105ch; margin: 4px 0 8px; }
.tiles img { display: block; width: 100%; max-width: var(--side); height: auto; border-radius: 3px; background: white; }
.tiles img.small { image-rendering: pixelated; }
.tiles li { max-width: calc(var(--side) * 1.6); }
.bars { display: grid; gap: 4px; max-width: 520px; margin: 6px 0 10px; align-content: start; }
.bars > div { display: grid; grid-template-columns: minmax(40px, 1fr) minmax(60px, 1.3fr) 56px; gap: 10px; align-items: center; font-size: 13px; }
.bars b { overflow-wrap: anywhere; }
.bars i { background: var(--soft); border-radius: 3px; height: 12px; overflow: hidden; }
.bars u { display: block; height: 100%; background: var(--accent); print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.bars span { text-align: right; font-variant-numeric: tabular-nums; }
"""  # noqa: E501
NARROW = 2
"""Pictures that are so few that several samples' stand beside each other."""
WIDE = 600
"""Pixels from which on a picture has a row of its own."""
ANSWER = "answer"


def page_of(
    title: str,
    sentence: str,
    known: Sequence[tuple[str, str]],
    exhibits: Sequence[Exhibit],
    notes: Sequence[str],
    samples: int,
) -> Page:
    """The page.

    Args:
        title: the heading.
        sentence: what was typed.
        known: facts that stand out: a name and a value each.
        exhibits: what the methods show, in the order of `METHODS`, the answers first.
        notes: what was left out and why.
        samples: how many are explained; the first `FULL` are shown.
    """
    page = Page(title, styles=[STYLE, OF_STEPS])
    written = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    page.parts.append(
        f'<header><h1>{text(title)}</h1><p class="note">Written {written}.</p>{copyable(sentence)}{facts(known)}'
        "</header>"
    )
    for group, name in GROUPS.items():
        of_group = [each for each in exhibits if group_of(each) == group and (each.sample or 0) < FULL]
        if not of_group:
            continue
        parts = []
        for method, run in groupby(of_group, key=lambda each: each.method):
            parts.append(_of_method(method, list(run)))
        note = f"Of the first {FULL} of {samples} samples; the folder has the files of all." if samples > FULL else ""
        page.section(name, *parts, note=note)
    if notes:
        said = "".join(f"<li>{text(note)}</li>" for note in notes)
        page.section("Left out", f"<ul>{said}</ul>")
    page.parts.insert(1, page.contents())
    return page


def group_of(exhibit: Exhibit) -> str:
    """The section of the page that an exhibit belongs to."""
    return ANSWER if exhibit.method == ANSWER else METHODS[exhibit.method].group


def _of_method(method: str, exhibits: Sequence[Exhibit]) -> str:
    """What one method shows; a note that several share stands above them, and narrow ones stand beside each other."""
    notes = list(dict.fromkeys(each.note for each in exhibits if each.note))
    shared = f'<p class="note">{text(notes[0])}</p>' if len(notes) == 1 and len(exhibits) > 1 else ""
    narrow = len(exhibits) > 1 and all(
        len(each.panels) <= NARROW and not each.charts and each.side <= WIDE for each in exhibits
    )
    shown = "".join(_exhibit(each, not shared) for each in exhibits)
    return f'{shared}<div class="exhibits{" narrow" * narrow}" data-method="{text(method)}">{shown}</div>'


def _exhibit(exhibit: Exhibit, noted: bool) -> str:
    warned = f'<p class="warned">{text(exhibit.warning)}</p>' if exhibit.warning else ""
    note = f'<p class="note">{text(exhibit.note)}</p>' if exhibit.note and noted else ""
    items = [_panel(panel, exhibit.side) for panel in exhibit.panels]
    shown = tiles(items, exhibit.side) if items else ""
    drawn = charts(exhibit.charts, width=310) if exhibit.charts else ""
    return f'<div class="exhibit"><h3>{text(exhibit.title)}</h3>{warned}{note}{shown}{exhibit.html}{drawn}</div>'


def _panel(panel: Panel, side: int) -> str:
    height, width = panel.picture.shape[:2]
    small = ' class="small"' if max(height, width) <= SMALL else ""
    address = picture_address(as_png(panel.picture), BYTES, 2 * side)
    return (
        f'<li><img{small} src="{address}" width="{width}" height="{height}" alt="{text(panel.told)}" loading="lazy">'
        f"<span>{text(panel.told)}</span></li>"
    )


def as_png(picture: np.ndarray) -> bytes:
    """A picture as the content of a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, "PNG", compress_level=3)
    return stream.getvalue()
