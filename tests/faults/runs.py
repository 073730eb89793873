"""The configurations whose runs are struck, and their runs that nobody strikes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from faults import places
from photographs import make_photographs
from victims import Victims

ALL = os.environ.get("COULOIR_ALL_FAULTS") == "1"
"""Everything, instead of the few that `make test` takes."""
EPOCHS = 3 if ALL else 2
COMMON = [
    "trainer=cpu", "trainer.threads=1", f"trainer.max_epochs={EPOCHS}", "trainer.log_every_n_steps=2",
    "averaging=ema", "scheduler=plateau", "scheduler.patience=0", "scheduler.threshold=0.2", "model.dropout=0.3",
    "callbacks.checkpoint.every_n_steps=3", "callbacks.checkpoint.keep=top_k", "callbacks.checkpoint.k=1",
]  # fmt: skip
MEMORY = ["data=digits", "data.subset=120", "data.batch_size=16", "augmentation=mixup"]
FOLDER = [
    "data=image_folder",
    "data.root={photographs}",
    "data.memory_budget=0",
    "data.image_size=24",
    "data.batch_size=4",
]
CONFIGURATIONS = {
    "digits in memory, mixup, no workers": [*MEMORY, "data.workers=0"],
    "digits in memory, mixup, 2 workers": [*MEMORY, "data.workers=2"],
    "a GAN, no workers": [
        "task=gan",
        "model.hidden=[16]",
        "task.discriminator_steps=2",
        "task.conditional=true",
        *MEMORY[:-1],
        "data.workers=0",
    ],
    "photographs in a folder, mixup, no workers": [*FOLDER, "augmentation=mixup", "data.workers=0"],
    "photographs in a folder, random windows, 2 workers": [*FOLDER, "augmentation=imagenet", "data.workers=2"],
}
"""All with dropout, a mean of the weights, a plateau schedule, and checkpoints within epochs and of the best."""
FIRST, LAST = next(iter(CONFIGURATIONS)), list(CONFIGURATIONS)[-1]


@dataclass(frozen=True)
class Whole:
    """A run that nobody strikes.

    Attributes:
        words: its sentence.
        run: its folder.
        counts: how often it comes to each place.
        seconds: how long it takes once its configuration is written.
    """

    words: list[str]
    run: Path
    counts: dict[str, int]
    seconds: float


WholeOf = Callable[[str], Whole]


def whole_runs(victims: Victims, root: Path) -> WholeOf:
    """A function from the name of a configuration to its run that nobody strikes, made when it is asked for first."""
    photographs = make_photographs(root / "photographs", train=24, other=8)
    runs: dict[str, Whole] = {}

    def of(name: str) -> Whole:
        if name not in runs:
            words = [word.format(photographs=photographs) for word in [*COMMON, *CONFIGURATIONS[name]]]
            folder, counts = root / str(len(runs)), root / f"{len(runs)}.json"
            folder.mkdir()
            ended = victims.start(["train", *words], folder, places.BEGUN, counts=counts).finish()
            assert ended.code == 0, ended.output
            run = (folder / "outputs/latest").resolve()
            runs[name] = Whole(words, run, **json.loads(counts.read_text()))
            print(f"{name}: {runs[name].seconds:.2f} s, comes to {runs[name].counts}")
        return runs[name]

    return of
