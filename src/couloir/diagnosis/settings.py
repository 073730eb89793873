"""A run's configuration, asked for what is unusual in it and for what could be changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from omegaconf import OmegaConf

from couloir.config.image_size import size_of
from couloir.config.scaling import unscaled
from couloir.diagnosis.finding import Remedy
from couloir.diagnosis.reading import Reading

USUAL_RATES = {
    "sgd": 0.1, "momentum": 0.05, "nesterov": 0.05, "adam": 0.002, "adamw": 0.001, "rmsprop": 0.001, "adagrad": 0.01,
    "sdlm": 0.0005,
}  # fmt: skip
"""Rates that optimizers usually learn with: the defaults of Couloir's own choices."""
FINE_TUNED = 0.05
"""Times the usual rate, for weights that have learned already."""
FAST, SLOW = 5.0, 0.1
"""Times the usual rate, from which on a rate is unusually large or small."""
PLAYED = 0.1
"""Times the usual rate, for two players: that of Radford et al., 2015, for Adam."""
USUAL_MOMENTUM, HIGH_MOMENTUM = 0.9, 0.95
DROPOUTS = ("model.dropout", "model.input_dropout")
FEW_LAYERS, WIDE, SMALL_IMAGE = 2, 100, 16
"""Hidden layers, units of one, and pixels of a side."""
FEW_EPOCHS = 20
"""Fewer are not enough for images that are changed every time."""
MUCH_DECAY, MUCH_DECAY_ADAMW, MUCH_DROPOUT = 0.01, 0.5, 0.6
"""Above what nearly all papers use."""
LOW_DEGREE = 2
FEW_WEIGHTS = 0.2
"""Weights for each training sample, below which a network cannot learn much about single samples."""
LONG_TAILS = 1.8
"""RMSE over mean absolute error: 1.25 for normal errors, 1.41 where large ones are far more frequent."""
SATURATING = ("sigmoid", "tanh", "scaled_tanh")
FIXED_WEIGHTS = (".zeros", ".ones", ".constant", ".normal", ".uniform")
"""Ends of `_target_` of initializers that do not look at a layer's size."""
LARGEST_SHARE, USUAL_SHARE = 0.5, 0.15
"""Of the samples that are held out for validation."""

