"""The Python interface: its runs have the record that the prompt's have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

import couloir
from couloir.compare.resume import same_sentence

WORDS = ["data=line", "optimizer=sgd", "trainer=cpu", "trainer.max_epochs=1", "logger=csv", "data.samples=50"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def overrides(run: Path) -> list[str]:
    return list(yaml.safe_load((run / "overrides.yaml").read_text()))


def command(run: Path) -> list[str]:
    return list(json.loads((run / "provenance.json").read_text())["command"])


def test_a_sentences_run_knows_its_words_and_the_command_that_repeats_it(folder: Path) -> None:
    sentence = couloir.compose(WORDS)
    assert (sentence.overrides, sentence.choices["loss"], sentence.cfg.model.channels) == (WORDS, "mse", 1)
    run = couloir.train(sentence)
    assert overrides(run.dir) == WORDS
    assert command(run.dir) == ["train", *WORDS]
    assert run.dir == (folder / "outputs/latest").resolve()
    assert "model=linear data=line loss=mse optimizer=sgd" in (run.dir / "train.log").read_text()


def test_an_interrupted_run_of_the_interface_is_found_by_its_words(folder: Path) -> None:
    run = couloir.train(couloir.compose(WORDS)).dir
    (run / "status.json").write_text(json.dumps({"status": "interrupted"}))
    assert same_sentence(WORDS, Path("outputs")) is not None
    assert same_sentence(WORDS[:-1], Path("outputs")) is None


def test_a_sentence_is_trained_as_often_as_one_likes_each_run_in_a_folder_of_its_own() -> None:
    sentence = couloir.compose(WORDS)
    before = OmegaConf.to_yaml(sentence.cfg)
    one, other = couloir.train(sentence), couloir.train(sentence)
    assert one.dir != other.dir
    assert one.metrics["val/loss"] == other.metrics["val/loss"]
    assert OmegaConf.to_yaml(sentence.cfg) == before, "a run does not change its configuration"


def test_a_named_folder_is_where_the_run_goes() -> None:
    assert couloir.train(couloir.compose([*WORDS, "hydra.run.dir=here"])).dir.name == "here"


def test_an_edited_configuration_is_trained_without_words_that_would_be_untrue() -> None:
    cfg = couloir.compose(WORDS).cfg
    cfg.optimizer.lr = 0.05
    run = couloir.train(cfg).dir
    assert overrides(run) == []
    assert command(run) == ["couloir.train(cfg)"]
    assert yaml.safe_load((run / "config.yaml").read_text())["optimizer"]["lr"] == 0.05
    assert run.parent.samefile("outputs/train")
