"""Which shards there are: a folder of tar files, or patterns with braces, by split. Nothing here imports torch."""

from __future__ import annotations

import glob
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from couloir.data.listing import SPLIT_NAMES
from couloir.errors import CouloirError

SPLITS = ("train", "val", "test")
MOST_SHARDS = 1_000_000
"""Names that a pattern may stand for: more are a slip of the keyboard."""
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
CLASSES = "classes.json"
"""The file beside shards that has the names of their classes, a list in the order of the labels."""
_WORD = re.compile(r"[A-Za-z]+")
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def is_remote(place: str) -> bool:
    """Whether a place is a URL, and not a path."""
    return "://" in place and not place.startswith("file://")


def shards_of(keys: Mapping[str, Any]) -> dict[str, list[str]]:
    """The shards of each split that there is, paths or URLs, in order.

    Args:
        keys: of the node `data`: `path`, or `train` and perhaps `val` and `test`, each a pattern or a list of them.

    Raises:
        CouloirError: neither, or both, are stated; a folder or a shard is not there; a pattern makes no sense, or two
            splits share a shard.
    """
    path, patterns = keys.get("path"), {split: keys[split] for split in SPLITS if keys.get(split) is not None}
    if path is not None and patterns:
        raise CouloirError(
            f"data.path and data.{next(iter(patterns))} both say where the shards are.",
            next_step="leave one of them out",
        )
    if path is not None:
        return _in_folder(str(path))
    if "train" not in patterns:
        if patterns:
            raise CouloirError(
                f"There are shards for {' and '.join(patterns)} and none to train on.",
                next_step="add data.train='shards/train-{000000..000009}.tar'",
            )
        raise CouloirError(
            "The shards are missing.",
            next_step="add data.path=FOLDER, or data.train='FOLDER/train-{000000..000009}.tar'",
        )
    found = {split: _matching(split, pattern) for split, pattern in patterns.items()}
    seen: dict[str, str] = {}
    for split, shards in found.items():
        for shard in shards:
            if shard in seen:
                other = f"data.{split} and data.{seen[shard]} both have" if seen[shard] != split else (
                    f"data.{split} has twice")  # fmt: skip
                raise CouloirError(f"{other} the shard {name_of(shard)}.", place=shard, next_step="change the patterns")
            seen[shard] = split
    return found


def name_of(place: str) -> str:
    """The name of a shard's file."""
    return re.split(r"[/\\]", place.partition("?")[0])[-1]


def beside(place: str, name: str) -> str:
    """Another file where a shard is."""
    if is_remote(place):
        return f"{place.partition('?')[0].rpartition('/')[0]}/{name}"
    return str(Path(place).parent / name)


def expanded(pattern: str) -> Iterator[str]:
    """The names that a pattern stands for: `{000..146}` counts, with zeros in front as stated; `{a,b}` lists.

    Raises:
        CouloirError: a brace has no partner, there is nothing in it, or it counts backwards or without end.
    """
    parts: list[list[str]] = []
    end, total = 0, 1
    for braces in _BRACES.finditer(pattern):
        parts += [[pattern[end : braces.start()]], _alternatives(pattern, braces[1])]
        total *= len(parts[-1])
        end = braces.end()
        if total > MOST_SHARDS:
            raise CouloirError(
                f"The pattern {pattern} stands for more than {MOST_SHARDS:,} shards.", next_step="count to fewer"
            )
    parts.append([pattern[end:]])
    if any(sign in text for text in (part for each in parts for part in each) for sign in "{}"):
        raise CouloirError(
            f"The braces of {pattern} do not fit together.", next_step="such as train-{000000..000146}.tar"
        )
    return ("".join(chosen) for chosen in itertools.product(*parts))


def _alternatives(pattern: str, inside: str) -> list[str]:
    counted = _RANGE.fullmatch(inside.strip())
    if counted is None:
        found = [part.strip() for part in inside.split(",")]
        if len(found) > 1 and all(found):
            return found
        raise CouloirError(
            f"{{{inside}}} in {pattern} is no range and no list.",
            next_step="{000000..000146} counts, {a,b} lists",
        )
    first, last = int(counted[1]), int(counted[2])
    if last < first:
        raise CouloirError(f"{{{inside}}} in {pattern} counts backwards.", next_step=f"{{{counted[2]}..{counted[1]}}}")
    if last - first >= MOST_SHARDS:
        raise CouloirError(
            f"The pattern {pattern} stands for more than {MOST_SHARDS:,} shards.", next_step="count to fewer"
        )
    width = len(counted[1]) if counted[1].startswith("0") or len(counted[1]) == len(counted[2]) else 0
    return [f"{number:0{width}d}" for number in range(first, last + 1)]


