"""What proposes the settings of a sweep's trials: Optuna's samplers, seeded for each trial by its number.

A sampler that goes on with its random numbers from trial to trial proposes something else once a sweep is taken up
again, or where several machines share it. Here the numbers of trial k follow from (seed, k) and from what is known of
the other trials alone.
"""

from __future__ import annotations

import hashlib
import importlib.util
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from couloir.errors import CouloirError
from couloir.sweep.space import Grid, Space

Seeded = Callable[[int], BaseSampler]
"""A sampler for a seed."""


class SeededByNumber(BaseSampler):
    """Asks, for each trial, a sampler with a seed of that trial's own.

    Args:
        make: the sampler for a seed.
        seed: of the sweep.
    """

    def __init__(self, make: Seeded, seed: int) -> None:
        self.make, self.seed = make, seed
        self._number = -1
        self._sampler: BaseSampler | None = None

    def of(self, number: int) -> BaseSampler:
        """The sampler of a trial."""
        if self._sampler is None or number != self._number:
            digest = hashlib.sha256(f"{self.seed}/{number}".encode()).digest()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._sampler = self.make(int.from_bytes(digest[:4], "little"))
            self._number = number
        return self._sampler

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As the trial's sampler does."""
        return self.of(trial.number).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the trial's sampler does."""
        return self.of(trial.number).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As the trial's sampler does."""
        return self.of(trial.number).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """As the trial's sampler does."""
        self.of(trial.number).before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """As the trial's sampler does."""
        self.of(trial.number).after_trial(study, trial, state, values)


class GridSampler(BaseSampler):
    """Gives trial k the k-th setting of a grid, so that no two machines that share a study take the same one.

    Args:
        grid: the settings.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing is drawn together."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing is drawn together."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The value of the trial's setting; beyond the last setting, which is a trial too many, that of the last."""
        return self.grid[min(trial.number, len(self.grid) - 1)][param_name]


def grid() -> None:
    """Every setting once, in the order of nested loops; stands for the sampler, which needs the space."""
    return


def at_random() -> Seeded:
    """Each value for itself, evenly over its interval or list (Bergstra and Bengio, 2012)."""
    return lambda seed: RandomSampler(seed=seed)


def tpe(n_startup_trials: int = 10, multivariate: bool = True, n_ei_candidates: int = 24) -> Seeded:
    """Tree-structured Parzen estimator (Bergstra et al., 2011, Algorithms for Hyper-Parameter Optimization, section 4).

    Args:
        n_startup_trials: trials at random before it begins to learn.
        multivariate: model the values together instead of each alone (Falkner et al., 2018, section 4.1); keys under a
            condition form groups of their own.
        n_ei_candidates: settings that are drawn, of which the most promising is tried.
    """
    return lambda seed: TPESampler(
        seed=seed,
        n_startup_trials=n_startup_trials,
        multivariate=multivariate,
        group=multivariate,
        n_ei_candidates=n_ei_candidates,
    )


def gp(n_startup_trials: int = 10, deterministic_objective: bool = False) -> Seeded:
    """A Gaussian process and its expected improvement (Snoek et al., 2012, Practical Bayesian Optimization).

    Args:
        n_startup_trials: trials at random before it begins to learn.
        deterministic_objective: whether the same setting always gives the same number.
    """
    return lambda seed: GPSampler(
        seed=seed, n_startup_trials=n_startup_trials, deterministic_objective=deterministic_objective,
        warn_independent_sampling=False,
    )  # fmt: skip


def cmaes(n_startup_trials: int = 5, sigma0: float | None = None) -> Seeded:
    """Covariance matrix adaptation (Hansen, 2016, The CMA Evolution Strategy: A Tutorial); choices are left to TPE.

    Args:
        n_startup_trials: trials at random before it begins.
        sigma0: the first standard deviation, in units of the interval; None: a sixth of it.

    Raises:
        CouloirError: the package cmaes is not there.
    """
    if importlib.util.find_spec("cmaes") is None:
        raise CouloirError("sweep=cmaes needs the package cmaes.", next_step="pip install 'couloir[sweep]'")
    return lambda seed: CmaEsSampler(
        seed=seed, n_startup_trials=n_startup_trials, sigma0=sigma0, warn_independent_sampling=False,
        independent_sampler=TPESampler(seed=seed, n_startup_trials=n_startup_trials),
    )  # fmt: skip


def sampler(made: Any, space: Space, seed: int, known: Callable[[str], str]) -> tuple[BaseSampler, int | None]:
    """The sampler of a sweep, and how many settings it has, where they are counted.

    Args:
        made: what `sweep.sampler` instantiates to: a function of the seed, a sampler of Optuna's interface, or None for
            the grid.
        space: the search space.
        seed: of the sweep.
        known: what a key is that is not swept.
    """
    if made is None:
        settings = Grid(space, known)
        return GridSampler(settings), len(settings)
    if isinstance(made, BaseSampler):
        return made, None
    return SeededByNumber(made, seed), None
