"""The form of a prediction that a loss takes: logits, log probabilities, probabilities, or values."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
