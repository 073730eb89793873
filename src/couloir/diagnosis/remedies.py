"""The course's remedies as overrides that fit a run's own configuration, the most promising first.

A cause that the configuration shows comes before a remedy for the symptom: a rate, a decay or an initializer that is
far from the usual ones is changed first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from couloir.diagnosis import generative_remedies
from couloir.diagnosis.finding import Remedy
from couloir.diagnosis.reading import HIGH, Reading
from couloir.diagnosis.settings import FAST, SATURATING, USUAL_MOMENTUM, Proposed, Settings, typed

MOST = 4
"""Remedies that are proposed."""
HARDLY_MOVED = 0.02
"""The share of the first loss that a network with long enough steps comes down by."""
GAPS = ("overfitting", "memorisation", "unrepresentative_training", "unrepresentative_validation")
"""Cases that steps which are too long may look like, where the training loss has stayed high."""
UNFINISHED = ("underfitting", "halted_early")
"""Cases in which there is more to learn, so that a network which is held back is let go, however low its loss."""
OF_DATA = ("leak_suspected", "waiting_for_data", *generative_remedies.PROPOSALS)
"""Cases that no weight decay and no dropout brings about."""
DEEP = 3
"""Hidden layers from which on sigmoids shrink gradients much."""
SHORT = 10
"""Epochs below which a run that was halted early needs four times as many, not twice."""
SPIKE = 2.0
"""Times the loss of guessing: beyond it a step was too long."""
MANY_SAMPLES = 200
"""Validation samples from which on there are enough of them."""


def remedies(case: str, reading: Reading) -> tuple[Remedy, ...]:
    """What to try against a case; none where the configuration is unknown.

    No remedy moves a key the other way than one before it, nor to or beyond a value that an earlier run has tried.

    Args:
        case: one of `couloir.diagnosis.finding.TITLES`.
        reading: the run.
    """
    if reading.config is None:
        return ()
    settings = Settings(reading)
    kept: dict[str, Remedy] = {}
    ways: dict[str, bool] = {}
    proposed = PROPOSALS[case](settings)
    if case in GAPS and settings.races and not reading.below(HIGH):
        proposed = chain(settings.shorter_steps("takes shorter steps: the rate is far above the usual one"), proposed)
    if case in UNFINISHED or (case not in OF_DATA and not reading.below(HIGH)):
        proposed = chain(settings.less_hindrance(), proposed)
    for remedy in proposed:
        moved = _ways(remedy, settings)
        same = all(ways.get(key, up) == up for key, up in moved.items())
        if same and not _tried_already(remedy, settings):
            kept.setdefault(remedy.words, replace(remedy, instead=_instead(remedy, reading)))
            ways |= moved
    return tuple(kept.values())[:MOST]


def _instead(remedy: Remedy, reading: Reading) -> tuple[str, ...]:
    """The words of the run that set keys of a choice that the remedy replaces, and that another choice may lack."""
    changed = [word.partition("=")[0] for word in remedy.words.split(" ")]
    keys = [(word, word.lstrip("+~").partition("=")[0]) for word in reading.words or ()]
    return tuple(
        word for word, key in keys if key not in changed and any(key.startswith(f"{group}.") for group in changed)
    )


def _ways(remedy: Remedy, run: Settings) -> dict[str, bool]:
    """The numeric keys that a remedy changes, and whether it makes them larger."""
    found = {}
    for key, _, text in (word.partition("=") for word in remedy.words.split(" ")):
        before, after = _size(run.get(key)), _size(_value(text))
        if before is not None and after is not None:
            found[key] = after > before
    return found


def _tried_already(remedy: Remedy, run: Settings) -> bool:
    """Whether an earlier run, of the same words but for one key, has had its value, or one on the way to it."""
    for key, _, text in (word.partition("=") for word in remedy.words.split(" ")):
        before, after = _size(run.get(key)), _size(_value(text))
        for value in (value for tried, value in run.reading.tried if tried == key):
            there = _size(value)
            if before is None or after is None or there is None:
                if str(value) == text:
                    return True
            elif there != before and min(before, after) <= there <= max(before, after):
                return True
    return False


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _size(value: Any) -> float | None:
    """A number, or the sum of a list of numbers."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    whole = isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(one, int) for one in value)
    return float(sum(value)) if whole else None


