"""Couloir: deep learning experiments as one sentence.

import couloir
sentence = couloir.compose(["model=resnet18", "data=cifar10"])
result = couloir.train(sentence)
result.dir, result.metrics["test/accuracy"], result.status
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from couloir.version import __version__

if TYPE_CHECKING:
    from couloir.api import compose, load, train
    from couloir.errors import CouloirError
    from couloir.record.result import RunResult

__all__ = ["CouloirError", "RunResult", "__version__", "compose", "load", "train"]


def __getattr__(name: str) -> Any:
    # Lazy, so that `import couloir` stays free of Hydra and torch: the command line imports this package first.
    if name in ("compose", "load", "train", "RunResult"):
        from couloir import api

        return getattr(api, name)
    if name == "CouloirError":
        from couloir import errors

        return errors.CouloirError
    raise AttributeError(f"module 'couloir' has no attribute '{name}'")
