"""A finished run together with its own data: testing again, views, ensembles.

Batch by batch: memory does not grow with the split.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from omegaconf import DictConfig, open_dict
from torch import Tensor, nn

from couloir.artifacts.prediction_table import predictions_recorded
from couloir.config.build import build
from couloir.config.image_size import sample_shape
from couloir.data.batches import Batch
from couloir.data.plain import prepared
from couloir.data.skipped import in_words
from couloir.data.worker_processes import workers_ended
from couloir.errors import CouloirError
from couloir.inference.trained import Measured, Trained, at_loaded_size, mean_answer
from couloir.log import say
from couloir.ragged import moved
from couloir.record.folder import RunFolder
from couloir.record.provenance import read_provenance


class Predictor(Trained):
    """A run that answers about its own data.

    Attributes:
        data: its data, prepared as in training, at the size that its views are cut from.
    """

    def _data(self) -> Any:
        cfg, known = at_loaded_size(self.cfg, self.views), self.statistics.get("classes")
        data = prepared(cfg, build(cfg, "data"))
        data.standardised_as(self.statistics)
        data.prepare_data()
        data.setup()
        if known and list(known) != list(data.classes):
            raise CouloirError(
                f"The run knows the classes {', '.join(map(str, known[:6]))}; the data has "
                f"{', '.join(map(str, data.classes[:6]))}.",
                next_step="evaluate on data that has the classes of the training",
            )
        if cfg.get("overfit") is not None:
            data.keep_only(cfg.overfit)
        data.to(self.device)
        if self.views is not None:
            data.cut_squares(self.views.squares)
        return data

    def batches(self, split: str = "test") -> Iterator[Batch]:
        """The batches of a split, in order, on the network's device; as many as the run's own test sees."""
        loader = getattr(self.data, f"{split}_dataloader")()
        with workers_ended(self.data):
            for batch in _limited(loader, self.cfg.trainer.get(f"limit_{split}_batches", 1.0)):
                yield {name: moved(field, self.device) for name, field in batch.items()}
        self.data.teardown("test")  # its workers would wait for another epoch


class Tested(NamedTuple):
    """What a test of one run, or of several together, gives.

    Attributes:
        numbers: the metrics by name.
        matrix: the confusion matrix (C, C); empty where there are no classes.
        classes: their names.
    """

    numbers: dict[str, float]
    matrix: Tensor
    classes: list[str]


def evaluate(
    cfgs: Sequence[DictConfig],
    runs: Sequence[Path],
    between: Callable[[], None] | None = None,
    folder: RunFolder | None = None,
    same_data: bool = False,
) -> Tested:
    """The metrics of the test split by the mean answer of all runs and views.

    The loss of a mean answer is left out where it would have to be guessed: of a mean probability there is a
    cross-entropy, but no logit.

    Args:
        cfgs: the configuration of each run.
        runs: their folders, or checkpoints of theirs.
        between: called after each batch; it may end the work by an exception.
        folder: where `predictions.csv` goes; None: nowhere.
        same_data: the data is meant to be that of the training; a warning says if it has other samples.

    Raises:
        CouloirError: the runs have no checkpoint, or not the same test split.
    """
    first, *others = cfgs
    for cfg in others:  # batch by batch, they must see the same samples
        if "batch_size" in first.data and "batch_size" in cfg.data:
            with open_dict(cfg):
                cfg.data.batch_size = first.data.batch_size
    predictors = [Predictor(cfg, run) for cfg, run in zip(cfgs, runs, strict=True)]
    leader = predictors[0]
    _check_splits(predictors)
    for line in in_words(leader.data.skipped) if between is None else ():
        say.warning("%s", f"warning: {line}")
    for run in runs if same_data else ():
        _warn_of_change(leader.data.sizes(), run if run.is_dir() else run.parents[1])
    recorded = nullcontext() if folder is None else predictions_recorded(leader.task, leader.data, folder)
    with recorded:
        if len(predictors) == 1 and leader.views is None:
            return _alone(leader, between)
        return _together(predictors, between)


def _warn_of_change(sizes: dict[str, int], run: Path) -> None:
    """Say that a held-out split is drawn anew: samples of the training may be in it."""
    then = read_provenance(run, strict=False).get("data", {}).get("sizes", sizes)
    if then != sizes:
        changed = ", ".join(
            f"{name} {then.get(name)}, now {size}" for name, size in sizes.items() if then.get(name) != size
        )
        say.warning("%s", f"warning: the data of {run.name} has changed ({changed} samples): a test split that is held "
                          "out is drawn anew, and may hold samples of the training")  # fmt: skip


def _alone(predictor: Predictor, between: Callable[[], None] | None) -> Tested:
    """As the run's own test does."""
    task = predictor.task
    with torch.inference_mode():
        for batch in predictor.batches():
            task.take("test", batch)
            if between is not None:
                between()
        numbers = task.gathered["test"].compute()
        matrix = task.seen["confusion"].compute() if "confusion" in task.seen else torch.empty(0)
    return Tested({name: float(value) for name, value in numbers.items()}, matrix.cpu(), predictor.data.classes)


