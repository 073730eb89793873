"""What stands beside an export is what the run did, also where a channel never varies or the data is the user's own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from omegaconf import OmegaConf
from torch import nn

from couloir.inference.export.facts import of_run


def told(tmp_path: Path, keys: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """The facts about a run that is made up."""
    (tmp_path / "best.ckpt").write_bytes(b"weights")
    data = {
        "fields": {"image": "image", "label": "label"}, "kind": "label", "channels": 2, "num_classes": 2,
        "classes": ["a", "b"], "image_size": 8, "mean": [0.5, 0.25], "std": [0.2, 0.0], "encoding": None,
    }  # fmt: skip
    cfg = OmegaConf.create({"model": {"_target_": "mynet.Net"}, "data": {"task": "classification", **keys}})
    run: Any = SimpleNamespace(
        cfg=cfg,
        data=SimpleNamespace(**data | facts),
        run=tmp_path,
        checkpoint=tmp_path / "best.ckpt",
        net=nn.Linear(3, 2),
        task=None,
    )
    return of_run(run)


def test_the_deviation_is_what_a_channel_is_divided_by(tmp_path: Path) -> None:
    found = told(tmp_path, {"image_size": 8, "resize": None})
    assert found["std"] == [0.2, 1.0]
    assert (found["model"], found["parameters"]) == ("Net", 8)
    assert found["checkpoint_sha256"].startswith("9a129038d9a0"), "sha256sum says so"


def test_how_an_image_becomes_the_input_is_said_where_it_is_known(tmp_path: Path) -> None:
    assert told(tmp_path, {"image_size": [6, 8], "resize": 10}, image_size=[6, 8])["resize"]["covers"] == [10, 10]
    assert told(tmp_path, {"image_size": [6, 8], "resize": None}, image_size=[6, 8])["resize"]["covers"] == [6, 8]
    assert told(tmp_path, {"image_size": 8})["resize"]["size"] == [8, 8]
    own = told(tmp_path, {"image_size": 8}, mean=None, std=None)
    assert "resize" not in own, "a data module of the user's own does not say"
    assert own["std"] is None
