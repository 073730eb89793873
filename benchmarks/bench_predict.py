"""Predicting against evaluating: images a second of the same photographs and network, and memory that does not grow.

    python benchmarks/bench_predict.py [--images 1000] [--rounds 3] [--small 1000 20000]

Trains a SqueezeNet for a moment on a few photographs (of COULOIR_DATA where it is set, smooth noise otherwise) and
measures, in turn, `couloir evaluate` and `couloir predict` about the same JPEGs of 500 x 375 pixels at 224 x 224, both
decoding in worker processes, each whole call in this process (so that no start is in it), medians over rounds; by the
clock and, for a machine that is shared, by the seconds that the cores have worked. Then the peak memory of
`couloir predict` about 1,000 and about 20,000 small files, each in a process of its own. The JSON beside this file
holds the same numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

import couloir
from bench_folder import make_folder
from couloir.cli.main import run as command
from measure import last_json, run, write_report

TOLD = ["trainer=cpu", "logger=none", "trainer.max_epochs=1", "data=image_folder", "test=false"]

PEAK = """
import json, re, sys
from pathlib import Path
from couloir.cli.main import run
assert run(sys.argv[1:]) == 0
print(json.dumps({"kib": int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])}))
"""
"""Linux's own count: what a parent has used is counted as its child's elsewhere."""


def main() -> None:
    """Measure both, and write the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", type=int, nargs=2, default=[1000, 20_000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        numbers = {**speed(Path(place), options.images, options.rounds), **memory(Path(place), *options.small)}
    print(json.dumps(numbers, indent=2))
    write_report(__file__, numbers)


def repeated(source: Path, folder: Path, count: int) -> None:
    """So many photographs in two class folders: links to those of a folder, over and over."""
    files = sorted(source.rglob("*.jpg"))
    for number in range(count):
        place = folder / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        os.link(files[number % len(files)], place / f"{number:06}.jpg")


def trained(root: Path, *words: str) -> Path:
    """A run on a folder, whose weights do not matter."""
    return couloir.train(couloir.compose([*TOLD, f"data.root={root}", *words])).dir


def timed(words: list[str]) -> tuple[float, float]:
    """Seconds of one call, whose output goes nowhere: by the clock, and of all cores together, workers included."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        start, used = time.perf_counter(), sum(os.times()[:4])
        assert command(words) == 0
        return time.perf_counter() - start, sum(os.times()[:4]) - used


def speed(place: Path, count: int, rounds: int) -> dict[str, object]:
    """Images a second of both, in turn."""
    root = place / "photos"
    make_folder(root, 100)
    for file in (root / "test").rglob("*.jpg"):
        file.unlink()
    repeated(root / "train", root / "test", count)
    words = ["data.image_size=224", "data.memory_budget=0", "data.subset=16", "data.batch_size=32"]
    run_dir = trained(root, "model=squeezenet", *words)
    sides = {
        "evaluate": ["evaluate", str(run_dir), f"data.subset={count}"],
        "predict": ["predict", str(run_dir), str(root / "test"), "--output", "answers.csv"],
    }
    clock: dict[str, list[float]] = {name: [] for name in sides}
    cores: dict[str, list[float]] = {name: [] for name in sides}
    timed(["predict", str(run_dir), str(root / "val")])
    for _ in range(rounds):
        for name, side in sides.items():
            seconds, used = timed(side)
            clock[name].append(seconds)
            cores[name].append(used)
    return {
        "images": count,
        "images_per_second": {name: round(count / statistics.median(values), 1) for name, values in clock.items()},
        "predict_over_evaluate": _ratio(clock),
        "images_per_core_second": {name: round(count / statistics.median(values), 1) for name, values in cores.items()},
        "predict_over_evaluate_by_core_seconds": _ratio(cores),
        "seconds": clock,
        "core_seconds": cores,
    }


def _ratio(seconds: dict[str, list[float]]) -> float:
    """How many times as many images a second predicting does, the median over rounds."""
    pairs = zip(seconds["evaluate"], seconds["predict"], strict=True)
    return round(statistics.median(one / other for one, other in pairs), 3)


def memory(place: Path, few: int, many: int) -> dict[str, object]:
    """Peak memory of the process that predicts, MiB, about few and about many small files."""
    from PIL import Image

    root = place / "small"
    for split, number in (("train", 8), ("val", 4), ("test", 4)):
        for each in range(number):
            folder = root / split / "ab"[each % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 36), (each * 9, 3, 5 * each)).save(folder / f"{each}.jpg")
    run_dir = trained(root, "model=lenet5", "data.image_size=32")
    peaks = {}
    for count in (few, many):
        repeated(root / "train", place / f"small{count}", count)
        words = ["predict", str(run_dir), str(place / f"small{count}"), "--output", "a.csv"]
        peaks[f"{count:,}"] = round(last_json(run([sys.executable, "-c", PEAK, *words]).output)["kib"] / 1024, 1)
    return {"peak_mib_of_small_files": peaks}


if __name__ == "__main__":
    main()
