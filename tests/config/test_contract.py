"""The contracts in the comments of YAML files: a wrong value is found by them, and prose does not become a rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from couloir.config import contract, tree
from couloir.config.contract import read_keys, violation


def keys_of(tmp_path: Path, text: str) -> dict:
    file = tmp_path / "choice.yaml"
    file.write_text(text)
    return {key.path: key for key in read_keys(file)}


@pytest.mark.parametrize(
    ("line", "good", "bad"),
    [
        ("k: 0.1  # > 0; rate", [0.5, 1, 1e-9], [0, -1, "fast", True, None, float("nan")]),
        ("k: 0.0  # [0, 1); share", [0, 0.999], [1, -0.1, 1.5]),
        ("k: 0.5  # (0, 1]", [1, 0.01], [0, 1.01]),
        ("k: 3  # int >= 1; count", [1, 7], [0, 2.5, "two", False]),
        ("k: 3  # >= 1; the default is an integer", [1], [1.5]),
        ("k: null  # int >= 1 or null; at most", [None, 4], [0, "many", 1.5]),
        ("k: relu  # one of relu, tanh; name", ["relu", "tanh"], ["rel", None, 3]),
        ("k: [1, 2]  # list of int >= 1; widths", [[3], []], [[0], 3, ["a"], [1.5]]),
        ("k: 32  # int >= 1 or list of int >= 1; widths", [3, [1, 2]], [0, [0], "x"]),
        ("k: 1  # int or list or str; devices", [1, [0, 1], "auto", -1], [1.5, None]),
        ("k: 1e-8  # > 0; a float that YAML 1.1 reads as a word must still be one", [1e-8, 1], []),
        ("k: false  # switch it on", [True, False], [1, "yes"]),
        ("k: word", ["other"], [1, None, True]),
        ("k: 3  # one of 1, 3; channels", [1, 3], [2, 4, "3", 3.0, True, None]),
        ("k: 0.1  # the rate > 0 or so; prose", [-3.0, 2], ["x"]),
        ("k: null  # anything at all", [None, 1, "x", [2]], []),
        ("k: ${data.size}  # int >= 8; pixels", [8, 32], [4, None]),
        ("k: 8  # int >= 8 or [height, width]; pixels", [8, [8, 9]], [4, None, [8], [8, 4], [8, 8, 8], [8, 8.5], "x"]),
        ("k: null  # int >= 1 or [low, high] or null", [None, 1, [1, 2]], [0, [0, 1], [None, 1]]),
        ("k: [1, 2]  # [low, high]; prose without what stands before", [[], [3]], [3]),
    ],
)
def test_a_value_outside_of_its_contract_is_found(tmp_path: Path, line: str, good: list, bad: list) -> None:
    key = keys_of(tmp_path, line + "\n")["k"]
    for value in good:
        assert violation(key, value) is None, value
    for value in bad:
        assert violation(key, value) is not None, value


def test_the_wording_says_what_is_accepted(tmp_path: Path) -> None:
    key = keys_of(tmp_path, "lr: 0.1  # > 0; rate\n")["lr"]
    assert violation(key, -1) == "a number > 0"


def test_lines_and_nested_paths_point_into_the_file(tmp_path: Path) -> None:
    keys = keys_of(tmp_path, "# Header.\ndefaults:\n  - a\n_target_: x\nouter:\n  inner: 3  # >= 0; count\nlast: [1]\n")
    assert keys["outer.inner"].line == 6
    assert keys["outer.inner"].contract == ">= 0"
    assert keys["last"].line == 7
    assert "defaults" not in keys


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    import os

    keys_of(tmp_path, "a: 1\n")
    file = tmp_path / "choice.yaml"
    file.write_text("b: 1\n")
    os.utime(file, ns=(1, 1))
    assert [key.path for key in read_keys(file)] == ["b"]


VALUES: tuple[Any, ...] = (
    0, 1, -1, 2, 10**12, 0.5, -0.5, 1.5, True, False, None, "word", "", "relu", [], [1], [1, 2], [0.5, 0.25], ["a"],
    [-1, 3],
)  # fmt: skip


def test_a_json_schema_takes_what_the_contract_takes_of_every_packaged_key() -> None:
    files = [path for group in tree.groups(packaged=True) for path in (tree.packaged_conf() / group).rglob("*.yaml")]
    keys = {
        (key.contract, contract.infer_type(key.default)): key
        for file in [tree.packaged_conf() / "train.yaml", *files]
        for key in contract.read_keys(file)
    }
    assert len(keys) > 60
    differ = []
    for key in keys.values():
        schema = jsonschema.Draft7Validator(contract.as_schema(key))
        assert schema.is_valid("${a.b}")
        assert schema.is_valid("???")
        for value in VALUES:
            if schema.is_valid(value) != (contract.violation(key, value) is None):
                differ.append((key.path, key.contract, value))
    assert differ == []
