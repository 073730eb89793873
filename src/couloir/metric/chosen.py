"""The metrics that `cfg.metric` chooses beside those of the task, built from TorchMetrics' classes or a user's own."""

from __future__ import annotations

import warnings

import torch
from omegaconf import DictConfig
from torch import Tensor
from torchmetrics import Metric

from couloir.config.build import build
from couloir.config.metrics import CLASSIFICATION, FACTS, MULTI_LABEL, REGRESSION, chosen_metrics, facts, task_of
from couloir.errors import CouloirError
from couloir.metric.precision import WIDE


def build_metrics(cfg: DictConfig, split: str = "test") -> dict[str, Metric]:
    """A fresh metric for each name in `cfg.metric` that is measured on a split, in the order of the names.

    Each takes `update(prediction, target)`. Of a classification these are class probabilities (B, C) and labels (B,);
    of a regression values in the units of the data, both (B, K), which are summed in float64.

    Args:
        cfg: the whole configuration.
        split: `train`, `val` or `test`; some metrics leave the training split out.

    Raises:
        CouloirError: a metric cannot be built, or does not take such a prediction, or does not make numbers of it.
    """
    chosen, found = chosen_metrics(cfg), {}
    for name in chosen:
        if split == "train" and not facts(name, chosen).on_train:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it keeps all predictions, its YAML says
            metric: Metric = build(cfg.metric, name, without=(FACTS,))
        task = task_of(cfg)
        if task == REGRESSION:
            metric = metric.set_dtype(WIDE)
        _try(name, metric, task, int(cfg.data.get("num_classes") or 0))
        found[name] = metric
    return found


def number(metric: Metric) -> Tensor:
    """The value of a metric, a scalar: the mean over classes or outputs where it has a value for each."""
    value: Tensor = metric.compute()
    return value if value.ndim == 0 else value.to(WIDE).mean()


def _try(name: str, metric: Metric, task: str, size: int) -> None:
    """Show a metric a few samples, so that one that does not fit says so before training and not after an epoch."""
    if task == CLASSIFICATION:
        prediction, target = torch.eye(size)[:4], torch.arange(min(size, 4))
    elif task == MULTI_LABEL:
        prediction, target = torch.full((4, size), 0.5), torch.arange(4 * size).view(4, size) % 2
    elif task != REGRESSION:
        return  # of a user's own: nobody knows what it hands over
    else:
        prediction, target = (torch.arange(3 * size, dtype=WIDE).view(3, size) + shift for shift in (1, 2))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            metric.update(prediction, target)
            value = metric.compute()
    except Exception as error:  # whatever a class makes of what it does not expect
        raise CouloirError(
            f"metric.{name} ({type(metric).__name__}) cannot measure a {task}: {' '.join(str(error).split())}",
            next_step="a metric takes update(prediction, target): class probabilities (B, C) and labels, or values",
        ) from error
    if not isinstance(value, Tensor):
        raise CouloirError(f"metric.{name} ({type(metric).__name__}) returns {type(value).__name__}, not a number.")
    metric.reset()
