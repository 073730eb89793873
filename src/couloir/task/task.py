"""What every task is: a LightningModule that says what one step computes from a batch.

A task is one file. It says in `compute` which losses a batch has and what its metrics take; it may say in `measures`,
`examine` and `answer` what is measured, what a test shows besides, and what a network's output means in the data's own
units. Around it, exact resume, divergence, short steps, metrics that cost next to nothing, averaging, find-lr and
several processes ask no more than what stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import Metric

from couloir.config.fields import SHARE, input_field, of_kind
from couloir.data.batches import Batch, samples_in
from couloir.distributed import mean, several, total
from couloir.errors import CouloirError
from couloir.finetune.parts import Learning, attach
from couloir.layer_kinds import in_evaluation
from couloir.metric.gathered import Gathered
from couloir.metric.precision import WIDE
from couloir.ragged import first, in_precision, length, moved, rows_of

MakeOptimizer = Callable[..., Optimizer]
MakeScheduler = Callable[[Optimizer], Any]
Watch = Callable[[Batch, Tensor], None]
Column = Tensor | list[str]
"""What a table says of some samples: a number each (B,), several (B, K), or a text each."""
Tell = Callable[[Batch, Mapping[str, Column]], None]
SPLITS = ("train", "val", "test")


class Step(NamedTuple):
    """What one batch gives.

    Attributes:
        losses: scalars by name, each the mean over the batch; `loss` is what automatic optimization minimises, and
            where there is none, the sum of the others is what is written down as the loss.
        tensors: what the metrics' `update` takes, such as (prediction, target), each with a first axis of samples.
        weight: what the batch counts among others where it is not the number of its samples: the sum of their weights.
        outputs: what `observe` looks at beside the tensors; a map of each sample, by its place in the batch, say.
    """

    losses: dict[str, Tensor]
    tensors: tuple[Tensor, ...] = ()
    weight: Tensor | None = None
    outputs: Any = None


class Task(LightningModule):
    """A network, its losses, and how it is optimised.

    Args:
        net: the network.
        loss: maps (prediction, target) to a scalar; None for a task that brings its own.
        make_optimizer: builds the optimizer over the network's parameters.
        make_scheduler: builds the scheduler over the optimizer; None keeps the rate.
        data: the data, set up: its `fields` and statistics.
        needs: the kinds of the fields that are learned.
        further_metrics: builds the chosen metrics of a split by name; `update` takes what `chosen` makes of a step.
        log_every_n_steps: steps between two points of the per-step loss.
    """

    parts: ClassVar[tuple[str, ...]] = ()
    """The names of losses besides `loss`; each is written down as `train/NAME` and `val/NAME`."""
    shown_as: str = ""
    """What `maps.png` shows of a task that keeps its worst maps, a word of `couloir.artifacts.map_pictures`: `classes`,
    `values`, `shares` or `images`.
    """
    players: ClassVar[tuple[str, ...]] = ()
    """Of a task with several optimizers: what each of them trains, in their order. The norms of its gradients are
    written down as `gradients/NAME`; without names they are numbered.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module | None,
        make_optimizer: MakeOptimizer,
        make_scheduler: MakeScheduler | None,
        data: Any,
        needs: Sequence[str] = (),
        further_metrics: Callable[[str], Mapping[str, Metric]] = lambda split: {},
        log_every_n_steps: int = 50,
    ) -> None:
        super().__init__()
        self.net = net
        self.loss = loss
        if getattr(loss, "class_weights", None) == "balanced":
            _balance(cast(nn.Module, loss), data)
        self.make_optimizer = make_optimizer
        self.make_scheduler = make_scheduler
        self.learning: Learning | None = None
        """Which parts of the network learn, and how fast; None: all of it, at one rate."""
        self.input = input_field(data.fields)
        self.target = next(iter(of_kind(data.fields, needs)), self.input)
        self.log_every_n_steps = log_every_n_steps
        self.num_classes, self.classes = data.num_classes, list(data.classes)
        self.target_offset: float | Tensor
        self.target_scale: float | Tensor
        for name in ("target_offset", "target_scale"):
            value = getattr(data, name)
            if isinstance(value, list):  # one for each of several values
                self.register_buffer(name, torch.tensor(value, dtype=WIDE), persistent=False)
            else:
                setattr(self, name, float(value))
        self.gathered: dict[str, Gathered] = {}
        """The metrics of each split."""
        self.further_metrics = further_metrics
        for split in SPLITS:
            self.gathered[split] = Gathered(
                ("loss", *self.parts), self.measured_of(split), further_metrics(split), self.chosen, self.taken_by
            )
        groups = {f"{name}_": gathered.metrics for name, gathered in self.gathered.items()}
        self.seen = self.examine(data)
        """What a test shows besides its numbers."""
        self.metrics = nn.ModuleDict({**groups, "seen": nn.ModuleDict(self.seen)})
        self.measured: dict[str, float] = {}
        """The newest epoch's metrics of each split, in float64."""
        self.watch: Watch | None = None
        """Sees each training batch and its loss before the gradients of the step before are cleared."""
        self.validated: Tensor | None = None
        """Of the newest validation how many samples have each class, and how many are taken for it, (2, C) int64; this
        process's samples alone. None where there are no classes.
        """
        self.told: Tell | None = None
        """Hears of each test batch what `tabled` says of it."""
        self.after_epoch: Callable[[], None] | None = None
        """Called before the gradients of the epoch's last step are cleared for validation."""
        self.short_descent: Callable[[Tensor, Optimizer], None] | None = None
        """What takes a step of manual optimization where the loop over the steps has a shorter way than Lightning's."""
        self.skipped_step = False
        """Whether the newest step left the weights as they were, since its loss or gradients were not finite."""
        self.adversary: Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor] | None = None
        """Changes the inputs of each training batch against the network, along the gradient of the loss by them."""
        self.moved = True
        """Whether the newest batch moved what a mean of weights is taken of; it need not be all that learns."""
        self.kept: Any = None
        """What the task keeps from one training batch to the next, of this process alone: tensors, or tuples of them.
        It is replaced and never changed in place; a checkpoint within an epoch holds it.
        """
        self._logged_step = 0
        self.batch_weight: float | Tensor = 1.0
        """What the newest batch's loss was multiplied by, where the gradients of several are gathered."""
        self._window: list[Any] = []
        """What each batch counts whose gradients are being gathered: samples or weight, over all processes."""
        self._newest_weight: Tensor | None = None
        """The weight of the newest training batch over all processes, where its samples have weights."""

    # What a task says.

    def compute(self, batch: Batch) -> Step:
        """The losses of a batch, and what its metrics take."""
        raise NotImplementedError

    def measures(self) -> dict[str, Metric]:
        """Fresh metrics by name, besides the losses; one that computes a dictionary names its values itself."""
        return {}

    def taken_by(self, name: str, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What of a step's tensors the metric of this name takes, one of those of `measures`."""
        return tensors

    def measured_of(self, split: str) -> dict[str, Metric]:
        """The same, of one of `SPLITS`: a task may measure less in training."""
        return self.measures()

    def examine(self, data: Any) -> dict[str, Metric]:
        """What looks at the test split besides: fresh metrics by name, which `observe` updates."""
        return {}

    def observe(self, batch: Batch, step: Step) -> None:
        """Show a test batch to what `examine` has made."""

    def confused(self, step: Step) -> tuple[Tensor, ...]:
        """What of a step the confusion matrix takes, where there is one."""
        return step.tensors

    def look(self, x: Tensor) -> Any:
        """What the network gives for inputs (B, ...) that are no training samples."""
        return self.net(x)

    def outputs(self, batch: Batch) -> Any:
        """The same, of the inputs of a batch."""
        return self.look(batch[self.input])

    def answer(self, output: Tensor) -> Tensor:
        """What a network's output means, in the data's own units: probabilities, values, a picture."""
        return output

    def chosen(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What metrics that the user has chosen take: the answer and its target, in the data's own units."""
        return tensors

    def tabled(self, batch: Batch, step: Step, answer: Tensor | None = None) -> Mapping[str, Column]:
        """What `predictions.csv` says of the samples of a batch, by name: columns (B,), (B, K) for several, or texts.

        It says nothing where the first of the step's tensors is no row of numbers for each sample.

        Args:
            batch: the batch.
            step: what came of it.
            answer: where it is known already; of several views or runs it is their mean.
        """
        if answer is None and step.tensors:
            answer = self.answer(step.tensors[0])
        columns = self.columns(answer)
        return columns if all(len(values) == length(batch) for values in columns.values()) else {}

    def columns(self, answer: Any, output: Any = None) -> Mapping[str, Column]:
        """What `predictions.csv` and `couloir predict` say of some answers, whatever the truth is, as `tabled` does.

        Args:
            answer: of `answer`, (B, ...); where it is no row of numbers for each sample, nothing is said of it.
            output: the network's output that it was made of, (B, ...); None: it is the mean of several.
        """
        return {"answer": answer} if isinstance(answer, Tensor) and 1 <= answer.ndim <= 2 else {}

    def write_answer(self, answer: Any, stem: Path) -> Path:
        """Write one sample's answer that no table can hold to a file of its own, and return its path.

        Args:
            answer: the part of the answer that is this sample's, on the CPU.
            stem: the path without a suffix.
        """
        file = stem.with_name(f"{stem.name}.npy")
        np.save(file, np.asarray(answer))
        return file

    def truth(self, batch: Batch) -> Tensor:
        """The target of a batch, in the data's own units."""
        target: Tensor = batch[self.target]
        return target

    def compare(self, answer: Tensor, batch: Batch) -> Step:
        """The losses, where they are defined, and the metrics' tensors of answers that were averaged, say."""
        return Step({}, (answer, batch[self.target]))

    @classmethod
    def check(cls, net: nn.Module, loss: nn.Module | None, data: Any) -> None:
        """Send two samples through the network: a shape that does not fit is said before training.

        Raises:
            CouloirError: network, loss and data do not go together.
        """
        try_network(net, data)

    # What Lightning asks for.

    def forward(self, x: Tensor) -> Tensor:
        """The network's own output."""
        output: Tensor = self.net(x)
        return output

    def take(self, split: str, batch: Batch) -> Tensor:
        """The batch's mean loss; the split's metrics take the batch in without waiting for the device.

        The mean of it over all processes is the mean over all their samples, also where their parts are uneven.
        """
        return self.note(split, batch, self.compute(batch))

    def note(self, split: str, batch: Batch, step: Step) -> Tensor:
        """Hand a batch's losses and tensors to the split's metrics, and return its loss, weighted as `take` says."""
        share = batch.get(SHARE)
        losses = step.losses
        loss = sum_of(losses)
        if share is None or share.own > 0:
            values = (loss, *(losses[name] for name in self.parts)) if self.parts else (loss,)
            self.gathered[split].add(length(batch) if step.weight is None else step.weight, values, step.tensors)
            if split == "test":
                self.observe(batch, step)
        if split == "test" and self.told is not None:
            self.told(batch, self.tabled(batch, step))
        if split == "train":
            self._newest_weight = None
            if step.weight is not None:
                return self._weighted(loss, step.weight, counts=share is None or share.own > 0)
        return loss if share is None else loss * share.weight

    def _weighted(self, loss: Tensor, weight: Tensor, counts: bool) -> Tensor:
        """A loss whose mean over all processes is the weighted mean over all their samples."""
        if not several():
            self._newest_weight = weight.detach()
            return loss
        weight = weight.detach() if counts else torch.zeros_like(weight)
        self._newest_weight = total(weight)
        return loss * (weight * self.trainer.world_size / self._newest_weight)

    def descend(self, batch: Batch, loss: Tensor, optimizer: Any) -> None:
        """One step of one optimizer, for tasks with manual optimization: it is watched as every other step is.

        Args:
            batch: the batch.
            loss: the mean over the batch.
            optimizer: one of `self.optimizers()`.
        """
        share = batch.get(SHARE)
        loss = loss if share is None else loss * share.weight
        if self.watch is not None:
            self.watch(batch, loss)
        if self.short_descent is not None:
            self.short_descent(loss, optimizer.optimizer)
            return
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def is_last_step(self, place: int) -> bool:
        """Whether the step of an optimizer is its last one of the epoch: of those with manual optimization.

        Args:
            place: the optimizer's, in the order of `configure_optimizers`.
        """
        return bool(self.trainer.is_last_batch)

    def on_train_epoch_start(self) -> None:
        """Begin to measure; let an optimizer that goes by the loss's curvature look at some training samples."""
        self.gathered["train"].reset()
        # Nothing of an earlier epoch is taken for this one's; an epoch need not have a validation.
        for values in (self.measured, self.trainer.callback_metrics):
            for name in [name for name in values if name.startswith(("train/", "val/", "gradients/"))]:
                del values[name]
        optimizers: list[Any] = self.trainer.optimizers
        for optimizer in optimizers:
            if hasattr(optimizer, "estimate_curvature"):
                data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
                batch = data.example_batch(optimizer.samples, first=optimizer.which == "first")
                optimizer.estimate_curvature(self.net, self.criterion, *self.pair(batch))

    def criterion(self, outputs: Any, y: Tensor) -> Tensor:
        """The loss of what the network returns, for those who look at network and loss from outside."""
        raise CouloirError(f"{type(self).__name__} has no loss of a single output; this needs one.")

    def pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Input and target of a batch, on the task's device."""
        return batch[self.input].to(self.device), batch[self.target].to(self.device)

    def placed(self, batch: Batch) -> Batch:
        """A batch that no loader handed out, as a loader's comes: on the task's device, numbers in its precision."""
        dtype = cast(torch.dtype, self.dtype)
        return {name: in_precision(moved(field, self.device), dtype) for name, field in batch.items()}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """One step of gradient descent."""
        if self.adversary is not None:
            batch = self._opposed(batch, self.adversary)
        loss = self.take("train", batch)
        if self.watch is not None:
            self.watch(batch, loss)
        gathered = self.trainer.accumulate_grad_batches
        if gathered == 1:
            return loss
        weighted = self._newest_weight is not None
        counted: Any = self._newest_weight if weighted else samples_in(batch, self.trainer.world_size)
        self._window = [counted] if batch_idx % gathered == 0 else [*self._window, counted]
        self.batch_weight = counted / self._window[0]
        # No look at a weight's value: a GPU would have to be waited for.
        return loss if not weighted and self.batch_weight == 1.0 else loss * self.batch_weight

    def _opposed(self, batch: Batch, adversary: Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]) -> Batch:
        """A batch whose inputs are changed so that the loss grows.

        The network is asked as in evaluation: no running mean moves, nothing is dropped, and what is changed in a
        sample does not depend on the others or on how many processes there are. Parameters get no gradient.
        """

        def gradient(x: Tensor) -> Tensor:
            given = x.detach().requires_grad_()
            with torch.enable_grad():
                loss = sum_of(self.compute({**batch, self.input: given}).losses)
                # Of the sum over the samples: the mean of many vanishes in half precision.
                return torch.autograd.grad(loss * len(x), given)[0]

        with in_evaluation(self.net):
            return {**batch, self.input: adversary(batch[self.input], gradient)}

    def on_after_backward(self) -> None:
        """Make the gradients of a step those of the mean loss over all its samples.

        The loop has divided each batch's loss by the batches that a step is to have. An epoch's last step may have
        fewer, and its last batch fewer samples.
        """
        gathered = self.trainer.accumulate_grad_batches
        steps: Any = self.trainer.fit_loop.epoch_loop
        if gathered == 1 or not self._window or steps.gathers():
            return
        counted, samples = gathered * self._window[0], sum(self._window)
        if self._newest_weight is not None or counted != samples:
            with torch.no_grad():
                for parameter in self.parameters():
                    if parameter.grad is not None:
                        parameter.grad.mul_(counted / samples)

    def on_validation_model_zero_grad(self) -> None:
        """Clear the gradients, once they have been seen."""
        if self.after_epoch is not None:
            self.after_epoch()
        super().on_validation_model_zero_grad()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure one validation batch."""
        self.take("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure one test batch."""
        self.take("test", batch)

    def on_train_start(self) -> None:
        """A training that is taken up has logged its earlier steps."""
        self._logged_step = self.trainer.global_step

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the step's loss now and then, and the epoch's metrics with its last batch, before validation begins.

        `self.log` is called once an epoch rather than once a step: its bookkeeping costs a small network a third of
        its speed.
        """
        if not self.automatic_optimization:
            self._advance_schedulers("step")
        trainer = self.trainer
        step = trainer.global_step
        if step != self._logged_step:  # it stands still while gradients are gathered
            if self._is_due(step) and not self.skipped_step:
                value = mean(float(step_loss(self, outputs)))
                for logger in self.loggers:
                    logger.log_metrics({"train/loss_step": value}, step=step)
            self._logged_step = step
        if trainer.is_last_batch:
            self._log_measures("train")

    def _is_due(self, step: int) -> bool:
        """Whether a multiple of the interval has been reached; a batch may take several steps."""
        return step // self.log_every_n_steps > self._logged_step // self.log_every_n_steps

    def on_train_epoch_end(self) -> None:
        """Lightning leaves the schedules of manual optimization to the task."""
        if not self.automatic_optimization and self.trainer.is_last_batch:
            self._advance_schedulers("epoch")

    def on_validation_end(self) -> None:
        """A plateau counts validations, also within an epoch."""
        if self.trainer.state.fn == "fit" and not self.automatic_optimization and not self.trainer.is_last_batch:
            self._advance_schedulers("epoch", plateaus_alone=True)

    def _advance_schedulers(self, interval: str, plateaus_alone: bool = False) -> None:
        for config in self.trainer.lr_scheduler_configs:
            if config.interval != interval:
                continue
            if isinstance(config.scheduler, ReduceLROnPlateau):
                # Lightning leaves out of manual optimization what is monitored; the scheduler knows it.
                monitor = config.monitor or getattr(config.scheduler, "monitor", None)
                value = self.trainer.callback_metrics.get(monitor or "val/loss")
                if value is not None:  # an epoch without validation decides nothing
                    cast(Any, config.scheduler).step(value)
            elif not plateaus_alone:
                cast(Any, config.scheduler).step()

    def log_epoch_again(self) -> None:
        """Log the metrics of an epoch that is taken up after its last step; a checkpoint holds them, not their log."""
        self._log_measures("train")

    def log_epoch_so_far(self) -> None:
        """Log the metrics of an epoch that ends before its last batch; it can still be gone on with."""
        state = self.gathered["train"].state_dict()
        self._log_measures("train")
        self.gathered["train"].load_state_dict(state)

    def on_validation_epoch_start(self) -> None:
        """Begin to measure; a validation that was broken off counts for nothing."""
        self.gathered["val"].reset()
        self.validated = None

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
        return self.optimized(self.net.parameters())

    def optimized(self, parameters: Any, lr: float | None = None) -> dict[str, Any]:
        """An optimizer over some parameters with its scheduler, as Lightning takes it from `configure_optimizers`.

        Args:
            parameters: tensors, or groups of them.
            lr: a rate of their own, which the scheduler begins from; None: the optimizer's.
        """
        if self.learning is None:
            optimizer = self.make_optimizer(parameters)
        else:
            optimizer = self.make_optimizer(self.learning.groups(self.net, parameters))
            attach(optimizer)
        for group in optimizer.param_groups if lr is not None else ():
            group["lr"] = lr
        if self.make_scheduler is None:
            return {"optimizer": optimizer}
        scheduler = self.make_scheduler(optimizer)
        entry: dict[str, Any] = {"scheduler": scheduler, "interval": getattr(scheduler, "interval", "epoch")}
        monitor = getattr(scheduler, "monitor", None)
        if monitor is not None and self.automatic_optimization:
            entry["monitor"] = monitor
        return {"optimizer": optimizer, "lr_scheduler": entry}


def _balance(loss: nn.Module, data: Any) -> None:
    """Let the weights of a loss follow from the samples of each class in the training split.

    Raises:
        CouloirError: the data does not say how many there are.
    """
    counted = data.class_counts()
    if counted is None:
        raise CouloirError(
            "loss.class_weights=balanced needs to know how many training samples each class has, and this data does "
            "not say it.",
            next_step=f"state them: loss.class_weights=[...], one for each of the {data.num_classes} classes",
        )
    cast(Any, loss).balance(*counted)


def sum_of(losses: Mapping[str, Tensor]) -> Tensor:
    """The loss among those of a step: `loss`, or the sum of its parts where a task names only those."""
    return losses["loss"] if "loss" in losses else torch.stack(list(losses.values())).sum()


def step_loss(module: LightningModule, outputs: Any) -> Tensor:
    """The loss of the newest batch; where batches are gathered, it was weighted and divided by their number."""
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else None
    if loss is None:  # manual optimization
        gathered = getattr(module, "gathered", {}).get("train")
        return torch.tensor(float("nan")) if gathered is None else gathered.newest
    return cast(Tensor, loss) * module.trainer.accumulate_grad_batches / getattr(module, "batch_weight", 1.0)


def try_network(net: nn.Module, data: Any) -> tuple[Any, int]:
    """What a network gives for two samples, and how many samples that were; lazy layers get their shapes.

    Raises:
        CouloirError: the network does not take the data's samples.
    """
    x = first(data.example_batch(2)[input_field(data.fields)], 2)
    shape = tuple((x if isinstance(x, Tensor) else x[0]).shape[1:])
    training = net.training
    net.eval()
    try:
        with torch.no_grad():
            return net(x), rows_of(x)
    except (RuntimeError, ValueError, IndexError) as error:
        raise CouloirError(
            f"The network cannot take samples of shape {shape}: {str(error).splitlines()[0]}",
            next_step="another model or data.image_size; `couloir summary` with the same words shows the layers",
        ) from error
    finally:
        net.train(training)
