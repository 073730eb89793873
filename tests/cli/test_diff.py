"""`couloir diff`: what differs between two runs, also between unfinished and torn ones."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import couloir
from couloir.cli.main import run as command


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    outputs = tmp_path_factory.mktemp("outputs")
    words = ["data=moons", "data.subset=80", "trainer=cpu", "logger=csv", f"output_dir={outputs}"]
    one = couloir.train(couloir.compose([*words, "trainer.max_epochs=2"])).dir
    other = couloir.train(couloir.compose([*words, "trainer.max_epochs=1", "optimizer.lr=0.05", "data.seed=3"])).dir
    return one, other


def said(words: list[Any], capsys: pytest.CaptureFixture[str]) -> str:
    assert command(["diff", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_configuration_data_results_and_the_first_epoch_are_compared(
    pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    diff = json.loads(said([*pair, "--json"], capsys))
    assert diff["configuration"] == {
        "trainer.max_epochs": [2, 1], "optimizer.lr": [0.002, 0.05], "data.seed": [0, 3],
    }  # fmt: skip
    assert diff["data"][0]["name"] == "fingerprint"
    assert diff["environment"] == []
    assert diff["results"]["test/loss"][0] != diff["results"]["test/loss"][1]
    assert diff["metrics"]["epochs"] == [2, 1]
    assert diff["metrics"]["first"]["epoch"] == 1
    text = said(list(pair), capsys)
    for part in ("optimizer.lr", "0.05", "fingerprint", "test/loss", "B - A", "the first difference is epoch 1"):
        assert part in text


def test_a_run_does_not_differ_from_its_copy(pair: tuple[Path, Path], tmp_path: Path, capsys: Any) -> None:
    copy = shutil.copytree(pair[0], tmp_path / "copy")
    numbers = json.loads((copy / "result.json").read_text())
    (copy / "result.json").write_text(json.dumps({**numbers, "seconds": 1e9}))
    assert said([pair[0], copy], capsys).startswith("nothing differs between")
    assert json.loads(said([pair[0], copy, "--json"], capsys))["nothing"] is True


def test_an_environment_that_differs_is_named(pair: tuple[Path, Path], tmp_path: Path, capsys: Any) -> None:
    copy = shutil.copytree(pair[0], tmp_path / "copy")
    provenance = json.loads((copy / "provenance.json").read_text())
    provenance["packages"] |= {"torch": "1.0", "pytest": "2.0"}
    provenance["hardware"]["threads"] = 999
    (copy / "provenance.json").write_text(json.dumps(provenance))
    text = said([pair[0], copy], capsys)
    for part in ("packages: torch", "threads", "999", "differences that change no number (1)", "pytest"):
        assert part in text


def test_unfinished_and_torn_runs_are_compared_as_far_as_they_can_be_read(
    pair: tuple[Path, Path], tmp_path: Path, capsys: Any
) -> None:
    copy = shutil.copytree(pair[0], tmp_path / "copy")
    (copy / "result.json").unlink()
    status = json.loads((copy / "status.json").read_text())
    (copy / "status.json").write_text(json.dumps({**status, "status": "interrupted"}))
    lines = (copy / "metrics.csv").read_text().splitlines()
    (copy / "metrics.csv").write_text("\n".join(lines[:2]) + "\n")
    (copy / "provenance.json").write_text('{"seed": 0, "packa')
    text = said([pair[0], copy], capsys)
    for part in ("interrupted", "copy has no result.json", "2 and 1 epochs, of which the first 1 are identical"):
        assert part in text
    assert "cannot be read" in text
    (copy / "config.yaml").write_text("seed: [1")
    assert command(["diff", str(pair[0]), str(copy)]) == 2
    assert "cannot be read as the configuration of a run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        ([], "couloir diff takes two runs, not 0."),
        (["{run}"], "couloir diff takes two runs, not 1."),
        (["{run}", "nothing"], "There is no run 'nothing'."),
        (["{run}", "{run}", "--jsn"], "did you mean --json?"),
    ],
)
def test_a_mistake_is_a_sentence(words: list[str], fact: str, pair: tuple[Path, Path], capsys: Any) -> None:
    assert command(["diff", *(word.format(run=pair[0]) for word in words)]) == 2
    assert fact in capsys.readouterr().err


def test_nothing_heavy_is_loaded_for_a_difference(pair: tuple[Path, Path]) -> None:
    program = "import sys; from couloir.cli.main import run\ncode = run(sys.argv[1:])\n"
    program += "assert not {'torch', 'matplotlib', 'pytorch_lightning'} & set(sys.modules)\nsys.exit(code)"
    subprocess.run([sys.executable, "-c", program, "diff", *map(str, pair)], check=True, capture_output=True)
