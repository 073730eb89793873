"""What a network that predicts the next token wrote epoch by epoch."""

from __future__ import annotations

from pathlib import Path

from couloir.artifacts.page import text
from couloir.artifacts.sheet import tiles
from couloir.record.film import texts

EPOCHS = 6
"""Texts that are shown at most."""
WIDTH = 300
"""Pixels of one."""
LONGEST = 1000
"""Characters of a text that are shown."""


def by_epoch(run: Path) -> tuple[str, str] | None:
    """The newest text and some of earlier epochs, the first among them, beside each other; and a sentence about them.

    None where there is no text.
    """
    every = texts(run)
    if not every:
        return None
    count = min(EPOCHS, len(every))
    chosen = sorted({round(place * (len(every) - 1) / max(1, count - 1)) for place in range(count)})
    items = [_item(f"epoch {epoch}", written.text) for epoch, written in (every[place] for place in chosen)]
    newest = every[-1][1]
    of = f"Some of {len(every)} epochs" if len(every) > EPOCHS else f"{len(every)} epoch{'s' * (len(every) > 1)}"
    note = f"{of}: what follows \u201c{newest.prompt}\u201d, the beginning of the validation text; {newest.choice}. "
    return tiles(items, WIDTH), f"{note}samples/ has all of them; couloir sample writes more."


def beside_each_other(runs: list[tuple[Path, str]], most: int) -> str:
    """The newest text of each run; empty where none has written any.

    Args:
        runs: their folders, and what they are called.
        most: runs that are shown.
    """
    written = ((texts(run), label) for run, label in runs)
    items = [_item(f"{label}, epoch {every[-1][0]}", every[-1][1].text) for every, label in written if every]
    return tiles(items[:most], WIDTH) if items else ""


def _item(title: str, said: str) -> str:
    shown = said if len(said) <= LONGEST else f"{said[:LONGEST]} …"
    return f"<li><b>{text(title)}</b><pre>{text(shown)}</pre></li>"
