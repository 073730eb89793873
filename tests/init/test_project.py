"""A project made by `couloir init` trains, goes on, answers and passes its own tests; nothing is overwritten."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from couloir.cli.main import run
from couloir.errors import CouloirError
from couloir.init.project import OWN, make_project

FILES = {
    ".gitignore", "Makefile", "README.md", "conf/data/mydata.yaml", "conf/experiment/first.yaml",
    "conf/model/mynet.yaml", "mydata.py", "mynet.py", "requirements.txt", "tests/test_mynet.py",
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project that was made, as the working directory."""
    folder = tmp_path_factory.mktemp("projects") / "my project"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        assert run(["init", "my project"]) == 0
        patch.chdir(folder)
        patch.setattr(sys, "path", [str(folder), *sys.path])
        yield folder
        for name in ("mynet", "mydata"):
            sys.modules.pop(name, None)


def test_it_has_the_files_of_a_project(project: Path) -> None:
    made = {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}
    assert FILES | {f"{OWN}/python"} <= made
    assert (project / "README.md").read_text().startswith("# my project\n")
    assert not any("{" in (project / name).read_text() for name in ("README.md", "requirements.txt"))


def test_its_experiment_trains_goes_on_and_is_evaluated(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["experiment=first", "data.subset=300", "trainer.max_epochs=1", "trainer=cpu"]
    assert run(["train", *words]) == 0
    latest = project / "outputs/latest"
    first = json.loads((latest / "result.json").read_text())
    assert run(["resume", "latest", "trainer.max_epochs=2"]) == 0
    second = json.loads((latest / "result.json").read_text())
    assert second["epochs"] == 2
    assert second["train/loss"] < first["train/loss"]
    capsys.readouterr()
    assert run(["evaluate", "latest", "--json"]) == 0
    assert str(round(second["test/accuracy"], 6))[:6] in capsys.readouterr().out


def test_its_parts_are_shown_as_the_users_own(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "model"]) == 0
    assert "My first network: two convolutions and one linear layer.  (your own)" in capsys.readouterr().out
    assert run(["data", "data=mydata", "--no-page"]) == 0
    said = capsys.readouterr().out
    assert "even" in said
    assert "1,797" in said.replace("1797", "1,797")
    assert run(["train", "model=mynet", "model.width=0"]) == 2
    assert "model.width takes an integer >= 1, not 0" in capsys.readouterr().err


def test_its_own_tests_pass(project: Path) -> None:
    import unittest

    suite = unittest.defaultTestLoader.discover(str(project / "tests"))
    quick = [
        case
        for group in suite
        for cases in group  # type: ignore[union-attr]
        for case in cases  # type: ignore[union-attr]
        if "two_epochs" not in case.id()
    ]
    assert len(quick) == 3
    result = unittest.TestResult()
    unittest.TestSuite(quick).run(result)
    sys.modules.pop("test_mynet", None)
    assert not result.errors, result.errors[0][1]
    assert result.wasSuccessful()
    assert result.testsRun == 3


@pytest.mark.skipif(os.name == "nt", reason="make")
def test_its_makefile_takes_the_python_that_made_it(project: Path) -> None:
    import subprocess

    # `make test PYTHON=...` hands its words on to each make that it starts.
    alone = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES", "PYTHON")}
    words = ["make", "--dry-run", "train", "ARGS=seed=1"]
    planned = subprocess.run(words, capture_output=True, text=True, check=True, env=alone)
    assert f'"{sys.executable}" -m couloir train experiment=first seed=1' in planned.stdout
    assert "pip install" not in planned.stdout


@pytest.mark.skipif(os.name == "nt", reason="make")
def test_its_makefile_makes_an_environment_where_no_python_has_couloir(tmp_path: Path) -> None:
    import subprocess

    make_project(tmp_path)
    (tmp_path / OWN / "python").unlink()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin/python3").chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"
    done = subprocess.run(
        ["make", "--dry-run", "test"], cwd=tmp_path, env={"PATH": path}, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "python3 -m venv .venv"
    assert lines[-1] == '".venv/bin/python" -m unittest discover --start-directory tests'


def test_nothing_is_overwritten_and_nothing_is_written_beside_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "mynet.py").write_text("mine")
    (tmp_path / "conf").write_text("a file where a folder goes")
    with pytest.raises(CouloirError, match=r"These files are there already: mynet\.py, conf\."):
        make_project(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["conf", "mynet.py"]
    assert (tmp_path / "mynet.py").read_text() == "mine"


def test_a_folder_that_holds_other_files_may_become_a_project(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    assert {path.as_posix() for path in make_project(tmp_path)} == FILES
    with pytest.raises(CouloirError, match="These files are there already"):
        make_project(tmp_path)


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def full(self: Path, mode: str = "r", **rest: object) -> object:
        if self.name == "mynet.py" and mode == "x":
            raise OSError(28, "No space left on device", str(self))
        return opened(self, mode, **rest)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(CouloirError, match="The project cannot be written: No space left on device"):
        make_project(tmp_path / "p")
    assert not [path for path in (tmp_path / "p").rglob("*") if path.is_file()]


def test_a_file_in_place_of_the_folder_and_couloirs_own_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p").touch()
    with pytest.raises(CouloirError, match="is a file, and a project is a folder"):
        make_project(tmp_path / "p")
    with pytest.raises(CouloirError, match="This is the folder of Couloir itself"):
        make_project(Path(__file__).parents[2])
