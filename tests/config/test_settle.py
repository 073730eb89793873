"""What follows from other words is filled in once, and as if it had been typed; the check only reads."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

import couloir
from couloir.config import compose, tree
from couloir.config.check import check
from couloir.config.compose import Sentence, compose_sentence
from couloir.config.settle import read_part, settle, settle_parts
from couloir.errors import CouloirError
from couloir.record.find import find_run


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of a table whose target is a number."""
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("a,b,y\n" + "\n".join(f"{n},{n * 2},{n * 1.5 + 0.25}" for n in range(40)))
    return ["data=csv", "data.path=t.csv", "data.target=y"]


def comparable(sentence: Sentence) -> tuple[str, object, object]:
    return OmegaConf.to_yaml(sentence.cfg), sentence.choices, sentence.sources


@pytest.mark.parametrize(
    ("words", "model", "loss"),
    [
        (["data=line"], "linear", "mse"),
        (["data=polynomial"], "polynomial", "mse"),
        (["data=moons"], "mlp", "cross_entropy"),
        (["data=line", "loss=mae"], "linear", "mae"),
        (["data=line", "model=mlp"], "mlp", "mse"),
        (["experiment=toy_mlp"], "mlp", "cross_entropy"),
        (["experiment=toy_mlp", "data=line"], "mlp", "cross_entropy"),
    ],
    ids=" ".join,
)
def test_model_and_loss_follow_from_the_data_unless_named(words: list[str], model: str, loss: str) -> None:
    choices = settle(compose_sentence(words)).choices
    assert (choices["model"], choices["loss"]) == (model, loss)


def test_keys_of_a_task_or_loss_that_follows_need_no_word_for_it() -> None:
    maps = ["data=digits_on_photographs", "data.target=saliency"]
    sentence = settle(compose_sentence([*maps, "task.output=density"]))
    assert sentence.choices["task"] == "saliency"
    assert sentence.cfg.task.output == "density"
    named = settle(compose_sentence([*maps, "task.output=density", "task=saliency"]))
    assert comparable(sentence) == comparable(named)
    for words, fact in (
        ([*maps, "task.ignore_index=3"], "task=saliency has no key 'ignore_index'."),
        ([*maps, "task.output=density", "loss.delta=1"], "loss=mse has no key 'delta'."),
        ([*maps, "task.output=density", "loss=kl", "loss.delta=1"], "loss=kl has no key 'delta'."),
        (["task.output=density"], "task=classification has no key 'output'."),
    ):
        with pytest.raises(CouloirError) as mistake:
            settle(compose_sentence(words))
        assert mistake.value.fact == fact


@pytest.mark.parametrize(
    ("cells", "task", "loss", "classes"),
    [
        (["0", "1", "2"], "classification", "cross_entropy", 3),
        (["ant", "bee"], "classification", "cross_entropy", 2),
        (["0.5", "1.25", "3"], "regression", "mse", 1),
        ([str(value * 7) for value in range(25)], "regression", "mse", 1),
    ],
)
def test_a_tables_target_decides_about_task_and_loss(
    cells: list[str], task: str, loss: str, classes: int, tmp_path: Path
) -> None:
    rows = [f"{number * 3},{number * 2},{cell}" for number, cell in enumerate(cells * 10)]
    (tmp_path / "t.csv").write_text("a,b,y\n" + "\n".join(rows))
    sentence = settle(compose_sentence(["data=csv", f"data.path={tmp_path / 't.csv'}", "data.target=y"]))
    assert sentence.cfg.data.task == task
    assert sentence.choices["loss"] == loss
    assert sentence.cfg.model.num_classes == classes
    assert sentence.cfg.model.channels == 2
    assert sentence.overrides[-1] == "data.target=y", "what the user typed is kept as typed"


@pytest.mark.parametrize("words", [[], ["seed=3", "optimizer.scale_lr=sqrt"], ["+loss.more=1"], ["++loss.more={a: 1}"]])
def test_a_loss_that_follows_is_the_one_that_would_have_been_composed(words: list[str], table: list[str]) -> None:
    settled = settle_parts(compose_sentence([*table, *words]))
    typed = compose_sentence([*table, *words, "task=regression", "loss=mse"])
    assert comparable(settled) == comparable(typed)
    assert settled.overrides == [*table, *words]


