"""The test split again: by the checkpoint of a run, by several views of each image, by several runs together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, open_dict
from torch import Tensor, nn

from couloir.config.build import build
from couloir.data.skipped import Skipped, in_words
from couloir.data.worker_processes import workers_ended
from couloir.errors import CouloirError
from couloir.log import say
from couloir.loss.classification import CrossEntropy
from couloir.metric.chosen import build_metrics, number
from couloir.record.checkpoint import best_weights, network_state, read_checkpoint
from couloir.record.configuration import FILE
from couloir.task.build import metrics_for
from couloir.task.supervised import converted
from couloir.trainer.within_memory import WithinMemory


@dataclass(frozen=True)
class Predictions:
    """What a run says of the test split.

    Attributes:
        values: class probabilities (N, C), or values (N, 1) in the units of the data.
        raw: the network's own output where there was one view, (N, C), and the form that it is in.
        targets: labels (N,), or values (N, 1) in the units of the data.
        classes: the classes' names.
        offset: what was subtracted from a regression's targets before training.
        scale: what they were divided by then.
        skipped: samples that were left out of the data, not all of them of the test split.
    """

    values: Tensor
    raw: tuple[Tensor, str] | None
    targets: Tensor
    classes: list[str]
    offset: float
    scale: float
    skipped: list[Skipped]


class Form(nn.Module):
    """Says in which form predictions are (`output`, as a network does) or are wanted (`expects`, as a loss does)."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.output = self.expects = name


def evaluate(cfgs: list[DictConfig], runs: list[Path]) -> tuple[dict[str, float], Tensor, list[str]]:
    """The metrics of the test split by the mean prediction of all runs and views.

    The loss of a mean prediction is left out where it would have to be guessed: of a mean probability there is a
    cross-entropy, but no logit.

    Args:
        cfgs: the configuration of each run; its node `tta` says which views.
        runs: their folders.

    Returns:
        the metrics by name, the confusion matrix (C, C) (empty for a regression), and the classes' names.

    Raises:
        CouloirError: the runs have no checkpoint, or not the same test split.
    """
    found = [predict(cfg, run) for cfg, run in zip(cfgs, runs, strict=True)]
    for run, other in zip(runs[1:], found[1:], strict=True):
        if not _same_test(found[0], other):
            raise CouloirError(
                f"The runs {runs[0].name} and {run.name} have not the same test split.",
                next_step="runs of one ensemble need the same data, seed and subset",
            )
    if found[0].skipped:
        say.warning("%s", f"warning: {in_words(found[0].skipped)}")
    return measure(cfgs[0], found)


def _same_test(one: Predictions, other: Predictions) -> bool:
    same_length = len(one.targets) == len(other.targets) and one.classes == other.classes
    return same_length and torch.allclose(one.targets.double(), other.targets.double(), rtol=1e-4, atol=1e-6)


def measure(cfg: DictConfig, found: list[Predictions]) -> tuple[dict[str, float], Tensor, list[str]]:
    """The metrics of predictions, alone or averaged.

    Args:
        cfg: the configuration of the first run: its task and its loss.
        found: what each run predicts.
    """
    first, loss = found[0], build(cfg, "loss")
    mean = torch.stack([other.values for other in found]).mean(dim=0)
    metric, confusion = metrics_for(str(cfg.data.task), int(cfg.data.num_classes), first.scale)
    if confusion is None:
        output, target = ((values - first.offset) / first.scale for values in (mean, first.targets))
        value, defined = loss(output, target), True
    elif len(found) == 1 and first.raw is not None:
        output, target = first.raw[0], first.targets
        value, defined = loss(converted(output, Form(first.raw[1]), loss), target), True
    else:
        output, target = mean.clamp_min(torch.finfo(mean.dtype).tiny).log(), first.targets
        defined = isinstance(loss, CrossEntropy) or loss.expects in ("log_probabilities", "distribution")
        value = loss(converted(output, Form("logits"), loss), target)
    metric.update(output, target, value)
    numbers = {name: float(value) for name, value in metric.compute().items() if defined or name != "loss"}
    for name, further in build_metrics(cfg).items():
        further.update(mean, first.targets)
        numbers[name] = float(number(further))
    if confusion is None:
        return numbers, torch.empty(0), []
    confusion.update(output, target)
    return numbers, confusion.compute(), first.classes


