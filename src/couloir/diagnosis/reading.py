"""What a run has left that a diagnosis can go by; all but `metrics.csv` may be missing."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean, median, pstdev
from typing import Any

import yaml

from couloir.diagnosis.curve import Curve
from couloir.errors import CouloirError
from couloir.record.numbers import Row, read_metrics, read_status

UNIFORM_LOSSES = (".CrossEntropy", ".NegativeLogLikelihood")
"""The ends of `_target_` of losses that are log C where all C classes are given the same probability."""
NOT_AUGMENTED = "Identity"
"""The end of `_target_` of `augmentation=none`."""
LARGEST = 1e100
"""Beyond it a value is as good as infinite; its square would be."""
STEADY = 0.05
"""Deviation, as a share, within which a ratio counts as constant."""
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The parser in C, where PyYAML has it: a list of five hundred runs has as many diagnoses."""


@dataclass(frozen=True)
class Signal:
    """A weighted layer's row of `signals.csv`; None where the cell is empty."""

    epoch: int
    layer: str
    activation_mean: float
    activation_variance: float
    gradient_variance: float | None
    weight_gradient_variance: float | None


@dataclass(frozen=True)
class Reading:
    """The evidence of one run.

    Attributes:
        name: of its folder.
        rows: of `metrics.csv`, as they are written.
        config: the resolved configuration; None: unknown.
        words: what the user typed; None: unknown.
        status: the facts of `status.json`.
        sizes: samples of each split.
        signals: of every layer that was measured, in the order of epochs and layers.
    """

    name: str
    rows: list[Row]
    config: Mapping[str, Any] | None = None
    words: tuple[str, ...] | None = None
    status: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    signals: tuple[Signal, ...] = ()

    @property
    def epochs(self) -> int:
        """The number of epochs that were completed."""
        return len(self.rows)

    def curve(self, column: str) -> Curve | None:
        """The finite values of a column; None where there is none."""
        points = [(int(row["epoch"]), float(row[column])) for row in self.rows if row.get(column)]
        points = [(epoch, value) for epoch, value in points if abs(value) <= LARGEST]
        return Curve(*zip(*points, strict=True)) if points else None

    @cached_property
    def train(self) -> Curve | None:
        """The training loss: the mean over each epoch's batches, while the weights changed."""
        return self.curve("train/loss")

    @cached_property
    def val(self) -> Curve | None:
        """The validation loss: after each epoch."""
        return self.curve("val/loss")

    @cached_property
    def broken_epoch(self) -> int | None:
        """The first epoch whose training loss is NaN or infinite."""
        cells = [(int(row["epoch"]), row.get("train/loss")) for row in self.rows]
        return next((epoch for epoch, cell in cells if cell and not abs(float(cell)) <= LARGEST), None)

    def key(self, path: str, default: Any = None) -> Any:
        """A value of the configuration; the default where it is unknown, null or not there."""
        value: Any = self.config
        for name in path.split("."):
            value = value[name] if isinstance(value, Mapping) and name in value else None
        return default if value is None else value

    def augmented(self) -> bool:
        """Whether training sees changed images."""
        return not str(self.key("augmentation._target_", NOT_AUGMENTED)).endswith(NOT_AUGMENTED)

    @cached_property
    def classes(self) -> int | None:
        """How many classes there are; None: a regression, or unknown."""
        count = self.key("data.num_classes")
        return (
            int(count) if self.key("data.task") == "classification" and isinstance(count, int) and count > 1 else None
        )

    @cached_property
    def chance(self) -> float | None:
        """The loss of a network that has learned nothing but the targets' mean; None: unknown.

        Of C classes it is log C. For a squared error it is the variance of the targets, which follows from loss and R².
        """
        loss = str(self.key("loss._target_", ""))
        if self.classes is not None and loss.endswith(UNIFORM_LOSSES) and not self.key("model.auxiliary_weight"):
            return math.log(self.classes)
        pairs = [(row.get("train/loss"), row.get("train/r2")) for row in self.rows]
        known = [(float(error), float(r2)) for error, r2 in pairs if error and r2]
        ratios = [error / (1 - r2) for error, r2 in known if 0 < error <= LARGEST and -LARGEST <= r2 < 1]
        if len(ratios) < 3 or pstdev(ratios) > STEADY * fmean(ratios):
            return None
        return median(ratios)

    def ended_by_rule(self) -> bool:
        """Whether the run came to its end before its last epoch because it had been told when to stop."""
        stops = self.key("callbacks.early_stopping.patience") or self.key("callbacks.stop_at.threshold")
        return bool(stops) and self.epochs < int(self.key("trainer.max_epochs", self.epochs))


def read_run(run: Path) -> Reading:
    """The evidence in a run's folder.

    Raises:
        CouloirError: one of its files is torn.
    """
    config = _yaml(run / "config.yaml")
    provenance = _json(run / "provenance.json")
    data = provenance.get("data")
    sizes = data.get("sizes", {}) if isinstance(data, dict) else {}
    rows, status = read_metrics(run), read_status(run)
    known = config if isinstance(config, dict) else None
    return Reading(run.resolve().name, rows, known, _words(run), status, sizes, _signals(run / "signals.csv"))


def _words(run: Path) -> tuple[str, ...] | None:
    words = _yaml(run / "overrides.yaml")
    return tuple(map(str, words)) if isinstance(words, list) else None


def _yaml(file: Path) -> Any:
    """The content of a file in plain values; None where there is none. A run's files have no interpolations."""
    if not file.is_file():
        return None
    try:
        return yaml.load(file.read_text(encoding="utf-8"), LOADER)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise CouloirError(f"{file.name} of the run {file.parent.name} cannot be read: {reason}", str(file)) from error


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # it says nothing that the diagnosis depends on
    return content if isinstance(content, dict) else {}


def _signals(file: Path) -> tuple[Signal, ...]:
    if not file.is_file():
        return ()
    try:
        rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines(), strict=True))
        return tuple(
            Signal(
                int(row["epoch"]), row["layer"], float(row["activation_mean"]), float(row["activation_variance"]),
                _number(row["gradient_variance"]), _number(row["weight_gradient_variance"]),
            )
            for row in rows
        )  # fmt: skip
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise CouloirError(f"The layers' signals cannot be read: {error}", place=str(file)) from error


def _number(cell: str) -> float | None:
    return float(cell) if cell else None
