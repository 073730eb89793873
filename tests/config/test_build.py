"""What a node says of itself, and what its constructor is handed of that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from couloir.config.build import build
from couloir.errors import CouloirError

FACTS = {"fields": {"image": "image"}, "task": "classification", "channels": 1, "image_size": 8, "num_classes": 3}


class Plain:
    """As a LightningDataModule that knows nothing of Couloir."""

    def __init__(self, root: str, batch_size: int = 4) -> None:
        self.got: dict[str, Any] = {"root": root, "batch_size": batch_size}


class Sized(Plain):
    """One that asks for some of the facts itself."""

    def __init__(self, root: str, image_size: int, num_classes: int = 0) -> None:
        self.got = {"root": root, "image_size": image_size, "num_classes": num_classes}


class Open(Plain):
    """One that takes whatever is there."""

    def __init__(self, **keys: Any) -> None:
        self.got = keys


def data(target: type[Plain], **keys: Any) -> dict[str, Any]:
    cfg = OmegaConf.create({"data": {"_target_": f"{__name__}.{target.__name__}", **FACTS, **keys}})
    got: dict[str, Any] = build(cfg, "data").got
    assert set(FACTS) <= set(cfg.data), "the configuration stays as it is"
    return got


def test_a_constructor_is_not_handed_what_only_the_yaml_says() -> None:
    assert data(Plain, root="here", batch_size=2, classes=["a", "b", "c"]) == {"root": "here", "batch_size": 2}
    assert data(Plain, root="here", seed=3) == {"root": "here", "batch_size": 4}


def test_a_constructor_that_knows_a_fact_gets_it() -> None:
    assert data(Sized, root="here") == {"root": "here", "image_size": 8, "num_classes": 3}
    assert data(Open, root="here") == {**FACTS, "root": "here"}


def test_a_key_that_is_no_fact_is_still_a_mistake() -> None:
    with pytest.raises(CouloirError, match="does not take the keys of 'data'"):
        data(Plain, root="here", rooot="there")


def test_what_a_task_says_for_the_sentence_is_not_handed_to_it() -> None:
    node = {"_target_": f"{__name__}.Open", "_partial_": True, "needs": ["map"], "loss": "mse", "metrics": ["loss"]}
    built = build(OmegaConf.create({"task": {**node, "monitor": "val/loss", "width": 3}}), "task")
    assert built().got == {"needs": ["map"], "width": 3}


def test_keys_that_a_target_does_not_take_are_named_with_the_words_that_take_them_away() -> None:
    keys = {"lr": 0.1, "decay_all": False, "foreach": True, "power": 3}
    cfg = OmegaConf.create({"optimizer": {"_target_": "torch.optim.Adamax", "_partial_": True, **keys}})
    with pytest.raises(CouloirError, match=r"take them away: ~optimizer.decay_all ~optimizer.power;"):
        build(cfg, "optimizer")


def test_a_module_that_is_missing_is_named_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_logger.py").write_text("import nonesuch.inside\n")
    loggers = {"mlflow": "my_logger.Logger", "wandb": "pytorch_lightning.loggers.WandbLogger"}
    cfg = OmegaConf.create({name: {"_target_": target} for name, target in loggers.items()})
    with pytest.raises(CouloirError, match=r"my_logger\.Logger imports the module nonesuch, which is not installed"):
        build(cfg, "mlflow")
    with pytest.raises(CouloirError, match=r"(?s)logger=wandb needs the package wandb.*couloir\[wandb\]"):
        build(cfg, "wandb")
