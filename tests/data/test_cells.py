"""Cells of a table as numbers, texts and gaps."""

from __future__ import annotations

import datetime
import gzip
import io
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from couloir.data.cells import Cells, Column, read_cells
from couloir.data.tabular import plain
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


def read(tmp_path: Path, content: bytes, name: str = "t.csv", **keys: object) -> Cells:
    (tmp_path / name).write_bytes(content)
    return read_cells(str(tmp_path / name), **keys)


def values(found: Cells) -> list[list[object]]:
    """The columns: texts where there are some, else numbers."""
    return [(each.numbers if each.texts is None else each.texts).tolist() for each in found.columns]


def refusal(tmp_path: Path, text: str | bytes, **keys: object) -> CouloirError:
    with pytest.raises(CouloirError) as caught:
        read(tmp_path, text if isinstance(text, bytes) else text.encode(), **keys)
    return caught.value


@pytest.mark.parametrize(
    ("codec", "stated", "note"),
    [
        ("utf-8-sig", None, None),
        ("utf-16", None, "UTF-16"),
        ("utf-16-le", None, "UTF-16-LE, recognised by its zero bytes"),
        ("utf-16-be", None, "UTF-16-BE, recognised by its zero bytes"),
        ("utf-32", None, "UTF-32"),
        ("cp1252", None, "Windows-1252, since it is not UTF-8"),
        ("latin-1", "latin-1", None),
        ("cp437", "cp437", None),
    ],
)
def test_letters_are_right_in_every_encoding(codec: str, stated: str | None, note: str | None, tmp_path: Path) -> None:
    found = read(tmp_path, "größe,ort\n1,Köln\n2,Málaga\n".encode(codec), encoding=stated)
    assert found.names == ["größe", "ort"]
    assert values(found) == [[1.0, 2.0], ["Köln", "Málaga"]]
    assert found.notes == ([note] if note else [])


@pytest.mark.parametrize("codec", ["cp1251", "gb18030", "shift_jis"])
def test_what_does_not_read_as_western_letters_is_refused_with_the_key(codec: str, tmp_path: Path) -> None:
    words = {"cp1251": "Москва", "gb18030": "北京", "shift_jis": "東京"}[codec]
    error = refusal(tmp_path, f"a,b\n1,x\n2,{words}\n".encode(codec))
    assert "is not in UTF-8" in error.fact
    assert "line 3" in str(error.place)
    assert "data.encoding=" in str(error.next_step)
    assert values(read(tmp_path, f"a,b\n1,x\n2,{words}\n".encode(codec), encoding=codec))[1] == ["x", words]


def test_encodings_that_there_are_not_and_nul_characters_are_refused(tmp_path: Path) -> None:
    assert "no encoding 'utf9'" in refusal(tmp_path, "a,b\n1,2\n", encoding="utf9").fact
    assert "is not in utf-16" in refusal(tmp_path, "a,b\n1,2\n", encoding="utf-16").fact
    assert "cannot separate cells" in refusal(tmp_path, "a,b\n1,2\n", delimiter='"').fact
    assert "NUL" in (error := refusal(tmp_path, b"a,b\n1,2\n3,\0\n")).fact
    assert "line 3" in str(error.place)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system_are_read_and_counted(end: str, tmp_path: Path) -> None:
    found = read(tmp_path, end.join(["a,b", "1,x", "", '2,"y, z"', ""]).encode())
    assert values(found) == [[1.0, 2.0], ["x", "y, z"]]
    assert found.lines.tolist() == [2, 4]
    assert found.notes == ["1 line without values"]


