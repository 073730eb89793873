"""The Python interface, for notebooks and tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from couloir.config.check import check
from couloir.config.compose import compose_sentence
from couloir.config.resolvers import run_name
from couloir.record.result import RunResult

if TYPE_CHECKING:
    from omegaconf import DictConfig


def compose(overrides: list[str] | None = None) -> DictConfig:
    """Compose and check a sentence.

    Args:
        overrides: what would follow `train` at the prompt, such as `["model=resnet50", "optimizer.lr=0.01"]`.

    Raises:
        CouloirError: a mistake in the sentence.
    """
    sentence = compose_sentence(overrides or [])
    check(sentence)
    return sentence.cfg


def train(cfg: DictConfig) -> RunResult:
    """Train a composed configuration, and leave its run folder below `cfg.output_dir`.

    Where `cfg.trainer` asks for several processes, this one starts the others.

    Raises:
        CouloirError: data, network and loss do not go together, or the output folder cannot be written.
        Diverged: the loss became NaN or infinite.
    """
    from couloir.config.compose import Sentence
    from couloir.config.world import launched
    from couloir.record.folder import RunFolder
    from couloir.run.train import train_along, train_sentence

    given = launched()
    if given is not None and not given.leads:
        return train_along()  # torchrun: the first process leads, by its own cfg
    folder = RunFolder.create(Path(cfg.output_dir) / "train" / run_name(), Path(cfg.output_dir))
    return train_sentence(Sentence(cfg, {}, [], [], folder.path), folder, command=["couloir.train(cfg)"])
