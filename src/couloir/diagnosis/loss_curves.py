"""The rules of loss curves: the cases of the course, and a validation loss that is too good.

Each rule looks at a `View` and answers with a sentence, or with None. Shares are of the picture's height.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from statistics import median

from couloir.diagnosis.curve import Curve
from couloir.diagnosis.finding import number, quoted
from couloir.diagnosis.view import NOTHING_LEARNED, STEADILY, VISIBLE, View

Rule = Callable[[View], str | None]

RISEN = 0.06
"""A validation loss that has risen by so much is not noise, nor the last epochs before early stopping."""
RISEN_TRAINING = 0.1
LARGE_GAP = 0.15
LARGE_GAP_SINCE_FIRST = 0.2
"""Where chance is unknown: the first epoch, which has already learned, stands for it."""
STILL_LEARNED = 0.2
"""What training must have fallen since validation levelled off, for it to be learned by heart."""
OSCILLATING = 0.045
SMOOTHER = 4
"""Times that a validation loss must be noisier than training."""
JUMPING = 0.08
WORSE_THAN_CHANCE = 1.01
"""Times the loss of guessing: a network whose steps are short enough comes down to it, be it a poor one."""
FAR_WORSE = 2.0
RESTLESS = 0.001
"""Noise, as a share of the loss of guessing, of weights that are thrown about; where steps are tiny it is less."""
SOLVED = 0.05
"""The share of what chance gets wrong below which jumps do not matter."""
MANY_SAMPLES = 200
MANY_FLIPS = 8
"""Samples that change sides from epoch to epoch: more than a small validation set explains."""
LEADING = 0.2
LEADING_RATIO = 0.7
"""Times the training loss that validation must be below, where both are positive."""
LEADING_ACCURACY = 0.05
"""What the accuracy of validation must be better by, where there is one."""
HARDER_IN_TRAINING = (
    "averaging", "model.dropout", "model.input_dropout", "model.drop_path", "model.stochastic_depth",
)  # fmt: skip
"""Keys that make training harder than validation, so that a lower validation loss is no wonder."""


def rate_too_large(view: View) -> str | None:
    """The training loss rises after some iterations, jumps, or is worse than that of guessing."""
    train, chance = view.train, view.reading.chance
    since = train.epochs[-1] - train.epochs[train.lowest]
    if train.rise >= RISEN_TRAINING * view.height and train.rise >= train.rise_for_noise and since >= 2:
        return f"the training loss {_risen(train)}."
    astray = chance is not None and (
        train.first > FAR_WORSE * chance or median(train.values[1:]) > WORSE_THAN_CHANCE * chance
    )
    restless = train.noise >= RESTLESS * (chance or 0.0) and train.descent < STEADILY
    if astray and restless and not view.learned:
        worst = f"was {quoted(train.largest)} at its highest and is {quoted(train.newest)} at the end"
        return f"the training loss {worst}; guessing gives {number(chance or 0.0)}. The steps are too long."
    settled = train.values[len(train) // 5 :]
    jump = JUMPING * max(view.height, abs(train.end))
    jumps = sum(after - before > 2 * jump for before, after in pairwise(settled))
    share = view.unexplained("train")
    calm = (share is not None and share < SOLVED) or view.reading.key("trainer.limit_train_batches", 1.0) != 1.0
    if train.noise >= jump and jumps >= 2 and train.noise > 0.3 * view.val.noise and not calm:
        before, after = train.steepest
        return f"the training loss jumps instead of falling, for example from {quoted(before)} to {quoted(after)}."
    if oscillates(view) and (samples := _jumping_samples(view)) is not None:
        before, after = view.val.steepest
        return (
            f"the validation loss jumps, for example from {quoted(before)} to {quoted(after)}, and {samples} with it, "
            "more than so many samples would by chance: the weights jump."
        )
    return None


def _jumping_samples(view: View) -> str | None:
    """What of a validation set changes from epoch to epoch, where that is too much for the set to be to blame."""
    size, measure = view.reading.sizes.get("val"), view.reading.measure("val")
    if not size:
        return None
    if measure is None or not measure[0].counts_samples:
        return f"that over {size:,} samples" if size >= MANY_SAMPLES else None
    flips = measure[1].noise * size
    return f"the answers to {flips:.0f} of {size:,} samples" if flips >= MANY_FLIPS else None


def oscillates(view: View) -> bool:
    """Whether the validation loss goes up and down while that of training is smooth."""
    train, val = view.train, view.val
    noisy = val.noise >= OSCILLATING * view.height and val.noise >= SMOOTHER * train.noise
    return len(val) >= 8 and noisy and val.turns() >= 0.4


def leak_suspected(view: View) -> str | None:
    """Validation is far better than training, and nothing makes training harder."""
    if view.lead < LEADING or view.lead * view.height < 3 * view.val.noise or explained(view):
        return None
    wrong = view.unexplained("val")
    if wrong is not None and wrong >= NOTHING_LEARNED:
        return None  # its targets are closer to each other, which makes a smaller loss, and no better one
    if view.train.end > 0 and view.val.end > LEADING_RATIO * view.train.end:
        return None
    train, val = (view.reading.measure(split) for split in ("train", "val"))
    if train and val and val[0].counts_samples and val[1].end < train[1].end + LEADING_ACCURACY:
        return None
    return (
        f"the validation loss, {quoted(view.val.newest)}, is far below the training loss, {quoted(view.train.newest)}, "
        "and nothing makes training harder. Do both sets share samples, or are training labels wrong?"
    )


def explained(view: View) -> bool:
    """Whether the configuration makes training harder than validation."""
    return view.reading.augmented() or any(bool(view.reading.key(key)) for key in HARDER_IN_TRAINING)


def overfitting(view: View) -> str | None:
    """The validation loss rises while that of training falls."""
    val, train = view.val, view.train
    low = val.lowest
    best = val.epochs[low]
    since = val.epochs[-1] - best
    if val.rise < RISEN * view.height or val.rise < val.rise_for_noise or since < 2 or view.stopped_in_time:
        return None
    fallen = train.at(best) - train.end
    if fallen < VISIBLE * view.height and not 0 < train.end < 0.8 * train.at(best):
        return None
    return (
        f"the validation loss {_risen(val)}, while the training loss has fallen from "
        f"{quoted(train.near(val.least.epoch))} to {quoted(train.newest)}."
    )


def unrepresentative_validation(view: View) -> str | None:
    """The training loss falls smoothly while that of validation oscillates."""
    if not oscillates(view):
        return None
    few = view.reading.sizes.get("val")
    size = f" It is measured on {few:,} samples." if few else ""
    before, after = view.val.steepest
    return (
        f"the validation loss goes up and down, for example from {quoted(before)} to {quoted(after)}, "
        f"while the training loss is smooth.{size}"
    )


def large_gap(view: View) -> bool:
    """Whether validation ended far above a training loss that has learned something."""
    return view.learned and view.gap >= (LARGE_GAP_SINCE_FIRST if view.chance is None else LARGE_GAP)


def memorisation(view: View) -> str | None:
    """The validation loss levels off while that of training falls on."""
    train, val_end, train_end = view.levels[0], view.ends[1], view.ends[0]
    fallen = view.train.at(view.levelled_off) - train
    if not large_gap(view) or fallen < STILL_LEARNED * view.height:
        return None
    return (
        f"the validation loss has levelled off, from {quoted(view.val.near(view.levelled_off))} to {quoted(val_end)}, "
        f"while the training loss went on falling, from {quoted(view.train.near(view.levelled_off))} to "
        f"{quoted(train_end)}."
    )


def unrepresentative_training(view: View) -> str | None:
    """Both losses improve, but a large gap remains."""
    train, val = view.levels
    improved = min(view.train.first - train, view.val.first - val)
    if not large_gap(view) or improved < 2 * VISIBLE * view.height:
        return None
    return (
        f"both losses improve, but a large gap remains: training loss {quoted(view.ends[0])}, validation loss "
        f"{quoted(view.ends[1])}."
    )


def underfitting(view: View) -> str | None:
    """The curves are flat, or noisy, and high."""
    if not (view.high("train") and view.high("val")) or view.falling(view.train):
        return None
    chance = view.reading.chance
    guess = "" if chance is None else f" Guessing gives {number(chance)}."
    return (
        f"both losses are flat and high: training loss {quoted(view.train.newest)}, validation loss "
        f"{quoted(view.val.newest)}.{guess}"
    )


def halted_early(view: View) -> str | None:
    """Both losses were still falling when the run ended."""
    if view.reading.ended_by_rule() or not (view.falling(view.train) and view.falling(view.val)):
        return None
    return (
        f"both losses were still falling at the end: {_pace(view.train, 'training')}, {_pace(view.val, 'validation')}."
    )


def _pace(curve: Curve, name: str) -> str:
    before = curve.near(curve.epochs[-curve.tail().points])
    return f"{name} from {quoted(before)} to {quoted(curve.newest)}"


def _risen(curve: Curve) -> str:
    return f"was lowest at {quoted(curve.least)} and has risen to {quoted(curve.newest)}"


RULES: dict[str, Rule] = {
    "rate_too_large": rate_too_large,
    "leak_suspected": leak_suspected,
    "overfitting": overfitting,
    "unrepresentative_validation": unrepresentative_validation,
    "memorisation": memorisation,
    "halted_early": halted_early,
    "unrepresentative_training": unrepresentative_training,
    "underfitting": underfitting,
}
"""Of these the first that holds is the answer: what comes later would be a weaker reading of the same curves."""


def read_curves(view: View) -> tuple[str, str] | None:
    """The case of a run's loss curves and its sentence; None where none holds."""
    answers = ((case, rule(view)) for case, rule in RULES.items())
    return next(((case, said) for case, said in answers if said is not None), None)
