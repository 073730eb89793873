"""What the fuzz of `tests/faults` has found, one by one: each was a traceback, a hang, or an unhelpful error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from couloir.cli.main import run as command
from couloir.config import tree
from couloir.errors import did_you_mean

QUICK = ["trainer=debug", "trainer.accelerator=cpu", "logger=csv", "data.subset=60"]
ADAM = (tree.packaged_conf() / "optimizer/adam.yaml").read_text()
ROOT = (tree.packaged_conf() / "train.yaml").read_text()
LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["model.hiden={}"], "model=lenet5 has no key 'hiden'"),
        (["model.hiden=${couloir.run_name:}"], "model=lenet5 has no key 'hiden'"),
        (["=inf"], "no group or key called ''"),
        (["model=2"], "no model called '2'"),
        (["seed=" + "9" * 4000], "seed takes an integer in [0, 4294967295]"),
        (["optimizer.nonsense=" + "a" * 10_000], "no key 'nonsense'"),
        (["data.seed={_target_: torch.nn.Identity}"], "data.seed takes an integer in"),
        (["optimizer.lr=" + "[" * 200 + "]" * 200], "nested too deeply"),
        (["scheduler=none", "+callbacks.x=7"], "Nothing reads the key 'callbacks.x'"),
        (["++scheduler=text"], "scheduler"),
        (["+x=${nothing}"], "Nothing reads the key 'x'"),
        (["seed=${nothing}"], "refers to something that does not exist"),
        (["+optimizer.foo=1"], "Nothing reads the key 'optimizer.foo'"),
        (["+initializer.foo=1"], "Nothing reads the key 'initializer.foo'"),
        (["data.channels=2"], "The data has 1 channels, not 2"),
        (["model=mlp", "model.hidden=[1000000000000]"], "The network does not fit into memory"),
        (["data=moons", "data.samples=1000000000000"], "does not fit into memory"),
        (["model=convnet", "model.M=1000000000000"], "model.M takes an integer in [0, 30]"),
        (["~loss._target_"], "nothing can be built"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_nonsense_at_the_prompt_is_explained(
    words: list[str],
    fragment: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(["train", *QUICK, *words]) == 2
    message = capsys.readouterr().err
    assert fragment in message
    assert len(message) < 4500


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"# M\xf6del.\n_target_: torch.nn.Identity\n", "conf/model/mine.yaml, line 1"),
        (b"x: " + b"[" * 20_000, "nested too deeply"),
        (b"x: &a [*a]", "The aliases of conf/model/mine.yaml"),
        (LAUGHS.encode(), "The aliases of conf/model/mine.yaml"),
        (b"7", "cannot be composed"),
        (b"# @package\nx: 1\n", "cannot be composed"),
        (b"defaults: null\nx: 1\n", "A defaults list is a list"),
        (b"x: 1\nx: 2\n", "YAML"),
    ],
    ids=["latin-1", "deep", "endless", "laughs", "number", "header", "defaults", "twice"],
)
def test_a_file_that_makes_no_sense_is_explained(
    content: bytes,
    fragment: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/mine.yaml").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    assert command(["train", *QUICK, "model=mine"]) == 2
    assert fragment in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "content", "fragment"),
    [
        ("optimizer/adam", ADAM.replace("lr: 0.002 ", "lr: 0.002 `"), "optimizer.lr takes a number > 0, not 0.002 `"),
        ("optimizer/adam", ADAM.replace("lr: 0.002 ", "# "), "'optimizer' lacks keys that couloir.optimizer.adaptive"),
        ("train", ROOT.replace("  - optimizer: adam\n", ""), "The sentence has no optimizer"),
        ("scheduler/none", "# @package _global_\nscheduler: text\n", "scheduler is text, not a choice"),
    ],
    ids=["stray sign", "lost line", "lost group", "text"],
)
def test_a_packaged_file_copied_with_a_slip_is_explained(
    file: str,
    content: str,
    fragment: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "conf" / file).parent.mkdir(parents=True)
    (tmp_path / f"conf/{file}.yaml").write_text(content)
    monkeypatch.chdir(tmp_path)
    assert command(["train", *QUICK]) == 2
    assert fragment in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("logger/csv", "# No logger.\n"),
        ("callbacks/default", (tree.packaged_conf() / "callbacks/default.yaml").read_text().replace("lr_m", "lr_M")),
    ],
)
def test_a_run_without_loggers_trains_whatever_its_parts_are_called(
    file: str, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf" / file).parent.mkdir(parents=True)
    (tmp_path / f"conf/{file}.yaml").write_text(content)
    monkeypatch.chdir(tmp_path)
    assert command(["train", *QUICK]) == 0


def test_aliases_that_stand_for_little_are_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/mine.yaml").write_text("# Mine.\n_target_: mine.Net\nx: &x [1, 2]\ny: [*x, *x]\n")
    monkeypatch.chdir(tmp_path)
    assert command(["train", "--cfg", "job", "model=mine"]) == 0


def test_a_pipe_in_conf_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf/model").mkdir(parents=True)
    os.mkfifo(tmp_path / "conf/model/pipe.yaml")
    monkeypatch.chdir(tmp_path)
    assert command(["list", "model"]) == 0
    assert command(["train", "model=pipe"]) == 2


def test_a_job_of_a_multirun_is_given_references_as_they_were_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train"])
    assert command(["train", "-m", *QUICK, "model.dropout=${optimizer.nothing}", "seed=1"]) == 2
    assert "'optimizer' has no entry 'nothing'" in capsys.readouterr().err


def test_braces_of_the_users_stay_in_the_suggestion() -> None:
    assert did_you_mean("optimiser", ["optimizer"], form="{}={a:1}") == "did you mean optimizer={a:1}?"
