"""`couloir list`, `couloir summary` and the help: what a person asks before training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from couloir.cli.main import VERBS, run
from couloir.config import tree


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run(words) == 0
    return capsys.readouterr().out


def test_list_names_every_choice_of_every_group(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(["list"], capsys)
    for group in tree.groups():
        assert group in text
    assert "bhattacharyya" in text


@pytest.mark.parametrize("group", tree.groups())
def test_list_describes_each_choice_in_a_sentence(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(said(["list", group], capsys).split())
    for name, path in tree.choices(group).items():
        assert f"{name} {tree.describe(path)}" in text


def test_list_shows_a_choice_with_its_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert "lr: " in said(["list", "optimizer", "adam"], capsys)


def test_list_marks_a_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/mynet.yaml").write_text("# A network of mine.\n_target_: mynet.Net\n")
    monkeypatch.chdir(tmp_path)
    assert "A network of mine.  (your own)" in said(["list", "model"], capsys)


def test_summary_as_json_has_the_layers_and_the_totals(capsys: pytest.CaptureFixture[str]) -> None:
    parsed = json.loads(said(["summary", "--json"], capsys))
    assert parsed["totals"]["parameters"] == 61_706
    assert parsed["totals"]["multiply_adds"] == 416_520
    assert {"name", "type", "output_shape", "parameters", "multiply_adds"} <= parsed["layers"][0].keys()


def test_summary_of_a_large_network_shows_whole_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data=synthetic", "data.image_size=224", "data.num_classes=1000"]
    text = said(["summary", "model=resnet152", *words], capsys)
    assert "60,192,808" in text
    assert "11,513,626,624" in text


def test_summary_of_a_users_network_that_needs_real_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/picky.yaml").write_text("# Picky.\n_target_: picky.Net\n")
    (tmp_path / "picky.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Net(nn.Sequential):\n    def __init__(self):\n"
        "        width = int(torch.tensor(12.0).item())\n"
        "        super().__init__(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, 10))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert json.loads(said(["summary", "model=picky", "--json"], capsys))["totals"]["parameters"] == 780 + 130


def test_every_verb_has_a_help_and_is_in_the_overview(capsys: pytest.CaptureFixture[str]) -> None:
    overview = said([], capsys)
    for verb in VERBS:
        assert verb in overview
        assert "usage" in said([verb, "--help"], capsys)


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(["--version"], capsys).startswith("couloir 0.")
