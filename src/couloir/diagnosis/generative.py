"""The rules of networks that make things: two players, codes that say nothing, samples that are blurred or copied.

Where two players learn against each other no loss is a measure, so that no rule of loss curves is asked of them.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import TypeGuard

from couloir.diagnosis.curve import Curve, Point
from couloir.diagnosis.finding import Evidence, number, quoted
from couloir.diagnosis.reading import Reading
from couloir.diagnosis.view import FEWEST

Answer = tuple[str, Evidence]
"""A sentence, and the numbers that it is about."""
Rule = Callable[[Reading], Answer | None]

COLLAPSED = 0.5
"""The diversity of made images, of real ones 1, below which they are all much alike."""
LOST = 0.5
"""The share of its largest diversity that a generator must have left, where it has not learned long."""
RISING = 0.05
"""What diversity must have gained over the last quarter of the epochs, for the generator to be still on its way."""
DIVERSE = 0.9
"""The diversity from which on more of it is no aim."""
LONG = 1500
"""Steps of all optimizers that a generator may take before its images differ: 700 of each player."""
COVERED = 0.95
"""The share of the classes that samples must be taken for."""
CERTAIN = 0.9
"""The share of real and of made images that a discriminator which wins judges rightly, the median of the last half."""
RISEN = 0.2
"""What the generator's loss must have risen since its lowest epoch, as a share of the range of both players' losses."""
POOR, WORSE = 0.7, 1.5
"""The diversity below which images are poor, and the times of its least value that swd may have risen to."""
CRITIC = "wasserstein_gp"
"""The objective whose discriminator may be as good as it can: its gradient does not vanish."""
FEW_NATS = 0.5
"""The KL divergence of a sample's code, below which it says next to nothing of the sample."""
BLURRED = 0.5
"""The sharpness of made images, of real ones 1, below which they are blurred."""
COPIED = 0.5
"""The distance of made images to the training images, against that of test images, below which they are copies."""


def still_learning(reading: Reading) -> Answer | None:
    """The images of a generator were becoming more diverse when the run ended."""
    diversity = reading.curve("val/diversity")
    if not reading.has_players or not _rises(diversity) or reading.ended_by_rule() or diversity.end >= DIVERSE:
        return None
    before = diversity.near(diversity.epochs[-1 - _quarter(diversity)])
    return (
        f"made images were still becoming more diverse at the end: from {quoted(before)} to {quoted(diversity.newest)} "
        "of the diversity of real ones.",
        _shown(reading, "val/diversity", "val/swd"),
    )


def mode_collapse(reading: Reading) -> Answer | None:
    """The generator makes a few images again and again, or leaves classes out."""
    if not reading.has_players:
        return None
    diversity, coverage = reading.curve("val/diversity"), reading.curve("val/class_coverage")
    evidence = _shown(reading, "val/diversity", "val/class_coverage", "val/least_share", "val/class_entropy")
    if _long(diversity) and diversity.end < COLLAPSED and not _rises(diversity):
        lost = diversity.end < LOST * diversity.largest.value
        if lost or reading.rows[-1].get("step", LONG) >= LONG:
            return (
                f"made images are much alike: they have {quoted(diversity.newest)} of the diversity of real ones.",
                evidence,
            )
    if _long(coverage) and coverage.end < COVERED:
        lost = coverage.end < LOST * coverage.largest.value
        if lost or reading.rows[-1].get("step", LONG) >= LONG:
            return f"some classes are hardly made: the share of those that are is {quoted(coverage.newest)}.", evidence
    return None


def too_young(reading: Reading) -> str:
    """What is said where images are much alike, after too few steps to call that a collapse; else ""."""
    diversity, steps = reading.curve("val/diversity"), reading.rows[-1].get("step", LONG) if reading.rows else LONG
    if not reading.has_players or diversity is None or diversity.end >= COLLAPSED or steps >= LONG:
        return ""
    return (
        f"Made images are much alike, with {quoted(diversity.newest)} of the diversity of real ones; {steps:.0f} steps "
        f"of both players together are too few to say more, {LONG} are needed."
    )


def discriminator_wins(reading: Reading) -> Answer | None:
    """The discriminator tells all images apart, while the generator's loss rises and its images are poor."""
    if not reading.has_players or reading.key("task.objective") == CRITIC:
        return None
    real, made = (reading.curve(f"val/{name}") for name in ("real_accuracy", "made_accuracy"))
    generator, discriminator = (reading.curve(f"train/{name}") for name in ("generator", "discriminator"))
    if not (_long(real) and _long(made) and _long(generator) and _long(discriminator)):
        return None
    both = [*generator.values, *discriminator.values]
    beaten = min(_late(real), _late(made)) >= CERTAIN and generator.rise >= RISEN * (max(both) - min(both))
    if not beaten or not _makes_poor_images(reading):
        return None
    rightly = f"{quoted(real.newest)} of the real and {quoted(made.newest)} of the made images rightly"
    risen = f"was lowest at {quoted(generator.least)} and is {quoted(generator.newest)}"
    return (
        f"the discriminator judges {rightly}, and the loss of the generator {risen}.",
        _shown(reading, "val/real_accuracy", "val/made_accuracy", "train/generator", "train/discriminator", "val/swd"),
    )


