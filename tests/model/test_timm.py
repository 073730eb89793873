"""Networks of timm, with a small module in its place that has its functions and their arguments, as timm 1.0.31 has."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import couloir
from couloir.cli.main import run
from couloir.config.check import checked
from couloir.errors import CouloirError
from couloir.model.timm import begin_pretrained, own_statistics, timm

STAND_IN = """
from types import SimpleNamespace

import torch
from torch import nn

calls = []
CFGS = {
    "tiny": SimpleNamespace(mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1), num_classes=7, classifier="head.fc",
                            fixed_input_size=False, input_size=(3, 224, 224)),
    "fixed": SimpleNamespace(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), num_classes=7, classifier="head.fc",
                             fixed_input_size=True, input_size=(3, 224, 224)),
}


class Net(nn.Module):
    def __init__(self, num_classes, in_chans, width):
        super().__init__()
        self.stem = nn.Conv2d(in_chans, width, 3)
        self.head = nn.Sequential()
        self.head.fc = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.head.fc(self.stem(x).relu().mean((2, 3)))


def is_model(name):
    return name in CFGS


def list_models(pattern="", pretrained=False):
    return [f"{name}.in1k" for name in CFGS] if pretrained else list(CFGS)


def get_pretrained_cfg(name):
    architecture, _, tag = name.partition(".")
    if tag not in ("", "in1k"):
        raise RuntimeError(f"Invalid pretrained tag ({tag}) for {architecture}.")
    return CFGS[architecture]


def create_model(name, pretrained=False, num_classes=7, in_chans=3, width=4, img_size=None, drop_rate=0.0):
    calls.append({"name": name, "pretrained": pretrained, "img_size": img_size, "drop_rate": drop_rate})
    net = Net(num_classes, in_chans, width)
    if pretrained:
        if name == "fixed":
            raise FileNotFoundError("we cannot find the requested files in the local cache")
        with torch.no_grad():
            net.stem.weight.fill_(0.125)
            net.stem.bias.fill_(0.5)
            net.head.fc.weight.fill_(0.25)
    return net
