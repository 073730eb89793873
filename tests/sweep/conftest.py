"""A project with losses that misbehave, and sweeps in it."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from couloir.cli.main import run

QUICK = ["model=linear", "data=digits", "data.subset=64", "trainer.max_epochs=1", "logger=csv"]
"""A trial of a tenth of a second."""


class Swept:
    """What a sweep has left behind."""

    def __init__(self, code: int, folder: Path, console: str) -> None:
        self.code, self.folder, self.console = code, folder, console

    @property
    def rows(self) -> list[dict[str, str]]:
        """`sweep.csv`."""
        with (self.folder / "sweep.csv").open(newline="") as stream:
            return list(csv.DictReader(stream))

    @property
    def states(self) -> list[str]:
        """Of its trials, in the order of their numbers."""
        return [row["state"] for row in self.rows]

    def status(self, run: str) -> dict[str, Any]:
        """The `status.json` of one of its runs."""
        content: dict[str, Any] = json.loads((self.folder / run / "status.json").read_text())
        return content

    def metrics(self, run: str) -> str:
        """The `metrics.csv` of a run, without its clock."""
        lines = (self.folder / run / "metrics.csv").read_text().splitlines()
        return "\n".join(line.rsplit(",", 2)[0] for line in lines)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of its own, which is the working directory."""
    shutil.copy(Path(__file__).parent / "strange_losses.py", tmp_path)
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "conf" / "loss" / "strange.yaml").write_text(
        "# Cross-entropy that does strange things.\n# Needs: label\n_target_: strange_losses.Strange\nwhat: nothing\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "strange_losses", raising=False)  # another test's copy of it
    return tmp_path


@pytest.fixture
def sweep(project: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Swept]:
    """Makes a sweep with quick trials, in the project."""

    def make(*words: str, verb: tuple[str, ...] = ("train", "-m", *QUICK)) -> Swept:
        capfd.readouterr()
        code = run([*verb, *words])
        out, err = capfd.readouterr()
        print(out, err)  # shown where the test fails
        newest = max((project / "outputs/sweep").glob("*"), key=lambda folder: folder.name, default=project)
        return Swept(code, newest.resolve(), out + err)

    return make
