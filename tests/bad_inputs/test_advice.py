"""What Couloir proposes to type: it is what was meant, and typing it works."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch

from couloir.cli.main import run
from couloir.config.check import checked
from couloir.config.compose import check_sweep
from couloir.errors import CouloirError
from couloir.optimizer.adaptive import adam, adamw

PROPOSED: list[tuple[str, str]] = [
    ("optimiser.lr=3", "optimizer.lr=3"),
    ("trainr.max_epoch=3", "trainer.max_epochs=3"),
    ("lr=0.1", "optimizer.lr=0.1"),
    ("epochs=3", "trainer.max_epochs=3"),
    ("modle=resnet5O", "model=resnet50"),
    ("model=mlp.yaml", "model=mlp"),
    ("scheduler=null", "scheduler=none"),
    ("+seed=3", "seed=3"),
    ("model@foo=mlp", "model=mlp"),
    ("--optimizer.lr=0.1", "optimizer.lr=0.1"),
    ("--max-epochs 3", "trainer.max_epochs=3"),
    ("--model resnet50", "model=resnet50"),
    ("model=mlp model.hidden=[32, 16]", "model=mlp 'model.hidden=[32, 16]'"),
    ("model=mlp model.hidden=32", "model=mlp model.hidden=[32]"),
    ("model=mlp model.hidden=32,16", "model=mlp model.hidden=[32,16]"),
    ("optimizer.lr=0,1", "optimizer.lr=0.1"),
    ("'optimizer.lr=\"0.1\"'", "optimizer.lr=0.1"),
    ("'optimizer.decay_all=\"true\"'", "optimizer.decay_all=true"),
    ("trainer.max_epochs=1e1", "trainer.max_epochs=10"),
    ("overfit=None", "overfit=null"),
    ("optimizer.lr = 0.1", "optimizer.lr=0.1"),
    ("optimizer.lr= 0.1", "optimizer.lr=0.1"),
    ("resnet50", "model=resnet50"),
    ("model:mlp", "model=mlp"),
    ("seed==3", "seed=3"),
    ("-m optimiser.lr=0.1,0.2", "-m optimizer.lr=0.1,0.2"),
    ("-m modle=mlp,linear", "-m model=mlp,linear"),
]


@pytest.mark.parametrize(("typed", "right"), PROPOSED, ids=lambda words: words)
def test_what_is_proposed_can_be_typed(
    typed: str, right: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["train", *shlex.split(typed)]) == 2
    message = capsys.readouterr().err
    last = right.rpartition(" ")[2] if "'" not in right else right.partition(" ")[2]
    assert last in message.partition("next:")[2], message
    if typed.startswith("-m"):
        check_sweep(shlex.split(right)[1:])
    else:
        checked(shlex.split(right))
    assert not list(tmp_path.iterdir())


NOT_THERE: list[tuple[str, str]] = [
    ("hidden=[3]", "it is a key of model=autoencoder, model=conv3d, model=convnet"),
    ("optimizer.momentum=0.9", "it is a key of optimizer=momentum, optimizer=nesterov"),
    ("model=[mlp,linear]", "train -m model=mlp,linear"),
    ("~optimizer=sgd", "leave ~optimizer=sgd out"),
    ("~optimizer.lr", "leave ~optimizer.lr out"),
    ("~seed", "leave ~seed out"),
    ("seed=", "seed takes an integer in [0, 4294967295], not an empty text"),
    ("output_dir=", "output_dir takes a word, not an empty text"),
    ("data.root=/my pictures", "stands in quotes: 'data.root=/my pictures'"),
    ("data=csv 'data.ignore=[Größe,Art]'", """next:  put it into quotes: 'data.ignore=["Größe","Art"]'"""),
    ("--multirn", "did you mean --multirun?"),
]


@pytest.mark.parametrize(("typed", "said"), NOT_THERE, ids=lambda words: words)
def test_what_cannot_be_proposed_is_explained(
    typed: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["train", *shlex.split(typed)]) == 2
    assert said in capsys.readouterr().err


DEFAULTS: list[tuple[str, str]] = [
    ("- /model: mlp", "- override /model: mlp"),
    ("- model: mlp", "- override /model: mlp"),
    ("- override model: mlp", "- override /model: mlp"),
    ("- override /modle: mlp", "- override /model: mlp"),
    ("- override /model: mlpp", "- override /model: mlp"),
    ("override /model: mlp", "- override /model: mlp"),
]


@pytest.mark.parametrize(("entry", "right"), DEFAULTS, ids=lambda line: line)
def test_a_line_of_a_recipe_that_chooses_nothing_is_named_with_the_line_to_write(
    entry: str, right: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "conf/experiment/mine.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text(f"# @package _global_\n# Mine.\ndefaults:\n  {entry}\n")
    with pytest.raises(CouloirError) as mistake:
        checked(["experiment=mine"])
    assert right in str(mistake.value.next_step)
    assert mistake.value.place == "conf/experiment/mine.yaml, line 4"
    recipe.write_text(f"# @package _global_\n# Mine.\ndefaults:\n  {right}\n")
    assert checked(["experiment=mine"]).choices["model"] == "mlp"


def test_the_configuration_of_a_run_is_no_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole = "".join(f"{group}:\n  _target_: x.{group}\n" for group in ("model", "data", "trainer"))
    for file in ("outputs/train/a/config.yaml", "conf/experiment/mine.yaml"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text(f"# @package _global_\n{whole}")
    for choice in ("outputs/train/a/config.yaml", "outputs/train/a"):
        with pytest.raises(CouloirError, match=r"(?s)whole configuration of a run.*couloir rerun outputs/train/a"):
            checked([f"experiment={choice}"])
    with pytest.raises(CouloirError, match=r"conf/experiment/mine.yaml is the whole configuration of a run"):
        checked(["experiment=mine"])


def test_a_sweep_that_a_file_asks_for_is_refused_with_the_words_that_make_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/experiment").mkdir(parents=True)
    (tmp_path / "conf/experiment/mine.yaml").write_text("# @package _global_\n# Mine.\nhydra:\n  mode: MULTIRUN\n")
    with pytest.raises(CouloirError, match=r"(?s)conf/experiment/mine.yaml, line 4.*train -m experiment=mine"):
        checked(["experiment=mine"])
    check_sweep(["experiment=mine", "seed=1,2"])


def test_another_target_may_be_called_without_the_keys_of_the_file() -> None:
    words = ["optimizer._target_=torch.optim.Adamax", "~optimizer.decay_all"]
    assert "decay_all" not in checked(words).cfg.optimizer


def test_a_file_that_is_not_text_is_named_by_every_verb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/mine.yaml").write_bytes("# Möbius.\n_target_: torch.nn.Identity\n".encode("latin-1"))
    for words in (["list", "model"], ["list", "model", "mine"], ["train", "model=mine"]):
        assert run(words) == 2
        assert "conf/model/mine.yaml, line 1" in capsys.readouterr().err
    assert run(["train", "hidden=[3]"]) == 2, "what is looked for in all files"
    assert "it is a key of model=" in capsys.readouterr().err


def test_a_name_that_is_not_text_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Path, "cwd", lambda: Path("/caf\udce9"))
    assert run(["list"]) == 2
    assert "The name of the working directory is not text in UTF-8" in capsys.readouterr().err
    monkeypatch.undo()
    assert run(["train", "output_dir=caf\udce9"]) == 2
    assert "A word is not text in UTF-8" in capsys.readouterr().err


def test_a_working_directory_that_is_gone_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone() -> Path:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "cwd", gone)
    assert run(["list"]) == 2
    assert "does not exist any more" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["summary", "find-lr"])
def test_words_with_dashes_are_explained_by_every_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb, "--optimizer.lr=0.1"]) == 2
    assert "begin without dashes: optimizer.lr=0.1" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--version"], ["train", "--version"], ["train", "model=mlp", "-V"]])
def test_the_version_is_told_wherever_it_is_asked(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 0
    assert capsys.readouterr().out.startswith("couloir ")


def test_a_summary_needs_no_files_where_the_sizes_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["summary", "data=imagenet", "model=resnet18", "--json"]) == 0
    assert '"parameters": 11689512' in capsys.readouterr().out
    assert run(["summary", "data=image_folder", "data.num_classes=3"]) == 0
    capsys.readouterr()
    assert run(["summary", "data=image_folder"]) == 2
    assert "add data.root=..., or data.num_classes=..." in capsys.readouterr().err


@pytest.mark.parametrize("betas", [[0.9], [0.9, 0.99, 0.5]])
def test_adam_takes_two_betas_and_drops_none(betas: list[float]) -> None:
    for optimizer in (adam, adamw):
        with pytest.raises(CouloirError, match=rf"optimizer\.betas takes two numbers, not {len(betas)}"):
            optimizer([torch.nn.Parameter(torch.zeros(1))], lr=0.1, betas=betas)