def test_packed_tables_are_read_and_those_that_hold_several_are_refused(tmp_path: Path) -> None:
    text = b"a,b\n1,2\n3,4\n"
    assert values(read(tmp_path, gzip.compress(text), "t.csv.gz")) == [[1, 3], [2, 4]]
    for names in (["t.csv"], ["__MACOSX/._t.csv", "t.csv", "folder/"]):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name in names:
                archive.writestr(name, text if name == "t.csv" else b"")
        assert values(read(tmp_path, packed.getvalue(), "t.zip")) == [[1, 3], [2, 4]]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", text)
        archive.writestr("b.csv", text)
    assert "holds 2 files: a.csv, b.csv" in refusal(tmp_path, packed.getvalue()).fact
    packed = io.BytesIO()
    zipfile.ZipFile(packed, "w").close()
    assert "holds no file" in refusal(tmp_path, packed.getvalue()).fact
    assert "cannot be unpacked" in refusal(tmp_path, gzip.compress(text * 99)[:-20]).fact


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"<!DOCTYPE html>", "a web page"), (b'{"a": 1}', "JSON"), (b"\x80\x04\x95", "pickle"),
        (b"\x93NUMPY", "a single NumPy array"), (b"%PDF-1.4", "PDF"), (b"\xd0\xcf\x11\xe0", "Excel"),
    ],
)  # fmt: skip
def test_files_that_are_no_tables_are_refused_by_what_they_are(start: bytes, what: str, tmp_path: Path) -> None:
    assert what in refusal(tmp_path, start + b"\n1,2\n").fact


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("a;b\n1,5;2,5\n3,25;4,5\n", {}),
        ("a\tb\n1.5\t2.5\n3.25\t4.5\n", {}),
        ("a|b\n1.5|2.5\n3.25|4.5\n", {}),
        ("a::b\n1.5::2.5\n3.25::4.5\n", {}),
        ("a  b\n1.5   2.5\n 3.25\t4.5 \n", {}),
        ("a ~ b\n1.5 ~ 2.5\n3.25 ~ 4.5\n", {"delimiter": "~"}),
        ("a<>b\n1.5<>2.5\n3.25<>4.5\n", {"delimiter": "<>"}),
        ("sep=~\na~b\n1.5~2.5\n3.25~4.5\n", {}),
        ('"a","b"\n"1.5","2.5"\n"3.25","4.5"\n', {}),
        ("a, b\n1.5, 2.5\n3.25, 4.5\n", {}),
        ("a,b,\n1.5,2.5,\n3.25,4.5,\n", {}),
        ("a,b\n1.5,2.5,\n3.25,4.5,\n", {}),
        ("# made by hand\n# in 2024\na,b\n1.5,2.5\n3.25,4.5\n", {}),
        ("# a b\n1.5 2.5\n3.25 4.5\n", {}),
        ("% two\na,b\n1.5,2.5\n% half\n3.25,4.5\n", {"comment": "%"}),
        ("Title\n\na,b\n1.5,2.5\n3.25,4.5\n", {"header": 3}),
    ],
)
def test_cells_are_separated_as_the_file_says(text: str, keys: dict[str, object], tmp_path: Path) -> None:
    found = read(tmp_path, text.encode(), **keys)
    assert found.names == ["a", "b"]
    assert values(found) == [[1.5, 3.25], [2.5, 4.5]]


def test_separators_quotes_and_line_breaks_within_quotes_belong_to_the_cell(tmp_path: Path) -> None:
    found = read(tmp_path, b'a,b\n"x, ""y""",1\n"two\r\nlines",2\nend,3\n')
    assert values(found)[0] == ['x, "y"', "two\r\nlines", "end"]
    assert found.lines.tolist() == [2, 4, 5]
    assert values(read(tmp_path, b'a::b\n"x::y"::1\nz::2\n'))[0] == ["x::y", "z"]
    error = refusal(tmp_path, 'a,b\n1,x\n2,"cut off\n3,y\n')
    assert "never ends" in error.fact
    assert "line 3" in str(error.place)
    assert "line 2" in str(refusal(tmp_path, 'a,b\n1,"x"y\n2,z\n').place)


