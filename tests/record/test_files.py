"""How the files of a run are read: strictly, with a sentence that names the file, or leniently."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from couloir.errors import CouloirError
from couloir.record.files import as_csv, read_json, read_rows, read_table, read_yaml

READERS: dict[str, tuple[Callable[..., Any], Any]] = {
    "a.json": (read_json, {}), "a.yaml": (read_yaml, None), "a.csv": (read_table, []),
}  # fmt: skip


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", [b"\xff\xfe", b'{"a": ', b'"a\n"b'])
def test_a_file_that_cannot_be_read_is_named_or_as_if_it_were_not_there(
    name: str, content: bytes, tmp_path: Path
) -> None:
    read, nothing = READERS[name]
    assert read(tmp_path / name) == read(tmp_path / name, strict=False) == nothing, "there is none"
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CouloirError, match=f"{name} of the run {tmp_path.name} cannot be read") as caught:
        read(tmp_path / name)
    assert caught.value.place == str(tmp_path / name)
    assert read(tmp_path / name, strict=False) == nothing


@pytest.mark.parametrize("name", READERS)
def test_a_folder_in_place_of_a_file_does_not_end_a_lenient_reader(name: str, tmp_path: Path) -> None:
    read, nothing = READERS[name]
    (tmp_path / name).mkdir()
    assert read(tmp_path / name, strict=False) == nothing
    with pytest.raises(CouloirError, match="cannot be read"):
        read(tmp_path / name)


def test_json_that_is_no_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(CouloirError, match="it is not a JSON object"):
        read_json(tmp_path / "a.json")
    assert read_json(tmp_path / "a.json", strict=False) == {}


@pytest.mark.parametrize(
    "word", ["1e-3", "1E5", "-2.5e+10", "1.5", "7", "2024-01-01", "true", "null", ".nan", "1_0e3", "e5"]
)
def test_a_value_is_what_omegaconf_takes_it_for(word: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"key: {word}\n")
    ours, theirs = read_yaml(tmp_path / "a.yaml")["key"], OmegaConf.load(tmp_path / "a.yaml").key
    assert (repr(ours), type(ours)) == (repr(theirs), type(theirs))


def test_cells_with_commas_quotes_and_line_breaks_come_back(tmp_path: Path) -> None:
    rows = [{"a": "x, y", "b": 'say "z"'}, {"a": "two\nlines", "b": "\u2028"}]
    (tmp_path / "a.csv").write_text(as_csv(["a", "b"], rows))
    assert read_rows(tmp_path / "a.csv") == rows


def test_a_row_without_a_value_has_an_empty_cell() -> None:
    assert as_csv(["a", "b"], [{"b": 0.1}, (1, None)]) == "a,b\n,0.1\n1,\n"
