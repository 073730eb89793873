"""Pictures of a run in one file with its report: the most wrong test images, and the filters of the first layer."""

from __future__ import annotations

import base64
import io
import struct
from dataclasses import dataclass
from pathlib import Path

from couloir.artifacts.page import details, text
from couloir.record.tested import read_grid, read_mistakes

BYTES = 300_000
"""Of a sheet of pictures at most, before it is written as text."""
SIDE = 112
"""Pixels of a tile at most, where the sheet is larger than that."""
SHARP = 64
"""Up to so many pixels of a side, a tile's pixels are shown as squares."""
AT_ONCE = 33
"""Wrong images that are shown at once; the others when they are asked for."""
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Sheet:
    """Pictures of one size in rows, as one file.

    Attributes:
        content: the file.
        columns: pictures in a row.
        tile: width and height of a picture in pixels.
        count: how many there are.
        layer: of filters, the layer's name.
    """

    content: bytes
    columns: int
    tile: tuple[int, int]
    count: int
    layer: str = ""

    @classmethod
    def read(cls, run: Path, name: str) -> Sheet | None:
        """The sheet `NAME.png` as `pictures.json` describes it; None where either is missing or torn."""
        grid = read_grid(run, name)
        if grid is None:
            return None
        try:
            content = (run / f"{name}.png").read_bytes()
            size = struct.unpack(">II", content[16:24])
        except (OSError, struct.error):
            return None
        rows = -(-grid.count // grid.columns)
        fits = size[0] >= grid.tile[0] * min(grid.columns, grid.count) and size[1] >= grid.tile[1] * rows
        if not content.startswith(PNG) or not fits:
            return None
        return cls(content, grid.columns, grid.tile, grid.count, grid.layer).lightened()

    def lightened(self) -> Sheet | None:
        """The same with smaller pictures, and fewer, where the file is too large; None where it cannot be read."""
        if len(self.content) <= BYTES:
            return self
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(io.BytesIO(self.content)) as opened:
                image = opened.convert("RGB")
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError):
            return None
        factor = min(1.0, SIDE / max(self.tile))
        tile = (max(1, round(self.tile[0] * factor)), max(1, round(self.tile[1] * factor)))
        count = self.count
        while True:
            rows = -(-count // self.columns)
            cut = image.crop((0, 0, self.tile[0] * self.columns, self.tile[1] * rows))
            stream = io.BytesIO()
            cut.resize((tile[0] * self.columns, tile[1] * rows), Image.Resampling.BOX).save(stream, "JPEG", quality=80)
            if stream.tell() <= BYTES or rows == 1:
                return Sheet(stream.getvalue(), self.columns, tile, min(count, rows * self.columns), self.layer)
            count = (rows - 1) * self.columns

    def style(self, name: str) -> str:
        """The rule that gives the tiles of a class their picture."""
        kind = "png" if self.content.startswith(PNG) else "jpeg"
        rows = -(-self.count // self.columns)
        ratio = f"{self.tile[0]} / {self.tile[1]}"
        address = f"data:image/{kind};base64,{base64.b64encode(self.content).decode('ascii')}"
        size = f"{100 * self.columns}% {100 * rows}%"
        return f".tile.{name} {{ aspect-ratio: {ratio}; background-size: {size}; background-image: url({address}); }}\n"

    def tile_at(self, place: int, name: str, told: str) -> str:
        """One picture; `told` is what it shows, for those who do not see it."""
        rows = -(-self.count // self.columns)
        row, column = divmod(place, self.columns)
        x = 100 * column / (self.columns - 1) if self.columns > 1 else 0
        y = 100 * row / (rows - 1) if rows > 1 else 0
        small = " small" if max(self.tile) < SHARP else ""
        return (
            f'<span class="tile {name}{small}" role="img" aria-label="{text(told)}" '
            f'style="background-position:{x:.6g}% {y:.6g}%"></span>'
        )


def mistakes(run: Path) -> tuple[str, str, int] | None:
    """The most wrong test images: their HTML, their style, and how many they are; None where there are none.

    Without pictures, as for tables, the list has the words alone.
    """
    entries = read_mistakes(run)
    if not entries:
        return None
    sheet = Sheet.read(run, "mistakes")
    if sheet is not None:
        entries = entries[: sheet.count]
    items = []
    for place, entry in enumerate(entries):
        number = f"test image {entry['index']}" if entry.get("index") else f"image {place + 1}"
        picture = "" if sheet is None else sheet.tile_at(place, "mistake", number)
        items.append(
            f"<li>{picture}<b>{text(entry['label'])}</b>, taken for <b class=wrong>{text(entry['prediction'])}</b>"
            f"<span class=told>{_percent(entry.get('confidence', ''))}</span>"
            f"<span class=told>{'no. ' + text(entry['index']) if entry.get('index') else ''}</span></li>"
        )
    side = 84 if sheet is None else _shown_side(sheet)
    html = _list(items[:AT_ONCE], side)
    if len(items) > AT_ONCE:
        html += details(f"the other {len(items) - AT_ONCE}", _list(items[AT_ONCE:], side, AT_ONCE + 1))
    return html, "" if sheet is None else sheet.style("mistake"), len(items)


def filters(run: Path) -> tuple[str, str, Sheet] | None:
    """The filters of the first layer: their HTML, their style, and the sheet; None where there are none."""
    sheet = Sheet.read(run, "filters")
    if sheet is None:
        return None
    items = [f"<li>{sheet.tile_at(place, 'filter', f'filter {place + 1}')}</li>" for place in range(sheet.count)]
    return _list(items, 52 if sheet.count > 32 else 68), sheet.style("filter"), sheet


def _list(items: list[str], side: int, first: int = 1) -> str:
    return f'<ol class="tiles" start="{first}" style="--side:{side}px">{"".join(items)}</ol>'


def _shown_side(sheet: Sheet) -> int:
    """The width of a tile on the page: a whole multiple of small pictures' pixels."""
    width = sheet.tile[0]
    return width * max(1, round(88 / width)) if width < SHARP else min(max(width, 96), SIDE)


def _percent(cell: str) -> str:
    try:
        return f"{float(cell):.1%} sure"
    except ValueError:
        return text(cell)
