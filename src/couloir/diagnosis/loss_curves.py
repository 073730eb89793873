"""The rules of loss curves: the cases of the course, and a validation loss that is too good.

Each rule looks at a `View` and answers with a sentence, or with None. Shares are of the picture's height.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from statistics import median

from couloir.diagnosis.curve import SURE, Curve, Point
from couloir.diagnosis.finding import number, quoted
from couloir.diagnosis.reading import NOTHING_LEARNED
from couloir.diagnosis.view import STEADILY, VISIBLE, View

Rule = Callable[[View], str | None]

RISEN = 0.06
"""A validation loss that has risen by so much is not noise, nor the last epochs before early stopping."""
CLEARLY_RISEN = 0.1
"""The same where validation ends below training all the same."""
RISEN_TRAINING = 0.1
LARGE_GAP = 0.15
LARGE_GAP_SINCE_FIRST = 0.2
"""Where chance is unknown: the first epoch, which has already learned, stands for it."""
LARGE_TEST_GAP = 0.2
STEEP = 0.05
"""The share of its level by which the last of two or three epochs must have brought a loss down."""
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
RESTLESS_TRAINING = 0.03
"""Noise of the training loss, as a share of the height, with which it is no longer smooth."""
POOR = 0.15
"""The share of what guessing gets wrong, above which a flat training loss is high for a network that is held back."""
HIGH_AND_FLAT, WRONG_AND_FLAT = 0.45, 0.25
"""The shares of the loss and of the errors of guessing, above which a flat loss of a classification is high."""
LEADING = 0.2
LEADING_RATIO = 0.7
"""Times the training loss that validation must be below, where both are positive."""
LEADING_ACCURACY = 0.05
"""What the accuracy of validation must be better by, where there is one."""
MISLABELLED = 0.1
"""What the accuracy of validation must be better by, for training labels to be wrong, whatever the losses say."""
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
    spike = chance is not None and train.largest.value > FAR_WORSE * chance
    above = chance is not None and median(train.values[1:]) > WORSE_THAN_CHANCE * chance and not view.settings.crawls
    restless = train.noise >= RESTLESS * (chance or 0.0)
    if (spike or (above and restless)) and train.descent < STEADILY and not view.learned:
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
    if oscillates(view) and train.noise >= RESTLESS_TRAINING * view.height:
        before, after = view.val.steepest
        return (
            f"the validation loss jumps, for example from {quoted(before)} to {quoted(after)}, and the training "
            "loss is restless too: the weights jump."
        )
    return None


def oscillates(view: View) -> bool:
    """Whether the validation loss goes up and down while that of training is smooth."""
    train, val = view.train, view.val
    noisy = val.noise >= OSCILLATING * view.height and val.noise >= SMOOTHER * train.noise
    return len(val) >= 8 and noisy and val.turns() >= 0.4


def leak_suspected(view: View) -> str | None:
    """Both sets are the same samples; or validation is far better than training, and nothing makes training harder."""
    same = view.reading.key("overfit")
    if same is not None:
        return f"training and validation have the same {same} samples, as overfit={same} says."
    if view.few or explained(view):
        return None
    if (labels := _wrong_labels(view)) is not None:
        return labels
    if view.lead < LEADING or view.lead * view.height < 3 * view.val.noise:
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


def _wrong_labels(view: View) -> str | None:
    """Validation has far more right answers than training: training labels may be wrong."""
    measures, samples = [view.reading.measure(split) for split in ("train", "val")], view.reading.sizes.get("val")
    train, val = measures
    if train is None or val is None or not val[0].counts_samples or not samples:
        return None
    later = dict(zip(train[1].epochs, train[1].values, strict=True))
    leads = [
        value - max(later[epoch], later.get(epoch + 1, 0.0))
        for epoch, value in zip(val[1].epochs, val[1].values, strict=True)
        if epoch in later
    ]
    lead, right = median(leads[len(leads) // 2 :]), val[1].end
    if lead < max(MISLABELLED, SURE * math.sqrt(right * (1 - right) / samples)):
        return None
    return (
        f"the validation {val[0].label}, {quoted(val[1].newest)}, is far above that of training, "
        f"{quoted(train[1].newest)}, and nothing makes training harder: training labels may be wrong."
    )


def explained(view: View) -> bool:
    """Whether the configuration makes training harder than validation."""
    return view.reading.augmented() or any(bool(view.reading.key(key)) for key in HARDER_IN_TRAINING)


def overfitting(view: View) -> str | None:
    """The validation loss rises while that of training falls, and ends above it."""
    val, train = view.val, view.train
    below = val.end < train.end and val.rise < CLEARLY_RISEN * view.height and not explained(view)
    if view.few or below:
        return None
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
    """The training loss falls smoothly while that of validation oscillates, or there are too few samples to tell."""
    samples = view.reading.sizes.get("val")
    if not oscillates(view):
        if not view.few:
            return None
        return (
            f"the validation set has {samples} samples, which are too few to tell: the training loss is "
            f"{quoted(view.train.newest)}, the validation loss {quoted(view.val.newest)}."
        )
    size = f" It is measured on {samples:,} samples." if samples else ""
    before, after = view.val.steepest
    return (
        f"the validation loss goes up and down, for example from {quoted(before)} to {quoted(after)}, "
        f"while the training loss is smooth.{size} More samples would tell. Or the weights jump: then the rate is too "
        "large."
    )


def large_gap(view: View) -> bool:
    """Whether validation ended far above a training loss that has learned something."""
    return view.learned and view.gap >= least_gap(view)


def least_gap(view: View) -> float:
    """The share of the height from which on a gap is large."""
    return LARGE_GAP_SINCE_FIRST if view.chance is None else LARGE_GAP


def memorisation(view: View) -> str | None:
    """The validation loss levels off while that of training falls on."""
    train, val_end, train_end = view.levels[0], view.ends[1], view.ends[0]
    fallen = view.train.at(view.levelled_off) - train
    if view.few or not large_gap(view) or fallen < STILL_LEARNED * view.height:
        return None
    return (
        f"the validation loss has levelled off, from {quoted(view.val.near(view.levelled_off))} to {quoted(val_end)}, "
        f"while the training loss went on falling, from {quoted(view.train.near(view.levelled_off))} to "
        f"{quoted(train_end)}."
    )


def unrepresentative_training(view: View) -> str | None:
    """Both losses improve, but a large gap remains, to validation or to the test."""
    train, val = view.levels
    improved = min(view.train.first - train, view.val.first - val)
    if improved < 2 * VISIBLE * view.height:
        return None
    if view.tested is not None and view.learned and view.test_gap >= LARGE_TEST_GAP and view.gap < least_gap(view):
        training, test = view.tested
        samples = view.reading.sizes.get("val")
        shown = f" The {samples} validation samples do not show it." if samples else ""
        return f"the training loss is {quoted(training)} and the test loss of its weights {number(test)}.{shown}"
    if view.few or not large_gap(view):
        return None
    return (
        f"both losses improve, but a large gap remains: training loss {quoted(view.ends[0])}, validation loss "
        f"{quoted(view.ends[1])}."
    )


def underfitting(view: View) -> str | None:
    """The curves are flat, or noisy, and high."""
    falling = view.falling(view.train)
    if falling and (view.few or view.falling(view.val)):
        return None
    slow = falling or view.creeps
    if not (_high(view) and not (view.few and slow)) and not (_held_back(view) and not slow):
        return None
    chance = view.reading.chance
    guess = "" if chance is None else f" Guessing gives {number(chance)}."
    flat = "the training loss falls slowly, and both losses are high" if slow else "both losses are flat and high"
    return f"{flat}: training loss {quoted(view.train.newest)}, validation loss {quoted(view.val.newest)}.{guess}"


def _high(view: View) -> bool:
    """Whether training is far from what it could be, and validation too where it has samples enough to tell."""
    if view.high("train") and (view.few is not None or view.high("val")):
        return True
    shares, wrong = [view.unexplained(split) for split in ("train", "val")], view.wrong("train")
    flat = all(share is not None and share > HIGH_AND_FLAT for share in shares)
    return view.reading.classes is not None and flat and wrong is not None and wrong > WRONG_AND_FLAT


def _held_back(view: View) -> bool:
    """Whether a network that cannot learn more, by its size or by much decay or dropout, is wrong in many samples."""
    settings = view.settings
    shares = [view.unexplained(split) for split in ("train", "val")] + [view.wrong(split) for split in ("train", "val")]
    held = settings.low_capacity or settings.much_decay or settings.much_dropout
    known = [share for share in shares if share is not None]
    return held and len(known) == len(shares) and min(known) > POOR and not large_gap(view)


def halted_early(view: View) -> str | None:
    """Both losses were still falling when the run ended."""
    if view.few or view.reading.ended_by_rule() or not (view.falling(view.train) and view.falling(view.val)):
        return None
    return (
        f"both losses were still falling at the end: {_pace(view.train, 'training')}, {_pace(view.val, 'validation')}."
    )


def halted_short(view: View) -> str | None:
    """Two or three epochs, in each of which both losses fell much: they say nothing else."""
    curves = (view.train, view.val)
    if min(map(len, curves)) < 2 or any(curve.descent < 1 or not _steep(curve) for curve in curves):
        return None
    starts = [quoted(Point(curve.epochs[0], curve.first)) for curve in curves]
    return (
        f"both losses fell in every epoch: training from {starts[0]} to {quoted(view.train.newest)}, validation from "
        f"{starts[1]} to {quoted(view.val.newest)}."
    )


def _steep(curve: Curve) -> bool:
    """Whether the last epoch alone has brought a loss down visibly."""
    return curve.values[-2] - curve.values[-1] >= STEEP * abs(curve.values[-2])


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
TRAINING_FIRST = ("rate_too_large", "leak_suspected", "underfitting", "unrepresentative_training")
"""The same where validation has too few samples to tell: what training and test show comes before it."""


def read_curves(view: View) -> tuple[str, str] | None:
    """The case of a run's loss curves and its sentence; None where none holds."""
    first = TRAINING_FIRST if view.few else ()
    answers = ((case, RULES[case](view)) for case in dict.fromkeys([*first, *RULES]))
    return next(((case, said) for case, said in answers if said is not None), None)
