"""Rules that compare a trial with the others at the same epoch; each is Optuna's, under the names of the papers."""

from __future__ import annotations

from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, SuccessiveHalvingPruner


def median(n_startup_trials: int = 5, n_warmup_epochs: int = 0, every_n_epochs: int = 1) -> BasePruner:
    """Ends a trial whose best value so far is worse than the median of the others' at that epoch (Golovin et al., 2017,
    Google Vizier, section 3.2.2).

    Args:
        n_startup_trials: completed trials before any is ended.
        n_warmup_epochs: epochs that every trial has.
        every_n_epochs: how often it is looked.
    """
    return MedianPruner(
        n_startup_trials=n_startup_trials, n_warmup_steps=n_warmup_epochs, interval_steps=every_n_epochs
    )


def asha(min_epochs: int = 1, reduction_factor: int = 3, min_early_stopping_rate: int = 0) -> BasePruner:
    """Asynchronous successive halving (Li et al., 2020, A System for Massively Parallel Hyperparameter Tuning, section
    3): of the trials that come to an epoch of min_epochs times a power of the factor, the best 1/factor go on.

    Args:
        min_epochs: epochs that every trial has.
        reduction_factor: the share that goes on is one in so many.
        min_early_stopping_rate: the power of the first such epoch.
    """
    return SuccessiveHalvingPruner(
        min_resource=min_epochs, reduction_factor=reduction_factor, min_early_stopping_rate=min_early_stopping_rate
    )


def hyperband(min_epochs: int = 1, max_epochs: int | None = None, reduction_factor: int = 3) -> BasePruner:
    """Several successive halvings, which begin to prune at different epochs (Li et al., 2018, Hyperband, section 3).

    Args:
        min_epochs: epochs that every trial has.
        max_epochs: epochs that the longest trials have.
        reduction_factor: the share that goes on is one in so many.
    """
    longest: int | str = "auto" if max_epochs is None else max_epochs
    return HyperbandPruner(min_resource=min_epochs, max_resource=longest, reduction_factor=reduction_factor)