def _together(predictors: Sequence[Predictor], between: Callable[[], None] | None) -> Tested:
    first = predictors[0]
    task = first.task
    measured = Measured(task)
    seen = {name: metric.to(task.device) for name, metric in task.examine(first.data).items()}
    with torch.inference_mode():
        for batches in itertools.zip_longest(*(predictor.batches() for predictor in predictors)):
            _check_same(batches, predictors)
            answer = mean_answer(
                [predictor.answer(batch) for predictor, batch in zip(predictors, batches, strict=True)]
            )
            step = task.compare(answer, batches[0])
            if task.told is not None:
                task.told(batches[0], task.tabled(batches[0], step, answer))
            measured.add(step, len(answer))
            if "confusion" in seen:
                seen["confusion"].update(*task.confused(step))
            if between is not None:
                between()
        matrix = seen["confusion"].compute() if "confusion" in seen else torch.empty(0)
    return Tested(measured.numbers(), matrix.cpu(), first.data.classes)


def _check_splits(predictors: Sequence[Predictor]) -> None:
    """The numbers of the test samples, where they come out of one set that the runs have divided themselves.

    Raises:
        CouloirError: they are not the same: the runs have another seed, say, or another fold.
    """
    first, *others = predictors
    for other in others:
        one, its = (getattr(each.data, "splits", {}).get("test") for each in (first, other))
        if one is not None and its is not None and not np.array_equal(one.indices, its.indices):
            raise _other_split(first, other)


def _other_split(first: Predictor, other: Predictor) -> CouloirError:
    return CouloirError(
        f"The runs {first.run.name} and {other.run.name} do not have the same test split.",
        next_step="evaluate runs together that have the same data, seed, fold and splits",
    )


def _check_same(batches: Sequence[Batch | None], predictors: Sequence[Predictor]) -> None:
    """The targets of one batch, as each run has them, in the data's own units.

    Raises:
        CouloirError: they are not the same samples.
    """
    first = predictors[0]
    for predictor, batch in zip(predictors[1:], batches[1:], strict=True):
        same = predictor.data.classes == first.data.classes
        if same and batch is not None and batches[0] is not None:
            pairs = ((first, batches[0]), (predictor, batch))
            one, other = (each.task.truth(found).cpu().double() for each, found in pairs)
            same = one.shape == other.shape and torch.allclose(one, other, rtol=1e-4, atol=1e-6)
        if not same or batch is None or batches[0] is None:
            raise _other_split(first, predictor)


def check_views(net: nn.Module, views: Any, data: Any) -> None:
    """Show one view of zeros to the network before training, so that it does not fail after it.

    Raises:
        CouloirError: the data has no images, or the network does not take such views, or they do not go with maps.
    """
    if data.image_size is None:
        raise CouloirError("tta takes several views of an image, and the data has no images.", next_step="tta=none")
    shape = sample_shape(data.channels, views.load_size(data.image_size))
    training = net.training
    try:
        with torch.no_grad():
            looking = views.adapt(net.eval())
            views.back(looking(next(iter(views(torch.zeros(1, *shape), data.image_size)))), 0)
    except (RuntimeError, ValueError, IndexError) as error:
        raise CouloirError(
            f"The network cannot take the views of {type(views).__name__}: {str(error).splitlines()[0]}",
            next_step="tta=ten_crop and tta=mirror keep the size of training; tta=none",
        ) from error
    finally:
        net.train(training)


def _limited(batches: Any, limit: int | float) -> Iterator[Any]:
    """As many batches as a limit of the trainer lets the run's own test see."""
    if limit == 1.0 and not isinstance(limit, int):
        return iter(batches)
    count = limit if isinstance(limit, int) else int(len(batches) * min(1.0, limit))
    return itertools.islice(batches, max(1, count))
