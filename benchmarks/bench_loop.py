"""The loop: `train` with metrics, logs and checkpoints on, against the loop that one writes by hand.

    python benchmarks/bench_loop.py [--one-process] [mlp] [lenet5] [resnet18] [unet] [vae] [gan] [dcgan] [lstm] [gpt]

Both sides in turn, several rounds, each run a process of its own; steps per second are those of the median epoch
after the first, validation not counted. The plain loop has its data in memory, in float32; once as it is usually
written, and once with Couloir's execution settings (channels_last, the fused optimizer). MNIST, CIFAR-10 and
Shakespeare are taken from the folder that COULOIR_DATA names, random images of their size and a text that comes with
Python where it is not set. The first three networks take about eight minutes.

On a machine that does other work, two processes that run one after the other differ by a fifth for no reason of their
own. With `--one-process` one process runs an epoch of each side in turn (`loop_in_turn.py`), and a ratio is the median
over these rounds, by the clock and by the seconds that the process had a core. What is set for the whole process, such
as the number of threads, is then the same for all sides. It also tells what an epoch of `train` takes beside its steps.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import BIN, last_json, run, write_report
from plain_loop import BATCH

PROCESSES, ONE_PROCESS = "networks", "networks, in one process"
"""The two ways of measuring, in the report."""
TURNS = {"mlp": 13, "lenet5": 6, "resnet18": 4}
"""Epochs of each side where one process runs them in turn, the first not counted; of the others one more than a process
of its own has.
"""


def sentences() -> dict[str, tuple[list[str], int, int, int]]:
    """Network -> Couloir's sentence, the training samples that it has, epochs of a process, rounds."""
    real = "COULOIR_DATA" in os.environ
    grey = ["data=mnist"] if real else ["data=synthetic", "data.samples=76126", "data.channels=1", "data.image_size=28"]
    colour = ["data=cifar10"] if real else ["data=synthetic", "data.samples=1339", "data.image_size=32"]
    few = ["trainer.limit_val_batches=1", "trainer.limit_test_batches=1"]
    of_maps = ["data=digits_on_photographs", "data.samples=708", "model.depth=3", "model.width=16"]
    path = f"data.path={os.environ['COULOIR_DATA']}/text/tinyshakespeare.txt" if real else ""
    text = ["data=text_file", path] if real else ["data=python_reference"]
    text += ["data.length=64", "data.subset=3200", *few]
    chosen = {
        "mlp": (["model=mlp", "model.hidden=[64,128,64]", *grey], 55_000, 6, 3),
        "lenet5": (["model=lenet5", *grey], 55_000, 3, 3),
        "resnet18": (["model=resnet18", "model.stem=cifar", *colour, "data.subset=569", *few], 512, 3, 2),
        "unet": (["model=unet", *of_maps, *few], 512, 3, 3),
        "vae": (["task=vae", "model=vae", "model.hidden=[400]", *grey, *few], 55_000, 3, 3),
        "gan": (["task=gan", "model=gan_mlp", "model.hidden=[256,512,1024]", *grey, *few], 55_000, 3, 3),
        "dcgan": (["task=gan", "model=dcgan", "model.width=16", *grey, *few], 55_000, 3, 3),
        "lstm": (["model=lstm", "model.embedding=64", "model.width=256", "data.carry_state=true", *text], 3200, 3, 3),
        "gpt": (["model=gpt", *text], 3200, 3, 3),
    }
    return {
        name: ([*words, "optimizer.lr=0.001", f"data.batch_size={BATCH[name]}"], *rest)
        for name, (words, *rest) in chosen.items()
    }


def ours(sentence: list[str], epochs: int, batch: int) -> tuple[float, float]:
    """Steps per second and peak MiB of `train`."""
    with tempfile.TemporaryDirectory() as outputs:
        command = [str(BIN / "train"), *sentence, f"trainer.max_epochs={epochs}", f"output_dir={outputs}"]
        finished = run(command)
        result = json.loads((Path(outputs) / "latest" / "result.json").read_text())
    return result["train/samples_per_second"] / batch, finished.peak_mib


def plain(name: str, samples: int, epochs: int, *flags: str) -> tuple[float, float]:
    """Steps per second and peak MiB of the plain loop."""
    script = str(Path(__file__).with_name("plain_loop.py"))
    finished = run([sys.executable, script, name, "--samples", str(samples), "--epochs", str(epochs), *flags])
    return float(last_json(finished.output)["steps_per_second"]), finished.peak_mib


