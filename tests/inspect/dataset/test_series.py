"""What `couloir data` says of series: their dates, their columns, where the parts of time lie."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from couloir.cli.main import run as command
from couloir.inspect.dataset.series import POINTS, thinned
from finished_runs import FinishedRuns


def test_the_facts_of_a_series_are_those_of_its_table(
    finished: FinishedRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data=series_csv", f"data.path={finished.series()}", "data.length=30", "data.horizon=6"]
    assert command(["data", *words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["series"]
    table = np.loadtxt(finished.series(), delimiter=",", skiprows=1, usecols=(1, 2))
    assert (found["steps"], found["spacing"], found["season"]) == (200, "hourly", 24)
    assert found["parts"]["test"] == {"steps": 30, "from": "2020-03-03 02:00:00", "to": "2020-03-04 07:00:00"}
    assert [column["name"] for column in found["columns"]] == ["warmth", "wind"]
    assert [column["max"] for column in found["columns"]] == pytest.approx(table.max(axis=0))
    assert command(["data", *words, f"output_dir={tmp_path}"]) == 0
    said = capsys.readouterr().out
    assert "warmth" in said
    page = next(tmp_path.rglob("data.html")).read_text(encoding="utf-8")
    assert "<h2>Series</h2>" in page
    assert "200 steps, hourly" in page


def test_a_long_line_keeps_its_extremes() -> None:
    values = np.random.default_rng(0).normal(size=10 * POINTS)
    values[12_345], values[23_456] = 99, -99
    places = thinned(values)
    assert len(places) <= POINTS
    assert {12_345, 23_456} <= set(places.tolist())
    assert (np.diff(places) > 0).all()