def _underfitting(run: Settings) -> Proposed:
    train = run.reading.train
    hardly = train is not None and abs(train.first - train.end) < HARDLY_MOVED * abs(train.first)
    yield from run.robust_loss()
    if run.reading.rebuilds and not hardly:
        yield from run.code(2, "makes the code longer: more of a sample fits in")
    yield from run.usual_steps()
    yield from run.more_that_learns()
    if run.races and not run.reading.learned:
        yield from run.shorter_steps("takes shorter steps: the rate is far above the usual one")
    if hardly or not run.reading.learned:
        yield from run.initializer("begins with weights that keep a signal's size")
    if run.get("model.activation") == "sigmoid" and (hardly or len(run.widths) >= DEEP):
        yield Remedy("model.activation=relu", "takes a function that does not shrink gradients")
    if run.straight and run.has("model.hidden"):
        yield Remedy("model.hidden=[64]", "adds a hidden layer: more capacity")
    elif run.straight and run.free:
        yield Remedy("model=mlp", "adds hidden layers: more capacity")
    degree = run.number("model.degree")
    if degree is not None:
        yield Remedy(f"model.degree={int(degree) + 2}", "adds powers: more capacity")
    if hardly and (run.pace is None or run.pace < 1):
        yield from run.rate(10, "takes longer steps, since the loss has hardly moved")
    yield from run.layers(4, "makes the layers wider: more capacity")
    if run.widths and not run.pretrained:
        yield Remedy(f"model.hidden={typed([*run.widths, run.widths[-1]])}", "adds a layer: more capacity")
    if run.target("model").endswith((".lenet5", ".convnet")) and run.free:
        yield Remedy("model=resnet20", "takes a deeper network: more capacity")
    if run.pace is None or run.pace < FAST:
        yield from run.rate(3, "takes longer steps, if the curves creep")


def _halted_early(run: Settings) -> Proposed:
    yield from run.usual_steps()
    if run.low_capacity and not run.reading.below(HIGH):
        yield from run.layers(4, "makes the layers wider: so few weights learn little, however long")
    if run.reading.has_players:
        yield from run.epochs(2, "gives the players the time to go on")
        return
    yield from run.epochs(4 if run.reading.epochs < SHORT else 2, "gives the losses the time to come down")
    yield from run.rate(2, "takes longer steps, if that takes too long")


def _overfitting(run: Settings) -> Proposed:
    yield from run.more_samples()
    yield from run.less_that_learns()
    yield from run.robust_loss()
    yield from run.regularised()
    yield from run.layers(0.5, "makes the layers narrower: less capacity")
    degree = run.number("model.degree")
    if degree is not None and degree >= 3:
        yield Remedy(f"model.degree={int(degree) - 2}", "takes powers away: less capacity")
    if run.has("callbacks.early_stopping.patience") and run.get("callbacks.early_stopping.patience") is None:
        yield Remedy("callbacks.early_stopping.patience=5", "ends the run when the validation loss no longer falls")
    yield from run.rate(0.3, "learns more slowly")


def _memorisation(run: Settings) -> Proposed:
    yield from run.more_samples()
    yield from run.robust_loss()
    yield from run.regularised()
    yield from run.layers(0.5, "makes the layers narrower, so that less fits in")
    yield from run.rate(0.3, "learns more slowly")


def _unrepresentative_training(run: Settings) -> Proposed:
    yield from run.more_samples()
    yield from run.robust_loss()
    share = run.number("data.val_fraction")
    if share is not None and share >= 0.3:
        yield from run.held_out(0.5, "leaves more samples to train on")
    yield from run.regularised()
    yield from run.other_split("splits the samples differently, to see whether the gap was chance")


def _unrepresentative_validation(run: Settings) -> Proposed:
    if (run.reading.sizes.get("val") or 0) >= MANY_SAMPLES:
        yield from run.rate(0.3, "takes shorter steps: there are many samples, so it may be the weights that jump")
    yield from run.more_to_judge()
    yield from run.rate(0.3, "takes shorter steps, in case it is the weights that jump")
    yield from run.other_split("holds out other samples")


def _rate_too_large(run: Settings) -> Proposed:
    if run.pace is not None and not run.races:
        yield from run.initializer("begins with weights that keep a signal's size: the rate is a usual one")
    yield from run.shorter_steps()
    momentum = run.number("optimizer.momentum")
    if momentum is not None and momentum > USUAL_MOMENTUM:
        yield Remedy("optimizer.momentum=0.9", "adds ten steps up instead of more")
    elif momentum is not None and momentum >= 0.5:
        yield Remedy("optimizer.momentum=0.5", "adds two steps up instead of ten")
    if not run.reading.has_players:  # no loss says when to reduce it, and several optimizers are not clipped
        yield from run.scheduler("plateau", "reduces the rate when the validation loss no longer falls")
        yield from run.adam()
        yield from run.clipping()
    if run.target("loss").endswith(".MeanSquaredError") and run.free:
        yield Remedy("loss=huber", "takes another loss, which grows less with large errors")


