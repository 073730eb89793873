"""From a configuration and loaded data to the LightningModule of the data's task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassConfusionMatrix

from couloir.errors import CouloirError
from couloir.metric.classification import ClassificationMetrics
from couloir.metric.mistakes import WorstMistakes
from couloir.metric.precision import WIDE
from couloir.metric.regression import RegressionMetrics
from couloir.task.supervised import Supervised, class_probabilities


def supervised(
    net: nn.Module,
    loss: nn.Module,
    make_optimizer: Any,
    make_scheduler: Any,
    data: Any,
    log_every_n_steps: int = 50,
    make_further: Callable[[str], Mapping[str, Metric]] | None = None,
) -> Supervised:
    """The module that trains `net` on `data`, with the metrics of the data's task and those of `make_further`.

    Raises:
        CouloirError: the loss is not defined for the data's targets.
    """
    _check_targets(loss, data)
    _, confusion = metrics_for(data.task, data.num_classes, data.target_scale)

    def make_metrics() -> Metric:
        return metrics_for(data.task, data.num_classes, data.target_scale)[0]

    def readable(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if data.task == "classification":
            return class_probabilities(prediction, net), target if target.ndim == 1 else target.argmax(dim=1)
        scale, offset = data.target_scale, data.target_offset
        return prediction.to(WIDE) * scale + offset, target.to(WIDE) * scale + offset

    mistakes = None
    if confusion is not None:
        images = data.image_size is not None
        std = [value or 1.0 for value in data.std]
        mistakes = WorstMistakes(data.mean, std, data.image_size) if images else WorstMistakes(None, None, None)
    return Supervised(
        net, loss, make_optimizer, make_scheduler, make_metrics, confusion, mistakes, log_every_n_steps, make_further,
        readable,
    )  # fmt: skip


def metrics_for(task: str, num_classes: int, target_scale: float) -> tuple[Metric, Metric | None]:
    """A fresh metric of a task, which takes (prediction, target, loss), and its confusion matrix, if it has one."""
    if task == "classification":
        return ClassificationMetrics(num_classes), MulticlassConfusionMatrix(num_classes, validate_args=False)
    return RegressionMetrics(target_scale), None


def check_network(net: nn.Module, data: Any) -> None:
    """Send two samples through the network: a shape that does not fit is said before training; lazy layers get theirs.

    Raises:
        CouloirError: the network does not take the data's samples, or does not return one value a class.
    """
    x, _ = data.example_batch()
    training = net.training
    net.eval()
    try:
        with torch.no_grad():
            output = net(x[:2])
    except (RuntimeError, ValueError, IndexError) as error:
        raise CouloirError(
            f"The network cannot take samples of shape {tuple(x.shape[1:])}: {str(error).splitlines()[0]}",
            next_step="another model or data.image_size; `couloir summary` with the same words shows the layers",
        ) from error
    finally:
        net.train(training)
    expected = (min(2, len(x)), data.num_classes)
    if tuple(output.shape) != expected:
        raise CouloirError(
            f"The network returns shape {tuple(output.shape)} for {expected[0]} samples; the data needs {expected}.",
            next_step="let the model end in num_classes outputs (num_classes: ${data.num_classes} in its YAML)",
        )


def _check_targets(loss: nn.Module, data: Any) -> None:
    """A loss such as mlnet, 1 / (alpha - s), has no value for targets at or above alpha."""
    allowed = getattr(loss, "target_range", None)
    if allowed is None or data.task != "regression":
        return
    low, high = data.target_bounds()
    if low < allowed[0] or high >= allowed[1]:
        raise CouloirError(
            f"loss {type(loss).__name__} is defined for targets in [{allowed[0]:g}, {allowed[1]:g}); "
            f"the data's lie in [{low:g}, {high:g}].",
            next_step="rescale them with data.target_scaling=unit, or choose another loss",
        )
