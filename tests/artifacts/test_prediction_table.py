"""`predictions.csv`: each test sample once, in order, and the run's numbers follow from it."""

from __future__ import annotations

import json
from contextlib import chdir
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from couloir.artifacts import prediction_table
from couloir.artifacts.prediction_table import Predictions
from couloir.cli.main import run
from couloir.config.fields import SAMPLE, SHARE
from couloir.data.batches import Share
from couloir.data.digits import digits
from couloir.record.predictions import read_predictions

Rows = list[dict[str, str]]


def after_a_run(words: list[str], directory: Path) -> tuple[Path, Rows, dict[str, float]]:
    """The folder of a run, its predictions, and its numbers."""
    with chdir(directory):
        assert run(["train", "trainer.max_epochs=1", "logger=none", *words]) == 0
    folder = (directory / "outputs/latest").resolve()
    return folder, list(read_predictions(folder)), numbers(folder)


def numbers(folder: Path) -> dict[str, float]:
    content: dict[str, float] = json.loads((folder / "result.json").read_text())
    return content


def accuracy(rows: Rows) -> float:
    return sum(row["truth"] == row["prediction"] for row in rows) / len(rows)


@pytest.fixture(scope="module")
def classified(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Rows, dict[str, float]]:
    words = ["model=linear", "data.subset=150", "data.batch_size=16", "augmentation=shift", "tta=mirror"]
    return after_a_run(words, tmp_path_factory.mktemp("classified"))


def test_each_test_sample_has_one_row_in_order_with_its_true_class(
    classified: tuple[Path, Rows, dict[str, float]],
) -> None:
    data = digits(task="classification", channels=1, image_size=8, num_classes=10, batch_size=16, subset=150)
    data.setup()
    labels = data.splits["test"].targets
    _, rows, _ = classified
    assert [row["sample"] for row in rows] == [str(number) for number in range(len(labels))]
    assert [row["truth"] for row in rows] == [str(label) for label in labels]
    assert list(rows[0]) == ["sample", "truth", "prediction", *(f"p({digit})" for digit in range(10))]


def test_accuracy_and_loss_follow_from_the_rows(classified: tuple[Path, Rows, dict[str, float]]) -> None:
    _, rows, result = classified
    assert accuracy(rows) == result["test/accuracy"]
    p = np.array([[float(row[f"p({digit})"]) for digit in range(10)] for row in rows])
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    truth = np.array([int(row["truth"]) for row in rows])
    assert -np.log(p[np.arange(len(p)), truth]).mean() == pytest.approx(result["test/loss"], rel=1e-4)
    assert [str(label) for label in p.argmax(axis=1)] == [row["prediction"] for row in rows]


def test_an_evaluation_by_views_and_of_some_batches_has_its_own_rows(
    classified: tuple[Path, Rows, dict[str, float]],
) -> None:
    folder, rows, result = classified
    with chdir(folder.parents[2]):
        assert run(["evaluate", str(folder), "tta=mirror", "trainer.limit_test_batches=2"]) == 0
        assert run(["evaluate", str(folder), "tta=none"]) == 0
    views, plain = sorted((folder.parents[1] / "evaluate").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    seen = list(read_predictions(views))
    assert len(seen) == 32
    assert accuracy(seen) == numbers(views)["test/accuracy"]
    assert [row["truth"] for row in seen] == [row["truth"] for row in rows[:32]]
    assert any(row["p(3)"] != other["p(3)"] for row, other in zip(seen, rows, strict=False))
    assert list(read_predictions(plain)) == rows
    assert numbers(plain)["test/accuracy"] == result["test/accuracy"]


def test_values_are_those_of_the_table_with_the_lines_they_stand_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cells = [(f"{x:.3f}", f"{100 + 3 * x:.1f}") for x in rng.normal(size=60)]
    (tmp_path / "t.csv").write_text("x,price\n" + "".join(f"{x},{y}\n" for x, y in cells))
    words = ["data=csv", "data.path=t.csv", "data.target=price", "data.task=regression"]
    _, rows, result = after_a_run(words, tmp_path)
    assert list(rows[0]) == ["sample", "line", "truth", "prediction"]
    for row in rows:
        assert float(row["truth"]) == float(cells[int(row["line"]) - 2][1])
        assert len(row["truth"]) <= 5, "the number as it was typed, not as it is rounded in 32 bits"
    errors = np.array([abs(float(row["truth"]) - float(row["prediction"])) for row in rows])
    assert errors.mean() == pytest.approx(result["test/mae"], rel=1e-5)


def test_photographs_are_named_below_the_folder_of_all_and_their_folder_is_their_class(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2), ("test", 3)):
        for name in ("a cat", "dög, small"):
            (tmp_path / "pets" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "pets" / split / name / f"{number}.png")
    words = ["data=image_folder", "data.root=pets", "data.image_size=8", "data.workers=0", "model=linear"]
    _, rows, result = after_a_run([*words, "data.batch_size=4"], tmp_path)
    expected = [f"test/{name}/{number}.png" for name in ("a cat", "dög, small") for number in range(3)]
    assert [row["file"] for row in rows] == expected
    assert [row["truth"] for row in rows] == ["a cat"] * 3 + ["dög, small"] * 3
    assert list(rows[0])[-2:] == ["p(a cat)", "p(dög, small)"]
    assert accuracy(rows) == result["test/accuracy"]


