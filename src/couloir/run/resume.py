"""`couloir resume`: which run, from which of its checkpoints, with what changed. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from couloir.config.amend import amend
from couloir.config.compose import Sentence
from couloir.errors import CouloirError
from couloir.run.find import find_run, run_config
from couloir.run.folder import RunFolder
from couloir.run.lock import is_alive
from couloir.trainer.seal import is_sealed

if TYPE_CHECKING:
    from couloir.run.result import RunResult


@dataclass(frozen=True)
class Unfinished:
    """A run that can go on.

    Attributes:
        path: its folder.
        cfg: its configuration, with what is changed.
        overrides: what is changed.
        rate: the factor by which the learning rate changes.
    """

    path: Path
    cfg: DictConfig
    overrides: list[str]
    rate: float


def unfinished(run: Path, overrides: list[str]) -> Unfinished | None:
    """A run with changes to its configuration; None where it is finished and the changes ask for no more epochs.

    Raises:
        CouloirError: a change that makes no sense for a run that goes on.
    """
    before = run_config(run)
    cfg = amend(before, overrides)
    status = RunFolder(run).status()
    epochs, trained = int(cfg.trainer.max_epochs), int(status.get("epoch") or 0)
    if overrides and epochs < trained:
        raise CouloirError(
            f"The run {run.name} has trained {trained} epochs already; trainer.max_epochs={epochs} is fewer.",
            next_step=f"trainer.max_epochs={trained + 1} or more",
        )
    if status.get("status") == "completed" and not (overrides and epochs > trained):
        return None
    return Unfinished(run, cfg, overrides, _rate(before, cfg))


def _rate(before: DictConfig, cfg: DictConfig) -> float:
    return 1.0 if before.optimizer.lr == cfg.optimizer.lr else float(cfg.optimizer.lr) / float(before.optimizer.lr)


def go_on(run: Unfinished, command: list[str]) -> RunResult:
    """Train what remains of a run, in its folder.

    Raises:
        CouloirError: the run is still alive, or none of its checkpoints is whole.
    """
    folder = RunFolder.reopen(run.path)
    try:
        checkpoint, damaged = newest_checkpoint(folder)
        sentence = Sentence(run.cfg, {}, [], [*_typed(run.path), *run.overrides], run.path)

        from couloir.run.earlier import Earlier
        from couloir.run.train import train_sentence
    except BaseException:
        folder.release()
        raise
    return train_sentence(sentence, folder, command, Earlier(checkpoint, run.overrides, run.rate, damaged))


def newest_checkpoint(folder: RunFolder) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that is whole, None where there has not been any, and the names of those that are not.

    Raises:
        CouloirError: there are some, and all of them are damaged.
    """
    damaged: list[str] = []
    for name in ("last.ckpt", "previous.ckpt"):
        file = folder.checkpoints / name
        if not file.exists():
            continue
        if is_sealed(file):
            return file, damaged
        damaged.append(name)
    if damaged:
        raise CouloirError(
            f"The run {folder.path.name} has no checkpoint that is whole: {' and '.join(damaged)} are damaged.",
            place=str(folder.checkpoints),
            next_step="`couloir rerun RUN` trains the same again in a new folder",
        )
    return None, []


def same_sentence(overrides: list[str], outputs: Path) -> Path | None:
    """The newest run of the very same words that did not finish, and that no process is at work on.

    Args:
        overrides: what was typed.
        outputs: the folder that collects the runs.
    """
    for config in sorted(outputs.glob("train/*/config.yaml"), key=lambda file: file.parent.name, reverse=True):
        run = config.parent
        if _typed(run) != overrides:
            continue
        if RunFolder(run).status().get("status") in ("running", "interrupted") and not is_alive(run):
            return run
    return None


def _typed(run: Path) -> list[str]:
    """What the user typed for a run."""
    try:
        typed = OmegaConf.load(run / "overrides.yaml")
    except FileNotFoundError:
        return []
    return [str(override) for override in typed]


def named_run(word: str, overrides: list[str]) -> Path:
    """The folder of the run that a word names, `output_dir` among the overrides saying where to look.

    Raises:
        CouloirError: there is no such run.
    """
    outputs = next((item.partition("=")[2] for item in overrides if item.startswith("output_dir=")), "outputs")
    return find_run(word, outputs)