def test_a_users_own_loss_follows_with_its_keys_and_what_it_builds_on(table: list[str]) -> None:
    Path("conf/loss").mkdir(parents=True)
    (Path("conf") / "train.yaml").write_text(
        (tree.packaged_conf() / "train.yaml").read_text() + "\nloss:\n  shared: 1  # int >= 0; of every loss\n"
    )
    Path("conf/loss/base.yaml").write_text("# Base.\n_target_: my.Base\nscale: 1.0  # > 0; of errors\n")
    Path("conf/loss/mse.yaml").write_text(
        "# Mine.\n# Needs: value\ndefaults:\n  - base\n  - huber@inner\n  - _self_\n_target_: my.Loss\npower: 2\n"
    )
    words = [*table, "loss.shared=4", "+loss.new=5"]
    settled = settle_parts(compose_sentence(words))
    assert comparable(settled) == comparable(compose_sentence([*words, "task=regression", "loss=mse"]))
    assert settled.cfg.loss.inner.delta == 1.0
    with pytest.raises(CouloirError, match=r"loss\.shared takes an integer >= 0, not -1"):
        couloir.compose([*table, "loss.shared=-1"])
    settled.cfg.loss.power, settled.cfg.loss.inner.delta = 2, -1.0
    with pytest.raises(CouloirError, match=r"loss\.inner\.delta takes a number > 0, not -1\.0") as caught:
        check(settle(settled))
    assert "huber.yaml, line" in str(caught.value.place)


def test_what_only_hydra_puts_together_has_to_be_typed(table: list[str]) -> None:
    Path("conf/loss").mkdir(parents=True)
    Path("conf/loss/mse.yaml").write_text("# Mine.\ndefaults:\n  - /model@net: mlp\n_target_: my.Loss\n")
    with pytest.raises(CouloirError, match="names other groups") as caught:
        settle(compose_sentence(table))
    assert caught.value.next_step == "type loss=mse"
    assert compose_sentence([*table, "loss=mse"]).cfg.loss.net.hidden


@pytest.mark.parametrize("word", ["loss.label_smoothing=0.1", "~loss.label_smoothing"])
def test_a_value_for_the_loss_that_did_not_stay_is_refused(word: str, table: list[str]) -> None:
    with pytest.raises(CouloirError, match="loss=mse has no key 'label_smoothing'"):
        settle(compose_sentence([*table, word]))


def test_a_recipe_that_names_no_loss_gets_the_one_that_fits(table: list[str]) -> None:
    Path("conf/experiment").mkdir(parents=True)
    recipe = Path("conf/experiment/mine.yaml")
    recipe.write_text("# @package _global_\n# Mine.\ndefaults:\n  - override /model: linear\n  - _self_\nseed: 3\n")
    assert settle(compose_sentence(["experiment=mine", *table])).choices["loss"] == "mse"
    recipe.write_text(recipe.read_text().replace("/model: linear", "/loss: cross_entropy"))
    with pytest.raises(CouloirError, match="loss=cross_entropy needs classes"):
        couloir.compose(["experiment=mine", *table])


def own_data(text: str) -> str:
    """A data set of one's own, and the word that chooses it."""
    Path("conf/data").mkdir(parents=True, exist_ok=True)
    Path("conf/data/own.yaml").write_text(f"# My own.\n_target_: my.Data\nchannels: 1\nnum_classes: 3\n{text}\n")
    return "data=own"


