"""Start-up: what the prompt waits for, against the parts that everybody pays for.

    python benchmarks/bench_startup.py [--against BIN]

Prints the CPU seconds (user and system, median of several alternating runs) of each command, beside those of a bare
Hydra application and of importing torch and Lightning. Then the seconds from the prompt to the end of the first
training step of `train` on the digits, beside those with plain imports (`COULOIR_EAGER_IMPORTS=1`), those of another
installation (`--against`: the folder of its `train`), and those of a process that only imports the same modules: what
lies between is Couloir's own. The JSON beside this file holds the same numbers.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from measure import BIN, run, write_report

RUNS = 7

BARE_HYDRA = """
import hydra, sys
sys.argv = ["bare", "--cfg", "job"]
@hydra.main(version_base="1.3", config_path=sys.path[0] or ".", config_name="bare")
def main(cfg): pass
main()
"""
CLOCK = """
import sys, time
from pathlib import Path
from pytorch_lightning import Callback

class Clock(Callback):
    def on_train_batch_end(self, trainer, *arguments):
        if trainer.global_step == 1:
            Path("first_step").write_text(str(time.time()))
            names = [name for name in sys.modules if not name.startswith(("couloir", "clock", "__"))]
            Path("modules").write_text("\\n".join(names))
"""
IMPORTS = """
import importlib, pathlib, time
from couloir.lazy_imports import defer
defer()
for name in pathlib.Path("modules").read_text().split():
    try:
        importlib.import_module(name)
    except Exception:
        pass  # a module that only its parent can import
pathlib.Path("imported").write_text(str(time.time()))
"""


def commands(directory: Path) -> dict[str, list[str]]:
    """What is measured in CPU seconds, by its label."""
    (directory / "bare.yaml").write_text("a: 1\nb: {c: 2}\n")
    (directory / "bare.py").write_text(BARE_HYDRA)
    return {
        "train --help": [str(BIN / "train"), "--help"],
        "train --cfg job": [str(BIN / "train"), "--cfg", "job"],
        "couloir list": [str(BIN / "couloir"), "list"],
        "a bare Hydra application, --cfg job": [sys.executable, "bare.py"],
        "import torch": [sys.executable, "-c", "import torch"],
        "import pytorch_lightning": [sys.executable, "-c", "import pytorch_lightning"],
    }


def until(file: str, command: list[str], directory: Path, **variables: str) -> float:
    """Seconds from the start of a command to the time that it writes into a file."""
    began = time.time()
    run(command, directory, **variables)
    return float((directory / file).read_text()) - began


def main() -> None:
    """Measure all commands in turn, several times over, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="the folder of another installation's `train`")
    parser.add_argument("--rounds", type=int, default=RUNS)
    asked = parser.parse_args()
    sentence = ["+callbacks.clock._target_=clock.Clock", "trainer=debug"]
    plain, other = "with COULOIR_EAGER_IMPORTS=1", "in the other installation"
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "clock.py").write_text(CLOCK)
        (directory / "imports.py").write_text(IMPORTS)
        measured = commands(directory)
        if asked.against:
            measured[f"train --cfg job, {other}"] = [str(asked.against / "train"), "--cfg", "job"]
        cpu: dict[str, list[float]] = {label: [] for label in measured}
        first: dict[str, list[float]] = {}
        for _ in range(asked.rounds + 1):
            for label, command in measured.items():
                cpu[label].append(run(command, directory).cpu_seconds)
            if asked.against:
                took = until("first_step", [str(asked.against / "train"), *sentence], directory)
                first.setdefault(other, []).append(took)
            took = until("first_step", [str(BIN / "train"), *sentence], directory, COULOIR_EAGER_IMPORTS="1")
            first.setdefault(plain, []).append(took)
            first.setdefault("", []).append(until("first_step", [str(BIN / "train"), *sentence], directory))
            took = until("imported", [sys.executable, "imports.py"], directory)
            first.setdefault("of which importing", []).append(took)
    medians = {label: statistics.median(values[1:]) for label, values in cpu.items()}  # the first one warms the disk
    seconds = {label: statistics.median(values[1:]) for label, values in first.items()}
    for label, value in medians.items():
        print(f"{value:6.2f} s CPU  {label}")
    for label, value in seconds.items():
        print(f"{value:6.2f} s      from the prompt to the end of the first training step {label}".rstrip())
    write_report(__file__, {"cpu_seconds": medians, "first_step_seconds": seconds})
    ratio = medians["train --cfg job"] / medians["a bare Hydra application, --cfg job"]
    print(f"ratio: train --cfg job / a bare Hydra application = {ratio:.2f}")
    for label in seconds.keys() - {""}:
        print(f"ratio: first training step / the same {label} = {seconds[''] / seconds[label]:.2f}")


if __name__ == "__main__":
    main()
