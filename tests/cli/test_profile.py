"""`couloir profile`: what it says and leaves, and what is said of mistakes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from couloir.cli.main import run as command
from couloir.inspect.profile import tries

WORDS = ["data=moons", "model=mlp", "trainer=cpu"]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries, "ROUNDS", 2)
    monkeypatch.setattr(tries, "SECONDS_A_TRY", 0.01)


@pytest.mark.usefixtures("short")
def test_a_table_a_trace_and_numbers_that_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["profile", "--steps", "6", "--json", *WORDS, f"output_dir={tmp_path}"]) == 0
    facts = json.loads(capsys.readouterr().out)
    folder = Path(facts["folder"])
    assert folder.parent == tmp_path / "profile"
    assert {path.name for path in folder.iterdir()} - {"git.diff"} == {
        "config.yaml", "overrides.yaml", "profile.csv", "provenance.json", "result.json", "status.json", "trace.json",
        "train.log",
    }  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["profile"]
    assert facts["status"] == "completed"
    assert facts["steps"] == 6
    assert sum(part["share"] for part in facts["parts"]) == pytest.approx(1.0, abs=0.02)
    assert sum(part["seconds"] for part in facts["parts"]) == pytest.approx(facts["measured_step_seconds"], rel=0.02)
    assert facts["overhead"] == pytest.approx(facts["measured_median_seconds"] / facts["step_seconds"] - 1)
    assert facts["modules"][0]["children"][0]["share"] < facts["modules"][0]["share"]
    assert facts["tried"]
    assert all({"words", "ratio", "better", "samples_per_second"} <= each.keys() for each in facts["tried"])
    rows = list(csv.DictReader((folder / "profile.csv").open()))
    assert float(next(row["seconds"] for row in rows if row["part"] == "backward")) > 0
    log = (folder / "train.log").read_text()
    assert "a step" in log
    assert "times the samples a second (measured: " in log
    events = json.loads((folder / "trace.json").read_text())["traceEvents"]
    assert {"step 1", "backward"} <= {event["name"] for event in events}


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (["--steps", "0"], ["--steps takes an integer >= 1, not 0"]),
        (["--step", "3"], ["did you mean --steps?"]),
        (["trainer.devices=2"], ["in 2 processes", "trainer.devices=1"]),
        (["trainer.profiler=simple"], ["trainer.profiler=simple", "leave trainer.profiler out"]),
        (["data=image_folder", "data.root=/nowhere"], ["/nowhere is not a folder"]),
    ],
)
def test_mistakes_are_explained(
    words: list[str],
    fragments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(["profile", *words]) == 2
    message = capsys.readouterr().err
    assert all(fragment in message for fragment in fragments)
    assert not list(tmp_path.glob("outputs/*")), "a mistake leaves no folder"
