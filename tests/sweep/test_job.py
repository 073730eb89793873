"""What the sweep and the process of a run say to each other through the run's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from couloir.sweep.job import Job, Report, ask_to_stop, asked_to_stop, read_ended, write_ended


def test_a_job_is_read_as_it_was_written_and_begins_with_nothing_said(tmp_path: Path) -> None:
    report = Report("study.journal", "s", 7, "val/loss", {"_target_": "p", "n": 3})
    job = Job(
        3, 1, ["loss.note=ä"], str(tmp_path / "3" / "1"), str(tmp_path), ["train", "-m"], report, {"A": "1"},
        slots=[{"CUDA_VISIBLE_DEVICES": "0"}],
    )  # fmt: skip
    job.path.mkdir(parents=True)
    ask_to_stop(job.path, 2)
    write_ended(job.path, 130)
    job.write()
    assert Job.read(job.path) == job
    assert (asked_to_stop(job.path), read_ended(job.path)) == ([], None), "that was of the time before"


def test_a_run_that_is_asked_twice_gets_the_signal_twice(tmp_path: Path) -> None:
    assert asked_to_stop(tmp_path) == []
    ask_to_stop(tmp_path, 2)
    ask_to_stop(tmp_path, 15)
    assert asked_to_stop(tmp_path) == [2, 15]
    with (tmp_path / ".stop").open("a") as stream:
        stream.write("1")  # of `15`, say, which is being written
    assert asked_to_stop(tmp_path) == [2, 15]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"code": null}'])
def test_an_end_that_is_half_written_is_not_read_yet(content: str, tmp_path: Path) -> None:
    (tmp_path / "ended.json").write_text(content)
    assert read_ended(tmp_path) is None
    write_ended(tmp_path, -9)
    assert read_ended(tmp_path) == -9
