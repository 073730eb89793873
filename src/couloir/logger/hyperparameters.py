"""What of a configuration somebody would compare between runs: the HParams tab's columns."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

GROUPS = (
    "model", "data", "augmentation", "initializer", "loss", "optimizer", "scheduler", "momentum_schedule", "averaging",
    "finetune", "tta",
)  # fmt: skip
ROOT = ("seed", "scale", "overfit")
TRAINER = (
    "max_epochs", "accumulate_grad_batches", "gradient_clip_val", "limit_train_batches", "precision", "devices",
)  # fmt: skip
OF_THE_DATA = ("model.channels", "model.image_size", "model.num_classes")
"""Keys that follow from others, which are shown."""
OF_THE_MACHINE = ("root", "path", "cache", "cache_dir", "cache_size", "workers", "memory_budget", "tries", "classes")
"""Keys that change nothing of what is learned, or are places in a file system."""

Plain = bool | int | float | str


def comparable(cfg: Mapping[str, Any]) -> dict[str, Plain]:
    """The choices and keys of a configuration that matter to what is learned, under dotted names.

    A group is called by what its choice instantiates to, `none` where it has none; keys without a value are left out.

    Args:
        cfg: a resolved configuration, as plain values.
    """
    found: dict[str, Plain] = {key: cfg[key] for key in ROOT if cfg.get(key) is not None}
    trainer = cfg.get("trainer") or {}
    found |= {f"trainer.{key}": trainer[key] for key in TRAINER if isinstance(trainer.get(key), Plain)}
    for group in GROUPS:
        node = cfg.get(group)
        if not isinstance(node, Mapping):
            found[group] = "none"
            continue
        found[group] = _called(node)
        found |= {key: value for key, value in _flat(node, group) if key not in OF_THE_DATA}
    patience = ((cfg.get("callbacks") or {}).get("early_stopping") or {}).get("patience")
    return found if patience is None else {**found, "callbacks.early_stopping.patience": patience}


def _called(node: Mapping[str, Any]) -> str:
    return str(node.get("_target_", "none")).rpartition(".")[2]


def _flat(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, Plain]]:
    for key, value in node.items():
        if key.startswith("_") or key in OF_THE_MACHINE:
            continue
        name = f"{path}.{key}"
        if isinstance(value, Mapping):
            if "_target_" in value:
                yield name, _called(value)
            yield from _flat(value, name)
        elif isinstance(value, list):
            parts = [_called(part) if isinstance(part, Mapping) else f"{part}" for part in value]
            yield name, f"[{', '.join(parts)}]"
        elif isinstance(value, str) and os.sep in value:
            continue
        elif isinstance(value, Plain):
            yield name, value