def predict(cfg: DictConfig, run: Path, between: Callable[[], None] | None = None) -> Predictions:
    """The mean prediction over the views of `cfg.tta` for each sample of the test split, in order.

    Args:
        cfg: the run's configuration.
        run: its folder.
        between: called after each batch; it may end the work by an exception.

    Raises:
        CouloirError: the run has no checkpoint that can be read, or its network cannot look at such views.
    """
    checkpoint = read_checkpoint(best_weights(run))
    statistics = checkpoint.get("Samples", {})
    views, size = build(cfg, "tta") if cfg.get("tta") else None, cfg.data.image_size
    data = _load(cfg, views, statistics)
    net = _trained(cfg, checkpoint, run).to(data.device)
    looking = net if views is None else views.adapt(net)
    form = Form("distribution" if data.task == "classification" else "values")
    values, raw, targets = [], [], []
    with workers_ended(data), torch.inference_mode():
        for x, y in _limited(data.test_dataloader(), cfg.trainer.get("limit_test_batches", 1.0)):
            outputs = [looking(view) for view in ((x,) if views is None else views(x, size))]
            values.append(torch.stack([converted(output, net, form) for output in outputs]).mean(dim=0).cpu())
            raw.append(outputs[0].cpu())
            targets.append(y.cpu())
            if between is not None:
                between()
    data.teardown("test")  # its workers would wait for another epoch
    offset, scale = float(data.target_offset), float(data.target_scale)
    predicted, true = torch.cat(values), torch.cat(targets)
    if data.task != "classification":
        predicted, true = predicted * scale + offset, true * scale + offset
    own = (torch.cat(raw), str(getattr(net, "output", "logits"))) if views is None else None
    return Predictions(predicted, own, true, data.classes, offset, scale, data.skipped)


def _trained(cfg: DictConfig, checkpoint: dict[str, Any], run: Path) -> nn.Module:
    with WithinMemory():
        net: nn.Module = build(cfg, "model", **({"weights": None} if cfg.model.get("weights") else {}))
    try:
        net.load_state_dict(network_state(checkpoint))
    except RuntimeError as error:
        raise CouloirError(
            f"The checkpoint of {run.name} does not fit its own configuration: {str(error).splitlines()[1].strip()}",
            place=str(run / FILE),
        ) from error
    return net.eval()


def check_views(net: nn.Module, views: Any, data: Any) -> None:
    """Show one view of zeros to the network before training, so that it does not fail after it.

    Raises:
        CouloirError: the data has no images, or the network does not take such views.
    """
    if data.image_size is None:
        raise CouloirError("tta looks at images from several sides, and the data has none.", next_step="tta=none")
    side = views.load_size(data.image_size)
    training = net.training
    try:
        with torch.no_grad():
            looking = views.adapt(net.eval())
            looking(next(iter(views(torch.zeros(1, data.channels, side, side), data.image_size))))
    except (RuntimeError, ValueError, IndexError) as error:
        raise CouloirError(
            f"The network cannot look at the views of {type(views).__name__}: {str(error).splitlines()[0]}",
            next_step="tta=ten_crop and tta=mirror keep the size of training; tta=none",
        ) from error
    finally:
        net.train(training)


def _load(cfg: DictConfig, views: Any, statistics: dict[str, Any]) -> Any:
    """The data at the size that the views are cut from, standardised and scaled as in training."""
    cfg = cfg.copy()
    if views is not None:
        with open_dict(cfg):
            resize = cfg.data.get("resize")
            cfg.data.image_size = views.load_size(int(cfg.data.image_size))
            if resize is not None:  # as in training, unless the views look at more than that
                cfg.data.resize = max(int(resize), cfg.data.image_size)
            if views.squares > 1 and "memory_budget" in cfg.data:
                cfg.data.memory_budget = 0.0  # from the files, which are not square
    data = build(cfg, "data")
    data.mean, data.std = statistics.get("mean", data.mean), statistics.get("std", data.std)
    data.prepare_data()
    data.setup()
    known = statistics.get("classes")
    if known and list(known) != list(data.classes):
        raise CouloirError(
            f"The run knows the classes {', '.join(map(str, known[:6]))}; the data has "
            f"{', '.join(map(str, data.classes[:6]))}.",
            next_step="evaluate on data with the classes of the training",
        )
    if "target_scale" in statistics:
        data.target_offset, data.target_scale = statistics["target_offset"], statistics["target_scale"]
    if cfg.get("overfit") is not None:
        data.keep_only(cfg.overfit)
    data.device = torch.device("cuda" if _on_gpu(cfg) else "cpu")
    source = data.splits["test"].source
    if views is not None and hasattr(source, "squares"):
        source.squares = views.squares
    return data


def _limited(batches: Any, limit: int | float) -> Iterator[Any]:
    """As many batches as `trainer.limit_test_batches` lets the run's own test see."""
    count = limit if isinstance(limit, int) else int(len(batches) * min(1.0, limit))
    return itertools.islice(batches, max(1, count))


def _on_gpu(cfg: DictConfig) -> bool:
    return cfg.trainer.get("accelerator") in ("auto", "gpu", "cuda") and torch.cuda.is_available()
