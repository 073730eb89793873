"""`trainer.profiler`: where the time of a training goes, as a report in the run folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.profilers import AdvancedProfiler, Profiler, SimpleProfiler
from torch.autograd.profiler import record_function
from torch.profiler import ProfilerActivity, profile, schedule

from couloir.config.world import World

STEP = "run_training_batch"
"""Lightning's name for forward, backward and the optimizer's step of one batch."""
WAIT, WARM_UP, RECORDED = 2, 1, 3
"""Steps before the recording, which are slower than others; steps with a recorder that is not used; steps recorded."""
ROWS = 40
"""Lines of the table of operations, the longest first."""


def profiler(kind: str | None, folder: Path, world: World) -> Profiler | None:
    """What measures a training, and writes `fit-profile.txt` and `test-profile.txt`; None where nothing is asked for.

    A run that goes on adds its report to the file. Where there are several processes, each writes its own file, whose
    name has the process's number.

    Args:
        kind: `simple`: the seconds of each of Lightning's hooks; `advanced`: those of each Python function within them;
            `pytorch`: those of each operation in a few steps.
        folder: where the files go.
        world: this process's place among those of the run.

    Raises:
        ValueError: there is no such kind.
    """
    name = f"profile-node{world.node}" if world.node else "profile"
    if kind is None:
        return None
    if kind == "simple":
        return Durations(folder, name)
    if kind == "advanced":
        return AdvancedProfiler(folder, name)
    if kind == "pytorch":
        return Operations(folder, name)
    raise ValueError(f"profiler takes one of simple, advanced, pytorch or null, not {kind}")


@contextmanager
def reported(trainer: Trainer) -> Iterator[None]:
    """Have a training that ends by an exception leave its report too; Lightning writes only that of a whole one."""
    try:
        yield
    except BaseException:
        if trainer.global_step:
            trainer.profiler.describe()  # type: ignore[attr-defined]
        raise


class Durations(SimpleProfiler):
    """Lightning's table of hooks; that of the test has none of the training's."""

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """Begin with a training or a test."""
        super().setup(stage, local_rank, log_dir)
        self.recorded_durations.clear()
        self.start_time = time.perf_counter()


class Operations(Profiler):
    """A table of PyTorch's operations in a few training steps, and a trace for chrome://tracing or ui.perfetto.dev.

    Lightning's own records the validation too, and its table is that of the last recording, which is no training step.
    A test leaves no report here.

    Args:
        folder: where the files go.
        name: how they are called.
    """

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder, name)
        self._folder, self._name = folder, name
        self._trace: profile | None = None
        self._marks: dict[str, record_function] = {}
        self._steps, self._table = 0, ""

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """Begin with a training or a test."""
        super().setup(stage, local_rank, log_dir)
        self._steps, self._table = 0, ""
        process = [] if local_rank is None else [str(local_rank)]
        self._file = "-".join([stage, self._name, *process])  # an f-string would have the name of Lightning's constant

    def start(self, action_name: str) -> None:
        """Name what happens from here on."""
        if action_name == STEP and self._steps == 0:
            self._trace = profile(
                activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])],
                schedule=schedule(wait=WAIT, warmup=WARM_UP, active=RECORDED, repeat=1),
                on_trace_ready=self._write,
            )
            self._trace.start()
        if self._trace is not None and action_name not in self._marks:
            self._marks[action_name] = record_function(action_name)
            self._marks[action_name].__enter__()  # type: ignore[no-untyped-call]

    def stop(self, action_name: str) -> None:
        """The named part is over; after the last recorded step so is the recording."""
        if action_name in self._marks:
            self._marks.pop(action_name).__exit__(None, None, None)
        if action_name != STEP:
            return
        self._steps += 1
        if self._trace is not None:
            self._trace.step()
            if self._steps == WAIT + WARM_UP + RECORDED:
                self._end()

    def describe(self) -> None:
        """Write the report, where there was a training step."""
        if self._steps:
            super().describe()

    def summary(self) -> str:
        """The table; the recording ends where it still goes on."""
        self._end()
        first, last = WAIT + WARM_UP + 1, min(self._steps, WAIT + WARM_UP + RECORDED)
        if not self._table:
            return f"The training ended after step {self._steps}; the recording begins with step {first}.\n"
        return f"PyTorch's operations in the training steps {first} to {last}\n{self._table}\n"

    def teardown(self, stage: str | None) -> None:
        """Leave nothing behind that records."""
        self._end()
        super().teardown(stage)

    def _end(self) -> None:
        trace, self._trace = self._trace, None
        if trace is not None:
            trace.stop()

    def _write(self, trace: profile) -> None:
        averages = trace.key_averages()
        on_device = any(event.self_device_time_total for event in averages)
        order = "self_device_time_total" if on_device else "self_cpu_time_total"
        self._table = averages.table(sort_by=order, row_limit=ROWS, max_name_column_width=75)
        names = (f"{self._file}{number}.trace.json" for number in chain([""], (f"-part{part}" for part in count(2))))
        trace.export_chrome_trace(str(next(file for name in names if not (file := self._folder / name).exists())))