def _with_earlier(numbers: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The numbers of this call over those of earlier ones, where it measured only some of the networks, or one way."""
    file = Path(__file__).with_suffix(".json")
    earlier = json.loads(file.read_text()) if file.exists() else {}
    return {way: {**earlier.get(way, {}), **numbers.get(way, {})} for way in (PROCESSES, ONE_PROCESS)}


def in_turn(name: str) -> dict[str, Any]:
    """What one process measures that runs all sides in turn."""
    sentence, samples, epochs, _ = sentences()[name]
    script = str(Path(__file__).with_name("loop_in_turn.py"))
    rounds = str(TURNS.get(name, 1 + epochs))
    command = [sys.executable, script, name, "--samples", str(samples), "--epochs", rounds, "--", *sentence]
    seconds = last_json(run(command).output)
    beside = [statistics.median(column) for column in zip(*seconds.pop("beside the steps"), strict=True)]
    found: dict[str, Any] = {
        "steps_per_second": {},
        "steps_per_second_of_a_core": {},
        "seconds_beside_the_steps": beside,
    }
    for side, steps in seconds.items():
        clock, cores = zip(*steps, strict=True)
        found["steps_per_second"][side] = 1 / statistics.median(clock)
        found["steps_per_second_of_a_core"][side] = 1 / statistics.median(cores)
        spread = ", ".join(f"{1000 * each:.3g}" for each in cores)
        print(
            f"{name:9} {side:13} {found['steps_per_second'][side]:8.2f} steps/s  "
            f"{found['steps_per_second_of_a_core'][side]:8.2f} steps/s of a core  (ms of a core: {spread})"
        )
    for side in ("plain", "plain, tuned"):
        for place, unit in enumerate(("", ", of the cores")):
            pairs = zip(seconds[side], seconds["train"], strict=True)
            found[f"train / {side}{unit}"] = statistics.median(theirs[place] / own[place] for theirs, own in pairs)
    print(f"{name:9} beside the steps, seconds an epoch: {beside[0]:.3f}, of a core {beside[1]:.3f}")
    return found


def one_after_the_other(name: str) -> dict[str, Any]:
    """What each side measures in processes of its own, several rounds."""
    sentence, samples, epochs, rounds = sentences()[name]
    sides: dict[str, list[tuple[float, float]]] = {"train": [], "plain": [], "plain, tuned": []}
    for _ in range(rounds):
        sides["plain"].append(plain(name, samples, epochs))
        sides["train"].append(ours(sentence, epochs, BATCH[name]))
        sides["plain, tuned"].append(plain(name, samples, epochs, "--tuned"))
    speed = {side: statistics.median(rate for rate, _ in found) for side, found in sides.items()}
    peak = {side: statistics.median(mib for _, mib in found) for side, found in sides.items()}
    for side in sides:
        rates = ", ".join(f"{rate:.2f}" for rate, _ in sides[side])
        print(f"{name:9} {side:13} {speed[side]:8.2f} steps/s  peak {peak[side]:6.0f} MiB  ({rates})")
    return {
        "steps_per_second": speed,
        "peak_mib": peak,
        "train / plain": speed["train"] / speed["plain"],
        "train / plain, tuned": speed["train"] / speed["plain, tuned"],
        "memory": peak["train"] / peak["plain"],
    }


def main() -> None:
    """Measure each network on all sides, and print the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("networks", nargs="*", help=", ".join(sentences()))
    parser.add_argument("--one-process", action="store_true", help="an epoch of each side in turn, on a busy machine")
    options = parser.parse_args()
    if unknown := {*options.networks} - {*sentences()}:
        parser.error(f"no such network: {', '.join(unknown)}")
    numbers = {}
    for name in options.networks or sentences():
        found = in_turn(name) if options.one_process else one_after_the_other(name)
        numbers[name] = {"command": "train " + " ".join(sentences()[name][0]), **found}
    way = ONE_PROCESS if options.one_process else PROCESSES
    write_report(__file__, {"batch_size": BATCH, **_with_earlier({way: numbers})})
    for name, found in numbers.items():
        ratios = ", ".join(f"{key} {found[key]:.2f}" for key in found if key.startswith("train /") or key == "memory")
        print(f"ratio: {name}: {ratios}")


if __name__ == "__main__":
    main()