"""
WORDS = [
    "model=timm", "model.name=tiny", "data=synthetic", "data.channels=3", "data.image_size=8", "data.num_classes=3",
]  # fmt: skip
QUICK = ["trainer=cpu", "trainer.max_epochs=1", "logger=none"]


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module in timm's place."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/timm.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.chdir(tmp_path)
    yield importlib.import_module("timm")
    sys.modules.pop("timm", None)


def build(**keys: Any) -> Any:
    return timm(**{"channels": 3, "image_size": 8, "num_classes": 3, "name": "tiny", **keys})


def test_a_run_begins_with_its_weights_and_its_statistics_and_can_be_answered_with_and_repeated(
    library: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*WORDS, "model.pretrained=true", "optimizer.lr=1e-12", *QUICK]
    result = couloir.train(couloir.compose(words))
    assert "mean [0.5,0.4,0.3], deviation [0.2,0.2,0.1], as timm has them for tiny" in capsys.readouterr().out
    facts = json.loads((result.dir / "provenance.json").read_text())["data"]
    assert (facts["mean"], facts["std"]) == ([0.5, 0.4, 0.3], [0.2, 0.2, 0.1])
    state = torch.load(result.dir / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert torch.allclose(state["net.stem.weight"], torch.full((4, 3, 3, 3), 0.125))
    assert not torch.allclose(state["net.head.fc.weight"], torch.full((3, 4), 0.25)), "the head of other classes"
    asked = [call["pretrained"] for call in library.calls]
    assert asked.count(True) == 1
    assert run(["evaluate", str(result.dir)]) == 0
    assert not any(call["pretrained"] for call in library.calls[len(asked) :]), "the checkpoint has the weights"
    assert run(["rerun", str(result.dir)]) == 0
    assert "identical" in capsys.readouterr().out


def test_what_the_user_says_about_statistics_counts(library: Any) -> None:
    cifar = [*WORDS[:2], "data=cifar10"]
    assert list(checked([*cifar], reads_data=False).cfg.data.mean) == [0.4914, 0.4822, 0.4465]
    assert checked([*cifar, "model.pretrained=true"], reads_data=False).cfg.data.mean is None
    stated = checked([*cifar, "model.pretrained=true", "data.mean=[0,0,0]", "data.std=[1,1,1]"], reads_data=False)
    assert list(stated.cfg.data.mean) == [0, 0, 0]


def test_weights_out_of_a_file_need_no_line_and_get_the_statistics_of_their_network(library: Any) -> None:
    given = library.create_model("tiny")
    torch.save(given.state_dict(), "tiny.pth")
    words = [*WORDS, "model.weights=tiny.pth", "optimizer.lr=1e-12", *QUICK]
    result = couloir.train(couloir.compose(words))
    assert json.loads((result.dir / "provenance.json").read_text())["data"]["mean"] == [0.5, 0.4, 0.3]
    state = torch.load(result.dir / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert torch.allclose(state["net.stem.weight"], given.stem.weight, atol=1e-6)
    assert not any(call["pretrained"] for call in library.calls)


def test_beginning_with_its_weights_draws_nothing_and_leaves_the_head_of_other_classes(library: Any) -> None:
    net, same = build(), build(num_classes=7)
    before, drawn = net.head.fc.weight.clone(), torch.random.get_rng_state()
    model = {"name": "tiny", "channels": 3, "image_size": 8, "num_classes": 3, "pretrained": True}
    begin_pretrained(net, model)
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert torch.equal(net.head.fc.weight, before)
    assert torch.equal(net.stem.weight, torch.full((4, 3, 3, 3), 0.125))
    begin_pretrained(same, {**model, "num_classes": 7})
    assert torch.equal(same.head.fc.weight, torch.full((7, 4), 0.25)), "a head of as many classes comes along"


def test_keys_reach_the_library_and_one_size_is_told(library: Any) -> None:
    assert build(options={"width": 6}, dropout=0.5).stem.out_channels == 6
    assert library.calls[-1] == {"name": "tiny", "pretrained": False, "img_size": None, "drop_rate": 0.5}
    build(name="fixed", image_size=[32, 48])
    assert library.calls[-1]["img_size"] == (32, 48)
    build(name="fixed", image_size=224)
    assert library.calls[-1]["img_size"] is None


def test_statistics_of_grey_images_are_the_means_over_the_channels(library: Any) -> None:
    known = own_statistics({"name": "tiny"}, 1)
    assert known is not None
    assert known["mean"] == pytest.approx([0.4])
    assert known["std"] == pytest.approx([0.5 / 3])
    assert own_statistics({"name": "tiny"}, 4) is None


@pytest.mark.parametrize(
    ("keys", "fact", "next_step"),
    [
        ({"name": "tinyy"}, "timm has no network tinyy", "model.name=tiny"),
        ({"name": "tiny.in22k"}, "timm has no weights tiny.in22k", "tiny.in1k"),
        ({"name": "hf-hub:timm/tiny"}, "is not the name of a network", "model.weights=FILE"),
        ({"options": {"depth": 3}}, "does not take these keys", "leave out"),
        ({"name": "fixed", "pretrained": True}, "timm's weights of fixed cannot be had", "model.weights=FILE"),
    ],
)
def test_what_timm_does_not_have_is_said(keys: dict[str, Any], fact: str, next_step: str, library: Any) -> None:
    with pytest.raises(CouloirError, match=fact) as raised:
        build(**keys)
    assert next_step in str(raised.value.next_step)


def test_a_summary_asks_for_no_weights(library: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["summary", *WORDS, "model.pretrained=true"]) == 0
    assert "stem" in capsys.readouterr().out
    assert not any(call["pretrained"] for call in library.calls)


def test_two_kinds_of_weights_at_once_are_refused(library: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.pth").touch()
    assert run(["train", *WORDS, "model.pretrained=true", "model.weights=a.pth"]) == 2
    assert "model.pretrained=true and model.weights=a.pth" in capsys.readouterr().err


def test_without_the_library_it_is_said_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "timm" else find(name, *rest))
    assert run(["train", *WORDS]) == 2
    assert "pip install 'couloir[timm]'" in capsys.readouterr().err
