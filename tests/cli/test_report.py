"""`couloir report`: which page a word asks for, and where it goes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import couloir
from couloir.cli.main import run as command
from recorded_runs import write_run


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory's outputs, with two runs."""
    healthy = SimpleNamespace(findings=(), evidence=(), healthy=True, note="", in_words=lambda: "Looks healthy.")
    monkeypatch.setattr("couloir.diagnosis.diagnose", lambda _: healthy)
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        write_run(tmp_path / "outputs" / "train" / name, (f"seed={name}",))
    (tmp_path / "outputs" / "latest").symlink_to("train/two", target_is_directory=True)
    return tmp_path / "outputs"


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> Path:
    assert command(["report", *words]) == 0
    return Path(capsys.readouterr().out.strip())


def test_each_page_goes_where_it_is_looked_for(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(["latest"], capsys) == Path("outputs/train/two/report.html")
    assert said(["one"], capsys) == Path("outputs/train/one/report.html")
    both = said(["one", "two"], capsys)
    assert (both.parent.parent, both.name) == (Path("outputs/report"), "report.html")
    assert "<h1>2 runs</h1>" in both.read_text()
    assert said(["outputs/"], capsys) == Path("outputs/index.html")
    assert "train/one/report.html" in Path("outputs/index.html").read_text()
    assert said(["one", "--out", "a/b.html"], capsys) == Path("a/b.html")
    Path("here").mkdir()
    assert said(["one", "--out", "here"], capsys) == Path("here/report.html")
    assert said(["one", "one", "--out=c.html"], capsys) == Path("c.html")
    assert "<h1>Run one</h1>" in Path("c.html").read_text(), "a run that is named twice is one run"


def test_a_run_of_train_has_its_page(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data=moons", "data.subset=80", "trainer=cpu", "trainer.max_epochs=2", "logger=csv"]
    run = couloir.train(couloir.compose(words)).dir
    capsys.readouterr()
    html = said([str(run)], capsys).read_text()
    sections = ["Diagnosis", "Curves", "Results", "Confusion matrix", "Classes", "Configuration", "Provenance"]
    assert [title for title in re.findall("<h2>(.*?)</h2>", html) if title in sections] == sections
    assert f"{json.loads((run / 'result.json').read_text())['test/accuracy']:.4f}" in html


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        ([], "No run is named."),
        (["on"], "There is no run 'on'."),
        (["empty"], "There is no run in empty"),
        (["one", "empty"], "empty is not a run"),
        (["one", "--ouut", "a.html"], "did you mean --out?"),
        (["one", "--out"], "--out needs a path."),
        (["one", "optimizer.lr=1"], "couloir report takes runs, not 'optimizer.lr=1'."),
        (["one", "--out", "outputs/latest/config.yaml/a.html"], "The report cannot be written"),
    ],
)
def test_a_mistake_is_a_sentence(
    words: list[str], fact: str, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    assert command(["report", *words]) == 2
    assert fact in capsys.readouterr().err
