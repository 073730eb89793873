"""Composition: sizes flow from the data, and a user's own tree comes first."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import couloir
from couloir.cli.main import run
from couloir.config import tree
from couloir.config.compose import compose_sentence
from couloir.errors import CouloirError


def test_sizes_flow_from_the_data_to_the_model() -> None:
    cfg = compose_sentence(["model=lenet5", "data=cifar10"]).cfg
    assert (cfg.model.channels, cfg.model.image_size, cfg.model.num_classes) == (3, 32, 10)


def test_a_recipe_overrides_the_defaults_and_the_command_line_overrides_the_recipe() -> None:
    cfg = compose_sentence(["experiment=toy_mlp", "optimizer.lr=0.5"]).cfg
    assert cfg.model.hidden == [32, 32]
    assert cfg.optimizer.lr == 0.5


def test_the_overfit_trainer_reaches_into_the_sentence() -> None:
    cfg = compose_sentence(["trainer=overfit"]).cfg
    assert cfg.overfit == 10
    assert cfg.trainer.max_epochs == 200
    assert cfg.trainer._target_ == "couloir.trainer.build.trainer"


def test_a_users_own_choice_is_found_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/optimizer").mkdir()
    (tmp_path / "conf/model/mynet.yaml").write_text("# Mine.\n_target_: mynet.Net\nwidth: 3  # int >= 1; units\n")
    (tmp_path / "conf/optimizer/adam.yaml").write_text("# My Adam.\n_target_: mynet.adam\n_partial_: true\nlr: 0.5\n")
    monkeypatch.chdir(tmp_path)
    cfg = compose_sentence(["model=mynet"]).cfg
    assert cfg.model.width == 3
    assert cfg.optimizer.lr == 0.5
    assert {"mynet", "lenet5"} <= tree.choices("model").keys()
    with pytest.raises(CouloirError, match=r"model\.width takes an integer >= 1"):
        couloir.compose(["model=mynet", "model.width=0"])


def test_a_folder_of_ones_own_is_searched_first_by_sentences_sweeps_lists_and_completion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, width in (("conf", 3), ("my conf", 4)):
        (tmp_path / folder / "model").mkdir(parents=True)
        (tmp_path / folder / "model/mynet.yaml").write_text(f"# Mine.\n_target_: x.Net\nwidth: {width}  # int >= 1\n")
    monkeypatch.chdir(tmp_path)
    assert compose_sentence(["model=mynet"]).cfg.model.width == 3
    sentence = compose_sentence(["config_dir='my conf'", "model=mynet"])
    assert sentence.cfg.model.width == 4
    assert sentence.overrides[-1] == f"config_dir='{tmp_path / 'my conf'}'", "it means the same from elsewhere"
    assert sentence.cfg.config_dir == str(tmp_path / "my conf")
    assert run(["train", "--config-dir", "my conf", "model=mynet", "model.width=0"]) == 2
    assert "my conf/model/mynet.yaml, line 3" in capsys.readouterr().err
    assert run(["train", "-m", "--config-dir=my conf", "model=mynett,mlp"]) == 2
    assert "did you mean model=mynet," in capsys.readouterr().err
    assert run(["list", "model", "mynet", "--config-dir", "my conf"]) == 0
    assert "width: 4" in capsys.readouterr().out
    shutil.move("my conf", "mine")
    monkeypatch.setenv("COMP_LINE", "train --config-dir mine model=myn")
    assert run(["train", "-sc", "query=bash"]) == 0
    assert capsys.readouterr().out.split() == ["model=mynet"]
    with pytest.raises(CouloirError, match="There is no folder gone"):
        compose_sentence(["config_dir=gone"])
    assert compose_sentence(["model=mynet"]).cfg.model.width == 3, "the next sentence is composed without it"


def test_compose_returns_a_configuration_without_hydras_own() -> None:
    cfg = couloir.compose(["optimizer.lr=0.01"]).cfg
    assert "hydra" not in cfg
    assert OmegaConf.to_container(cfg, resolve=True)["optimizer"]["lr"] == 0.01


def test_two_launches_in_one_second_have_folders_of_their_own() -> None:
    assert len({compose_sentence([]).run_dir for _ in range(3)}) == 3


def test_the_run_folder_can_be_named() -> None:
    assert compose_sentence(["hydra.run.dir=/tmp/here"]).run_dir == Path("/tmp/here")
    assert compose_sentence(["output_dir=elsewhere"]).run_dir.parts[:2] == ("elsewhere", "train")
