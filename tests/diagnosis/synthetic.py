"""Labelled runs that were never trained: curves of a known case, over many shapes, lengths, scales and levels of noise.

All shapes are drawn with a height of one and a loss of chance of one; then they are given a scale. A third of the runs
has a configuration that says how many classes there are, a third has an accuracy as well, a third only the losses.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from omegaconf import OmegaConf

from couloir.diagnosis.reading import Reading

DEVELOPMENT = 0
"""The seed on which the rules were written."""
MEASURED = (31, 32, 33, 34, 35)
"""The seeds on which they are measured, once they stood; 1 to 5, 11 to 15 and 21 to 25 were measured on the way."""
PER_CASE, HEALTHY = 8, 36
Values = list[float]


@dataclass
class Drawn:
    """A run as it is drawn, before it has a scale."""

    train: Values
    val: Values
    columns: dict[str, Values] = field(default_factory=dict)
    lr: Values | None = None
    status: str = "completed"
    config: dict[str, object] = field(default_factory=dict)
    needs: str = ""
    """Without what the case would not be true: `chance`, that the loss of chance is known."""


def epochs(rng: random.Random, least: int = 8, most: int = 200) -> int:
    return round(math.exp(rng.uniform(math.log(least), math.log(most))))


def fall(rng: random.Random, n: int, constants: float) -> Values:
    """From 1 towards 0 in so many time constants: an exponential, a power law, or an S."""
    kind = rng.choice(["exponential", "power", "s"])
    places = [place / (n - 1) for place in range(n)]
    if kind == "exponential":
        return [math.exp(-constants * x) for x in places]
    if kind == "power":
        power = rng.uniform(1.5, 3)
        return [(1 + constants * 1.5 * x) ** -power for x in places]
    start = rng.uniform(0.03, 0.12)
    raw = [1 / (1 + math.exp((x - start) * 2.5 * constants)) for x in places]
    return [value / raw[0] for value in raw]


def level(shape: Values, top: float, bottom: float) -> Values:
    return [bottom + (top - bottom) * value for value in shape]


def noisy(rng: random.Random, values: Values, size: float) -> Values:
    return [max(value + rng.gauss(0, size) * min(1.0, 0.3 + value), value * 0.3) for value in values]


def size(rng: random.Random, least: float, most: float) -> float:
    return math.exp(rng.uniform(math.log(least), math.log(most)))


def healthy(rng: random.Random) -> Drawn:
    n = epochs(rng)
    look = rng.choice(
        ["fast", "slow", "steps", "one_cycle", "small_gap", "early_stopped", "noisy", "cosine", "explained", "zero"]
    )
    top, bottom = rng.uniform(0.5, 1.0), rng.uniform(0.0, 0.2)
    constants = {"fast": rng.uniform(8, 30), "zero": rng.uniform(10, 20)}.get(look, rng.uniform(4.5, 9))
    gap = rng.uniform(0.04, 0.09) if look == "small_gap" else rng.uniform(-0.02, 0.04)
    shape = fall(rng, n, constants)
    if look == "zero":
        bottom, gap = 0.0002, 0.002
    train = level(shape, top, bottom)
    val = [
        value + gap * (1 - part)
        for value, part in zip(level(shape, top * rng.uniform(0.8, 1.0), bottom), shape, strict=True)
    ]
    lr, config = None, {}
    if look == "steps":
        first, second = round(0.5 * n), round(0.75 * n)
        factors = [1.0 if place < first else 0.8 if place < second else 0.72 for place in range(n)]
        train = [value * factor for value, factor in zip(train, factors, strict=True)]
        val = [value * (1 - (1 - factor) / 2) for value, factor in zip(val, factors, strict=True)]
        lr = [0.1 if place < first else 0.01 if place < second else 0.001 for place in range(n)]
    if look in ("one_cycle", "cosine"):
        peak = 0.3 if look == "one_cycle" else 0.0
        lr = [
            0.001 + 0.1 * (x / peak if x < peak else 0.5 * (1 + math.cos(math.pi * (x - peak) / (1 - peak))))
            for x in (place / (n - 1) for place in range(n))
        ]
    if look == "one_cycle":
        for place in range(n):
            bump = 0.12 * math.exp(-(((place / (n - 1) - 0.3) / 0.08) ** 2))
            train[place] += bump
            val[place] += 1.5 * bump
    if look == "explained":
        train = [value + rng.uniform(0.25, 0.35) * (1 - part) for value, part in zip(train, shape, strict=True)]
        config = {"model": {"dropout": 0.5}}
    if look == "early_stopped":
        patience = min(rng.choice([3, 5]), n // 4)
        for extra in range(patience):
            val[n - patience + extra] += 0.015 * (top - bottom) * (extra + 1)
        config = {"callbacks": {"early_stopping": {"patience": patience}}, "trainer": {"max_epochs": 2 * n}}
    jitter = size(rng, 0.01, 0.025) if look == "noisy" else size(rng, 0.001, 0.012)
    train, val = noisy(rng, train, jitter), noisy(rng, val, min(0.03, jitter * rng.uniform(1, 3)))
    return Drawn(train, val, gradients(rng, n), lr, config=config, needs="config" if look == "explained" else "")


def gradients(rng: random.Random, n: int) -> dict[str, Values]:
    """Columns of a sound network, in half of the runs."""
    if rng.random() < 0.5:
        return {}
    ratio, dead = size(rng, 0.05, 5.0), rng.uniform(0, 0.35)
    return {
        "gradients/norm": [size(rng, 0.05, 3.0) for _ in range(n)],
        "gradients/first_to_last": [ratio * size(rng, 0.5, 2.0) for _ in range(n)],
        "gradients/dead_units": [min(1.0, dead * rng.uniform(0.7, 1.3)) for _ in range(n)],
        "waiting": [rng.uniform(0.0, 0.15) for _ in range(n)],
    }


def underfitting(rng: random.Random) -> Drawn:
    n, top = epochs(rng), rng.uniform(0.95, 1.02)
    shape = fall(rng, n, rng.uniform(8, 20))
    bottom = rng.uniform(0.8, 0.98) * top
    jitter = size(rng, 0.001, 0.03)
    train, val = level(shape, top, bottom), level(shape, top, bottom + rng.uniform(-0.01, 0.04))
    return Drawn(noisy(rng, train, jitter), noisy(rng, val, jitter), gradients(rng, n))


def halted_early(rng: random.Random) -> Drawn:
    n = epochs(rng, 8, 60)
    constants, top, bottom = rng.uniform(0.4, 1.4), rng.uniform(0.85, 1.0), rng.uniform(0.0, 0.2)
    kind = rng.choice(["exponential", "line", "accelerating"])
    places = [place / (n - 1) for place in range(n)]
    shape = [
        math.exp(-constants * x)
        if kind == "exponential"
        else 1 - 0.5 * constants * x
        if kind == "line"
        else 1 - 0.6 * x**1.7
        for x in places
    ]
    gap, jitter = rng.uniform(-0.03, 0.05), size(rng, 0.001, 0.01)
    train = level(shape, top, bottom)
    val = [value + gap * x - 0.02 for value, x in zip(train, places, strict=True)]
    return Drawn(noisy(rng, train, jitter), noisy(rng, val, jitter), gradients(rng, n))


def overfitting(rng: random.Random) -> Drawn:
    n = epochs(rng, 10)
    train = level(fall(rng, n, rng.uniform(2.5, 6)), rng.uniform(0.8, 1.0), rng.uniform(0.0, 0.1))
    best, least, rise = rng.uniform(0.1, 0.55), rng.uniform(0.3, 0.75), rng.uniform(0.15, 1.2)
    power = rng.choice([0.7, 1.0, 1.5])
    places = [place / (n - 1) for place in range(n)]
    val = [
        least + (0.95 - least) * (1 - x / best) ** 2 if x < best else least + rise * ((x - best) / (1 - best)) ** power
        for x in places
    ]
    return Drawn(noisy(rng, train, size(rng, 0.001, 0.01)), noisy(rng, val, size(rng, 0.003, 0.025)), gradients(rng, n))


def memorisation(rng: random.Random) -> Drawn:
    n = epochs(rng, 10)
    places = [place / (n - 1) for place in range(n)]
    off, plateau, end = rng.uniform(0.15, 0.4), rng.uniform(0.5, 0.75), rng.uniform(0.02, 0.15)
    constants = rng.uniform(1.0, 2.5)
    shape = [(math.exp(-constants * x) - math.exp(-constants)) / (1 - math.exp(-constants)) for x in places]
    train = level(shape, 0.95, end)
    val = [plateau + (0.97 - plateau) * max(0.0, 1 - x / off) ** 2 for x in places]
    return Drawn(noisy(rng, train, size(rng, 0.001, 0.01)), noisy(rng, val, size(rng, 0.002, 0.015)), gradients(rng, n))


def unrepresentative_training(rng: random.Random) -> Drawn:
    n = epochs(rng, 10)
    shape = fall(rng, n, rng.uniform(6, 12))
    end, gap = rng.uniform(0.0, 0.25), rng.uniform(0.22, 0.5)
    train, val = level(shape, rng.uniform(0.85, 1.0), end), level(shape, rng.uniform(0.97, 1.0), end + gap)
    return Drawn(noisy(rng, train, size(rng, 0.001, 0.01)), noisy(rng, val, size(rng, 0.002, 0.012)), gradients(rng, n))


def unrepresentative_validation(rng: random.Random) -> Drawn:
    n = epochs(rng, 12)
    shape = fall(rng, n, rng.uniform(4.5, 9))
    jitter = size(rng, 0.08, 0.25)
    train = noisy(rng, level(shape, rng.uniform(0.8, 1.0), rng.uniform(0.05, 0.25)), jitter * rng.uniform(0.01, 0.1))
    around = level(shape, 0.95, rng.uniform(0.3, 0.5))
    return Drawn(train, [max(0.01, value + rng.gauss(0, jitter)) for value in around], gradients(rng, n))


def rate_too_large(rng: random.Random) -> Drawn:
    kind, n = rng.choice(["rises", "rises", "jumps", "never", "diverges"]), epochs(rng, 10, 100)
    places = [place / (n - 1) for place in range(n)]
    if kind == "never":
        train = [rng.uniform(2.5, 20), *(rng.uniform(1.0, 1.3) for _ in range(n - 1))]
        return Drawn(train, [rng.uniform(1.0, 1.3) for _ in range(n)], needs="chance")
    if kind == "jumps":
        train = [0.6 + rng.gauss(0, 0.2) for _ in range(n)]
        return Drawn([max(0.2, value) for value in train], [max(0.2, value + rng.gauss(0, 0.15)) for value in train])
    turn, least, rise = rng.uniform(0.2, 0.6), rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.8)
    train = [
        least + (0.97 - least) * (1 - x / turn) ** 2 if x < turn else least + rise * (x - turn) / (1 - turn)
        for x in places
    ]
    val = noisy(rng, [value + rng.uniform(-0.05, 0.1) for value in train], 0.02)
    train = noisy(rng, train, size(rng, 0.002, 0.02))
    if kind == "diverges":
        return Drawn([*train[: n // 2], math.nan], [*val[: n // 2], math.nan], status="diverged")
    return Drawn(train, val, gradients(rng, n))


def leak_suspected(rng: random.Random) -> Drawn:
    n = epochs(rng, 10)
    shape = fall(rng, n, rng.uniform(5, 10))
    train, val = (
        level(shape, rng.uniform(0.9, 1.0), rng.uniform(0.45, 0.75)),
        level(shape, 0.8, rng.uniform(0.03, 0.15)),
    )
    return Drawn(
        noisy(rng, train, size(rng, 0.002, 0.015)), noisy(rng, val, size(rng, 0.002, 0.015)), gradients(rng, n)
    )


def _stuck(rng: random.Random, **columns: Callable[[], float]) -> Drawn:
    drawn = underfitting(rng)
    n = len(drawn.train)
    sound = {
        "norm": lambda: size(rng, 0.01, 1.0),
        "first_to_last": lambda: rng.uniform(0.2, 2),
        "dead_units": lambda: 0.1,
    }
    drawn.columns = {f"gradients/{name}": [value() for _ in range(n)] for name, value in {**sound, **columns}.items()}
    drawn.needs = "chance"
    return drawn


def vanishing_gradients(rng: random.Random) -> Drawn:
    ratio = size(rng, 1e-12, 3e-4)
    return _stuck(rng, first_to_last=lambda: ratio * size(rng, 0.5, 2))


def exploding_gradients(rng: random.Random) -> Drawn:
    if rng.random() < 0.5:
        return _stuck(rng, norm=lambda: size(rng, 3e3, 1e8))
    return _stuck(rng, first_to_last=lambda: size(rng, 3e3, 1e8))


def dead_units(rng: random.Random) -> Drawn:
    share = rng.uniform(0.65, 1.0)
    return _stuck(rng, dead_units=lambda: min(1.0, share * rng.uniform(0.9, 1.1)), first_to_last=lambda: 0.0)


def waiting_for_data(rng: random.Random) -> Drawn:
    drawn = healthy(rng)
    n, share = len(drawn.train), rng.uniform(0.4, 0.85)
    drawn.columns |= {
        "waiting": [min(1.0, share * rng.uniform(0.9, 1.1)) for _ in range(n)],
        "seconds": [rng.uniform(3, 60)] * n,
    }
    return drawn


CASES: dict[str, Callable[[random.Random], Drawn]] = {
    "underfitting": underfitting,
    "halted_early": halted_early,
    "overfitting": overfitting,
    "memorisation": memorisation,
    "unrepresentative_training": unrepresentative_training,
    "unrepresentative_validation": unrepresentative_validation,
    "rate_too_large": rate_too_large,
    "vanishing_gradients": vanishing_gradients,
    "exploding_gradients": exploding_gradients,
    "dead_units": dead_units,
    "waiting_for_data": waiting_for_data,
    "leak_suspected": leak_suspected,
}


def reading(drawn: Drawn, rng: random.Random, name: str) -> Reading:
    """A drawn run with a scale, and with as much known of it as chance has it."""
    known = rng.choice(["configuration", "accuracy", "losses"])
    if drawn.needs == "chance" or (drawn.needs == "config" and known != "configuration"):
        known = "configuration"
    classes = rng.choice([2, 3, 10, 100])
    scale = math.log(classes) if known != "losses" else size(rng, 0.01, 1000)
    columns = {
        "lr": drawn.lr or [0.01] * len(drawn.train),
        "train/loss": [scale * value for value in drawn.train],
        "val/loss": [scale * value for value in drawn.val],
        **drawn.columns,
    }
    if known == "accuracy":
        for split, values in (("train", drawn.train), ("val", drawn.val)):
            right = [max(0.0, 1 - value) if value == value else 0.0 for value in values]
            columns[f"{split}/accuracy"] = [1 / classes + (1 - 1 / classes) * share for share in right]
    columns.setdefault("seconds", [1.0] * len(drawn.train))
    count = len(drawn.train)
    rows = [
        {
            "epoch": place + 1,
            "step": 10 * (place + 1),
            **{key: values[place] for key, values in columns.items()},
        }
        for place in range(count)
    ]
    config = None
    if known == "configuration" or drawn.config:
        facts = {
            "model": {}, "augmentation": {"_target_": "torch.nn.Identity"}, "trainer": {"max_epochs": count},
            "loss": {"_target_": "couloir.loss.classification.CrossEntropy"} if known != "losses" else {},
            "data": {"task": "classification", "num_classes": classes} if known != "losses" else {},
        }  # fmt: skip
        config = OmegaConf.create({**facts, **drawn.config})
    return Reading(name, rows, config, status={"status": drawn.status})


def two_players(rng: random.Random, n: int) -> dict[str, Values]:
    """Columns of a sound GAN: its losses circle, its images become diverse."""
    shape = fall(rng, n, rng.uniform(3, 8))
    chance, width = rng.uniform(0.7, 2.0), rng.uniform(0.05, 0.2)
    drift = rng.choice([0.0, 0.0, rng.uniform(0, 0.5)])
    generator = [chance + drift * (1 - part) + rng.gauss(0, width) for part in shape]
    discriminator = [1.3 - 0.3 * drift * (1 - part) + rng.gauss(0, 0.3 * width) for part in shape]
    real, made = rng.uniform(0.5, 0.85), rng.uniform(0.5, 0.88)
    diversity, sharp = rng.uniform(0.7, 1.05), rng.uniform(0.7, 1.6)
    return {
        "train/generator": generator, "train/discriminator": discriminator,
        "train/loss": [sum(pair) for pair in zip(generator, discriminator, strict=True)],
        "val/loss": [sum(pair) + rng.gauss(0, 0.1) for pair in zip(generator, discriminator, strict=True)],
        "val/real_accuracy": [min(1.0, max(0.0, rng.gauss(real, 0.05))) for _ in range(n)],
        "val/made_accuracy": [min(1.0, max(0.0, rng.gauss(made, 0.05))) for _ in range(n)],
        "val/swd": level(shape, rng.uniform(0.2, 0.4), rng.uniform(0.03, 0.12)),
        "val/diversity": [diversity * (1 - 0.9 * part) for part in shape],
        "val/sharpness": [sharp * (1 + rng.uniform(0, 1) * part) for part in shape],
    }  # fmt: skip


def bound(rng: random.Random, n: int) -> dict[str, Values]:
    """Columns of a sound VAE: its codes say something, and its images are a little blurred."""
    shape, scale = fall(rng, n, rng.uniform(5, 9)), size(rng, 0.5, 100)
    floor = rng.uniform(0.4, 0.9)  # what nobody can foresee of a pixel
    loss = [scale * (floor + (1 - floor) * value) for value in noisy(rng, shape, 0.004)]
    val = [value + 0.02 * scale * (1 - floor) for value in loss]
    nats, sharp = scale * rng.uniform(0.1, 0.3) + 1.5, rng.uniform(0.6, 0.95)
    kl = [nats * (1 - 0.8 * part) for part in shape]
    return {
        "train/loss": loss, "val/loss": val, "train/neg_elbo": loss, "val/neg_elbo": val, "train/kl": kl, "val/kl": kl,
        "val/reconstruction": [whole - part for whole, part in zip(val, kl, strict=True)],
        "val/active_units": [round(3 + 8 * (1 - part)) for part in shape],
        "val/swd": level(shape, 0.25, 0.08), "val/diversity": level(shape, 0.2, rng.uniform(0.6, 0.8)),
        "val/sharpness": [sharp * (1 - 0.4 * part) for part in shape],
    }  # fmt: skip


def made(rng: random.Random, case: str) -> tuple[dict[str, Values], float]:
    """The columns of a network that makes things, of a case or sound, and its ratio of distances to neighbours."""
    n = epochs(rng, 10, 100)
    players = case in ("mode_collapse", "discriminator_wins") or (case != "posterior_collapse" and rng.random() < 0.5)
    columns = two_players(rng, n) if players else bound(rng, n)
    ratio, places = rng.uniform(0.75, 1.8), [place / (n - 1) for place in range(n)]
    if case == "mode_collapse":
        low = rng.uniform(0.02, 0.4)
        columns["val/diversity"] = [low + rng.uniform(0, 0.05) for _ in places]
    elif case == "discriminator_wins":
        for name in ("real", "made"):
            columns[f"val/{name}_accuracy"] = [1.0 - rng.uniform(0, 0.04) for _ in places]
        slope = rng.uniform(2, 12)
        columns["train/generator"] = [1.0 + slope * x + rng.gauss(0, 0.1) for x in places]
        columns["train/discriminator"] = [0.9 * math.exp(-6 * x) for x in places]
        poor = rng.uniform(0.05, 0.6)
        columns["val/diversity"] = [poor * (1 - 0.5 * math.exp(-12 * x)) for x in places]
    elif case == "posterior_collapse":
        left = rng.uniform(0, 0.3)
        columns["val/kl"] = [left + 2 * math.exp(-20 * x) for x in places]
        columns["val/active_units"] = [0.0 for _ in places]
        columns["val/diversity"] = [0.1 for _ in places]
    elif case == "copied_samples":
        ratio = rng.uniform(0.01, 0.4)
    elif case == "blurry_samples":
        blurred = rng.uniform(0.1, 0.4)
        columns["val/sharpness"] = [blurred for _ in places]
    return columns, ratio


MADE = ("mode_collapse", "discriminator_wins", "posterior_collapse", "copied_samples", "blurry_samples")


def makers(seed: int) -> list[tuple[Reading, tuple[str, ...]]]:
    """Runs of networks that make things, each with the case that is true of it; drawn apart from the others."""
    rng, found = random.Random(f"makers {seed}"), []
    for case in (*MADE, ""):
        for number in range(PER_CASE):
            columns, ratio = made(rng, case)
            count = len(columns["train/loss"])
            rows = [
                {
                    "epoch": place + 1,
                    "step": 400 * place + 400,
                    **{name: column[place] for name, column in columns.items()},
                }
                for place in range(count)
            ]
            numbers = {"test/neighbour_ratio": ratio}
            run = Reading(f"{case or 'sound'}_{number}", rows, None, status={"status": "completed"}, numbers=numbers)
            found.append((run, (case,) if case else ()))
    return found


def runs(seed: int) -> list[tuple[Reading, tuple[str, ...]]]:
    """All runs of a seed, each with the cases that are true of it."""
    rng = random.Random(seed)
    drawn = [
        (reading(draw(rng), rng, f"{case}_{number}"), (case,))
        for case, draw in CASES.items()
        for number in range(PER_CASE)
    ]
    drawn += [(reading(healthy(rng), rng, f"healthy_{number}"), ()) for number in range(HEALTHY)]
    return drawn + makers(seed)