@pytest.mark.parametrize(
    ("text", "fact", "step"),
    [
        (
            "Sales of 2024\n\na,b,c\n1,2,3\n4,5,6\n",
            "The header of .* has 1 cell, the rows below have 3",
            "data.header=2",
        ),
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n", "looks like a row", "data.header=false"),
        ("1,2,9\n4,5,6\n", "looks like a row", "data.header=false"),
        ("#id,name\nBob,Rome\nAl,Bonn\n", "begins with #", "data.header=1"),
        ("a:b\n1:2\n3:4\n", "is one cell", "data.delimiter=':'"),
        ("y,a,y\n1,2,3\n", "has 2 columns 'y' .columns 1, 3.", "a name of its own"),
    ],
)
def test_a_layout_that_is_not_clear_is_refused_with_the_key(text: str, fact: str, step: str, tmp_path: Path) -> None:
    error = refusal(tmp_path, text)
    assert re.search(fact, error.fact)
    assert step in str(error.next_step)


def test_a_table_without_header_has_columns_by_number(tmp_path: Path) -> None:
    found = read(tmp_path, b"5.1,setosa\n4.9,virginica\n", header=False)
    assert found.names == ["c1", "c2"]
    assert values(found) == [[5.1, 4.9], ["setosa", "virginica"]]
    assert found.lines.tolist() == [1, 2]


@pytest.mark.parametrize("names", ["0,1,2", "1,2,3", "1999,2000,2001"])
def test_names_that_count_up_are_a_header(names: str, tmp_path: Path) -> None:
    assert read(tmp_path, f"{names}\n4.5,3,7\n".encode()).names == names.split(",")


def test_columns_without_a_name_get_one(tmp_path: Path) -> None:
    found = read(tmp_path, b",a,b\n0,1,2\n1,3,4\n")
    assert found.names == ["column_1", "a", "b"]
    assert found.notes == ["column 1 has no name, and is called column_1"]
    found = read(tmp_path, b'"a" "b"\n"1" 2.5 3\n"2" 4.5 5\n')  # as R writes it
    assert found.names == ["row_names", "a", "b"]


@pytest.mark.parametrize(
    ("cells", "numbers", "notes"),
    [
        (["1,5", "2", ",25"], [1.5, 2, 0.25], ["decimal comma"]),
        (["1.234,5", "2,5", "12.345.678"], [1234.5, 2.5, 12345678], ["decimal comma", "thousands dot"]),
        (["1,234.5", "2.5", "1,234"], [1234.5, 2.5, 1234], ["thousands comma"]),
        (["1,234,567", "1,234", "12"], [1234567, 1234, 12], ["thousands comma"]),
        (["12,34,567", "1,23,456"], [1234567, 123456], ["thousands comma"]),
        (["1 234", "12", "1\u00a0234\u202f567"], [1234, 12, 1234567], ["thousands space"]),
        (["1'234.5", "12"], [1234.5, 12], ["thousands apostrophe"]),
        (["$9.50", "-$1,200.00", "$3"], [9.5, -1200, 3], ["thousands comma", "currency $"]),
        (["9,50 €", "1.200,00 EUR", "3"], [9.5, 1200, 3], ["decimal comma", "thousands dot", "currency €"]),
        (["12%", "3.5 %", "-1%"], [12, 3.5, -1], ["per cent"]),
        (["50 m²", "1,250.5 m²", "-7 m²"], [50, 1250.5, -7], ["thousands comma", "unit m²"]),
        (["180cm", "99,5cm", "7cm"], [180, 99.5, 7], ["decimal comma", "unit cm"]),
        (['3" pipe', '12" pipe'], [3, 12], ['unit " pipe']),
        (["48.25° N", "7.5° N"], [48.25, 7.5], ["unit ° N"]),
        (["(1,234.50)", "7.25"], [-1234.5, 7.25], ["thousands comma", "negative numbers in brackets"]),
        (["\u22125", "3.5"], [-5, 3.5], ["minus signs that are not ASCII"]),
        (["１２", "3"], [12, 3], ["digits that are not ASCII"]),
        (["007", "010"], [7, 10], ["leading zeros"]),
        (["9007199254740993", "1"], [9007199254740992, 1], ["integers beyond 2**53, which float64 rounds"]),
        (["1e5", "-2E-3", "+.5", "5."], [1e5, -2e-3, 0.5, 5], []),
    ],
)
def test_numbers_are_read_in_the_style_of_their_column(
    cells: list[str], numbers: list[float], notes: list[str], tmp_path: Path
) -> None:
    found = column(tmp_path, "k\ta\n" + "".join(f"x\t{cell}\n" for cell in cells))
    assert found.numbers.tolist() == numbers
    assert found.notes == notes
    assert found.is_numeric


