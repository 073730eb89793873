"""Learning from labelled samples: one step, one set of metrics, for classification and regression alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric

from couloir.distributed import mean
from couloir.metric.gathered import Gathered, Readable

Batch = tuple[Any, ...]
"""Inputs and targets and, of an uneven batch of several processes, its `couloir.data.batches.Share`."""
MakeOptimizer = Callable[..., Optimizer]
MakeScheduler = Callable[[Optimizer], Any]
Watch = Callable[[Batch, int, Tensor], None]


class Supervised(LightningModule):
    """A network, its loss, and how it is optimised.

    Args:
        net: maps inputs (B, C, H, W) or (B, F) to predictions (B, num_classes).
        loss: maps (prediction, target) to a scalar; its attribute `expects` says which form of the prediction it takes.
        make_optimizer: builds the optimizer over the network's parameters.
        make_scheduler: builds the scheduler over the optimizer; None keeps the rate.
        make_metrics: builds a fresh metric whose `update` takes (prediction, target, loss).
        test_metric: a further metric over the test split, `update(prediction, target)`, such as a confusion matrix.
        mistakes: one more, `update(probabilities, target, x)`, which keeps the samples that it is most wrong about.
        log_every_n_steps: steps between two points of the per-step loss.
        make_further: builds the metrics of a split that the user has chosen, by name.
        readable: makes of the network's output and the targets what these take.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module,
        make_optimizer: MakeOptimizer,
        make_scheduler: MakeScheduler | None,
        make_metrics: Callable[[], Metric],
        test_metric: Metric | None = None,
        mistakes: Metric | None = None,
        log_every_n_steps: int = 50,
        make_further: Callable[[str], Mapping[str, Metric]] | None = None,
        readable: Readable | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.loss = loss
        self.make_optimizer = make_optimizer
        self.make_scheduler = make_scheduler
        further = {split: make_further(split) if make_further else {} for split in ("train", "val", "test")}
        self.gathered = {split: Gathered(make_metrics(), metrics, readable) for split, metrics in further.items()}
        # Lightning moves them to the device.
        self.measures = nn.ModuleList(
            metric for gathered in self.gathered.values() for metric in (gathered.metric, *gathered.further.values())
        )
        self.test_metric, self.mistakes = test_metric, mistakes
        self.log_every_n_steps = log_every_n_steps
        self._logged_step = 0
        self.measured: dict[str, float] = {}
        """The newest epoch's metrics of each split, in float64."""
        self.watch: Watch | None = None
        """Sees each training batch, its number and its loss before the gradients of the step before are cleared."""
        self.after_epoch: Callable[[], None] | None = None
        """Called before the gradients of the epoch's last step are cleared for validation."""
        self.skipped_step = False
        """Whether the newest step left the weights as they were, since its loss or gradients were not finite."""

    def forward(self, x: Tensor) -> Tensor:
        """The network's own output, (B, num_classes)."""
        output: Tensor = self.net(x)
        return output

    def step(self, batch: Batch, split: str) -> Tensor:
        """The batch's mean loss; the split's metrics take the batch in without waiting for the device.

        The mean of it over all processes is the mean over all their samples, also where their parts are uneven.
        """
        x, y, *share = batch
        outputs = self(x)
        loss = total_loss(outputs, y, self.net, self.loss)
        prediction = outputs[0] if isinstance(outputs, tuple) else outputs
        if not share or share[0].own > 0:
            self.gathered[split].add(prediction, y, loss)
            if split == "test" and self.test_metric is not None:
                self.test_metric.update(prediction, y)
            if split == "test" and self.mistakes is not None:
                self.mistakes.update(class_probabilities(prediction.detach(), self.net), y, x)
        return loss * share[0].weight if share else loss

    def on_train_epoch_start(self) -> None:
        """Let an optimizer that goes by the loss's curvature look at some training samples."""
        self.gathered["train"].reset()
        optimizer = self.trainer.optimizers[0]
        if hasattr(optimizer, "estimate_curvature"):
            x, y = self.trainer.datamodule.example_batch(optimizer.samples)  # type: ignore[attr-defined]
            criterion = partial(total_loss, net=self.net, loss=self.loss)
            optimizer.estimate_curvature(self.net, criterion, x.to(self.device), y.to(self.device))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step of gradient descent."""
        loss = self.step(batch, "train")
        if self.watch is not None:
            self.watch(batch, batch_idx, loss)
        return loss

    def on_validation_model_zero_grad(self) -> None:
        """Clear the gradients, once they have been seen."""
        if self.after_epoch is not None:
            self.after_epoch()
        super().on_validation_model_zero_grad()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure one validation batch."""
        self.step(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure one test batch."""
        self.step(batch, "test")

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the step's loss now and then, and the epoch's metrics with its last batch, before validation begins.

        `self.log` is called once an epoch rather than once a step: its bookkeeping costs a small network a third of
        its speed.
        """
        step = self.trainer.global_step
        if step != self._logged_step and step % self.log_every_n_steps == 0 and not self.skipped_step:
            self._logged_step = step  # it stands still while gradients are gathered
            loss = mean(float(outputs["loss"])) * self.trainer.accumulate_grad_batches  # which Lightning divided it by
            for logger in self.loggers:
                logger.log_metrics({"train/loss_step": loss}, step=step)
        if self.trainer.is_last_batch:
            self._log_measures("train")

    def log_epoch_again(self) -> None:
        """Log the metrics of an epoch that is taken up after its last step; a checkpoint holds them, not their log."""
        self._current_fx_name = "on_train_batch_end"
        self._log_measures("train")
        self._current_fx_name = None

    def on_validation_epoch_start(self) -> None:
        """Begin to measure; a validation that was broken off counts for nothing."""
        self.gathered["val"].reset()

    def on_test_epoch_start(self) -> None:
        """Begin to measure."""
        self.gathered["test"].reset()

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics."""
        self._log_measures("val")

    def on_test_epoch_end(self) -> None:
        """Log the test metrics."""
        self._log_measures("test")

    def _log_measures(self, split: str) -> None:
        values = {f"{split}/{name}": value for name, value in self.gathered[split].compute().items()}
        self.measured |= {name: float(value) for name, value in values.items()}
        self.log_dict(
            {name: value.float() for name, value in values.items()}, batch_size=1, on_step=False, on_epoch=True
        )

    def configure_optimizers(self) -> Any:
        """The optimizer over the network's parameters and, if there is one, its scheduler with its own interval."""
        optimizer = self.make_optimizer(self.net.parameters())
        if self.make_scheduler is None:
            return optimizer
        scheduler = self.make_scheduler(optimizer)
        entry: dict[str, Any] = {"scheduler": scheduler, "interval": getattr(scheduler, "interval", "epoch")}
        monitor = getattr(scheduler, "monitor", None)
        if monitor is not None:
            entry["monitor"] = monitor
        return {"optimizer": optimizer, "lr_scheduler": entry}


def total_loss(outputs: Tensor | tuple[Tensor, ...], y: Tensor, net: nn.Module, loss: nn.Module) -> Tensor:
    """The loss of a network's output and, with the network's `auxiliary_weight`, of its auxiliary heads' in training.

    Args:
        outputs: (B, C), or a tuple of such that begins with the network's own.
        y: the targets.
        net: the network.
        loss: the loss.
    """
    own, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
    total: Tensor = loss(converted(own, net, loss), y)
    for output in auxiliary:
        total = total + net.auxiliary_weight * loss(converted(output, net, loss), y)
    return total


def converted(prediction: Tensor, net: nn.Module, loss: nn.Module) -> Tensor:
    """The prediction in the form that the loss takes.

    A network's attribute `output` is `logits` (the default) or `probabilities` (a perceptron's sigmoid); a loss's
    attribute
    `expects` is `logits`, `log_probabilities`, `probabilities` (one sigmoid a class), `distribution` (softmax) or
    `values`.

    Args:
        prediction: the network's output, (B, C).
        net: the network.
        loss: the loss.
    """
    given = getattr(net, "output", "logits")
    wanted = getattr(loss, "expects", "values")
    if wanted == "values" or given == wanted:
        return prediction
    prediction = prediction.float()  # in half precision a sigmoid near one is rounded to one
    if wanted == "distribution":
        return class_probabilities(prediction, net)
    if given == "probabilities":
        prediction = torch.logit(prediction, eps=1e-7)
    if wanted == "log_probabilities":
        return F.log_softmax(prediction, dim=1)
    if wanted == "probabilities":
        return torch.sigmoid(prediction)
    return prediction


def class_probabilities(prediction: Tensor, net: nn.Module) -> Tensor:
    """The probabilities (B, C) of the classes, which add up to one, from a network's own output (B, C)."""
    prediction = prediction.float()
    if getattr(net, "output", "logits") == "probabilities":
        return prediction / prediction.sum(dim=1, keepdim=True)
    return torch.softmax(prediction, dim=1)
