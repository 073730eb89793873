"""`curves.png`: what a reader of the picture relies on, and that no picture ever ends a run."""

from __future__ import annotations

import errno
import logging
import math
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

import couloir.callbacks.epoch_record
from couloir.artifacts import curves
from couloir.artifacts.chart import Panel
from couloir.artifacts.curves import curve_panels, draw_curves
from couloir.callbacks.epoch_record import Record
from couloir.record.folder import RunFolder

NAN = math.nan


def history(losses: list[float], rates: list[float] | None = None) -> list[curves.Row]:
    return [
        {
            "epoch": epoch, "lr": 0.1 if rates is None else rates[epoch - 1],
            "train/loss": loss, "val/loss": 1.2 * loss, "train/accuracy": 0.5, "val/accuracy": 0.4,
        }
        for epoch, loss in enumerate(losses, 1)
    ]  # fmt: skip


def panels(rows: list[curves.Row], **more: Any) -> dict[str, Panel]:
    return {panel.label: panel for line in curve_panels(rows, **more) for panel in line}


def test_loss_and_metric_have_a_panel_each_with_both_splits_and_the_best_epoch_with_its_value() -> None:
    found = panels(history([2.0, 1.0, 1.5]), best_epoch=2)
    assert list(found) == ["loss", "accuracy"]
    assert found["loss"].labels() == ["training", "validation", "best epoch (2): 1.2"]
    assert found["accuracy"].labels() == ["training", "validation", "best epoch (2): 0.4"]
    for axes in found.values():
        assert axes.over == "epoch"
        assert not axes.log
    assert found["loss"].lines[1].y == pytest.approx((2.4, 1.2, 1.8))
    assert found["loss"].ring == pytest.approx((2, 1.2))


@pytest.mark.parametrize(
    ("losses", "scale"),
    [
        ([3.0, 0.05], "log"), ([2.0, 1.9], "linear"), ([3.0, 0.0], "linear"), ([1.0, -40.0], "linear"),
        ([3.0, NAN, 0.05], "log"), ([math.inf, 2.0, 1.9], "linear"), ([NAN], "linear"),
    ],
)  # fmt: skip
def test_the_loss_axis_is_logarithmic_where_the_range_asks_for_it_and_only_where_it_can_be(
    losses: list[float], scale: str
) -> None:
    assert panels(history(losses))["loss"].log == (scale == "log")


def test_a_rate_that_changes_has_a_panel_and_one_that_does_not_a_line_of_text() -> None:
    constant = panels(history([1.0] * 8))
    assert "learning rate" not in constant
    assert constant["loss"].note == "learning rate 0.1"
    steps = panels(history([1.0] * 9, [0.1] * 3 + [0.01] * 3 + [0.001] * 3))
    assert steps["learning rate"].log
    assert steps["loss"].note == ""
    cosine = [0.05 * (1 + math.cos(math.pi * epoch / 100)) for epoch in range(100)]
    assert not panels(history([1.0] * 100, cosine))["learning rate"].log


def test_epochs_are_whole_numbers_however_few_there_are() -> None:
    for count in (1, 2, 300):
        shown = panels(history([1.0] * count), best_epoch=1)["loss"].x_ticks()
        assert shown
        assert all(f"{tick:.0f}" == words for tick, words in shown)
        assert len(shown) <= 9


def test_a_value_between_two_gaps_is_seen_although_no_line_leads_to_it() -> None:
    rows = history([1.0] * 60)
    for epoch in (20, 22):
        rows[epoch - 1]["val/loss"] = NAN
    line = panels(rows)["loss"].lines[1]
    assert line.marked == (20,)
    assert math.isnan(line.y[19])


def test_runs_without_validation_and_regressions_are_drawn_with_what_they_have() -> None:
    alone = [{key: value for key, value in row.items() if not key.startswith("val/")} for row in history([1.0, 0.5])]
    found = panels(alone, best_epoch=2)
    assert found["loss"].labels() == ["training", "best epoch (2): 0.5"]
    assert list(found) == ["loss", "accuracy"]
    regression = [{"epoch": e, "train/loss": 1.0, "val/loss": 1.0, "val/r2": 1 - 500 / e**3} for e in range(1, 40)]
    axes = next(axes for label, axes in panels(regression).items() if label.startswith("R²"))
    assert axes.y_range()[0] > -2, "the first epochs do not press the others flat"


def test_chosen_metrics_have_panels_of_their_own_under_their_names_for_people() -> None:
    chosen = {
        "f1": {"facts": {"label": "macro F1", "higher_is_better": True, "bounds": [0, 1]}},
        "unmeasured": {"facts": {"higher_is_better": True}},
        "explained_variance": {
            "facts": {"label": "explained variance", "higher_is_better": True, "bounds": [None, 1], "guess": 0}
        },
    }
    rows = [
        {**row, "train/f1": 0.3, "val/f1": 0.2, "val/explained_variance": 1 - 500 / row["epoch"] ** 3}
        for row in history([2.0] * 20)
    ]
    found = panels(rows, best_epoch=2, chosen=chosen)
    assert list(found) == ["loss", "accuracy", "macro F1", "explained variance, from −1 on"]
    assert found["macro F1"].labels() == ["training", "validation", "best epoch (2): 0.2"]
    assert found["explained variance, from −1 on"].labels()[0] == "validation", "it is not measured in training"
    assert list(panels(rows, best_epoch=2)) == ["loss", "accuracy"], "a run that chose none"


