"""Rounds of steps: with and without instruments, and with other settings in turn with the present one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytorch_lightning import Callback

from couloir.config.check import checked
from couloir.config.compose import Sentence
from couloir.errors import CouloirError
from couloir.inspect.probe import Probe
from couloir.inspect.profile.candidates import CACHE, Candidate, Tried
from couloir.inspect.profile.steps import SLOW, WARM_UP, Round, Setting
from couloir.log import note, say

ROUNDS, FEW_ROUNDS = 5, 3
"""The steps are measured in so many rounds, with and without instruments in turn; the second number is for a network
whose step takes `SLOW`.
"""
SECONDS = 1.5
"""How long the steps with instruments take, all together, where nobody says how many there are."""
FEWEST, MOST = 10, 500
"""Steps then; of a slow network one a round."""
TRIES = 3
"""Settings that are tried."""
SECONDS_A_TRY = 0.25
"""How long a round of a setting takes."""
HOPELESS = 0.5
"""A setting whose first few steps give less than this share of the samples a second is measured no further."""
PATIENCE = 60.0
"""Seconds that trying may take: of a slow network fewer settings are tried, at least one."""


@dataclass(frozen=True)
class Bench:
    """Where steps are taken, and what may end them.

    Attributes:
        scratch: a folder for what is thrown away.
        watching: callbacks of each training.
        tell: hears how far the work is.
    """

    scratch: Path
    watching: Sequence[Callback]
    tell: Callable[[str], None] = lambda text: None

    def take(self, setting: Setting, steps: int, seconds: float, instruments: bool = False) -> Round:
        """A round of steps that take about so many seconds each."""
        warm_up = WARM_UP if seconds < SLOW else 1
        return setting.take(steps, self.scratch, self.watching, instruments, warm_up)


def measure(setting: Setting, steps: int | None, bench: Bench) -> tuple[list[Round], list[Round]]:
    """Rounds without instruments, and as many with them, in turn.

    Args:
        setting: the present one.
        steps: steps with instruments, all together; None: as many as take about `SECONDS`.
        bench: where.
    """
    bench.tell("the first steps")
    first = bench.take(setting, 2, SLOW)
    seconds = first.seconds / len(first.durations)
    if steps is None:
        fewest = FEWEST if seconds < SLOW else FEW_ROUNDS
        steps = round(min(max(SECONDS / seconds, fewest), MOST))
    rounds = min(ROUNDS if seconds < SLOW else FEW_ROUNDS, steps)
    if (minutes := seconds * (steps + 2 * rounds) * 4 / 60) > 1:
        say.info("a step takes about %.2g s, so this takes about %.0f minutes", seconds, minutes)
    calm, measured = [], []
    for number in range(rounds):
        bench.tell(f"round {number + 1} of {rounds}, {seconds:.2g} s a step")
        count = steps // rounds + (number < steps % rounds)
        calm.append(bench.take(setting, count, seconds))
        measured.append(bench.take(setting, count, seconds, instruments=True))
    return calm, measured


def quietest(rounds: Sequence[Round]) -> list[Round]:
    """The larger half of the rounds, those with the shortest steps: other work on the machine disturbs the others."""
    return sorted(rounds, key=lambda each: each.seconds / len(each.durations))[: len(rounds) // 2 + 1]


def try_out(
    sentence: Sentence, setting: Setting, chosen: Sequence[Candidate], seconds: float, bench: Bench
) -> list[Tried]:
    """Measure the most promising settings in turn with the present one; the best comes first.

    Args:
        sentence: the present sentence.
        setting: it, built.
        chosen: the candidates, the most promising first.
        seconds: of a step.
        bench: where.
    """
    steps = round(min(max(SECONDS_A_TRY / seconds, 3 if seconds < SLOW else 1), 100))
    rounds = ROUNDS if seconds < SLOW else FEW_ROUNDS
    in_time = int(PATIENCE / (rounds * (steps + WARM_UP) * seconds)) - 1
    count = min(TRIES, max(1, in_time))
    settings: list[tuple[Candidate, Setting]] = []
    refused: list[Tried] = []
    for candidate in chosen:
        if len(settings) == count:
            break
        try:
            settings.append((candidate, changed(sentence, setting, candidate.word, bench.scratch)))
        except CouloirError as error:  # the sentence does not take it
            refused.append(Tried(candidate, problem=error.fact))
    measured = in_turn(setting, settings, steps, seconds, bench) if settings else []
    for each in (*measured, *refused):
        note.info("%s", each)
    return [*sorted(measured, key=lambda each: -each.ratio), *refused]


def in_turn(
    setting: Setting, others: Sequence[tuple[Candidate, Setting]], steps: int, seconds: float, bench: Bench
) -> list[Tried]:
    """Rounds of steps with each setting, the present one first; what is far slower is left out after a look."""
    rounds = ROUNDS if seconds < SLOW else FEW_ROUNDS
    few = max(2 if seconds < SLOW else 1, steps // 10)
    look = bench.take(setting, few, seconds).samples_per_second
    rates: dict[str, list[float]] = {}
    hopeless: list[Tried] = []
    for candidate, other in others:
        bench.tell(f"a look at {candidate.word}")
        # Each round has the same photographs: where they are kept on disk, this one decodes them.
        rate = bench.take(other, steps if candidate.word == CACHE else few, seconds).samples_per_second
        if rate < HOPELESS * look and candidate.word != CACHE:
            hopeless.append(Tried(candidate, [rate], [look]))
        else:
            rates[candidate.word] = []
    present: list[float] = []
    for number in range(rounds if rates else 0):
        bench.tell(f"round {number + 1} of {rounds}, {', '.join(rates)}")
        present.append(bench.take(setting, steps, seconds).samples_per_second)
        for candidate, other in others:
            if candidate.word in rates:
                rates[candidate.word].append(bench.take(other, steps, seconds).samples_per_second)
    tried = [Tried(candidate, rates[candidate.word], present) for candidate, _ in others if candidate.word in rates]
    return [*tried, *hopeless]


def changed(sentence: Sentence, setting: Setting, word: str, scratch: Path) -> Setting:
    """The setting with one word more; what it does not change is shared.

    Raises:
        CouloirError: the sentence does not take the word.
    """
    words = [*sentence.overrides, word]
    if word == CACHE:
        words.append(f"data.cache_dir={scratch / 'cache'}")
    cfg = checked(words).cfg
    if word.startswith("data.batch_size=") and sentence.cfg.optimizer == cfg.optimizer:
        setting.data.train_batches(int(cfg.data.batch_size)).close()  # a user's own data refuses
        return replace(setting, cfg=cfg, batch_size=int(cfg.data.batch_size))
    if word.startswith("trainer.") and not word.startswith("trainer.log_every"):
        return replace(setting, cfg=cfg)
    return Setting.of(Probe.of(cfg))