def _matching(split: str, pattern: Any) -> list[str]:
    """The shards of one key, in order."""
    found: list[str] = []
    for each in pattern if isinstance(pattern, list) else [pattern]:
        text = str(each)
        if is_remote(text):
            if "*" in text.partition("?")[0]:
                raise CouloirError(
                    f"data.{split}={text} has a star, and no server lists its files.",
                    next_step="count them in braces: train-{000000..000146}.tar",
                )
            found += expanded(text)
            continue
        for name in expanded(text.removeprefix("file://")):
            path = Path(name).expanduser()
            several = "*" in name or "?" in name or "[" in name
            here = sorted(map(Path, glob.glob(str(path)))) if several and not path.exists() else [path]  # noqa: PTH207
            if not here:
                raise CouloirError(f"No file is called {name}.", place=f"data.{split}={text}", next_step=_LOOK)
            for file in here:
                _check_shard(file, f"data.{split}={text}")
            found += [str(file.absolute()) for file in here]
    return found


_LOOK = "correct the pattern; {000..012} counts, a star stands for any letters"


def _check_shard(file: Path, place: str) -> None:
    if file.is_dir():
        raise CouloirError(f"{file} is a folder.", place=place, next_step=f"data.path={file}, or name the tar files")
    if not file.is_file():
        raise CouloirError(f"There is no shard {file}.", place=place, next_step=_LOOK)
    if file.name.lower().endswith(COMPRESSED):
        raise _is_compressed(file)


def _is_compressed(file: Path) -> CouloirError:
    return CouloirError(
        f"{file.name} is compressed: no sample can be read out of its middle.",
        place=str(file),
        next_step="unpack it to a .tar, such as with gunzip; photographs are compressed already",
    )


def _in_folder(stated: str) -> dict[str, list[str]]:
    """The shards in a folder, or in its folders `train`, `val` and `test`, by what they are called."""
    if is_remote(stated):
        raise CouloirError(
            f"data.path={stated} is a URL, and no server lists its files.",
            next_step=f"data.train='{stated.rstrip('/')}/train-{{000000..000146}}.tar'",
        )
    folder = Path(stated.removeprefix("file://")).expanduser()
    if not folder.is_dir():
        single = folder.name.lower().endswith(".tar") or "{" in stated
        raise CouloirError(
            f"data.path={stated} is not a folder.",
            next_step=f"data.train='{stated}'" if single else "name the folder that holds the tar files",
        )
    found: dict[str, list[str]] = {}
    unnamed: list[str] = []
    for file in _tars(folder):
        split = _split_of(file.stem)
        found.setdefault(split, []).append(str(file.absolute())) if split else unnamed.append(str(file.absolute()))
    for below in sorted(path for path in folder.iterdir() if path.is_dir()):
        split = SPLIT_NAMES.get(below.name.lower())
        shards = [str(file.absolute()) for file in _tars(below)] if split else []
        if split and shards:
            if split in found:
                raise CouloirError(
                    f"The split {split} has shards in two places: {name_of(found[split][0])} and "
                    f"{below.name}/{name_of(shards[0])}.",
                    place=str(folder),
                    next_step="put them into one folder, or name them: data.train=PATTERN",
                )
            found[split] = shards
    if unnamed and found:
        raise CouloirError(
            f"{name_of(unnamed[0])} does not say which split it belongs to, and other shards beside it do.",
            place=str(folder),
            next_step="call it train-..., val-... or test-..., or name the shards: data.train=PATTERN",
        )
    if unnamed:
        found["train"] = unnamed
    if not found:
        raise CouloirError(
            f"There is no tar file in {folder}.",
            next_step="couloir data data=image_folder data.root=PHOTOS --to-shards FOLDER writes shards",
        )
    if "train" not in found:
        raise CouloirError(
            f"There are shards for {' and '.join(found)} and none to train on.",
            place=str(folder),
            next_step="call them train-000000.tar and so on",
        )
    return {split: found[split] for split in SPLITS if split in found}


def _tars(folder: Path) -> list[Path]:
    try:
        files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise CouloirError(
            f"The folder {folder} cannot be read: {error.strerror}.", next_step="change its permissions"
        ) from error
    packed = next((path for path in files if path.name.lower().endswith(COMPRESSED)), None)
    if packed is not None:
        raise _is_compressed(packed)
    return [path for path in files if path.name.lower().endswith(".tar") and path.is_file()]


def _split_of(stem: str) -> str | None:
    """The split that the words of a file's name say; the first of them that is one."""
    words = _WORD.findall(stem.lower())
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)
