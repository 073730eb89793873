"""Weights by name, of a run and in a file: what is meant, what is refused, and how data is standardised for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from couloir.cli.main import run
from couloir.config import tree
from couloir.config.check import check, checked
from couloir.config.compose import Sentence, compose_sentence
from couloir.config.settle import settle
from couloir.config.weights import Published, in_words, named, names_for, other_columns, published, statistics
from couloir.errors import CouloirError
from couloir.record.columns import read_columns
from couloir.record.safetensors import write_state

IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
WITH_WEIGHTS = {
    "alexnet", "vgg11", "vgg13", "vgg16", "vgg19", "googlenet_bn", "inception_v3", "resnet18", "resnet34", "resnet50",
    "resnet101", "resnet152", "densenet121", "densenet161", "densenet169", "densenet201", "mobilenet_v2", "squeezenet",
    "fcn_resnet50", "deeplabv3_resnet50", "saliency_net", "fcn32s", "fcn16s", "fcn8s", "segnet",
}  # fmt: skip
COLOUR = ["data=synthetic", "data.channels=3", "data.image_size=96"]


def settled(*words: str) -> Sentence:
    return settle(compose_sentence(list(words)))


def standardised(*words: str) -> tuple[Any, Any]:
    data = settled(*words).cfg.data
    mean, std = (None if value is None else list(value) for value in (data.mean, data.std))
    return mean, std


def test_every_line_can_be_read_and_its_hash_begins_as_the_files_name_says() -> None:
    found = {name: published(file) for name, file in tree.choices("model").items()}
    assert {name for name, entries in found.items() if entries} == WITH_WEIGHTS
    for entries in found.values():
        for entry in entries:
            assert entry.sha256.startswith(entry.file.rpartition("-")[2].removesuffix(".pth"))
            assert len(entry.sha256) in (8, 64)
            assert entry.remote.mirrors == ("https://download.pytorch.org/models/",)


@pytest.mark.parametrize("name", sorted(WITH_WEIGHTS))
def test_keys_of_the_lines_are_keys_of_the_model_and_the_defaults_have_weights(name: str) -> None:
    model = OmegaConf.load(tree.choices("model")[name])
    assert all(key in model for entry in published(tree.choices("model")[name]) for key in entry.keys)
    plain = {key: value for key, value in OmegaConf.to_container(model).items() if "${" not in str(value)}  # type: ignore[union-attr]
    assert names_for(plain)[:2] == ["imagenet", "imagenet1k_v1"]


def test_imagenet_is_the_newest_and_stays_it() -> None:
    assert settled("model=resnet50", "model.weights=imagenet", *COLOUR).cfg.model.weights == "imagenet1k_v2"
    assert settled("model=resnet50", "model.weights=imagenet1k_v1", *COLOUR).cfg.model.weights == "imagenet1k_v1"
    assert settled("model=resnet18", "model.weights=imagenet", *COLOUR).cfg.model.weights == "imagenet1k_v1"


def test_the_file_follows_the_keys_of_the_model() -> None:
    model: dict[str, Any] = {"_target_": "couloir.model.vgg.vgg16", "weights": "imagenet", "batch_norm": False}
    plain, normalised = named(model), named({**model, "batch_norm": True})
    assert plain is not None
    assert normalised is not None
    assert (plain.file, normalised.file) == ("vgg16-397923af.pth", "vgg16_bn-6c64b313.pth")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("model=resnet50 model.weights=imagenet", IMAGENET),
        ("model=inception_v3 model.weights=imagenet", ([0.5] * 3, [0.5] * 3)),
        ("model=inception_v3 model.weights=imagenet model.transform_input=true", IMAGENET),
        ("model=googlenet_bn model.weights=imagenet", ([0.5] * 3, [0.5] * 3)),
        ("model=resnet18 model.weights=imagenet data=cifar10", IMAGENET),
        ("model=resnet18 data=cifar10", ([0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616])),
        ("model=resnet18 model.weights=imagenet data=cifar10 data.mean=[0,0,0] data.std=[1,1,1]", ([0] * 3, [1] * 3)),
        ("model=resnet18 model.weights=imagenet data=cifar10 data.mean=null", (None, [0.247, 0.2435, 0.2616])),
        ("model=resnet18 model.weights=imagenet data.standardize=false", (None, None)),
        (
            "model=resnet18 model.weights=imagenet data.channels=1 model.adapt_channels=sum",
            ([0.449], [0.226]),
        ),
    ],
)
def test_preprocessing_belongs_to_the_weights_unless_the_user_says_it(words: str, expected: tuple[Any, Any]) -> None:
    given = words.split()
    named_data = [] if any(word.startswith("data=") for word in given) else COLOUR
    assert standardised(*named_data, *given) == expected


def test_a_recipe_and_a_data_file_of_the_users_own_say_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("conf/experiment").mkdir(parents=True)
    Path("conf/data").mkdir()
    Path("conf/experiment/grey.yaml").write_text(
        "# @package _global_\n# Grey.\ndata:\n  mean: [0.1, 0.2, 0.3]\n  std: [1, 1, 1]\n"
    )
    mine = (tree.packaged_conf() / "data/synthetic.yaml").read_text()
    assert "mean: null" in mine
    Path("conf/data/mine.yaml").write_text(mine.replace("mean: null", "mean: [0.4, 0.4, 0.4]"))
    words = ["model=resnet18", "model.weights=imagenet"]
    assert standardised(*COLOUR, *words, "experiment=grey")[0] == [0.1, 0.2, 0.3]
    assert standardised("data=mine", *COLOUR[1:], *words)[0] == [0.4, 0.4, 0.4]
    Path("conf/data/mine.yaml").write_text(mine)
    assert standardised("data=mine", *COLOUR[1:], *words) == IMAGENET


@pytest.mark.parametrize(
    ("words", "fact", "next_step"),
    [
        ("model=resnet50 model.weights=imagenett", "model=resnet50 has imagenet, imagenet1k_v1, ", "weights=imagenet"),
        ("model=lenet5 model.weights=imagenet", "model=lenet5 has no weights by name", "a name, the folder of a run"),
        ("model=resnet18 model.weights=imagenet1k_v2", "model=resnet18 has imagenet, imagenet1k_v1,", "imagenet1k_v1"),
        ("model=resnet18 model.stem=cifar model.weights=imagenet", "one has model.stem=cifar", "model.stem=imagenet"),
        ("model=mobilenet_v2 model.width=0.5 model.weights=imagenet", "one has model.width=0.5", "model.width=1.0"),
        ("model=resnet18 model.weights=imagenet data.channels=1", "3 channels, and the data has 1", "channels=sum"),
        (
            "model=resnet18 model.weights=imagenet data.channels=1 model.adapt_channels=mean",
            "makes weights for several channels",
            "model.adapt_channels=sum",
        ),
        ("model=resnet18 model.weights=no.pth", "There is no file no.pth", "check the path"),
        ("model=resnet18 model.weights=torn.safetensors", "torn.safetensors is not a whole", "copy or download"),
        ("model=resnet18 model.weights=latest", "There is no run 'latest'", "train"),
        ("model=resnet18 model.weights=empty", "empty is not a run", "name the folder of a run"),
        ("model=resnet18 model.weights=imagenet data=iris", "needs images", "leave model=resnet18 out"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_before_torch(
    words: str, fact: str, next_step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("torn.safetensors").write_bytes(b"\xff" * 20)
    Path("empty").mkdir()
    given = words.split()
    with pytest.raises(CouloirError) as raised:
        checked([*([] if "data=iris" in given else COLOUR), *given])
    said = str(raised.value)
    assert fact in said
    assert next_step in said
    assert run(["train", *([] if "data=iris" in given else COLOUR), *given]) == 2
    assert "Traceback" not in capsys.readouterr().err


def recorded(folder: Path, channels: int = 3, classes: tuple[str, ...] = ("ant", "bee")) -> Path:
    """A run's folder, as far as weights are looked for in it."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 0\n")
    (folder / "status.json").write_text(json.dumps({"status": "completed", "format": 1}))
    facts = {"mean": [0.1, 0.2, 0.3][:channels], "std": [0.5, 0.6, 0.7][:channels], "classes": list(classes)}
    (folder / "provenance.json").write_text(json.dumps({"data": facts}))
    (folder / "checkpoints/best.ckpt").touch()
    return folder


