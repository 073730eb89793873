"""Trying training out: a few steps on a copy of the sentence's network, which nothing later starts from."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer, seed_everything
from pytorch_lightning.utilities.seed import isolate_rng

from couloir.callbacks.stop_on_signal import StopOnSignal
from couloir.config.build import build
from couloir.config.compose import Sentence
from couloir.config.launch import RUN_DIR
from couloir.errors import Interrupted, as_typed
from couloir.log import note, run_log
from couloir.record.configuration import write_configuration
from couloir.record.folder import RunFolder
from couloir.record.provenance import write_provenance
from couloir.run.assemble import build_network, load_data
from couloir.task.build import build_task
from couloir.task.task import Task


@contextmanager
def probing(folder: RunFolder, sentence: Sentence, command: list[str]) -> Iterator[StopOnSignal]:
    """The record of a probe; whatever happens inside, `status.json` tells the truth afterwards.

    Yields:
        What listens for Ctrl-C and SIGTERM, a callback of the probe's trainers.

    Raises:
        Interrupted: a signal came.
    """
    stop = StopOnSignal()
    with run_log(folder.path / "train.log"), stop.listening():
        note.info("command: %s", as_typed(command))
        write_configuration(folder, sentence.cfg, sentence.overrides)
        try:
            write_provenance(folder, command, int(sentence.cfg.seed), {})
            yield stop
        except BaseException as error:
            interrupted = stop.received is not None or isinstance(error, KeyboardInterrupt)
            folder.write_status("interrupted" if interrupted else "failed", error=f"{type(error).__name__}: {error}")
            note.info("%s", f"{type(error).__name__}: {error}", exc_info=error)
            if stop.received is not None and not isinstance(error, Interrupted):
                raise Interrupted(stop.received) from error
            raise
        folder.write_status("completed")


@dataclass(frozen=True)
class Probe:
    """A sentence's parts, with the weights and in the order that `train` begins with.

    Attributes:
        cfg: the sentence.
        module: the network, its loss and its optimizer; no scheduler.
        data: the data, set up.
    """

    cfg: DictConfig
    module: Task
    data: Any

    @classmethod
    def of(cls, cfg: DictConfig, all_learns: bool = False) -> Probe:
        """Build the parts.

        Args:
            cfg: a sentence's configuration.
            all_learns: where `finetune` lets more and more of the network learn, all steps are those of the last
                epochs, which need the most memory; otherwise those of the first.

        Raises:
            CouloirError: they do not go together.
        """
        seed_everything(cfg.seed, workers=True, verbose=False)
        data = load_data(cfg)
        seed_everything(cfg.seed, workers=True, verbose=False)
        net = build_network(cfg, data)
        module = build_task(cfg, net, data, scheduled=False)
        if module.learning is not None:
            module.learning.stays_at = module.learning.first_epochs[-1] if all_learns else 0
        return cls(cfg, module, data)

    def steps(self, callbacks: list[Callback], count: int, batches: LightningDataModule | None = None) -> None:
        """Take steps on a copy: weights, optimizers and random numbers are afterwards what they were before.

        Args:
            callbacks: what watches them, and may end them.
            count: how many steps of the optimizer.
            batches: where the training batches come from; None: from the data, epoch after epoch.
        """
        devices = self.cfg.trainer.get("devices", 1)
        one = devices if OmegaConf.is_list(devices) else 1
        with isolate_rng():
            trainer: Trainer = build(
                self.cfg, "trainer", callbacks=[*callbacks, _After(count)], logger=False, devices=one, max_epochs=-1,
                limit_val_batches=0, max_steps=None, max_time=None, val_check_interval=None, profiler=None,
            )  # fmt: skip
            self.data.to(trainer.strategy.root_device)
            try:
                trainer.fit(copy.deepcopy(self.module), datamodule=self.data if batches is None else batches)
            finally:
                self.data.to(torch.device("cpu"))


class _After(Callback):
    """Ends a training after so many steps; a batch that takes several optimizers a step counts once."""

    def __init__(self, count: int) -> None:
        self.count = count

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count."""
        if steps_taken(trainer) >= self.count:
            trainer.should_stop = True


def steps_taken(trainer: Trainer) -> int:
    """The steps that all optimizers together have taken so far."""
    return trainer.global_step // max(1, len(trainer.optimizers))


def training_sentence(overrides: list[str], without: str, *more: str) -> str:
    """The `train` sentence with the same words, one key's and the folder's left out, and more behind them."""
    left_out = (f"{without}=", f"{without}@", f"{RUN_DIR}=")
    kept = [word for word in overrides if not word.lstrip("+~").startswith(left_out)]
    return as_typed(["train", *kept, *more])
