"""Optimizers that give each weight a rate of its own, from the history of its gradients."""

from __future__ import annotations

from torch.optim import Adagrad, Adam, AdamW, RMSprop

from couloir.errors import CouloirError
from couloir.optimizer.decay import Parameters, decay_groups


def _two(betas: list[float]) -> tuple[float, float]:
    """The shares of both running means.

    Raises:
        CouloirError: there are more, or fewer.
    """
    if len(betas) != 2:
        raise CouloirError(
            f"optimizer.betas takes two numbers, not {len(betas)}.", next_step="optimizer.betas=[0.9,0.999]"
        )
    return betas[0], betas[1]


def adam(
    parameters: Parameters,
    lr: float,
    betas: list[float],
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decay_all: bool = False,
) -> Adam:
    """theta = theta - lr s / (sqrt(r) + eps), s and r the running means of grad and grad², corrected for their start.

    Kingma and Ba, 2015, algorithm 1.

    Args:
        parameters: what is optimised.
        lr: the learning rate.
        betas: how much of s and of r stays from step to step.
        eps: added to the root.
        weight_decay: L2 penalty, added to the gradient.
        decay_all: decay biases and normalisation as well.
    """
    groups = decay_groups(parameters, weight_decay, decay_all)
    return Adam(groups, lr=lr, betas=_two(betas), eps=eps)


def adamw(
    parameters: Parameters,
    lr: float,
    betas: list[float],
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    decay_all: bool = False,
) -> AdamW:
    """Adam with theta = theta - lr weight_decay theta beside the step (Loshchilov and Hutter, 2019, algorithm 2).

    Args:
        parameters: what is optimised.
        lr: the learning rate.
        betas: how much of the running means stays from step to step.
        eps: added to the root.
        weight_decay: the share, times lr, by which weights shrink at each step.
        decay_all: decay biases and normalisation as well.
    """
    groups = decay_groups(parameters, weight_decay, decay_all)
    return AdamW(groups, lr=lr, betas=_two(betas), eps=eps)


def rmsprop(
    parameters: Parameters,
    lr: float,
    alpha: float = 0.9,
    eps: float = 1e-8,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    decay_all: bool = False,
) -> RMSprop:
    """theta = theta - lr grad / (eps + sqrt(r)), r = alpha r + (1 - alpha) grad² (Tieleman and Hinton, 2012).

    Args:
        parameters: what is optimised.
        lr: the learning rate.
        alpha: how much of r stays from step to step, the course's rho.
        eps: added to the root.
        momentum: the share of the last step that stays.
        weight_decay: L2 penalty, added to the gradient.
        decay_all: decay biases and normalisation as well.
    """
    groups = decay_groups(parameters, weight_decay, decay_all)
    return RMSprop(groups, lr=lr, alpha=alpha, eps=eps, momentum=momentum)


def adagrad(
    parameters: Parameters, lr: float, eps: float = 1e-10, weight_decay: float = 0.0, decay_all: bool = False
) -> Adagrad:
    """theta = theta - lr grad / (sqrt(r) + eps), r the sum of all grad² so far (Duchi et al., 2011).

    Args:
        parameters: what is optimised.
        lr: the learning rate.
        eps: added to the root.
        weight_decay: L2 penalty, added to the gradient.
        decay_all: decay biases and normalisation as well.
    """
    return Adagrad(decay_groups(parameters, weight_decay, decay_all), lr=lr, eps=eps)
