"""A loss, gradient or weight that is no number any more: the run ends and says where it began, or goes on without."""

from __future__ import annotations

import math
from typing import Any

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.strategies import FSDPStrategy
from torch import Tensor
from torch.optim import Optimizer

from couloir.callbacks.checkpoint import last_checkpoint
from couloir.callbacks.gradient_norms import Named, broken_layer, gradient_norms, largest, named_parameters
from couloir.callbacks.remedies import overrides_to_try
from couloir.distributed import highest, mean
from couloir.errors import CouloirError, Diverged, display
from couloir.log import say
from couloir.ragged import Padded, Ragged
from couloir.record.folder import RunFolder
from couloir.task.task import Task
from couloir.torch_private import copy_all

EVERY = 50
"""Steps between two looks at the loss on a GPU, which has to be waited for."""
EARLY = (1, 2, 4, 8, 16, 32)
"""Further looks in the first epoch, where most runs that diverge do."""
RESUMABLE = ("optimizer.lr=", "trainer.gradient_clip_val=")
"""Remedies that a run can go on with."""
IN_A_ROW = 100
"""Steps in a row that may be left out before the run counts as diverged."""


def divergence(cfg: DictConfig, folder: RunFolder) -> Divergence:
    """What `on_nan` asks for.

    Args:
        cfg: the run's configuration.
        folder: the run's folder.
    """
    return (LeaveOut if cfg.get("on_nan") == "skip" else Divergence)(cfg, folder)


