"""The configuration of a run that was composed before."""

from __future__ import annotations

from pathlib import Path

from omegaconf import OmegaConf

import couloir
from couloir.augmentation.transform import InTurn
from couloir.config.build import build
from couloir.config.finished import run_config


def test_a_run_of_an_older_version_can_still_be_built(tmp_path: Path) -> None:
    cfg = OmegaConf.to_container(couloir.compose(["augmentation=cutout"]).cfg, resolve=True)
    assert isinstance(cfg, dict)
    del cfg["task"], cfg["data"]["fields"]
    cfg["augmentation"]["_target_"] = "couloir.augmentation.sequence.in_turn"
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(cfg)))
    found = run_config(tmp_path)
    assert found.task._target_ == "couloir.task.classification.Classification"
    assert found.data.fields == {"image": "image", "label": "label"}
    assert isinstance(build(found, "augmentation"), InTurn)
