"""Which fold a run tests on: said, there, and known before torch is imported."""

from __future__ import annotations

import pytest

from couloir.config.check import checked
from couloir.config.folds import number_of_folds, refuse_too_few
from couloir.errors import CouloirError


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data.folds=5", "seed=1"], ["`train -m data.folds=5 seed=1` trains a run for each fold",
                                      "`train data.folds=5 seed=1 data.fold=0` trains one"]),
        (["data.folds=5", "data.fold=5"], ["no data.fold=5: the 5 folds are 0 to 4"]),
        (["data.fold=1"], ["data.folds does not say how many"]),
        (["data.folds=1"], ["data.folds takes an integer >= 2"]),
        (["data.folds=5", "data.fold=-1"], ["data.fold takes an integer >= 0"]),
        (["data.folds=5", "data.fold=0", "overfit=8"], ["there are no folds", "leave overfit or data.folds out"]),
    ],
)  # fmt: skip
def test_a_fold_that_is_not_said_or_not_there_is_explained(words: list[str], said: list[str]) -> None:
    with pytest.raises(CouloirError) as error:
        checked(words)
    assert all(part in str(error.value) for part in said), error.value


def test_a_sweep_names_the_fold_of_each_run_itself() -> None:
    assert number_of_folds(checked(["data.folds=4"], each_fold=True).cfg) == 4
    assert number_of_folds(checked(["data.folds=4", "data.fold=2"]).cfg) is None
    assert number_of_folds(checked([]).cfg) is None


def test_what_needs_no_data_needs_no_fold() -> None:
    assert checked(["data.folds=4"], reads_data=False).cfg.data.folds == 4


@pytest.mark.parametrize(
    ("folds", "samples", "groups"),
    [(2, 3, None), (3, 3, None), (5, 100, 5), ("leave_one_group_out", 3, 3), (9, None, None)],
)
def test_as_many_folds_as_there_are_samples_and_groups_are_enough(folds: int | str, samples: int, groups: int) -> None:
    refuse_too_few(folds, samples, groups)


@pytest.mark.parametrize(
    ("folds", "samples", "groups"),
    [(2, 2, None), (6, 5, None), (6, 100, 5), (2, 100, 2), ("leave_one_group_out", 9, 2)],
)
def test_more_folds_than_that_are_too_many(folds: int | str, samples: int, groups: int) -> None:
    with pytest.raises(CouloirError, match="needs"):
        refuse_too_few(folds, samples, groups)
