"""What the runs of a setting say of the samples that each of them has not seen: `out_of_fold.csv`, and its scores.

A row is a sample, in the data's order, so that the rows of all folds together are as one test of all samples. Rows
are taken from the runs' `predictions.csv` one by one: memory does not grow with the data. Nothing here imports torch.
"""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from couloir.errors import CouloirError
from couloir.record.configuration import read_configuration
from couloir.record.predictions import INDEX, read_predictions
from couloir.record.sweep import OUT_OF_FOLD
from couloir.record.sweep import write_out_of_fold as write_rows
from couloir.sweep.trials import SweepRecord, TrialRecord

Row = dict[str, str]
TRUTH, PREDICTION = "truth", "prediction"
PROBABILITY = re.compile(r"p$|p\(|p_truth$")
"""How the columns begin that only classes have."""


def scores(runs: Sequence[Path], folds: int) -> dict[str, list[float]]:
    """The scores of a setting over all samples at once, a number for each seed, by names such as
    `out_of_fold/accuracy`; empty where the predictions are no labels or values, or are not there.

    The mean of the folds' accuracies weighs a small fold like a large one, and R² of each fold is against the mean of
    that fold alone; over all samples they are what one test would give.

    Args:
        runs: all folds of the first seed, then those of the next.
        folds: how many.
    """
    found: dict[str, list[float]] = {}
    try:
        for start in range(0, len(runs), folds):
            for name, value in _scores(_in_order(runs[start : start + folds])).items():
                found.setdefault(f"{OUT_OF_FOLD}{name}", []).append(value)
    except (CouloirError, ValueError):  # a file is torn, or changed by hand; the sweep's other numbers stand
        return {}
    return found


def write_out_of_fold(record: SweepRecord) -> Path | None:
    """Write `out_of_fold.csv` of the best setting, and return its path; None without folds or without predictions.

    Columns: of several seeds `seed`; `fold`; and those of `predictions.csv`, with the number of
    the sample in the data instead of that in its split.

    Raises:
        CouloirError: a file of predictions is torn, or two folds have the same sample.
    """
    best = record.best
    if best is None or record.folds is None:
        return None
    rows = _rows(best, record.folds)
    first = next(rows, None)
    return None if first is None else write_rows(record.folder, list(first), itertools.chain([first], rows))


def _rows(trial: TrialRecord, folds: int) -> Iterator[Row]:
    several = len(trial.runs) > folds
    for start in range(0, len(trial.runs), folds):
        configuration = read_configuration(trial.runs[start], strict=False) or {}
        for row in _in_order(trial.runs[start : start + folds]):
            yield {"seed": str(configuration.get("seed", "")), **row} if several else row


def _in_order(runs: Sequence[Path]) -> Iterator[Row]:
    """The rows of all folds of a seed by the numbers of their samples in the data.

    Raises:
        CouloirError: a file is torn, or two folds have the same sample.
    """
    last = -1
    for number, row in heapq.merge(*(_of_a_fold(fold, run) for fold, run in enumerate(runs)), key=lambda pair: pair[0]):
        if number <= last:
            raise CouloirError(f"The sample {number} was tested twice.", place=str(runs[0].parent))
        last = number
        yield row


def _of_a_fold(fold: int, run: Path) -> Iterator[tuple[int, Row]]:
    for row in read_predictions(run):
        try:
            number = int(row.pop(INDEX))
        except (KeyError, ValueError):
            return  # the data does not number its samples
        row["sample"] = str(number)
        yield number, {"fold": str(fold), **row}


def _scores(rows: Iterator[Row]) -> dict[str, float]:
    first = next(rows, None)
    if first is None:
        return {}
    pairs = [(name, name.replace(TRUTH, PREDICTION, 1)) for name in first if name.startswith(TRUTH)]
    pairs = [pair for pair in pairs if pair[1] in first]
    if not pairs:
        return {}
    every = itertools.chain([first], rows)
    return _of_labels(pairs, every) if any(map(PROBABILITY.match, first)) else _of_values(pairs, every)


def _of_labels(pairs: list[tuple[str, str]], rows: Iterator[Row]) -> dict[str, float]:
    """The share of samples, or of labels where a sample has several, that are right."""
    right = count = whole = 0
    for row in rows:
        hits = sum(row[truth] == row[prediction] for truth, prediction in pairs)
        right, whole, count = right + hits, whole + (hits == len(pairs)), count + 1
    if len(pairs) == 1 and pairs[0][0] == TRUTH:
        return {"accuracy": right / count}
    return {"label_accuracy": right / (count * len(pairs)), "exact_match": whole / count}


def _of_values(pairs: list[tuple[str, str]], rows: Iterator[Row]) -> dict[str, float]:
    """R² and the mean absolute error, each the mean over the values that are predicted."""
    sums = [_Sums() for _ in pairs]
    for row in rows:
        for each, (truth, prediction) in zip(sums, pairs, strict=True):
            each.add(float(row[truth]), float(row[prediction]))
    r2 = [1 - each.squared / each.spread for each in sums if each.spread > 0]
    numbers = {"r2": sum(r2) / len(r2)} if r2 else {}
    return {**numbers, "mae": sum(each.absolute / each.count for each in sums) / len(sums)}


class _Sums:
    """What R² and the mean absolute error are made of; deviations are summed from a running mean (Welford, 1962)."""

    def __init__(self) -> None:
        self.count, self.mean, self.spread, self.squared, self.absolute = 0, 0.0, 0.0, 0.0, 0.0

    def add(self, truth: float, prediction: float) -> None:
        self.count += 1
        step = truth - self.mean
        self.mean += step / self.count
        self.spread += step * (truth - self.mean)
        self.squared += (truth - prediction) ** 2
        self.absolute += abs(truth - prediction)
