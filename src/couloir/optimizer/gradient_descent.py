"""Gradient descent, with momentum, and with Nesterov's look ahead.

The course writes u = a u - lr grad, theta = theta + u. PyTorch keeps v = a v + grad and subtracts lr v: the same steps
while the rate stays, and with a schedule a change of the rate acts at once on the whole velocity.
"""

from __future__ import annotations

import torch
from torch.optim import SGD

from couloir.optimizer.decay import Parameters, decay_groups


class Nesterov(SGD):
    """Gradient descent whose stored parameters are the point looked ahead to, theta + a u, also where a changes.

    PyTorch looks ahead by the momentum of the step that has been taken. The next gradient is to be taken where the next
    momentum leads to, so whoever changes the momentum calls `look_ahead` before that gradient.
    """

    @torch.no_grad()
    def look_ahead(self) -> None:
        """Move the parameters from where they looked ahead to, to where the groups' momentum looks now."""
        for group in self.param_groups:
            change = group["momentum"] - group.get("ahead", group["momentum"])
            group["ahead"] = group["momentum"]
            for parameter in group["params"]:
                velocity = self.state[parameter].get("momentum_buffer") if parameter in self.state else None
                if change and velocity is not None:
                    parameter.add_(velocity, alpha=-float(group["lr"]) * group.get("factor", 1.0) * change)


def sgd(parameters: Parameters, lr: float, weight_decay: float = 0.0, decay_all: bool = False) -> SGD:
    """theta = theta - lr grad (Robbins and Monro, 1951).

    Args:
        parameters: what is optimised.
        lr: the learning rate.
        weight_decay: L2 penalty, added to the gradient.
        decay_all: decay biases and normalisation as well.
    """
    return SGD(decay_groups(parameters, weight_decay, decay_all), lr=lr)


def momentum(
    parameters: Parameters, lr: float, momentum: float = 0.9, weight_decay: float = 0.0, decay_all: bool = False
) -> SGD:
    """u = a u - lr grad; theta = theta + u (Polyak, 1964).

    Args:
        parameters: what is optimised.
        lr: the learning rate.
        momentum: a, the share of the velocity that stays.
        weight_decay: L2 penalty, added to the gradient.
        decay_all: decay biases and normalisation as well.
    """
    return SGD(decay_groups(parameters, weight_decay, decay_all), lr=lr, momentum=momentum)


def nesterov(
    parameters: Parameters, lr: float, momentum: float = 0.9, weight_decay: float = 0.0, decay_all: bool = False
) -> Nesterov:
    """u = a u - lr grad(theta + a u); theta = theta + u (Nesterov, 1983).

    The stored parameters are the point looked ahead to, theta + a u, where the gradient is taken.

    Args:
        parameters: what is optimised.
        lr: the learning rate.
        momentum: a, the share of the velocity that stays; above 0.
        weight_decay: L2 penalty, added to the gradient.
        decay_all: decay biases and normalisation as well.
    """
    return Nesterov(decay_groups(parameters, weight_decay, decay_all), lr=lr, momentum=momentum, nesterov=True)
