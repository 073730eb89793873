"""The index over 500 runs, and the report of one run: seconds, and the size of the files.

python benchmarks/bench_report.py [RUNS]
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 500
EPOCHS = 40
CONFIG = """seed: {seed}
output_dir: outputs
optimizer:
  _target_: couloir.optimizer.adaptive.adam
  lr: {lr}
trainer:
  max_epochs: 40
callbacks:
  checkpoint:
    monitor: val/loss
    mode: min
model:
  _target_: couloir.model.lenet.lenet5
  dropout: 0.2
loss:
  _target_: couloir.loss.classification.CrossEntropy
data:
  _target_: couloir.data.mnist.mnist
  batch_size: 128
"""


def write_run(folder: Path, draw: random.Random) -> None:
    """A run folder as `train` leaves it, without its checkpoints; every tenth has failed."""
    folder.mkdir(parents=True)
    lr, seed = f"{10 ** draw.uniform(-4, -1):.3g}", draw.randrange(1000)
    typed = ["model=lenet5", "data=mnist", f"optimizer.lr={lr}", f"seed={seed}"]
    keys = "".join(f"  key_{place}: {place}\n" for place in range(60))
    (folder / "config.yaml").write_text(f"{CONFIG.format(seed=seed, lr=lr)}logger:\n{keys}")
    (folder / "overrides.yaml").write_text("".join(f"- {word}\n" for word in typed))
    rows = ["epoch,step,lr,train/loss,val/loss,train/accuracy,val/accuracy,seconds"]
    loss = accuracy = 0.0
    for epoch in range(1, EPOCHS + 1):
        loss, accuracy = 2 / epoch + draw.random() / 10, 1 - 0.5 / epoch - draw.random() / 50
        rows.append(f"{epoch},{epoch * 100},{lr},{loss},{loss + 0.1},{accuracy},{accuracy - 0.01},1.5")
    (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
    failed = draw.random() < 0.1
    status = {"status": "failed", "error": "RuntimeError: no room"} if failed else {"status": "completed"}
    (folder / "status.json").write_text(json.dumps({**status, "epoch": EPOCHS, "started": "2026-01-01T00:00:00"}))
    if not failed:
        numbers = {"best/accuracy": accuracy, "best/loss": loss, "test/accuracy": accuracy, "seconds": 60.0}
        (folder / "result.json").write_text(json.dumps(numbers))


def timed(words: list[str]) -> float:
    """Seconds that a command takes from its start to its end, as a user waits for it."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "couloir", *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Make the runs, and take the time."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as place:
        outputs = Path(place) / "outputs"
        for number in range(runs):
            write_run(outputs / "train" / f"run_{number:04d}", draw)
        newest = outputs / "train" / f"run_{runs - 1:04d}"
        for told, words, file in (
            (f"index of {runs} runs", ["report", str(outputs)], outputs / "index.html"),
            ("report of a run", ["report", str(newest)], newest / "report.html"),
        ):
            print(f"{told:<24}{timed(words):6.2f} s   {file.stat().st_size / 1e6:5.2f} MB")


if __name__ == "__main__":
    main()
