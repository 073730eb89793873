"""What is used of OmegaConf's private parts, against the installed version."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf, _utils, base, grammar_parser
from omegaconf.errors import GrammarParseError

from couloir.config.omegaconf_private import (
    LONG,
    OF_PEOPLE,
    is_filled,
    is_missing,
    open_copy,
    parse_each_reference_once,
    read_yaml_by_libyaml,
    root,
    selected,
    stored,
)
from couloir.config.tree import packaged_conf


def configuration() -> DictConfig:
    words = {"top": 3, "inner": {"of_top": "${top}", "gone": "???", "list": [1, "${top}", {"a": 0}], "nothing": None}}
    cfg = OmegaConf.create(words)
    OmegaConf.set_struct(cfg, True)
    return cfg


def test_a_node_leads_to_the_whole_configuration() -> None:
    cfg = configuration()
    assert root(cfg.inner.list[2]) is cfg
    assert root(cfg) is cfg


def test_an_entry_is_read_as_it_is_written() -> None:
    cfg = configuration()
    entries = {"of_top": "${top}", "gone": "???", "nothing": None, "absent": None}
    assert {key: stored(cfg.inner, key) for key in entries} == entries
    assert [stored(cfg.inner.list, index) for index in range(2)] == [1, "${top}"]
    assert isinstance(stored(cfg.inner, "list"), ListConfig)
    assert isinstance(stored(cfg.inner.list, 2), DictConfig)


def test_a_node_that_is_missing_or_null_is_not_filled() -> None:
    cfg = configuration()
    assert is_filled(cfg.inner)
    assert is_filled(cfg.inner.list)
    assert is_filled(OmegaConf.create({}))
    assert not is_filled(DictConfig("???"))
    assert not is_filled(ListConfig(None))


def test_a_value_is_selected_as_omegaconf_selects_it_and_what_is_missing_is_found() -> None:
    text = (
        "a: {b: 1, n: null, m: '???', r: '${a.b}', l: [1, 2], t: x}\nc: ${a}\nd: null\ne: '???'\n"
        "f: {g: {h: '${.i}', i: ''}}"
    )
    cfg = OmegaConf.create(text)
    OmegaConf.set_struct(cfg, True)
    paths = "a a.b a.n a.m a.r a.l a.l.0 a.t a.t.u a.z c c.b c.r c.m d d.x e e.x f.g.h f.g.i f.g.j.k z"
    for path in paths.split():
        assert selected(cfg, path) == OmegaConf.select(cfg, path), path
        assert type(selected(cfg, path)) is type(OmegaConf.select(cfg, path))
    for key in ("a", "c", "d", "e", "z", "a.m"):
        assert is_missing(cfg, key) == OmegaConf.is_missing(cfg, key)
    assert is_missing(cfg.a, "m")
    assert not is_missing(cfg.a, "n")


def test_an_open_copy_takes_objects_finds_its_references_and_leaves_the_original_alone() -> None:
    cfg = configuration()
    OmegaConf.set_readonly(cfg, True)
    copied, value = open_copy(cfg.inner), object()
    copied.gone = copied.added = value
    assert copied.gone is copied.added is value
    assert copied.of_top == 3
    assert OmegaConf.is_missing(cfg.inner, "gone")
    assert "added" not in cfg.inner


def test_yaml_by_libyaml_says_what_omegaconfs_own_reading_says(tmp_path: Path) -> None:
    texts = [
        "a: 1e-3\nb: 1_000.5\nc: .inf\nd: 2001-01-01\ne: 12:30\nf: yes\ng: [1, '2', null, ~]\nh: {x: \"ü\"}\n",
        "a: &x {b: 1}\nc: *x\nd:\n  <<: *x\n  e: |\n    two\n    lines\n",
        "",
        *(path.read_text(encoding="utf-8") for path in sorted(packaged_conf().rglob("*.yaml"))[::5]),
    ]
    read_yaml_by_libyaml()
    loader = _utils.get_yaml_loader()
    assert isinstance(loader("a: 1"), yaml.CSafeLoader) or not yaml.__with_libyaml__
    long = "\n" * OF_PEOPLE
    assert isinstance(loader(long), yaml.SafeLoader)
    for text in texts:
        assert repr(yaml.load(text, loader)) == repr(yaml.load(text + long, loader))
    (tmp_path / "fine.yaml").write_text(texts[0])
    assert OmegaConf.load(tmp_path / "fine.yaml").d == "2001-01-01", "OmegaConf has no dates"
    for text in ("a: 1\nb: 2\na: 3\n", "a:\n  b: 1\n  b: 2\n"):
        (tmp_path / "twice.yaml").write_text(text)
        with pytest.raises(yaml.constructor.ConstructorError, match=r"duplicate key [ab]"):
            OmegaConf.load(tmp_path / "twice.yaml")


def test_a_reference_that_was_parsed_before_leads_where_it_leads_now() -> None:
    usual = grammar_parser.parse
    parse_each_reference_once()
    kept = _utils.parse
    parse_each_reference_once()
    assert base.parse is _utils.parse is kept
    long = "${a}" + "x" * LONG
    for a in (1, 2):
        cfg = OmegaConf.create({"a": a, "b": "${a}", "c": "${a} of ${inner.d}", "inner": {"d": "${..a}"}, "long": long})
        assert (cfg.b, cfg.c, cfg.inner.d, cfg.long) == (a, f"{a} of {a}", a, f"{a}" + "x" * LONG)
    assert base.parse("${a}") is base.parse("${a}")
    assert base.parse(long) is not base.parse(long)
    assert base.parse("${b}").getText() == usual("${b}").getText() == "${b}<EOF>"
    for _ in range(2):
        with pytest.raises(GrammarParseError):
            base.parse("${a")
