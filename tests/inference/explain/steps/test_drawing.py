"""Tokens on coloured ground."""

from __future__ import annotations

from couloir.inference.explain.steps.drawing import coloured, visible


def test_tokens_are_shown_as_they_are_with_their_numbers() -> None:
    html = coloured(["<b>", "\n", "x"], [2.0, -1.0, 0.0])
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert "/ 1.00" in html
    assert "/ 0.50" in html
    assert html.count("background") == 2
    assert visible("a\tb") == "a⇥b"
