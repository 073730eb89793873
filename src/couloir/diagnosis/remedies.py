"""The course's remedies as overrides that fit a run's own configuration, the most promising first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from omegaconf import OmegaConf

from couloir.config.scaling import unscaled
from couloir.diagnosis.finding import Remedy
from couloir.diagnosis.reading import Reading

MOST = 4
"""Remedies that are proposed."""
USUAL_MOMENTUM = 0.9
HARDLY_MOVED = 0.02
"""The share of the first loss that a network with long enough steps comes down by."""
SATURATING = ("sigmoid", "tanh", "scaled_tanh")
FIXED_WEIGHTS = (".zeros", ".ones", ".constant", ".normal", ".uniform")
"""Ends of `_target_` of initializers that do not look at a layer's size."""
LARGEST_SHARE = 0.5
"""Of the samples held out for validation."""

Proposed = Iterator[Remedy]


def remedies(case: str, reading: Reading) -> tuple[Remedy, ...]:
    """What to try against a case; none where the configuration is unknown.

    Args:
        case: one of `couloir.diagnosis.finding.TITLES`.
        reading: the run.
    """
    if reading.config is None:
        return ()
    proposed = PROPOSALS[case](Settings(reading))
    once = {remedy.words: remedy for remedy in proposed}
    return tuple(once.values())[:MOST]


class Settings:
    """A run's configuration, asked for what could be changed in it.

    Args:
        reading: a run whose configuration is known.
    """

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.get = reading.key

    def has(self, path: str) -> bool:
        """Whether the configuration has the key, be it null."""
        group, _, name = path.rpartition(".")
        node = self.get(group)
        return node is not None and name in node

    def number(self, path: str) -> float | None:
        """A number of the configuration; None: it is not there, or is none."""
        value = self.get(path)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def target(self, group: str) -> str:
        """What a group's node is built by."""
        return str(self.get(f"{group}._target_", ""))

    def free(self, group: str, *but: str) -> bool:
        """Whether another choice of a group goes with what the user typed: it need not have the old one's keys."""
        allowed = {f"{group}.{name}" for name in but}
        typed = [word.lstrip("+~").partition("=")[0] for word in self.reading.words or ()]
        return (
            not any(name.startswith(f"{group}.") and name not in allowed for name in typed)
            and "experiment" not in typed
        )

    def rate(self, factor: float, why: str) -> Proposed:
        """The rate times a factor, by the key that it is set with."""
        for key in ("scheduler.max_lr", "optimizer.lr"):
            rate = self.number(key)
            if rate is not None and not self.has("scheduler.rates"):
                assert self.reading.config is not None
                own = rate if key == "scheduler.max_lr" else unscaled(OmegaConf.create(dict(self.reading.config)), rate)
                yield Remedy(f"{key}={factor * own:.3g}", why)
                return

    @property
    def widths(self) -> list[int]:
        """Of the hidden layers; empty where the network has no such list."""
        hidden = self.get("model.hidden")
        return [int(units) for units in hidden] if isinstance(hidden, Sequence) and not isinstance(hidden, str) else []

    def layers(self, factor: float, why: str) -> Proposed:
        """Wider or narrower layers, where the network has a key for that."""
        if self.widths:
            yield Remedy(f"model.hidden={_typed([max(1, round(factor * units)) for units in self.widths])}", why)
            return
        for key in ("model.hidden", "model.width"):
            width = self.get(key)
            if isinstance(width, int | float):
                wide = factor * width
                whole = isinstance(width, int)
                yield Remedy(f"{key}={max(1, round(wide)) if whole else f'{wide:g}'}", why)
                return

    def decay(self, why: str) -> Proposed:
        """Ten times the weight decay, or a usual one."""
        decay = self.number("optimizer.weight_decay")
        if decay is not None and decay < 0.1:
            usual = 0.05 if self.target("optimizer").endswith("adamw") else 0.0005
            yield Remedy(f"optimizer.weight_decay={max(usual, 10 * decay):g}", why)

    def dropout(self) -> Proposed:
        """Dropout of one half, or a little less than there is no more of."""
        share = self.number("model.dropout")
        if share is not None and share < 0.5:
            yield Remedy("model.dropout=0.5", "drops half of the units in training, so that none is relied on")

    def augmentation(self) -> Proposed:
        """Changed copies of images: mirrored where they are photographs, shifted where they may be digits."""
        if self.get("data.image_size") is None or self.reading.augmented() or not self.free("augmentation"):
            return
        name = "shift" if self.get("data.channels") == 1 else "flip_crop"
        yield Remedy(f"augmentation={name}", "shows each image a little changed every time, as if there were more")

    def more_samples(self) -> Proposed:
        """All samples, where only some were taken."""
        if self.get("data.subset") is not None and self.get("overfit") is None:
            yield Remedy("data.subset=null", "takes all samples")

    def held_out(self, factor: float, why: str) -> Proposed:
        """Another share of the samples for validation."""
        share = self.number("data.val_fraction")
        if share is not None and factor * share <= LARGEST_SHARE:
            yield Remedy(f"data.val_fraction={factor * share:.3g}", why)

    def other_split(self, why: str) -> Proposed:
        """Other samples for validation."""
        seed = self.number("data.seed")
        if seed is not None:
            yield Remedy(f"data.seed={int(seed) + 1}", why)

    def scheduler(self, name: str, why: str) -> Proposed:
        """A schedule, where there is none."""
        if self.get("scheduler") is None and self.free("scheduler"):
            yield Remedy(f"scheduler={name}", why)

    def epochs(self, factor: int, why: str) -> Proposed:
        """More passes over the training set."""
        epochs = self.number("trainer.max_epochs")
        if epochs is not None and epochs > 0:
            yield Remedy(f"trainer.max_epochs={int(factor * epochs)}", why)

    def clipping(self) -> Proposed:
        """Gradients cut to a norm, where they are not."""
        if self.get("trainer.gradient_clip_val") is None:
            yield Remedy("trainer.gradient_clip_val=1.0", "cuts gradients to a norm of 1")

    def adam(self) -> Proposed:
        """Another optimizer, with its usual rate."""
        plain = self.target("optimizer").endswith((".sgd", ".momentum", ".nesterov"))
        scheduled = self.number("scheduler.max_lr") is not None or self.has("scheduler.rates")
        if (
            plain
            and not scheduled
            and self.free("optimizer", "lr", "weight_decay")
            and self.get("momentum_schedule") is None
        ):
            yield Remedy("optimizer=adam optimizer.lr=0.001", "takes a rate for each weight")

    def initializer(self, why: str) -> Proposed:
        """Weights that keep a signal's size, where they were given without looking at it."""
        if self.target("initializer").endswith(FIXED_WEIGHTS) and self.free("initializer"):
            saturating = self.get("model.activation") in SATURATING
            yield Remedy(f"initializer={'glorot_uniform' if saturating else 'he_normal'}", why)


