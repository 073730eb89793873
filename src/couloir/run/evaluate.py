"""The test split again: by the checkpoint of a run, by several views of each image, by several runs together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, open_dict
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.run.find import best_weights
from couloir.run.instantiate import build
from couloir.task.build import metrics_for
from couloir.task.supervised import converted


@dataclass(frozen=True)
class Predictions:
    """What a run says of the test split.

    Attributes:
        values: class probabilities (N, C), or values (N, 1).
        raw: the network's own output where there was one view, (N, C).
        targets: labels (N,) or values (N, 1).
        classes: the classes' names.
    """

    values: Tensor
    raw: Tensor | None
    targets: Tensor
    classes: list[str]


def evaluate(cfgs: list[DictConfig], runs: list[Path]) -> tuple[dict[str, float], Tensor, list[str]]:
    """The metrics of the test split by the mean prediction of all runs and views.

    Args:
        cfgs: the configuration of each run; its node `tta` says which views.
        runs: their folders.

    Returns:
        the metrics by name, the confusion matrix (C, C) (empty for a regression), and the classes' names.

    Raises:
        CouloirError: the runs have no checkpoint, or not the same test split.
    """
    found = [predict(cfg, run) for cfg, run in zip(cfgs, runs, strict=True)]
    first = found[0]
    for run, other in zip(runs[1:], found[1:], strict=True):
        if not torch.equal(other.targets, first.targets):
            raise CouloirError(
                f"The runs {runs[0].name} and {run.name} have not the same test split.",
                next_step="runs of one ensemble need the same data, seed and subset",
            )
    cfg = cfgs[0]
    mean = torch.stack([other.values for other in found]).mean(dim=0)
    classification = str(cfg.data.task) == "classification"
    output = mean.clamp_min(torch.finfo(mean.dtype).tiny).log() if classification else mean
    if len(found) == 1 and first.raw is not None:
        output = first.raw
    metric, confusion = metrics_for(str(cfg.data.task), int(cfg.data.num_classes), _scale(runs[0]))
    stated = _Output("logits") if len(found) > 1 or first.raw is None else _Output(_output_of(cfg))
    loss = build(cfg, "loss")
    metric.update(output, first.targets, loss(converted(output, stated, loss), first.targets))
    numbers = {name: float(value) for name, value in metric.compute().items()}
    if confusion is None:
        return numbers, torch.empty(0), []
    confusion.update(output, first.targets)
    return numbers, confusion.compute(), first.classes


class _Output(nn.Module):
    """Says in which form the predictions are, as a network does."""

    def __init__(self, output: str) -> None:
        super().__init__()
        self.output = output


def _output_of(cfg: DictConfig) -> str:
    with torch.device("meta"):
        return str(getattr(build(cfg, "model", **_without_weights(cfg)), "output", "logits"))


def _without_weights(cfg: DictConfig) -> dict[str, None]:
    return {"weights": None} if cfg.model.get("weights") else {}


def predict(cfg: DictConfig, run: Path) -> Predictions:
    """The mean prediction over the views of `cfg.tta` for each sample of the test split, in order.

    Raises:
        CouloirError: the run has no checkpoint, or its network cannot look at such views.
    """
    checkpoint = torch.load(best_weights(run), map_location="cpu", weights_only=True)
    views = build(cfg, "tta") if cfg.get("tta") else None
    size = cfg.data.image_size
    data = _load(cfg, views, checkpoint.get("Samples", {}))
    net: nn.Module = build(cfg, "model", **_without_weights(cfg))
    own = {name.removeprefix("net."): value for name, value in checkpoint["state_dict"].items()}
    net.load_state_dict({name: value for name, value in own.items() if name in net.state_dict()})
    net = net.eval().to(data.device)
    looking = net if views is None else views.adapt(net)
    distribution = _Wants("distribution" if data.task == "classification" else "values")
    values, raw, targets = [], [], []
    with torch.inference_mode():
        for x, y in data.test_dataloader():
            outputs = [looking(view) for view in ((x,) if views is None else views(x, size))]
            values.append(torch.stack([converted(output, net, distribution) for output in outputs]).mean(dim=0).cpu())
            raw.append(outputs[0].cpu())
            targets.append(y.cpu())
    single = torch.cat(raw) if views is None else None
    return Predictions(torch.cat(values), single, torch.cat(targets), data.classes)


class _Wants(nn.Module):
    """Says in which form predictions are averaged, as a loss does."""

    def __init__(self, expects: str) -> None:
        super().__init__()
        self.expects = expects


def _load(cfg: DictConfig, views: Any, statistics: dict[str, Any]) -> Any:
    """The data at the size that the views are cut from, standardised as in training."""
    cfg = cfg.copy()
    if views is not None:
        with open_dict(cfg):
            cfg.data.image_size = views.load_size(int(cfg.data.image_size))
            if views.squares > 1 and "memory_budget" in cfg.data:
                cfg.data.memory_budget = 0.0  # from the files, which are not square
    data = build(cfg, "data")
    data.mean, data.std = statistics.get("mean", data.mean), statistics.get("std", data.std)
    data.prepare_data()
    data.setup()
    data.device = torch.device("cuda" if _on_gpu(cfg) else "cpu")
    source = data.splits["test"].source
    if views is not None and hasattr(source, "squares"):
        source.squares = views.squares
    return data


def _on_gpu(cfg: DictConfig) -> bool:
    return cfg.trainer.get("accelerator") in ("auto", "gpu", "cuda") and torch.cuda.is_available()


def _scale(run: Path) -> float:
    """What a regression's targets were divided by."""
    checkpoint = torch.load(best_weights(run), map_location="cpu", weights_only=True)
    return float(checkpoint.get("Samples", {}).get("target_scale", 1.0))
