"""`couloir predict`: the answers of the run's own test, for every kind of input, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_tasks
import torch
from PIL import Image
from sklearn.datasets import load_digits

import couloir
from couloir.cli.main import run as command
from couloir.config.finished import run_config
from couloir.inference.predictor import Predictor, evaluate
from couloir.inference.trained import Trained
from couloir.record.result import read_result
from finished_runs import FinishedRuns, own_module_run, rows, told, write_table

TRUSTED = "allow_targets=[small_tasks]"
Capture = pytest.CaptureFixture[str]


def predicted(words: list[str], capsys: Capture) -> tuple[list[dict[str, str]], str]:
    """The rows on standard output, and what stands on standard error."""
    capsys.readouterr()
    assert command(["predict", *words]) == 0
    shown = capsys.readouterr()
    return list(csv.DictReader(io.StringIO(shown.out))), shown.err


def refused(words: list[str], capsys: Capture) -> str:
    capsys.readouterr()
    assert command(["predict", *words]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    return shown.err


def without(row: dict[str, str], *names: str) -> dict[str, str]:
    return {name: cell for name, cell in row.items() if name not in names}


def number_in(text: str, name: str) -> float:
    return float(text.partition(f"{name} ")[2].split()[0].rstrip(","))


def test_a_folder_of_classes_is_answered_as_the_runs_own_test_and_compared(
    finished: FinishedRuns, capsys: Capture
) -> None:
    run, folder = finished("photographs"), finished.photographs() / "test"
    found, said = predicted([str(run), str(folder)], capsys)
    assert [without(row, "file") for row in found] == [without(row, "sample", "file") for row in told(run)]
    assert [row["file"] for row in found] == [str(finished.photographs() / row["file"]) for row in told(run)]
    assert f"accuracy {read_result(run)['test/accuracy']:.4f}" in said
    assert f"loss {read_result(run)['test/loss']:.4f}" in said
    assert "6 photographs" in said


def test_files_patterns_lists_and_worker_processes_give_the_same_answers(
    finished: FinishedRuns, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, folder = str(finished("photographs")), finished.photographs() / "test"
    expected = [without(row, "sample", "truth") for row in told(Path(run))]
    for row in expected:
        row["file"] = str(finished.photographs() / row["file"])
    files = [row["file"] for row in expected]
    (folder / ".hidden.jpg").write_bytes(b"not seen")

    def listed(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    listed("\n".join([*files, ""]).encode())
    for words in (files, [f"{folder}/*/*.jpg"], [f"{folder}/**/*.jpg"], ["-"], [*files, "data.workers=2"]):
        found, said = predicted([run, *words], capsys)
        assert found == expected, words
        assert "compared" not in said
    listed("\0".join(files).encode())
    assert predicted([run, "-"], capsys)[0] == expected
    listed(b"\n")
    assert "Standard input names no file" in refused([run, "-"], capsys)


@pytest.mark.parametrize("name", ["classes of a table", "values of a table", "labels of a table"])
def test_rows_in_any_order_of_columns_are_answered_as_the_runs_own_test(
    finished: FinishedRuns, name: str, tmp_path: Path, capsys: Capture
) -> None:
    run, table = finished(name), rows(60)
    file = write_table(tmp_path / "t.csv", table, sorted(table[0], reverse=True), mark=";")
    found, said = predicted([str(run), str(file)], capsys)
    by_line = {row["line"]: row for row in found}
    assert len(by_line) == 60
    assert "compared with the truth" in said
    for own in told(run):
        answer = by_line[own["line"]]
        assert answer.keys() == without(own, "sample").keys()
        for column, cell in without(own, "sample").items():
            if column.startswith("p") and column != "predicted":
                try:
                    assert float(answer[column]) == pytest.approx(float(cell), rel=1e-5), column
                    continue
                except ValueError:
                    pass
            assert answer[column] == cell, column
    unknown = write_table(tmp_path / "u.csv", table, ["garden", "size", "city", "built"])
    without_target, said = predicted([str(run), str(unknown)], capsys)
    truths = [column for column in found[0] if column.startswith("truth")]
    assert without_target == [without(row, *truths) for row in found]
    assert "compared" not in said


def test_values_are_compared_in_the_datas_units(finished: FinishedRuns, tmp_path: Path, capsys: Capture) -> None:
    table = rows(40, seed=5)
    file = write_table(tmp_path / "t.csv", table)
    found, said = predicted([str(finished("values of a table")), str(file)], capsys)
    errors = [float(row["prediction"]) - float(row["truth"]) for row in found]
    assert [float(row["truth"]) for row in found] == pytest.approx([row["price"] for row in table], rel=1e-7)
    assert number_in(said, "mae") == pytest.approx(np.abs(errors).mean(), rel=1e-3)
    assert number_in(said, "rmse") == pytest.approx(np.sqrt(np.square(errors).mean()), rel=1e-3)


def test_rows_without_a_target_are_answered_and_left_out_of_the_comparison(
    finished: FinishedRuns, tmp_path: Path, capsys: Capture
) -> None:
    table = rows(20, seed=2)
    for row in table[:15]:
        row["kind"] = ""
    found, said = predicted([str(finished("classes of a table")), str(write_table(tmp_path / "t.csv", table))], capsys)
    assert [row["truth"] for row in found] == [row["kind"] for row in table]
    right = [row["truth"] == row["prediction"] for row in found[15:]]
    assert number_in(said, "accuracy") == pytest.approx(np.mean(right))
    assert "of the 5 whose truth is known" in said


@pytest.mark.parametrize("form", ["first", "last", "flat", "float", "big-endian"])
def test_an_array_of_images_in_either_order_and_type_is_answered_as_the_runs_own_test(
    finished: FinishedRuns, form: str, tmp_path: Path, capsys: Capture
) -> None:
    run = finished("digits")
    images = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)
    made = {"first": images[:, None], "last": images[..., None], "flat": images, "float": images[:, None] / 255,
            "big-endian": (images[:, None] / 255).astype(">f8")}[form]  # fmt: skip
    np.save(tmp_path / "digits.npy", made)
    found, _ = predicted([str(run), str(tmp_path / "digits.npy"), "--top", "10"], capsys)
    assert len(found) == 1797
    numbers = Predictor(run_config(run), run).data.splits["test"].indices
    for own, number in zip(told(run), numbers, strict=True):
        answer = found[number]
        assert answer["sample"] == str(number)
        assert answer["prediction"] == own["prediction"] == answer["top1"]
        p = [float(own[f"p({answer[f'top{place}']})"]) for place in range(1, 11)]
        assert p == sorted(p, reverse=True)
        assert [float(answer[f"p{place}"]) for place in range(1, 11)] == pytest.approx(p, abs=1e-6)


def test_points_are_taken_from_a_table_of_two_numbers_and_from_an_array(
    finished: FinishedRuns, tmp_path: Path, capsys: Capture
) -> None:
    run, points = str(finished("points")), np.linspace(-1, 1, 20).reshape(10, 2).astype(np.float32)
    np.save(tmp_path / "p.npy", points)
    (tmp_path / "p.csv").write_text("u,v\n" + "\n".join(f"{u},{v}" for u, v in points.tolist()))
    of_array, _ = predicted([run, str(tmp_path / "p.npy")], capsys)
    of_table, _ = predicted([run, str(tmp_path / "p.csv")], capsys)
    assert [without(row, "line") for row in of_table] == [without(row, "sample") for row in of_array]


def test_a_run_on_points_proposes_no_keys_of_tables(finished: FinishedRuns, tmp_path: Path, capsys: Capture) -> None:
    for text, fact in (("1,2\n3,4\n", "looks like a row"), ("u,v\n1,2\n,4\n", "Column 'u' is empty")):
        (tmp_path / "p.csv").write_text(text)
        said = refused([str(finished("points")), str(tmp_path / "p.csv")], capsys)
        assert fact in said
        assert said.endswith(
            "next:  write the names of the columns into the first line, and a number into each cell below\n"
        )


def test_a_data_module_of_ones_own_is_asked_about_what_it_hands_to_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    run = own_module_run(tmp_path, monkeypatch, "asked_about")
    (tmp_path / "asked_about.py").unlink()
    np.save("x.npy", np.linspace(-1, 1, 40, dtype=np.float32).reshape(20, 2))
    found, _ = predicted([str(run), "x.npy"], capsys)
    assert [row["prediction"] for row in found] == [row["prediction"] for row in told(run)]
    assert [float(row["p(low)"]) for row in found] == pytest.approx([float(row["p(low)"]) for row in told(run)])


def test_several_runs_are_the_ensemble_that_evaluate_makes_of_them(finished: FinishedRuns, capsys: Capture) -> None:
    runs = [finished("photographs"), finished("photographs again")]
    folder = finished.photographs() / "test"
    alone = [predicted([str(run), str(folder)], capsys)[0] for run in runs]
    together, said = predicted([*map(str, runs), str(folder)], capsys)
    for row, one, other in zip(together, *alone, strict=True):
        assert float(row["p(a)"]) == pytest.approx((float(one["p(a)"]) + float(other["p(a)"])) / 2, rel=1e-6)
        assert row["prediction"] == max("ab", key=lambda name: float(row[f"p({name})"]))
    cfgs = [run_config(run) for run in runs]
    for cfg in cfgs:
        cfg.data.root = str(finished.photographs())
    numbers = evaluate(cfgs, runs).numbers
    assert number_in(said, "loss") == pytest.approx(numbers["loss"], abs=1e-4)
    assert number_in(said, "accuracy") == pytest.approx(numbers["accuracy"], abs=1e-4)


@pytest.mark.parametrize("views", ["mirror", "multi_crop"])
def test_views_are_those_of_an_evaluation(finished: FinishedRuns, views: str, tmp_path: Path, capsys: Capture) -> None:
    run = str(finished("photographs"))
    found, said = predicted([run, str(finished.photographs() / "test"), f"tta={views}"], capsys)
    words = [f"tta={views}", f"data.root={finished.photographs()}", f"output_dir={tmp_path}"]
    assert command(["evaluate", run, *words]) == 0
    evaluated = next((tmp_path / "evaluate").iterdir())
    assert [without(row, "file") for row in found] == [without(row, "sample", "file") for row in told(evaluated)]
    assert number_in(said, "loss") == pytest.approx(read_result(evaluated)["test/loss"], abs=1e-4)


def test_what_cannot_be_read_is_named_and_the_rest_is_done(
    finished: FinishedRuns, tmp_path: Path, capsys: Capture
) -> None:
    run, folder = str(finished("photographs")), tmp_path / "new"
    shutil.copytree(finished.photographs() / "test", folder)
    clean, _ = predicted([run, str(folder)], capsys)
    (folder / "a" / "001.jpg").write_bytes((folder / "a" / "000.jpg").read_bytes()[:300])
    (folder / "b" / "001b.png").write_text("no picture")
    (folder / "b" / "notes.txt").write_text("no picture")
    (folder / "b" / "x.heic").write_text("no picture either")
    for workers in ("0", "2"):
        found, said = predicted([run, str(folder), f"data.workers={workers}"], capsys)
        assert [without(row, "p(a)", "p(b)") for row in found] == [without(row, "p(a)", "p(b)") for row in clean]
        assert [float(row["p(a)"]) for row in found] == pytest.approx([float(row["p(a)"]) for row in clean], rel=1e-5)
        assert f"warning: {folder}/a/001.jpg: cannot be decoded" in said
        assert f"warning: {folder}/b/001b.png: cannot be decoded: it is empty or not an image" in said
        assert f"warning: {folder}/b/x.heic: is a picture in the format HEIC" in said
        assert "6 photographs; 3 could not be read; not photographs: 1 *.txt" in said
    assert "x.heic" in refused([run, str(folder), "--strict"], capsys)
    (folder / "b" / "x.heic").unlink()
    capsys.readouterr()
    assert command(["predict", run, str(folder), "--strict", "--output", str(tmp_path / "s.csv")]) == 2
    assert "001.jpg cannot be decoded" in capsys.readouterr().err
    assert not (tmp_path / "s.csv").exists()
    assert "None of the 1 inputs can be read" in refused([run, str(folder / "a" / "001.jpg")], capsys)


def test_answers_are_written_whole_as_csv_or_json_lines(
    finished: FinishedRuns, tmp_path: Path, capsys: Capture
) -> None:
    run, folder = str(finished("photographs")), str(finished.photographs() / "test")
    expected, _ = predicted([run, folder], capsys)
    for name in ("a.csv", "a.jsonl"):
        assert predicted([run, folder, "--output", str(tmp_path / name)], capsys)[0] == []
    assert list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines())) == expected
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    capsys.readouterr()
    assert command(["predict", run, folder, "--json"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == lines
    assert [line["label"] for line in lines] == [row["prediction"] for row in expected]
    assert [line["probabilities"]["a"] for line in lines] == pytest.approx([float(row["p(a)"]) for row in expected])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.jsonl"]


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("values of a table", {"line", "truth", "value"}),
        ("labels of a table", {"line", "truth", "labels", "probabilities"}),
        ("classes of a table", {"line", "truth", "label", "probability", "probabilities"}),
    ],
)
def test_json_lines_say_what_the_table_says(
    finished: FinishedRuns, name: str, keys: set[str], tmp_path: Path, capsys: Capture
) -> None:
    table = write_table(tmp_path / "t.csv", rows(12))
    found, _ = predicted([str(finished(name)), str(table)], capsys)
    assert command(["predict", str(finished(name)), str(table), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for line, row in zip(lines, found, strict=True):
        assert line.keys() == keys
        assert line["line"] == int(row["line"])
        if "value" in line:
            assert (line["value"], line["truth"]) == (float(row["prediction"]), float(row["truth"]))
        if "labels" in line:
            assert line["labels"] == [each for each in ("large", "central") if row[f"prediction({each})"] == "1"]
            assert line["truth"] == [each for each in ("large", "central") if row[f"truth({each})"] == "1"]


def test_a_terminal_gets_a_table(
    finished: FinishedRuns, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, folder = str(finished("photographs")), finished.photographs() / "test"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    shutil.copy(folder / "a/000.jpg", "[red]1.50")
    assert command(["predict", run, "[red]1.50"]) == 0
    shown = capsys.readouterr().out
    assert "[red]1.50" in shown
    own = told(Path(run))[0]
    assert "prediction" in shown
    assert f"{float(own['p(' + own['prediction'] + ')']):.4f}" in shown


def make_maps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small_tasks.write_configuration(folder)
    monkeypatch.chdir(folder)
    words = ["data=bright_spots", "model=pixel_net", "trainer.max_epochs=1", "trainer=cpu", "logger=csv", TRUSTED]
    return couloir.train(couloir.compose(words)).dir


def test_maps_become_a_file_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    run = str(make_maps(tmp_path, monkeypatch))
    images = np.random.default_rng(0).integers(255, size=(5, 1, 8, 8), dtype=np.uint8)
    np.save("images.npy", images)
    Image.fromarray(images[0, 0]).save("one.png")
    assert "--output FOLDER" in refused([run, "images.npy", TRUSTED], capsys)
    assert predicted([run, "images.npy", TRUSTED, "--output", "maps"], capsys)[0] == []
    index = list(csv.DictReader(Path("maps/answers.csv").read_text().splitlines()))
    assert [row["sample"] for row in index] == ["0", "1", "2", "3", "4"]
    maps = [np.load(Path("maps") / row["answer"]) for row in index]
    assert predicted([run, "one.png", TRUSTED, "--output", "alone"], capsys)[0] == []
    np.testing.assert_allclose(np.load("alone/000000_one.npy"), maps[0], rtol=1e-5, atol=1e-6)
    trained = Trained(run_config(Path(run), ["small_tasks"]), Path(run))
    expected = trained.net((torch.from_numpy(images) / 255 - trained.data.mean[0]) / trained.data.std[0])
    np.testing.assert_allclose(np.stack(maps), expected.detach(), rtol=1e-4, atol=1e-5)
    assert "is not an empty folder" in refused([run, "images.npy", TRUSTED, "--output", "maps"], capsys)


def test_a_task_writes_its_answers_in_its_own_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def write_png(self: Any, answer: Any, stem: Path) -> Path:
        file = stem.with_name(f"{stem.name}.png")
        Image.fromarray((answer[0] > 0).astype(np.uint8) * 255).save(file)
        return file

    run = str(make_maps(tmp_path, monkeypatch))
    monkeypatch.setattr(small_tasks.Pixels, "write_answer", write_png)
    np.save("images.npy", np.zeros((2, 8, 8), np.uint8))
    predicted([run, "images.npy", TRUSTED, "--output", "masks"], capsys)
    assert Image.open("masks/000001.png").size == (8, 8)


def test_wrong_inputs_are_refused_in_a_sentence(finished: FinishedRuns, tmp_path: Path, capsys: Capture) -> None:
    photographs, digits, table = (finished(name) for name in ("photographs", "digits", "classes of a table"))
    photo = str(finished.photographs() / "test/a/000.jpg")
    np.save(tmp_path / "wrong.npy", np.zeros((3, 1, 9, 8), np.uint8))
    np.save(tmp_path / "numbers.npy", np.zeros((3, 1, 8, 8), np.int64))
    np.save(tmp_path / "large.npy", np.full((3, 1, 8, 8), 2.0))
    np.save(tmp_path / "right.npy", np.zeros((3, 1, 8, 8), np.uint8))
    np.save(tmp_path / "four.npy", np.zeros((3, 4)))
    np.save(tmp_path / "three.npy", np.zeros((3, 3)))
    np.save(tmp_path / "gap.npy", np.array([[0.0, 1.0], [0.0, np.nan]]))
    np.save(tmp_path / "huge.npy", np.array([[0.0, 1e300]]))
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "torn.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text/notes.txt").write_text("")
    lacking = write_table(tmp_path / "lacking.csv", rows(5), ["size", "built", "garden"])
    odd = rows(5)
    odd[2]["size"] = "big"
    wrong_cell = write_table(tmp_path / "cell.csv", odd)
    foreign = [{**row, "kind": "castle"} for row in rows(5)]
    wrong_class = write_table(tmp_path / "class.csv", foreign)
    francs = write_table(tmp_path / "francs.csv", [{**row, "size": f"CHF {row['size']}"} for row in rows(5)])
    for words, said in (
        ([], "No run is named"),
        ([str(photographs)], "No input is named"),
        ([str(photographs), ""], "An input is empty"),
        (["lates", photo], "There is no run 'lates'"),
        ([photo, photo], f"There is no run '{photo}'"),
        ([str(photographs), "phot.jpg"], "There is no file or folder 'phot.jpg'"),
        ([str(photographs), f"{tmp_path}/*.jpg"], "No file matches"),
        ([str(photographs), str(tmp_path / "empty")], "There is no photograph in"),
        ([str(photographs), str(tmp_path / "text")], "only files such as *.txt"),
        ([str(photographs), str(lacking)], "takes photographs or arrays, and the inputs are tables"),
        ([str(table), photo], "takes tables or arrays, and the inputs are photographs"),
        ([str(digits), str(tmp_path / "right.npy"), photo], "The inputs are of two kinds"),
        ([str(digits), str(tmp_path / "wrong.npy")], "shape (3, 1, 9, 8) of uint8; the run takes (N, 1, 8, 8)"),
        ([str(photographs), str(tmp_path / "right.npy")], "the run takes (N, 3, 16, 16)"),
        ([str(digits), str(tmp_path / "numbers.npy")], "of uint8, or of floats in [0, 1]"),
        ([str(digits), str(tmp_path / "numbers.npy")], "next:  save bytes, array.astype(np.uint8), or floats"),
        ([str(digits), str(tmp_path / "wrong.npy")], "next:  scale the images to 8 before"),
        ([str(digits), str(tmp_path / "four.npy")], "next:  save an array of that shape, 1 channel a sample"),
        ([str(digits), str(tmp_path / "text.npy")], "cannot be read as an array: it is no array of numbers\n"),
        ([str(finished("points")), str(tmp_path / "gap.npy")], "Sample 1 has nan in column 1, and this run fills no"),
        ([str(finished("points")), str(tmp_path / "huge.npy")], "Sample 0 has 1e+300 in column 1, which is infinite"),
        ([str(photographs.parent), photo], f"name the folder of a run, such as {photographs.parent}"),
        ([str(table), str(lacking)], "add the column: cells may be empty"),
        ([str(table), str(wrong_class), "--output", str(wrong_class)], "class_answers.csv"),
        ([str(table), str(wrong_class), "--output", "/proc/a.csv"], "a.csv cannot be written into /proc"),
        ([str(digits), str(tmp_path / "large.npy")], "values from 2 to 2; floats must lie in [0, 1]"),
        ([str(digits), str(tmp_path / "torn.npy")], "cannot be read as an array"),
        ([str(finished("points")), str(tmp_path / "three.npy")], "The rows have 3 numbers; the run takes 2"),
        ([str(table), str(tmp_path / "four.npy")], "The column 'city' of the run's table is a category"),
        ([str(table), str(lacking)], "has no column 'city'"),
        ([str(table), str(wrong_cell)], f"{wrong_cell}, line 4"),
        ([str(table), str(wrong_class)], "The class 'castle' is none of the run's: flat, house"),
        ([str(table), str(francs)], "are written with another unit than in training"),
        ([str(photographs), str(digits), photo], "do not have the same classes"),
        ([str(photographs), photo, str(digits)], f"The run '{digits}' stands behind the input"),
        ([str(photographs), photo, "--top", "0"], "--top takes an integer >= 1, not 0"),
        ([str(finished("values of a table")), str(lacking), "--top", "2"], "--top names classes"),
        ([str(photographs), photo, "--output", "answers.txt"], "ends in neither .csv nor .jsonl"),
        ([str(photographs), photo, "--output", f"{tmp_path}/no/a.csv"], "There is no folder"),
        ([str(photographs), photo, "--tops", "2"], "There is no flag '--tops'"),
        ([str(photographs), photo, "data.root=x"], "'data.root' cannot change after training"),
        ([str(photographs), photo, "tta=mirrors"], "did you mean tta=mirror"),
    ):
        assert said in refused(words, capsys), words


def test_a_table_says_what_the_run_does_not_know_and_leaves_rows_out_where_asked(
    finished: FinishedRuns, tmp_path: Path, capsys: Capture
) -> None:
    run, table = str(finished("classes of a table")), rows(10)
    table[1]["city"], table[2]["size"] = "Paris", "big"
    file = write_table(tmp_path / "t.csv", table, ["size", "city", "built", "garden"])
    found, said = predicted([run, str(file), "data.on_error=skip", "data.missing=impute"], capsys)
    assert [row["line"] for row in found] == [str(line) for line in range(2, 12) if line != 4]
    assert f"warning: {file}, line 4: Column 'size' holds 'big', which is not a number" in said
    assert "1 of 9 rows have a 'city' that the run does not know, for example 'Paris'" in said
    assert "9 rows; 1 could not be read" in said
    assert "Column 'size' holds 'big'" in refused([run, str(file), "data.on_error=skip", "--strict"], capsys)


@pytest.mark.parametrize(("name", "target", "wrong"), [
    ("classes of a table", "kind", "The class 'castle' is none of the run's"),
    ("values of a table", "price", "The target 'price' is 'castle', which is not a number"),
])  # fmt: skip
def test_rows_with_a_target_that_the_run_does_not_know_are_left_out_where_asked(
    finished: FinishedRuns, name: str, target: str, wrong: str, tmp_path: Path, capsys: Capture
) -> None:
    run, table = str(finished(name)), rows(6)
    expected, _ = predicted([run, str(write_table(tmp_path / "r.csv", table))], capsys)
    table[2][target] = "castle"
    file = write_table(tmp_path / "t.csv", table)
    assert "data.on_error=skip leaves such rows out" in refused([run, str(file)], capsys)
    found, said = predicted([run, str(file), "data.on_error=skip", "data.missing=impute"], capsys)
    assert [(row["line"], row["truth"], row["prediction"]) for row in found] == [
        (row["line"], row["truth"], row["prediction"]) for row in expected if row["line"] != "4"
    ]
    assert f"warning: {file}, line 4: {wrong}" in said
    assert "5 rows; 1 could not be read" in said


def test_closed_streams_are_told(finished: FinishedRuns, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    run, photo = str(finished("photographs")), str(finished.photographs() / "test/a/000.jpg")
    monkeypatch.setattr(sys, "stdin", None)
    assert "Standard input names no file" in refused([run, "-"], capsys)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        assert command(["predict", run, photo]) == 2
    assert "Standard output is closed" in capsys.readouterr().err


def test_a_name_that_is_both_a_run_and_a_file_is_refused(
    finished: FinishedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    run = finished("photographs")
    outputs = f"output_dir={finished.folder / 'outputs'}"
    monkeypatch.chdir(tmp_path)
    photo = str(finished.photographs() / "test/a/000.jpg")
    assert len(predicted([run.name, photo, outputs], capsys)[0]) == 1
    assert len(predicted([str(run / "checkpoints/last.ckpt"), photo], capsys)[0]) == 1
    shutil.copytree(finished.photographs() / "test/a", tmp_path / run.name)
    assert "is a run in" in refused([run.name, run.name, outputs], capsys)
    assert len(predicted([run.name, f"./{run.name}", outputs], capsys)[0]) == 3
    (tmp_path / "a=b.jpg").write_bytes(Path(photo).read_bytes())
    assert predicted([str(run), "a=b.jpg"], capsys)[0][0]["file"] == "a=b.jpg"


def test_folders_that_are_not_all_classes_are_not_compared(
    finished: FinishedRuns, tmp_path: Path, capsys: Capture
) -> None:
    run, folder = str(finished("photographs")), tmp_path / "new"
    shutil.copytree(finished.photographs() / "test/a", folder / "a")
    shutil.copytree(finished.photographs() / "test/a", folder / "wasps")
    found, said = predicted([run, str(folder)], capsys)
    assert "truth" not in found[0]
    assert "'wasps' is none of the run's classes" in said
    found, said = predicted([run, str(finished.photographs())], capsys)
    assert number_in(said, "accuracy") == pytest.approx(
        np.mean([row["truth"] == row["prediction"] for row in found]), abs=1e-4
    )
    assert len(found) == 22, "class folders below train, val and test"


def test_a_mistake_is_found_before_torch_is_imported(finished: FinishedRuns, tmp_path: Path) -> None:
    np.save(tmp_path / "wrong.npy", np.zeros((3, 1, 9, 8), np.uint8))
    program = "import sys; from couloir.cli.main import run\ncode = run(sys.argv[1:])\n"
    program += "print('torch' in sys.modules)\nsys.exit(code)"
    lacking = write_table(tmp_path / "t.csv", rows(5), ["size", "garden"])
    for name, file, said in (
        ("digits", tmp_path / "wrong.npy", "the run takes (N, 1, 8, 8)"),
        ("classes of a table", lacking, "has no column 'city'"),
    ):
        words = ["predict", str(finished(name)), str(file)]
        done = subprocess.run([sys.executable, "-c", program, *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 2
        assert said in done.stderr
        assert done.stdout == "False\n"


def test_a_table_is_read_once(finished: FinishedRuns, tmp_path: Path, capsys: Capture) -> None:
    from couloir.data import cells

    for name in ("classes of a table", "labels of a table", "values of a table"):
        run = str(finished(name))
        cells._read.cache_clear()
        predicted([run, str(write_table(tmp_path / "t.csv", rows(20)))], capsys)
        assert (cells._read.cache_info().misses, cells._read.cache_info().hits) == (1, 1)


def test_several_tables_stand_below_one_head(finished: FinishedRuns, tmp_path: Path, capsys: Capture) -> None:
    run = str(finished("values of a table"))
    with_target = write_table(tmp_path / "a.csv", rows(4))
    without_target = write_table(tmp_path / "b.csv", rows(3, seed=9), ["size", "city", "built", "garden"])
    found, said = predicted([run, str(without_target), str(with_target)], capsys)
    assert [(Path(row["file"]).name, row["line"], row["truth"] != "") for row in found] == [
        *(("b.csv", str(line), False) for line in (2, 3, 4)), *(("a.csv", str(line), True) for line in (2, 3, 4, 5)),
    ]  # fmt: skip
    assert [without(row, "file") for row in found[3:]] == predicted([run, str(with_target)], capsys)[0]
    assert "of the 4 whose truth is known" in said
