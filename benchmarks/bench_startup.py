"""Start-up: what the prompt waits for, against the parts that everybody pays for.

    python benchmarks/bench_startup.py

Prints the CPU seconds (user and system, median of several alternating runs) of each command, beside those of a bare
Hydra application and of importing torch and Lightning. Then the seconds from the prompt to the end of the first
training step of `train` on the digits, beside those of a process that only imports the same packages: what lies
between is Couloir's own. The JSON beside this file holds the same numbers.
"""

from __future__ import annotations

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


def until(file: str, command: list[str], directory: Path) -> float:
    """Seconds from the start of a command to the time that it writes into a file."""
    began = time.time()
    run(command, directory)
    return float((directory / file).read_text()) - began


def main() -> None:
    """Measure all commands in turn, several times over, and print the medians."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "clock.py").write_text(CLOCK)
        (directory / "imports.py").write_text(IMPORTS)
        sentence = [str(BIN / "train"), "+callbacks.clock._target_=clock.Clock", "trainer=debug"]
        measured = commands(directory)
        cpu: dict[str, list[float]] = {label: [] for label in measured}
        first_step: list[float] = []
        imports: list[float] = []
        for _ in range(RUNS + 1):
            for label, command in measured.items():
                cpu[label].append(run(command, directory).cpu_seconds)
            first_step.append(until("first_step", sentence, directory))
            imports.append(until("imported", [sys.executable, "imports.py"], directory))
    medians = {label: statistics.median(values[1:]) for label, values in cpu.items()}  # the first one warms the disk
    for label, seconds in medians.items():
        print(f"{seconds:6.2f} s CPU  {label}")
    whole, packages = statistics.median(first_step[1:]), statistics.median(imports[1:])
    print(f"{whole:6.2f} s      from the prompt to the end of the first training step")
    print(f"{packages:6.2f} s      importing the same packages")
    numbers = {"first_step_seconds": whole, "imports_seconds": packages, "own_seconds": whole - packages}
    write_report(__file__, {"cpu_seconds": medians, **numbers})
    ratio = medians["train --cfg job"] / medians["import pytorch_lightning"]
    print(f"ratio: train --cfg job / import pytorch_lightning = {ratio:.2f}")
    print(f"ratio: first training step / importing the same packages = {whole / packages:.2f}")


if __name__ == "__main__":
    main()