def _typed(widths: list[int]) -> str:
    return f"[{','.join(map(str, widths))}]"


def _underfitting(run: Settings) -> Proposed:
    if (run.number("optimizer.weight_decay") or 0.0) >= 0.05:
        yield Remedy("optimizer.weight_decay=0.0001", "holds the weights less")
    if (run.number("model.dropout") or 0.0) >= 0.4:
        yield Remedy("model.dropout=0.1", "leaves the network more of its units")
    if run.target("model").endswith((".linear", ".perceptron")) and run.free("model"):
        yield Remedy("model=mlp", "adds hidden layers: more capacity")
    degree = run.number("model.degree")
    if degree is not None:
        yield Remedy(f"model.degree={int(degree) + 2}", "adds powers: more capacity")
    train = run.reading.train
    if train is not None and abs(train.first - train.end) < HARDLY_MOVED * abs(train.first):
        yield from run.rate(10, "takes longer steps, since the loss has hardly moved")
    yield from run.layers(4, "makes the layers wider: more capacity")
    if run.widths:
        yield Remedy(f"model.hidden={_typed([*run.widths, run.widths[-1]])}", "adds a layer: more capacity")
    if run.target("model").endswith((".lenet5", ".convnet")) and run.free("model"):
        yield Remedy("model=resnet20", "takes a deeper network: more capacity")
    yield from run.rate(3, "takes longer steps, if the curves creep")
    yield from run.more_samples()
    yield from run.rate(0.1, "takes shorter steps, if the curves are noisy")


