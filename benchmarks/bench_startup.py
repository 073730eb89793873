"""Start-up: what the prompt waits for, against the parts that everybody pays for.

    python benchmarks/bench_startup.py

Prints the CPU seconds (user + system, median of several alternating runs) of each command, beside those of a bare Hydra
application and of importing torch and Lightning. The JSON beside this file holds the same numbers.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = 7
BIN = Path(sys.executable).parent

BARE_HYDRA = """
import hydra, sys
sys.argv = ["bare", "--cfg", "job"]
@hydra.main(version_base="1.3", config_path=sys.path[0] or ".", config_name="bare")
def main(cfg): pass
main()
"""


def cpu_seconds(command: list[str], directory: Path) -> float:
    """User and system seconds of one run of a command and its children."""
    before = os.times()
    subprocess.run(command, cwd=directory, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return (after.children_user - before.children_user) + (after.children_system - before.children_system)


def main() -> None:
    """Measure all commands in turn, several times over, and print the medians."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "bare.yaml").write_text("a: 1\nb: {c: 2}\n")
        (directory / "bare.py").write_text(BARE_HYDRA)
        commands = {
            "train --help": [str(BIN / "train"), "--help"],
            "train --cfg job": [str(BIN / "train"), "--cfg", "job"],
            "couloir list": [str(BIN / "couloir"), "list"],
            "a bare Hydra application, --cfg job": [sys.executable, "bare.py"],
            "import torch": [sys.executable, "-c", "import torch"],
            "import pytorch_lightning": [sys.executable, "-c", "import pytorch_lightning"],
        }
        times: dict[str, list[float]] = {label: [] for label in commands}
        for _ in range(RUNS + 1):
            for label, command in commands.items():
                times[label].append(cpu_seconds(command, directory))
    medians = {label: statistics.median(values[1:]) for label, values in times.items()}  # the first one warms the disk
    for label, seconds in medians.items():
        print(f"{seconds:6.2f} s CPU  {label}")
    ratio = medians["train --cfg job"] / medians["import pytorch_lightning"]
    report = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "cpu_seconds": medians}
    Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"ratio: train --cfg job / import pytorch_lightning = {ratio:.2f}")


if __name__ == "__main__":
    main()
