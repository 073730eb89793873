"""What to try where a network that makes things makes the wrong ones, the most promising first."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from couloir.diagnosis.finding import Remedy
from couloir.diagnosis.settings import Proposed, Settings

WIDE_PIXELS = 0.1
"""The deviation of a pixel in [0, 1] above which a Gaussian likelihood asks for little."""
WARM_UP, FREE_BITS = 10, 0.1
SHARPENING = 0.01
"""What sharpness must have gained over the last quarter of the epochs, for it to be still on its way."""
DISCRIMINATOR_LR = "task.discriminator_lr"
FOOLED = 0.3
"""The share of made images that a discriminator which has given up judges rightly, at most."""


def _one_to_one(run: Settings) -> Proposed:
    """One step of the discriminator for each of the generator, where it takes more."""
    if (run.number("task.discriminator_steps") or 1) > 1:
        yield Remedy("task.discriminator_steps=1", "lets the discriminator learn as often as the generator")


def _slower_discriminator(run: Settings) -> Proposed:
    """A quarter of the discriminator's rate."""
    rate = run.number("task.discriminator_lr") or run.number("optimizer.lr")
    if rate is not None and run.has("task.discriminator_lr"):
        yield Remedy(f"task.discriminator_lr={rate / 4:.3g}", "lets the discriminator learn more slowly")


def _faster_discriminator(run: Settings) -> Proposed:
    """The generator's rate for the discriminator, where that has a smaller one and takes made images for real."""
    made, rate, own = run.reading.curve("val/made_accuracy"), run.number("optimizer.lr"), run.number(DISCRIMINATOR_LR)
    if made is not None and made.end < FOOLED and own is not None and rate is not None and own < rate:
        yield Remedy(f"{DISCRIMINATOR_LR}={rate:.3g}", "lets the discriminator see what is made before it changes")


def _smoother_discriminator(run: Settings) -> Proposed:
    """A discriminator whose scores change slowly from image to image."""
    if run.has("model.spectral_norm") and not run.get("model.spectral_norm"):
        hinge = "" if run.get("task.objective") in ("hinge", "wasserstein_gp") else " task.objective=hinge"
        why = "holds the discriminator's slope down, so that its gradients say where better images are"
        yield Remedy(f"model.spectral_norm=true{hinge}", why)


def _critic(run: Settings) -> Proposed:
    """The objective of Wasserstein GANs, whose discriminator may win without harm."""
    if run.get("task.objective") in (None, "wasserstein_gp"):
        return
    alone = " model.discriminator_batch_norm=false" if run.get("model.discriminator_batch_norm") else ""
    why = "takes an objective whose gradient does not vanish where the discriminator is sure"
    yield Remedy(f"task.objective=wasserstein_gp task.discriminator_steps=5{alone}", why)


def _classes_told(run: Settings) -> Proposed:
    """Both players told the class of an image, where the data has classes."""
    fields = run.get("data.fields")
    there = isinstance(fields, Mapping) and "label" in fields.values()
    if there and run.get("task.conditional") is False:
        yield Remedy("task.conditional=true", "tells both players the class of an image, so that each class is made")


def _closer_pixels(run: Settings) -> Proposed:
    """A smaller deviation of Gaussian pixels: with a large one, a code is not worth its price."""
    deviation = run.number("task.deviation")
    if run.get("task.likelihood") == "gaussian" and deviation is not None and deviation > WIDE_PIXELS:
        yield Remedy(f"task.deviation={WIDE_PIXELS:g}", "asks for pixels that are closer, which codes must pay for")


def _weaker_prior(run: Settings) -> Proposed:
    """Less weight of the KL divergence, where it counts more than its own."""
    beta = run.number("task.beta")
    if beta is not None and beta > 1:
        yield Remedy("task.beta=1.0", "lets codes say as much as the bound itself allows")


def _warm_up(run: Settings) -> Proposed:
    """A KL divergence that comes in slowly, where it counts from the first step."""
    if run.number("task.warm_up_epochs") == 0:
        epochs = run.number("trainer.max_epochs") or 0
        count = max(1, min(WARM_UP, int(epochs) // 3)) if epochs else WARM_UP
        yield Remedy(f"task.warm_up_epochs={count}", "lets codes become useful before they cost anything")


def _free_bits(run: Settings) -> Proposed:
    """Nats of each unit that cost nothing."""
    if run.number("task.free_bits") == 0:
        yield Remedy(f"task.free_bits={FREE_BITS}", "lets each unit of the code say that much for nothing")


def _fewer_epochs(run: Settings, why: str) -> Proposed:
    """Half as many passes over the training set."""
    epochs = run.number("trainer.max_epochs")
    if epochs is not None and epochs >= 2:
        yield Remedy(f"trainer.max_epochs={int(epochs) // 2}", why)


def _discriminator_wins(run: Settings) -> Proposed:
    yield from run.more_samples()
    yield from _one_to_one(run)
    yield from _slower_discriminator(run)
    yield from _smoother_discriminator(run)
    yield from _critic(run)
    yield from run.augmentation()


def _mode_collapse(run: Settings) -> Proposed:
    yield from _faster_discriminator(run)
    yield from _smoother_discriminator(run)
    yield from _critic(run)
    yield from _classes_told(run)
    yield from run.rate(0.3, "takes shorter steps, so that the discriminator keeps up with what is made")


def _posterior_collapse(run: Settings) -> Proposed:
    yield from _closer_pixels(run)
    yield from _weaker_prior(run)
    yield from _warm_up(run)
    yield from _free_bits(run)
    yield from run.rate(0.3, "takes shorter steps, so that the codes are not thrown away in the first ones")


def _copied_samples(run: Settings) -> Proposed:
    yield from run.more_samples()
    yield from run.augmentation()
    yield from run.layers(0.5, "makes the layers narrower, so that less fits in")
    yield from run.decay("holds the weights small")
    yield from _fewer_epochs(run, "ends before single images are learned by heart")


def _blurry_samples(run: Settings) -> Proposed:
    sharpness = run.reading.curve("val/sharpness")
    if sharpness is not None and sharpness.end - sharpness.values[-1 - len(sharpness) // 4] >= SHARPENING:
        yield from run.epochs(2, "gives the edges the time to come: they were still coming")
    yield from _closer_pixels(run)
    yield from _weaker_prior(run)
    if run.reading.has_bound:
        yield from run.code(2, "makes the code longer: more of a sample fits in")
    yield from run.layers(2, "makes the layers wider: more capacity")
    yield from run.epochs(2, "gives the edges the time to come")


PROPOSALS: dict[str, Callable[[Settings], Proposed]] = {
    "discriminator_wins": _discriminator_wins,
    "mode_collapse": _mode_collapse,
    "posterior_collapse": _posterior_collapse,
    "copied_samples": _copied_samples,
    "blurry_samples": _blurry_samples,
}
"""Case -> what is proposed against it."""
