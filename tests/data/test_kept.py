"""Values that are computed once: in memory, and on disk among the other caches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from couloir.data.cache import make_room
from couloir.data.kept import Kept, read_values, write_values

ONE, OTHER = "a" * 32, "b" * 32
VALUES = torch.arange(24, dtype=torch.float32).view(4, 2, 3) / 7


def test_values_are_computed_when_the_first_is_asked_for_and_only_then() -> None:
    calls: list[int] = []

    def compute() -> torch.Tensor:
        calls.append(1)
        return VALUES

    kept = Kept(compute, np.arange(4))
    assert calls == []
    assert torch.equal(kept.fetch(torch.tensor([2, 0])), VALUES[[2, 0]])
    assert torch.equal(kept.fetch(torch.tensor([3])), VALUES[[3]])
    assert calls == [1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_was_written_is_read_to_the_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    assert write_values(tmp_path, ONE, VALUES.to(dtype), 1e9) is None
    read = read_values(tmp_path, ONE)
    assert read is not None
    assert read.dtype == dtype
    assert torch.equal(read, VALUES.to(dtype))
    assert read_values(tmp_path, OTHER) is None


def spoil_a_byte(own: Path) -> None:
    content = bytearray((own / "frames").read_bytes())
    content[5] ^= 1
    (own / "frames").write_bytes(content)


def cut_short(own: Path) -> None:
    (own / "frames").write_bytes((own / "frames").read_bytes()[:-4])


def no_index(own: Path) -> None:
    (own / "index").unlink()


def torn_index(own: Path) -> None:
    (own / "index").write_text((own / "index").read_text()[:-9])


def another_shape(own: Path) -> None:
    said = json.loads((own / "index").read_text())
    (own / "index").write_text(json.dumps(said | {"shape": [5, 5]}))


@pytest.mark.parametrize("spoil", [spoil_a_byte, cut_short, no_index, torn_index, another_shape])
def test_a_file_that_is_not_whole_is_none(tmp_path: Path, spoil: object) -> None:
    write_values(tmp_path, ONE, VALUES, 1e9)
    spoil(tmp_path / ONE)  # type: ignore[operator]
    assert read_values(tmp_path, ONE) is None
    assert write_values(tmp_path, ONE, VALUES, 1e9) is None
    assert read_values(tmp_path, ONE) is not None


def test_the_least_recently_used_values_make_room(tmp_path: Path) -> None:
    size = VALUES.numel() * 4
    write_values(tmp_path, ONE, VALUES, 1e9)
    assert write_values(tmp_path, OTHER, VALUES, 1.5 * size) is None
    assert read_values(tmp_path, ONE) is None
    assert read_values(tmp_path, OTHER) is not None


def test_what_cannot_fit_is_not_written_and_evicts_nothing(tmp_path: Path) -> None:
    write_values(tmp_path, ONE, VALUES, 1e9)
    problem = write_values(tmp_path, OTHER, VALUES, 8)
    assert problem is not None
    assert "more than" in problem
    assert read_values(tmp_path, ONE) is not None
    assert not make_room(tmp_path, tmp_path / OTHER, 100, 8)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    problem = write_values(tmp_path / "file", ONE, VALUES, 1e9)
    assert problem is not None
    assert "cannot be written" in problem
