"""The HParams tab's columns: what somebody would compare, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import couloir
from couloir.logger.hyperparameters import comparable


def columns(words: list[str]) -> dict[str, Any]:
    return comparable(OmegaConf.to_container(couloir.compose(words).cfg, resolve=True))  # type: ignore[arg-type]


def test_choices_and_keys_are_plain_values_under_the_names_of_the_prompt() -> None:
    found = columns(["optimizer=momentum", "optimizer.lr=0.05", "model=mlp", "model.hidden=[8,4]", "data.subset=100"])
    assert found["optimizer"] == "momentum"
    assert found["optimizer.lr"] == 0.05
    assert found["model"] == "mlp"
    assert found["model.hidden"] == "[8, 4]"
    assert found["data.subset"] == 100
    assert found["model.batch_norm"] is False
    assert found["scheduler"] == "none"
    assert found["seed"] == 0
    assert all(isinstance(value, bool | int | float | str) for value in found.values())


def test_places_and_the_machinery_are_left_out(tmp_path: Path) -> None:
    found = columns([f"output_dir={tmp_path}", "data.workers=1", "callbacks.progress.refresh=1"])
    found |= comparable({"data": {"_target_": "a.b", "root": "here", "file": "/data/x.csv"}})
    assert not {"data.workers", "data.root", "data.file"} & set(found)
    assert not [key for key in found if key.startswith(("logger", "hydra", "sweep", "callbacks")) or "_target_" in key]
    assert not [value for value in found.values() if isinstance(value, str) and "/" in value]
    assert "model.num_classes" not in found, "it is the data's"


@pytest.mark.parametrize(
    "words", [["augmentation=alexnet", "data=cifar10"], ["scheduler=warmup_cosine"], ["tta=ten_crop"]]
)
def test_parts_within_parts_are_named(words: list[str]) -> None:
    found = columns(words)
    group = words[0].partition("=")[0]
    assert found[group] != "none"
    assert not [value for value in found.values() if isinstance(value, str) and ("{" in value or "couloir." in value)]
