"""What is said of networks that make things: what they make decides, and not a loss that is no measure."""

from __future__ import annotations

import math
from typing import Any

import pytest

from couloir.diagnosis.diagnosis import Diagnosis, diagnose_reading
from couloir.diagnosis.reading import Reading


def told(config: dict[str, Any] | None = None, status: str = "completed", **columns: list[float]) -> Diagnosis:
    """The diagnosis of a run with these columns, `val_kl` for `val/kl`; `ratio` is that of neighbours."""
    ratio = columns.pop("ratio", None)
    named = {name.replace("_", "/", 1): values for name, values in columns.items()}
    rows = [
        {"epoch": float(place + 1), "step": 100.0 * (place + 1), **dict(zip(named, cells, strict=True))}
        for place, cells in enumerate(zip(*named.values(), strict=True))
    ]
    numbers = {} if ratio is None else {"test/neighbour_ratio": ratio[0]}
    base = {"trainer": {"max_epochs": len(rows)}, "optimizer": {"lr": 0.0002}}
    return diagnose_reading(
        Reading("run", rows, {**base, **(config or {})}, status={"status": status}, numbers=numbers)
    )


def cases(found: Diagnosis) -> list[str]:
    return [finding.case for finding in found.findings]


def line(first: float, last: float, count: int = 20) -> list[float]:
    return [first + (last - first) * place / (count - 1) for place in range(count)]


def gan(config: dict[str, Any] | None = None, **changed: list[float]) -> Diagnosis:
    """A sound run of two players, whose sum of losses rises all the time."""
    columns = {
        "train_generator": line(0.7, 1.4), "train_discriminator": line(1.3, 1.1), "train_loss": line(2.0, 2.5),
        "val_loss": line(2.0, 3.5), "val_real_accuracy": line(0.6, 0.7), "val_made_accuracy": line(0.6, 0.8),
        "val_swd": line(0.3, 0.05), "val_diversity": [*line(0.1, 0.95, 10), *[0.95] * 10], "val_sharpness": [1.0] * 20,
    }  # fmt: skip
    return told(config, **{**columns, **changed})


def vae(config: dict[str, Any] | None = None, **changed: list[float]) -> Diagnosis:
    """A sound run of a VAE, whose loss cannot fall far: most of it is what nobody can foresee."""
    loss = [24.0 + 4 * math.exp(-place / 2) for place in range(20)]
    columns = {
        "train_loss": loss, "val_loss": [value + 0.05 for value in loss], "train_neg_elbo": loss,
        "train_kl": [3.0] * 20, "val_kl": [3.0] * 20, "val_active_units": [5.0] * 20, "val_sharpness": [0.65] * 20,
        "val_diversity": [0.65] * 20,
    }  # fmt: skip
    return told(config, **{**columns, **changed})


def test_sound_players_and_codes_cause_no_alarm_though_their_losses_rise_or_stay_high() -> None:
    found = gan()
    assert found.healthy
    assert found.summary.startswith("Last epoch (20): loss of the generator 1.4, loss of the discriminator 1.1")
    assert vae().healthy


def test_a_generator_that_makes_one_image_is_told_and_one_that_is_on_its_way_is_not() -> None:
    alike = gan(val_diversity=[0.2] * 20)
    assert cases(alike) == ["mode_collapse"]
    assert "0.2 (epoch 20)" in alike.in_words()
    assert cases(gan(val_diversity=line(0.1, 0.45))) == ["halted_early"]
    assert cases(gan(val_diversity=[*line(0.1, 0.9, 10), *line(0.8, 0.3, 10)])) == ["mode_collapse"]
    six = [1.0] * 6
    young = told(train_generator=six, train_discriminator=six, train_loss=six, val_loss=six, val_diversity=[0.2] * 6)
    assert not young.findings
    assert not young.healthy
    assert "600 steps of both players together are too few" in young.in_words()


def test_a_class_that_is_never_made_is_told_where_it_was_measured() -> None:
    assert cases(gan(val_class_coverage=[0.8] * 20)) == ["mode_collapse"]
    assert gan(val_class_coverage=[1.0] * 20).healthy
    ones = [1.0] * 6  # after 600 steps a generator has not come to its classes yet, or has lost them again
    few = dict.fromkeys(("train_generator", "train_discriminator", "train_loss", "val_loss", "val_diversity"), ones)
    assert not told(**few, val_class_coverage=[0.1] * 6).findings
    assert cases(told(**few, val_class_coverage=[1.0, 1.0, 1.0, 0.2, 0.2, 0.2])) == ["mode_collapse"]


