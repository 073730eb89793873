"""`train` and the loops of `plain_loop.py` in one process, an epoch of each in turn: what `bench_loop.py` calls.

    python benchmarks/loop_in_turn.py NETWORK --epochs N -- WORDS OF THE SENTENCE

On a machine that does other work, two processes that run one after the other differ by a fifth for no reason of their
own. Here all sides see the same minute, the same memory and the same caches, and beside the clock stand the seconds
that the process had a core. Prints JSON: of each side the seconds of a step, by the clock and of the cores, of every
epoch but the first, and of `train` also what an epoch takes beside its steps (validation, checkpoint, record).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer

from couloir.api import compose
from couloir.record.folder import RunFolder
from couloir.run.train import train_sentence
from plain_loop import BATCH, prepared

Seconds = tuple[float, float]
"""By the clock, and of the cores."""


def now() -> Seconds:
    """The two clocks."""
    return time.perf_counter(), time.process_time()


def since(began: Seconds, count: int = 1) -> Seconds:
    """The time that has passed, divided by so many."""
    clock, cores = now()
    return (clock - began[0]) / count, (cores - began[1]) / count


class InTurn(Callback):
    """Runs an epoch of each plain loop before each epoch of the training, and takes the time of all of them.

    It listens to no hook of a step, so that the steps of the training are as short as ever.

    Args:
        loops: each runs one epoch, and returns its steps.
    """

    def __init__(self, loops: dict[str, Callable[[], int]]) -> None:
        self.loops = loops
        self.seconds: dict[str, list[Seconds]] = {side: [] for side in (*loops, "train", "beside the steps")}
        self._began = self._stepped = (0.0, 0.0)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The plain loops first, before the record starts the clock of the epoch."""
        if trainer.current_epoch > 0:
            self.seconds["beside the steps"].append(since(self._stepped))
        for side, loop in self.loops.items():
            began = now()
            steps = loop()
            self.seconds[side].append(since(began, steps))
        self._began = now()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The steps are over."""
        if trainer.state.fn == "fit":
            self.seconds["train"].append(since(self._began, int(trainer.num_training_batches)))
            self._stepped = now()


def main() -> None:
    """Train, with the plain loops between the epochs, and print the times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("network", choices=BATCH)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--samples", type=int, default=55_000)
    parser.add_argument("words", nargs="+")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as outputs:
        sentence = compose([*options.words, f"trainer.max_epochs={options.epochs}", f"output_dir={outputs}"])
        sides = {"plain": False, "plain, tuned": True}
        turns = InTurn({side: prepared(options.network, options.samples, tuned) for side, tuned in sides.items()})
        folder = RunFolder.create(Path(outputs) / "run", Path(outputs))
        train_sentence(sentence, folder, ["bench_loop.py", *options.words], also=[turns])
    print(json.dumps({side: found[1:] or found for side, found in turns.seconds.items()}))


if __name__ == "__main__":
    main()
