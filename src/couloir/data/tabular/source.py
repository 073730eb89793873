"""Which files a table is in: one, a folder of them, or one for each split."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from couloir.errors import CouloirError

SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What the names of files and folders call the splits."""
SUFFIXES = frozenset(
    (".csv", ".tsv", ".txt", ".tab", ".dat", ".data", ".psv", ".gz", ".zip", ".npz", ".parquet", ".pq")
)
"""What a folder's tables are called."""


@dataclass(frozen=True)
class Sources:
    """The files of a table, and the split that each is for: `train`, `val`, `test`, or empty.

    Attributes:
        files: in the order of their rows, those of a split one after the other.
        splits: one a file.
        notes: what the folder holds besides.
    """

    files: tuple[Path, ...]
    splits: tuple[str, ...]
    notes: tuple[str, ...] = ()


def sources_of(path: str, val_path: str | None, test_path: str | None) -> Sources:
    """The files that the keys of a table name.

    Args:
        path: a file, or a folder: of tables that have the same columns, or with tables or folders named after splits.
        val_path: a file or a folder to validate on.
        test_path: one to test on.

    Raises:
        CouloirError: there is no such file, a folder has no table, or has splits that are stated as well.
    """
    parts, notes = _within(path, "data.path")
    stated = {"val": val_path, "test": test_path}
    if len(parts) > 1 and any(stated.values()):
        raise CouloirError(
            f"{path} holds tables for {' and '.join(parts)}, and there is data.val_path or data.test_path as well.",
            next_step="name the training table with data.path=FILE",
        )
    for split, place in stated.items():
        if place:
            found, more = _within(place, f"data.{split}_path")
            if len(found) > 1:
                raise CouloirError(f"{place} holds tables for {' and '.join(found)}.", place=f"data.{split}_path")
            parts[split] = next(iter(found.values()))
            notes += more
    splits = len(parts) > 1
    files = [(file, split if splits else "") for split in ("train", "val", "test") for file in parts.get(split, [])]
    twice = next((file for index, (file, _) in enumerate(files) if file in {each for each, _ in files[:index]}), None)
    if twice is not None:
        raise CouloirError(
            f"{twice} is named for two splits; what is trained on says nothing when it is tested on.",
            next_step="leave data.val_path or data.test_path out: Couloir holds rows out",
        )
    return Sources(tuple(file for file, _ in files), tuple(split for _, split in files), tuple(notes))


def _within(path: str, key: str) -> tuple[dict[str, list[Path]], list[str]]:
    """The tables in a place by their split, all in `train` where there are none; and what else is there."""
    place = Path(path).expanduser()
    if place.is_file():
        return {"train": [place]}, []
    if not place.is_dir():
        raise CouloirError(
            f"There is no file {path}.", place=key, next_step=f"name the table with {key}=FILE.csv, or its folder"
        )
    visible = sorted(entry for entry in place.iterdir() if entry.name[0] not in "._")
    by_split: dict[str, list[Path]] = defaultdict(list)
    others: list[Path] = []
    for entry in visible:
        split = _split_of(entry)
        tables = [entry] if _is_table(entry) else sorted(filter(_is_table, entry.iterdir())) if entry.is_dir() else []
        if split and tables:
            by_split[split] += tables
        else:
            others.append(entry)
    if "train" in by_split and len(by_split) > 1:
        return dict(by_split), [f"not used in {place}: {_listed(others)}"] if others else []
    tables = [entry for entry in visible if _is_table(entry)]
    if by_split and "train" not in by_split:
        name = next(iter(by_split.values()))[0].name
        raise CouloirError(
            f"{place} has a table for {next(iter(by_split))} ({name}), but none to train on.",
            next_step=f"call it train, or name the files: {key}=FILE data.test_path=FILE",
        )
    if not tables:
        raise CouloirError(
            f"There is no table in the folder {path}: {_listed(visible) or 'it is empty'}.",
            place=key,
            next_step=f"name the file with {key}=FILE; tables in a folder end with {', '.join(sorted(SUFFIXES))}",
        )
    unused = [entry for entry in visible if entry not in tables]
    return {"train": tables}, [f"not used in {place}: {_listed(unused)}"] if unused else []


def _split_of(entry: Path) -> str:
    """The split that a name begins or ends with: `train.csv`, `mnist_test.csv.gz`, `validation/`; else empty."""
    words = re.split(r"[^a-z]+", entry.name.lower().partition(".")[0].strip("_- "))
    return SPLITS.get(words[-1]) or SPLITS.get(words[0]) or ""


def _is_table(entry: Path) -> bool:
    return entry.suffix.lower() in SUFFIXES and entry.name[0] not in "._" and entry.is_file()


def _listed(entries: list[Path]) -> str:
    names = ", ".join(entry.name for entry in entries[:6])
    return names if len(entries) <= 6 else f"{names} and {len(entries) - 6} more"
