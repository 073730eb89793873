"""What a test leaves to be looked at: `confusion.csv`, `mistakes.csv`, `maps.csv`, `neighbours.csv`, `pictures.json`,
`layers.json`.

Readers are lenient: a page or a board shows what there is. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from couloir.record.files import as_csv, read_json, read_rows, read_table
from couloir.record.folder import RunFolder

CONFUSION, MISTAKES, MAPS, NEIGHBOURS = "confusion.csv", "mistakes.csv", "maps.csv", "neighbours.csv"
PICTURES, LAYERS = "pictures.json", "layers.json"
MISTAKE_COLUMNS = ("place", "index", "label", "prediction", "confidence", "label_confidence")
"""Of `mistakes.csv`; behind `index` stands `file`, where the samples are files, and at the end `text`, where they are
texts.
"""


@dataclass(frozen=True)
class Confusion:
    """Counts of the test split.

    Attributes:
        classes: names.
        counts: a row for each true class, a column for each predicted one.
    """

    classes: list[str]
    counts: list[list[int]]


def write_confusion(folder: RunFolder, confusion: Confusion) -> None:
    """Write a confusion matrix: a row for each true class, a column for each predicted one."""
    rows = [[name, *row] for name, row in zip(confusion.classes, confusion.counts, strict=True)]
    folder.write_text(CONFUSION, as_csv(["true\\predicted", *confusion.classes], rows))


def read_confusion(run: Path) -> Confusion | None:
    """The confusion matrix; None where there is none, and where it is torn."""
    head, *rows = read_table(run / CONFUSION, strict=False) or [[]]
    classes = head[1:]
    if not classes or [row[0] for row in rows] != classes or any(len(row) != len(head) for row in rows):
        return None
    try:
        return Confusion(classes, [[round(float(cell)) for cell in row[1:]] for row in rows])
    except (ValueError, OverflowError):
        return None


def write_mistakes(
    folder: RunFolder, rows: Iterable[Sequence[Any]], files: Sequence[str] = (), texts: Sequence[str] = ()
) -> None:
    """Write the most wrong samples, the worst first, as rows of `MISTAKE_COLUMNS`, and their files or their texts where
    there are some.
    """
    columns: tuple[str, ...] = MISTAKE_COLUMNS
    if files:
        columns = (*columns[:2], "file", *columns[2:])
        rows = [(*row[:2], file, *row[2:]) for row, file in zip(rows, files, strict=True)]
    if texts:
        columns = (*columns, "text")
        rows = [(*row, text) for row, text in zip(rows, texts, strict=True)]
    folder.write_text(MISTAKES, as_csv(columns, rows))


def read_mistakes(run: Path) -> list[dict[str, str]]:
    """The most wrong samples, each with its `label` and `prediction` at least; none where there is no such file."""
    rows = read_rows(run / MISTAKES, strict=False)
    return [row for row in rows if {"label", "prediction"} <= row.keys()]


def write_maps(
    folder: RunFolder, position: Sequence[int], files: Sequence[str], numbers: Mapping[str, Sequence[float]]
) -> None:
    """Write the numbers of the images whose maps are worst, the worst first, in the order of `maps.png`, and their
    files where there are some.
    """
    rows = []
    for place, index in enumerate(position):
        cells = [f"{values[place]:.6g}" if values[place] == values[place] else "" for values in numbers.values()]
        rows.append((place, index, *files[place : place + 1], *cells))
    folder.write_text(MAPS, as_csv(("place", "index", *["file"] * bool(files), *numbers), rows))


def read_maps(run: Path) -> list[dict[str, str]]:
    """The images whose maps are worst, each with its `index` and its numbers; none where there is no such file."""
    return [row for row in read_rows(run / MAPS, strict=False) if "index" in row]


def write_neighbours(folder: RunFolder, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write made pictures with their nearest training images: the columns `made`, `rank`, `distance` and what else is
    known of each pair, all of one length; the nearest of a made picture first.
    """
    rows = zip(*columns.values(), strict=True)
    folder.write_text(NEIGHBOURS, as_csv(tuple(columns), list(rows)))


