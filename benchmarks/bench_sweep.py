"""Sweeps: what lies between the prompt and the first trial, what a trial costs, and what a second worker brings.

    python benchmarks/bench_sweep.py [planning] [overhead] [workers]

`planning`: a grid of 1,000 points, until its first trial is handed over and until its process trains, against Hydra's
own sweeper over the same tree with a job that does nothing. `overhead`: twenty trials of one epoch on the digits, each
a process of its own and all in one, against as many calls of `train`. `workers`: sixteen trials by one and by two.
The JSON beside this file holds the same numbers.
"""

from __future__ import annotations

import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from measure import BIN, run, write_report

ROUNDS = 3
TRIALS = 20
CALLS = 3
GRID = ["seed=range(100)", "optimizer.lr=0.1,0.03,0.01,0.003,0.001", "optimizer=sgd,adam"]
EPOCH = ["model=mlp", "data=digits", "trainer.max_epochs=1", "trainer.threads=1"]
LONGER = ["model=lenet5", "data=digits", "trainer.max_epochs=20", "trainer.threads=1"]
STOCKS = "Hydra's own sweeper"
STOCK = """
import os, sys, time
import hydra
from couloir.config import tree
from couloir.config.compose import prepare_hydra

prepare_hydra()

@hydra.main(version_base="1.3", config_path=str(tree.packaged_conf()), config_name="train")
def main(cfg):
    print("first", time.time(), flush=True)
    os._exit(0)

main()
"""


def until(command: list[str], directory: Path, there: Callable[[], bool]) -> float:
    """Seconds from the start of a command until something is there; the command is ended then."""
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as process:
        while not there() and process.poll() is None:
            time.sleep(0.02)
        seconds = time.perf_counter() - began
        process.send_signal(signal.SIGTERM)
        process.wait()
    if not there():
        raise RuntimeError(f"{' '.join(command)} came to its end without what was awaited")
    return seconds


def planned(sweeps: Path) -> bool:
    """Whether the first trial of a sweep has a setting."""
    return any('"setting"' in file.read_text() for file in sweeps.glob("*/study.journal"))


def at_work(sweeps: Path) -> bool:
    """Whether the process of the first trial has begun its run."""
    return any(sweeps.glob("*/0/status.json"))


def planning() -> dict[str, Any]:
    """From the prompt to the first trial of 1,000."""
    seconds: dict[str, list[float]] = {"handed over": [], "at work": [], STOCKS: []}
    for _ in range(ROUNDS):
        for label in ("handed over", "at work"):
            with tempfile.TemporaryDirectory() as name:
                there = partial(planned if label == "handed over" else at_work, Path(name) / "sweep")
                command = [str(BIN / "train"), "-m", *EPOCH, *GRID, f"output_dir={name}"]
                seconds[label].append(until(command, Path(name), there))
    with tempfile.TemporaryDirectory() as name:  # once: it takes minutes
        (Path(name) / "stock.py").write_text(STOCK)
        command = [sys.executable, "stock.py", "-m", "hydra/sweeper=basic", *EPOCH, *GRID]
        began = time.time()
        output = run([*command, f"hydra.sweep.dir={name}"], Path(name)).output
        first = next(line for line in output.splitlines() if line.startswith("first"))
        seconds[STOCKS].append(float(first.split()[1]) - began)
    medians = {label: statistics.median(values) for label, values in seconds.items()}
    for label, value in medians.items():
        print(f"{value:7.2f} s  first of 1,000 trials, {label}")
    print(f"ratio: planning / Hydra's own = {medians['handed over'] / medians[STOCKS]:.3f}")
    return medians


def sweep(words: list[str]) -> float:
    """Seconds of a sweep."""
    with tempfile.TemporaryDirectory() as outputs:
        began = time.perf_counter()
        run([str(BIN / "train"), "-m", *words, f"output_dir={outputs}"])
        return time.perf_counter() - began


def overhead() -> dict[str, Any]:
    """What one more trial adds to a sweep against a call of `train`, and all of a sweep against as many calls."""
    calls: list[float] = []
    first: dict[str, float] = {}
    sweeps: dict[str, float] = {}
    for isolation in ("process", "none"):
        for _ in range(CALLS):
            with tempfile.TemporaryDirectory() as outputs:
                began = time.perf_counter()
                run([str(BIN / "train"), *EPOCH, f"output_dir={outputs}"])
                calls.append(time.perf_counter() - began)
        first[isolation] = sweep([*EPOCH, "seed=0", f"sweep.isolation={isolation}"])
        sweeps[isolation] = sweep([*EPOCH, f"seed=range({TRIALS})", f"sweep.isolation={isolation}"])
    call = statistics.median(calls)
    more = {isolation: (sweeps[isolation] - first[isolation]) / (TRIALS - 1) for isolation in sweeps}
    print(f"{call:6.2f} s  a call of train, median of {len(calls)}")
    for isolation, trial in more.items():
        print(f"{trial:6.2f} s  one more trial, isolation={isolation}; {sweeps[isolation]:.1f} s for all {TRIALS}")
        print(f"difference: trial - call = {trial - call:+.2f} s")
        print(
            f"ratio: {TRIALS} trials, isolation={isolation} / {TRIALS} calls = {sweeps[isolation] / TRIALS / call:.2f}"
        )
    return {"call": call, "one more trial": more, "sweeps": sweeps}


def workers() -> dict[str, Any]:
    """Two workers against one."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(2):
        for count, found in seconds.items():
            found.append(sweep([*LONGER, "seed=range(16)", f"sweep.workers={count}"]))
    one, two = (min(found) for found in seconds.values())
    print(f"{one:6.1f} s  16 trials by one worker\n{two:6.1f} s  by two")
    print(f"ratio: two workers / one = {two / one:.2f}")
    return {"one": one, "two": two}


def main() -> None:
    """Measure the named parts, or all."""
    parts = {"planning": planning, "overhead": overhead, "workers": workers}
    write_report(__file__, {name: parts[name]() for name in sys.argv[1:] or parts})


if __name__ == "__main__":
    main()
