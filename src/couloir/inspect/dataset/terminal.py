"""A data set in words and tables, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from couloir.config.image_size import in_words
from couloir.data.health import WORDS
from couloir.data.skipped import legible
from couloir.errors import display

CLASSES = 30
"""Classes that are listed at most."""
COLUMNS = 40
"""Columns that are listed at most."""
FREQUENT = 4
"""Categories of a column that are listed, the most frequent ones."""
LONGEST = 24
"""Characters of a name."""


def told(facts: dict[str, Any]) -> Iterator[str | Table]:
    """What is printed, from above: what deserves attention, then counts, sizes, columns."""
    yield _overview(facts)
    for finding in facts["attention"]:
        then = f"\n    next: {finding['next']}" if finding["next"] else ""
        yield legible(f"  ! {finding['says']}{then}")
    if facts["classes"] is not None:
        yield _classes(facts["classes"])
    if facts["values"] is not None:
        yield _values(facts["values"])
    if facts["photographs"] is not None:
        yield _photographs(facts["photographs"])
    for note in (
        facts["notes"] if facts["columns"] is None else ()
    ):  # the table of columns says more than those of a table
        yield legible(note)
    for other in facts["other_files"]:
        number = other["number"]
        yield legible(f"not used: {number:,} {other['kind']}, for example {display(Path(other['example']))}")
    if facts["images"] is not None:
        yield _images(facts["images"])
    if facts["series"] is not None:
        yield _series(facts["series"]["columns"])
    if facts["texts"] is not None:
        yield _texts(facts["texts"])
    if facts["columns"] is not None:
        yield _columns(facts["columns"])
    if facts["first_batch"] is not None:
        yield _batch(facts["first_batch"])


def _overview(facts: dict[str, Any]) -> str:
    splits = ", ".join(f"{_count(split['samples'])} {WORDS[name]}" for name, split in facts["splits"].items())
    total = f"{facts['samples']:,} samples: " if facts["samples"] is not None else ""
    made = ", ".join(f"{name} ({kind})" for name, kind in facts["fields"].items())
    return f"{facts['data']}: {total}{splits}; fields: {made}"


def _count(number: int | None) -> str:
    return "not known" if number is None else f"{number:,}"


def _classes(counted: dict[str, Any]) -> Table:
    table = Table("class")
    for split in counted["counts"]:
        table.add_column(WORDS[split], justify="right", no_wrap=True)
    places = list(range(len(counted["names"])))
    for at in places[:CLASSES]:
        table.add_row(_short(counted["names"][at]), *(f"{each[at]:,}" for each in counted["counts"].values()))
    if len(places) > CLASSES:
        table.add_section()
        rest = [f"{sum(each[CLASSES:]):,}" for each in counted["counts"].values()]
        table.add_row(f"{len(places) - CLASSES:,} more", *rest)
    if counted["counted"] != "samples":
        table.title = counted["counted"]
    return table


def _values(values: list[dict[str, Any]]) -> Table:
    table = Table("value", "split")
    for name in ("min", "median", "mean", "deviation", "max"):
        table.add_column(name, justify="right")
    for value in values:
        for split, measured in value["splits"].items():
            numbers = (_number(measured[name]) for name in ("min", "median", "mean", "std", "max"))
            table.add_row(_short(value["name"]), WORDS[split], *numbers)
    return table


def _series(columns: list[dict[str, Any]]) -> Table:
    table = Table("column", "use")
    for name in ("min", "mean", "deviation", "max"):
        table.add_column(name, justify="right")
    for column in columns[:COLUMNS]:
        table.add_row(
            _short(column["name"]), column["role"], *(_number(column[name]) for name in ("min", "mean", "std", "max"))
        )
    if len(columns) > COLUMNS:
        table.add_section()
        table.add_row(f"{len(columns) - COLUMNS:,} more")
    return table


def _texts(found: dict[str, Any]) -> Table:
    table = Table("split")
    for name in ("tokens", "shortest", "median", "longest", "unknown"):
        table.add_column(name, justify="right")
    for split, told in found["splits"].items():
        lengths = (_number(told[name]) for name in ("min", "median", "max"))
        table.add_row(WORDS[split], f"{told['tokens']:,}", *lengths, f"{told['unknown']:.1%}")
    return table


def _photographs(found: dict[str, Any]) -> str:
    def listed(counts: dict[str, int]) -> str:
        return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"

    def sides(measured: dict[str, Any]) -> str:
        return " / ".join(_number(measured[name]) for name in ("min", "median", "max"))

    turned = {name: count for name, count in found["orientations"].items() if name != "1"}
    return legible(
        f"{found['files']:,} files, {found['bytes'] / 2**20:,.1f} MiB; formats: {listed(found['formats'])}; "
        f"modes: {listed(found['modes'])}\n"
        f"width {sides(found['width'])}, height {sides(found['height'])} (min / median / max), "
        f"{'in windows of' if found['whole'] else 'scaled until they cover'} {in_words(found['covers'])}; "
        f"{sum(turned.values()):,} stored turned or mirrored"
    )


def _images(found: dict[str, Any]) -> str:
    mean, std = (", ".join(f"{value:.4f}" for value in found[name]) for name in ("mean", "std"))
    return (
        f"images of {found['channels']} x {found['height']} x {found['width']} (channels, height, width); mean {mean}, "
        f"deviation {std}, of {found['measured']:,} training images, pixels from 0 to 1"
    )


def _columns(columns: list[dict[str, Any]]) -> Table:
    table = Table("column", "kind")
    table.add_column("missing", justify="right", no_wrap=True)
    table.add_column("values")
    table.add_column("with target", justify="right")
    for column in columns[:COLUMNS]:
        goes = column["with_target"]
        why = f" ({column['why']})" if column["why"] and not column["used"] else ""
        close = "" if goes is None else f"{goes['value']:.3f}"
        table.add_row(
            _short(column["name"]), f"{column['kind']}{why}", f"{column['missing']:,}", _in_words(column), close
        )
    if len(columns) > COLUMNS:
        table.add_section()
        table.add_row(f"{len(columns) - COLUMNS:,} more")
    return table


def _in_words(column: dict[str, Any]) -> str:
    """The values of a column: its most frequent categories, or its range, mean and deviation."""
    if "frequent" in column:
        listed = [f"{_short(each['value'])} {each['count']:,}" for each in column["frequent"][:FREQUENT]]
        more = column["distinct"] - len(listed)
        return legible(", ".join(listed) + (f" and {more:,} more" if more > 0 else ""))
    if "first" in column:
        return f"{column['first']} to {column['last']}"
    if column.get("min") is None:
        return ""
    low, middle, high = (_number(column[name]) for name in ("min", "median", "max"))
    return f"{low} / {middle} / {high}, mean {_number(column['mean'])} ± {_number(column['std'])}"


def _batch(batch: dict[str, Any]) -> Table:
    table = Table("first batch", "kind", "shape", "type", "min", "max")
    for name, field in batch["fields"].items():
        shape = "not known" if field["shape"] is None else " x ".join(map(str, field["shape"]))
        table.add_row(name, field["kind"] or "", shape, field["type"], _number(field["min"]), _number(field["max"]))
    return table


def _number(value: float | int | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _short(name: str) -> str:
    shown = legible(name)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"