@pytest.mark.parametrize(
    ("text", "task", "loss", "fields"),
    [
        ("fields: {picture: image, tags: labels}\nimage_size: 8", "multi_label", "bce_with_logits", None),
        ("fields: {row: row, y: value}", "regression", "mse", None),
        ("fields: {x: series, y: label}", "classification", "cross_entropy", None),
        ("fields: {x: row, y: value, z: label}", "classification", "cross_entropy", None),
        ("fields: {x: image, y: map}\nimage_size: 8", "segmentation", "cross_entropy", None),
        ("fields: {x: image, y: map}\nimage_size: 8\nmaps: values", "restoration", "mse", None),
        ("fields: {x: image, y: map}\nimage_size: 8\ntask: saliency", "saliency", "mse", None),
        ("fields: {x: row, y: value, z: label}\ntask: regression", "regression", "mse", None),
        ("task: regression\nimage_size: 8", "regression", "mse", {"image": "image", "value": "value"}),
        ("task: classification\nimage_size: null", "classification", "cross_entropy", {"row": "row", "label": "label"}),
    ],
)
@pytest.mark.usefixtures("table")
def test_task_and_loss_follow_from_the_fields_of_the_data(
    text: str, task: str, loss: str, fields: dict[str, str] | None
) -> None:
    sentence = settle(compose_sentence([own_data(text)]))
    assert (sentence.choices["task"], sentence.choices["loss"]) == (task, loss)
    assert sentence.cfg.task.loss == loss or text.startswith("fields: {picture")
    assert fields is None or sentence.cfg.data.fields == fields


@pytest.mark.usefixtures("table")
def test_a_task_of_ones_own_is_chosen_by_the_field_that_it_learns() -> None:
    Path("conf/task").mkdir(parents=True)
    word = own_data("fields: {image: image, mask: map}\nimage_size: 8")
    Path("conf/task/autoencoder.yaml").write_text("# Learns no target.\n_target_: my.Autoencoder\nloss: null\n")
    Path("conf/task/segmentation.yaml").write_text("# Maps.\n_target_: my.Maps\nneeds: [map]\nloss: kl\n")
    sentence = settle(compose_sentence([word]))
    assert (sentence.choices["task"], sentence.choices["loss"]) == ("segmentation", "kl")
    named = settle(compose_sentence([word, "task=autoencoder"]))
    assert named.choices["task"] == "autoencoder"
    assert named.cfg.loss is None
    Path("conf/model").mkdir()
    Path("conf/model/vae.yaml").write_text(
        "# Brings its task.\ndefaults:\n  - override /task@_global_.task: autoencoder\n  - _self_\n_target_: my.Net\n"
    )
    assert settle(compose_sentence([word, "model=vae"])).choices["task"] == "autoencoder"


def test_the_default_loss_of_ones_own_root_file_stays_where_it_fits(table: list[str]) -> None:
    root = (tree.packaged_conf() / "train.yaml").read_text()
    Path("conf").mkdir()
    Path("conf/train.yaml").write_text(root.replace("loss: cross_entropy", "loss: huber"))
    assert settle(compose_sentence(table)).choices["loss"] == "huber"
    assert settle(compose_sentence([])).choices["loss"] == "cross_entropy"


def test_a_root_file_of_ones_own_that_knows_no_tasks_gets_one(table: list[str]) -> None:
    lines = (tree.packaged_conf() / "train.yaml").read_text().splitlines()
    Path("conf").mkdir()
    Path("conf/train.yaml").write_text("\n".join(line for line in lines if "- task:" not in line))
    sentence = couloir.compose(table)
    assert (sentence.choices["task"], sentence.choices["loss"]) == ("regression", "mse")
    assert sentence.cfg.task == OmegaConf.load(tree.choices("task")["regression"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image_size: 8", "data=own does not say which fields a sample has"),
        ("task: classification\nfields: []", "data=own does not say which fields a sample has"),
        ("fields: image", "data=own does not say which fields a sample has"),
        ("fields: {x: image, y: labl}", r"data\.fields\.y is not a kind of field: labl"),
    ],
)
@pytest.mark.usefixtures("table")
def test_fields_that_cannot_be_read_are_said_before_the_run(text: str, said: str) -> None:
    with pytest.raises(CouloirError, match=said) as caught:
        couloir.compose([own_data(text)])
    assert "conf/data/own.yaml" in str(caught.value.place) or "fields" not in text


