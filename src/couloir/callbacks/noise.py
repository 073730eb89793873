"""Noise on weights, gradients and activations while a network learns; validation and test have none.

Sources: Jim, Giles and Horne, 1996, An Analysis of Noise in Recurrent Neural Networks (weights); Graves, 2011,
Practical Variational Inference for Neural Networks (weights); Neelakantan et al., 2015, Adding Gradient Noise Improves
Learning for Very Deep Networks (gradients); Srivastava et al., 2014, Dropout, section 10 (activations).
"""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from couloir.callbacks.signals import ACTIVATION_MODULES
from couloir.errors import CouloirError

MULTIPLICATIVE = "multiplicative"


def noise(
    weights: float = 0.0, gradients: float = 0.0, activations: float = 0.0, kind: str = MULTIPLICATIVE
) -> Noise | None:
    """A `Noise`, or None where there is none to add.

    Args:
        weights: the deviation of the noise on weights, during a step's forward and backward pass.
        gradients: of that on the gradients, before they are clipped.
        activations: of that on what each activation function gives.
        kind: `multiplicative`, a number x becomes x (1 + N(0, s^2)); `additive`, x + N(0, s^2).
    """
    return Noise(weights, gradients, activations, kind) if weights or gradients or activations else None


class Noise(Callback):
    """Draws from torch's generator, whose state a checkpoint keeps, so that a resumed run draws the same.

    Args:
        weights: as `noise` has it.
        gradients: the same.
        activations: the same.
        kind: the same.
    """

    def __init__(self, weights: float, gradients: float, activations: float, kind: str) -> None:
        self.weights, self.gradients, self.activations = weights, gradients, activations
        self.kind = kind
        self._clean: list[tuple[nn.Parameter, Tensor]] = []
        """Weights that have noise at this moment, and what they are without it."""
        self._hooks: list[RemovableHandle] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """See whether there is something to add noise to, and one process and step to do it in.

        Raises:
            CouloirError: there is not.
        """
        if not pl_module.automatic_optimization:
            raise CouloirError(
                f"callbacks.noise acts on the one step of a batch, and {type(pl_module).__name__} takes several.",
                next_step="leave callbacks.noise.* out",
            )
        if trainer.world_size > 1:
            raise CouloirError(
                "callbacks.noise draws in one process, and several would draw apart.", next_step="trainer.devices=1"
            )
        if self.activations and not activation_layers(pl_module.net):  # type: ignore[arg-type]
            raise CouloirError(
                "callbacks.noise.activations adds noise to what activation layers give, and the network has none that "
                "can be found.",
                next_step="a network with hidden layers such as model=mlp, or callbacks.noise.weights",
            )

    def noisy(self, x: Tensor, deviation: float) -> Tensor:
        """A tensor with noise, as a new one; gradients pass."""
        drawn = torch.randn_like(x) * deviation
        return x * (1 + drawn) if self.kind == MULTIPLICATIVE else x + drawn

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Add noise to weights, and listen to activations."""
        net: nn.Module = pl_module.net  # type: ignore[assignment]
        if self.activations:
            self._hooks = [layer.register_forward_hook(self._after_activation) for layer in activation_layers(net)]
        if not self.weights:
            return
        with torch.no_grad():
            for parameter in net.parameters():
                if parameter.requires_grad and parameter.ndim > 1:  # no biases, and no scales of a normalisation
                    self._clean.append((parameter, parameter.detach().clone()))
                    parameter.copy_(self.noisy(parameter, self.weights))

    def _after_activation(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        return self.noisy(output, self.activations) if isinstance(output, Tensor) else output

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the weights back what they were: the step goes on from there."""
        self._take_away()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Add noise to the gradients."""
        if not self.gradients:
            return
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.copy_(self.noisy(parameter.grad, self.gradients))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The same for a step that was left out before its backward pass."""
        self._take_away()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """The same for one that was broken off."""
        self._take_away()

    def _take_away(self) -> None:
        with torch.no_grad():
            for parameter, clean in self._clean:
                parameter.copy_(clean)
        for hook in self._hooks:
            hook.remove()
        self._clean, self._hooks = [], []


def activation_layers(net: nn.Module) -> list[nn.Module]:
    """The activation functions of a network that are layers of their own."""
    return [layer for layer in net.modules() if type(layer).__module__ in ACTIVATION_MODULES]
