"""The Python interface, for notebooks and tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from couloir.config.check import checked
from couloir.config.compose import Sentence
from couloir.config.resolvers import run_name
from couloir.record.result import RunResult

if TYPE_CHECKING:
    from omegaconf import DictConfig


def compose(words: Sequence[str] = ()) -> Sentence:
    """Compose and check a sentence.

    Args:
        words: what would follow `train` at the prompt, such as `["model=resnet50", "optimizer.lr=0.01"]`.

    Returns:
        the sentence, with its configuration as `.cfg`.

    Raises:
        CouloirError: a mistake in the sentence.
    """
    return checked(list(words))


def train(sentence: Sentence | DictConfig) -> RunResult:
    """Train a sentence, and leave the run folder that the same words would leave at the prompt.

    Where `trainer` asks for several processes, this one starts the others.

    Args:
        sentence: of `compose`; or a configuration, such as an edited `.cfg`, whose run then has no words.

    Raises:
        CouloirError: data, network and loss do not go together, or the output folder cannot be written.
        Diverged: the loss became NaN or infinite.
    """
    from couloir.config.world import launched
    from couloir.record.folder import RunFolder
    from couloir.run.train import train_along, train_sentence

    given = launched()
    if given is not None and not given.leads:
        return train_along()  # torchrun: the first process leads, by its own sentence
    command = ["couloir.train(cfg)"]
    if isinstance(sentence, Sentence):
        command = ["train", *sentence.overrides]
    else:
        sentence = Sentence(sentence, {}, [], [], Path())
    outputs = Path(sentence.cfg.output_dir)
    named = any(word.startswith("hydra.run.dir=") for word in sentence.overrides)
    path = sentence.run_dir if named else outputs / "train" / run_name()  # a sentence may be trained several times
    return train_sentence(sentence, RunFolder.create(path, outputs), command)
