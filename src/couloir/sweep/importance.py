"""Which parameter of a sweep moves its objective, by Optuna's evaluators."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from couloir.sweep.axes import Axis
from couloir.sweep.charts import parameter_axes
from couloir.sweep.trials import SweepRecord, TrialRecord

if TYPE_CHECKING:
    import optuna

FEWEST = 10
"""Completed trials below which an importance would be a guess."""
FOREST = 60
"""Up to so many trials, fANOVA's forest is quick; beyond, PED-ANOVA compares the best tenth with all."""


def why_not(record: SweepRecord) -> str:
    """Why nothing can be said; empty where something can."""
    done = record.completed
    if len(done) < FEWEST:
        return f"Importances need {FEWEST} completed trials, and there are {len(done)}."
    if not varied(record):
        return "Importances need a parameter that every completed trial has and that differs between them."
    if all(len({(trial.means or [])[place] for trial in done}) < 2 for place in range(len(record.objectives))):
        return "All completed trials have the same value, so no parameter changes it."
    return ""


def varied(record: SweepRecord) -> list[Axis]:
    """The parameters that every completed trial has, and that differ between them."""
    axes = parameter_axes(record, record.completed)
    return [entry for entry in axes if None not in entry.values and len(set(entry.values)) > 1]


def method(record: SweepRecord) -> str:
    """What the numbers mean, in a sentence."""
    if len(record.completed) <= FOREST:
        return "The share of the variance that a parameter explains, by fANOVA (Hutter, Hoos and Leyton-Brown, 2014)."
    return "How far a parameter's best tenth of trials differs from all of them, by PED-ANOVA (Watanabe et al., 2023)."


def shares(record: SweepRecord, place: int) -> dict[str, float]:
    """The importance of each varied parameter for an objective; together 1, none where the objective does not move.

    Args:
        record: the sweep.
        place: which objective.
    """
    from optuna import importance

    done = record.completed
    if len({(trial.means or [])[place] for trial in done}) < 2:
        return {}
    axes = varied(record)
    evaluator: importance.BaseImportanceEvaluator = (
        importance.FanovaImportanceEvaluator(seed=0)
        if len(done) <= FOREST
        else importance.PedAnovaImportanceEvaluator()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an evaluator is new is no news to the reader
        found = importance.get_param_importances(
            studied(record, axes, done, place), evaluator=evaluator, params=[entry.name for entry in axes]
        )
    return {key: float(share) for key, share in found.items()}


def studied(record: SweepRecord, axes: Sequence[Axis], trials: Sequence[TrialRecord], place: int) -> optuna.Study:
    """The trials as a study of one objective in memory."""
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

    spaces: dict[str, BaseDistribution] = {
        entry.name: CategoricalDistribution(entry.categories)
        if entry.categories
        else FloatDistribution(min(entry.numbers), max(entry.numbers), log=entry.log)
        for entry in axes
    }
    loudness = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would tell of a study that is nobody's
    study = optuna.create_study(direction=record.objectives[place].direction)
    optuna.logging.set_verbosity(loudness)
    study.add_trials([
        optuna.trial.create_trial(
            params={entry.name: entry.values[row] for entry in axes},
            distributions=spaces, value=(trial.means or [])[place],
        )
        for row, trial in enumerate(trials)
    ])  # fmt: skip
    return study
