"""Many pictures of one size in one file, which a page shows tile by tile."""

from __future__ import annotations

import base64
import io
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from couloir.artifacts.page import text
from couloir.record.tested import Grid, read_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

BYTES = 300_000
"""Of a sheet of pictures at most, before it is written as text."""
SIDE = 112
"""Pixels of a tile at most, where the sheet is larger than that."""
SHARP = 64
"""Up to so many pixels of a side, a tile's pixels are shown as squares."""
PICTURE_BYTES = 900_000
"""Of one picture at most, before it is written as text."""
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
        last = grid.box(grid.count - 1)
        right = grid.box(min(grid.columns, grid.count) - 1)[2]
        if not content.startswith(PNG) or size[0] < right or size[1] < last[3]:
            return None
        if grid.pitch is not None:
            return cls._cut_out(content, grid)
        return cls(content, grid.columns, grid.tile, grid.count, grid.layer).lightened()

    @classmethod
    def _cut_out(cls, content: bytes, grid: Grid) -> Sheet | None:
        """The tiles alone of a picture with words around them, at their own size; None where it cannot be read."""
        from PIL import Image, UnidentifiedImageError

        width, height = (side // grid.scale for side in grid.tile)
        try:
            with Image.open(io.BytesIO(content)) as opened:
                page = opened.convert("RGB")
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError):
            return None
        whole = Image.new("RGB", (grid.columns * width, -(-grid.count // grid.columns) * height))
        for place in range(grid.count):
            row, column = divmod(place, grid.columns)
            tile = page.crop(grid.box(place)).resize((width, height), Image.Resampling.NEAREST)
            whole.paste(tile, (column * width, row * height))
        red, green, blue = whole.split()
        grey = red.tobytes() == green.tobytes() == blue.tobytes()
        stream = io.BytesIO()
        (red if grey else whole).save(stream, "PNG")
        return cls(stream.getvalue(), grid.columns, (width, height), grid.count, grid.layer).lightened()

    @classmethod
    def of(cls, pictures: Sequence[NDArray[Any]], most: int = BYTES) -> Sheet:
        """Pictures of one size as a sheet, smaller and fewer where they would take more than `most` bytes.

        Args:
            pictures: uint8 (H, W) grey or (H, W, 3) colour, at least one.
            most: bytes of the file.
        """
        import numpy as np
        from PIL import Image

        height, width = pictures[0].shape[:2]
        columns = math.ceil(math.sqrt(len(pictures)))
        rows = -(-len(pictures) // columns)
        whole = np.zeros((rows * height, columns * width, *pictures[0].shape[2:]), dtype=np.uint8)
        for place, picture in enumerate(pictures):
            row, column = divmod(place, columns)
            whole[row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
        stream = io.BytesIO()
        Image.fromarray(whole).save(stream, "PNG")
        sheet = cls(stream.getvalue(), columns, (width, height), len(pictures)).lightened(most)
        assert sheet is not None, "it was written a moment ago"
        return sheet

    def lightened(self, most: int = BYTES) -> Sheet | None:
        """The same with smaller pictures, and fewer, where the file is too large; None where it cannot be read."""
        if len(self.content) <= most:
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
            if stream.tell() <= most or rows == 1:
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

    @property
    def shown_side(self) -> int:
        """The width of a tile on the page: a whole multiple of small pictures' pixels."""
        width = self.tile[0]
        return width * max(1, round(88 / width)) if width < SHARP else min(max(width, 96), SIDE)


def png_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG file's picture; None where it is torn, or none."""
    if not content.startswith(PNG) or len(content) < 24:
        return None
    width, height = struct.unpack(">II", content[16:24])
    return (width, height) if width and height else None


def picture_address(content: bytes, most: int = PICTURE_BYTES, width: int = 0) -> str:
    """A PNG file as the address of a picture in a page; one of more than `most` bytes as JPEG, which is smaller.

    Args:
        content: the file.
        most: bytes.
        width: pixels that the JPEG file is wide at most; 0: as many as the picture.
    """
    kind = "png"
    if len(content) > most:
        from PIL import Image

        stream = io.BytesIO()
        with Image.open(io.BytesIO(content)) as opened:
            picture = opened.convert("RGB")
            if width and picture.width > width:
                picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.BOX)
            picture.save(stream, "JPEG", quality=80)
        kind, content = "jpeg", stream.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def tiles(items: Sequence[str], side: int, first: int = 1) -> str:
    """Items of a list, each with a tile of some width in pixels, beside each other as far as there is room."""
    return f'<ol class="tiles" start="{first}" style="--side:{side}px">{"".join(items)}</ol>'