@pytest.mark.parametrize(
    "cells",
    [
        ["1.2.3", "4.5.6"], ["12:30", "13:45"], ["01.02.2024", "03.04.2024"], ["2024-01-02", "2024-01-03"],
        ["192.168.1.1", "10.0.0.12"], ["1,2,3", "4,5,6"], ["5 - 6", "7 - 8"], ["1/2", "3/4"],
        ["$", "€"], ["(5", "6)"], ["3+", "4+"], ["12A", "14B", "16C"], ["007A", "008A"], ["2024-01-02Z", "2024-01-03Z"],
        ["030 123 456", "030 234 567"],
    ],
)  # fmt: skip
def test_what_only_looks_like_a_number_stays_a_text(cells: list[str], tmp_path: Path) -> None:
    found = column(tmp_path, "k\ta\n" + "".join(f"x\t{cell}\n" for cell in cells))
    assert np.isnan(found.numbers).all()
    assert found.texts is not None
    assert found.texts.tolist() == cells


def test_cells_in_another_style_than_most_are_no_numbers(tmp_path: Path) -> None:
    found = column(tmp_path, "k\ta\n" + "".join(f"x\t{cell}\n" for cell in ["1 cm", "2 cm", "3 mm", "4 cm", "5"]))
    assert np.array_equal(found.numbers, [1, 2, np.nan, 4, np.nan], equal_nan=True), "a unit is not guessed"
    for odd in ("2,5", "abc", "7%", "$3"):
        found = column(tmp_path, "k\ta\n" + "".join(f"x\t{cell}\n" for cell in ["1.5", "2.25", "3", "4.75", odd]))
        expected = [1.5, 2.25, 3, 4.75, 3 if odd == "$3" else np.nan]
        assert np.array_equal(found.numbers, expected, equal_nan=True), odd


def test_a_comma_before_three_digits_is_read_only_where_something_shows_what_it_is(tmp_path: Path) -> None:
    doubtful = "a;b\n1,234;1\n2,125;2\n"
    error = refusal(tmp_path, doubtful)
    assert "'1,234'" in error.fact
    assert "line 2" in str(error.place)
    assert error.next_step == "data.decimal=comma or data.decimal=dot; data.ignore=[a] leaves the column out"
    target = refusal(tmp_path, doubtful, as_text=["a"])
    assert target.next_step == "data.decimal=comma or data.decimal=dot", "nobody leaves the target out"
    assert values(read(tmp_path, doubtful.encode(), decimal="comma"))[0] == [1.234, 2.125]
    assert values(read(tmp_path, doubtful.encode(), decimal="dot"))[0] == [1234, 2125]
    assert values(read(tmp_path, doubtful.encode(), ignore=["a"]))[0] == ["1,234", "2,125"]
    assert values(read(tmp_path, b"a;b\n1,234;1,5\n2,125;2,5\n"))[0] == [1.234, 2.125], "the other column shows it"
    dots = b"a;b\n1.234;1,5\n2.125;2,5\n"
    assert "'1.234'" in refusal(tmp_path, dots).fact
    assert values(read(tmp_path, dots, decimal="comma"))[0] == [1234, 2125]
    assert values(read(tmp_path, b"a;b\n1.234;1\n2.125;2\n"))[0] == [1.234, 2.125]
    assert values(read(tmp_path, b"a;b\n0.234;1,5\n2.125;2,5\n"))[0] == [0.234, 2.125]


