"""What deserves attention in the facts of a data set, the gravest first: what is wrong, and what can be typed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from couloir.config.image_size import in_words
from couloir.data.classes import UNEQUAL
from couloir.data.health import WORDS
from couloir.errors import display
from couloir.inspect.dataset.columns import LEAK
from couloir.inspect.dataset.map_counts import ALONE

Facts = dict[str, Any]
BALANCING = ("loss.class_weights=balanced", "data.sampler=balanced")
"""Words that make classes count alike."""
NAMED = 6
"""Names that are listed; the others are counted."""
FEW = 10
"""Training samples of a class below which it is said."""
FEW_HELD_OUT = 50
"""Samples of validation or test below which their numbers are said to be rough."""
GRAVE = ("refused", "broken_files", "leak", "absent_class", "shared_samples", "contradicting_doubles", "imbalance")
"""Cases that a result cannot be trusted with."""
FEW_ROWS = 5
"""Rows a column of the table below which it is said."""
MOSTLY = 0.5
"""Share of missing values, or of photographs that are enlarged, from which it is said."""


def attention(facts: dict[str, Any], keys: Collection[str]) -> list[dict[str, Any]]:
    """Findings, each with its `case`, what it `says` and what comes `next`, which may be null.

    Args:
        facts: of `couloir.inspect.dataset.facts`.
        keys: those of the sentence, which a next step may name.
    """
    rules = (
        refused, broken, left_out, leaks, absent_classes, shared, contradictions, doubled, constant, imbalance,
        small_classes, pixels, empty_maps, missing, enlarged, small_splits, few_rows,
    )  # fmt: skip
    return [finding for rule in rules for finding in rule(facts, keys)]


def _finding(case: str, says: str, then: str | None = None) -> dict[str, Any]:
    return {"case": case, "says": says, "next": then}


def refused(facts: Facts, keys: Collection[str]) -> Iterator[dict[str, Any]]:
    """Training ends at once with this data."""
    error = facts["refused"]
    files = [entry["file"] for entry in facts["broken"]["files"]]
    if (
        error is not None and str(Path(error["where"] or "").absolute()) not in files
    ):  # those are told below, all of them
        place = f" ({error['where']})" if error["where"] else ""
        yield _finding("refused", f"Training refuses this data: {error['message']}{place}", error["next"])


def broken(facts: Facts, keys: Collection[str]) -> Iterator[dict[str, Any]]:
    """Photographs that cannot be read."""
    number = facts["broken"]["number"]
    if number:
        first = facts["broken"]["files"][0]
        yield _finding(
            "broken_files",
            f"{number:,} {'file' if number == 1 else 'files'} cannot be read, for example {_shown(first)}: "
            f"{first['reason']}.",
            "repair or remove them, or data.on_error=skip",
        )


def left_out(facts: Facts, keys: Collection[str]) -> Iterator[dict[str, Any]]:
    """What is not trained on, though it is there."""
    number = facts["left_out"]["number"]
    if number:
        first = facts["left_out"]["samples"][0]
        place = _shown(first) if first["line"] is None else f"line {first['line']}"
        what = "samples are" if number > 1 else "sample is"
        yield _finding("left_out", f"{number:,} {what} left out, first {place}: {first['reason'].rstrip('.')}.")


def leaks(facts: Facts, keys: Collection[str]) -> Iterator[dict[str, Any]]:
    """Columns that give the target away."""
    for column in facts["columns"] or []:
        goes = column["with_target"]
        close = goes is not None and abs(goes["value"]) > LEAK
        if not column["used"] or not (close or column["determines_target"]):
            continue
        how = "says the class of every row"
        if not column["determines_target"]:
            how = f"goes together with '{goes['with']}' almost exactly ({goes['measure']} {goes['value']:.4f})"
        yield _finding(
            "leak",
            f"The column '{column['name']}' {how}. Is it known before the target is?",
            f"leave it out if not: data.ignore=[{column['name']}]" if "data.ignore" in keys else None,
        )


def absent_classes(facts: Facts, keys: Collection[str]) -> Iterator[dict[str, Any]]:
    """Classes that a split lacks."""
    counted = facts["classes"]
    for split in facts["splits"] if counted is not None else ():
        absent = [name for name, count in zip(counted["names"], counted["counts"][split], strict=True) if not count]
        if absent:
            yield _finding(
                "absent_class",
                f"The {WORDS[split]} split has no {counted['counted'].removesuffix('s')} of "
                f"{'class' if len(absent) == 1 else 'the classes'} {_listed(absent)}{_of_some(facts, split)}.",
            )


def _of_some(facts: Facts, split: str) -> str:
    """Of how many maps that holds, where not all were looked at."""
    looked = facts["maps"]["counted"].get(split) if facts["maps"] is not None else None
    return (
        f" in the {looked:,} maps that were looked at" if looked and looked < facts["splits"][split]["samples"] else ""
    )


def shared(facts: Facts, keys: Collection[str]) -> Iterator[dict[str, Any]]:
    """Samples that two splits share."""
    for entry in facts["doubles"]["across"]:
        count, one, other = entry["samples"], entry["in"], entry["of"]
        if count:
            of = facts["splits"][other]["samples"]
            yield _finding(
                "shared_samples",
                f"{_at_least(facts)}{count:,} of {of:,} {WORDS[other]} samples {'is' if count == 1 else 'are'} in the "
                f"{WORDS[one]} split as well{_example(facts, one, other)}.",
            )


def contradictions(facts: Facts, keys: Collection[str]) -> Iterator[dict[str, Any]]:
    """One image with two classes."""
    number = facts["doubles"]["contradicting"]
    if number:
        yield _finding(
            "contradicting_doubles",
            f"{number:,} image{'s are' if number > 1 else ' is'} there more than once, with different targets.",
        )


def doubled(facts: Facts, keys: Collection[str]) -> Iterator[dict[str, Any]]:
    """Samples that a split has twice."""
    for split, count in facts["doubles"]["within"].items():
        if count:
            of = facts["splits"][split]["samples"]
            yield _finding(
                "doubled_samples",
                f"{_at_least(facts)}{count:,} of {of:,} {WORDS[split]} samples "
                f"{'repeats' if count == 1 else 'repeat'} another one of that split.",
            )


def _at_least(facts: dict[str, Any]) -> str:
    return "" if facts["doubles"]["complete"] else "at least "


def _example(facts: dict[str, Any], one: str, other: str) -> str:
    for group in facts["doubles"]["examples"]:
        first = next((place for place in group if place["split"] == one), None)
        second = next((place for place in group if place["split"] == other), None)
        if first and second and first["file"]:
            return f", for example {_shown(first)} and {_shown(second)}"
    return ""


def constant(facts: Facts, keys: Collection[str]) -> Iterator[dict[str, Any]]:
    """Columns and channels that never vary."""
    flat = [
        column["name"] for column in facts["columns"] or []
        if column["used"] and column["distinct"] <= 1
    ]  # fmt: skip
    if flat:
        several = "s" * (len(flat) > 1)
        yield _finding(
            "constant_column",
            f"The column{several} {_listed(flat)} {'have' if several else 'has'} the same value in every row.",
            f"data.ignore=[{','.join(flat[:NAMED])}]" if "data.ignore" in keys else None,
        )
    images = facts["images"]
    for channel, deviation in enumerate(images["std"] if images is not None and images["measured"] else []):
        if deviation == 0:
            yield _finding("constant_channel", f"Channel {channel} of the images has the same value in every pixel.")


def imbalance(facts: Facts, keys: Collection[str]) -> Iterator[dict[str, Any]]:
    """Classes of very different sizes."""
    there = [(count, name) for name, count in _training(facts) if count]
    if len(there) < 2:
        return
    (least, rare), (most, common) = min(there), max(there)
    if most >= UNEQUAL * least:
        yield _finding(
            "imbalance",
            f"The classes differ in size: {most:,} training samples of {common}, {least:,} of {rare}. Accuracy says "
            f"little then: always answering {common} is right for {most / sum(count for count, _ in there):.0%}.",
            " or ".join(words for words in BALANCING if words.partition("=")[0] in keys) or None,
        )


def small_classes(facts: Facts, keys: Collection[str]) -> Iterator[dict[str, Any]]:
    """Classes with few training samples."""
    few = [f"{name} ({count})" for name, count in _training(facts) if 0 < count < FEW]
    if few:
        yield _finding("small_class", f"Fewer than {FEW} training samples of {_listed(few)}.")


def _training(facts: dict[str, Any]) -> list[tuple[str, int]]:
    counted = facts["classes"]
    if counted is None or counted["counted"] != "samples" or "train" not in counted["counts"]:
        return []
    return list(zip(counted["names"], counted["counts"]["train"], strict=True))


def pixels(facts: Facts, keys: Collection[str]) -> Iterator[dict[str, Any]]:
    """Classes of very different areas."""
    counted = facts["classes"]
    if counted is None or counted["counted"] != "pixels":
        return
    there = [(count, name) for name, count in zip(counted["names"], counted["counts"]["train"], strict=True) if count]
    if len(there) < 2:
        return
    (least, rare), (most, common) = min(there), max(there)
    if most >= UNEQUAL * least:
        total = sum(count for count, _ in there)
        words = [*(["loss.class_weights=balanced"] if "loss.class_weights" in keys else []), "loss=dice_cross_entropy"]
        yield _finding(
            "pixel_imbalance",
            f"The classes differ in area: {most / total:.1%} of the training pixels are {common}, {least / total:.2%} "
            f"{rare}. Pixel accuracy says little then; the IoU of each class says more.",
            " or ".join(words),
        )


def empty_maps(facts: Facts, keys: Collection[str]) -> Iterator[dict[str, Any]]:
    """Maps with next to nothing in them."""
    found = facts["maps"]
    for split, empty in found["empty"].items() if found is not None else ():
        if empty:
            of = found["counted"][split]
            values = found["holds"] == "values"
            what = "is black" if values else f"has one class alone, in {ALONE:.1%} of its pixels or more"
            many = "are black" if values else f"have one class alone, in {ALONE:.1%} of their pixels or more"
            yield _finding(
                "empty_maps",
                f"{empty:,} of {of:,} {WORDS[split]} maps {what if empty == 1 else many}.",
            )


def missing(facts: Facts, keys: Collection[str]) -> Iterator[dict[str, Any]]:
    """Columns that are mostly empty."""
    rows = facts["samples"]
    few = [
        f"{column['name']} ({column['missing'] / rows:.0%})" for column in facts["columns"] or []
        if column["used"] and rows and column["missing"] > MOSTLY * rows
    ]  # fmt: skip
    if few:
        yield _finding("mostly_missing", f"Most values are missing in {_listed(few)}.")


def enlarged(facts: Facts, keys: Collection[str]) -> Iterator[dict[str, Any]]:
    """Photographs smaller than what the network gets."""
    found = facts["photographs"]
    if found is not None and found["files"] and found["enlarged"] >= MOSTLY * found["files"]:
        yield _finding(
            "enlarged",
            f"{found['enlarged']:,} of {found['files']:,} photographs are smaller than {in_words(found['covers'])} "
            f"pixels, and are enlarged{' for training' * found.get('whole', False)}.",
            "a smaller data.image_size trains faster, and loses nothing of them",
        )


def small_splits(facts: Facts, keys: Collection[str]) -> Iterator[dict[str, Any]]:
    """Validation and test splits whose numbers vary by chance."""
    small = [
        f"{split['samples']} {WORDS[name]}" for name, split in facts["splits"].items()
        if name != "train" and split["samples"] and split["samples"] < FEW_HELD_OUT
    ]  # fmt: skip
    if small:
        yield _finding(
            "small_split",
            f"There are {' and '.join(small)} samples: numbers measured on so few vary by chance.",
            "train -m data.folds=5 tests on every sample once" if "data.folds" in keys else None,
        )


def few_rows(facts: Facts, keys: Collection[str]) -> Iterator[dict[str, Any]]:
    """A table with few rows for its columns."""
    used = sum(column["used"] for column in facts["columns"] or [])
    rows = facts["splits"]["train"]["samples"] if "train" in facts["splits"] else 0
    if used > 1 and rows and rows < FEW_ROWS * used:
        yield _finding("few_rows", f"{rows:,} training rows for {used:,} columns: a network can learn them by heart.")


def _shown(entry: dict[str, Any]) -> str:
    return display(Path(entry["file"]))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