def _halted_early(run: Settings) -> Proposed:
    yield from run.epochs(2, "gives the losses the time to come down")
    yield from run.rate(2, "takes longer steps, if that takes too long")


def _overfitting(run: Settings) -> Proposed:
    yield from run.dropout()
    yield from run.more_samples()
    yield from run.augmentation()
    yield from run.decay("holds the weights small")
    yield from run.layers(0.5, "makes the layers narrower: less capacity")
    degree = run.number("model.degree")
    if degree is not None and degree >= 3:
        yield Remedy(f"model.degree={int(degree) - 2}", "takes powers away: less capacity")
    if run.has("callbacks.early_stopping.patience") and run.get("callbacks.early_stopping.patience") is None:
        yield Remedy("callbacks.early_stopping.patience=5", "ends the run when the validation loss no longer falls")
    yield from run.rate(0.3, "learns more slowly")


def _memorisation(run: Settings) -> Proposed:
    yield from run.more_samples()
    yield from run.augmentation()
    yield from run.dropout()
    yield from run.decay("holds the weights small")
    yield from run.layers(0.5, "makes the layers narrower, so that less fits in")
    yield from run.rate(0.3, "learns more slowly")


def _unrepresentative_training(run: Settings) -> Proposed:
    yield from run.more_samples()
    share = run.number("data.val_fraction")
    if share is not None and share >= 0.3:
        yield from run.held_out(0.5, "leaves more samples to train on")
    yield from run.augmentation()
    yield from run.other_split("splits the samples differently, to see whether the gap was chance")
    yield from run.decay("holds the weights small")


def _unrepresentative_validation(run: Settings) -> Proposed:
    share = run.number("data.val_fraction") or LARGEST_SHARE
    yield from run.held_out(min(max(2.0, 0.15 / share), LARGEST_SHARE / share), "holds out more samples for validation")
    yield from run.more_samples()
    yield from run.rate(0.3, "takes shorter steps, in case it is the weights that jump")
    yield from run.other_split("holds out other samples")


def _rate_too_large(run: Settings) -> Proposed:
    yield from run.rate(0.1, "takes steps of a tenth")
    momentum = run.number("optimizer.momentum")
    if momentum is not None and momentum > USUAL_MOMENTUM:
        yield Remedy("optimizer.momentum=0.9", "adds ten steps up instead of more")
    elif momentum is not None and momentum >= 0.5:
        yield Remedy("optimizer.momentum=0.5", "adds two steps up instead of ten")
    yield from run.scheduler("plateau", "reduces the rate when the validation loss no longer falls")
    yield from run.adam()
    yield from run.clipping()
    if run.target("loss").endswith(".MeanSquaredError") and run.free("loss"):
        yield Remedy("loss=huber", "takes another loss, which grows less with large errors")


def _vanishing_gradients(run: Settings) -> Proposed:
    if run.get("model.activation") in SATURATING:
        yield Remedy("model.activation=relu", "takes a function that does not shrink gradients")
    if run.has("model.batch_norm") and not run.get("model.batch_norm"):
        yield Remedy("model.batch_norm=true", "standardises what goes through each layer")
    yield from run.initializer("begins with weights that keep a signal's size")
    if len(run.widths) > 3:
        yield Remedy(f"model.hidden={_typed(run.widths[:3])}", "takes fewer layers")
    yield from run.adam()
    yield from run.rate(10, "takes longer steps")


def _exploding_gradients(run: Settings) -> Proposed:
    yield from run.initializer("begins with weights that keep a signal's size")
    yield from run.clipping()
    yield from run.rate(0.1, "takes steps of a tenth")
    if run.has("model.batch_norm") and not run.get("model.batch_norm"):
        yield Remedy("model.batch_norm=true", "standardises what goes through each layer")


def _dead_units(run: Settings) -> Proposed:
    yield from run.initializer("begins with weights of both signs that keep a signal's size")
    if run.get("model.activation") == "relu":
        yield Remedy("model.activation=leaky_relu", "takes a function that passes something on for all inputs")
    yield from run.rate(0.1, "takes steps of a tenth, which do not throw units out of reach of all data")
    if run.has("model.batch_norm") and not run.get("model.batch_norm"):
        yield Remedy("model.batch_norm=true", "centres what comes into each unit")


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
}
