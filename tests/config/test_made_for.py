"""Networks that are made for a task bring it, and a task that needs one brings that."""

from __future__ import annotations

from pathlib import Path

import pytest

import couloir
from couloir.config.made_for import brought, fits, models_for, tasks_of, usual_model
from couloir.errors import CouloirError
from couloir.sweep.multirun import multirun
from couloir.sweep.trials import SweepEnd


def chosen(*words: str) -> tuple[str, str, str | None]:
    """The target of the network and of the task, and the choice of loss."""
    sentence = couloir.compose([*words])
    names = [str(sentence.cfg[group]._target_).rpartition(".")[2] for group in ("model", "task")]
    return names[0], names[1], sentence.choices.get("loss")


@pytest.mark.parametrize(
    ("words", "model", "task", "loss"),
    [
        (["model=conv_vae"], "conv_vae", "Vae", None),
        (["task=vae", "model.code_size=2", "task.beta=4"], "vae", "Vae", None),
        (["task=gan"], "gan_mlp", "Gan", None),
        (["task=reconstruction", "loss=bce"], "autoencoder", "Reconstruction", "bce"),
        (["model=autoencoder", "data=wine"], "autoencoder", "Reconstruction", "mse"),
    ],
)
def test_a_network_brings_its_task_and_a_task_its_network(
    words: list[str], model: str, task: str, loss: str | None
) -> None:
    assert chosen(*words) == (model, task, loss)


def test_the_word_for_a_network_is_added_only_where_nobody_names_one() -> None:
    assert brought(["task=vae"]) == ["model=vae"]
    assert brought(["task=vae", "model=conv_vae"]) == brought(["task=vae", "experiment=vae_mnist"]) == []
    assert brought(["task=classification"]) == brought(["data=digits"]) == brought(["task=vae,gan"]) == []


@pytest.mark.parametrize(
    ("words", "said", "next_step"),
    [
        (["model=lenet5", "task=vae"], "needs a network that is made for it", "vae"),
        (["model=vae", "task=classification"], "is made for task=vae", "task=vae"),
        (["model=dcgan", "task=vae"], "is made for task=gan", "task=gan"),
        (["task=gan", "loss=mse"], "has its own loss", "leave the loss out"),
        (["task=reconstruction", "loss=cross_entropy"], "task=reconstruction learns", "take one of"),
        (["task=vae", "data=noisy", "data.images=digits"], "has maps, which would be ignored", "data=mnist"),
        (["task=vae", "tta=mirror"], "averages the answers", "tta=none"),
        (["task=vae", "data=wine"], "needs images", "image"),
        (["model=conv_autoencoder", "data=wine"], "model=conv_autoencoder needs images", "take one of: autoencoder"),
        (["task=classification", "data=pictures", "data.root=."], "task=classification needs classes", "vae"),
        (["task=gan", "data=pictures", "data.root=.", "task.conditional=true"], "needs classes", "conditional=false,"),
        (["task=vae", "model.depth=3"], "model", "depth"),
        (["task=autoencoder"], "no task called 'autoencoder'", "did you mean model=autoencoder?"),
        (["model=reconstruction"], "no model called 'reconstruction'", "did you mean task=reconstruction?"),
        (["task=vae", "callbacks.checkpoint.monitor=val/accuracy"], "is not a metric", ""),
    ],
)
def test_what_does_not_go_together_is_said_with_what_does(words: list[str], said: str, next_step: str) -> None:
    with pytest.raises(CouloirError) as caught:
        couloir.compose(words)
    assert said in str(caught.value)
    assert next_step in str(caught.value)


def test_a_network_of_a_users_own_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/mine.yaml").write_text("# Mine.\n# Source: none.\n_target_: torch.nn.Identity\n")
    (tmp_path / "conf/model/ours.yaml").write_text("# Ours.\n# Task: gan, vae\n_target_: torch.nn.Identity\n")
    assert fits("mine", "vae")
    assert fits("ours", "vae")
    assert not fits("ours", "classification")
    assert couloir.compose(["task=vae", "model=mine"]).choices["model"] == "mine"
    assert couloir.compose(["model=ours"]).choices["task"] == "gan"
    (tmp_path / "conf/model/ours.yaml").write_text("# Ours.\n# Task: gann\n_target_: torch.nn.Identity\n")
    with pytest.raises(CouloirError, match="names a task that is not there: 'gann'"):
        couloir.compose(["model=ours"])


def test_the_tasks_and_their_networks_know_each_other() -> None:
    for task in ("reconstruction", "vae", "gan"):
        usual = usual_model(task)
        assert usual in models_for(task)
        assert task in tasks_of(usual)
    assert tasks_of("lenet5") == []
    assert usual_model("classification") is None


def test_a_sweep_has_the_network_of_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def sweep(words: list[str], *rest: object) -> SweepEnd:
        seen.append(words)
        return SweepEnd(0, tmp_path)

    monkeypatch.setattr("couloir.sweep.sweep.sweep", sweep)
    multirun(["task=vae", "model.hidden=[16]", "seed=0,1"], ["train", "-m"])
    assert "model=vae" in seen[0]
    with pytest.raises(CouloirError, match="before a part follows from them"):
        multirun(["model=vae", "task.beta=4", "seed=0,1"], ["train", "-m"])