def _makes_poor_images(reading: Reading) -> bool:
    """Whether the images are alike, or were once nearer to real ones; a discriminator may be sure of good ones too."""
    diversity, swd = reading.curve("val/diversity"), reading.curve("val/swd")
    if diversity is not None and (_rises(diversity) or diversity.end >= POOR):
        return swd is not None and not _rises(diversity) and swd.end >= WORSE * swd.least.value
    return diversity is not None


def posterior_collapse(reading: Reading) -> Answer | None:
    """The codes of a VAE say nothing of the samples: each has the distribution that codes are drawn from."""
    kl, active = reading.curve("val/kl"), reading.curve("val/active_units")
    if not reading.has_bound or not _long(kl):
        return None
    if kl.end >= FEW_NATS and (active is None or active.end >= 1):
        return None
    said = "" if active is None else f", and the number of units that differ between samples {quoted(active.newest)}"
    return (
        f"the codes say next to nothing of the samples: their KL divergence in nats is {quoted(kl.newest)}{said}.",
        _shown(reading, "val/kl", "val/active_units", "val/reconstruction"),
    )


def copied_samples(reading: Reading) -> Answer | None:
    """Made images are nearer to training images than unseen images are, and as sharp and as diverse as real ones.

    A grey image is near to many photographs, and so is their mean, with whatever pattern: they are copies of none.
    """
    ratio, sharpness, diversity = (
        reading.numbers.get("test/neighbour_ratio"), reading.curve("val/sharpness"), reading.curve("val/diversity")
    )  # fmt: skip
    if ratio is None or ratio >= COPIED or (sharpness is not None and sharpness.newest.value < BLURRED):
        return None
    if diversity is not None and diversity.newest.value < COLLAPSED:
        return None
    said = f"{number(ratio)} times the distance of test images"
    return (
        f"made images are copies of training images: the distance to the nearest of these is {said}.",
        (("nearest training image", said),),
    )


def blurry_samples(reading: Reading) -> Answer | None:
    """Made images have much weaker edges than real ones."""
    sharpness = reading.curve("val/sharpness")
    if not _long(sharpness) or sharpness.end >= BLURRED:
        return None
    return (
        f"made images are blurred: they have {quoted(sharpness.newest)} of the sharpness of real ones.",
        _shown(reading, "val/sharpness", "val/swd"),
    )


RULES: dict[str, Rule] = {
    "discriminator_wins": discriminator_wins,
    "mode_collapse": mode_collapse,
    "posterior_collapse": posterior_collapse,
    "copied_samples": copied_samples,
    "halted_early": still_learning,
    "blurry_samples": blurry_samples,
}
UNLESS = {
    "mode_collapse": ("discriminator_wins",),
    "blurry_samples": ("posterior_collapse", "mode_collapse", "discriminator_wins", "halted_early"),
}
"""What explains a case, so that it is not said beside it."""
MEASURED = (
    "train/generator", "train/discriminator", "val/real_accuracy", "val/made_accuracy", "val/kl", "val/active_units",
    "val/swd", "val/diversity", "val/sharpness", "val/class_coverage",
)  # fmt: skip
"""Columns that these rules go by."""


def read_samples(reading: Reading) -> list[tuple[str, str, Evidence]]:
    """All cases of networks that make things, each with its sentence and its numbers; none of other runs."""
    if not (reading.has_players or reading.has_bound):
        return []
    found = [(case, *answer) for case, rule in RULES.items() if (answer := rule(reading)) is not None]
    cases = [case for case, *_ in found]
    return [each for each in found if not any(cause in cases for cause in UNLESS.get(each[0], ()))]


def evidence_of_players(reading: Reading) -> Evidence:
    """The numbers that every diagnosis of two players shows."""
    names = ("generator", "discriminator")
    return (
        ("epochs", str(reading.epochs)),
        *(
            []
            if reading.best is None
            else [
                ("best epoch", f"{reading.best['epoch']:g}, {reading.monitor} {number(reading.best[reading.monitor])}")
            ]
        ),
        *_shown(reading, *(f"train/{name}" for name in names), "val/swd", "val/diversity", "val/sharpness"),
    )


def _shown(reading: Reading, *columns: str) -> Evidence:
    """The course of some columns, as far as they are measured."""
    curves = ((column, reading.curve(column)) for column in columns)
    return tuple((column, course(curve)) for column, curve in curves if curve is not None)


def course(curve: Curve) -> str:
    """The first value of a curve, its extremes, and the last, with their epochs."""
    first = Point(curve.epochs[0], curve.first)
    between = f"lowest {quoted(curve.least)}, highest {quoted(curve.largest)}"
    return f"{quoted(first)}, {between}, last {quoted(curve.newest)}"


def _quarter(curve: Curve) -> int:
    return max(1, len(curve) // 4)


def _rises(diversity: Curve | None) -> TypeGuard[Curve]:
    """Whether images have become more diverse over the last quarter of the epochs."""
    if not _long(diversity):
        return False
    return diversity.end - diversity.smooth[-1 - _quarter(diversity)] >= RISING


def _late(curve: Curve) -> float:
    """The level over the last half: one epoch's samples say little of two players that circle each other."""
    return median(curve.values[len(curve) // 2 :])


def _long(curve: Curve | None) -> TypeGuard[Curve]:
    """Whether a curve says something."""
    return curve is not None and len(curve) >= FEWEST
