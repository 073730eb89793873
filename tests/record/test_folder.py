"""The run folder: two runs never share one, files are whole or absent, `latest` points to the newest that trained."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from couloir.errors import CouloirError
from couloir.record.files import write_atomically
from couloir.record.folder import RunFolder


def test_a_second_run_does_not_overwrite_the_first(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "outputs/train/a", tmp_path / "outputs")
    with pytest.raises(CouloirError, match="already holds a run"):
        RunFolder.create(tmp_path / "outputs/train/a", tmp_path / "outputs")


def test_latest_points_to_the_newest_run_and_survives_a_move(tmp_path: Path) -> None:
    for name in ("a", "b"):
        RunFolder.create(tmp_path / "outputs/train" / name, tmp_path / "outputs").trained()
    (tmp_path / "outputs").rename(tmp_path / "moved")
    assert (tmp_path / "moved/latest").resolve() == (tmp_path / "moved/train/b").resolve()


def test_latest_stays_with_a_run_that_trained_until_another_has(tmp_path: Path) -> None:
    first, second = (RunFolder.create(tmp_path / f"train/{name}", tmp_path) for name in ("a", "b"))
    assert not (tmp_path / "latest").exists()
    first.trained()
    assert (tmp_path / "latest").resolve() == first.path.resolve()
    second.release()
    RunFolder.reopen(second.path, tmp_path).trained()
    assert (tmp_path / "latest").resolve() == second.path.resolve(), "it trained later, if it began anew"
    first.release()
    RunFolder.reopen(first.path, tmp_path).trained()
    assert (tmp_path / "latest").resolve() == second.path.resolve(), "a run that goes on is no newer"


def test_a_trial_that_trains_makes_its_sweep_the_latest(tmp_path: Path) -> None:
    trial = RunFolder.create(tmp_path / "sweep/x/0", tmp_path)
    (tmp_path / "sweep/x/sweep.yaml").touch()
    trial.trained()
    assert (tmp_path / "latest").resolve() == (tmp_path / "sweep/x").resolve()


def test_a_run_outside_of_the_outputs_leaves_no_link_behind(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "elsewhere/run", tmp_path / "outputs").trained()
    assert not (tmp_path / "elsewhere/latest").exists()
    assert not (tmp_path / "outputs").exists()


def test_a_folder_of_the_users_called_latest_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "outputs/latest").mkdir(parents=True)
    RunFolder.create(tmp_path / "outputs/train/a", tmp_path / "outputs").trained()
    assert not (tmp_path / "outputs/latest").is_symlink()


def test_the_status_keeps_what_was_known_and_says_when_it_ended(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", tmp_path / "outputs")
    folder.write_status("running", epoch=3, step=120)
    folder.write_status("failed", error="RuntimeError: no")
    status = folder.status()
    assert (status["status"], status["epoch"], status["step"]) == ("failed", 3, 120)
    assert {"started", "ended", "pid", "error"} <= status.keys()


def test_a_number_that_json_has_no_word_for_does_not_break_the_file(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", tmp_path / "outputs")
    folder.write_json("result.json", {"a": float("nan"), "b": [float("inf"), 1.5]})
    assert json.loads((folder.path / "result.json").read_text()) == {"a": None, "b": [None, 1.5]}


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    write_atomically(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(file, "\ud800")
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_a_status_that_a_full_disk_has_torn_is_as_good_as_none(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", tmp_path / "outputs")
    folder.status_file.write_text('{"status": "run')
    assert folder.status() == {}
    folder.write_status("failed", error="the disk is full")
    assert folder.status()["status"] == "failed"


def test_the_status_tells_the_truth_where_no_second_file_finds_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder.create(tmp_path / "run", tmp_path / "outputs")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("couloir.record.folder.write_atomically", full)
    folder.write_status("failed", error="the disk is full")
    assert folder.status()["status"] == "failed"
    with pytest.raises(OSError, match="No space"):
        folder.write_status("running")
