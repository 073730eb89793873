"""How a verb answers: in words, as one JSON object (`--json`), or by its exit code and its files alone (`--quiet`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from couloir.errors import CouloirError, is_shortage, missing_module, out_of_memory

if TYPE_CHECKING:
    from couloir.diagnosis.curve import Curve
    from couloir.sweep.trials import SweepEnd, SweepRecord, TrialRecord

JSON, QUIET = "--json", "--quiet"
MEASURED = ("gradients/norm", "gradients/first_to_last", "gradients/dead_units", "waiting")
"""Columns beside the losses that a diagnosis goes by."""
UNKNOWN_NEXT = "Couloir does not know this mistake; COULOIR_TRACEBACK=1 shows where it happened"


@dataclass
class Answer:
    """What a verb answers; as a context, it keeps standard output free of anything else where that is asked for.

    With `--json` the object is printed at the end, whatever happened: an error stands in it as `error`, and is raised
    on. Warnings and errors go to standard error.

    Attributes:
        as_json: whether the answer is one JSON object.
        quiet: whether nothing but warnings and errors is printed.
        facts: what stands in the object.
    """

    as_json: bool = False
    quiet: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    _silence: ExitStack = field(default_factory=ExitStack, repr=False)

    @classmethod
    def of(cls, switches: Iterable[str]) -> Answer:
        """The answer that a verb's flags ask for."""
        return cls(JSON in switches, QUIET in switches)

    @classmethod
    def taken(cls, arguments: list[str]) -> tuple[Answer, list[str]]:
        """Divide a verb's arguments into the answer that they ask for by `--json`, and all other words."""
        return cls.of(arguments), [word for word in arguments if word != JSON]

    @contextmanager
    def about_run(self, run: Path, resumed: bool = False) -> Iterator[None]:
        """Answer with what a run has come to, whatever ends it."""
        try:
            yield
        finally:
            if self.as_json:
                self.facts |= {**run_facts(run), "resumed": resumed}

    @contextmanager
    def about_probe(self, folder: Path) -> Iterator[None]:
        """Answer with the status and the numbers that a verb leaves in a folder, whatever ends it."""
        try:
            yield
        finally:
            if self.as_json:
                from couloir.record.result import read_result
                from couloir.record.status import read_status

                status = read_status(folder, strict=False).get("status")
                self.facts |= {"folder": str(folder), "status": status, **read_result(folder, strict=False)}

    def about_sweep(self, end: SweepEnd) -> int:
        """Answer with what a sweep has come to; its exit code."""
        if self.as_json:
            from couloir.sweep.load import load_sweep

            self.facts |= sweep_facts(load_sweep(end.folder))
        return end.code

    def __enter__(self) -> Answer:
        """Silence what is said in words, where that is asked for."""
        if self.as_json or self.quiet:
            from couloir.log import quiet  # only here: the help does without rich

            self._silence.enter_context(quiet())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Print the object."""
        self._silence.close()
        if not self.as_json:
            return
        if isinstance(error, Exception):
            self.facts["error"] = _as_facts(error)
        from couloir.record.files import as_json

        print(as_json(self.facts), end="")  # noqa: T201


def known(error: Exception) -> CouloirError | None:
    """The sentence for an exception; None for one that Couloir does not know."""
    if isinstance(error, CouloirError):
        return error
    if isinstance(error, ModuleNotFoundError):
        return missing_module(error)
    from couloir.data.worker_processes import lost_worker  # Python's multiprocessing, which few words need

    return lost_worker(error) or (out_of_memory(error) if is_shortage(error) else None)


def _as_facts(error: Exception) -> dict[str, Any]:
    told = known(error)
    if told is None:
        return {
            "message": f"{type(error).__name__}: {error}", "where": None, "next": UNKNOWN_NEXT, "exit_code": 1,
        }  # fmt: skip
    return {"message": told.fact, "where": told.place, "next": told.next_step, "exit_code": told.exit_code}


def run_facts(run: Path) -> dict[str, Any]:
    """What a run has come to, whether it completed or not."""
    from couloir.record.metrics import read_metrics
    from couloir.record.result import read_result
    from couloir.record.status import read_status

    status, rows = read_status(run, strict=False), read_metrics(run, strict=False)
    facts: dict[str, Any] = {"run": str(run), "status": status.get("status")}
    facts |= {name: status.get(name) for name in ("epoch", "step", "signal")}
    facts["metrics"] = read_result(run, strict=False)
    facts["last_epoch"] = rows[-1] if rows else None
    facts["diagnosis"] = None
    if status.get("status") == "completed":
        facts["diagnosis"] = diagnosis_facts(run)
    return facts


def diagnosis_facts(run: Path) -> dict[str, Any]:
    """The diagnosis of a run for programs: what is found, and the numbers that led to it as `numbers`.

    Raises:
        CouloirError: one of its files is torn.
    """
    from couloir.diagnosis.diagnosis import diagnose_reading
    from couloir.diagnosis.generative import MEASURED as MADE
    from couloir.diagnosis.reading import read_run
    from couloir.record.metrics import epoch_of

    reading = read_run(run)
    best = reading.best
    columns = {"train/loss": reading.train, "val/loss": reading.val}
    columns |= {name: reading.curve(name) for name in (*MEASURED, *MADE)}
    numbers = {
        "epochs": reading.epochs,
        "monitor": reading.monitor,
        "best": None if best is None else {"epoch": epoch_of(best), "value": best[reading.monitor]},
        "columns": {name: _course(curve) for name, curve in columns.items() if curve is not None},
    }
    return {**diagnose_reading(reading).as_json(), "numbers": numbers}


def _course(curve: Curve) -> dict[str, Any]:
    """A column of `metrics.csv` in numbers."""
    line = curve.tail()
    return {
        "first": {"epoch": curve.epochs[0], "value": curve.first},
        "lowest": {"epoch": curve.least.epoch, "value": curve.least.value},
        "last": {"epoch": curve.newest.epoch, "value": curve.newest.value},
        "slope": {"per_epoch": line.slope, "epochs": line.points},
        "noise": curve.noise,
    }


def sweep_facts(record: SweepRecord) -> dict[str, Any]:
    """What a sweep has come to."""
    from couloir.sweep.best import best_words
    from couloir.sweep.objective import about
    from couloir.sweep.table import sentence

    best, words = record.best, best_words(record)
    goals = [{"name": goal.name, "direction": goal.direction} for goal in record.objectives]
    return {
        "sweep": str(record.folder),
        "status": _state(record),
        "objectives": goals,
        "note": about(record.objectives, record.differ) or None,
        "total": record.total,
        "best": None if best is None else best.number,
        "best_sentence": None if words is None else sentence(words),
        "trials": [_trial(trial, record) for trial in record.trials],
    }


def _state(record: SweepRecord) -> str:
    """`completed` where each trial is completed or pruned, `interrupted` where some are left, else `failed`."""
    states = {trial.state for trial in record.trials}
    if len(record.trials) < record.total or states & {"running", "waiting", "interrupted"}:
        return "interrupted"
    return "failed" if states & {"failed", "diverged"} else "completed"


def _trial(trial: TrialRecord, record: SweepRecord) -> dict[str, Any]:
    goals = [goal.name for goal in record.objectives]
    numbers = {**dict(zip(goals, trial.values, strict=False)), **trial.tests}
    return {
        "number": trial.number,
        "state": trial.state,
        "parameters": {key: _plain(value) for key, value in trial.parameters.items()},
        "metrics": {name: sum(values) / len(values) for name, values in numbers.items() if values},
        "of_each_run": {name: values for name, values in numbers.items() if values},
        "runs": [str(run) for run in trial.runs],
        "seconds": trial.seconds,
        "error": trial.error or None,
    }


def _plain(typed: str) -> Any:
    """A value as it was typed: a number, a truth value, a list, null, or the text."""
    import yaml

    from couloir.record.files import LOADER

    try:
        return yaml.load(typed, LOADER)
    except yaml.YAMLError:
        return typed
