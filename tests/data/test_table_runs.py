"""A table of all kinds of columns in real runs: resumed to the bit, recorded, tested again; several labels a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import couloir
from couloir.cli.main import run
from couloir.inference.predictor import Predictor, evaluate
from couloir.record.columns import read_columns
from interruption import differences, state, stopped

CITIES = ["Rome", "Oslo", "Bonn"]
COMMON = ["trainer.max_epochs=2", "trainer=cpu", "logger=csv", "model.hidden=[8]", "data.batch_size=8"]


def mixed(path: Path, target: str, cell: Any) -> Path:
    """A table with an identifier, a number with gaps, a category, a boolean, a date, and a target."""
    rows = [
        f"{n + 1},{'' if n % 7 == 3 else n * n % 31},{CITIES[n % 3]},{'yes' if n % 5 < 2 else 'no'},"
        f"2024-{1 + n % 12:02}-{1 + n % 28:02},{cell(n)}"
        for n in range(60)
    ]
    path.write_text("\n".join([f"id,age,city,member,joined,{target}", *rows]))
    return path


def price(n: int) -> str:
    return f"{100 + 3 * (n * n % 31) + 50 * (n % 3 == 1) + n % 4 / 10}"


def test_a_run_on_all_kinds_of_columns_goes_on_to_the_bit_and_is_tested_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = mixed(tmp_path / "t.csv", "price", price)
    words = [
        "data=csv", f"data.path={table}", "data.target=price", "data.missing_indicator=true", "model.embedding=2",
        *COMMON,
    ]  # fmt: skip
    sentence = couloir.compose([*words, f"output_dir={tmp_path / 'whole'}"])
    whole = couloir.train(sentence)
    folder = stopped([*words, f"output_dir={tmp_path / 'parts'}"], "train", 8, monkeypatch)
    assert run(["resume", str(folder)]) == 0
    assert differences(state(whole.dir, "last"), state(folder, "last")) == []

    recorded = {row["column"]: (row["kind"], row["why"], row["missing"]) for row in read_columns(whole.dir)}
    assert recorded == {
        "id": ("identifier", "counts the rows from 1", "0"), "age": ("number", "numbers", "9"),
        "city": ("category", "3 different texts", "0"), "member": ("boolean", "the words no and yes", "0"),
        "joined": ("date", "dates, year-month-day", "0"), "price": ("target", "regression, fractions", "0"),
    }  # fmt: skip
    log = (whole.dir / "train.log").read_text()
    assert "left out: id (counts the rows from 1)" in log
    assert "t.csv: 60 rows; target price: regression (fractions)" in log

    again = evaluate([sentence.cfg], [whole.dir]).numbers
    assert again["mae"] == pytest.approx(whole.metrics["test/mae"])


def test_columns_of_zeros_and_ones_are_several_labels(tmp_path: Path) -> None:
    table = mixed(tmp_path / "t.csv", "a,b", lambda n: f"{n % 2},{'true' if n % 3 else 'false'}")
    words = ["data=csv", f"data.path={table}", "data.target=[a,b]", *COMMON, f"output_dir={tmp_path / 'out'}"]
    sentence = couloir.compose(words)
    assert (sentence.choices["task"], sentence.choices["loss"]) == ("multi_label", "bce_with_logits")
    result = couloir.train(sentence)
    predictor = Predictor(sentence.cfg, result.dir)
    assert predictor.data.classes == ["a", "b"]
    lines = predictor.data.splits["test"].source.lines[predictor.data.splits["test"].indices]
    batches = list(predictor.batches())
    truth = torch.cat([predictor.task.truth(batch) for batch in batches]).cpu().numpy()
    assert truth.tolist() == [[float((line - 2) % 2), float((line - 2) % 3 > 0)] for line in lines]
    answers = torch.cat([predictor.answer(batch) for batch in batches]).cpu().numpy()
    assert result.metrics["test/label_accuracy"] == pytest.approx(np.mean((answers > 0.5) == (truth > 0.5)))
