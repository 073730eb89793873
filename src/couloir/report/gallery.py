"""Pictures of a run in one file with its report: what it has learned, the most wrong test images or maps, what it
makes, the filters of the first layer.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

from couloir.artifacts.page import Cell, beside, details, shortened, table, text
from couloir.artifacts.sheet import Sheet, picture_address, png_size, tiles
from couloir.record.film import FEATURES, FILTERS, FIT, REGIONS, frames, read_film
from couloir.record.landscape import BOWL, SURFACE
from couloir.record.tested import read_grid, read_maps, read_mistakes, read_neighbours

AT_ONCE = 33
"""Wrong images that are shown at once; the others when they are asked for."""
FRAMES = 6
"""Epochs of a film that are shown at most."""
FRAME_BYTES = 60_000
"""Of one of them, beyond which it becomes a JPEG file: there are several in a page."""
FRAME_WIDTH, WIDEST = 300, 1000
"""Pixels on the page: of one of them, and of a picture that stands alone."""
LEARNED = {
    "fit.png": "the fitted curve over the training, validation and test samples",
    "regions.png": "the regions that the network gives to each class, with samples",
    "predictions.png": "what is predicted of the test samples over what is true, and the residuals",
}
"""Pictures of what a network has learned, and what they show."""
FORECASTS = {
    "forecast_steps.png": "the errors at each step to come, of the network and of the naive forecasts",
    "forecasts.png": "forecasts over what came, for windows from all over the test",
    "worst_forecasts.png": "the windows with the largest errors, the worst first",
}
"""Pictures of forecasts, and what they show."""
FILMS = {
    FIT: "the fitted curve",
    REGIONS: "the regions of the classes",
    FEATURES: "feature maps of one validation sample",
    FILTERS: "the filters of the first layer",
}
MOVING_BYTES, STRIP_BYTES = 400_000, 100_000
"""Of all GIF files of a page, beyond which a strip stands there alone, and of a strip, which becomes a JPEG file."""
LONGEST = 28
"""Letters of a file's name at most."""
LONGEST_TEXT = 400
"""Letters of a text at most."""
GIF = b"GIF8"


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
    elif all("text" in entry for entry in entries):
        return _wrong_texts(entries), "", len(entries)
    items = []
    for place, entry in enumerate(entries):
        number = f"test image {entry['index']}" if entry.get("index") else f"image {place + 1}"
        picture = "" if sheet is None else sheet.tile_at(place, "mistake", number)
        items.append(
            f"<li>{picture}<b>{text(entry['label'])}</b>, taken for <b class=wrong>{text(entry['prediction'])}</b>"
            f"<span class=told>{_percent(entry.get('confidence', ''))}</span>"
            f"<span class=told>{'no. ' + text(entry['index']) if entry.get('index') else ''}</span>"
            f"{_file(entry.get('file', ''))}</li>"
        )
    side = 84 if sheet is None else sheet.shown_side
    html = tiles(items[:AT_ONCE], side)
    if len(items) > AT_ONCE:
        html += details(f"the other {len(items) - AT_ONCE}", tiles(items[AT_ONCE:], side, AT_ONCE + 1))
    return html, "" if sheet is None else sheet.style("mistake"), len(items)


def _wrong_texts(entries: Sequence[Mapping[str, str]]) -> str:
    """The most wrong test texts, as a table."""
    rows = []
    for entry in entries:
        said = shortened(entry["text"], LONGEST_TEXT)
        cells = entry.get("index", ""), entry["label"], entry["prediction"], _percent(entry.get("confidence", "")), said
        rows.append([Cell(cell) for cell in cells])
    columns, caption = ("no.", "class", "taken for", "how sure", "text"), "The most wrong test texts"
    html = table(columns, rows[:AT_ONCE], caption)
    if len(rows) > AT_ONCE:
        html += details(f"the other {len(rows) - AT_ONCE}", table(columns, rows[AT_ONCE:], caption))
    return html


def maps(run: Path) -> tuple[str, int, str] | None:
    """The picture of the worst maps: its HTML, how many images it shows, and the name of the number that they are
    sorted by; None where there is none.
    """
    rows, file = read_maps(run), run / "maps.png"
    try:
        content = file.read_bytes()
    except OSError:
        return None
    size = png_size(content)
    if not rows or size is None:
        return None
    by = next((name for name in rows[0] if name not in ("place", "index", "file")), "")
    told = f"{len(rows)} test images, each beside its truth, the prediction and the error, the worst first"
    address = picture_address(content)
    html = f'<img class="maps" src="{address}" width="{size[0]}" height="{size[1]}" alt="{text(told)}">'
    return html, len(rows), by


def made(run: Path, width: int = 0) -> tuple[str, int | None]:
    """`samples.png`, or of a run that has not ended the newest picture of its film, and then the epoch.

    Args:
        run: its folder.
        width: of the picture in pixels at most; 0: its own.

    Returns:
        the HTML, empty where there is no picture, and the epoch; None: the picture is `samples.png`.
    """
    told = "what the network makes"
    picture = _picture(run / "samples.png", told, width) if read_grid(run, "samples") is not None else ""
    every = frames(run)
    if picture or not every:
        return picture, None
    epoch, file = every[-1]
    return _picture(file, told, width), epoch