Proposed = Iterator[Remedy]


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

    @property
    def free(self) -> bool:
        """Whether another choice of a group goes with the sentence: a recipe may set keys that the choice lacks."""
        return not any(word.startswith("experiment=") for word in self.reading.words or ())

    @property
    def rate_key(self) -> str | None:
        """The key that the rate is set with; None: there is none, or a schedule names every rate."""
        if self.has("scheduler.rates"):
            return None
        return next((key for key in ("scheduler.max_lr", "optimizer.lr") if self.number(key) is not None), None)

    @property
    def usual_rate(self) -> float | None:
        """A rate that the optimizer usually learns with; None: unknown."""
        usual = USUAL_RATES.get(self.target("optimizer").rpartition(".")[2])
        if usual is not None and self.pretrained and not self.slow_body:
            usual *= FINE_TUNED
        if usual is not None and self.reading.has_players:
            usual *= PLAYED
        return usual

    @property
    def pretrained(self) -> bool:
        """Whether the network began with weights that have learned already."""
        return self.get("model.weights") is not None or bool(self.get("model.pretrained"))

    @property
    def slow_body(self) -> bool:
        """Whether the rate is that of a new head, and what has learned already is fixed or learns at a part of it."""
        return self.target("finetune").endswith((".head", ".head_then_all", ".layerwise", ".bias_only"))

    def more_that_learns(self) -> Proposed:
        """The whole network, where only its head learns, and no key belongs to that choice alone."""
        keys = [word for word in self.reading.words or () if word.startswith("finetune.")]
        longer = (self.number("trainer.max_epochs") or 0) >= 2
        if self.target("finetune").endswith(".head") and not keys and self.free and longer:
            yield Remedy("finetune=head_then_all", "lets the rest of the network learn as well, once the head has")

    def less_that_learns(self) -> Proposed:
        """The head alone, where all of a network learns that began with weights."""
        if self.pretrained and self.get("finetune") is None and self.free:
            yield Remedy("finetune=head", "keeps what the weights know, and lets only the last layer learn")

    @cached_property
    def pace(self) -> float | None:
        """The rate over the usual one, a momentum above the usual one counted in; None: unknown."""
        usual, rate = self.usual_rate, self.number(self.rate_key or "")
        if usual is None or rate is None:
            return None
        momentum = self.number("optimizer.momentum") or 0.0
        further = (1 - USUAL_MOMENTUM) / max(1 - momentum, 1e-6) if momentum > USUAL_MOMENTUM else 1.0
        return rate / usual * further

    @property
    def crawls(self) -> bool:
        """Whether the rate is far below the usual one."""
        return self.pace is not None and self.pace <= SLOW

    @property
    def races(self) -> bool:
        """Whether the rate is far above the usual one."""
        return self.pace is not None and self.pace >= FAST

    def rate(self, factor: float, why: str) -> Proposed:
        """The rate times a factor, by the key that it is set with."""
        key = self.rate_key
        rate = self.number(key or "")
        if key is not None and rate is not None:
            yield Remedy(f"{key}={self._typed_rate(key, factor * rate)}", why)

    def shorter_steps(self, why: str = "takes shorter steps") -> Proposed:
        """A tenth of the rate, or the usual one where that is less than a tenth; the usual momentum with it."""
        key, usual = self.rate_key, self.usual_rate
        rate, momentum = self.number(key or ""), self.number("optimizer.momentum")
        words = []
        if momentum is not None and momentum > HIGH_MOMENTUM:
            words.append(f"optimizer.momentum={USUAL_MOMENTUM}")
        if key is not None and rate is not None and not (words and usual is not None and rate <= usual):
            words.append(f"{key}={self._typed_rate(key, min(rate / 10, usual or rate))}")
        if words:
            yield Remedy(" ".join(words), why)

    def usual_steps(self, why: str = "takes the rate that this optimizer usually learns with") -> Proposed:
        """The usual rate, where the present one is far below it."""
        key, usual = self.rate_key, self.usual_rate
        if key is not None and usual is not None and self.crawls:
            yield Remedy(f"{key}={self._typed_rate(key, usual)}", why)

    def _typed_rate(self, key: str, rate: float) -> str:
        """A rate as it is typed: `optimizer.scale_lr` changes what is typed."""
        if key == "optimizer.lr" and self.reading.config is not None:
            rate = unscaled(OmegaConf.create(dict(self.reading.config)), rate)
        return f"{rate:.3g}"

    @property
    def straight(self) -> bool:
        """Whether the network has no hidden layer."""
        hidden = self.get("model.hidden")
        none = isinstance(hidden, Sequence) and not hidden
        return none or self.target("model").lower().endswith((".linear", ".perceptron"))

    @cached_property
    def low_capacity(self) -> bool:
        """Whether the network draws straight lines or parabolas, or has few weights for its samples."""
        degree = self.number("model.degree")
        if self.straight or degree is not None:
            return self.straight or (degree or 0) <= LOW_DEGREE
        parameters, samples = self.reading.numbers.get("parameters"), self.reading.sizes.get("train")
        return bool(parameters and samples and parameters < FEW_WEIGHTS * samples)

    @property
    def much_decay(self) -> bool:
        """Whether the weight decay is far above the usual ones, which pulls weights to zero."""
        decay = self.number("optimizer.weight_decay") or 0.0
        return decay > (MUCH_DECAY_ADAMW if self.target("optimizer").endswith(".adamw") else MUCH_DECAY)

    @property
    def much_dropout(self) -> bool:
        """Whether more units are dropped than kept."""
        return any((self.number(key) or 0.0) > MUCH_DROPOUT for key in DROPOUTS)

    @property
    def widths(self) -> list[int]:
        """Of the hidden layers; empty where the network has no such list."""
        hidden = self.get("model.hidden")
        return [int(units) for units in hidden] if isinstance(hidden, Sequence) and not isinstance(hidden, str) else []

    def layers(self, factor: float, why: str) -> Proposed:
        """Wider or narrower layers, where the network has a key for that, and no weights that fix their widths."""
        if self.pretrained:
            return
        for key in ("model.widths", "model.width", "model.hidden"):
            width = self.get(key)
            if isinstance(width, Sequence) and not isinstance(width, str) and all(isinstance(w, int) for w in width):
                if not width:
                    return
                yield Remedy(f"{key}={typed([max(1, round(factor * units)) for units in width])}", why)
                return
            if isinstance(width, int | float):
                wide = factor * width
                whole = isinstance(width, int)
                yield Remedy(f"{key}={max(1, round(wide)) if whole else f'{wide:g}'}", why)
                return

    def less_hindrance(self) -> Proposed:
        """Less decay and dropout, where there is far more of it than usual."""
        if self.much_decay:
            usual = 0.01 if self.target("optimizer").endswith(".adamw") else 0.0001
            yield Remedy(f"optimizer.weight_decay={usual:g}", "holds the weights less")
        for key in DROPOUTS:
            if (self.number(key) or 0.0) > MUCH_DROPOUT:
                yield Remedy(f"{key}=0.1", "leaves the network more of its units")

    def decay(self, why: str) -> Proposed:
        """Ten times the weight decay, or a usual one."""
        decay = self.number("optimizer.weight_decay")
        if decay is not None and decay < 0.1:
            usual = 0.05 if self.target("optimizer").endswith("adamw") else 0.0005
            yield Remedy(f"optimizer.weight_decay={max(usual, 10 * decay):g}", why)

    def dropout(self) -> Proposed:
        """Dropout of one half, or of a fifth where layers are narrow or many: half would be too much there."""
        share, narrow = self.number("model.dropout"), len(self.widths) > FEW_LAYERS or min(self.widths or [WIDE]) < WIDE
        usual = 0.2 if narrow else 0.5
        if share is not None and share < usual:
            yield Remedy(f"model.dropout={usual}", "drops units in training, so that the network relies on none")

    def augmentation(self) -> Proposed:
        """Changed copies of images: mirrored where they are photographs, shifted where they may be digits."""
        if self.get("data.image_size") is None or self.reading.augmented() or not self.free:
            return
        name = "shift" if self.get("data.channels") == 1 else "flip_crop"
        small = name == "shift" and min(size_of(self.get("data.image_size"))) < SMALL_IMAGE
        words = f"augmentation={name}" + (" augmentation.pixels=1" if small else "")
        epochs = self.number("trainer.max_epochs") or FEW_EPOCHS
        if epochs < FEW_EPOCHS:
            words += f" trainer.max_epochs={int(2 * epochs)}"
        longer = ", for more epochs, which it needs" if epochs < FEW_EPOCHS else ""
        yield Remedy(words, f"shows each image a little changed every time, as if there were more{longer}")

    def regularised(self) -> Proposed:
        """What keeps a network from learning samples by heart, the mildest first.

        A network without convolutions needs many more epochs for images that move, so that dropout comes first there.
        """
        dense = self.straight or bool(self.widths)
        if not dense:
            yield from self.augmentation()
        yield from self.dropout()
        yield from self.decay("holds the weights small")
        if dense:
            yield from self.augmentation()

    def more_samples(self) -> Proposed:
        """All samples, where only some were taken."""
        if self.get("overfit") is not None:
            yield Remedy("overfit=null", "takes all samples, and others for validation than for training")
        elif self.get("data.subset") is not None:
            yield Remedy("data.subset=null", "takes all samples")

    def held_out(self, factor: float, why: str) -> Proposed:
        """Another share of the samples for validation."""
        share = self.number("data.val_fraction")
        if share is not None and factor * share <= LARGEST_SHARE:
            yield Remedy(f"data.val_fraction={factor * share:.3g}", why)

    def more_to_judge(self) -> Proposed:
        """More samples for validation: all of a set that was cut, or a larger share."""
        yield from self.more_samples()
        share = self.number("data.val_fraction") or LARGEST_SHARE
        larger = min(max(2.0, USUAL_SHARE / share), LARGEST_SHARE / share)
        yield from self.held_out(larger, "holds out more samples for validation")

    def other_split(self, why: str) -> Proposed:
        """Other samples for validation."""
        seed = self.number("data.seed")
        if seed is not None:
            yield Remedy(f"data.seed={int(seed) + 1}", why)

    def scheduler(self, name: str, why: str) -> Proposed:
        """A schedule, where there is none."""
        if self.get("scheduler") is None and self.free:
            yield Remedy(f"scheduler={name}", why)

    def epochs(self, factor: int, why: str) -> Proposed:
        """More passes over the training set."""
        epochs, steps = self.number("trainer.max_epochs"), self.number("trainer.max_steps")
        if steps is not None:
            yield Remedy(f"trainer.max_steps={int(factor * steps)}", why)
        elif epochs is not None and epochs > 0:
            yield Remedy(f"trainer.max_epochs={int(factor * epochs)}", why)

    def robust_loss(self) -> Proposed:
        """A loss that does not square errors, where a few of them are far larger than the others."""
        rows = [row for row in self.reading.rows if row.get("val/mae", 0.0) > 0 and "val/rmse" in row]
        if not rows or not self.target("loss").endswith(".MeanSquaredError") or not self.free:
            return
        best = min(rows, key=lambda row: row["val/mae"])
        if best["val/rmse"] >= LONG_TAILS * best["val/mae"]:
            yield Remedy("loss=mae", "takes a loss that a few very large errors move less")

    def clipping(self) -> Proposed:
        """Gradients cut to a norm, where they are not; a task of two players refuses that."""
        if self.get("trainer.gradient_clip_val") is None and not self.has("task.discriminator_lr"):
            yield Remedy("trainer.gradient_clip_val=1.0", "cuts gradients to a norm of 1")

    def adam(self) -> Proposed:
        """Another optimizer, with its usual rate."""
        plain = self.target("optimizer").endswith((".sgd", ".momentum", ".nesterov"))
        scheduled = self.number("scheduler.max_lr") is not None or self.has("scheduler.rates")
        if plain and not scheduled and self.free and self.get("momentum_schedule") is None:
            yield Remedy("optimizer=adam optimizer.lr=0.001", "takes a rate for each weight")

    def initializer(self, why: str) -> Proposed:
        """Weights that keep a signal's size, where they were given without looking at it."""
        if self.target("initializer").endswith(FIXED_WEIGHTS) and self.free:
            saturating = self.get("model.activation") in SATURATING
            yield Remedy(f"initializer={'glorot_uniform' if saturating else 'he_normal'}", why)

    def code(self, factor: int, why: str) -> Proposed:
        """A longer code."""
        size = self.get("model.code_size")
        if isinstance(size, int) and not self.pretrained:
            yield Remedy(f"model.code_size={factor * size}", why)


def typed(widths: list[int]) -> str:
    return f"[{','.join(map(str, widths))}]"
