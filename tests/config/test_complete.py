"""Configurations of older versions get the keys that came later, and no others."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from couloir.config.compose import compose_sentence
from couloir.config.finished import completed
from couloir.config.settle import settle_modes


def resolved(words: list[str]) -> DictConfig:
    cfg = OmegaConf.create(OmegaConf.to_container(compose_sentence(words).cfg, resolve=True))
    assert isinstance(cfg, DictConfig)
    settle_modes(cfg)
    return cfg


def test_a_configuration_of_today_is_left_as_it_is() -> None:
    for words in ([], ["model=resnet18", "data=cifar10", "optimizer=nesterov"], ["experiment=toy_mlp"]):
        cfg = resolved(words)
        for name in ("scale_lr", "base_batch_size"):
            del cfg.optimizer[name]  # settled, as in a run's configuration
        after, added = completed(cfg)
        assert added == {}
        assert after == cfg


def test_later_keys_are_added_and_deleted_callbacks_stay_away() -> None:
    cfg = resolved(["model=vgg11", "data=synthetic"])
    del (
        cfg["tta"],
        cfg["metric"],
        cfg.trainer["fused"],
        cfg.callbacks["progress"],
        cfg.data["std"],
        cfg.model["dropout"],
    )
    cfg.trainer.max_epochs = 3
    after, added = completed(cfg)
    assert added == {"metric": {}, "tta": None, "trainer.fused": True, "data.std": None, "model.dropout": 0.5}
    assert "progress" not in after.callbacks
    assert after.trainer.max_epochs == 3
