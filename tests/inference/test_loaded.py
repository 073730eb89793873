"""`couloir.load`: the answers of `couloir predict` in Python, for whatever a notebook has in its hands."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import couloir
from couloir.errors import CouloirError
from couloir.inference.loaded import Answer
from finished_runs import FinishedRuns, rows, told, write_table


def p(answer: Answer) -> list[float]:
    assert answer.probabilities is not None
    return list(answer.probabilities.values())


def close(answers: list[Answer], expected: list[list[float]], rtol: float = 1e-5) -> None:
    np.testing.assert_allclose([p(answer) for answer in answers], expected, rtol=rtol, atol=1e-6)


def test_one_path_has_one_answer_and_several_have_a_list(finished: FinishedRuns) -> None:
    run = finished("photographs")
    predictor, own = couloir.load(run), told(run)
    files = [str(finished.photographs() / row["file"]) for row in own]
    one = predictor(files[0])
    assert (one.label, list(one.probabilities)) == (own[0]["prediction"], ["a", "b"])
    assert one.probability == max(p(one)) == pytest.approx(float(own[0][f"p({one.label})"]), rel=1e-6)
    np.testing.assert_allclose(one.array, p(one), rtol=1e-6)
    several = [predictor(files), predictor(list(map(Path, files))), predictor(finished.photographs() / "test")]
    for answers in several:
        assert [answer.label for answer in answers] == [row["prediction"] for row in own]
        close(answers, [[float(row["p(a)"]), float(row["p(b)"])] for row in own])
    assert predictor([]) == []
    assert predictor.classes == ["a", "b"]
    assert isinstance(predictor.net, torch.nn.Module)
    assert not predictor.net.training


def test_pictures_in_memory_are_cut_as_files_are(finished: FinishedRuns, tmp_path: Path) -> None:
    predictor = couloir.load(finished("photographs"))
    pictures: list[Any] = []
    for number, mode in enumerate(("RGB", "L", "RGBA", "P", "CMYK")):
        with Image.open(finished.photographs() / "test/a/000.jpg") as jpeg:
            pictures.append(jpeg.convert(mode).rotate(number))
    for number, picture in enumerate(pictures[:4]):
        picture.save(tmp_path / f"{number}.png")
    expected = predictor([str(tmp_path / f"{number}.png") for number in range(4)])
    close(predictor(pictures)[:4], [p(each) for each in expected])
    assert p(predictor(np.asarray(pictures[0]))) == pytest.approx(p(expected[0]), rel=1e-5)
    assert p(predictor(pictures[1])) == pytest.approx(p(expected[1]), rel=1e-5)
    upright = Image.open(tmp_path / "0.png")
    exif = Image.Exif()
    exif[274] = 6  # what is on the right is up
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    assert p(predictor(Image.open(tmp_path / "turned.png"))) == pytest.approx(p(expected[0]), rel=1e-5)


def test_arrays_and_tensors_are_one_sample_or_a_stack(finished: FinishedRuns) -> None:
    predictor = couloir.load(finished("digits"))
    images = np.rint(load_digits().images[:5] * (255 / 16)).astype(np.uint8)
    expected = [p(answer) for answer in predictor(images[:, None])]
    assert len(expected[0]) == 10
    for stack in (images, images[..., None], torch.from_numpy(images[:, None]), images[:, None] / 255, list(images)):
        close(predictor(stack), expected)
    for one in (images[2], images[2][None], images[2][..., None], torch.from_numpy(images[2][None] / 255)):
        assert p(predictor(one)) == pytest.approx(expected[2], abs=1e-6)
    black = torch.zeros(1, 1, 8, 8)
    assert p(predictor(black.bfloat16())[0]) == p(predictor(black)[0])
    points = couloir.load(finished("points"))
    assert p(points([0.5, 0.1])) == pytest.approx(p(points(np.array([[0.5, 0.1]]))[0]))
    assert p(points({"u": 0.5, "v": 0.1})) == pytest.approx(p(points([0.5, 0.1])))


def test_rows_have_the_answers_of_their_table(finished: FinishedRuns, tmp_path: Path) -> None:
    predictor, table = couloir.load(finished("values of a table")), rows(20)
    expected = [answer.value for answer in predictor(write_table(tmp_path / "t.csv", table))]
    assert np.mean(expected) > 100_000
    typed = [
        {
            "size": np.float32(row["size"]), "city": row["city"] or None, "garden": row["garden"] == "yes",
            "built": datetime.date.fromisoformat(row["built"]), "note": object(),
        }
        for row in table
    ]  # fmt: skip
    columns = {name: [row[name] for row in typed] for name in typed[0]}

    class Frame:  # as those of pandas and polars
        columns = tuple(typed[0])

        def __getitem__(self, name: str) -> list[Any]:
            return [row[name] for row in typed]

    for given in (table, typed, columns, Frame()):
        assert [answer.value for answer in predictor(given)] == pytest.approx(expected, rel=1e-6)
    one = predictor(typed[4])
    assert one.value == pytest.approx(expected[4], rel=1e-6)
    assert one.values == {"price": one.value}
    with pytest.warns(UserWarning, match="a 'city' that the run does not know, for example 'Paris'"):
        predictor({**typed[4], "city": "Paris"})
    several = couloir.load(finished("several values"))([200.0, 60.0, 30.0])
    assert list(several.values) == ["weight", "waist", "pulse"]
    labels = couloir.load(finished("labels of a table"))(table)
    assert all(set(answer.labels) == {name for name, p in answer.probabilities.items() if p > 0.5} for answer in labels)


def test_several_runs_and_views_answer_together(finished: FinishedRuns) -> None:
    runs, file = [finished("photographs"), finished("photographs again")], finished.photographs() / "test/a/000.jpg"
    both, alone = couloir.load(runs)(file), [couloir.load(run)(file) for run in runs]
    assert p(both) == pytest.approx(np.mean([p(answer) for answer in alone], axis=0), rel=1e-6)
    mirrored = couloir.load(runs[0], ["tta=mirror"])(Image.open(file).transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert p(mirrored) == pytest.approx(p(couloir.load(runs[0], ["tta=mirror"])(file)), abs=2e-3)


def test_what_a_run_does_not_take_is_refused(finished: FinishedRuns, tmp_path: Path) -> None:
    photographs, table = couloir.load(finished("photographs")), couloir.load(finished("values of a table"))
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    for predictor, given, said in (
        (photographs, str(tmp_path / "bad.jpg"), "cannot be decoded"),
        (photographs, str(tmp_path / "none.jpg"), "There is no file or folder"),
        (photographs, np.zeros((2, 3, 9, 9), np.uint8), r"the run takes \(N, 3, 16, 16\)"),
        (photographs, {"size": 3}, "takes no rows of a table"),
        (photographs, 7, "not int"),
        (table, Image.new("RGB", (9, 9)), "takes no pictures"),
        (table, {"size": 3}, "The rows have no column 'city'"),
        (table, [{**rows(1)[0], "size": "big"}], "holds 'big', which is not a number"),
        (photographs, str(tmp_path / "bad.jpg"), "leave it out"),
        (photographs, "", "An input is empty"),
        (table, {"size": [1, 2, 3, 4], "city": "Bonn"}, "different lengths: size: 4, city: one value"),
        (table, {"size": [1, 2], "city": ["Bonn"]}, "different lengths: size: 2, city: 1"),
        (couloir.load(finished("points")), np.array([[1, 2], [np.inf, 0]]), "Sample 1 has inf in column 0"),
        (table, [1.0, 2.0], "an array of numbers cannot hold it"),
    ):
        with pytest.raises(couloir.CouloirError, match=said) as error:
            predictor(given)
        assert "--strict" not in str(error.value)
        assert "/tmp" not in str(error.value) or str(tmp_path) in str(error.value)
    with pytest.raises(CouloirError, match="do not have the same classes"):
        couloir.load([finished("photographs"), finished("digits")])
    with pytest.raises(CouloirError, match="There is no run 'nothing'"):
        couloir.load("nothing")


def test_arrays_of_sequences_are_answered_one_or_many_of_any_length_and_others_are_refused(
    finished: FinishedRuns,
) -> None:
    run = couloir.load(finished("steps"))
    digits = load_digits().images[:4] / 16
    answers = run(digits)
    assert [answer.label for answer in answers] == [run(digit).label for digit in digits]
    assert 0 <= run(digits[0, :3]).probability <= 1
    for wrong, said in (
        (np.zeros((2, 8, 7)), r"\(2, 8, 7\) of float64; the run takes \(N, T, 8\) of numbers"),
        (np.zeros((2, 0, 8)), "the run takes"),
        (np.zeros(8), "the run takes"),
    ):
        with pytest.raises(CouloirError, match=said):
            run(wrong)
