"""Runs on sequences of unequal lengths: stopped within an epoch and resumed to the bit, and two processes as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from couloir.cli.main import run
from interruption import assert_same, rows, stopped

WORDS = [
    "data=description_sentences", "model=gru", "model.width=8", "trainer.max_epochs=2", "trainer=cpu", "logger=csv",
    "trainer.accumulate_grad_batches=2",
]  # fmt: skip


def test_a_run_whose_batches_go_by_length_goes_on_within_an_epoch_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stopped([*WORDS, f"output_dir={tmp_path / 'cut'}"], "train", 3, monkeypatch)
    assert run(["resume", str(folder)]) == 0
    assert run(["train", *WORDS, f"output_dir={tmp_path / 'whole'}"]) == 0
    assert_same(folder, (tmp_path / "whole/latest").resolve())


@pytest.mark.slow
def test_two_processes_share_unequal_sequences_and_learn_what_one_learns(tmp_path: Path) -> None:
    several = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "data.batch_size=8"]
    assert run(["train", *WORDS, *several, f"output_dir={tmp_path / 'two'}"]) == 0
    assert run(["train", *WORDS, "data.batch_size=16", f"output_dir={tmp_path / 'one'}"]) == 0
    for ours, theirs in zip(*(rows((tmp_path / name / "latest").resolve()) for name in ("two", "one")), strict=True):
        for name in ("train/loss", "val/loss", "val/accuracy"):
            assert float(ours[name]) == pytest.approx(float(theirs[name]), rel=1e-4)
