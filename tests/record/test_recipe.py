"""`recipe.yaml` is read as it was written, and a torn one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from couloir.errors import CouloirError
from couloir.record.folder import RunFolder
from couloir.record.recipe import FILE, read_recipe, write_recipe


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_recipe(tmp_path) is None
    write_recipe(RunFolder(tmp_path), "model:\n  hidden: [3]  # ü\n")
    assert read_recipe(tmp_path) == "model:\n  hidden: [3]  # ü\n"


def test_a_torn_file_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"model: \xff")
    with pytest.raises(CouloirError, match=r"recipe\.yaml of the run .* cannot be read"):
        read_recipe(tmp_path)
    assert read_recipe(tmp_path, strict=False) is None