def test_a_number_that_means_missing_does_so_by_its_value(tmp_path: Path) -> None:
    found = column(tmp_path, "k,a\n1,-999\n2,5\n3,-999.0\n", missing_words=[-999])
    assert found.missing.tolist() == [True, False, True]
    assert np.array_equal(found.numbers, [np.nan, 5, np.nan], equal_nan=True)


def test_rows_of_another_length_are_refused_or_listed(tmp_path: Path) -> None:
    text = b"a,b\n1,2\n1,2,3\n4\n5,6\n"
    assert "line 3" in str(refusal(tmp_path, text).place)
    found = read(tmp_path, text, skip=True)
    assert values(found) == [[1, 5], [2, 6]]
    assert [(each.line, each.reason) for each in found.skipped] == [
        (3, "A row has 3 cells, the header has 2."), (4, "A row has 1 cells, the header has 2."),
    ]  # fmt: skip


def folder(tmp_path: Path, files: dict[str, str]) -> Path:
    root = tmp_path / "tables"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def test_a_folder_of_tables_is_one_table_whatever_the_order_of_its_columns(tmp_path: Path) -> None:
    root = folder(tmp_path, {"1.csv": "a,b\n1,2\n", "2.csv": "b,a\n4,3\n\n6,5\n", "notes.md": "", ".x.csv": "z\n"})
    found = read_cells(str(root))
    assert values(found) == [[1, 3, 5], [2, 4, 6]]
    assert found.splits == {}
    assert found.place(2) == f"{root / '2.csv'}, line 4"
    assert found.notes == [f"not used in {root}: notes.md", "1 line without values"]
    (root / "3.csv").write_text("a,c\n1,2\n", encoding="utf-8")
    with pytest.raises(CouloirError, match=r"3\.csv has no column 'b'; 1\.csv has one"):
        read_cells(str(root))


@pytest.mark.parametrize(
    "names",
    [("train.csv", "val.csv", "test.csv"), ("iris_Training.csv", "iris_dev.csv", "iris-testing.csv"),
     ("train/1.csv", "validation/1.csv", "test/1.csv")],
)  # fmt: skip
def test_a_folder_may_say_what_is_for_validation_and_test(names: tuple[str, str, str], tmp_path: Path) -> None:
    root = folder(tmp_path, {name: f"a,b\n{n},{n}.5\n{n},x\n" for n, name in enumerate(names)})
    found = read_cells(str(root))
    assert found.splits == {"train": slice(0, 2), "val": slice(2, 4), "test": slice(4, 6)}
    assert values(found)[0] == [0, 0, 1, 1, 2, 2]


def test_files_can_be_named_for_each_split(tmp_path: Path) -> None:
    root = folder(tmp_path, {"x.csv": "a,b\n1,2\n3,4\n", "y.csv": "b,a\n6,5\n"})
    found = read_cells(str(root / "x.csv"), test_path=str(root / "y.csv"))
    assert found.splits == {"train": slice(0, 2), "test": slice(2, 3)}
    assert values(found) == [[1, 3, 5], [2, 4, 6]]
    with pytest.raises(CouloirError, match="is named for two splits"):
        read_cells(str(root / "x.csv"), val_path=str(root / "x.csv"))
    with pytest.raises(CouloirError, match="no file"):
        read_cells(str(root / "x.csv"), val_path=str(root / "gone.csv"))


def test_folders_without_a_table_to_train_on_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match="There is no table in the folder"):
        read_cells(str(folder(tmp_path / "1", {"a.md": "x"})))
    with pytest.raises(CouloirError, match="none to train on"):
        read_cells(str(folder(tmp_path / "2", {"test.csv": "a,b\n1,2\n", "other.csv": "a,b\n1,2\n"})))