def written(data: Any, classes: list[str], batches: list[tuple[dict[str, Any], dict[str, torch.Tensor]]]) -> list[Any]:
    """The lines of a table, its head first."""
    lines: list[Any] = []
    predictions = Predictions(data, classes, lambda: lines.extend)
    for batch, columns in batches:
        predictions.add(batch, columns)
    predictions.flush()
    return [tuple(line) for line in lines]


def test_of_many_classes_the_most_probable_ones_have_columns() -> None:
    classes = [f"c{number}" for number in range(150)]
    p = torch.softmax(torch.randn(3, 150), dim=1)
    columns = {"truth": torch.tensor([7, 8, 9]), "prediction": p.argmax(1), "p": p}
    data = SimpleNamespace(kind="label", targets=[])
    head, *rows = written(data, classes, [({"x": torch.zeros(3), SAMPLE: torch.arange(3)}, columns)])
    assert head == ("sample", "truth", "prediction", "p_truth",
                    *(f"{name}{place}" for place in range(1, 6) for name in ("top", "p")))  # fmt: skip
    for row, of_classes, label in zip(rows, p, (7, 8, 9), strict=True):
        best = of_classes.argsort(descending=True)[:5].tolist()
        assert row[1:3] == (f"c{label}", f"c{best[0]}")
        assert float(row[3]) == pytest.approx(float(of_classes[label]), rel=1e-7)
        assert list(row[4::2]) == [f"c{place}" for place in best]
        assert [float(cell) for cell in row[5::2]] == pytest.approx(of_classes[best].tolist(), rel=1e-7)


def test_several_labels_and_several_values_stand_side_by_side() -> None:
    several = {
        "truth": torch.tensor([[1, 0], [0, 0]]), "prediction": torch.tensor([[1, 1], [0, 0]]),
        "p": torch.tensor([[0.75, 0.5], [0.25, 0.125]]),
    }  # fmt: skip
    batch = {"x": torch.zeros(2)}
    head, first, _ = written(SimpleNamespace(kind="labels", targets=[]), ["a", "b"], [(batch, several)])
    assert head == ("sample", "truth(a)", "prediction(a)", "p(a)", "truth(b)", "prediction(b)", "p(b)")
    assert first == ("0", "1", "1", "0.75", "0", "1", "0.5")
    values = {"truth": torch.tensor([[1.5, 20.0]]), "prediction": torch.tensor([[1.25, 0.1]])}
    head, first = written(SimpleNamespace(kind="other", targets=["h", "w"]), [], [({"x": torch.zeros(1)}, values)])
    assert head == ("sample", "truth(h)", "prediction(h)", "truth(w)", "prediction(w)")
    assert first == ("0", "1.5", "1.25", "20", "0.1")


def test_the_parts_of_several_processes_come_in_the_order_of_the_split(monkeypatch: pytest.MonkeyPatch) -> None:
    def part(numbers: list[int]) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        chosen = torch.tensor(numbers)
        return {"x": chosen, SAMPLE: chosen}, {"answer": chosen * 0.5}

    data = SimpleNamespace(kind="other", targets=[])
    other = {SAMPLE: np.array([2, 3, 6]), "answer": np.array([1, 1.5, 3], dtype=np.float32)}
    monkeypatch.setattr(prediction_table, "everyones", lambda own: [own, other])
    stand_in: Any = ({"x": torch.zeros(1), SAMPLE: torch.tensor([0]), SHARE: Share(0, 1, 0.0)}, part([0])[1])
    lines = written(data, [], [part([0, 1]), part([4, 5]), stand_in])
    assert lines[1:] == [(str(number), f"{number / 2:g}") for number in range(7)]


def test_a_table_is_written_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_table, "BATCHES", 2)
    lines: list[Any] = []
    predictions = Predictions(SimpleNamespace(kind="other", targets=[]), [], lambda: lines.extend)
    grown = []
    for number in range(5):
        predictions.add({"x": torch.zeros(3)}, {"answer": torch.full((3,), float(number))})
        grown.append(len(lines))
    predictions.flush()
    assert grown == [0, 7, 7, 13, 13]
    assert [line[0] for line in lines[1:]] == [str(number) for number in range(15)]
