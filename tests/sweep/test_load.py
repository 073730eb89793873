"""A sweep that is read from its folder is the one that wrote it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from couloir.cli.main import run as command
from couloir.errors import CouloirError
from couloir.record.files import write_atomically
from couloir.sweep.load import load_sweep
from couloir.sweep.trials import SweepRecord


def test_the_page_of_a_sweep_is_written_again_as_it_was(
    sweep: Callable[..., Any], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    records: list[SweepRecord] = []
    monkeypatch.setattr("couloir.sweep.report.draw", records.append)
    folder = sweep(
        "optimizer.lr=0.1,0.01", "sweep.seeds=2", "sweep.objective=[best/accuracy,parameters]", "sweep.isolation=none"
    ).folder
    (told,) = records
    read = load_sweep(folder)
    assert read.trials == [replace(trial, seconds=round(trial.seconds or 0.0, 3)) for trial in told.trials]
    assert replace(read, trials=[]) == replace(told, trials=[], command=read.command)
    assert not (folder / "report.html").exists()
    assert command(["report", "latest"]) == 0
    assert capfd.readouterr().out.strip().endswith("report.html")
    assert "Pareto front" in (folder / "report.html").read_text()
    assert command(["report", str(folder), "--out", str(folder / "again.html")]) == 0
    assert (folder / "again.html").is_file()


def test_an_older_sweep_without_its_objectives_goes_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text("words: [a=1, 'b=1,2', sweep=grid]\nstudy: s\ncommand: [train, -m]\n")
    write_atomically(
        tmp_path / "sweep.csv",
        "number,state,best/accuracy,best/accuracy std,runs,seconds,b,error\n0,completed,0.5,0.1,2,3.5,1,\n"
        "1,failed,,,0,1.0,2,no room\n",
    )
    for place, accuracy in enumerate((0.4, 0.6)):
        run = tmp_path / "0" / str(place)
        run.mkdir(parents=True)
        (run / "result.json").write_text(json.dumps({"best/accuracy": accuracy}))
    record = load_sweep(tmp_path)
    assert [(goal.name, goal.direction) for goal in record.objectives] == [("best/accuracy", "maximize")]
    assert (record.words, record.swept, record.monitor, record.total) == (["a=1"], ["b"], "val/accuracy", 2)
    assert record.trials[0].values == [[0.4, 0.6]]
    assert (record.trials[1].error, record.trials[1].values, record.trials[1].means) == ("no room", [], None)


@pytest.mark.parametrize("content", ["", "number,state\n0", "number,state,best/loss,seconds,error\nx,completed,1,1,\n"])
def test_a_torn_table_is_a_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text("words: []\nstudy: s\ncommand: []\n")
    (tmp_path / "sweep.csv").write_text(content)
    with pytest.raises(CouloirError, match="cannot be read"):
        load_sweep(tmp_path)
