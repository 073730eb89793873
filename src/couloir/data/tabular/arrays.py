"""Tables that are no text: the arrays of a NumPy `.npz`, and Parquet."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from couloir.data.named import ignoring
from couloir.data.tabular.columns import Found, Gathering, of_texts
from couloir.data.tabular.plain import EXACT
from couloir.data.tabular.source import SPLITS
from couloir.errors import CouloirError

INPUTS = ("x", "data", "features", "inputs")
TARGETS = ("y", "target", "targets", "label", "labels")
AsFound = Callable[[str, list[str]], Found]
"""A column of texts by its name and cells."""


def kind_of(file: Path) -> str:
    """`npz`, `parquet`, or empty for text: by content."""
    with file.open("rb") as stream:
        start = stream.read(4)
    if start == b"PAR1":
        return "parquet"
    if start == b"PK\x03\x04":
        try:
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
        except zipfile.BadZipFile:
            return ""
        return "npz" if names and all(name.endswith(".npy") for name in names) else ""
    return ""


def read_arrays(file: Path, kind: str, ignore: tuple[str, ...], as_found: AsFound) -> dict[str, dict[str, Found]]:
    """The columns of a file by split and name; the split is empty where the file does not say.

    Args:
        file: the file.
        kind: `npz` or `parquet`.
        ignore: names of columns that nobody looks at.
        as_found: makes columns of texts.

    Raises:
        CouloirError: the file is torn, has arrays or columns that are no columns of a table, or pyarrow is missing.
    """
    if kind == "parquet":
        return {"": dict(_parquet(file, ignore, as_found))}
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        pickled = "pickle" in str(error).lower()
        raise CouloirError(
            f"{file} holds Python objects, and a pickle can run code." if pickled else f"{file} is damaged: {error}",
            next_step="save arrays of numbers or texts: numpy.savez(file, x=..., y=...)",
        ) from error
    return _npz(file, arrays, ignore, as_found)


def _npz(
    file: Path, arrays: dict[str, NDArray[Any]], ignore: tuple[str, ...], as_found: AsFound
) -> dict[str, dict[str, Found]]:
    pairs: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in arrays.items():
        words = re.split(r"[_\-. ]", name.lower())
        splits = [SPLITS[word] for word in words if word in SPLITS]
        rest = [word for word in words if word not in SPLITS]
        role = (
            "" if len(rest) != 1 or len(splits) > 1 else "x" if rest[0] in INPUTS else "y" if rest[0] in TARGETS else ""
        )
        split = splits[0] if splits else ""
        if not role or role in pairs.get(split, {}):
            raise _other_arrays(file, arrays, f"it is not clear what {name} is")
        pairs.setdefault(split, {})[role] = array
    if ("" in pairs and len(pairs) > 1) or ("" not in pairs and "train" not in pairs):
        raise _other_arrays(file, arrays, "it is not clear what to train on")
    found: dict[str, dict[str, Found]] = {}
    for split in ("", "train", "val", "test"):
        if split not in pairs:
            continue
        roles = pairs[split]
        if set(roles) != {"x", "y"} or len(roles["x"]) != len(roles["y"]):
            raise _other_arrays(file, arrays, "inputs and targets do not go together")
        found[split] = {
            name: _unread(len(column), str(column.dtype)) if name in ignore else _of_array(file, name, column, as_found)
            for role in ("x", "y")
            for name, column in _columns(file, role, roles[role])
        }
    return found


def _other_arrays(file: Path, arrays: dict[str, NDArray[Any]], reason: str) -> CouloirError:
    held = ", ".join(f"{name} {array.shape}" for name, array in list(arrays.items())[:10])
    return CouloirError(
        f"{file} holds {held or 'no arrays'}: {reason}.",
        next_step="save inputs (N, F) and targets (N,) as x and y, or x_train, y_train, x_test and y_test",
    )


def _columns(file: Path, role: str, array: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    if array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1):
        yield role, array.reshape(-1)
    elif array.ndim == 2:
        for number in range(array.shape[1]):
            yield f"{role}{number + 1}", array[:, number]
    else:
        raise CouloirError(
            f"The array {role} of {file} has the shape {array.shape}; a table has rows and columns.",
            next_step="save it as (N, F), such as x.reshape(len(x), -1)",
        )


def _of_array(file: Path, name: str, array: NDArray[Any], as_found: AsFound) -> Found:
    kind = array.dtype.kind
    if kind == "b":
        return as_found(name, [str(value) for value in array.tolist()])
    if kind in "US":
        values = np.char.decode(array, "utf-8", "replace") if kind == "S" else array
        return as_found(name, [str(value).strip() for value in values.tolist()])
    if kind in "iu":
        return _of_integers(array.astype(np.float64), [str(value) for value in array.tolist()])
    if kind == "f":
        return _of_floats(array.astype(np.float64))
    raise CouloirError(f"The array {name} of {file} has the type {array.dtype}; numbers and texts can be read.")


def _unread(count: int, kind: str) -> Found:
    """A column that nobody looks at."""
    texts = np.full(count, f"({kind})", dtype=object)
    return Found(np.full(count, np.nan), texts, np.zeros(count, bool), False)


def _of_floats(numbers: NDArray[np.float64]) -> Found:
    missing = np.isnan(numbers)
    infinite = np.isinf(numbers)
    found = Found(np.where(infinite, np.nan, numbers), None, missing, False)
    if bool(infinite.any()):
        found.texts = np.array([repr(float(value)) for value in numbers], dtype=object)
    return found


def _of_integers(numbers: NDArray[np.float64], texts: list[str]) -> Found:
    found = Found(numbers, None, np.isnan(numbers), bool(len(numbers)))
    if bool(np.any(np.abs(numbers) >= EXACT)):
        found.texts = np.array(texts, dtype=object)
        found.notes.append("integers beyond 2**53, which float64 rounds")
    return found


def _parquet(file: Path, ignore: tuple[str, ...], as_found: AsFound) -> Iterator[tuple[str, Found]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise CouloirError(
            f"{file} is a Parquet file, and pyarrow, which reads them, is not installed.",
            next_step="pip install 'couloir[parquet]', or pip install pyarrow",
        ) from error
    try:
        with pq.ParquetFile(file) as opened:
            table = opened.read()
    except (pa.ArrowException, OSError) as error:
        raise CouloirError(f"{file} is damaged: {error}", next_step="download or write it again") from error
    names = [name.strip() for name in table.column_names]
    for name in names:
        if names.count(name) > 1:
            raise CouloirError(
                f"{file} has {names.count(name)} columns '{name}', so it is not clear which one is meant.",
                next_step="give each column a name of its own",
            )
    for name, column in zip(names, table.columns, strict=True):
        if name in ignore:
            yield name, _unread(len(column), str(column.type))
            continue
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_dictionary(column.type):
            column = column.cast(kind)
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            yield name, _of_parquet_numbers(pa, column, kind)
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind):
            yield name, as_found(name, ["" if value is None else str(value).strip() for value in column.to_pylist()])
        elif pa.types.is_date(kind) or pa.types.is_timestamp(kind):
            values = column.cast(
                pa.timestamp("us", kind.tz) if pa.types.is_timestamp(kind) else pa.date32()
            ).to_pylist()
            yield name, as_found(name, ["" if value is None else value.isoformat() for value in values])
        elif pa.types.is_null(kind):
            yield name, as_found(name, [""] * len(column))
        else:
            raise CouloirError(
                f"Column '{name}' of {file} has the type {column.type}, not numbers, texts, booleans or dates.",
                next_step=f"{ignoring(name)} leaves it out",
            )


def _of_parquet_numbers(pa: Any, column: Any, kind: Any) -> Found:
    numbers = np.array(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
    if not pa.types.is_integer(kind):
        return _of_floats(numbers)
    found = Found(numbers, None, np.isnan(numbers), bool(np.isfinite(numbers).any()))
    if bool(np.any(np.abs(numbers[~found.missing]) >= EXACT)):
        texts = ["" if value is None else str(value) for value in column.to_pylist()]
        found.texts = np.array(texts, dtype=object)
        found.notes.append("integers beyond 2**53, which float64 rounds")
    return found


def texts_of(name: str, cells: list[str], words: frozenset[str], maybe: frozenset[str], keep: bool) -> Found:
    """A column of texts that stand in a list.

    Args:
        name: the column's.
        cells: (N,).
        words: those that mean missing.
        maybe: those of them that are texts among texts.
        keep: whether the texts of numbers are wanted as well.
    """
    gathered = Gathering(name, words, as_text=True)
    gathered.add(cells)
    return of_texts(gathered, maybe, keep, None, False)


def joined(parts: list[Found]) -> Found:
    """A column of several files or splits, one below the other; texts where one part has them."""
    texts: NDArray[Any] | None = None
    if any(part.texts is not None for part in parts):
        texts = np.concatenate([_texts(part) for part in parts])
    words: dict[int, str] = {}
    start = 0
    for part in parts:
        words.update({row + start: word for row, word in part.word_of.items()})
        start += len(part.numbers)
    return Found(
        np.concatenate([part.numbers for part in parts]),
        texts,
        np.concatenate([part.missing for part in parts]),
        all(part.integers for part in parts),
        list(dict.fromkeys(note for part in parts for note in part.notes)),
        words,
    )


def as_texts(found: Found) -> None:
    """Give a column of numbers its texts."""
    found.texts = _texts(found)


def _texts(found: Found) -> NDArray[Any]:
    if found.texts is not None:
        return found.texts
    gaps = found.missing.tolist()
    if found.integers:
        cells = ["" if gap else str(int(value)) for value, gap in zip(found.numbers.tolist(), gaps, strict=True)]
    else:
        cells = ["" if gap else repr(value) for value, gap in zip(found.numbers.tolist(), gaps, strict=True)]
    return np.array(cells, dtype=object)
