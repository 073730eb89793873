"""A rate for each weight from the curvature of the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from couloir.optimizer.curvature import Criterion, diagonal_curvature
from couloir.optimizer.decay import Parameters, decay_groups


class SDLM(Optimizer):
    """Stochastic diagonal Levenberg-Marquardt: theta = theta - lr / (mu + h) grad.

    LeCun et al., 1998, Gradient-Based Learning Applied to Document Recognition, appendix C. h is the second derivative
    of the loss for each weight. `estimate_curvature` estimates it, in a run at the beginning of every epoch; before the
    first estimate it is zero.

    Args:
        parameters: what is optimised.
        lr: the global learning rate.
        mu: keeps the rate finite where the loss is flat.
        samples: training samples that the curvature is estimated on.
        which: `first` of the training split, or `spread` over it, for data that is sorted by class.
        weight_decay: L2 penalty, added to the gradient and to the curvature.
        decay_all: decay biases and normalisation as well.
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float,
        mu: float = 0.02,
        samples: int = 500,
        which: str = "spread",  # what runs have that were made before there was this key
        weight_decay: float = 0.0,
        decay_all: bool = False,
    ) -> None:
        super().__init__(decay_groups(parameters, weight_decay, decay_all), {"lr": lr, "mu": mu})
        self.samples, self.which = samples, which

    def estimate_curvature(self, net: nn.Module, criterion: Criterion, x: Tensor, y: Tensor) -> None:
        """Take h anew from some samples.

        Args:
            net: the network whose parameters are optimised.
            criterion: maps (the network's output, targets) to the mean loss of a batch.
            x: inputs (B, ...).
            y: targets (B, ...).

        Raises:
            CouloirError: a layer whose second derivatives are not known.
        """
        for parameter, curvature in diagonal_curvature(net, criterion, x, y).items():
            self.state[parameter]["curvature"] = curvature

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step against the gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                decay = group["weight_decay"]
                gradient = parameter.grad.add(parameter, alpha=decay) if decay else parameter.grad
                curvature = self.state[parameter].get("curvature")
                if curvature is None:
                    parameter.sub_(gradient, alpha=group["lr"] / (group["mu"] + decay))
                else:
                    parameter.addcdiv_(gradient, curvature + (group["mu"] + decay), value=-group["lr"])
        return loss
