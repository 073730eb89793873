"""Cells of a table as numbers, texts and gaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from couloir.data.cells import Cells, Column, read_cells
from couloir.errors import CouloirError


def cells(tmp_path: Path, text: str, **keys: object) -> Cells:
    file = tmp_path / "t.csv"
    file.write_bytes(text.encode())
    return read_cells(str(file), **keys)


def column(tmp_path: Path, text: str, **keys: object) -> Column:
    """The last column of a table."""
    return cells(tmp_path, text, **keys).columns[-1]


def test_numbers_have_their_values_and_no_texts(tmp_path: Path) -> None:
    found = column(tmp_path, "k,a\n1,1\n2,-2.5\n3,1e5\n4, 7 \n5,.5\n")
    assert found.numbers.tolist() == [1, -2.5, 1e5, 7, 0.5]
    assert found.texts is None
    assert not found.missing.any()
    assert found.is_numeric
    assert not found.integers


@pytest.mark.parametrize("cell", ["1_1", "0x10", "inf", "-Infinity", "1e999", "abc", "1 2"])
def test_what_is_no_finite_number_stays_a_text(cell: str, tmp_path: Path) -> None:
    found = column(tmp_path, f"k,a\n1,5\n2,{cell}\n")
    assert np.array_equal(found.numbers, [5, np.nan], equal_nan=True)
    assert found.texts is not None
    assert found.texts.tolist() == ["5", cell]
    assert not found.is_numeric


@pytest.mark.parametrize(("cells", "integers"), [("1 -2 +3", True), ("1 2.0", False), ("1 5E2", False), ("1 NA", True)])
def test_integers_are_those_that_are_written_as_integers(cells: str, integers: bool, tmp_path: Path) -> None:
    assert column(tmp_path, "k,a\n" + "".join(f"0,{cell}\n" for cell in cells.split())).integers is integers


def test_missing_cells_of_a_column_of_numbers_are_gaps(tmp_path: Path) -> None:
    found = column(tmp_path, "k,a\n1,1\n2,\n3,NA\n4,None\n5,nan\n6,?\n")
    assert found.missing.tolist() == [False, True, True, True, True, True]
    assert found.is_numeric
    assert [found.cell(row) for row in range(6)] == ["1", "", "NA", "None", "nan", "?"]


def test_words_that_may_be_a_category_stay_texts_among_texts(tmp_path: Path) -> None:
    text = "k,a\n1,DE\n2,NA\n3,\n4,nan\n"
    assert column(tmp_path, text).missing.tolist() == [False, False, True, True]
    assert column(tmp_path, text, missing_words=["NA"]).missing.tolist() == [False, True, True, False]


def test_a_name_that_stands_twice_in_the_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match="has 2 columns 'y'"):
        cells(tmp_path, "y,a,y\n1,2,3\n")


def test_the_place_of_a_row_is_its_file_and_line(tmp_path: Path) -> None:
    found = cells(tmp_path, 'a,b\n1,"two\nlines"\n2,x\n')
    assert found.place(1) == f"{tmp_path / 't.csv'}, line 4"
