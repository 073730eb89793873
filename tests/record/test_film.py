"""The pictures of a run's epochs are found in the order of the epochs."""

from __future__ import annotations

from pathlib import Path

from couloir.record.film import frames, write_frame


def test_the_film_is_in_the_order_of_its_epochs_and_holds_nothing_else(tmp_path: Path) -> None:
    assert frames(tmp_path) == []
    for epoch in (2, 10_000, 999):
        write_frame(tmp_path, epoch, b"old")
    write_frame(tmp_path, 2, b"new")
    (tmp_path / "samples" / "epoch_of_mine.png").write_bytes(b"")
    assert [epoch for epoch, _ in frames(tmp_path)] == [2, 999, 10_000]
    assert frames(tmp_path)[0][1].name == "epoch_0002.png"
    assert frames(tmp_path)[0][1].read_bytes() == b"new"
