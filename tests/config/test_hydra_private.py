"""What is used of Hydra's private parts, against the installed version."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal import defaults_list
from hydra.errors import HydraException
from omegaconf import OmegaConf

from couloir.config.hydra_private import (
    apply_overrides,
    arguments_parser,
    compose_without_needless_copies,
    note_merged,
)


def test_hydras_own_flags_are_read() -> None:
    words = ["--cfg", "job", "--resolve", "--package", "model", "-m", "--info", "all", "a=1", "+b=2", "--strange"]
    known, unknown = arguments_parser().parse_known_args(words)
    assert (known.cfg, known.resolve, known.package) == ("job", True, "model")
    assert (known.multirun, known.info, known.overrides) == (True, "all", ["a=1", "+b=2"])
    assert unknown == ["--strange"]
    quiet, _ = arguments_parser().parse_known_args([])
    assert not any((quiet.cfg, quiet.resolve, quiet.package, quiet.multirun, quiet.info, quiet.overrides))
    assert not any((quiet.shell_completion, quiet.hydra_help))


def test_the_files_that_hydra_merges_are_known_in_their_order_and_the_configuration_is_the_same(tmp_path: Path) -> None:
    for name, text in {
        "root": "defaults:\n  - part: one\n  - other@place: three\n  - _self_\na: 0\n",
        "part/one": "x: 1\n",
        "part/two": "x: 2\n",
        "other/three": "y: 3\n",
    }.items():
        (tmp_path / f"{name}.yaml").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.yaml").write_text(text)
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        merged = note_merged()
        assert merged == []
        cfg = compose("root", overrides=["part=two"])
    assert cfg == {"part": {"x": 2}, "place": {"y": 3}, "a": 0}
    own = [(item.config_path, item.package) for item in merged if not str(item.config_path).startswith("hydra")]
    assert own == [("part/two", "part"), ("other/three", "place"), ("root", "")]


def test_overrides_are_applied_to_a_configuration_as_while_composing() -> None:
    cfg = OmegaConf.create({"a": {"b": 1, "c": 2}})
    OmegaConf.set_struct(cfg, True)
    apply_overrides(["a.b=[3,4]", "+a.d={e: x}", "++a.f=1.5", "~a.c"], cfg)
    assert cfg == {"a": {"b": [3, 4], "d": {"e": "x"}, "f": 1.5}}
    with pytest.raises(HydraException, match=r"Could not override 'a\.g'"):
        apply_overrides(["a.g=1"], cfg)


def test_a_defaults_list_that_refers_to_choices_gets_them_and_all_others_compose_as_before(tmp_path: Path) -> None:
    for name, text in {
        "root": "defaults:\n  - part: one\n  - other: of_${part}\n  - _self_\n",
        "part/one": "defaults:\n  - /base@_here_\n  - _self_\nx: 1\n",
        "part/two": "x: 2\n",
        "base": "b: 0\n",
        "other/of_one": "y: 1\n",
        "other/of_two": "y: 2\n",
    }.items():
        (tmp_path / f"{name}.yaml").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.yaml").write_text(text)
    compose_without_needless_copies()
    once = defaults_list._create_interpolation_map
    compose_without_needless_copies()
    assert defaults_list._create_interpolation_map is once
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        collected = [compose("root", overrides=words) for words in ([], ["part=two"])]
    assert collected == [{"part": {"b": 0, "x": 1}, "other": {"y": 1}}, {"part": {"x": 2}, "other": {"y": 2}}]
