"""The house: a group has the same name in `conf`, `src` and `tests`, and a test lies where what it tests lies."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONF, SOURCE, TESTS = ROOT / "conf", ROOT / "src" / "couloir", ROOT / "tests"
WITHOUT_CODE = {"experiment", "hydra"}
"""Whole recipes, and Hydra's own settings: there is nothing in them but YAML."""
TESTED_ELSEWHERE = {"hydra": "cli", "pruner": "sweep"}
"""Hydra's settings by the verbs that they are for; what ends trials early by the sweeps that it ends."""


def folders(place: Path) -> set[str]:
    return {path.name for path in place.iterdir() if path.is_dir() and path.name[0] not in "_."}


def floors() -> list[set[str]]:
    """The floors of `src/couloir` as import-linter holds them, from above."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = next(contract["layers"] for contract in settings["contracts"] if contract["type"] == "layers")
    return [set(layer.split(" | ")) for layer in layers]


def test_a_group_has_the_same_name_in_conf_src_and_tests() -> None:
    groups = folders(CONF)
    assert groups - WITHOUT_CODE <= folders(SOURCE)
    assert {TESTED_ELSEWHERE.get(group, group) for group in groups} <= folders(TESTS)
    assert set(TESTED_ELSEWHERE).isdisjoint(folders(TESTS)), "an exception that is none any more"
    assert WITHOUT_CODE.isdisjoint(folders(SOURCE)), "an exception that is none any more"


def test_every_folder_of_the_groups_floor_is_a_group() -> None:
    (floor,) = [floor for floor in floors() if {"model", "loss"} <= floor]
    assert floor <= folders(CONF)


def test_a_test_with_the_name_of_a_source_file_lies_under_the_same_path() -> None:
    sources: dict[str, set[Path]] = {}
    for file in SOURCE.rglob("*.py"):
        sources.setdefault(file.stem, set()).add(file.parent.relative_to(SOURCE))
    strayed = {
        str(test.relative_to(ROOT)): sorted(map(str, places))
        for test in TESTS.rglob("test_*.py")
        if (places := sources.get(test.stem.removeprefix("test_")))
        and test.parent.relative_to(TESTS) not in places
    }  # fmt: skip
    assert strayed == {}
