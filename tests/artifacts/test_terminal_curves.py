"""The chart of the loss that a terminal shows at the end of a run."""

from __future__ import annotations

import io
import math
import re
import sys
from collections.abc import Callable

import plotext
import pytest
from rich.console import Console

from couloir.artifacts import terminal_curves
from couloir.artifacts.terminal_curves import LINES, loss_chart, show_chart
from couloir.record.metrics import Row

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def history(count: int, loss: Callable[[int], float] = lambda epoch: 2 / epoch) -> list[Row]:
    return [{"epoch": epoch, "train/loss": loss(epoch), "val/loss": 1.1 * loss(epoch)} for epoch in range(1, count + 1)]


@pytest.mark.parametrize("count", [2, 5, 150])
@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("loss", [lambda epoch: 2 - epoch / 400, lambda epoch: 100.0**-epoch], ids=["even", "steep"])
def test_the_chart_fits_into_the_terminal_and_says_what_it_shows(
    width: int, count: int, loss: Callable[[int], float]
) -> None:
    lines = ESCAPES.sub("", loss_chart(history(count, loss), width)).splitlines()
    assert len(lines) == LINES + 1
    assert all(len(line) <= width for line in lines)
    assert re.match(r"loss( \(log\))?   .. training  .. validation$", lines[0])
    assert lines[-1].strip() == "epoch"
    ticks = [int(word) for word in lines[-2].split()]
    assert ticks[0] == 1
    assert ticks[-1] == count
    assert ticks == sorted(ticks)


def test_a_wide_range_is_drawn_on_a_logarithmic_axis_and_says_so() -> None:
    assert loss_chart(history(40, lambda epoch: math.exp(-epoch))).startswith("loss (log) ")
    assert loss_chart(history(40, lambda epoch: 1 + 1 / epoch)).startswith("loss   ")


def test_without_colours_the_curves_differ_in_their_characters_and_without_unicode_all_is_ascii() -> None:
    chart = loss_chart(history(20), 80, colour=False)
    assert "\x1b" not in chart
    assert "** training  oo validation" in chart
    assert all(marker in chart.partition("\n")[2] for marker in "*o")
    assert loss_chart(history(20), 80, colour=False, plain=True).isascii()
    assert ESCAPES.sub("", loss_chart(history(20), 80, colour=True, plain=True)).isascii()


def test_strange_losses_are_drawn_as_far_as_they_are_numbers() -> None:
    rows = history(12, lambda epoch: 10.0 ** (20 * epoch))
    rows[3]["val/loss"], rows[4]["train/loss"] = math.inf, math.nan
    assert "e+240" in loss_chart(rows)
    assert loss_chart(history(5, lambda _: 1.0))
    assert loss_chart(history(5, lambda epoch: -epoch))
    alone = [{"epoch": row["epoch"], "train/loss": row["train/loss"]} for row in history(5)]
    assert "validation" not in loss_chart(alone)


def test_there_is_no_chart_of_one_epoch_nor_in_a_few_columns() -> None:
    assert loss_chart(history(1)) == ""
    assert loss_chart([{"epoch": 1}, {"epoch": 2}]) == ""
    assert loss_chart(history(9), width=39) == ""


def console(monkeypatch: pytest.MonkeyPatch, **settings: object) -> io.StringIO:
    screen = io.StringIO()
    monkeypatch.setattr(
        terminal_curves, "get_console", lambda: Console(file=screen, force_terminal=True, width=80, **settings)
    )
    monkeypatch.setattr(terminal_curves, "on_a_terminal", lambda: True)
    return screen


def test_a_terminal_without_colours_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = console(monkeypatch, color_system="standard")
    show_chart(history(5))
    assert "\x1b[36m" in screen.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    screen = console(monkeypatch, color_system="standard")
    show_chart(history(5))
    assert "\x1b" not in screen.getvalue()
    assert "** training" in screen.getvalue()


def test_off_a_terminal_nothing_is_drawn_and_the_library_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal_curves, "on_a_terminal", lambda: False)
    monkeypatch.setitem(sys.modules, "plotext", None)  # an import would raise
    monkeypatch.setattr(terminal_curves, "loss_chart", None)
    show_chart(history(5))


def test_a_chart_that_cannot_be_drawn_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise IndexError("no such marker")

    monkeypatch.setattr(plotext, "build", broken)
    screen = console(monkeypatch)
    show_chart(history(5))
    assert screen.getvalue() == ""


def test_of_two_players_the_losses_of_both_are_drawn_and_not_their_sum() -> None:
    rows: list[Row] = [
        {"epoch": epoch, "train/loss": 99.0, "train/generator": 1.0 + epoch, "train/discriminator": 1.0 / epoch}
        for epoch in range(1, 9)
    ]
    chart = loss_chart(rows, colour=False)
    assert chart.startswith("loss (log)   ** generator  oo discriminator")
    assert "99" not in chart
