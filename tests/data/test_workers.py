"""Worker processes: what they bring, what they say, and what is left when an epoch is broken off."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import pytest
import torch

import couloir
from couloir.data.workers import Cutting
from couloir.errors import CouloirError
from pairs import pair
from photographs import make_photographs, photograph_samples


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_photograph_is_named_and_nothing_else_is_said(workers: int, tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos")
    file = root / "train/a/004.jpg"
    file.write_bytes(file.read_bytes()[:200])
    loader = photograph_samples(root, workers=workers).train_dataloader()
    with pytest.raises(CouloirError) as caught:
        list(loader)
    assert str(caught.value).startswith("004.jpg cannot be decoded")
    assert caught.value.place == str(file)
    assert "Traceback" not in str(caught.value)
    assert loader.read.processes == [], "whoever catches the error does not wait for the workers later"


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_broken_off_leaves_nothing_behind_for_the_next(workers: int, tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos", train=22)
    keys = {"batch_size": 2, "workers": workers}
    first, loader, resumed = (photograph_samples(root, **keys).train_dataloader() for _ in range(3))
    whole = [x.clone() for x, _ in map(pair, first)]
    for taken in (1, 3, 4):
        loader.load_state_dict({"epoch": 0, "position": 0})
        got = [x for x, _ in map(pair, itertools.islice(loader, taken))]
        assert all(torch.equal(a, b) for a, b in zip(got, whole, strict=False))
    assert loader.state_dict() == {"epoch": 0, "position": 4}
    resumed.load_state_dict(loader.state_dict())
    rest = list(resumed)
    assert len(rest) == len(whole) - 4
    assert all(torch.equal(x, expected) for (x, _), expected in zip(map(pair, rest), whole[4:], strict=True))
    assert len(list(loader)) == len(whole), "whoever does not ask for the rest gets the next epoch"
    for batches in (first, loader, resumed):
        batches.close()  # the garbage collector would wait for their workers in a later test


def test_a_slot_is_not_written_while_its_batch_is_in_use(tmp_path: Path) -> None:
    samples = photograph_samples(make_photographs(tmp_path / "photos", train=60), workers=2)
    split = samples.splits["train"]
    cutting = Cutting(split.source, split.indices, torch.from_numpy(split.targets), 2, None, 2)  # type: ignore[arg-type]
    batches = torch.arange(60).split(2)
    for chosen, (x, y) in zip(batches, cutting(batches, [0] * len(batches)), strict=True):
        torch.rand(1000).sort()  # the workers run as far ahead as they may
        assert torch.equal(x, split.source.fetch(torch.from_numpy(split.indices)[chosen]))
        assert torch.equal(y, torch.from_numpy(split.targets)[chosen])


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_workers_go_on_for_a_while_when_a_scheduler_signals_every_process(tmp_path: Path) -> None:
    samples = photograph_samples(make_photographs(tmp_path / "photos", train=40), workers=2, batch_size=2)
    before = {worker.pid for worker in multiprocessing.active_children()}
    batches = iter(samples.train_dataloader())
    seen = [next(batches), next(batches)]  # one of each worker: both are up
    own = [worker.pid for worker in multiprocessing.active_children() if worker.pid not in before]
    assert len(own) == 2
    for pid in own:
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
    seen += list(batches)
    assert len(seen) == 20
    samples.teardown("fit")
    assert not {worker.pid for worker in multiprocessing.active_children()} & set(own)


def test_no_process_is_left_after_a_training(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos")
    before = {worker.pid for worker in multiprocessing.active_children()}
    words = [
        "data=image_folder",
        f"data.root={root}",
        "data.image_size=32",
        "data.batch_size=4",
        "data.memory_budget=0",
    ]
    words += ["model=convnet", "data.workers=1", "trainer.max_epochs=1", f"output_dir={tmp_path}", "logger=csv"]
    assert "tta/loss" in couloir.train(couloir.compose([*words, "tta=mirror"])).metrics, "it has been tested twice"
    assert {worker.pid for worker in multiprocessing.active_children()} <= before


def test_an_iteration_that_another_one_has_overtaken_says_so(tmp_path: Path) -> None:
    loader = photograph_samples(make_photographs(tmp_path / "photos"), workers=1).train_dataloader()
    first = iter(loader)
    next(first)
    next(iter(loader))
    with pytest.raises(RuntimeError, match="earlier one cannot continue"):
        next(first)
    loader.close()


def test_left_open_the_workers_are_as_many_as_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("couloir.data.samples.cores", lambda: 3)
    samples = photograph_samples(make_photographs(tmp_path / "photos"), workers=None)
    assert samples.train_dataloader().read.workers == 3
    squares = photograph_samples(make_photographs(tmp_path / "photos"), workers=None, memory_budget=1.0)
    assert squares.val_dataloader().read.workers == 0, "squares in memory are indexed, not cut"