class Divergence(Callback):
    """Ends a run whose loss became NaN or infinite, before the step that it belongs to changes anything.

    On a CPU each loss is looked at. On a GPU they are kept there and looked at together, every `EVERY` steps, with an
    epoch's last, and before anything is saved: a checkpoint never holds what came of a loss that nobody had seen.

    Args:
        cfg: the run's configuration.
        folder: the run's folder.
    """

    def __init__(self, cfg: DictConfig, folder: RunFolder) -> None:
        self.cfg, self.folder = cfg, folder
        self._parameters: Named = []
        self._losses: list[tuple[int, Tensor]] = []
        self._norms: dict[str, float] = {}
        self._norms_step = 0
        self._sound_step = -1
        self._saved: tuple[int, int] | None = None
        self._warned = False

    @property
    def state_key(self) -> str:
        """One for both ways, so that a resumed run may choose the other."""
        return "Divergence"

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Have each loss shown before the gradients of the step before are cleared."""
        assert isinstance(pl_module, Task)
        self._trainer, self._module = trainer, pl_module
        self._parameters = named_parameters(pl_module.net)
        pl_module.watch = self._each_loss if self._reads_at_once(trainer) else self._now_and_then
        pl_module.after_epoch = self._after_epoch

    def _reads_at_once(self, trainer: Trainer) -> bool:
        return trainer.strategy.root_device.type == "cpu"

    def _each_loss(self, batch: Any, loss: Tensor) -> None:
        value = mean(float(loss))
        if not math.isfinite(value):
            self._end(value, self._trainer.global_step + 1, batch)

    def _now_and_then(self, batch: Any, loss: Tensor) -> None:
        trainer = self._trainer
        batch_idx = trainer.fit_loop.epoch_loop.batch_idx
        self._losses.append((trainer.global_step + 1, loss.detach()))
        early = trainer.current_epoch == 0 and batch_idx in EARLY
        if early or batch_idx % EVERY == 0 or trainer.is_last_batch:
            self.look(trainer, batch)
            self._norms, self._norms_step = self._gradients(), trainer.global_step

    def look(self, trainer: Trainer, batch: Any = None) -> None:
        """Read the losses that nobody has looked at yet; all processes call this after the same step.

        Args:
            trainer: the trainer.
            batch: the batch of the newest of them, where its step has not been taken yet.

        Raises:
            Diverged: one of them is NaN or infinite.
        """
        if not self._losses:
            return
        steps, losses = zip(*self._losses, strict=True)
        self._losses = []
        values = torch.stack(losses).tolist()
        sound = next((number for number, value in enumerate(values) if not math.isfinite(value)), len(values))
        bad = len(values) - highest(len(values) - sound)  # the first of all processes' ones
        if bad < len(values):
            newest = batch is not None and bad == len(values) - 1
            self._end(mean(values[bad]), steps[bad], batch if newest else None, newest)

    def look_at_weights(self, trainer: Trainer) -> None:
        """See whether the newest step left all weights and running statistics finite; all processes call this together.

        Raises:
            Diverged: some are NaN or infinite, although the loss was not: the update itself went too far.
        """
        step = trainer.global_step
        if step == self._sound_step:
            return
        layer = broken_layer(self._module.net)
        if layer is not None:
            what = f"The weights or running statistics of {layer} are no longer finite after step {step}"
            self._raise(f"{what} ({self._place(trainer)}), though its loss was", self._gradients(), step)
        self._sound_step = step

    def _after_epoch(self) -> None:
        """Before the weights are measured or averaged, and the gradients cleared."""
        self.look_at_weights(self._trainer)
        self._norms, self._norms_step = self._gradients(), self._trainer.global_step

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say it once where the validation loss is no number though all weights are."""
        value = self._module.measured.get("val/loss", 0.0) if trainer.state.fn == "fit" else 0.0
        if not math.isfinite(value) and not self._warned:
            self._warned = True
            say.warning(
                "val/loss is %s after epoch %d, though all weights and the training loss are finite; such an epoch "
                "never counts as the best",
                value,
                trainer.current_epoch + 1,
            )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The weights of an epoch without validation."""
        self.look_at_weights(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep what is not finite from being written: this comes before the file is opened."""
        self.look(trainer)
        self.look_at_weights(trainer)
        self._saved = (checkpoint["epoch"], checkpoint["global_step"])

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """A run that goes on has a checkpoint to fall back on."""
        self._saved = (checkpoint["epoch"], checkpoint["global_step"])

    def _gradients(self) -> dict[str, float]:
        return gradient_norms(self._parameters, isinstance(self._trainer.strategy, FSDPStrategy))

    def _place(self, trainer: Trainer) -> str:
        rates = dict.fromkeys(float(each.param_groups[0]["lr"]) for each in trainer.optimizers)
        return f"epoch {trainer.current_epoch + 1}, lr {' and '.join(f'{rate:g}' for rate in rates)}"

    def _end(self, loss: float, step: int, batch: Any, newest: bool = True) -> None:
        """End the run for a loss.

        Args:
            loss: its value.
            step: the number of its step, from one.
            batch: its batch; None: gone.
            newest: whether the gradients that are there, unless validation has cleared them, are those of the step
                before; else they are of steps with broken weights, and those of an earlier look say more.
        """
        what = f"The loss became {loss} at step {step} ({self._place(self._trainer)})"
        holds = None if batch is None else not_finite(batch)
        if highest(holds is not None):
            what += f": {holds or 'a batch of another process has values that are not finite'}"
            self._raise(what, {}, step, mends="correct the data, or skip such batches with on_nan=skip")
        # Where gradients are gathered, those that are there may be of earlier batches of the same step.
        same = self._trainer.fit_loop.epoch_loop.batch_idx % self._trainer.accumulate_grad_batches > 0
        norms = self._gradients() if newest else {}
        if norms:
            self._raise(what, norms, step - 1 + same)
        self._raise(what, self._norms, self._norms_step or step - 1)

    def _raise(self, what: str, norms: dict[str, float], step: int, mends: str | None = None) -> None:
        """Name the layer and the checkpoint, and say what to try.

        Args:
            what: what is wrong.
            norms: the layers' gradient norms.
            step: the step that they are of.
            mends: what to do, where it is not the configuration's fault.
        """
        trainer = self._trainer
        if norms:
            what += f"; the gradients of step {step} were {largest(norms, self._module.net)}"
        elif mends is None and step == 0:
            what += ", the first one: no gradient was computed yet"
        clips = trainer.lightning_module.automatic_optimization  # the trainer's key is refused otherwise
        words = overrides_to_try(self.cfg, norms, self._target_bound(), clips)
        if mends is None:
            mends = f"try {', or '.join(words)}" if words else "try another initializer or loss"
        kept = None
        if self._saved is not None:
            epoch, last = self._saved
            file = display(last_checkpoint(trainer))
            kept = f"the last finite checkpoint is {file}: step {last}, {epoch} epochs done"
            fit = [word for word in words if word.startswith(RESUMABLE) and "mend" not in mends]
            first = f" {fit[0]}" if fit else ""
            mends += f"; `couloir resume {display(self.folder.path)}{first}` goes on from it"
        raise Diverged(f"{what}.", place=kept, next_step=mends)

    def _target_bound(self) -> float:
        data: Any = self._trainer.datamodule  # type: ignore[attr-defined]
        bounds = data.target_bounds()
        return 0.0 if bounds is None else max(map(abs, bounds))


def not_finite(batch: Any) -> str | None:
    """What a batch holds that is NaN or infinite, in words; None where nothing is.

    Args:
        batch: fields by name.
    """
    for name, field in batch.items():
        values = field.values if isinstance(field, Ragged | Padded) else field
        count = int((~values.isfinite()).sum()) if isinstance(values, Tensor) and values.is_floating_point() else 0
        if count:
            return f"{count} of the {values.numel():,} numbers of the field '{name}' of this batch are NaN or infinite"
    return None


