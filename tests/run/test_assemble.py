"""What cannot be trained, validated or tested is found before training: one message, exit 2."""

from __future__ import annotations

import pytest

from couloir.cli.main import run


@pytest.mark.parametrize(
    ("words", "fact", "next_step"),
    [
        ("trainer.limit_val_batches=0.2", "0.2 is less than one batch: there are 2 validation", "limit_val_batches=1"),
        ("trainer.limit_train_batches=0.1", "0.1 is less than one batch: there are 8 training batches", "batches=1.0"),
        ("trainer.limit_test_batches=0.001", "is less than one batch: there are 10 test", "limit_test_batches=1"),
        ("trainer.val_check_interval=9", "9 is more than the 8 training batches", "val_check_interval=0.5"),
        ("trainer.val_check_interval=0.1", "0.1 is less than one of the 8 training batches", "val_check_interval=0.5"),
        ("trainer.val_check_interval=6 trainer.limit_train_batches=5", "more than the 5 training", "interval=0.5"),
        ("trainer.max_time=1:30", "neither a number of minutes nor days:hours:minutes:seconds", "max_time=30"),
        ("trainer.max_steps=0", "max_steps takes an integer >= 1 or null", "null"),
        ("data.batch_size=1 model=mlp model.batch_norm=true", "A training batch has one sample", "data.batch_size=2"),
        ("overfit=1 model=mlp model.batch_norm=true", "A training batch has one sample", "overfit=2 or more"),
    ],
)  # fmt: skip
def test_it_is_refused(
    words: str, fact: str, next_step: str, tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["data=digits", "data.subset=150", "data.batch_size=16", "trainer.max_epochs=1", "logger=csv"]
    assert run(["train", *few, *words.split(), f"output_dir={tmp_path}"]) == 2
    told = capsys.readouterr()
    assert fact in told.err
    assert next_step in told.err
    assert "epoch 1" not in told.out


@pytest.mark.parametrize(
    "words",
    [
        "overfit=1",
        "overfit=1 model=convnet model.N=1 model.M=1 model.batch_norm=true",  # a sample has many values a channel
        "overfit=1 data=line",
        "data.batch_size=1 data.subset=20 trainer.limit_val_batches=1",
        "trainer.val_check_interval=1.0 trainer.limit_val_batches=0.5 data.batch_size=8",
    ],
)
def test_one_sample_is_enough_where_nothing_is_normalised_by_others(words: str, tmp_path: object) -> None:
    few = ["data=digits", "data.subset=150", "model=mlp", "trainer.max_epochs=1", "logger=csv"]
    assert run(["train", *few, *words.split(), f"output_dir={tmp_path}"]) == 0