def test_a_discriminator_that_wins_is_told_unless_the_images_are_good_or_it_is_a_critic() -> None:
    sure = {"val_real_accuracy": [1.0] * 20, "val_made_accuracy": [0.98] * 20, "train_generator": line(1.0, 12.0)}
    poor = {**sure, "val_diversity": [0.2] * 20}
    found = gan({"task": {"objective": "non_saturating", "discriminator_lr": None}, "model": {}}, **poor)
    assert cases(found) == ["discriminator_wins"], "that images are alike follows from it"
    assert found.findings[0].remedies[0].words == "task.discriminator_lr=5e-05"
    assert gan(**sure).healthy, "good images"
    assert cases(gan({"task": {"objective": "wasserstein_gp"}}, **poor)) == ["mode_collapse"]
    given_up = {"val_real_accuracy": [0.5] * 20, "val_made_accuracy": [0.5] * 20}
    assert gan(**given_up).healthy, "a discriminator that can only guess"
    assert "discriminator_wins" in cases(gan(**{**sure, "val_swd": [*[0.05] * 10, *[0.2] * 10]}))


@pytest.mark.parametrize(
    ("task", "remedy"),
    [
        ({"likelihood": "gaussian", "deviation": 1.0}, "task.deviation=0.1"),
        ({"likelihood": "bernoulli", "beta": 10.0}, "task.beta=1.0"),
        ({"likelihood": "bernoulli", "beta": 1.0, "warm_up_epochs": 0}, "task.warm_up_epochs=6"),
        ({"likelihood": "bernoulli", "beta": 1.0, "warm_up_epochs": 5, "free_bits": 0.0}, "task.free_bits=0.1"),
    ],
)
def test_codes_that_say_nothing_are_told_with_what_this_run_has_not_tried(task: dict[str, Any], remedy: str) -> None:
    found = vae({"task": task}, val_kl=[0.01] * 20, val_active_units=[0.0] * 20, val_sharpness=[0.4] * 20)
    assert cases(found) == ["posterior_collapse"], "that images are blurred follows from it"
    assert found.findings[0].remedies[0].words == remedy


def test_copies_and_blurred_images_are_told_by_what_was_measured() -> None:
    assert cases(gan(ratio=[0.2])) == ["copied_samples"]
    assert gan(ratio=[0.9]).healthy
    assert "copied_samples" not in cases(gan(ratio=[0.2], val_sharpness=[0.1] * 20)), "grey is near to all images"
    assert cases(gan(ratio=[0.2], val_diversity=[0.2] * 20)) == ["mode_collapse"], "the mean image is near to all"
    blurred = vae({"model": {"code_size": 8}}, val_sharpness=[0.3] * 20)
    assert cases(blurred) == ["blurry_samples"]
    assert blurred.findings[0].remedies[0].words == "model.code_size=16"
    coming = vae({"model": {"code_size": 8}}, val_sharpness=line(0.1, 0.4))
    assert coming.findings[0].remedies[0].words == "trainer.max_epochs=40"


def test_the_loss_of_a_warm_up_that_rises_is_no_rate_that_is_too_large() -> None:
    rising = [*line(5.0, 26.0, 10), *[25.0 - 0.5 * math.exp(-place / 2) for place in range(10)][::-1]]
    columns = {"train_loss": rising, "val_loss": [26.0 - 0.02 * place for place in range(20)]}
    assert "rate_too_large" in cases(vae(**columns))
    assert "rate_too_large" not in cases(vae({"task": {"warm_up_epochs": 10}}, **columns))
    within = vae({"task": {"warm_up_epochs": 30}}, **columns)
    assert "within the 30 epochs of its warm-up" in within.note
    short = vae({"task": {"warm_up_epochs": 18}}, **columns)
    assert short.note == "2 epochs are too few after the 18 of the warm-up to say anything; four are needed."


def autoencoder(end: float, first: float = 0.09) -> Diagnosis:
    errors = [end + (first - end) * math.exp(-place) for place in range(20)]
    columns = [f"{split}/{name}" for split in ("train", "val") for name in ("loss", "mse")]
    rows = [
        {"epoch": place + 1, **dict.fromkeys(columns, x), "train/psnr": 15.0, "val/psnr": 15.0}
        for place, x in enumerate(errors)
    ]
    config = {
        "task": {"_target_": "couloir.task.reconstruction.Reconstruction"}, "trainer": {"max_epochs": 20},
        "loss": {"_target_": "couloir.loss.regression.MeanSquaredError"}, "model": {"code_size": 4},
        "data": {"task": "classification", "num_classes": 10, "image_size": 8},
    }  # fmt: skip
    return diagnose_reading(Reading("run", rows, config, status={"status": "completed"}, deviations=(0.376,)))


def test_an_autoencoder_that_gives_back_the_mean_image_is_not_called_healthy() -> None:
    found = autoencoder(0.0734, first=0.08)
    assert cases(found) == ["underfitting"]
    assert found.findings[0].remedies[0].words == "model.code_size=8"
    assert found.findings[0].case == cases(autoencoder(0.0734, first=0.15))[0]
    assert autoencoder(0.02).healthy


def test_players_whose_losses_became_nan_are_told_as_any_run_that_diverged() -> None:
    broken = gan(train_loss=[*line(2.0, 2.5, 19), math.nan])
    assert cases(broken) == ["rate_too_large"]
    assert not any("plateau" in remedy.words or "clip" in remedy.words for remedy in broken.findings[0].remedies)
