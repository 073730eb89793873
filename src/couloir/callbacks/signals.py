"""How large signals and their gradients are, layer by layer: where they die out, and where they grow.

Glorot and Bengio, 2010, Understanding the Difficulty of Training Deep Feedforward Networks, figures 6 and 7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from couloir.layer_kinds import BatchNorm, Weighted, learned_weight, undisturbed
from couloir.metric.precision import WIDE
from couloir.record.signals import LayerSignal, write_signals
from couloir.task.task import Task, sum_of
from couloir.trainer.resumption import within_epoch

ACTIVATION_MODULES = ("torch.nn.modules.activation", "couloir.model.activation")
"""Where activation functions are defined."""
HISTOGRAM_VALUES = 65_536
"""Values of a layer, evenly spaced, that a histogram is made of at most."""


def signals(every_n_epochs: int | None = None, samples: int = 256) -> Signals | None:
    """A `Signals`, or None when `every_n_epochs` is None.

    Args:
        every_n_epochs: epochs between two measurements; the first is before the first step.
        samples: training samples in the batch that is measured.
    """
    return None if every_n_epochs is None else Signals(every_n_epochs, samples)


class Signals(Callback):
    """Measures one fixed batch before the first step and every so many epochs, for `signals.csv` and TensorBoard.

    Args:
        every_n_epochs: epochs between two measurements.
        samples: training samples in the batch, standardised, not augmented.
    """

    def __init__(self, every_n_epochs: int, samples: int) -> None:
        self.every_n_epochs = every_n_epochs
        self.samples = samples
        self.rows: list[LayerSignal] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the network as it was initialised; a resumed run has done so."""
        if trainer.global_step == 0:
            self._measure(trainer, pl_module, epoch=0)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure after every so many epochs; one that the run's end cuts short is none."""
        if not within_epoch(trainer) and (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._measure(trainer, pl_module, epoch=trainer.current_epoch + 1)

    def _measure(self, trainer: Trainer, pl_module: LightningModule, epoch: int) -> None:
        assert isinstance(pl_module, Task)
        net, task = pl_module.net, pl_module
        example = trainer.datamodule.example_batch(self.samples)  # type: ignore[attr-defined]
        batch = task.placed(example)
        measured = measure(net, lambda: sum_of(task.compute(batch).losses), task.device)
        self.rows += [signal.at(epoch) for signal in measured]
        if not trainer.is_global_zero:
            return  # all processes measure: a batch normalisation over all of them needs them all
        write_signals(Path(trainer.default_root_dir), self.rows)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                _write_histograms(logger, measured, net, trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """The measurements so far, so that a resumed run goes on with them."""
        return {"rows": [asdict(row) for row in self.rows]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the measurements of a checkpoint."""
        self.rows = [LayerSignal(**row) for row in state_dict["rows"]]


class Signal:
    """What one layer gives for a batch, and what comes back.

    Variances are taken over all samples and units (and pixels) of the layer together, without Bessel's correction.

    Args:
        layer: its dotted name in the network.
        output: (B, ...), as it leaves the layer.
    """

    def __init__(self, layer: str, output: Tensor) -> None:
        self.layer = layer
        self.mean, self.variance = (float(value) for value in _moments(output)[::-1])
        self.values = _thinned(output)
        self.gradient_variance: float | None = None
        self.gradients: Tensor | None = None
        self.weight_gradient_variance: float | None = None

    def take_gradient(self, gradient: Tensor) -> None:
        """Note the gradient of the loss with respect to the output."""
        self.gradient_variance = float(_moments(gradient)[0])
        self.gradients = _thinned(gradient)

    def at(self, epoch: int) -> LayerSignal:
        """The layer's row of `signals.csv`."""
        backwards = self.gradient_variance, self.weight_gradient_variance
        return LayerSignal(epoch, self.layer, self.mean, self.variance, *backwards)


def measure(net: nn.Module, loss: Callable[[], Tensor], device: torch.device) -> list[Signal]:
    """The signals of a batch in all linear, convolutional and recurrent layers and activation functions, in the order
    in which they are passed; of a module that is passed several times, the first.

    Nothing of the network is changed: it runs in evaluation mode, but for batch normalisation, which standardises by
    the batch as in training; modes, buffers, `.grad` and random numbers are as before.

    Args:
        net: any network.
        loss: passes a batch through the network, and gives its mean loss.
        device: where the network's weights are.
    """
    names = {module: name or type(module).__name__ for name, module in net.named_modules()}
    weights = {module: learned for module in names if (learned := _learned(module))}
    found: dict[nn.Module, Signal] = {}

    def record(module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(module, nn.RNNBase):
            output = output[0].data if isinstance(output[0], PackedSequence) else output[0]
        if module in found or not isinstance(output, Tensor):
            return
        signal = found[module] = Signal(names[module], output)
        if output.requires_grad:
            # A hook of the tensor, not of the module: it stays with this value where the next layer works in place.
            output.register_hook(signal.take_gradient)  # type: ignore[no-untyped-call]

    watched = [module for module in names if isinstance(module, Weighted | nn.RNNBase) or _is_activation(module)]
    hooks = [module.register_forward_hook(record) for module in watched]
    try:
        # Batch normalisation stays in its mode: by its running statistics an untrained network would seem to have none.
        with undisturbed(net, but=BatchNorm), torch.enable_grad():
            value = loss()
            if weights:
                # Returned rather than added to `.grad`, which belongs to the optimizer.
                all_of_them = [weight for learned in weights.values() for weight in learned]
                gradients = iter(torch.autograd.grad(value, all_of_them, allow_unused=True))
                for module, learned in weights.items():
                    reached = [each.flatten() for each in islice(gradients, len(learned)) if each is not None]
                    if reached and module in found:
                        found[module].weight_gradient_variance = float(_moments(torch.cat(reached))[0])
    finally:
        for hook in hooks:
            hook.remove()
    return list(found.values())


def _learned(module: nn.Module) -> list[Tensor]:
    """The weights of a layer that learn: of a recurrent one the matrices of all its gates."""
    if isinstance(module, nn.RNNBase):
        return [weight for weight in module.parameters() if weight.ndim == 2 and weight.requires_grad]
    return [learned_weight(module)] if isinstance(module, Weighted) and learned_weight(module).requires_grad else []


def _is_activation(module: nn.Module) -> bool:
    return type(module).__module__ in ACTIVATION_MODULES


def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Variance and mean; in float64, since the square of a gradient that has died out is no float32."""
    return torch.var_mean(values.detach().to(WIDE), correction=0)


def _thinned(values: Tensor) -> Tensor:
    flat = values.detach().flatten()
    return flat[:: -(-flat.numel() // HISTOGRAM_VALUES) or 1].float().clone()


def _write_histograms(logger: TensorBoardLogger, measured: list[Signal], net: nn.Module, step: int) -> None:
    layers = dict(net.named_modules())
    for signal in measured:
        weight = getattr(layers.get(signal.layer, net), "weight", None)
        for kind, values in (
            ("weights", _thinned(weight) if isinstance(weight, Tensor) else None),
            ("activations", signal.values), ("gradients", signal.gradients),
        ):  # fmt: skip
            if values is not None and values.numel() and bool(values.isfinite().all()):  # TensorBoard refuses others
                logger.experiment.add_histogram(f"{kind}/{signal.layer}", values, global_step=step)
