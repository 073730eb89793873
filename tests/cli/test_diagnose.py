"""`couloir diagnose`: what stands on the screen, for one run and several, and for what is no run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from couloir.cli.main import run as command

RUNS = Path(__file__).parents[1] / "diagnosis" / "runs"


def said(words: list[Any], capsys: pytest.CaptureFixture[str]) -> str:
    assert command(["diagnose", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_a_finding_comes_with_its_numbers_and_sentences_that_can_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    text = said([RUNS / "overfitting_cifar10"], capsys)
    assert "Overfitting: the validation loss was lowest at" in text
    assert "train data=cifar10 data.subset=600 model=mlp 'model.hidden=[256,256]'" in text
    assert "model.dropout=0.5" in text
    assert "slope of validation" in text


def test_a_healthy_run_is_said_to_be_healthy_with_the_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    text = said([RUNS / "healthy_lenet5"], capsys)
    assert "Looks healthy. Last epoch (20): training loss" in text
    assert "best epoch" in text
    assert "try:" not in text


def test_several_runs_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = json.loads(said([RUNS / "healthy_lenet5", RUNS / "overfitting_moons", "--json"], capsys))["runs"]
    assert one["healthy"] is True
    assert one["findings"] == []
    assert other["run"] == str(RUNS / "overfitting_moons")
    (finding,) = other["findings"]
    assert finding["case"] == "overfitting"
    assert finding["remedies"][0]["words"] == "model.dropout=0.5"
    assert finding["evidence"]["epochs"] == "80"
    assert other["numbers"]["epochs"] == 80
    assert isinstance(other["numbers"]["columns"]["val/loss"]["slope"]["per_epoch"], float)


def test_metrics_alone_are_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "outputs" / "train" / "some_run"
    run.mkdir(parents=True)
    shutil.copy(RUNS / "overfitting_cifar10" / "metrics.csv", run)
    (run / "config.yaml").write_text((RUNS / "overfitting_cifar10" / "config.yaml").read_text())
    text = said(["some_run", f"output_dir={tmp_path / 'outputs'}"], capsys)
    assert text.startswith(f"{run}\n")
    assert "Overfitting" in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "No run is named."),
        (["no_such_run"], "There is no run 'no_such_run'."),
        (["latest", "optimizer.lr=1"], "takes no overrides"),
        (["latest", "--jso"], "There is no flag '--jso'."),
    ],
)
def test_wrong_words_are_answered_in_a_sentence(
    words: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(["diagnose", *words]) == 2
    assert expected in capsys.readouterr().err


def test_torn_metrics_are_answered_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = shutil.copytree(RUNS / "healthy_lenet5", tmp_path / "torn")
    (run / "metrics.csv").write_bytes((run / "metrics.csv").read_bytes()[:-30])
    assert command(["diagnose", str(run)]) == 2
    assert "metrics.csv" in capsys.readouterr().err
