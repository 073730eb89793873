"""JSON schemas of the YAML files: what is packaged is valid, what Couloir would refuse is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from couloir.config import contract, tree
from couloir.errors import CouloirError
from couloir.init.schema import FOLDER, SETTINGS, schemas, write_schemas
from couloir.record.files import LOADER

OWN = {
    "conf/model/mynet.yaml": "# Mine.\n_target_: mynet.MyNet\nwidth: 8  # int >= 1; channels\n",
    "conf/experiment/good.yaml": "# @package _global_\n# Mine.\nrates: {a: 1}\n",
    "conf/backbone/small.yaml": "# A group of mine.\nsize: 3  # int >= 1\n",
    "mynet.py": "class MyNet:\n    def __init__(self, width, depth=1):\n        pass\n",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    for name, text in OWN.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def made(project: Path) -> dict[str, dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        patch.syspath_prepend(str(project))
        return schemas()


def mistakes(schema: dict[str, Any], text: str) -> list[str]:
    content = yaml.load(text, LOADER)
    return [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message[:80]}"
        for error in jsonschema.Draft7Validator(schema).iter_errors(content)
    ]


def test_every_schema_is_one(made: dict[str, dict[str, Any]]) -> None:
    assert {"train", "experiment", "model", "backbone"} <= set(made)
    for schema in made.values():
        jsonschema.Draft7Validator.check_schema({**schema, "definitions": {}})  # which are those of the groups


def test_every_packaged_file_is_valid(made: dict[str, dict[str, Any]]) -> None:
    root = tree.packaged_conf()
    files = {"train": [root / "train.yaml"]} | {
        group: sorted((root / group).rglob("*.yaml")) for group in tree.groups(packaged=True)
    }
    found = {
        file.name: wrong
        for group, paths in files.items()
        for file in paths
        if (wrong := mistakes(made[group], file.read_text()))
    }
    assert found == {}


MLP = "defaults:\n  - override /model: mlp\n  - _self_\n"
WRONG = {
    "an unknown choice": "defaults:\n  - override /model: mlpp\n",
    "an unknown group": "defaults:\n  - override /modell: mlp\n",
    "two in one entry": "defaults:\n  - override /model: mlp\n    override /data: digits\n",
    "a root key of the wrong type": "seed: many\n",
    "a root key out of its range": "seed: -1\n",
    "a root key that is not there": "sed: 1\n",
    "a word that is none of a key's": "on_nan: go\n",
    "a key that its choice has not": f"{MLP}model:\n  hiden: [3]\n",
    "a key of another choice": f"{MLP}model:\n  growth_rate: 3\n",
    "a key that no choice has": "optimizer:\n  learning_rate: 0.1\n",
    "a type": "optimizer:\n  lr: fast\n",
    "a range": "trainer:\n  max_epochs: 0\n",
    "an entry of a list": f"{MLP}model:\n  hidden: [3, 0]\n",
    "a key within a part": "callbacks:\n  checkpoint:\n    kep: last\n",
    "a word within a part": "callbacks:\n  checkpoint:\n    keep: lst\n",
    "a key that metrics share": "metric:\n  count: 2\n",
    "a kind of a field": "data:\n  fields: {image: picture}\n",
    "null for what every sentence has": "model: null\n",
    "a list": "- a\n",
}
RIGHT = {
    "references": "seed: ${data.seed}\nmodel:\n  hidden: ['${by_scale:64,8}', 3]\noptimizer: ${mine}\n",
    "what is missing": "trainer:\n  max_epochs: ???\n",
    "another target": f"{MLP}model:\n  _target_: mynet.MyNet\n  width: 3\n",
    "several metrics": "defaults:\n  - override /metric: [f1, auroc]\n",
    "keys that metrics share": "defaults:\n  - override /metric: samples\nmetric:\n  features: latest\n  count: 100\n",
    "a part of one's own": "callbacks:\n  mine:\n    _target_: mine.Callback\n    every: 3\n  progress: null\n",
    "values of one's own": "rates: {a: 0.1}\noptimizer:\n  lr: ${rates.a}\n",
    "a model of one's own": "defaults:\n  - override /model: mynet\nmodel:\n  width: 3\n  depth: 2\n",
    "a group of one's own": "defaults:\n  - override /backbone: small\nbackbone:\n  size: 4\n",
    "none of a group": "tta: null\nscheduler: null\n",
    "a recipe of another": "defaults:\n  - /experiment/kept/base.yaml\n  - toy_mlp\n  - _self_\n",
    "numbers with an exponent": "optimizer:\n  lr: 1e-3\n  eps: 1e-8\n",
}


@pytest.mark.parametrize("case", WRONG)
def test_what_couloir_refuses_is_not_valid(case: str, made: dict[str, dict[str, Any]]) -> None:
    assert mistakes(made["experiment"], WRONG[case])


@pytest.mark.parametrize("case", RIGHT)
def test_what_couloir_takes_is_valid(case: str, made: dict[str, dict[str, Any]]) -> None:
    assert mistakes(made["experiment"], RIGHT[case]) == []


@pytest.mark.parametrize(
    ("group", "text", "valid"),
    [
        ("model", "_target_: mynet.MyNet\nwidth: 3\n", True),
        ("model", "_target_: mynet.MyNet\nwidht: 3\n", False),
        ("model", "_target_: couloir.model.mlp.mlp\nhidden: [3]\nchannels: ${data.channels}\n", True),
        ("model", "_target_: couloir.model.mlp.mlp\nhidden: [none]\n", False),
        ("model", "_target_: couloir.model.mlp.mlp\nhiden: [3]\n", False),
        ("model", "_target_: somewhere.else.Net\nanything: 3\n", True),
        ("data", "_target_: mine.data\nfields: {a: row, b: label}\ntask: classification\n", True),
        ("data", "_target_: mine.data\nfields: {a: rows}\n", False),
        ("data", "_target_: mine.data\ntask: clasification\n", False),
        ("optimizer", "_target_: couloir.optimizer.adaptive.adamw\n_partial_: true\nlr: -1\n", False),
        ("train", "defaults:\n  - model: lenet6\n", False),
        ("train", "seed: 3\noptimizer:\n  scale_lr: cubic\n", False),
        ("train", "defaults:\n  - _self_\n  - model: mynet\n  - backbone: small\nseed: 3\n", True),
    ],
)
def test_files_of_the_users_own(group: str, text: str, valid: bool, made: dict[str, dict[str, Any]]) -> None:
    assert (mistakes(made[group], text) == []) == valid


def test_a_reference_is_taken_by_every_key_of_every_choice(made: dict[str, dict[str, Any]]) -> None:
    for value in ("${a.b}", "???"):
        for group in set(tree.groups(packaged=True)) - {"experiment"}:
            node = made["experiment"]["properties"][group]
            assert mistakes(node, yaml.safe_dump(dict.fromkeys(node["properties"], value))) == [], group


def test_descriptions_are_the_comments_of_the_files(made: dict[str, dict[str, Any]]) -> None:
    hidden = made["experiment"]["definitions"]["model.mlp"]["properties"]["hidden"]
    (key,) = (key for key in contract.read_keys(tree.packaged_conf() / "model/mlp.yaml") if key.path == "hidden")
    assert hidden["description"] == key.comment != ""
    assert hidden["default"] == key.default


def test_they_are_written_and_settings_are_left_as_they_are(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setattr("couloir.init.schema.schemas", lambda: {"experiment": {"a": 1}, "model": {}})
    said = write_schemas(Path())
    assert json.loads((FOLDER / "experiment.json").read_text()) == {"a": 1}
    settings = json.loads(SETTINGS.read_text())["yaml.schemas"]
    assert settings["./.couloir/schema/model.json"] == ["conf/model/**/*.yaml"]
    assert ".vscode/settings.json: VS Code" in said
    assert "uses them already" in write_schemas(Path())
    SETTINGS.write_text('{"mine": 1}')
    said = write_schemas(Path())
    assert SETTINGS.read_text() == '{"mine": 1}'
    assert '"./.couloir/schema/model.json"' in said
    assert "# yaml-language-server: $schema=../../.couloir/schema/experiment.json" in said


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("couloir.init.schema.schemas", dict)
    (tmp_path / ".couloir").touch()
    with pytest.raises(CouloirError, match="The schemas cannot be written"):
        write_schemas(Path())
