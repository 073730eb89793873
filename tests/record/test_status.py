"""The format of a run folder: an older one is read, a newer one is refused by each verb that would read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from couloir.cli.main import run as command
from couloir.errors import CouloirError
from couloir.record.find import find_run
from couloir.record.folder import RunFolder
from couloir.record.status import FORMAT, is_newer, read_status
from recorded_runs import write_run


def newer(folder: Path) -> Path:
    run = write_run(folder)
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps({**status, "format": FORMAT + 1}))
    return run


@pytest.mark.parametrize("verb", ["resume", "rerun", "evaluate", "report", "diagnose", "diff"])
def test_a_run_of_a_newer_version_is_refused_in_a_sentence(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = newer(tmp_path / "run")
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    assert command([verb, *["run"] * (2 if verb == "diff" else 1)]) == 2
    said = capsys.readouterr().err
    assert f"The run run was made by a newer Couloir: its folder has format {FORMAT + 1}" in said
    assert "pip install --upgrade couloir" in said
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before
    assert not (tmp_path / "outputs").exists()


def test_a_run_to_start_from_must_be_one_that_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    newer(tmp_path / "run")
    assert command(["train", "data=line", "initializer=from_run", "initializer.run=run"]) == 2
    assert "made by a newer Couloir" in capsys.readouterr().err


def test_a_newer_trial_of_a_sweep_is_not_taken_up(tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match="newer Couloir"):
        RunFolder.reopen(newer(tmp_path / "0"))
    assert not (tmp_path / "0" / "run.lock").exists()


def test_an_older_run_without_a_number_is_read_and_gets_one_when_it_goes_on(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert "format" not in read_status(run)
    assert find_run(str(run)) == run
    folder = RunFolder.reopen(run)
    folder.write_status("running")
    folder.release()
    assert read_status(run)["format"] == FORMAT


def test_a_new_folder_says_its_format(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "run", None, latest=False)
    assert json.loads((tmp_path / "run" / "status.json").read_text())["format"] == FORMAT


@pytest.mark.parametrize("number", [None, "two", [2], FORMAT])
def test_only_a_larger_number_is_a_newer_format(number: object) -> None:
    assert not is_newer({"format": number})