def _vanishing_gradients(run: Settings) -> Proposed:
    yield from run.initializer("begins with weights that keep a signal's size")
    if run.get("model.activation") not in SATURATING and (run.races or spiked(run)):
        yield from run.shorter_steps("takes shorter steps: units died, and no gradient passes them")
    if run.get("model.activation") in SATURATING:
        yield Remedy("model.activation=relu", "takes a function that does not shrink gradients")
    if run.has("model.batch_norm") and not run.get("model.batch_norm"):
        yield Remedy("model.batch_norm=true", "standardises what goes through each layer")
    if len(run.widths) > 3:
        yield Remedy(f"model.hidden={typed(run.widths[:3])}", "takes fewer layers")
    yield from run.adam()
    if run.pace is None or (run.pace < FAST and not thrown_off(run)):
        yield from run.rate(3, "takes longer steps")


def _exploding_gradients(run: Settings) -> Proposed:
    yield from run.initializer("begins with weights that keep a signal's size")
    if run.races:
        yield from run.shorter_steps()
    yield from run.clipping()
    yield from run.shorter_steps()
    if run.has("model.batch_norm") and not run.get("model.batch_norm"):
        yield Remedy("model.batch_norm=true", "standardises what goes through each layer")


def _dead_units(run: Settings) -> Proposed:
    yield from run.initializer("begins with weights of both signs that keep a signal's size")
    if thrown_off(run):
        yield from run.shorter_steps("takes shorter steps, which do not throw units out of reach of all data")
    if run.get("model.activation") == "relu":
        yield Remedy("model.activation=leaky_relu", "takes a function that passes something on for all inputs")
    yield from run.shorter_steps("takes shorter steps, which do not throw units out of reach of all data")
    if run.has("model.batch_norm") and not run.get("model.batch_norm"):
        yield Remedy("model.batch_norm=true", "centres what comes into each unit")


def thrown_off(run: Settings) -> bool:
    """Whether a step that was too long killed units: the rate is unusual, the loss rose far, or they lived at first."""
    dead = run.reading.curve("gradients/dead_units")
    lived = dead is not None and dead.first < 0.5 * dead.newest.value
    return spiked(run) or lived or run.races


def spiked(run: Settings) -> bool:
    """Whether the training loss was once far above that of guessing."""
    train, chance = run.reading.train, run.reading.chance
    return train is not None and chance is not None and train.largest.value > SPIKE * chance


def _waiting_for_data(run: Settings) -> Proposed:
    workers = run.number("data.workers")
    if workers is not None:
        yield Remedy(f"data.workers={2 * int(workers) or 2}", "prepares batches in more processes")
    if run.has("data.cache") and run.get("data.cache") is False:
        yield Remedy("data.cache=true", "keeps decoded photographs on disk")
    batch: Any = run.get("data.batch_size")
    if isinstance(batch, int) and batch < 32:
        yield Remedy(
            f"data.batch_size={4 * batch}",
            "fetches fewer and larger batches; let the rate follow with optimizer.scale_lr",
        )


def _leak_suspected(run: Settings) -> Proposed:
    if run.get("overfit") is not None:
        yield from run.more_samples()
    yield from run.dropout()
    yield from run.rate(0.3, "learns more slowly, so that wrong labels are learned by heart later than right ones")
    yield from run.other_split("splits the samples differently, to see whether it was chance")
    yield from run.held_out(2, "holds out more samples for validation")


PROPOSALS: dict[str, Callable[[Settings], Proposed]] = {
    "underfitting": _underfitting,
    "halted_early": _halted_early,
    "overfitting": _overfitting,
    "memorisation": _memorisation,
    "unrepresentative_training": _unrepresentative_training,
    "unrepresentative_validation": _unrepresentative_validation,
    "rate_too_large": _rate_too_large,
    "vanishing_gradients": _vanishing_gradients,
    "exploding_gradients": _exploding_gradients,
    "dead_units": _dead_units,
    "waiting_for_data": _waiting_for_data,
    "leak_suspected": _leak_suspected,
    **generative_remedies.PROPOSALS,
}
