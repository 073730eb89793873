"""The pictures of a run's epochs are found in the order of the epochs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from couloir.record.film import (
    Written,
    frames,
    read_film,
    read_values,
    texts,
    write_film,
    write_frame,
    write_text,
    write_values,
)


def test_the_film_is_in_the_order_of_its_epochs_and_holds_nothing_else(tmp_path: Path) -> None:
    assert frames(tmp_path) == []
    for epoch in (2, 10_000, 999):
        write_frame(tmp_path, epoch, b"old")
    write_frame(tmp_path, 2, b"new")
    (tmp_path / "samples" / "epoch_of_mine.png").write_bytes(b"")
    assert [epoch for epoch, _ in frames(tmp_path)] == [2, 999, 10_000]
    assert frames(tmp_path)[0][1].name == "epoch_0002.png"
    assert frames(tmp_path)[0][1].read_bytes() == b"new"


def test_texts_come_back_as_they_were_written_and_other_files_are_none(tmp_path: Path) -> None:
    assert texts(tmp_path) == []
    late = Written('He said:\n"écru"', "\n\nline\rend\n\n", "temperature 0.8, seed 3")
    for epoch, written in ((12, late), (3, Written("a", "", "b"))):
        write_text(tmp_path, epoch, written)
    (tmp_path / "samples/epoch_0005.txt").write_text("torn")
    (tmp_path / "samples/epoch_0006.txt").write_text("prompt: 4\nwritten: b\n\nc")
    (tmp_path / "samples/text_seed0_ab12cd.txt").write_text("of couloir sample")
    assert texts(tmp_path) == [(3, Written("a", "", "b")), (12, late)]
    assert frames(tmp_path) == []


def test_the_numbers_of_a_film_come_back_epoch_by_epoch_and_torn_ones_are_left_out(tmp_path: Path) -> None:
    assert read_values(tmp_path, "fit") == []
    for epoch in (10_000, 0, 3):
        write_values(tmp_path, epoch, "fit", {"y": np.arange(3, dtype=np.float32) + epoch, "map:c.1": np.zeros(2)})
    whole = (tmp_path / "fit/epoch_0003.npz").read_bytes()
    (tmp_path / "fit/epoch_0003.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "fit/epoch_0004.npz").write_bytes(b"")
    found = read_values(tmp_path, "fit")
    assert [epoch for epoch, _ in found] == [0, 10_000]
    assert found[1][1]["y"].tolist() == [10_000, 10_001, 10_002]
    assert set(found[1][1]) == {"y", "map:c.1"}
    assert frames(tmp_path, "fit") == [], "numbers are no pictures"


def test_each_kind_of_film_has_a_folder_of_its_own(tmp_path: Path) -> None:
    write_frame(tmp_path, 1, b"a curve", "fit")
    assert read_film(tmp_path, "fit") is None
    write_film(tmp_path, "fit", b"a strip", b"a film")
    assert read_film(tmp_path, "fit") == (b"a strip", b"a film")
    assert [file.read_bytes() for _, file in frames(tmp_path, "fit")] == [b"a curve"]
    assert frames(tmp_path) == []
