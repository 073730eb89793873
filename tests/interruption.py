"""Runs that are stopped at a chosen place, and what two runs differ in. Used by the tests of resuming."""

from __future__ import annotations

import csv
import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch import Tensor

from couloir.callbacks.stop_on_signal import StopOnSignal
from couloir.cli.main import run
from couloir.record.metrics import TIMES

HOOKS = {"train": "between_steps", "val": "on_validation_batch_end", "test": "on_test_batch_end"}


def stopped(words: list[str], where: str, number: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that a signal struck in its `number`-th batch of a split."""
    hook, seen = getattr(StopOnSignal, HOOKS[where]), [0]

    def struck(self: StopOnSignal, *arguments: Any, **keys: Any) -> None:
        seen[0] += 1
        if seen[0] == number:
            self.received = signal.SIGINT
        hook(self, *arguments, **keys)

    with monkeypatch.context() as patch:
        patch.setattr(StopOnSignal, HOOKS[where], struck)
        assert run(["train", *words]) == 130
    outputs = next((word.partition("=")[2] for word in words if word.startswith("output_dir=")), "outputs")
    return (Path(outputs) / "latest").resolve()


def rows(folder: Path) -> list[dict[str, str]]:
    """`metrics.csv` without what the clock says."""
    with (folder / "metrics.csv").open(newline="") as stream:
        return [{name: cell for name, cell in row.items() if name not in TIMES} for row in csv.DictReader(stream)]


def result(run: Path) -> dict[str, float]:
    """`result.json` without what the clock says."""
    numbers = json.loads((run / "result.json").read_text())
    return {name: value for name, value in numbers.items() if name not in TIMES}


def events(run: Path) -> Counter[tuple[str, int, bytes]]:
    """Everything that TensorBoard's files hold, however often: tag, step, value."""
    return Counter(
        (value.tag, event.step, value.SerializeToString())
        for file in (run / "tensorboard").rglob("events.*")
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
        if "session" not in value.tag and "experiment" not in value.tag  # times, and the folder's name
    )


def state(run: Path, name: str) -> dict[str, Any]:
    """A checkpoint without what the clock says, and without the sizes of files that hold such times."""
    content: dict[str, Any] = torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)
    record = content["record"]
    content["record"] = [{key: value for key, value in row.items() if key not in TIMES} for row in record["rows"]]
    del content["hyper_parameters"]["output_dir"]
    return content


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """The places where two states differ by a bit or more."""
    if isinstance(one, Tensor):
        same = isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
        return [] if same else [path]
    if isinstance(one, dict):
        if not isinstance(other, dict) or set(one) != set(other):
            return [f"{path} has other keys"]
        return [place for key in one for place in differences(one[key], other[key], f"{path}/{key}")]
    if isinstance(one, list | tuple):
        if len(one) != len(other):
            return [f"{path} has another length"]
        pairs = enumerate(zip(one, other, strict=True))
        return [place for index, (a, b) in pairs for place in differences(a, b, f"{path}/{index}")]
    return [] if one == other or one != one else [f"{path}: {one} {other}"]


def assert_same(run: Path, other: Path) -> None:
    """Two runs left the same numbers, the same weights and the same state, to the bit."""
    assert rows(run) == rows(other)
    assert result(run) == result(other)
    assert events(run) == events(other)
    kept = sorted(file.stem for file in (other / "checkpoints").glob("epoch_*.ckpt"))
    assert sorted(file.stem for file in (run / "checkpoints").glob("epoch_*.ckpt")) == kept
    for name in ("last", "best", *kept):
        assert differences(state(run, name), state(other, name)) == []
