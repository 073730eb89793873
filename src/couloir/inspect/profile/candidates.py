"""Which settings may make steps faster, by what takes their time, and whether what was measured is more than noise."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from couloir.inspect.profile.account import (
    AUGMENTATION,
    BACKWARD,
    FORWARD,
    LOADING,
    LOGGING,
    LOSS,
    METRICS,
    OPTIMIZER,
    REST,
)

CACHE = "data.cache=true"
HAND_OVER = 1e-3
"""Seconds that a batch from a worker costs, about; who waits less for one gains nothing by workers."""
NOTICEABLE = 1.03
"""A setting must give so many times the samples a second to be worth a word."""
COMPUTE = (FORWARD, LOSS, BACKWARD)
AROUND = (METRICS, LOGGING, REST)
"""What each step costs beside the arithmetic; more samples a step share it."""


@dataclass(frozen=True)
class Facts:
    """What the choice of candidates goes by.

    Attributes:
        share: what some parts take of a step.
        seconds: of a step.
        keys: the sentence's configuration, plain values.
        samples: of the training split.
        threads: CPU threads of an operation.
        cores: of the machine that this process may use.
        gpu: whether the steps run on a GPU.
        convolutions: whether the network has two-dimensional convolutions.
        fusible: whether PyTorch has a fused kernel for the optimizer.
        compiles: whether there is a compiler for the device.
    """

    share: Callable[..., float]
    seconds: float
    keys: Mapping[str, Any]
    samples: int
    threads: int
    cores: int
    gpu: bool
    convolutions: bool
    fusible: bool
    compiles: bool


@dataclass(frozen=True)
class Candidate:
    """A setting to try.

    Attributes:
        word: the override.
        why: what it is about.
        part: the share of a step that it is about.
        learns_alike: whether the training is the same but for rounding.
    """

    word: str
    why: str
    part: float
    learns_alike: bool = True


def candidates(facts: Facts) -> list[Candidate]:
    """What may help, the most promising first."""
    found = [*_loading(facts), *_compute(facts), *_update(facts), *_around(facts), *_batch(facts)]
    return sorted(found, key=lambda each: -each.part)


def _loading(facts: Facts) -> list[Candidate]:
    data, share = facts.keys["data"], facts.share(LOADING)
    if share < 0.1:
        return []
    found = []
    workers = facts.cores if data.get("workers") is None else int(data["workers"])
    if "workers" in data and (workers > 0 or share * facts.seconds > HAND_OVER):
        other = facts.cores if workers < facts.cores else 0
        found.append(Candidate(f"data.workers={other}", f"{_shown(share)} of a step waits for batches", share))
        if 0 < workers < facts.cores:
            found.append(Candidate("data.workers=0", f"{_shown(share)} of a step waits for batches", share * 0.5))
    if data.get("cache") is False:
        found.append(Candidate(CACHE, "decoded photographs are kept on disk", share))
    return found


def _compute(facts: Facts) -> list[Candidate]:
    trainer, share = facts.keys["trainer"], facts.share(*COMPUTE, AUGMENTATION)
    if share < 0.3:
        return []
    found, why = [], f"the network takes {_shown(facts.share(*COMPUTE))} of a step"
    if facts.convolutions and "channels_last" in trainer:
        flipped = str(not trainer["channels_last"]).lower()
        found.append(Candidate(f"trainer.channels_last={flipped}", why, share))
    if facts.gpu:
        if trainer.get("precision") in ("32-true", 32, "32"):
            found.append(Candidate("trainer.precision=bf16-mixed", why, share * 1.1))
        if facts.compiles and not trainer.get("compile"):
            found.append(Candidate("trainer.compile=true", why, share * 0.9))
    elif "threads" in trainer:
        other = facts.cores if facts.threads < facts.cores else 1
        if other != facts.threads:
            found.append(Candidate(f"trainer.threads={other}", why, share * 0.95))
    return found


def _update(facts: Facts) -> list[Candidate]:
    trainer, share = facts.keys["trainer"], facts.share(OPTIMIZER)
    if share < 0.08 or not facts.fusible or "fused" not in trainer:
        return []
    why = f"the optimizer takes {_shown(share)} of a step"
    return [Candidate(f"trainer.fused={str(not trainer['fused']).lower()}", why, share)]


def _around(facts: Facts) -> list[Candidate]:
    trainer, found = facts.keys["trainer"], []
    share, logging = facts.share(*AROUND), facts.share(LOGGING)
    if trainer.get("short_steps") is False and share > 0.1:
        found.append(Candidate("trainer.short_steps=true", f"the loop takes {_shown(share)} of a step", share))
    if logging > 0.05 and int(trainer.get("log_every_n_steps") or 50) < 50:
        found.append(Candidate("trainer.log_every_n_steps=50", f"logging takes {_shown(logging)}", logging))
    gradients = (facts.keys.get("callbacks") or {}).get("gradients") or {}
    if logging > 0.1 and gradients.get("every_n_epochs") is not None:
        why = f"callbacks take {_shown(logging)}"
        found.append(Candidate("callbacks.gradients.every_n_epochs=null", why, logging * 0.5))
    return found


def _batch(facts: Facts) -> list[Candidate]:
    """A larger batch: more samples share what a step costs whatever its size; but it is another training."""
    size = facts.keys["data"].get("batch_size")
    if not isinstance(size, int) or 2 * size > facts.samples:
        return []
    share = facts.share(OPTIMIZER, *AROUND)
    why = f"more samples share the {_shown(share)} of a step that do not grow with the batch"
    return [Candidate(f"data.batch_size={2 * size}", why, share, learns_alike=False)]


def _shown(share: float) -> str:
    return f"{share:.0%}"


@dataclass(frozen=True)
class Tried:
    """A candidate that was measured, in turn with the present setting.

    Attributes:
        candidate: the setting.
        rates: samples a second in each round.
        present: those of the present setting in the same rounds.
        problem: why it could not be measured; empty where it was.
    """

    candidate: Candidate
    rates: Sequence[float] = ()
    present: Sequence[float] = ()
    problem: str = ""

    @property
    def samples_per_second(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rates)

    @property
    def present_samples_per_second(self) -> float:
        """The median of the present setting's rounds."""
        return statistics.median(self.present)

    @property
    def ratio(self) -> float:
        """How many times the samples a second of the present setting."""
        return self.samples_per_second / self.present_samples_per_second

    @property
    def is_better(self) -> bool:
        """Whether it is faster by more than the noise: by a share that is worth a word, and in every round.

        Two settings that are alike win five rounds in a row once in 32 times.
        """
        ahead = all(new > old for new, old in zip(self.rates, self.present, strict=True))
        return bool(self.rates) and ahead and self.ratio >= NOTICEABLE


def best(tried: Sequence[Tried]) -> Tried | None:
    """What is most worth changing; a setting that changes the training only where no other helps."""
    better = [each for each in tried if each.is_better]
    alike = [each for each in better if each.candidate.learns_alike]
    return max(alike or better, key=lambda each: each.ratio, default=None)