def test_the_svg_is_there_when_asked_for_and_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one", "other"):
        assert draw_curves(history([1.0, 0.5]), tmp_path / f"{name}.png", best_epoch=2, svg=True) is None
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()
    assert ET.fromstring((tmp_path / "one.svg").read_text()).tag.endswith("svg")
    draw_curves(history([1.0]), tmp_path / "png.png")
    assert not (tmp_path / "png.svg").exists()


def test_curves_are_drawn_for_one_epoch_for_many_and_around_gaps(tmp_path: Path) -> None:
    many = [{"epoch": e, "train/loss": 1000 / (1 + e) ** 3, "val/loss": NAN if e == 3 else 2.0 + e} for e in range(60)]
    for name, rows in {"one": history([1.0]), "many": many, "negative": [{"epoch": 0, "train/loss": -1.0}]}.items():
        draw_curves(rows, tmp_path / f"{name}.png", best_epoch=0, title=name)
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.width > 400
            assert len(set(image.convert("L").get_flattened_data())) > 20, "the picture is not empty"


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    monkeypatch.setattr(couloir.callbacks.epoch_record, "draw_curves", draw_curves)  # which other tests leave out
    return Record(RunFolder(tmp_path), "val/loss", "min")


def test_what_cannot_be_drawn_is_said_once_and_ends_no_run(
    record: Record, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("findfont:\nno font")

    monkeypatch.setattr(curves, "curve_panels", broken)
    with caplog.at_level(logging.INFO, logger="couloir.file"):
        for loss in (1.0, 0.5):
            record.rows = [*record.rows, *history([loss])]
            record.draw()
    assert caplog.messages == ["curves.png cannot be drawn: RuntimeError: findfont: no font"]


def test_a_disk_that_cannot_be_written_is_not_taken_for_a_picture_that_cannot_be_drawn(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(curves, "write_atomically", full)
    record.rows = history([1.0])
    with pytest.raises(OSError, match="No space left"):
        record.draw()


def test_a_run_that_is_stopped_leaves_its_curves_and_a_full_disk_does_not_hide_why(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    record.rows = history([1.0, 0.5])
    trainer: Any = SimpleNamespace(is_global_zero=True)
    record.on_exception(trainer, trainer, KeyboardInterrupt())
    assert (record.folder.path / "curves.png").exists()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(curves, "write_atomically", full)
    record.rows = history([1.0, 0.5, 0.25])
    record.on_exception(trainer, trainer, KeyboardInterrupt())


def two_players(epochs: int) -> list[curves.Row]:
    columns = {"generator": 1.0, "discriminator": 1.3, "real_accuracy": 0.7, "made_accuracy": 0.6, "loss": 2.3}
    every = {f"{split}/{name}": value for split in ("train", "val") for name, value in columns.items()}
    return [
        {
            "epoch": epoch,
            "lr": 2e-4,
            **every,
            "val/swd": 0.1,
            "gradients/generator": 1.0,
            "gradients/discriminator": 9.0,
        }
        for epoch in range(1, epochs + 1)
    ]


def test_two_players_have_their_losses_in_place_of_a_sum_that_says_nothing() -> None:
    found = panels(two_players(3))
    expected = ["loss of each player", "sliced Wasserstein distance", "images judged rightly", "norm of the gradients"]
    assert list(found) == expected
    assert found["loss of each player"].labels() == ["loss of the generator", "loss of the discriminator", "training"]
    assert found["norm of the gradients"].labels() == ["generator", "discriminator"]
    assert [line.y for line in found["norm of the gradients"].lines] == [(1.0,) * 3, (9.0,) * 3]
    assert found["images judged rightly"].y_range()[1] > 1


def test_the_parts_of_a_bound_share_a_panel_and_a_metric_that_is_the_loss_has_none_of_its_own() -> None:
    parts = {"reconstruction": 20.0, "kl": 5.0}
    rows: list[curves.Row] = []
    for epoch in range(1, 4):
        both = {f"{split}/{name}": value for split in ("train", "val") for name, value in parts.items()}
        both |= {f"{split}/{name}": 30.0 - epoch for split in ("train", "val") for name in ("loss", "neg_elbo")}
        rows.append({"epoch": epoch, "lr": 1e-3, **both})
    assert list(panels(rows)) == ["loss", "nats a sample"]
    weighted = [{**row, "train/loss": 50.0} for row in rows]
    assert list(panels(weighted))[:2] == ["loss", "negative ELBO in nats"]


def test_the_parts_that_a_task_of_ones_own_names_are_drawn_together() -> None:
    rows = [{**row, "train/fit": 1.0, "val/fit": 1.2, "val/rest": 0.1} for row in history([2.0, 1.0])]
    assert panels(rows, parts=("fit", "rest"))["parts of the loss"].labels() == [
        "fit",
        "rest",
        "training",
    ]
    assert "parts of the loss" not in panels(rows)
