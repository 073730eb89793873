"""The places of a run where it is struck, and how a process is made to wait at one of them.

Everything here happens within the struck process, before it runs the command line; nothing of it is left when a run
goes on in another process.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tensorboard.summary.writer.record_writer import RecordWriter

import couloir.callbacks.epoch_record as record
from couloir.callbacks.stop_on_signal import StopOnSignal
from couloir.record import checkpoint
from couloir.task.gan import Gan
from couloir.task.task import Task

BEGUN = "once the configuration is written"
STEP, BETWEEN = "in a step", "between two steps"
VALIDATION, TEST = "in the validation", "in the test"
CHECKPOINT, EVENTS = "half of a block of a checkpoint written", "half of a TensorBoard record written"
FLUSH, CURVES, CUT = "before a file is flushed", "before curves.png is drawn", "before the records are cut back"
RENAMED = ("last.ckpt", "previous.ckpt", "best.ckpt", "metrics.csv", "status.json", "provenance.json", "result.json")


def before(name: str) -> str:
    """The place before a file takes its name."""
    return f"before {name} is replaced"


def after(name: str) -> str:
    """The place after it."""
    return f"after {name} is replaced"


NAMED = (
    STEP, BETWEEN, VALIDATION, TEST, CHECKPOINT, EVENTS, FLUSH, CURVES,
    before("last.ckpt"), after("last.ckpt"), before("previous.ckpt"), before("best.ckpt"),
    before("metrics.csv"), after("metrics.csv"), before("status.json"), after("status.json"), before("result.json"),
)  # fmt: skip
"""What every run comes through, often or once."""
TAKEN_UP = (CUT, before("provenance.json"), after("provenance.json"), before("metrics.csv"), STEP, CHECKPOINT, FLUSH)
"""What a run that goes on comes through."""


class Places:
    """Counts how often this process comes to each place, and waits where it is told to.

    The counts begin once the configuration is written: what is killed before that is no run yet.

    Args:
        place: where to stop.
        number: at which time, from 1 on.
        reached: the end of a pipe into which a byte is written there.
        going_on: the end of a pipe from which a byte is waited for there.

    Attributes:
        counts: how often it came to each place.
        seconds: from the beginning to the last of them.
    """

    def __init__(self, place: str | None, number: int, reached: int, going_on: int) -> None:
        self.place, self.number = place, number
        self.reached, self.going_on = reached, going_on
        self.counts: Counter[str] = Counter()
        self._began = self.seconds = 0.0
        self.process = os.getpid()

    def here(self, place: str) -> None:
        """Count the place, and wait if it is the one."""
        if os.getpid() != self.process or (place != BEGUN and not self.counts[BEGUN]):
            return
        self.counts[place] += 1
        if place == self.place and self.counts[place] == self.number:
            os.write(self.reached, b".")
            while not os.read(self.going_on, 1):
                pass
        if place == BEGUN:
            self._began = time.monotonic()
        self.seconds = time.monotonic() - self._began

    @contextmanager
    def watched(self, counts: Path | None) -> Iterator[None]:
        """Come to know of every place; the counts go into a file at the end, if one is named."""
        self._before(Task, "training_step", STEP)
        self._before(Gan, "training_step", STEP)
        self._before(StopOnSignal, "between_steps", BETWEEN)
        self._before(StopOnSignal, "on_validation_batch_end", VALIDATION)
        self._before(StopOnSignal, "on_test_batch_end", TEST)
        self._before(record, "draw_curves", CURVES)
        self._before(record, "cut_back", CUT)
        self._before(os, "fsync", FLUSH)
        self._around(Path, "replace", self._replace)
        self._around(checkpoint._Hashed, "write", self._block)
        self._around(RecordWriter, "write", self._event)
        try:
            yield
        finally:
            if counts is not None:
                counts.write_text(json.dumps({"counts": self.counts, "seconds": self.seconds}))

    def _before(self, owner: Any, name: str, place: str) -> None:
        def told(original: Callable[..., Any], *arguments: Any, **keys: Any) -> Any:
            self.here(place)
            return original(*arguments, **keys)

        self._around(owner, name, told)

    def _around(self, owner: Any, name: str, instead: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def around(*arguments: Any, **keys: Any) -> Any:
            return instead(original, *arguments, **keys)

        setattr(owner, name, around)

    def _replace(self, original: Callable[..., Any], file: Path, target: Path) -> Path:
        name = Path(target).name
        self.here(before(name))
        renamed: Path = original(file, target)
        if name == "config.yaml" and not self.counts[BEGUN]:
            self.here(BEGUN)
        self.here(after(name))
        return renamed

    def _block(self, original: Callable[..., int], hashed: checkpoint._Hashed, data: bytes) -> int:
        view = memoryview(data).cast("B")
        half = len(view) // 2
        original(hashed, bytes(view[:half]))
        hashed.flush()
        self.here(CHECKPOINT)
        original(hashed, bytes(view[half:]))
        return len(view)

    def _event(self, original: Callable[..., None], writer: RecordWriter, data: bytes) -> None:
        stream, halves = writer._writer, self

        class Halved:
            def write(self, record: bytes) -> None:
                stream.write(record[: len(record) // 2])
                stream.flush()
                halves.here(EVENTS)
                stream.write(record[len(record) // 2 :])

        writer._writer = Halved()
        try:
            original(writer, data)
        finally:
            writer._writer = stream
