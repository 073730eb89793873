"""The axes of a chart: round numbers, no point outside, and no legend on the lines."""

from __future__ import annotations

import math

import pytest

from couloir.artifacts.canvas import DPI, POINT, Box, Stroke, width_of
from couloir.artifacts.chart import Line, Panel, chart, clipped, corner, log_ticks, ticks


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.0, 1.0, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]), (-1.05, 1.0, ["−1.0", "−0.5", "0.0", "0.5", "1.0"]),
        (0.012, 0.019, ["0.012", "0.013", "0.014", "0.015", "0.016", "0.017", "0.018", "0.019"]),
        (3, 1250, ["200", "400", "600", "800", "1000", "1200"]),
        (99_000, 99_990, ["99000", "99200", "99400", "99600", "99800"]),
    ],
)  # fmt: skip
def test_an_axis_has_a_few_round_numbers(low: float, high: float, words: list[str]) -> None:
    found = ticks(low, high, most=8)
    assert [told for _, told in found] == words
    assert all(float(told.replace("−", "-")) == pytest.approx(value, abs=1e-9) for value, told in found)


def test_epochs_are_whole_numbers() -> None:
    assert [told for _, told in ticks(0.9, 2.1, most=8, whole=True)] == ["1", "2"]
    assert [told for _, told in ticks(0, 300, most=8, whole=True)] == ["0", "50", "100", "150", "200", "250", "300"]


def test_a_logarithmic_axis_has_powers_of_ten_or_numbers_between_them() -> None:
    assert [told for _, told in log_ticks(0.04, 3)] == ["0.05", "0.1", "0.2", "0.5", "1", "2"]
    assert [told for _, told in log_ticks(2e-4, 5e3)] == ["10⁻³", "10⁻²", "10⁻¹", "10⁰", "10¹", "10²", "10³"]
    assert 2 <= len(log_ticks(1e-18, 1e18)) <= 9


@pytest.mark.parametrize(
    ("values", "log"), [([1.0, 2.0], False), ([0.5], False), ([0.0, 0.0], False), ([1e-7, 3e-6], True), ([], False)]
)
def test_every_point_lies_within_its_axis(values: list[float], log: bool) -> None:
    panel = Panel("loss", [Line(tuple(range(len(values))), tuple(values), "#000000")], log=log)
    low, high = panel.y_range()
    assert all(low < value < high for value in values)
    assert panel.y_ticks()


def test_small_and_large_numbers_share_a_power_of_ten() -> None:
    panel = Panel("rate", [Line((1, 2), (0.0, 0.0005), "#000000")], low=0.0)
    assert panel.power() == -4
    assert [words for _, words in panel.y_ticks()] == ["0", "1", "2", "3", "4", "5"]
    assert [value for value, _ in panel.y_ticks()] == pytest.approx([0, 1e-4, 2e-4, 3e-4, 4e-4, 5e-4])
    assert "×10⁻⁴" in [words.text for words in chart([[panel]]).words]
    assert Panel("loss", [Line((1, 2), (0.5, 5.0), "#000000")]).power() == 0


def test_a_line_that_leaves_the_axes_is_cut_where_it_does() -> None:
    assert list(clipped([(0, 0), (10, 10), (20, 0)], 0, 5)) == [[(0, 0), (5, 5)], [(15, 5), (20, 0)]]
    assert list(clipped([(0, -10), (10, 20), (20, 3)], 0, 10)) == [
        [pytest.approx((10 / 3, 0)), pytest.approx((20 / 3, 10))],
        [pytest.approx((10 + 100 / 17, 10)), (20, 3)],
    ]
    assert list(clipped([(0, 8), (10, 8)], 0, 5)) == []


def test_the_legend_stands_where_the_lines_are_not() -> None:
    edges, size = (0.0, 0.0, 100.0, 100.0), (30.0, 20.0)
    falling = [(float(x), float(x)) for x in range(0, 101, 5)]
    assert corner(edges, size, falling)[0] > 50, "at the upper right"
    rising = [(float(x), 100.0 - x) for x in range(0, 101, 5)]
    assert corner(edges, size, rising)[0] < 50, "at the upper left"


def test_a_gap_is_a_gap_and_each_panel_stays_in_its_place() -> None:
    line = Line((1, 2, 3, 4, 5), (1.0, 2.0, math.nan, 1.5, math.inf), "#123456", "loss", marked=(0, 1, 3))
    drawing = chart([[Panel("a", [line]), Panel("b", width=2.3)], [Panel("c", [line])]])
    assert drawing.width == round(5.9 * DPI)
    strokes = [shape for shape in drawing.shapes if isinstance(shape, Stroke) and shape.colour == "#123456"]
    assert [len(stroke.points) for stroke in strokes] == [2, 2, 2, 2], "the line and its sample, twice"
    dots = [shape for shape in drawing.shapes if isinstance(shape, Box) and shape.round]
    assert len(dots) == 2 * (3 + 1)
    assert all(shape.edges[2] < 3.6 * DPI for shape in dots)
    assert sum(shape.edges[1] > 2.9 * DPI for shape in dots) == 4


def test_the_largest_numbers_there_are_leave_gaps_and_end_nothing() -> None:
    for values in ((1.7e308, -1.7e308, 1.0), (1e-320, 2.0), (math.inf, math.nan), (1e299, -1e299), (0.0, 1e-320)):
        line = Line(tuple(range(len(values))), values, "#000000", "loss", marked=tuple(range(len(values))))
        for log in (False, all(0 < value < 1e300 for value in values)):
            assert chart([[Panel("loss", [line], log=log, ring=(0, values[0]))]]).png()


@pytest.mark.parametrize(
    ("first", "last", "above"),
    [
        (2.3025852, 2.3025858, "×10⁻⁷ + 2.302585"), (100.005, 100.0066, "×10⁻³ + 100"), (123_457, 123_464, "+ 123450"),
        (-3.0000091, -3.0000014, "×10⁻⁶ − 3.00001"), (1.0, 1.0000000000000002, ""), (0.0107, 0.0121, ""),
    ],
)  # fmt: skip
def test_values_that_hardly_differ_have_different_numbers_on_their_axis(first: float, last: float, above: str) -> None:
    panel = Panel("loss", [Line((1, 2), (first, last), "#000000")])
    assert panel.above() == above
    words = [told for _, told in panel.y_ticks()]
    assert len(set(words)) == len(words) >= 3
    for value, told in panel.y_ticks():
        assert float(told.replace("−", "-")) * 10.0 ** panel.power() + panel.base() == pytest.approx(value, rel=1e-12)
        assert panel.y_range()[0] <= value <= panel.y_range()[1]


def test_all_words_are_in_the_picture_however_long_they_are() -> None:
    line = Line((1, 2), (0.0107, 0.0121), "#000000", "a_layer_with_a_name_that_goes_on_and_on.block_1.weight")
    drawing = chart([[Panel("a_metric_with_a_name_that_goes_on_and_on_and_on_until_the_end", [line], width=2.3)]])
    label = next(words for words in drawing.words if words.upward)
    half = label.points * POINT / 2
    assert half <= label.at[0]
    assert width_of(label.text, label.points) / 2 <= min(label.at[1], drawing.height - label.at[1])
    for words in drawing.words:
        if words.anchor == "start":
            assert words.at[0] + width_of(words.text, words.points) <= drawing.width
