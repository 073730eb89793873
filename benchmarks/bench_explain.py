"""Whether the maps of `couloir explain` mean anything on real photographs, and how easily the network is fooled.

    COULOIR_DATA=../shared/data python benchmarks/bench_explain.py [--images 60] [--threads 2]

Takes SqueezeNet 1.0 with the weights of ImageNet and the first ants and bees of the validation photographs, half of
each, and prints: in what share of the photographs the deletion curve of Grad-CAM and of integrated gradients (14 x 14
patches, blurred) has a smaller area than the mean of three random orders; how well the sum of integrated gradients is
met; the rank correlation of four maps with those of networks whose weights are all drawn anew; how many photographs
FGSM with 2/255 and one universal change with 10/255 fool, the change being found on as many training photographs; and
the seconds of each. Explained is always the class that the network names.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from couloir.config.check import checked
from couloir.inference.begun import Begun
from couloir.inference.explain.fooling.perturbation import added, fgsm, likeliest, universal
from couloir.inference.explain.sanity.deletion import deletion
from couloir.inference.explain.sanity.randomisation import USUAL, randomisation
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.where.attribution import MISSED, NODES, attributed, baseline_of
from couloir.inference.explain.words import Wanted
from couloir.inference.given import given
from couloir.inference.inputs import Inputs
from measure import write_report

WORDS = ("data=imagenet", "data.image_size=227", "data.resize=256", "model=squeezenet", "trainer=cpu")
TOGETHER = 4
"""Photographs that are checked at a time."""


def photographs(subject: Subject, files: list[Path]) -> Shown:
    """The photographs as `couloir explain` sees them, and the class that the network names."""
    unusable: list[tuple[str, str]] = []
    parts = list(given(subject.trained, Inputs("photographs", files), unusable))
    assert not unusable, unusable
    x = torch.cat([part.batch[subject.task.input] for part in parts]).float()
    return Shown(subject.pixels(x), x, subject.answers(x).argmax(dim=1), [file.name for file in files])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    data = Path(os.environ["COULOIR_DATA"])
    weights = data / "weights" / "squeezenet1_0-imagenet.pth"
    subject = Subject(Begun(checked([*WORDS, f"model.weights={weights}"], reads_data=False).cfg))
    with tempfile.TemporaryDirectory() as place:
        with zipfile.ZipFile(data / "hymenoptera" / "hymenoptera.zip") as file:
            file.extractall(place)
        splits = {split: _files(Path(place), split, asked.images // 2) for split in ("train", "val")}
        shown = photographs(subject, splits["val"])
        training = photographs(subject, splits["train"])
    wanted = Wanted(("grad_cam", "integrated_gradients"), Path())
    facts: dict[str, Any] = {"images": len(shown), "threads": asked.threads}

    facts["deletion"] = _timed("deletion", lambda: _deletion(subject, shown, wanted))
    facts["sum"] = _timed("sum of integrated gradients", lambda: _sums(subject, shown))
    usual = replace(wanted, methods=USUAL)
    facts["randomisation"] = _timed("weights drawn anew", lambda: _randomisation(subject, shown, usual))
    facts["fooled"] = _timed("fooled", lambda: _fooled(subject, shown, training))
    write_report(__file__, facts)


def _files(root: Path, split: str, count: int) -> list[Path]:
    found = []
    for name in ("ants", "bees"):
        (folder,) = root.rglob(f"{split}/{name}")
        found += sorted(file for file in folder.iterdir() if file.suffix == ".jpg")[:count]
    return found


def _timed(name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    began, worked = time.perf_counter(), time.process_time()
    found = work()
    found["seconds"], found["processor"] = time.perf_counter() - began, time.process_time() - worked
    print(f"{name}: {found['seconds']:.0f} s, of the processor {found['processor']:.0f} s", flush=True)
    for key, value in found.items():
        if key not in ("seconds", "processor"):
            print(f"  {key}: {value:.3f}" if isinstance(value, float) else f"  {key}: {value}", flush=True)
    return found


def _parts(shown: Shown) -> list[Shown]:
    return [shown.part(range(start, min(start + TOGETHER, len(shown)))) for start in range(0, len(shown), TOGETHER)]


def _deletion(subject: Subject, shown: Shown, wanted: Wanted) -> dict[str, Any]:
    """Shares of photographs whose area is below that of random order (deletion), or above (insertion)."""
    areas: dict[tuple[str, str], list[float]] = {}
    for part in _parts(shown):
        (exhibit,) = deletion(subject, part, wanted)
        for kind in ("deletion", "insertion"):
            for name, numbers in exhibit.numbers[kind].items():
                areas.setdefault((kind, name), []).extend(numbers["areas"])
    found: dict[str, Any] = {}
    for (kind, name), values in areas.items():
        found[f"{kind} {name}, mean area"] = float(np.mean(values))
        if name != "random":
            apart = np.array(areas[kind, "random"]) - np.array(values)
            found[f"{kind} {name}, better than random"] = float(((apart > 0) == (kind == "deletion")).mean())
    return found


def _sums(subject: Subject, shown: Shown) -> dict[str, Any]:
    """How well the sum of integrated gradients is met, and with how many steps."""
    missed: list[float] = []
    nodes: list[int] = []
    for part in _parts(shown):
        found = attributed(subject, part.x, part.target, baseline_of(part.x))
        missed += found.missed.tolist()
        nodes += found.nodes
    return {
        "median missed, percent": float(np.median(missed)), "worst missed, percent": max(missed),
        f"photographs within {MISSED:g}%": float(np.mean(np.array(missed) <= MISSED)),
        f"photographs with more than {NODES} steps": float(np.mean(np.array(nodes) > NODES)),
    }  # fmt: skip


def _randomisation(subject: Subject, shown: Shown, wanted: Wanted) -> dict[str, Any]:
    """Rank correlations with all weights drawn anew: means over the photographs."""
    values: dict[str, list[float]] = {}
    constant: dict[str, int] = {}
    drawn = 0
    for number, part in enumerate(_parts(shown)):
        (exhibit,) = randomisation(subject, part, replace(wanted, seed=number))
        drawn += exhibit.numbers["drawn"] * len(part)
        for name, each in exhibit.numbers["each"].items():
            for kind, numbers in each.items():
                values.setdefault(f"{name}, {kind}", []).extend(numbers)
            constant[name] = constant.get(name, 0) + exhibit.numbers["constant"][name]
    found: dict[str, Any] = {name: float(np.nanmean(each)) for name, each in values.items()}
    return {**found, "maps with all weights drawn": drawn, "of these constant": constant}


def _fooled(subject: Subject, shown: Shown, training: Shown) -> dict[str, Any]:
    """Shares of photographs whose answer changes."""

    def scores(pixels: torch.Tensor) -> torch.Tensor:
        return subject.scores(subject.standardised(pixels))

    def fooled(changed: torch.Tensor) -> float:
        return float((likeliest(scores, changed) != shown.target).float().mean())

    changed = [fgsm(scores, part.pixels, part.target, 2 / 255) for part in _parts(shown)]
    change = universal(scores, training.pixels, 10 / 255, seed=0)
    return {
        "FGSM, 2/255": fooled(torch.cat(changed)),
        f"universal, 10/255, from {len(training)} training photographs": fooled(added(shown.pixels, change, 10 / 255)),
    }


if __name__ == "__main__":
    main()