def test_one_style_is_found_over_all_files(tmp_path: Path) -> None:
    root = folder(tmp_path, {"1.csv": "a;b\n1,234;x\n", "2.csv": "a;b\n2,5;y\n"})
    assert values(read_cells(str(root)))[0] == [1.234, 2.5]


def test_arrays_of_numpy_are_columns(tmp_path: Path) -> None:
    x, y = np.array([[1, 2.5], [np.nan, 4], [5, 6]], np.float32), np.array([7, 2**60 + 1, 9])
    np.savez(tmp_path / "t.npz", X=x, y=y)
    found = read_cells(str(tmp_path / "t.npz"), as_text=["y"])
    assert found.names == ["x1", "x2", "y"]
    assert np.array_equal(found.columns[0].numbers, [1, np.nan, 5], equal_nan=True)
    assert found.columns[0].missing.tolist() == [False, True, False]
    assert found.columns[2].texts is not None
    assert found.columns[2].texts.tolist() == ["7", str(2**60 + 1), "9"]
    np.savez(tmp_path / "s.npz", x_train=x, y_train=np.array(["a", "b", "a"]), x_test=x[:1], y_test=np.array(["b"]))
    found = read_cells(str(tmp_path / "s.npz"))
    assert found.splits == {"train": slice(0, 3), "test": slice(3, 4)}
    assert values(found)[2] == ["a", "b", "a", "b"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.ones((3, 2)), "y": np.ones(3)}, r"holds a \(3, 2\), y \(3,\): it is not clear what a is"),
        ({"x": np.ones((3, 2)), "y": np.ones(4)}, "do not go together"),
        ({"x": np.ones((3, 2, 2)), "y": np.ones(3)}, r"has the shape \(3, 2, 2\)"),
        ({"x": np.ones((3, 2)), "y": np.array([{}, 1, 2], object)}, "a pickle can run code"),
        ({"x": np.ones((3, 2), complex), "y": np.ones(3)}, "has the type complex"),
        ({"x": np.ones((3, 2))}, "do not go together"),
        ({"x_test": np.ones((3, 2)), "y_test": np.ones(3)}, "what to train on"),
    ],
)
def test_other_arrays_are_refused(arrays: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(CouloirError, match=message):
        read_cells(str(tmp_path / "t.npz"))


def test_parquet_is_read_by_its_types(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {
        "n": pa.array([1, None, 2**60 + 1]), "f": pa.array([1.5, None, 3.0]), "t": pa.array(["a", None, "b"]),
        "b": pa.array([True, False, None]), "c": pa.array(["u", "v", "u"]).dictionary_encode(),
        "d": pa.array([datetime.date(2024, 1, 2)] * 3), "z": pa.array(["007", "010", "011"]),
    }  # fmt: skip
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    found = {each.name: each for each in read_cells(str(tmp_path / "t.parquet")).columns}
    texts = {name: each.texts.tolist() for name, each in found.items() if each.texts is not None}
    assert texts == {
        "n": ["1", "", str(2**60 + 1)], "t": ["a", "", "b"], "b": ["True", "False", ""], "c": ["u", "v", "u"],
        "d": ["2024-01-02"] * 3, "z": ["007", "010", "011"],
    }  # fmt: skip
    assert np.array_equal(found["f"].numbers, [1.5, np.nan, 3], equal_nan=True)
    assert [each.missing.tolist() for each in (found["n"], found["t"])] == [[False, True, False]] * 2
    parquet.write_table(pa.table({"a": pa.array([1]), "l": pa.array([[1, 2]])}), tmp_path / "l.parquet")
    with pytest.raises(CouloirError, match=r"Column 'l' of .* has the type list"):
        read_cells(str(tmp_path / "l.parquet"))
    assert read_cells(str(tmp_path / "l.parquet"), ignore=["l"]).columns[0].numbers.tolist() == [1]


def test_without_pyarrow_parquet_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "t.parquet").write_bytes(b"PAR1....PAR1")
    with pytest.raises(CouloirError, match=r"pip install 'couloir\[parquet\]'"):
        read_cells(str(tmp_path / "t.parquet"))


NUMBERS = ["1.5", "-2", "3e-5", "4E+2", ".5", "6.", "-0.5", "0", "123456789012345678901234567890", "0.1", "12"]
NO_NUMBERS = ["1-2", "1.2.3", "1e", "1e+", "1e5.0", "1e5e3", "1e5-3", "1e5+3", "--1", "+-1", "1+", "e5", ".", "-",
              "1e999", "1_0", "0x1", "nan1", "1 2", "5e-", ".e1"]  # fmt: skip


@pytest.mark.parametrize("separator", [",", ";", "\t", " "])
def test_blocks_of_numbers_are_those_that_float_reads(separator: str) -> None:
    rows = [[NUMBERS[(row + at) % len(NUMBERS)] for at in range(3)] for row in range(22)]
    text = "".join(separator.join(row) + "\n" for row in rows)
    found = plain.parsed(text, 22, separator, 3, [])
    assert found is not None
    assert found.numbers.T.tolist() == [[float(cell) for cell in row] for row in rows]
    for wrong in NO_NUMBERS:
        assert plain.parsed(text + separator.join(["1", wrong, "2"]) + "\n", 23, separator, 3, []) is None, wrong
    assert plain.parsed(text + separator.join(["1", "2"]) + "\n", 23, separator, 3, []) is None
    for zero in ("-0", "-0.0", "-.0e5"):  # its sign would be lost
        assert plain.parsed(text + separator.join(["1", zero, "-0.5"]) + "\n", 23, separator, 3, []) is None
    moved = separator.join(["1"] * 4) + "\n" + separator.join(["1"] * 2) + "\n"
    assert plain.parsed(text + moved, 24, separator, 3, []) is None, "as many cells, in rows of another length"


@pytest.mark.parametrize("texts", [[0], [1], [3], [0, 1], [2, 3], [0, 2], [0, 3], [1, 2], [0, 1, 3]])
def test_texts_are_cut_out_of_blocks(texts: list[int]) -> None:
    rows = [[f"é{row}" if at in texts else f"{row}.{at}" for at in range(4)] for row in range(9)]
    rows[4] = ["" if at else "5" for at in range(4)] if 0 not in texts else ["x", "", "", ""]
    found = plain.parsed("".join(",".join(row) + "\n" for row in rows), 9, ",", 4, texts)
    if all(at in texts or not rows[4][at] for at in range(4)):
        assert found is None, "a row of gaps is looked at cell by cell"
        rows[4] = ["x" if at in texts else "1.5" for at in range(4)]
        found = plain.parsed("".join(",".join(row) + "\n" for row in rows), 9, ",", 4, texts)
    assert found is not None
    assert found.texts == {at: [row[at] for row in rows] for at in texts}
    left = [[float(row[at] or "nan") for at in range(4) if at not in texts] for row in rows]
    assert np.array_equal(found.numbers.T, left, equal_nan=True)


@pytest.mark.parametrize(
    ("cells", "integers", "odd"),
    [
        (["1", "-20", "0", ""], True, False),
        (["1", "2.0", "3", "4"], False, False),
        (["1", "2e0", "3", "4"], False, False),
        (["1", "2.", "3", "4"], False, False),
        (["1", "2.500", "3", "4"], False, False),
        (["100", "5e2", "3", "4"], False, False),
        (["1", "007", "3", "4"], True, True),
        (["1", "9007199254740993", "3", "4"], True, True),
        (["9007199254740991", "1", "2", "3"], True, False),
    ],
)
def test_blocks_tell_integers_and_odd_ones(cells: list[str], integers: bool, odd: bool) -> None:
    found = plain.parsed("".join(f"0.5,{cell}\n" for cell in cells), 4, ",", 2, [])
    assert found is not None
    assert (found.integers, found.odd) == ([False, integers], [False, odd])
