"""What Couloir uses of Optuna's private parts; `tests/sweep/test_optuna_private.py` fails when they change."""

from __future__ import annotations

from typing import Any

from optuna import Study
from optuna.trial import BaseTrial, FrozenTrial, Trial


def begin_trial(study: Study, begun: FrozenTrial) -> Trial:
    """Add a trial that has its attributes from the start. `_storage`, `_study_id`: `Study.ask` adds one without any."""
    return Trial(study, study._storage.create_new_trial(study._study_id, template_trial=begun))


def trial_id(trial: BaseTrial) -> int:
    """A trial's number in the storage, by which another process takes it up. `_trial_id`: `number` is the study's."""
    found: int = trial._trial_id  # type: ignore[attr-defined]
    return found


def set_attribute(study: Study, trial: FrozenTrial, name: str, value: Any) -> None:
    """Keep an attribute of a trial that was read. `_storage`: in public only a trial that is at work takes one."""
    study._storage.set_trial_user_attr(trial._trial_id, name, value)
