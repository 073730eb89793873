"""What is used of OmegaConf's private parts, against the installed version."""

from __future__ import annotations

from omegaconf import DictConfig, ListConfig, OmegaConf

from couloir.config.omegaconf_private import is_filled, open_copy, root, stored


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


def test_an_open_copy_takes_objects_finds_its_references_and_leaves_the_original_alone() -> None:
    cfg = configuration()
    OmegaConf.set_readonly(cfg, True)
    copied, value = open_copy(cfg.inner), object()
    copied.gone = copied.added = value
    assert copied.gone is copied.added is value
    assert copied.of_top == 3
    assert OmegaConf.is_missing(cfg.inner, "gone")
    assert "added" not in cfg.inner
