"""The page shows what a network wrote, epoch by epoch."""

from __future__ import annotations

from pathlib import Path

from couloir.record.film import Written, write_text
from couloir.report.written import beside_each_other, by_epoch


def test_the_first_and_the_newest_text_are_shown_and_some_between_them(tmp_path: Path) -> None:
    assert by_epoch(tmp_path) is None
    for epoch in range(1, 12):
        write_text(tmp_path, epoch, Written("To be", f" <{epoch}>", "temperature 0.8, seed 0"))
    found = by_epoch(tmp_path)
    assert found is not None
    html, note = found
    shown = [epoch for epoch in range(1, 12) if f"<b>epoch {epoch}</b><pre> &lt;{epoch}&gt;</pre>" in html]
    assert shown == [1, 3, 5, 7, 9, 11]
    assert note.startswith("Some of 11 epochs: what follows “To be”")


def test_the_newest_texts_of_several_runs_stand_beside_each_other(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    for name, epoch in (("a", 1), ("a", 2), ("c", 5)):
        write_text(tmp_path / name, epoch, Written("p", f"{name}{epoch}", "d"))
    html = beside_each_other([(tmp_path / name, name.upper()) for name in ("a", "b", "c")], most=12)
    assert html.count("<pre>") == 2
    assert "<b>A, epoch 2</b><pre>a2</pre>" in html
    assert "<b>C, epoch 5</b><pre>c5</pre>" in html
    assert beside_each_other([(tmp_path / "b", "B")], most=12) == ""
