"""A sweep that is struck: SIGKILL for the process that sweeps or for a trial's, Ctrl-C, and what comes of it."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from victims import Running, Victims
from waiting import wait_until

ALL = os.environ.get("COULOIR_ALL_FAULTS") == "1"
ROUNDS = 25 if ALL else 1
"""Sweeps that are struck, each until it is through."""
WORDS = [
    "model=mlp", "data=digits", "data.subset=128", "trainer.max_epochs=6", "logger=csv", "sweep.n_trials=4",
    "optimizer.lr=tag(log,interval(1e-3,1e-1))", "optimizer=sgd,adam", "model.dropout=0.1",
]  # fmt: skip
SAMPLERS = {
    "tpe": (["sweep=tpe", "sweep.sampler.n_startup_trials=2"], ("the sweep", "the sweep and its trials")),
    "random": (["sweep=random"], ("the sweep", "a trial", "the sweep and its trials")),
}
"""What proposes, and what is struck: with a trial missing for a while, tpe learns from the others alone."""


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory, victims: Victims) -> Callable[[str], Path]:
    """Gives the folder of the same sweep, which nothing happened to."""
    made: dict[str, Path] = {}

    def folder(sampler: str) -> Path:
        if sampler not in made:
            directory = tmp_path_factory.mktemp(sampler)
            ended = victims.run(["train", "-m", *WORDS, *SAMPLERS[sampler][0]], directory)
            assert ended.code == 0, ended.output
            made[sampler] = (directory / "outputs" / "latest").resolve()
        return made[sampler]

    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def numbers(folder: Path, trial: str) -> list[str]:
    """`metrics.csv` of a trial without its clock."""
    return [line.rsplit(",", 2)[0] for line in (folder / trial / "metrics.csv").read_text().splitlines()]


def processes_of(folder: Path) -> list[int]:
    """The process of each trial that is under way."""
    found = []
    for status in folder.glob("[0-9]*/status.json"):
        with suppress(ValueError, OSError):
            content = json.loads(status.read_text())
            if content.get("status") == "running" and Path(f"/proc/{content['pid']}").exists():
                found.append(int(content["pid"]))
    return found


def strike(what: str, sweeper: Running, folder: Path) -> None:
    trials = processes_of(folder) if what != "the sweep" else []
    if what != "a trial":
        sweeper.kill()
        sweeper.wait()
    for pid in trials:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if what == "a trial":
        sweeper.wait()


def epochs(cwd: Path) -> int:
    """Epochs that all trials together have written down."""
    files = cwd.glob("outputs/sweep/*/[0-9]*/metrics.csv")
    return sum(max(0, len(file.read_text().splitlines()) - 1) for file in files)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_killed_sweep_is_finished_with_no_trial_lost_run_twice_or_different(
    seed: int, untouched: Callable[[str], Path], tmp_path: Path, victims: Victims
) -> None:
    draw = random.Random(seed)
    sampler = ("tpe", "random")[seed % 2]
    words, strikes = SAMPLERS[sampler]
    arguments = ["train", "-m", *WORDS, *words]
    struck = 0
    for _ in range(3 if ALL else 1):
        before, more = epochs(tmp_path), draw.randint(1, 10)
        sweeper = victims.begin(arguments, tmp_path, tmp_path / "console.txt")
        # ruff's B023 does not hold: each is waited for before the next begins
        wait_until(
            lambda: epochs(tmp_path) >= before + more,  # noqa: B023
            lambda: sweeper.poll() is None,  # noqa: B023
        ) if before + more < 24 else sweeper.wait()
        (folder,) = (found.resolve() for found in (tmp_path / "outputs/sweep").iterdir())
        if sweeper.poll() is None:
            strike(draw.choice(strikes), sweeper, folder)
            struck += 1
        arguments = ["resume", str(folder)]
    assert struck
    ended = victims.run(
        ["resume", str(folder)], tmp_path
    )  # while trials of the dead sweep may still be ending their step
    assert ended.code == 0, ended.output
    assert [row["number"] for row in rows(folder)] == [str(number) for number in range(4)]
    assert {row["state"] for row in rows(folder)} == {"completed"}
    assert sorted(path.name for path in folder.glob("[0-9]*")) == [str(number) for number in range(4)]
    for row, expected in zip(rows(folder), rows(untouched(sampler)), strict=True):
        assert {**row, "seconds": ""} == {**expected, "seconds": ""}
        assert numbers(folder, row["number"]) == numbers(untouched(sampler), row["number"])


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), *([(signal.SIGTERM, 143)] if ALL else [])])
def test_a_stopped_sweep_saves_its_trials_and_says_how_it_goes_on(
    number: int, code: int, tmp_path: Path, victims: Victims
) -> None:
    words = ["train", "-m", *WORDS, "sweep=random", "sweep.workers=2"]
    sweeper = victims.begin(words, tmp_path, tmp_path / "console.txt")
    wait_until(lambda: epochs(tmp_path) >= 5, lambda: sweeper.poll() is None)
    os.killpg(sweeper.pid, number)  # as a terminal does
    assert sweeper.wait() == code
    folder = (tmp_path / "outputs" / "latest").resolve()
    assert "couloir resume outputs/sweep/" in (tmp_path / "console.txt").read_text()
    assert not processes_of(folder)
    states = {row["state"] for row in rows(folder)}
    assert "interrupted" in states
    assert states <= {"interrupted", "completed"}
    ended = victims.run(["resume", "latest"], tmp_path)
    assert ended.code == 0, ended.output
    assert [row["state"] for row in rows(folder)] == ["completed"] * 4
