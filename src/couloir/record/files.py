"""How the files of a run folder are written and read.

A file is written under a temporary name and renamed. A reader is strict: an absent file is empty, and one that cannot
be read is an error that names it. Or it is lenient: what cannot be read is as if it were not there. Nothing here
imports torch.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from couloir.errors import CouloirError

PATIENCE = 5.0
"""Seconds that a file waits for its name."""
FLOAT = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$")
"""A number that YAML 1.1 takes for text, and OmegaConf for a number: `1e-3`."""


def _loader() -> Any:
    """PyYAML's safe parser, in C where there is one, which reads scalars as OmegaConf does."""
    loader: Any = type("Loader", (getattr(yaml, "CSafeLoader", yaml.SafeLoader),), {})
    loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789"))
    loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in loader.yaml_implicit_resolvers.items()
    }
    return loader


LOADER = _loader()


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A file under a temporary name in the same folder, flushed to the disk and renamed where the block ends well."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)  # mkstemp's 0600 would hide the record from colleagues
        rename(Path(temporary), path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def check_writable(file: Path) -> None:
    """Whether `written_whole` can write a file that `--output` names, in a folder that is there.

    Raises:
        CouloirError: it cannot.
    """
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
        os.close(handle)
        Path(temporary).unlink()
    except OSError as error:
        raise CouloirError(
            f"{file.name} cannot be written into {file.parent}: {error.strerror or error}.",
            place=f"--output {file}",
            next_step="--output FILE names a place that can be written to",
        ) from error


@contextmanager
def writing(file: Path) -> Iterator[None]:
    """What the disk does not take of a file that the user asked for is said in a sentence.

    Raises:
        CouloirError: an OSError within the block.
    """
    try:
        yield
    except OSError as error:
        raise CouloirError(
            f"{file.name} cannot be written: {error.strerror or error}.",
            place=str(error.filename or file.parent),
            next_step="--output FILE names a place that can be written to",
        ) from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name in the same folder, flush it to the disk, and rename it.

    Text becomes UTF-8; bytes of a file's name that are no text stay as they are.
    """
    with written_whole(path) as stream:
        stream.write(content.encode(errors="surrogateescape") if isinstance(content, str) else content)


def flush(file: Path) -> None:
    """See a file that is written onto the disk."""
    with file.open("r+b") as stream:  # Windows flushes only what may be written to
        os.fsync(stream.fileno())


def rename(temporary: Path, name: Path) -> None:
    """Give a file that is whole its name, in place of the one that has it.

    Windows refuses that as long as another process reads the old file, as a report or a virus scanner does.
    """
    until = time.monotonic() + (PATIENCE if os.name == "nt" else 0)
    while True:
        try:
            temporary.replace(name)
        except PermissionError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.01)
        else:
            return


def as_json(value: Any, indent: int | None = 2) -> str:
    """A value as JSON; NaN and infinity become null, since JSON has no word for them."""
    return json.dumps(_jsonable(value), indent=indent, ensure_ascii=False) + "\n"


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any] | Sequence[Any]]) -> str:
    """Rows below their columns as CSV, numbers in full; an empty cell where a row has no value."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([row.get(name) for name in columns] if isinstance(row, Mapping) else row for row in rows)
    return stream.getvalue()


def read_json(file: Path, strict: bool = True) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no file.

    Raises:
        CouloirError: it cannot be read; only where strict.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8", errors="surrogateescape"))
        if not isinstance(content, dict):
            raise ValueError("it is not a JSON object")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        if strict:
            raise unreadable(file, error) from error
        return {}
    return content


def read_yaml(file: Path, strict: bool = True) -> Any:
    """The content of a YAML file in plain values; None where there is no file.

    Raises:
        CouloirError: it cannot be read; only where strict.
    """
    try:
        return yaml.load(file.read_text(encoding="utf-8"), LOADER)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        if strict:
            raise unreadable(file, error) from error
        return None


def read_table(file: Path, strict: bool = True) -> list[list[str]]:
    """The lines of a CSV file, the head first; none where there is no file.

    A lenient reader leaves out a last line that is cut.

    Raises:
        CouloirError: it cannot be read, a line is cut, or has more or fewer cells than the head; only where strict.
    """
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
        whole = text[: text.rfind("\n") + 1]
        if strict and (not text or text != whole):
            raise ValueError("its last line is incomplete")
        table = [row for row in csv.reader(io.StringIO(whole, newline=""), strict=True) if row]
        if strict and any(len(row) != len(table[0]) for row in table):
            raise ValueError("its lines have different numbers of cells")
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        if strict:
            raise unreadable(file, error) from error
        return []
    return table


def read_rows(file: Path, strict: bool = True) -> list[dict[str, str]]:
    """The rows of a CSV file by column, as `read_table` reads them."""
    head, *rows = read_table(file, strict) or [[]]
    return [dict(zip(head, row, strict=False)) for row in rows]


def unreadable(file: Path, error: Exception) -> CouloirError:
    """What is said of a file that a strict reader cannot read."""
    reason = " ".join(str(error).split())
    return CouloirError(f"{file.name} of the run {file.parent.name} cannot be read: {reason}", place=str(file))


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _jsonable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(entry) for entry in value]
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return None
    if isinstance(value, Path):
        return str(value)
    return value
