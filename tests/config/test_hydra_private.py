"""What is used of Hydra's private parts, against the installed version."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal import defaults_list
from hydra._internal.config_repository import ConfigRepository
from hydra.errors import HydraException
from omegaconf import OmegaConf

from couloir.config.hydra_private import (
    apply_overrides,
    arguments_parser,
    compose_without_needless_copies,
    declared,
    note_merged,
    remember_files,
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


def test_a_file_that_has_changed_is_read_again_and_what_was_composed_before_stays_as_it_was(tmp_path: Path) -> None:
    for name, text in {
        "root": "defaults:\n  - part: one\n  - part@again: one\n  - _self_\na: 0\n",
        "part/one": "x: [1]\ninner: {y: 1}\n",
        "part/two": "inner: {y: 2}\n",
    }.items():
        (tmp_path / f"{name}.yaml").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.yaml").write_text(text)
    remember_files()
    once = ConfigRepository.load_config
    remember_files()
    assert ConfigRepository.load_config is once
    one = {"x": [1], "inner": {"y": 1}}
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        first = compose("root")
        assert first == {"part": one, "again": one, "a": 0}
        first.part.x.append(5)
        first.part.inner.y = 5
        assert first.again == one
        assert compose("root") == {"part": one, "again": one, "a": 0}
        assert compose("root", overrides=["part=two", "a=3"]) == {"part": {"inner": {"y": 2}}, "again": one, "a": 3}
        (tmp_path / "part/one.yaml").write_text("x: [2]\ninner: {y: 1}\n")  # as long as before
        two = one | {"x": [2]}
        assert compose("root") == {"part": two, "again": two, "a": 0}
        (tmp_path / "part/one.yaml").unlink()
        with pytest.raises(HydraException, match="part/one"):
            compose("root")
    assert first == {"part": {"x": [1, 5], "inner": {"y": 5}}, "again": one, "a": 0}


def test_what_hydra_declares_is_looked_at_without_a_copy() -> None:
    assert "run" in declared("hydra/config.yaml")
    assert declared("hydra/config.yaml") is declared("hydra/config.yaml")
