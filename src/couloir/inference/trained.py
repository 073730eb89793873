"""A finished run by its folder alone: its network, how its inputs are prepared, and what its outputs mean.

The data that it was trained on need not be there: the configuration, which is written in full, and the checkpoint hold
all that new samples need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn

from couloir.config.build import build, build_untrained
from couloir.config.fields import fields_of, is_sequence
from couloir.config.image_size import ImageSize, covering
from couloir.data.batches import Batch
from couloir.data.plain import Plain
from couloir.data.samples import Samples
from couloir.data.sequence.sequences import Sequences
from couloir.errors import CouloirError
from couloir.metric.gathered import Gathered
from couloir.record.checkpoint import best_weights, data_statistics, load_network, read_checkpoint
from couloir.task.build import build_task
from couloir.task.dense import Dense
from couloir.task.task import Step, Task
from couloir.trainer.within_memory import WithinMemory


class Trained:
    """A run whose training is over.

    Attributes:
        cfg: its configuration; the node `tta` says by which views an image is looked at.
        run: its folder.
        checkpoint: the file that its weights come from.
        statistics: what the checkpoint keeps of the data: mean, std, target_offset, target_scale, classes, columns.
        views: of `tta`, or None.
        data: what is known of the data: fields, channels, image_size, num_classes, classes, mean, std, encoding,
            targets (the names of a regression's values), target_offset, target_scale. Values are in the data's units
            after `scaled * target_scale + target_offset`.
        task: the network in evaluation mode, its loss, its metrics, and what an output means.

    Args:
        cfg: the run's configuration, of `couloir.config.finished.run_config`.
        run: its folder; or one of its checkpoints, where it is not the best that answers.

    Raises:
        CouloirError: the run has no checkpoint that can be read, or its network cannot look at such views.
    """

    def __init__(self, cfg: DictConfig, run: Path) -> None:
        self.checkpoint = best_weights(run)
        self.cfg, self.run = cfg, self.checkpoint.parents[1]
        content = read_checkpoint(self.checkpoint)
        self.statistics = data_statistics(content)
        self.is_plain = "Plain" in content
        self._assemble(lambda: _trained(cfg, content, self.run))

    def _assemble(self, network: Callable[[], nn.Module]) -> None:
        """Put views, data, network and task together; `cfg` and `statistics` are there."""
        self.views = build(self.cfg, "tta") if self.cfg.get("tta") else None
        self.device = device_of(self.cfg)
        self.data: Any = self._data()
        net = network()
        self.task: Task = build_task(self.cfg, net, self.data, scheduled=False, learns=False).to(self.device).eval()
        self._looking = net if self.views is None else self.views.adapt(net)

    def _data(self) -> Any:
        """What is known of the data without having it."""
        facts = OmegaConf.to_container(self.cfg.data, resolve=True)
        assert isinstance(facts, dict)
        named = {str(name): value for name, value in facts.items()}
        data: Samples | Plain
        if self.is_plain:
            data = Plain.without_samples(named, int(self.cfg.seed), self.statistics)
        else:
            made = Sequences if is_sequence(fields_of(named)) else Samples
            data = made.without_samples(named, self.statistics)
        if not data.targets and data.kind == "value" and named.get("target"):  # a checkpoint of an earlier version
            stated = named["target"]
            data.targets = [str(name) for name in (stated if isinstance(stated, list) else [stated])]
        data.to(self.device)
        return data

    @property
    def net(self) -> nn.Module:
        """The network, as it was built from the configuration's node `model`, in evaluation mode."""
        return self.task.net

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of their labels; none where there are no classes."""
        return list(self.data.classes)

    def prepare(self, x: Any, targets: Any = None) -> Batch:
        """Raw samples as a batch, as validation prepares them, where the network is.

        Args:
            x: uint8 or float32 in [0, 1] (B, C, H, W), or rows of a table in memory (B, F); of a data module of the
                user's own, inputs as its batches have them; of sequences whose lengths differ `Padded`.
            targets: theirs, as the data states them; None: the batch has no target.
        """
        batch: Batch = self.data.as_batch(x, targets)
        return batch

    def answer(self, batch: Batch) -> Any:
        """The mean answer over the views of each sample, in the data's own units, where the network is."""
        return self.respond(batch)[1]

    def respond(self, batch: Batch) -> tuple[Any, Any]:
        """The network's output, or None where an answer is the mean over several views; and the answer."""
        with torch.inference_mode():
            if self.views is None:
                output = self.task.outputs(batch)
                return output, self.task.answer(output)
            size, task = self.cfg.data.image_size, self.task
            if isinstance(task, Dense):
                return None, task.by_size(batch, lambda x: over_views(self.views, x, size, task, task.look), beside=0.0)
            return None, over_views(self.views, batch[task.input], size, task, self._looking)


class Measured:
    """The metrics of answers to samples whose truth is known.

    Args:
        task: what measures.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self._gathered: Gathered | None = None
        self.count = 0
        """Samples so far."""

    def add(self, step: Step, count: int) -> None:
        """Take in what `Task.compare` or the like makes of `count` samples."""
        with torch.inference_mode():
            if self._gathered is None:
                task, losses = self.task, tuple(step.losses)
                self._gathered = Gathered(
                    losses, task.measures(), task.further_metrics("test"), task.chosen, task.taken_by
                )
                self._gathered.metrics.to(task.device)
            weight = count if step.weight is None else step.weight
            self._gathered.add(weight, tuple(step.losses.values()), step.tensors)
        self.count += count

    def numbers(self) -> dict[str, float]:
        """The losses and metrics by name; none of no samples."""
        if self._gathered is None:
            return {}
        with torch.inference_mode():
            return {name: float(value) for name, value in self._gathered.compute().items()}


def mean_answer(answers: Sequence[Any]) -> Any:
    """The mean of the answers of several views or runs; of one, that answer, whatever its form.

    Raises:
        CouloirError: answers of such a form have no mean.
    """
    if len(answers) == 1:
        return answers[0]
    if not all(isinstance(answer, Tensor) and answer.is_floating_point() for answer in answers):
        raise CouloirError(
            "The answers of this run are not numbers that have a mean.", next_step="ask one run, tta=none"
        )
    return torch.stack(list(answers)).mean(dim=0)


def over_views(views: Any, x: Tensor, size: ImageSize, task: Task, look: Callable[[Tensor], Any]) -> Any:
    """The mean answer over several views of images; maps are turned back before.

    Args:
        views: of `tta`.
        x: images of one size, (B, C, H, W), loaded at the views' size.
        size: of the images in training.
        task: says what an output means.
        look: gives the network's output for views (B, C, h, w).
    """
    answers = [task.answer(look(view)) for view in views(x, size)]
    return mean_answer([views.back(answer, number) for number, answer in enumerate(answers)])


def loaded_size(cfg: DictConfig, views: Any) -> tuple[ImageSize | None, ImageSize | None]:
    """The size at which images are loaded, from which views are cut, and what a photograph covers before (None: that).

    Args:
        cfg: the run's configuration.
        views: of `tta`, or None.
    """
    size, resize = cfg.data.get("image_size"), cfg.data.get("resize")
    if views is None:
        return size, resize
    size = views.load_size(size)
    return size, None if resize is None else covering(resize, size)  # as in training, unless views look at more


def at_loaded_size(cfg: DictConfig, views: Any) -> DictConfig:
    """A copy of a run's configuration whose data is loaded as its views need it."""
    cfg = cfg.copy()
    if views is not None:
        with open_dict(cfg):
            cfg.data.image_size, resize = loaded_size(cfg, views)
            if resize is not None:
                cfg.data.resize = resize
            if views.squares > 1 and "memory_budget" in cfg.data:
                cfg.data.memory_budget = 0.0  # from the files, which are not square
    return cfg


def device_of(cfg: DictConfig) -> torch.device:
    """Where the network of a finished run computes."""
    gpu = cfg.trainer.get("accelerator") in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return torch.device("cuda" if gpu else "cpu")


def _trained(cfg: DictConfig, checkpoint: dict[str, Any], run: Path) -> nn.Module:
    with WithinMemory(), isolate_rng():
        net: nn.Module = build_untrained(cfg)
    load_network(net, checkpoint, run)
    return net