def test_hydra_composes_once(table: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    composed = compose._hydra_compose

    def counted(words: list[str]) -> tuple[DictConfig, compose.Choices]:
        calls.append(words)
        return composed(words)

    monkeypatch.setattr(compose, "_hydra_compose", counted)
    assert couloir.compose(table).choices["loss"] == "mse"
    assert calls == [table]


def test_latest_is_a_folder_once_it_is_settled(tmp_path: Path) -> None:
    run = tmp_path / "train/one"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("model: {}\n")
    (tmp_path / "latest").symlink_to(run)
    words = ["initializer=from_run", "initializer.run=latest", f"output_dir={tmp_path}"]
    sentence = settle(compose_sentence(words))
    assert sentence.cfg.initializer.run == str(run.resolve()) == str(find_run("latest", tmp_path))
    (run / "w.ckpt").touch()
    for named in (tmp_path / "latest/w.ckpt", tmp_path / "own/w.ckpt"):
        cfg = settle(compose_sentence([f"model.weights={named}", f"output_dir={tmp_path}"])).cfg
        assert cfg.model.weights == str(run.resolve() / "w.ckpt" if named.exists() else named)
    with pytest.raises(CouloirError, match="There is no run 'other'"):
        settle(compose_sentence([*words, "initializer.run=other"]))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optimizer.lr=fast"], r"optimizer\.lr takes a number > 0, not fast"),
        (["optimizer.lr=-1"], r"optimizer\.lr takes a number > 0, not -1"),
        (["optimizer.lr=1", "optimizer.lr=-2"], r"(?s)not -2.*where: optimizer\.lr=-2"),
        (["data.batch_size=x"], r"data\.batch_size takes an integer >= 1, not x"),
        (["optimizer.base_batch_size=0"], r"optimizer\.base_batch_size takes an integer >= 1, not 0"),
        (["optimizer.scale_lr=cubic"], r"optimizer\.scale_lr takes one of linear, sqrt or null, not cubic"),
        (["optimizer.lr=${nothing}"], "refers to something that does not exist"),
        (
            ["experiment=noise", "noise_on=weight"],
            r"(?s)no entry 'weight'; its entries: none, inputs, .*did you mean weights",
        ),
        (["~data"], "has no data"),
        (["~initializer"], "has no initializer"),
        (["data=3"], "There is no data called '3'"),
    ],
)
def test_what_cannot_be_settled_is_left_for_the_check_to_say(words: list[str], said: str) -> None:
    with pytest.raises(CouloirError, match=said):
        couloir.compose(["optimizer.scale_lr=linear", *words])


CHECKED = [
    "", "data=line", "data=moons optimizer.scale_lr=linear", "trainer=overfit", "metric=[f1,auroc]",
    "data=digits scheduler=one_cycle averaging=swa averaging.start=1", "data=synthetic tta=ten_crop",
    "experiment=toy_mlp", "experiment=digits_lenet5", "experiment=sweep_digits",
    "data=polynomial loss=huber optimizer=nesterov momentum_schedule=sutskever",
    "data=csv data.path=t.csv data.target=y optimizer.scale_lr=sqrt",
]  # fmt: skip


@pytest.mark.parametrize("words", CHECKED)
@pytest.mark.usefixtures("table")
def test_the_check_only_reads(words: str) -> None:
    sentence = settle(compose_sentence(shlex.split(words)))
    OmegaConf.set_readonly(sentence.cfg, True)
    before = comparable(sentence)
    check(sentence)
    assert comparable(sentence) == before


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("words", CHECKED)
def test_a_settled_sentence_is_settled(words: str) -> None:
    sentence = settle(compose_sentence(shlex.split(words)))
    before = comparable(sentence)
    assert comparable(settle(sentence)) == before


@pytest.mark.parametrize("group", ["augmentation", "tta", "scheduler", "loss"])
def test_a_part_is_read_as_hydra_composes_it(group: str) -> None:
    for name in tree.choices(group):
        node, files = read_part(group, name)
        composed = compose_sentence(["data=cifar10", f"{group}={name}"])
        assert node == composed.cfg[group], name
        if node is not None:  # else the file is a global one
            assert files == [source for source in composed.sources if source.package.partition(".")[0] == group], name
