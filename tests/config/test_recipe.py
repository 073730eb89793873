"""A sentence as an experiment file makes the same configuration, choice by choice and key by key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from couloir.config import tree
from couloir.config.compose import Sentence, compose_sentence
from couloir.config.recipe import NO_PART, command_of, read_back, recipe_of
from couloir.config.settle import settle
from couloir.errors import CouloirError
from couloir.record.configuration import flat

SENTENCES = (
    ["data=line", "model=mlp", "model.hidden=[8,8]", "seed=3"],
    ["metric=[f1,auroc]", "optimizer={lr:0.5}", "output_dir=elsewhere", "auto_resume=true", "hydra.run.dir=q/r"],
    ["experiment=toy_mlp", "model.activation=relu", "optimizer=sgd", "scale=smoke"],
    ["optimizer.betas.0=0.8", "scheduler=cosine", "optimizer.scale_lr=linear", "optimizer.eps=1e-9"],
    ["experiment=vgg16_2014", "initializer@initializer.otherwise=he_normal", "model.dropout=0.4"],
    ["experiment=[toy_mlp,digits_lenet5]", "++optimizer.lr=${optimizer.eps}", "trainer.max_time='00:00:30:00'"],
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def again(sentence: Sentence, file: Path) -> Sentence:
    """The sentence of its own recipe."""
    recipe = recipe_of(sentence)
    file.write_text(recipe.as_text(["Something.", "Source: nowhere."]), encoding="utf-8")
    back = read_back(file.read_text(encoding="utf-8"))
    assert (back.choices, back.also, back.keys) == (recipe.choices, recipe.also, recipe.keys)
    return settle(compose_sentence([f"experiment='{file}'"]))


def content(cfg: DictConfig) -> dict[str, Any]:
    node: Any = OmegaConf.create(OmegaConf.to_container(cfg, resolve=False))
    found = {key: value for key, value in flat(node).items() if key.partition(".")[0] not in NO_PART}
    for key in found:
        if isinstance(found[key], str) and "${inspect" not in found[key]:
            value = OmegaConf.select(cfg, key, throw_on_missing=False)
            found[key] = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    return found


def choices(sentence: Sentence) -> dict[str, Any]:
    return {group: name for group, name in sentence.choices.items() if group not in (*NO_PART, "experiment")}


def assert_same(sentence: Sentence, tmp_path: Path) -> None:
    repeated = again(sentence, tmp_path / "recipe.yaml")
    assert content(repeated.cfg) == content(sentence.cfg)
    assert choices(repeated) == choices(sentence)


@pytest.mark.parametrize("words", SENTENCES, ids=" ".join)
def test_the_recipe_of_a_sentence_makes_its_configuration(words: list[str], tmp_path: Path) -> None:
    assert_same(settle(compose_sentence(words)), tmp_path)


@pytest.mark.slow
def test_the_recipe_of_every_packaged_recipe_makes_its_configuration(tmp_path: Path) -> None:
    for name in tree.choices("experiment"):
        assert_same(settle(compose_sentence([f"experiment={name}"])), tmp_path)


def test_it_reads_as_a_person_would_write_it() -> None:
    sentence = settle(compose_sentence(["data=moons", "model=mlp", "model.hidden=[16,8]", "optimizer.lr=1e-2"]))
    assert recipe_of(sentence).as_text(["A title."]) == (
        "# @package _global_\n# A title.\n"
        "defaults:\n"
        "  - override /data: moons\n  - override /model: mlp\n  - override /initializer: default\n"
        "  - override /loss: cross_entropy\n  - override /optimizer: adam\n  - override /scheduler: none\n"
        "  - override /augmentation: none\n  - _self_\n"
        "model:\n  hidden: [16, 8]\noptimizer:\n  lr: 0.01\n"
    )


def test_a_search_leaves_nothing_in_the_recipe_of_a_trial(tmp_path: Path) -> None:
    text = recipe_of(settle(compose_sentence(["experiment=sweep_digits", "optimizer=sgd"]))).as_text([])
    assert "sweep" not in text
    assert "override /optimizer: sgd" in text


def test_a_recipe_stands_alone_when_the_users_files_change(tmp_path: Path) -> None:
    for name, text in {
        "train.yaml": (tree.packaged_conf() / "train.yaml").read_text().replace("seed: 0", "seed: 7"),
        "experiment/base.yaml": "# @package _global_\n# Base.\nmodel:\n  hidden: [5]\nmine: 0.25  # of the rate\n",
        "experiment/good.yaml": "# @package _global_\n# Good.\ndefaults:\n  - base\n  - override /model: mlp\n"
        "  - override /optimizer: slow\n  - _self_\noptimizer:\n  lr: ${mine}\n",
        "optimizer/slow.yaml": "# Slow.\n_target_: torch.optim.SGD\n_partial_: true\nlr: 0.001  # > 0\n",
    }.items():
        (tmp_path / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / name).write_text(text)
    sentence = settle(compose_sentence(["experiment=good", "data=moons"]))
    before = content(sentence.cfg)
    assert (before["seed"], before["optimizer.lr"], before["model.hidden"]) == (7, 0.25, [5])
    recipe = recipe_of(sentence)
    assert [file.name for file in recipe.own] == ["slow.yaml"]
    (tmp_path / "recipe.yaml").write_text(recipe.as_text(["Kept."]))
    for name in ("train.yaml", "experiment/base.yaml", "experiment/good.yaml"):
        (tmp_path / "conf" / name).unlink()
    assert content(settle(compose_sentence(["experiment=recipe.yaml"])).cfg) == before


def test_a_group_of_the_users_own_is_added(tmp_path: Path) -> None:
    (tmp_path / "conf/experiment").mkdir(parents=True)
    (tmp_path / "conf/backbone").mkdir()
    (tmp_path / "conf/backbone/small.yaml").write_text("# Small.\nsize: 3\n")
    (tmp_path / "conf/experiment/mine.yaml").write_text(
        "# @package _global_\n# Mine.\ndefaults:\n  - /backbone: small\n  - _self_\nseed: 2\n"
    )
    for words in (["+backbone=small", "model=mlp", "model.hidden=['${backbone.size}']"], ["experiment=mine"]):
        sentence = settle(compose_sentence(words))
        assert recipe_of(sentence).also == [{"/backbone": "small"}]
        assert_same(sentence, tmp_path)


def test_a_part_that_a_recipe_brings_besides_stays(tmp_path: Path) -> None:
    (tmp_path / "conf/experiment").mkdir(parents=True)
    (tmp_path / "conf/callbacks").mkdir()
    (tmp_path / "conf/callbacks/timed.yaml").write_text("timed:\n  _target_: pytorch_lightning.callbacks.Timer\n")
    (tmp_path / "conf/experiment/mine.yaml").write_text(
        "# @package _global_\n# Mine.\ndefaults:\n  - /callbacks/timed\n  - _self_\nseed: 2\n"
    )
    sentence = settle(compose_sentence(["experiment=mine"]))
    assert "timed" in sentence.cfg.callbacks
    assert_same(sentence, tmp_path)


def test_latest_becomes_the_run_that_it_led_to(tmp_path: Path) -> None:
    run = tmp_path / "outputs/train/first"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_text("model: {}\n")
    (run / "checkpoints/best.ckpt").touch()
    (tmp_path / "outputs/latest").symlink_to("train/first")
    words = ["model.weights=outputs/latest/checkpoints/best.ckpt"]
    keys = recipe_of(settle(compose_sentence(words))).keys
    assert keys == {"model": {"weights": str(run / "checkpoints/best.ckpt")}}


def test_a_name_with_a_dot_in_it_stays_one_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a.b,c,y\n" + "\n".join(f"{n % 7},{n},{n % 2}" for n in range(30)))
    (tmp_path / "mine.yaml").write_text("# @package _global_\ndata:\n  columns: {a.b: category}\n")
    words = ["experiment=mine.yaml", "data=csv", "data.path=t.csv", "data.target=y"]
    recipe = recipe_of(settle(compose_sentence(words)))
    assert recipe.keys["data"]["columns"] == {"a.b": "category"}
    assert read_back(recipe.as_text(["T."])).keys == recipe.keys


def test_what_the_environment_said_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMIT", "00:00:30:00")
    keys = recipe_of(settle(compose_sentence(["trainer.max_time=${oc.env:LIMIT}"]))).keys
    assert keys == {"trainer": {"max_time": "00:00:30:00"}}


@pytest.mark.parametrize(
    "value", ["1e-3", "null", "a: b", "a,b", "[x", "don't", '"', "", "01", "yes", "2026-01-02", "ü\n#"]
)
def test_texts_are_read_back_as_they_were(value: str, tmp_path: Path) -> None:
    recipe = recipe_of(settle(compose_sentence([]))).with_keys(
        {("my", "text"): value, ("my", "list"): [value, [value]]}
    )
    assert read_back(recipe.as_text(["T."])).keys == {"my": {"text": value, "list": [value, [value]]}}


def test_a_key_that_is_taken_away_cannot_be_said_in_a_file() -> None:
    assert recipe_of(settle(compose_sentence(["~callbacks.progress"]))).keys == {"callbacks": {"progress": None}}
    with pytest.raises(CouloirError, match=r"'~model\.dropout' takes a key away"):
        recipe_of(settle(compose_sentence(["~model.dropout"])))


def test_words_that_no_file_can_hold_stand_in_its_command() -> None:
    words = ["model=mlp", "allow_targets=[timm]"]
    assert command_of("a.yaml", words) == "Command: train experiment=a.yaml 'allow_targets=[timm]'"


MISTAKES = {
    "nix/recipe.yaml": (None, "There is no file nix/recipe.yaml"),
    "torn.yaml": ("# @package _global_\nmodel: [1,\n", "torn.yaml cannot be read as YAML"),
    "list.yaml": ("# @package _global_\n- a\n", "list.yaml is not an experiment file"),
    "package.yaml": ("# Mine.\nseed: 1\n", "The keys of package.yaml go below 'experiment'"),
    "latin.yaml": (b"# @package _global_\n# \xe9\nseed: 1\n", "latin.yaml is not text in UTF-8"),
    "unread.yaml": ("# @package _global_\nsed: 1\n", "sed"),
    "below.yaml": ("# @package _global_\nmodel:\n  hiden: [3]\n", "Nothing reads the key 'model.hiden'"),
    "deep.yaml": ("# @package _global_\nx: &x [*x]\n", "The aliases of deep.yaml"),
    "choice.yaml": ("# @package _global_\ndefaults:\n  - override /model: mlpp\n", "There is no model called 'mlpp'"),
    "hydra.yaml": ("# @package _global_\nhydra:\n  callbacks:\n    x: {_target_: os.system}\n", "hydra.callbacks"),
    "target.yaml": ("# @package _global_\nmodel:\n  _target_: os.system\n", "os.system"),
    "notes.txt/x": (None, "There is no file notes.txt/x"),
    "digits_lenet5.yaml": (None, "There is no file digits_lenet5.yaml"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_file_that_is_no_recipe_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    from couloir.config.check import checked

    text, fact = MISTAKES[name]
    if text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CouloirError) as mistake:
        checked([f"experiment={name}"])
    assert fact in mistake.value.fact
    if name == "digits_lenet5.yaml":
        assert mistake.value.next_step == "did you mean experiment=digits_lenet5?"


def test_a_file_may_build_on_another_and_a_choice_comes_first(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/base.yaml").write_text("# @package _global_\nseed: 5\n")
    (tmp_path / "kept/good.yaml").write_text(
        "# @package _global_\ndefaults:\n  - /experiment/kept/base.yaml\n  - toy_mlp\n  - _self_\ntest: false\n"
    )
    (tmp_path / "toy_mlp.yaml").write_text("# @package _global_\nseed: 9\n")
    cfg = compose_sentence(["experiment=kept/good.yaml"]).cfg
    assert (cfg.seed, cfg.test, cfg.model.hidden) == (5, False, [32, 32])
    assert compose_sentence(["experiment=toy_mlp"]).cfg.seed == 0
    assert compose_sentence(["experiment=./toy_mlp.yaml"]).cfg.seed == 9
    assert compose_sentence([f"experiment={tmp_path}/toy_mlp.yaml", "seed=2"]).cfg.seed == 2


def test_an_empty_choice_does_not_train_the_default(tmp_path: Path) -> None:
    (tmp_path / "conf/experiment").mkdir(parents=True)
    (tmp_path / "conf/experiment/good.yaml").write_text("\n")
    with pytest.raises(CouloirError, match="is empty"):
        compose_sentence(["experiment=good"])
