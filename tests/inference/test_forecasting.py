"""A finished run says what follows the last steps of a table, with dates, at the prompt and in Python."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import couloir
from couloir.artifacts.sheet import png_size
from couloir.cli.main import run as command
from couloir.errors import CouloirError
from finished_runs import FinishedRuns


def longer(finished: FinishedRuns, folder: Path, rows: int = 120, header: str = "when,warmth,wind") -> Path:
    """The last rows of the table that the run was trained on."""
    lines = finished.series().read_text().splitlines()
    file = folder / "new.csv"
    file.write_text("\n".join([header, *lines[-rows:]]) + "\n")
    return file


def test_the_steps_that_follow_are_those_of_the_network_with_their_dates(
    finished: FinishedRuns, tmp_path: Path
) -> None:
    run, file = finished("series"), longer(finished, tmp_path)
    output, picture = tmp_path / "next.csv", tmp_path / "next.png"
    assert command(["predict", str(run), str(file), "--output", str(output), "--plot", str(picture)]) == 0
    rows = list(csv.DictReader(output.open()))
    assert [row["date"] for row in rows] == [f"2020-03-04 {hour:02}:00:00" for hour in range(8, 14)]
    said = np.array([[float(row[f"prediction({name})"]) for name in ("warmth", "wind")] for row in rows])
    loaded = couloir.load(run)
    trained = loaded.runs[0]
    cells = [line.split(",") for line in file.read_text().splitlines()[-30:]]
    hours = np.array([int(cell[0][11:13]) for cell in cells]) * 2 * np.pi / 24
    window = np.column_stack([np.array([cell[1:] for cell in cells], float), np.sin(hours), np.cos(hours)])
    x = (window - np.array(trained.data.mean)) / np.array(trained.data.std)
    with torch.no_grad():
        answer = trained.net(torch.tensor(x[None], dtype=torch.float32))[0].double().numpy()
    expected = answer * np.array(trained.data.std[:2]) + np.array(trained.data.mean[:2])
    assert said == pytest.approx(expected, rel=1e-5)
    assert png_size(picture.read_bytes()) is not None
    found = loaded(file)
    assert found.dates == [row["date"] for row in rows]
    assert found.forecast["wind"] == pytest.approx(said[:, 1], rel=1e-6)
    assert found.array == pytest.approx(said, rel=1e-6)
    assert "6 steps from 2020-03-04 08:00:00" in repr(found)


def test_json_lines_and_several_runs_give_the_mean(
    finished: FinishedRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, file = finished("series"), longer(finished, tmp_path)
    assert command(["predict", str(run), str(run), str(file), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["values"]["warmth"] for line in lines] == pytest.approx(couloir.load(run)(file).forecast["warmth"])


@pytest.mark.parametrize(
    ("rows", "header", "words", "fact"),
    [
        (20, "when,warmth,wind", [], "looks at 30 steps, and there are 20"),
        (60, "when,heat,wind", [], "no column 'warmth'"),
        (60, "when,warmth,wind", ["--plot", "next.jpg"], "no .png file"),
        (60, "when,warmth,wind", ["--output", "next.txt"], "neither .csv nor .jsonl"),
        (60, "when,warmth,wind", ["--top", "3"], "has none"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    finished: FinishedRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: int, header: str,
    words: list[str], fact: str,
) -> None:  # fmt: skip
    file = longer(finished, tmp_path, rows, header)
    assert command(["predict", str(finished("series")), str(file), *words]) == 2
    assert fact in capsys.readouterr().err


def test_other_steps_than_those_of_the_training_are_said(finished: FinishedRuns, tmp_path: Path) -> None:
    file = tmp_path / "days.csv"
    days = (np.datetime64("2020-01-01") + np.arange(40)).astype(str)
    file.write_text("when,warmth,wind,more\n" + "".join(f"{day},{20 + n % 7},3,x\n" for n, day in enumerate(days)))
    with pytest.warns(UserWarning, match="trained on steps of hourly"):
        assert couloir.load(finished("series"))(file).dates[0] == "2020-02-10"


def test_python_refuses_a_table_without_the_columns_of_the_training(finished: FinishedRuns, tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match="no column"):
        couloir.load(finished("series"))(longer(finished, tmp_path, 60, "when,a,b"))
