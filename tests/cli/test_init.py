"""`couloir init`: what it takes, what it says, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from couloir.cli.main import run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a", "b"], "couloir init takes one folder, not 2."),
        (["a=b"], "'a=b' is no name for a project's folder."),
        ([" "], "' ' is no name for a project's folder."),
        (["a\nb"], "'a\nb' is no name for a project's folder."),
        (["--shema"], "There is no flag '--shema'."),
        (["--schema", "a"], "couloir init --schema takes no folder: it is about the one that you are in."),
        (["file"], "file is a file, and a project is a folder."),
        (["file/x"], "The project cannot be written: Not a directory."),
    ],
)
def test_what_is_no_project_is_refused(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert run(["init", *words]) == 2
    assert capsys.readouterr().err.startswith(f"error: {said}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_it_says_what_it_wrote_and_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["init", "a/b"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "a/b/conf/model/mynet.yaml" in lines
    assert lines[-1] == "next: cd a/b, make train, make test, couloir init --schema for your editor"
    assert run(["init", "a/b"]) == 2
    assert "nothing was written" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path / "a")
    assert run(["init"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("next: make train")