class LeaveOut(Divergence):
    """Leaves out the steps whose loss or gradients are not finite, and counts them.

    Weights, optimizer, means of weights, running statistics, what the task keeps and metrics are afterwards as if the
    batch had not been there; the count of steps goes on, and with it what follows the steps. Where gradients of several
    batches are gathered, the whole step is left out. Each loss and each gradient is looked at, which a GPU has to be
    waited for. With a gradient scaler, whose part it is to leave out steps of infinite gradients, only the losses are.
    """

    def __init__(self, cfg: DictConfig, folder: RunFolder) -> None:
        super().__init__(cfg, folder)
        self.skipped = 0
        """Steps left out so far."""
        self._in_a_row = 0
        self._epoch = -1
        self._in_epoch = 0
        self._steps_in_epoch = 0
        self._written = 0
        self._reason: str | None = None
        self._loss = torch.zeros(())
        self._added = 0
        self._kept: Any = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Know what a forward pass changes."""
        super().on_fit_start(trainer, pl_module)
        if not pl_module.automatic_optimization:
            raise CouloirError(
                f"on_nan=skip leaves out whole steps, and {type(pl_module).__name__} takes several within one.",
                next_step="remove on_nan=skip: the run then ends with a checkpoint when the loss is not finite",
            )
        self._module.watch = None
        self._scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        self._buffers = list(self._module.net.buffers())
        self._before = [buffer.clone() for buffer in self._buffers]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the epoch's steps, or go on where it is taken up."""
        if self._epoch != trainer.current_epoch:
            self._epoch, self._in_epoch, self._steps_in_epoch = trainer.current_epoch, 0, 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note what the forward pass will change."""
        self._added, self._kept = self._module.gathered["train"].added, self._module.kept
        if self._buffers:
            copy_all(self._before, self._buffers)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Note the loss; it is read together with the gradients."""
        self._loss = loss.detach()

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Undo what a batch whose loss or gradients are not finite has changed; its step will be left out."""
        gradients = [] if self._scaled else [p.grad for _, p in self._parameters if p.grad is not None]
        gradients = [gradient for gradient in gradients if gradient.numel()]
        # The largest absolute value, which cannot overflow where no gradient does.
        size = torch.nn.utils.get_total_norm(gradients, norm_type=math.inf) if gradients else self._loss
        if not highest(not bool(self._loss.isfinite() & size.isfinite())):
            return
        loss = mean(float(self._loss))
        self._reason = "the gradients were not finite" if math.isfinite(loss) else f"the loss was {loss}"
        self._norms, self._norms_step = self._gradients(), trainer.global_step + 1
        self._clear()  # so that further batches of the step are judged by gradients of their own
        if self._buffers:
            copy_all(self._buffers, self._before)
        measured = self._module.gathered["train"]
        if measured.added > self._added:
            measured.take_back()
        self._module.kept = self._kept
        self.look_at_weights(trainer)

    def _clear(self) -> None:
        for _, parameter in self._parameters:
            parameter.grad = None

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Leave the step out: an optimizer passes over parameters without a gradient."""
        self._steps_in_epoch += 1
        reason, self._reason = self._reason, None
        self._module.skipped_step = reason is not None
        if reason is None:
            self._in_a_row = 0
            return
        self.skipped += 1
        self._in_a_row += 1
        self._in_epoch += 1
        step = trainer.global_step + 1
        if self.skipped == 1:
            place = self._place(trainer)
            say.warning("step %d (%s) is skipped: %s; on_nan=skip counts the others", step, place, reason)
        whole = trainer.is_last_batch and self._in_epoch == self._steps_in_epoch
        if whole or self._in_a_row == IN_A_ROW:
            how = f"all {self._in_epoch} steps of the epoch" if whole else f"{IN_A_ROW} steps in a row"
            what = f"At step {step} ({self._place(trainer)}) {how} were skipped; the last one because {reason}"
            self._raise(what, self._norms, self._norms_step)
        self._clear()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The count becomes part of the epoch's row, and of the status."""
        super().on_train_epoch_end(trainer, pl_module)
        self._module.measured["train/skipped_steps"] = float(self.skipped)
        self._write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The sum."""
        if self.skipped:
            say.warning("%d of %d steps were skipped (on_nan=skip)", self.skipped, trainer.global_step)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """The status counts them however the run ends."""
        self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        if trainer.is_global_zero and self.skipped != self._written:
            self.folder.write_status("running", skipped_steps=self.skipped)
            self._written = self.skipped

    def state_dict(self) -> dict[str, Any]:
        """The counts, for a run that is resumed."""
        return {
            "skipped": self.skipped,
            "in_a_row": self._in_a_row,
            "epoch": self._epoch,
            "in_epoch": self._in_epoch,
            "steps_in_epoch": self._steps_in_epoch,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.skipped, self._in_a_row = state_dict["skipped"], state_dict["in_a_row"]
        self._epoch = state_dict["epoch"]
        self._in_epoch, self._steps_in_epoch = state_dict["in_epoch"], state_dict["steps_in_epoch"]
