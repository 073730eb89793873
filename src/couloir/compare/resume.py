"""`couloir resume`: which run, from which of its checkpoints, with what changed. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from couloir.config.compose import Sentence, prepare_hydra
from couloir.config.finished import Opened, amend, completed, run_config
from couloir.config.targets import roots_of
from couloir.errors import CouloirError
from couloir.record.checkpoint import LAST, PREVIOUS, is_sealed
from couloir.record.configuration import FILE, read_overrides
from couloir.record.folder import RunFolder
from couloir.record.lock import is_alive

if TYPE_CHECKING:
    from pytorch_lightning import Callback

    from couloir.record.result import RunResult


OPENED = Opened(
    keys=(
        "trainer.max_epochs", "trainer.max_steps", "trainer.max_time", "trainer.accelerator", "trainer.threads",
        "trainer.log_every_n_steps", "trainer.short_steps", "trainer.profiler", "trainer.gradient_clip_val",
        "trainer.limit_val_batches", "trainer.limit_test_batches", "trainer.check_val_every_n_epoch",
        "trainer.val_check_interval", "callbacks.", "optimizer.lr", "on_nan", "on_new_length", "test", "auto_resume",
        "allow_targets", "data.root", "data.path", "data.workers", "data.cache", "data.cache_size", "data.cache_dir",
        "data.memory_budget", "data.train", "data.val", "data.test", "data.tries",
    ),
    closed=tuple(f"callbacks.checkpoint.{key}" for key in ("monitor", "mode", "keep", "k", "every_n_epochs")),
    why="cannot change after a run has started",
    takes="a run can continue with another trainer.max_epochs, optimizer.lr, callbacks..., data.root and similar keys",
)  # fmt: skip
"""What may change on the way."""


@dataclass(frozen=True)
class Unfinished:
    """A run that can go on.

    Attributes:
        path: its folder.
        cfg: its configuration, with what is changed.
        overrides: what is changed.
    """

    path: Path
    cfg: DictConfig
    overrides: list[str]


def unfinished(run: Path, overrides: list[str]) -> Unfinished | None:
    """A run with changes to its configuration; None where it is finished and the changes ask for no more epochs.

    Raises:
        CouloirError: a change that makes no sense for a run that goes on.
    """
    prepare_hydra()
    before, _ = completed(run_config(run, roots_of(overrides)))
    cfg = amend(before, overrides, OPENED)
    status = RunFolder(run).status()
    limits = {
        "epochs": (cfg.trainer.max_epochs, float(status.get("epoch") or 0)),
        "steps": (cfg.trainer.get("max_steps"), int(status.get("step") or 0)),
    }
    for name, (limit, trained) in limits.items():
        if overrides and limit is not None and limit < trained:
            raise CouloirError(
                f"The run {run.name} has trained {trained:g} {name} already; trainer.max_{name}={limit} is fewer.",
                next_step=f"trainer.max_{name}={int(trained) + 1} or more",
            )
    more = overrides and all(limit is None or limit > trained for limit, trained in limits.values())
    if status.get("status") == "completed" and not more:
        return None
    _follow_length(before, cfg)
    return Unfinished(run, cfg, overrides)


def _follow_length(before: DictConfig, cfg: DictConfig) -> None:
    """Let what spans the whole run span its new length; or, with `on_new_length=keep`, stay with the old one."""
    old, new = before.trainer.max_epochs, cfg.trainer.max_epochs
    if cfg.get("on_new_length", "stretch") == "stretch":
        if OmegaConf.select(cfg, "scheduler.epochs") == old:
            cfg.scheduler.epochs = new
    elif old != new and isinstance(OmegaConf.select(cfg, "averaging.start"), float):
        cfg.averaging.start = int(cfg.averaging.start * old) or 0.0


def go_on(run: Unfinished, command: list[str], also: Sequence[Callback] = ()) -> RunResult:
    """Train what remains of a run, in its folder.

    Args:
        run: which.
        command: the words of the command line.
        also: callbacks that belong to what this run is a part of, such as a sweep.

    Raises:
        CouloirError: the run is still alive, or none of its checkpoints is whole.
    """
    folder = RunFolder.reopen(run.path, Path(run.cfg.output_dir))
    try:
        checkpoint, damaged = newest_checkpoint(folder)
        sentence = Sentence(run.cfg, {}, [], [*(read_overrides(run.path) or []), *run.overrides], run.path)

        from couloir.run.earlier import Earlier
        from couloir.run.train import train_sentence
    except BaseException:
        folder.release()
        raise
    return train_sentence(sentence, folder, command, Earlier(checkpoint, run.overrides, damaged), also=also)


def newest_checkpoint(folder: RunFolder) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that is whole, None where there has not been any, and the names of those that are not.

    Raises:
        CouloirError: there are some, and all of them are damaged.
    """
    damaged: list[str] = []
    for name in (LAST, PREVIOUS):
        file = folder.checkpoints / name
        if not file.exists():
            continue
        if is_sealed(file):
            return file, damaged
        damaged.append(name)
    if damaged:
        raise CouloirError(
            f"The run {folder.path.name} has no intact checkpoint: {' and '.join(damaged)} are damaged.",
            place=str(folder.checkpoints),
            next_step="`couloir rerun RUN` trains it again in a new folder",
        )
    return None, []


def same_sentence(overrides: list[str], outputs: Path) -> Path | None:
    """The newest run of the very same words that did not finish, and that no process is at work on.

    Args:
        overrides: what was typed.
        outputs: the folder that collects the runs.
    """
    for config in sorted(outputs.glob(f"train/*/{FILE}"), key=lambda file: file.parent.name, reverse=True):
        run = config.parent
        if read_overrides(run, strict=False) != overrides:
            continue
        if RunFolder(run).status().get("status") in ("running", "interrupted", "failed") and not is_alive(run):
            return run
    return None
