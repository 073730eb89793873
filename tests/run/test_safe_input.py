"""Checkpoints from anywhere: whatever pickle they hold, none of its code is run."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

import couloir
from couloir.cli.main import run as command

WORDS = ["trainer=debug", "trainer.accelerator=cpu", "logger=csv", "data=moons", "model.hidden=[4]"]


class Evil:
    """Creates a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return subprocess.run, (["touch", "appeared"],)


def zipped(file: Path) -> None:
    torch.save({"state_dict": {"net.0.weight": torch.zeros(4, 2)}, "callbacks": Evil()}, file)


def legacy(file: Path) -> None:
    torch.save(Evil(), file, _use_new_zipfile_serialization=False)


def bare(file: Path) -> None:
    file.write_bytes(pickle.dumps({"state_dict": Evil()}))


def scripted(file: Path) -> None:
    """A module that torch.load would hand to TorchScript."""
    zipped(file)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("archive/constants.pkl", pickle.dumps(Evil()))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return couloir.train(couloir.compose([*WORDS, f"output_dir={tmp_path_factory.mktemp('outputs')}"])).dir


@pytest.mark.parametrize("make", [zipped, legacy, bare, scripted])
def test_a_checkpoint_that_would_run_code_is_refused_by_every_way_in(
    make: Any, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, "downloaded")
    make(Path("downloaded/checkpoints/best.ckpt"))
    shutil.copy("downloaded/checkpoints/best.ckpt", "weights.pth")
    for words in (
        ["evaluate", "downloaded"],
        ["train", *WORDS, "initializer=from_run", "initializer.run=downloaded"],
        ["train", *WORDS, "model.weights=weights.pth"],
    ):
        assert command(words) == 2, words
        message = capsys.readouterr().err
        assert "more than plain tensors" in message
        assert "refused" in message
        assert not Path("appeared").exists()


def test_the_malicious_checkpoint_would_run_its_code_if_it_were_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    zipped(tmp_path / "evil.ckpt")
    torch.load(tmp_path / "evil.ckpt", weights_only=False)
    assert Path("appeared").exists(), "or else the tests above show nothing"
