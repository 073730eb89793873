"""`data.html`: one file that shows a data set, from what deserves attention to single samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from couloir.artifacts.labelled_tiles import quick_png
from couloir.artifacts.page import Cell, Page, beside, charts, copyable, facts, table, text
from couloir.artifacts.sheet import Sheet, picture_address, png_size
from couloir.config.image_size import in_words
from couloir.data.health import WORDS
from couloir.data.samples import Samples
from couloir.errors import as_typed, display
from couloir.inspect.dataset import drawings, pictures, series
from couloir.inspect.dataset.attention import GRAVE
from couloir.inspect.dataset.facts import LISTED, Look
from couloir.inspect.dataset.pictures import Strip
from couloir.record.files import write_atomically

SHEET = 1_500_000
"""Bytes of the pictures of a section at most, before they are written as text."""
ROWS = 400
"""Rows of a table at most."""
MEASURES = ("min", "median", "mean", "std", "max")
HEADS = ("min", "median", "mean", "deviation", "max")


def write_page(look: Look, file: Path) -> None:
    """Write the page of a data set that was looked at.

    Args:
        look: what was found.
        file: where it goes; its folder is there.
    """
    write_atomically(file, page_of(look).as_html())


def page_of(look: Look) -> Page:
    """The page, section by section."""
    found = look.facts
    page = Page(f"Data {found['data']}")
    page.parts.append(_header(look))
    _attention(page, found)
    _targets(page, look)
    _samples(page, look)
    _images(page, look)
    _series(page, look)
    _texts(page, look.facts["texts"])
    _table(page, look)
    _batch(page, found)
    _doubles(page, found)
    _listed(page, found)
    _other_files(page, found)
    page.parts.insert(1, page.contents())
    return page


def _header(look: Look) -> str:
    found = look.facts
    numbers = [] if found["samples"] is None else [("samples", f"{found['samples']:,}")]
    numbers += [(WORDS[name], _count(split["samples"])) for name, split in found["splits"].items()]
    if found["classes"] is not None:
        numbers.append(("classes", f"{len(found['classes']['names']):,}"))
    if found["columns"] is not None:
        numbers.append(("columns", f"{sum(column['used'] for column in found['columns']):,}"))
    if found["images"] is not None:
        images = found["images"]
        numbers.append(("pixels", f"{images['height']} × {images['width']} × {images['channels']}"))
    made = ", ".join(f"{name} ({kind})" for name, kind in found["fields"].items())
    own = [WORDS[name] for name, split in found["splits"].items() if split["own"]]
    held = [WORDS[name] for name, split in found["splits"].items() if not split["own"] and name != "train"]
    said = f"A sample has the fields {made}."
    said += f" The set brings its own {' and '.join(own)} samples." if own else ""
    said += f" The {' and '.join(held)} samples are held out of the training samples, by the seed." if held else ""
    words = as_typed(["couloir", "data", *look.sentence.overrides])
    return (
        f'<header><h1>Data {text(found["data"])}</h1><p class="note">{text(said)}</p>{copyable(words)}'
        f"{facts(numbers)}</header>"
    )


def _count(number: int | None) -> str:
    return "not known" if number is None else f"{number:,}"


def _attention(page: Page, found: dict[str, Any]) -> None:
    entries = []
    for finding in found["attention"]:
        then = f"<p class=note>{text(_sentence(finding['next']))}</p>" if finding["next"] else ""
        entries.append(f"<div><h3>{text(finding['says'])}</h3>{then}</div>")
    if entries:
        grave = any(finding["case"] in GRAVE for finding in found["attention"])
        said = f'<div class="findings">{"".join(entries)}</div>'
        page.section("Look at this first", said, kind="alarm" if grave else "best")
    else:
        page.section("Look at this first", note="Nothing stands out.", kind="calm")


def _sentence(words: str) -> str:
    return f"What to do: {words}"


def _targets(page: Page, look: Look) -> None:
    found = look.facts
    if found["classes"] is not None:
        counted = found["classes"]
        drawn = charts([drawings.class_counts(counted)])
        heads = ["class", *(WORDS[split] for split in counted["counts"])]
        rows = [
            [Cell(name, kind="key"), *(_number(each[at]) for each in counted["counts"].values())]
            for at, name in enumerate(counted["names"][:ROWS])
        ]
        note = f"How many {counted['counted']} of each class a split has."
        if found["maps"] is not None:
            looked = ", ".join(f"{number:,} {WORDS[split]}" for split, number in found["maps"]["counted"].items())
            note += f" Of {looked} maps, evenly spaced."
            ignored = max(found["maps"]["ignored"].values(), default=0.0)
            note += f" Up to {ignored:.1%} of a split's pixels do not count." if ignored else ""
        note += f" The first {ROWS} of {len(counted['names'])} classes." if len(counted["names"]) > ROWS else ""
        page.section("Classes", drawn, table(heads, rows, "classes by split"), *_images_with(found), note=note)
    if found["values"] is not None:
        rows = [
            [Cell(value["name"], kind="key"), Cell(WORDS[split]), *(_number(each[name]) for name in MEASURES)]
            for value in found["values"] for split, each in value["splits"].items()
        ]  # fmt: skip
        drawn = charts(drawings.values(look), width=310)
        page.section("Values to predict", drawn, table(["value", "split", *HEADS], rows, "values to predict"))


def _images_with(found: dict[str, Any]) -> list[str]:
    """Of maps, in how many images each class is."""
    if found["maps"] is None:
        return []
    counts = found["maps"]["images"]
    rows = [
        [Cell(name, kind="key"), *(_number(each[at]) for each in counts.values())]
        for at, name in enumerate(found["classes"]["names"][:ROWS])
    ]
    return [table(["images with", *(WORDS[split] for split in counts)], rows, "images with each class")]


def _number(value: float | int | None) -> Cell:
    if value is None:
        return Cell("", kind="number")
    return Cell(f"{value:,}" if isinstance(value, int) else f"{value:,.6g}", float(value), "number")


def _samples(page: Page, look: Look) -> None:
    data, seed = look.data, int(look.sentence.cfg.seed)
    if isinstance(data, Samples):
        if data.fields[data.input] not in ("image", "video"):
            return
        plain, changed = pictures.samples(data), pictures.augmented(data, seed)
        frames = ", of each up to 9 evenly spaced frames" if data.fields[data.input] == "video" else ""
        note = (
            f"Training samples as the network sees them{frames}: scaled and cut, standardised, and shown back in "
            "[0, 1]. Up to "
            f"{pictures.EACH} of a class, evenly spaced"
        )
        classes = len(look.facts["classes"]["names"]) if look.facts["classes"] and data.kind == "label" else 0
        note += f", of the first {pictures.CLASSES} of {classes} classes." if classes > pictures.CLASSES else "."
        note += _about_maps(look)
    else:
        plain, changed = pictures.of_batch(data, seed)
        note = "The first images of the data module, scaled from their least to their greatest value."
    if plain:
        page.section("Samples", _strips(page, plain, "sample"), note=note)
    if changed:
        chosen = look.sentence.choices.get("augmentation")
        note = (
            f"augmentation={chosen}: on the left a sample as it is, then {pictures.DRAWS} draws. Training draws "
            "others; these follow from the seed alone."
        )
        page.section("Augmentation", _strips(page, changed, "drawn"), note=note)


def _texts(page: Page, found: dict[str, Any] | None) -> None:
    """Texts: how long they are, their most frequent tokens, and some of them."""
    if found is None:
        return
    lengths = table(
        ["split", "samples", "tokens", "shortest", "median", "longest", "unknown"],
        [[Cell(WORDS[split], kind="key"), _number(told["samples"]), _number(told["tokens"]), _number(told["min"]),
          _number(told["median"]), _number(told["max"]), Cell(f"{told['unknown']:.1%}", told["unknown"], "number")]
         for split, told in found["splits"].items()],
        "lengths of the texts",
    )  # fmt: skip
    frequent = table(
        ["token", "training"],
        [[Cell(_visible(each["token"]), kind="key"), _number(each["count"])] for each in found["frequent"]],
        "the most frequent tokens",
    )
    unit = {"character": "characters", "byte": "bytes", "word": "words", "bpe": "parts of words"}[found["unit"]]
    note = f"{found['vocabulary']:,} different tokens, {unit}. Lengths are in tokens; unknown is what training lacks."
    page.section("Texts", lengths, frequent, note=note)
    named = any(each["class"] is not None for rows in found["shown"].values() for each in rows)
    rows = [
        [Cell(WORDS[split], kind="key"), _number(each["number"]), *([Cell(each["class"])] if named else []),
         Cell(each["text"])]
        for split, shown in found["shown"].items() for each in shown
    ]  # fmt: skip
    heads = ["split", "number", *(["class"] if named else []), "text"]
    page.section(
        "Samples", table(heads, rows, "some texts"), note="Some texts of each split, as the network gets them."
    )


def _visible(token: str) -> str:
    """A token that can be seen: blanks and ends of lines by their signs."""
    return "".join({" ": "␣", "\n": "↵", "\t": "⇥"}.get(sign, sign) for sign in token)


def _series(page: Page, look: Look) -> None:
    """Series to forecast: a picture with the parts of time, their dates, their columns."""
    found, whole = look.facts["series"], series.table_of(look.data)
    if found is None or whole is None:
        return
    png = quick_png(series.picture(whole))
    size = png_size(png) or (0, 0)
    sides = f'width="{size[0]}" height="{size[1]}"'
    drawn = f'<img class="maps" src="{picture_address(png)}" {sides} alt="series over time">'
    parts = table(
        ["part", "from", "to", "steps"],
        [[Cell(WORDS[split], kind="key"), Cell(part["from"] or ""), Cell(part["to"] or ""), _number(part["steps"])]
         for split, part in found["parts"].items()],
        "parts of time",
    )  # fmt: skip
    columns = table(
        ["column", "use", "min", "mean", "deviation", "max"],
        [[Cell(column["name"], kind="key"), Cell(column["role"]), *(_number(column[name]) for name in series.MEASURES)]
         for column in found["columns"][:ROWS]],
        "columns of the series",
    )  # fmt: skip
    dates = f"{found['spacing']}, {found['from']} to {found['to']}" if found["spacing"] else "no dates"
    note = f"{found['steps']:,} steps, {dates}."
    note += f" A window has {found['length']:,} steps, and {found['horizon']:,} follow."
    note += f" {found['interpolated']:,} steps are interpolated." if found["interpolated"] else ""
    page.section("Series", drawn, beside(parts, columns), note=note)


def _about_maps(look: Look) -> str:
    """What is laid over the samples, or stands beside them."""
    found = look.facts["maps"]
    if found is None:
        return ""
    if found["holds"] == "images":
        return " On the left of each picture the input, on the right the clean image."
    if found["holds"] == "values":
        return " The map is laid over its image in grey: the redder, the larger its values."
    names = look.facts["classes"]["names"]
    return f" The masks are laid over their images; the class {names[0]} is left clear." if names else ""


def _strips(page: Page, strips: Sequence[Strip], name: str) -> str:
    """Rows of pictures; all of them are one file."""
    sheet = Sheet.of([picture for strip in strips for picture in strip.pictures], SHEET)
    page.styles.append(sheet.style(name))
    place, rows = 0, []
    for strip in strips:
        items = []
        for told in strip.told:
            if place < sheet.count:
                items.append(f"<li>{sheet.tile_at(place, name, f'{strip.title} {told}')}{text(told)}</li>")
            place += 1
        head = f"<b>{text(strip.title)}</b>" if strip.title else ""
        if items:
            rows.append(f"{head}<ul>{''.join(items)}</ul>")
    kind = "strips" if strips[0].title else "strips untitled"
    return (
        f'<div class="{kind}" style="--side:{sheet.shown_side}px">{"".join(f"<div>{row}</div>" for row in rows)}</div>'
    )


def _images(page: Page, look: Look) -> None:
    found = look.facts
    images, files = found["images"], found["photographs"]
    if files is not None:
        lists = [
            (head, [[Cell(name, kind="key"), _number(count)] for name, count in files[key].items()])
            for head, key in (("format", "formats"), ("mode", "modes"), ("orientation", "orientations"))
        ]
        tables = beside(*(table([head, "files"], rows, f"files by {head}") for head, rows in lists))
        sides = [
            [Cell(name, kind="key"), *(_number(files[name][key]) for key in ("min", "median", "max"))]
            for name in ("width", "height")
        ]
        sizes = table(["pixels", "min", "median", "max"], sides, "sizes of the photographs")
        note = (
            f"{files['files']:,} files of {files['bytes'] / 2**20:,.1f} MiB, from their headers; sizes as one sees "
            f"them, orientation 1 is stored upright. {_scaling(files)}"
        )
        drawn = charts(drawings.photograph_sizes(look), width=310)
        page.section("Photographs", tables, drawn, sizes, note=note)
    if images is not None and look.pixels is not None:
        rows = [
            [Cell(str(at), kind="key"), *(_number(images[name][at]) for name in ("min", "mean", "std", "max"))]
            for at in range(images["channels"])
        ]
        whole = images["measured"] + len(look.pixels.broken) == found["splits"]["train"]["samples"]
        note = (
            f"Of {'all' if whole else ''} {images['measured']:,} training images{'' if whole else ', evenly spaced'};"
        )
        note += " pixels count from 0 to 1. By mean and deviation images are standardised."
        heads = ["channel", "min", "mean", "deviation", "max"]
        drawn = charts([drawings.levels(look.pixels)], width=310)
        page.section("Pixels", drawn, table(heads, rows, "channels"), note=" ".join(note.split()))


def _scaling(files: dict[str, Any]) -> str:
    covers = in_words(files["covers"])
    if files["whole"]:
        return f"They keep their sizes; those that do not cover {covers} are enlarged for training."
    return f"They are scaled until they cover {covers}."


def _table(page: Page, look: Look) -> None:
    columns = look.facts["columns"]
    if columns is None:
        return
    rows = []
    for column in columns[:ROWS]:
        goes = column["with_target"]
        told = Cell("") if goes is None else Cell(f"{goes['value']:.3f}", abs(goes["value"]), "number")
        measured = {} if column["kind"] == "date" else column
        often = ", ".join(f"{each['value']} ({each['count']:,})" for each in column.get("frequent", [])[:6])
        often = f"{column['first']} to {column['last']}" if "first" in column else often
        rows.append([
            Cell(column["name"], kind="key"), Cell(column["kind"]), Cell(column["why"]), _number(column["missing"]),
            _number(column["distinct"]), *(_number(measured.get(name)) for name in MEASURES),
            Cell(often), told,
        ])  # fmt: skip
    heads = ["column", "kind", "why", "missing", "different", *HEADS, "most frequent, or dates", "with the target"]
    closeness = {column["with_target"]["measure"] for column in columns if column["with_target"]}
    note = "Over all rows that are used."
    note += f" With the target: {' or '.join(sorted(closeness))}." if closeness else ""
    note += f" The first {ROWS} of {len(columns)} columns." if len(columns) > ROWS else ""
    kept = [at for at in range(len(heads)) if at == 0 or any(row[at].shown for row in rows)]
    heads, rows = [heads[at] for at in kept], [[row[at] for at in kept] for row in rows]
    page.section("Columns", table(heads, rows, "columns of the table"), note=note)
    points = drawings.points(look)
    if points:
        page.section("Points", charts(points, width=460))
    drawn, said = drawings.distributions(look)
    if drawn:
        page.section("Distributions", charts(drawn, width=310), note=said)
    drawn, said = drawings.against_values(look)
    if drawn:
        page.section("Columns and values", charts(drawn, width=310), note=said)
    matrix, said = drawings.correlation_matrix(look)
    if matrix is not None:
        page.section("Correlations", charts([matrix]), note=said)


def _batch(page: Page, found: dict[str, Any]) -> None:
    batch = found["first_batch"]
    if batch is None:
        return
    rows = [
        [Cell(name, kind="key"), Cell(each["kind"] or ""), Cell(" × ".join(map(str, each["shape"] or ["not known"]))),
         Cell(each["type"]), _number(each["min"]), _number(each["max"])]
        for name, each in batch["fields"].items()
    ]  # fmt: skip
    heads = ["field", "kind", "shape", "type", "min", "max"]
    note = (
        "A data module of your own: what its first training batch holds. Statistics, doubles and splits are not known."
    )
    page.section("First batch", table(heads, rows, "fields of the first batch"), note=note)


def _doubles(page: Page, found: dict[str, Any]) -> None:
    doubles = found["doubles"]
    if not doubles["examples"]:
        return
    rows = []
    for group in doubles["examples"]:
        places = [
            f"{WORDS[place['split']]} {_place(place) if place['file'] else 'no. ' + str(place['number'])}"
            for place in group
        ]
        rows.append([_number(len(group)), Cell("; ".join(places[:12]), kind="wide")])
    note = "Samples that are the same to the byte."
    note += f" The first {LISTED} groups." if len(rows) == LISTED else ""
    note += "" if doubles["complete"] else " Not all were compared: there are too many of one size."
    page.section("Doubles", table(["samples", "where"], rows, "doubles"), note=note)


def _listed(page: Page, found: dict[str, Any]) -> None:
    for title, entries, number in (
        ("Broken files", found["broken"]["files"], found["broken"]["number"]),
        ("Left out", found["left_out"]["samples"], found["left_out"]["number"]),
    ):
        if entries:
            rows = [
                [Cell(WORDS.get(each["split"] or "", "")), Cell(each["class"] or ""),
                 Cell(_place(each), kind="long"), Cell(each["reason"], kind="long")]
                for each in entries
            ]  # fmt: skip
            note = f"{number:,} in all" + (f"; the first {len(entries)}." if len(entries) < number else ".")
            page.section(title, table(["split", "class", "file", "reason"], rows, title.lower()), note=note)


def _other_files(page: Page, found: dict[str, Any]) -> None:
    if found["other_files"]:
        rows = [
            [Cell(each["kind"], kind="key"), _number(each["number"]), Cell(display(Path(each["example"])), kind="long")]
            for each in found["other_files"]
        ]
        note = "What is in the folder and is taken for no sample."
        page.section("Other files", table(["what", "files", "for example"], rows, "files that are not used"), note=note)


def _place(entry: dict[str, Any]) -> str:
    line = entry.get("line")
    file = display(Path(entry["file"]))
    return file if line is None else f"{file}, line {line}"
