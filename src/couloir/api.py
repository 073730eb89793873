"""The Python interface, for notebooks and tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from couloir.config.check import checked
from couloir.config.compose import Sentence
from couloir.config.resolvers import run_name
from couloir.errors import CouloirError
from couloir.record.result import RunResult

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from couloir.inference.loaded import LoadedRun


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


def load(run: str | Path | Sequence[str | Path], words: Sequence[str] = ()) -> LoadedRun:
    """A finished run that answers: `load("latest")("photo.jpg").label`. Its data need not be there.

    Args:
        run: its folder, its name, `latest`, or one of its checkpoints; several are an ensemble.
        words: as behind `couloir predict`, such as `["tta=mirror"]`.

    Returns:
        what is called with one sample or several (see `couloir.inference.loaded.LoadedRun`); `.net` is the network in
        evaluation mode, `.classes` its classes.

    Raises:
        CouloirError: there is no such run, it has no checkpoint, or several do not know the same classes.
    """
    from couloir.config.finished import amend, refuse_mean, run_config
    from couloir.config.targets import roots_of
    from couloir.inference.inputs import OPENED
    from couloir.inference.loaded import LoadedRun
    from couloir.inference.trained import Trained
    from couloir.record.find import find_trained, outputs_of

    words = [words] if isinstance(words, str) else words
    named = [run] if isinstance(run, str | Path) else list(run)
    if not named:
        raise CouloirError("No run is named.", next_step='couloir.load("latest")')
    found = [find_trained(str(each), outputs_of(words)) for each in named]
    trusted = roots_of(list(words))
    folders = [each if each.is_dir() else each.parents[1] for each in found]
    cfgs = [amend(run_config(folder, trusted), list(words), OPENED) for folder in folders]
    refuse_mean(cfgs)
    return LoadedRun([Trained(cfg, each) for cfg, each in zip(cfgs, found, strict=True)])
