"""What a test leaves to be looked at: `confusion.csv`, `mistakes.csv`, `maps.csv`, `neighbours.csv`, `pictures.json`,
`layers.json`.

Readers are lenient: a page or a board shows what there is. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from couloir.record.files import as_csv, read_json, read_rows, read_table
from couloir.record.folder import RunFolder

CONFUSION, MISTAKES, MAPS, NEIGHBOURS = "confusion.csv", "mistakes.csv", "maps.csv", "neighbours.csv"
PICTURES, LAYERS = "pictures.json", "layers.json"
MISTAKE_COLUMNS = ("place", "index", "label", "prediction", "confidence", "label_confidence")


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


def write_mistakes(folder: RunFolder, rows: Iterable[Sequence[Any]]) -> None:
    """Write the most wrong samples, the worst first, as rows of `MISTAKE_COLUMNS`."""
    folder.write_text(MISTAKES, as_csv(MISTAKE_COLUMNS, rows))


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
        tile: width and height of a tile in pixels.
        count: how many tiles there are.
        layer: of filters, the layer's name.
        gap: pixels between two tiles.
    """

    columns: int
    tile: tuple[int, int]
    count: int
    layer: str = ""
    gap: int = 0


def write_pictures(folder: RunFolder, pictures: dict[str, Grid]) -> None:
    """Write what each picture of tiles, `NAME.png`, is made of, by its name."""
    folder.write_json(PICTURES, {name: _told(grid) for name, grid in pictures.items()})


def _told(grid: Grid) -> dict[str, Any]:
    return {key: value for key, value in asdict(grid).items() if value not in ("", 0)}


def read_grid(run: Path, name: str) -> Grid | None:
    """What `pictures.json` says of the picture `NAME.png`; None where it says nothing that can be read."""
    entry: Any = read_json(run / PICTURES, strict=False).get(name)
    try:
        width, height = (int(side) for side in entry["tile"])
        layer, gap = str(entry.get("layer", "")), int(entry.get("gap", 0))
        grid = Grid(int(entry["columns"]), (width, height), int(entry["count"]), layer, gap)
    except (TypeError, KeyError, ValueError, AttributeError):
        return None
    return grid if min(grid.columns, grid.count, *grid.tile) > 0 else None


def write_layers(folder: RunFolder, content: dict[str, Any]) -> None:
    """Write the table of layers with its totals."""
    folder.write_json(LAYERS, content)


def read_layers(run: Path) -> dict[str, Any]:
    """The table of layers; empty where there is none."""
    return read_json(run / LAYERS, strict=False)
