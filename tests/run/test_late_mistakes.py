"""A mistake that shows only while the run begins: what it leaves behind misleads nobody."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from couloir.cli.main import run

QUICK = ["data.subset=60", "trainer=debug", "trainer.accelerator=cpu", "logger=csv"]


def test_a_run_that_never_trained_is_not_the_latest_and_every_verb_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("conf/model").mkdir(parents=True)
    Path("conf/model/narrow.yaml").write_text("# Three outputs.\n_target_: narrow_net.narrow\n")
    Path("narrow_net.py").write_text(
        "from torch import nn\n\n\ndef narrow():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))\n"
    )
    assert run(["train", *QUICK, "model=narrow"]) == 2
    (failed,) = Path("outputs/train").iterdir()
    assert not Path("outputs/latest").exists()
    capsys.readouterr()
    assert run(["diagnose", "latest"]) == 2
    assert "No run in outputs has trained yet" in capsys.readouterr().err
    assert run(["diagnose", failed.name]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "ended before its first step" in said
    assert "(2, 3)" in said
    assert "resume" not in said
    assert run(["report", failed.name]) == 0
    assert "It has not trained a step" in (failed / "report.html").read_text()
    assert run(["train", *QUICK]) == 0
    trained = Path("outputs/latest").resolve()
    assert "first_step" in json.loads((trained / "status.json").read_text())
    assert run(["train", *QUICK, "model=narrow"]) == 2
    assert Path("outputs/latest").resolve() == trained
    assert run(["resume", failed.name]) == 2, "the mistake is still there"


LIGHTNING = """
import pytorch_lightning
from torch import nn


class Quiet(pytorch_lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def forward(self, x):
        return self.net(x)


class Training(Quiet):
    def training_step(self, batch, number):
        return self(batch["image"]).sum()
"""


def test_a_network_that_would_train_itself_is_refused_and_one_that_only_answers_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("conf/model").mkdir(parents=True)
    Path("my_lightning.py").write_text(LIGHTNING)
    for name in ("Quiet", "Training"):
        Path(f"conf/model/{name.lower()}.yaml").write_text(f"# Mine.\n_target_: my_lightning.{name}\n")
    assert run(["train", *QUICK, "model=quiet"]) == 0
    capsys.readouterr()
    assert run(["train", *QUICK, "model=training"]) == 2
    message = capsys.readouterr().err
    assert "Training is a LightningModule with its own training_step" in message
    assert "docs/architecture.md" in message


def test_a_run_with_a_folder_of_ones_own_runs_again_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine/model").mkdir(parents=True)
    text = "# Mine.\n_target_: torch.nn.Sequential\n_args_: [{_target_: torch.nn.Flatten}, {_target_: torch.nn.Linear, "
    Path("mine/model/flat.yaml").write_text(text + "in_features: 64, out_features: 10}]\n")
    assert run(["train", *QUICK, "--config-dir", "mine", "model=flat"]) == 0
    folder = Path("outputs/latest").resolve()
    Path("elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run(["rerun", str(folder)]) == 0
    shutil.rmtree(tmp_path / "mine")
    assert run(["rerun", str(folder)]) == 0, "the run has all that the folder held"
