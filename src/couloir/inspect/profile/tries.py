"""Rounds of steps: with and without instruments, and with other settings in turn with the present one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pytorch_lightning import Callback

from couloir.config.check import checked
from couloir.config.compose import Sentence
from couloir.errors import CouloirError
from couloir.inspect.probe import Probe
from couloir.inspect.profile.candidates import CACHE, Candidate, Tried
from couloir.inspect.profile.steps import WARM_UP, Round, Setting
from couloir.log import note

ROUNDS, QUIETEST = 5, 3
"""The steps are measured in so many rounds, with and without instruments in turn, of which the fastest count: what
else runs on the machine disturbs the others.
"""
SECONDS = 1.5
"""How long the steps with instruments take, all together, where nobody says how many there are."""
FEWEST, MOST = 10, 500
"""Steps then."""
TRIES = 3
"""Settings that are tried."""
SECONDS_A_TRY = 0.25
"""How long a round of a setting takes."""
PATIENCE = 60.0
"""Seconds that trying may take: of a slow network fewer settings are tried."""


def measure(
    setting: Setting, steps: int | None, scratch: Path, watching: Sequence[Callback]
) -> tuple[list[Round], list[Round]]:
    """Rounds without instruments, and as many with them, in turn.

    Args:
        setting: the present one.
        steps: steps with instruments, all together; None: as many as take about `SECONDS`.
        scratch: a folder for what is thrown away.
        watching: what may end it.
    """
    if steps is None:
        first = setting.take(FEWEST // 2, scratch, watching)
        steps = round(min(max(SECONDS * len(first.durations) / first.seconds, FEWEST), MOST))
    rounds = min(ROUNDS, steps)
    calm, measured = [], []
    for number in range(rounds):
        count = steps // rounds + (number < steps % rounds)
        calm.append(setting.take(count, scratch, watching))
        measured.append(setting.take(count, scratch, watching, instruments=True))
    return calm, measured


def quietest(rounds: Sequence[Round]) -> list[Round]:
    """The rounds with the shortest steps, which other work on the machine has disturbed least."""
    count = QUIETEST if len(rounds) == ROUNDS else len(rounds)
    return sorted(rounds, key=lambda each: each.seconds / len(each.durations))[:count]


def try_out(
    sentence: Sentence,
    setting: Setting,
    chosen: Sequence[Candidate],
    seconds: float,
    scratch: Path,
    watching: Sequence[Callback],
) -> list[Tried]:
    """Measure the most promising settings in turn with the present one; the best comes first.

    Args:
        sentence: the present sentence.
        setting: it, built.
        chosen: the candidates, the most promising first.
        seconds: of a step.
        scratch: a folder for what is thrown away.
        watching: what may end it.
    """
    steps = round(min(max(SECONDS_A_TRY / seconds, 3), 100))
    in_time = int(PATIENCE / (ROUNDS * (steps + WARM_UP) * seconds)) - 1
    count = min(TRIES, max(1, in_time))
    built: list[tuple[Candidate, Setting]] = []
    tried: list[Tried] = []
    for candidate in chosen:
        if len(built) == count:
            break
        try:
            built.append((candidate, changed(sentence, setting, candidate.word, scratch)))
        except CouloirError as error:  # the sentence does not take it
            tried.append(Tried(candidate, problem=error.fact))
    rates: dict[str, list[float]] = {candidate.word: [] for candidate, _ in built}
    present: list[float] = []
    for candidate, other in built:
        if candidate.word == CACHE:  # each round has the same photographs: this one decodes them
            other.take(steps, scratch, watching)
    for _ in range(ROUNDS if built else 0):
        present.append(setting.take(steps, scratch, watching).samples_per_second)
        for candidate, other in built:
            rates[candidate.word].append(other.take(steps, scratch, watching).samples_per_second)
    measured = [Tried(candidate, rates[candidate.word], present) for candidate, _ in built]
    for each in (*measured, *tried):
        note.info("%s", each)
    return [*sorted(measured, key=lambda each: -each.ratio), *tried]


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
