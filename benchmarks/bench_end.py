"""The end of a run: from its last training step to the prompt.

    python benchmarks/bench_end.py [--runs N] [--against FOLDER]

Runs `train` on the digits for one epoch and for the default number, and in turn a script by hand that does less:
Lightning trains the same network on the same digits for one epoch, with a checkpoint and TensorBoard, and tests it; it
draws and writes nothing else. Prints the seconds from the end of the last training step until the process has ended,
as medians, and for `train` the parts: until the training has ended (validation, checkpoint, record), until the test has
ended, until all else is written (pictures, tables, TensorBoard), and until the process has gone; and the CPU seconds
of all these. `--against` names a folder with other `train` and `python`, such as the `.venv/bin` of another version,
which then runs in turn as well. The JSON beside this file holds the same numbers.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from measure import BIN, run, write_report

CLOCK = """
import atexit, json, time
from pathlib import Path
from pytorch_lightning import Callback

MARKS = {}

def mark(name):
    MARKS[name] = time.time()
    MARKS[f"{name} cpu"] = time.process_time()

def leave():
    mark("written")
    Path("marks.json").write_text(json.dumps(MARKS))

class Clock(Callback):
    def on_train_start(self, *_):
        atexit.register(leave)  # the last to be registered is the first to be called

    def on_train_batch_end(self, *_):
        mark("last step")

    def on_fit_end(self, *_):
        mark("trained")

    def on_test_end(self, *_):
        mark("tested")
"""
PLAIN = """
import sys
import torch, torch.nn.functional as F, pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy
from clock import Clock
from couloir.model.lenet import lenet5

class Digits(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = lenet5(channels=1, image_size=8, num_classes=10)
        self.accuracy = torch.nn.ModuleDict({name: MulticlassAccuracy(10) for name in ("learn", "val", "test")})

    def step(self, batch, split):
        x, y = batch
        logits = self.net(x)
        loss = F.cross_entropy(logits, y)
        self.accuracy[split](logits, y)
        self.log(f"{split}/loss", loss, on_step=False, on_epoch=True)
        self.log(f"{split}/accuracy", self.accuracy[split], on_step=False, on_epoch=True)
        return loss

    def training_step(self, batch, _):
        return self.step(batch, "learn")

    def validation_step(self, batch, _):
        self.step(batch, "val")

    def test_step(self, batch, _):
        self.step(batch, "test")

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.002)

digits = load_digits()
x, y = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16, torch.tensor(digits.target)
train, val, test = (
    DataLoader(TensorDataset(x[part], y[part]), 64) for part in (slice(0, 1298), slice(1298, 1527), slice(1527, None))
)
trainer = pl.Trainer(
    accelerator="cpu", max_epochs=1, logger=TensorBoardLogger("."), enable_progress_bar=False,
    enable_model_summary=False, callbacks=[ModelCheckpoint(monitor="val/loss", save_last=True), Clock()],
)
module = Digits()
trainer.fit(module, train, val)
trainer.test(module, test, ckpt_path="best", verbose=False, weights_only=True)
"""
PARTS = {
    "trained": "the last validation, checkpoint and record", "tested": "the test",
    "written": "pictures, tables, TensorBoard", "gone": "the end of the process",
}  # fmt: skip


def ending(command: list[str], directory: Path) -> dict[str, float]:
    """Run a command to its end: the seconds of each part from its last training step on, their sum, and their CPU."""
    marks = directory / "marks.json"
    marks.unlink(missing_ok=True)
    finished = run(command, directory)
    told = {**json.loads(marks.read_text()), "gone": time.time()}
    names = ["last step", *PARTS]
    parts = {name: told[name] - told[before] for before, name in itertools.pairwise(names)}
    cpu = finished.cpu_seconds - told["last step cpu"]
    return {**parts, "all": told["gone"] - told["last step"], "cpu": cpu}


def main() -> None:
    """Measure all commands in turn, several times over, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--against", type=Path, default=None, help="the .venv/bin of another version")
    given = parser.parse_args()
    sides = {"train": BIN} | ({"train, the other version": given.against.absolute()} if given.against else {})
    commands = {}
    for name, place in sides.items():
        words = [str(place / "train"), "+callbacks.clock._target_=clock.Clock", "trainer=cpu"]
        commands |= {f"{name}, one epoch": [*words, "trainer.max_epochs=1"], name: words}
    commands["Lightning by hand, one epoch"] = [sys.executable, "plain.py"]
    found: dict[str, list[dict[str, float]]] = {label: [] for label in commands}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "clock.py").write_text(CLOCK)
        (directory / "plain.py").write_text(PLAIN)
        os.environ["PYTHONPATH"] = name
        for _ in range(given.runs + 1):
            for label, command in commands.items():
                found[label].append(ending(command, directory))
    medians = {
        label: {part: statistics.median(each[part] for each in values[1:]) for part in values[0]}  # the first one warms
        for label, values in found.items()
    }
    for label, parts in medians.items():
        print(f"{parts['all']:6.2f} s  {parts['cpu']:6.2f} s CPU  {label}")
        for part, told in PARTS.items():
            print(f"{parts[part]:12.2f} s    {told}")
    write_report(__file__, {"from_the_last_step": medians})
    mine, plain = medians["train, one epoch"], medians["Lightning by hand, one epoch"]
    compared = {"Lightning by hand": plain}
    if given.against:
        compared["the other version"] = medians["train, the other version, one epoch"]
    for label, other in compared.items():
        print(
            f"ratio: train / {label} = {mine['all'] / other['all']:.2f} ({mine['cpu'] / other['cpu']:.2f} of the CPU)"
        )


if __name__ == "__main__":
    main()
