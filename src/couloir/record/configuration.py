"""`config.yaml` and `overrides.yaml`: what a run was told; a configuration as dotted keys, and the keys in which two
differ. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from couloir.record.files import read_yaml
from couloir.record.folder import RunFolder

FILE = "config.yaml"
OVERRIDES = "overrides.yaml"


class Missing:
    """Stands for the value of a key that one of two configurations does not have."""

    def __repr__(self) -> str:
        return "(none)"


MISSING = Missing()


def write_configuration(folder: RunFolder, cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Write the configuration, resolved, and the words that the user typed."""
    folder.write_text(FILE, OmegaConf.to_yaml(cfg, resolve=True))
    folder.write_text(OVERRIDES, OmegaConf.to_yaml(OmegaConf.create(list(overrides))))


def read_configuration(run: Path, strict: bool = True) -> dict[str, Any] | None:
    """`config.yaml` in plain values; None where there is none.

    Raises:
        CouloirError: it is torn; only where strict.
    """
    content = read_yaml(run / FILE, strict)
    return content if isinstance(content, dict) else None


def read_overrides(run: Path, strict: bool = True) -> list[str] | None:
    """The words that the user typed; None where they are not known.

    Raises:
        CouloirError: `overrides.yaml` is torn; only where strict.
    """
    words = read_yaml(run / OVERRIDES, strict)
    return [str(word) for word in words] if isinstance(words, list) else None


def flat(cfg: DictConfig) -> dict[str, Any]:
    """Every key by its dotted path, with its value as it is written; a list is one value, and so is an empty node."""
    return dotted(OmegaConf.to_container(cfg, resolve=False))


def dotted(node: Any, prefix: str = "") -> dict[str, Any]:
    """The same of plain values, below a prefix."""
    if not isinstance(node, dict) or (prefix and not node):
        return {prefix: node}
    found: dict[str, Any] = {}
    for name, child in node.items():
        found |= dotted(child, f"{prefix}.{name}" if prefix else str(name))
    return found


def differing(one: DictConfig, other: DictConfig) -> dict[str, tuple[Any, Any]]:
    """The keys whose values differ, with both values; `MISSING` stands for a key that is not there."""
    first, second = flat(one), flat(other)
    both = {key: (first.get(key, MISSING), second.get(key, MISSING)) for key in [*first, *second]}
    return {key: pair for key, pair in both.items() if not _same(*pair)}


def _same(one: Any, other: Any) -> bool:
    return repr(one) == repr(other)  # 1 is not 1.0, true is not 1, and .nan is .nan