@pytest.mark.parametrize("word", ["outputs/train/2026_a", "2026_a", "latest", "outputs/latest/checkpoints/best.ckpt"])
def test_a_run_is_the_file_of_its_best_checkpoint_and_its_statistics(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = recorded(tmp_path / "outputs/train/2026_a")
    Path("outputs/latest").symlink_to("train/2026_a")
    sentence = settled("model=resnet18", f"model.weights={word}", *COLOUR)
    assert sentence.cfg.model.weights == str(folder / "checkpoints/best.ckpt")
    assert (list(sentence.cfg.data.mean), list(sentence.cfg.data.std)) == ([0.1, 0.2, 0.3], [0.5, 0.6, 0.7])
    check(sentence)
    again = settle(sentence)
    assert again.cfg.model.weights == str(folder / "checkpoints/best.ckpt")


def test_a_run_without_a_checkpoint_and_a_sweep_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (recorded(tmp_path / "outputs/train/2026_a") / "checkpoints/best.ckpt").unlink()
    with pytest.raises(CouloirError, match="The run 2026_a has no checkpoint"):
        settled("model=resnet18", "model.weights=2026_a", *COLOUR)
    with pytest.raises(CouloirError, match=r"did you mean model\.weights=2026_a"):
        settled("model=resnet18", "model.weights=2026_b", *COLOUR)


def test_a_safetensors_file_says_itself_how_inputs_are_standardised(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    write_state(file, {"a": torch.ones(1)}, {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]})
    assert standardised("model=resnet18", f"model.weights={file}", *COLOUR) == ([0.5] * 3, [0.25] * 3)
    write_state(file, {"a": torch.ones(1)}, {"mean": "none", "std": [0]})
    assert standardised("model=resnet18", f"model.weights={file}", *COLOUR) == (None, None)


def test_a_grey_image_is_standardised_as_the_mean_of_the_channels_has_it() -> None:
    entry = Published("x", "x-01234567.pth", "01234567")
    model = {"_target_": "couloir.model.resnet.resnet18", "weights": "imagenet", "adapt_channels": "sum"}
    data = {"channels": 1, "fields": {"image": "image", "label": "label"}}
    assert statistics(model, data) == ([round(sum(entry.mean) / 3, 6)], [round(sum(entry.std) / 3, 6)])
    told = in_words(model, data, [0.449], [0.226])
    assert told == (
        "inputs: mean [0.449], deviation [0.226]; the first convolution sees in them what the weights imagenet1k_v1 "
        "saw in mean [0.485,0.456,0.406], deviation [0.229,0.224,0.225]"
    )


def test_the_run_says_which_statistics_are_used_and_why(tmp_path: Path) -> None:
    data = {"channels": 3, "fields": {"image": "image", "label": "label"}}
    model = {"_target_": "couloir.model.resnet.resnet18", "weights": "imagenet1k_v1"}
    assert in_words(model, data, *IMAGENET).endswith("as the weights imagenet1k_v1 had them")
    other = in_words(model, data, [0.5] * 3, [0.5] * 3)
    assert "as the sentence says; the weights imagenet1k_v1 had mean [0.485,0.456,0.406]" in other
    plain = in_words({"weights": str(tmp_path / "a.pth")}, data, [0.5] * 3, [0.5] * 3)
    assert "nobody says how those of the file a.pth were standardised" in plain
    assert "data.mean=[0.485,0.456,0.406] data.std=[0.229,0.224,0.225]" in plain
    assert in_words({"weights": None}, data, *IMAGENET) == ""
    assert in_words(model, data, None, None).startswith("inputs: as the data's own module hands them out; the weights")
    assert in_words(model, {"fields": {"row": "row"}}, [1.0], [1.0]) == ""


def test_a_line_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for line in (
        "# Weights: v1 a.pth",
        "# Weights: v1 a-01234567.pth sha256=76543210",
        "# Weights: v1 a-01234567.pth on",
    ):
        file = tmp_path / "net.yaml"
        file.write_text(f"# A net.\n{line}\n_target_: net.Net\n")
        with pytest.raises(CouloirError, match="cannot be read") as raised:
            published(file)
        assert str(raised.value.place).endswith("net.yaml, line 2")


def test_a_file_of_the_users_own_may_say_which_weights_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("conf/model").mkdir(parents=True)
    resnet = (tree.packaged_conf() / "model/resnet18.yaml").read_text()
    Path("conf/model/mine.yaml").write_text(resnet)
    cfg = settled("model=mine", "model.weights=imagenet", *COLOUR).cfg
    assert cfg.model.weights == "imagenet1k_v1"


def test_the_list_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "model", "resnet50"]) == 0
    told = capsys.readouterr().out
    assert "model.weights=imagenet1k_v1: resnet50-0676ba61.pth (model.stem=imagenet model.shortcut=B)" in told
    assert "model.weights=imagenet1k_v2 or imagenet: resnet50-11ad3fa6.pth" in told
    assert run(["list", "model", "resnet50", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in facts["weights"]] == ["imagenet1k_v1", "imagenet1k_v2"]
    assert facts["weights"][0]["address"] == "https://download.pytorch.org/models/resnet50-0676ba61.pth"
    assert run(["list", "model", "lenet5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["weights"] == []


def test_a_run_on_a_table_with_other_columns_is_told(tmp_path: Path) -> None:
    (tmp_path / "columns.csv").write_text(
        "column,kind,why,missing,inputs\nsize,number,numbers,0,size\nkind,category,texts,0,kind=a; kind=b\n"
        "price,target,numbers,0,\n"
    )
    model = {"weights": str(tmp_path / "checkpoints" / "best.ckpt")}
    rows = read_columns(tmp_path)
    assert other_columns(model, rows) is None
    assert other_columns({"weights": "other.pth"}, rows) is None
    assert other_columns({"weights": None}, rows) is None
    had = f"the run {tmp_path.name}, whose weights these are, had"
    assert (
        other_columns(model, [{**rows[0], "inputs": "weight"}, *rows[1:]]) == f"{had} size where input 1 is weight here"
    )
    other = {**rows[1], "inputs": "kind=a; kind=c"}
    assert other_columns(model, [rows[0], other, rows[2]]) == f"{had} kind=b where input 3 is kind=c here"
    assert (
        other_columns(model, [*rows[:2], {**rows[2], "column": "cost"}]) == f"{had} price where target 1 is cost here"
    )
