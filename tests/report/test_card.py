"""Model cards: what stands in a run's files and nothing else, and what was not measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from couloir.cli.main import run as command
from couloir.record.checkpoint import best_weights
from couloir.report.card import card
from couloir.report.evidence import RunRecord
from recorded_runs import png, write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = write_run(tmp_path / "runs" / "train" / "one", ("model=lenet5", "data=mnist"), classes=("cat", "a|b"))
    (folder / "curves.png").write_bytes(png(20, 10))
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "best.ckpt").write_bytes(bytes(2_500_000))
    return folder


def told(run: Path) -> str:
    return card(RunRecord.read(run), best_weights(run), None)


def with_data(run: Path, **facts: object) -> None:
    file = run / "provenance.json"
    origin = json.loads(file.read_text())
    origin["data"] |= facts
    file.write_text(json.dumps(origin))


def test_the_card_and_its_picture_go_into_the_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["export", str(run), "--to", "card"]) == 0
    assert "README.md" in capsys.readouterr().out
    page = (run / "export" / "README.md").read_text()
    assert "](README-curves.png)" in page
    assert (run / "export" / "README-curves.png").read_bytes() == (run / "curves.png").read_bytes()
    assert command(["export", str(run), "--to", "card"]) == 2
    assert "exists already" in capsys.readouterr().err


def test_the_numbers_are_those_of_the_run(run: Path) -> None:
    page = told(run)
    assert "# lenet5 on mnist" in page
    assert "| accuracy | 0.9110 | 0.9400 | 0.8000 |" in page
    assert "| parameters | 61,706 |" in page
    assert "`checkpoints/best.ckpt`, 2.5 MB" in page
    assert "The best epoch is 8 of 12, by val/loss. The test: the 50 test samples" in page
    assert "train model=lenet5 data=mnist" in page
    assert "At the commit `abc123`, with changes" in page
    assert "license:  # fill in" in page
    assert "| samples | train 100, test 50 |" in page


def test_a_table_has_its_columns_and_a_run_in_another_folder_the_words_that_find_it(run: Path) -> None:
    assert "`couloir rerun one` trains it again" in told(run)
    assert "columns that" not in told(run)
    (run / "columns.csv").write_text(
        "column,kind,why,missing,inputs\narea,number,x,0,area\ntown,category,x,0,town=a;town=b\n"
        "id,identifier,x,0,\nprice,target,x,0,\n"
    )
    with (run / "config.yaml").open("a") as stream:
        stream.write("output_dir: my runs\n")
    page = told(run)
    assert "| columns that it takes | area (number), town (category) |" in page
    assert "| columns that it predicts | price |" in page
    assert "`couloir rerun one 'output_dir=my runs'` trains it again" in page


def test_what_was_found_and_what_was_not_measured_are_limits(run: Path) -> None:
    with_data(run, classes=["cat", "a|b"], class_counts=[90, 3], task="classification")
    limits = told(run).partition("## Limits")[2].partition("## Train")[0]
    assert "The classes are imbalanced: 90 training samples of cat, 3 of a|b." in limits
    assert "right for 97% of the training split" in limits
    assert "Overfitting: " in limits
    assert "how far its numbers vary with the seed was not measured" in limits
    assert "of another origin" in limits
    (run / "confusion.csv").write_text("true\\predicted,cat,a|b\ncat,30,0\na|b,20,0\n")
    assert "The network says cat for all 50 test samples; 60.0% of them" in told(run)


def test_classes_in_a_table_keep_its_columns(run: Path) -> None:
    with_data(run, classes=["cat", "a|b"], class_counts=[90, 3], task="classification")
    assert "| classes (training samples) | cat (90), a\\|b (3) |" in told(run)


def test_a_run_that_was_not_tested_says_so(run: Path) -> None:
    (run / "result.json").unlink()
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps({**status, "status": "interrupted"}))
    page = told(run)
    assert "The run is interrupted" in page
    assert "There is no test" in page
    assert "| accuracy |" in page, "the epochs are measured"
    assert "The test:" not in page


def test_a_part_of_the_set_and_a_part_of_the_network_are_named(run: Path) -> None:
    cfg = yaml.safe_load((run / "config.yaml").read_text())
    cfg["data"]["subset"] = 64
    cfg["finetune"] = {"_target_": "couloir.finetune.division.head"}
    (run / "config.yaml").write_text(yaml.safe_dump(cfg))
    page = told(run)
    assert "- A part of the set alone was used (data.subset=64)." in page
    assert "| what learned | head |" in page
