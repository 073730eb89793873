"""What an evaluation leaves behind: a table on the console, and a folder with the numbers."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig
from rich.table import Table

from couloir.callbacks.progress import shown_number
from couloir.callbacks.stop_on_signal import StopOnSignal
from couloir.config.build import build
from couloir.diagnosis.given_up import given_up_by
from couloir.inference.predictor import evaluate
from couloir.log import note, rendered, run_log, say
from couloir.record.configuration import write_configuration
from couloir.record.folder import RunFolder
from couloir.record.provenance import write_provenance
from couloir.record.result import write_result
from couloir.record.tested import Confusion, write_confusion

AS_IT_WAS = ("data.batch_size=", "data.workers=", "data.memory_budget=", "data.cache")
"""Words about the data that name no other samples."""


def record_evaluation(cfgs: list[DictConfig], runs: list[Path], folder: RunFolder, overrides: list[str]) -> None:
    """Evaluate runs together, and write `result.json`, `confusion.csv`, `predictions.csv` and `status.json`.

    Raises:
        CouloirError: what `evaluate` says of the runs.
    """
    with run_log(folder.path / "train.log"):
        write_configuration(folder, cfgs[0], overrides)
        command = ["couloir", "evaluate", *(str(run) for run in runs), *overrides]
        write_provenance(folder, command, int(cfgs[0].seed), {"runs": [str(run) for run in runs]})
        try:
            same_data = not any(word.startswith("data.") and not word.startswith(AS_IT_WAS) for word in overrides)
            numbers, matrix, classes = evaluate(cfgs, runs, folder=folder, same_data=same_data)
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            folder.write_status("interrupted" if interrupted else "failed", error=f"{type(error).__name__}: {error}")
            note.info("%s", f"{type(error).__name__}: {error}", exc_info=error)
            raise
        write_result(folder, {f"test/{name}": value for name, value in numbers.items()})
        if len(matrix):
            write_confusion(folder, Confusion(classes, matrix.tolist()))
        folder.write_status("completed")
        table = Table("metric", "test")
        for name, value in numbers.items():
            table.add_row(name, shown_number(value))
        say.info("%s", rendered(table))
        if said := given_up_by(folder.path):
            say.warning("warning: %s", said)
        views = type(build(cfgs[0], "tta")).__name__ if cfgs[0].get("tta") else "each sample as it is"
        say.info("%s", f"runs: {len(runs)}; views: {views}; record: {folder.path}")


def tta_numbers(cfg: DictConfig, run: Path, stop: StopOnSignal) -> dict[str, float]:
    """The metrics of a run's test split by the views of its own recipe, as `tta/*`.

    Raises:
        Interrupted: a signal came meanwhile.
    """
    numbers = evaluate([cfg], [run], between=stop.stop_if_asked).numbers
    return {f"tta/{name}": value for name, value in numbers.items()}