def read_neighbours(run: Path) -> list[dict[str, str]]:
    """The pairs of made pictures and training images; none where there is no such file."""
    rows = read_rows(run / NEIGHBOURS, strict=False)
    return [row for row in rows if {"made", "rank", "distance"} <= row.keys()]


@dataclass(frozen=True)
class Grid:
    """A picture of tiles.

    Attributes:
        columns: tiles in a row.
        tile: width and height of a tile in pixels of the picture.
        count: how many tiles there are.
        layer: of filters, the layer's name.
        gap: pixels between two tiles.
        first: where the first tile begins, from the left and from above, where words stand around the tiles.
        pitch: pixels from one tile to the next, to the right and down; None: tiles stand edge to edge, but for the gap.
        scale: how many pixels wide and high a pixel of a tile is drawn.
    """

    columns: int
    tile: tuple[int, int]
    count: int
    layer: str = ""
    gap: int = 0
    first: tuple[int, int] = (0, 0)
    pitch: tuple[int, int] | None = None
    scale: int = 1

    def box(self, place: int) -> tuple[int, int, int, int]:
        """Left, upper, right and lower edge of a tile by its number, in pixels of the picture."""
        width, height = self.tile
        right, down = self.pitch or (width + self.gap, height + self.gap)
        row, column = divmod(place, self.columns)
        left, top = self.first[0] + column * right, self.first[1] + row * down
        return left, top, left + width, top + height


def write_pictures(folder: RunFolder, pictures: dict[str, Grid]) -> None:
    """Write how pictures are made of tiles, for those who show single tiles."""
    folder.write_json(PICTURES, {name: _entry(grid) for name, grid in pictures.items()})


def _entry(grid: Grid) -> dict[str, Any]:
    """What the file says of a grid. Where words stand around the tiles, their places stand under `tiles`: an older
    Couloir, which would cut such a picture wrongly, finds no `tile` and leaves it out.
    """
    entry = {key: value for key, value in asdict(grid).items() if value not in ("", 0)}
    entry = {key: entry[key] for key in ("columns", "tile", "count", "layer", "gap") if key in entry}
    if grid.pitch is not None:
        entry["tiles"] = {"size": entry.pop("tile"), "first": grid.first, "pitch": grid.pitch, "scale": grid.scale}
    return entry


def read_grid(run: Path, name: str) -> Grid | None:
    """What `pictures.json` says of the picture `NAME.png`; None where it says nothing that can be read."""
    entry: Any = read_json(run / PICTURES, strict=False).get(name)
    try:
        layer, gap = str(entry.get("layer", "")), int(entry.get("gap", 0))
        placed = entry.get("tiles")
        size = _pair(entry["tile"] if placed is None else placed["size"])
        grid = Grid(int(entry["columns"]), size, int(entry["count"]), layer, gap)
        if placed is not None:
            grid = replace(grid, first=_pair(placed["first"]), pitch=_pair(placed["pitch"]), scale=int(placed["scale"]))
    except (TypeError, KeyError, ValueError, AttributeError):
        return None
    least = min(grid.columns, grid.count, *grid.tile, grid.scale, *(grid.pitch or (1,)))
    return grid if least > 0 and min(grid.first) >= 0 else None


def _pair(value: Any) -> tuple[int, int]:
    first, second = (int(side) for side in value)
    return first, second


def write_layers(folder: RunFolder, content: dict[str, Any]) -> None:
    """Write the table of layers with its totals."""
    folder.write_json(LAYERS, content)


def memory_in_words(totals: Mapping[str, Any]) -> str:
    """What the totals of the layers say of memory: "memory of one sample ...: input 0.57 + ... = 384.62".

    Raises:
        KeyError: they say nothing of it, as those of an older run; or ValueError.
    """
    names = ("input_bytes", "activation_bytes", "parameter_bytes", "memory_bytes")
    given, activations, parameters, total = (f"{int(totals[name]) / 2**20:,.2f}" for name in names)
    return (
        f"memory of one sample in training, MiB in float32: input {given} + activations and gradients {activations} + "
        f"parameters {parameters} = {total}"
    )


def read_layers(run: Path) -> dict[str, Any]:
    """The table of layers; empty where there is none."""
    return read_json(run / LAYERS, strict=False)
