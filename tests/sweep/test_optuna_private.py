"""What is used of Optuna's private parts, against the installed version, over a storage in memory and one in a file."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.trial import Trial, TrialState

from couloir.sweep.optuna_private import begin_trial, set_attribute, trial_id


@pytest.mark.parametrize("kept", ["memory", "file"])
def test_a_trial_begins_with_its_attributes_and_is_taken_up_and_told_by_another_process(
    kept: str, tmp_path: Path
) -> None:
    address = None if kept == "memory" else f"sqlite:///{tmp_path / 'study.db'}"
    storage = optuna.storages.get_storage(address)
    optuna.create_study(storage=storage, study_name="other").ask()  # so that the storage counts otherwise
    study = optuna.create_study(storage=storage, study_name="ours")
    begun = optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs={"place": "here"})
    trial = begin_trial(study, begun)
    assert isinstance(trial, Trial)
    assert (trial.number, trial.user_attrs) == (0, {"place": "here"})
    drawn = trial.suggest_float("x", 0, 1)

    other = optuna.load_study(storage=storage if address is None else address, study_name="ours")
    (read,) = other.get_trials()
    assert (read.state, read.params) == (TrialState.RUNNING, {"x": drawn})
    assert trial_id(read) == trial_id(trial) != read.number
    assert Trial(other, trial_id(read)).suggest_float("x", 0, 1) == drawn
    set_attribute(other, read, "outcome", {"values": [[0.5]]})
    assert study.get_trials()[0].user_attrs == {"place": "here", "outcome": {"values": [[0.5]]}}
    other.tell(read.number, 0.5)
    assert study.best_trial.value == 0.5