def film(run: Path) -> tuple[str, int]:
    """Some epochs of the film, the first and the last among them: their HTML, and how many epochs it has."""
    every = frames(run)
    count = min(FRAMES, len(every))
    chosen = sorted({round(place * (len(every) - 1) / max(1, count - 1)) for place in range(count)})
    items = [
        f"<li>{picture}<b>epoch {epoch}</b></li>"
        for epoch, file in (every[place] for place in chosen)
        if (picture := _picture(file, f"what the network makes after epoch {epoch}", FRAME_WIDTH))
    ]
    return (tiles(items, FRAME_WIDTH) if len(items) > 1 else ""), len(every)


def learned(run: Path) -> str:
    """What the network has learned of samples with one or two inputs, and of values: its pictures as HTML."""
    pictures = [_picture(run / name, told, WIDEST) for name, told in LEARNED.items()]
    return beside(*filter(None, pictures)) if any(pictures) else ""


def forecasts(run: Path) -> list[tuple[str, str]]:
    """The pictures of forecasts that there are, each as HTML, with what it shows."""
    pictures = ((_picture(run / name, told, WIDEST), told) for name, told in FORECASTS.items())
    return [(picture, told) for picture, told in pictures if picture]


def films(run: Path) -> tuple[str, int]:
    """The films of what a network learns: their HTML, and how many epochs the longest shows; empty without a film.

    Each is a GIF file or, where that is large, on paper, and for readers who want no motion, a strip of some epochs.
    """
    items, epochs, room = [], 0, MOVING_BYTES
    for kind, told in FILMS.items():
        found = read_film(run, kind)
        size = None if found is None else png_size(found[0])
        if found is None or size is None:
            continue
        strip, moving = found
        width = min(WIDEST, size[0])
        still, name = picture_address(strip, STRIP_BYTES, width), f"{text(told)}, epoch by epoch"
        if moving.startswith(GIF) and len(moving) <= room:
            room -= len(moving)
            shown = f"data:image/gif;base64,{base64.b64encode(moving).decode('ascii')}"
            html = f'<img class="maps moving" src="{shown}" alt="{name}">'
            html += f'<img class="maps still" src="{still}" alt="{name}">'
        else:
            html = f'<img class="maps" src="{still}" alt="{name}">'
        items.append(f"<figure>{html}<figcaption>{text(told)}</figcaption></figure>")
        epochs = max(epochs, len(frames(run, kind)))
    return "".join(items), epochs


def neighbours(run: Path) -> str:
    """Made pictures beside the nearest training images; empty where there are none."""
    told = "made pictures, each beside the training images that are nearest to it"
    return _picture(run / "neighbours.png", told, WIDEST) if read_neighbours(run) else ""


def bowl(run: Path) -> str:
    """The descent of a network with two weights; empty where there is no picture."""
    told = "lines of equal loss over both weights, the steps of the training, and the solution by least squares"
    return _picture(run / f"{BOWL}.png", told, WIDEST)


def loss_surface(run: Path) -> str:
    """The loss around the solution, and the path of the training; empty where there is no picture."""
    return _picture(run / f"{SURFACE}.png", "lines of equal loss around the trained weights", WIDEST)


def _picture(file: Path, told: str, width: int = 0) -> str:
    """A PNG file as HTML; empty where it is missing or torn."""
    try:
        content = file.read_bytes()
    except OSError:
        return ""
    size = png_size(content)
    if size is None:
        return ""
    factor = min(1.0, width / size[0]) if width else 1.0
    sides = f'width="{round(size[0] * factor)}" height="{round(size[1] * factor)}"'
    address = picture_address(content, FRAME_BYTES, width)
    return f'<img class="maps" src="{address}" {sides} alt="{text(told)}">'


def filters(run: Path) -> tuple[str, str, Sheet] | None:
    """The filters of the first layer: their HTML, their style, and the sheet; None where there are none."""
    sheet = Sheet.read(run, "filters")
    if sheet is None:
        return None
    items = [f"<li>{sheet.tile_at(place, 'filter', f'filter {place + 1}')}</li>" for place in range(sheet.count)]
    return tiles(items, 52 if sheet.count > 32 else 68), sheet.style("filter"), sheet


def _file(name: str) -> str:
    """A file's name below its picture, of a long one the end; where one points at it, its folders as well."""
    if not name:
        return ""
    own = name.rpartition("/")[2]
    shown = own if len(own) <= LONGEST else f"…{own[1 - LONGEST :]}"
    return f'<span class="told" title="{text(name)}">{text(shown)}</span>'


def _percent(cell: str) -> str:
    try:
        return f"{float(cell):.1%} sure"
    except ValueError:
        return text(cell)
