"""What a search is worth: TPE against chance with twice as many trials, and successive halving against none.

    python benchmarks/bench_search.py [search] [pruning]

A multi-layer perceptron on half of the digits, the other half validates, so that a validation accuracy is one of 750
and not one of 230. `search`: the best validation loss within five epochs, over rate, optimizer and width, for five
seeds. `pruning`: the same settings with and without `pruner=asha`, the epochs that were trained and the best accuracy.
The JSON beside this file holds the same numbers.
"""

from __future__ import annotations

import csv
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import BIN, run, write_report

SEEDS = range(5)
TASK = [
    "model=mlp", "data=digits", "data.val_fraction=0.5", "data.subset=1500", "logger=csv", "trainer.threads=1",
    "sweep.isolation=none",
]  # fmt: skip
SPACE = [
    "optimizer=sgd,momentum,adam,rmsprop",
    "optimizer.lr=tag(log,interval(1e-5,1))",
    "model.hidden=[8],[16],[32],[64],[128]",
]
SEARCHES = {
    "tpe, 30 trials": ["sweep=tpe", "sweep.n_trials=30"],
    "random, 60 trials": ["sweep=random", "sweep.n_trials=60"],
}
ACCURACY = ["callbacks.checkpoint.monitor=val/accuracy", "callbacks.checkpoint.mode=max"]
PRUNERS = {"asha": ["pruner=asha"], "none": ["pruner=none"]}


def sweep(words: list[str]) -> dict[str, float]:
    """The best value of a sweep, the epochs that it trained, and its seconds."""
    with tempfile.TemporaryDirectory() as outputs:
        began = time.perf_counter()
        run([str(BIN / "train"), "-m", *TASK, *SPACE, *words, f"output_dir={outputs}"])
        seconds = time.perf_counter() - began
        folder = (Path(outputs) / "latest").resolve()
        with (folder / "sweep.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        goal = "best/accuracy" if "best/accuracy" in rows[0] else "best/loss"
        found = [float(row[goal]) for row in rows if row["state"] == "completed"]
        best = max(found) if goal == "best/accuracy" else min(found)
        epochs = sum(len(file.read_text().splitlines()) - 1 for file in folder.glob("*/metrics.csv"))
        return {"best": best, "epochs": epochs, "seconds": seconds, "trials": len(rows)}


def compare(forms: dict[str, list[str]], shared: list[str], seeds: range) -> dict[str, list[dict[str, float]]]:
    """All forms in turn, seed after seed."""
    found: dict[str, list[dict[str, float]]] = {label: [] for label in forms}
    for seed in seeds:
        for label, words in forms.items():
            found[label].append(sweep([*shared, *words, f"seed={seed}"]))
            last = found[label][-1]
            print(f"  seed {seed}: {label}: {last['best']:.4f}, {last['epochs']} epochs, {last['seconds']:.0f} s")
    return found


def search() -> dict[str, Any]:
    """TPE against chance."""
    found = compare(SEARCHES, ["trainer.max_epochs=5", "sweep.workers=2"], SEEDS)
    means = {label: statistics.mean(entry["best"] for entry in entries) for label, entries in found.items()}
    for label, mean in means.items():
        print(f"{mean:.4f} best validation loss, mean of {len(SEEDS)} seeds: {label}")
    tpe, random = means.values()
    print(f"ratio: tpe / random = {tpe / random:.3f}")
    return {"runs": found, "means": means}


def pruning() -> dict[str, Any]:
    """Successive halving against none."""
    found = compare(PRUNERS, [*ACCURACY, "sweep=random", "sweep.n_trials=27", "trainer.max_epochs=27"], SEEDS[:3])
    epochs = {label: sum(entry["epochs"] for entry in entries) for label, entries in found.items()}
    means = {label: statistics.mean(entry["best"] for entry in entries) for label, entries in found.items()}
    seconds = {label: sum(entry["seconds"] for entry in entries) for label, entries in found.items()}
    print(f"best accuracy: asha {means['asha']:.4f}, none {means['none']:.4f}")
    print(f"ratio: epochs: asha / none = {epochs['asha'] / epochs['none']:.2f}")
    print(f"ratio: seconds: asha / none = {seconds['asha'] / seconds['none']:.2f}")
    return {"runs": found, "means": means, "epochs": epochs, "seconds": seconds}


def main() -> None:
    """Measure the named parts, or both."""
    parts = {"search": search, "pruning": pruning}
    write_report(__file__, {name: parts[name]() for name in sys.argv[1:] or parts})


if __name__ == "__main__":
    main()
