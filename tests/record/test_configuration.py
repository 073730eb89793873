"""Configurations as dotted keys, and the keys that differ."""

from __future__ import annotations

from omegaconf import OmegaConf

from couloir.record.configuration import MISSING, differing, flat


def test_a_key_is_its_path_and_a_list_is_one_value() -> None:
    cfg = OmegaConf.create({"a": {"b": 1, "c": [1, {"d": 2}]}, "e": None, "f": {}, "g": "${a.b}"})
    assert flat(cfg) == {"a.b": 1, "a.c": [1, {"d": 2}], "e": None, "f": {}, "g": "${a.b}"}


def test_differences_name_both_values_and_what_is_missing() -> None:
    one = OmegaConf.create({"a": {"b": 1}, "c": True, "d": float("nan"), "e": 1})
    other = OmegaConf.create({"a": {"b": 2}, "c": 1, "d": float("nan"), "f": 1})
    assert differing(one, other) == {"a.b": (1, 2), "c": (True, 1), "e": (1, MISSING), "f": (MISSING, 1)}
