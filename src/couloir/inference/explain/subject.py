"""What is explained: a network, the inputs that it looks at as people see them, and the outputs that stand for answers.

Each method takes a `Subject` and the `Shown` samples. Hooks, random numbers, modes and gradients of parameters are left
as they were.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from couloir.config.fields import SAMPLE, input_field
from couloir.config.image_size import input_size, sample_shape
from couloir.errors import CouloirError, did_you_mean
from couloir.finetune.layers import passed
from couloir.inference.begun import BegunWithData
from couloir.inference.explain.imagenet import imagenet
from couloir.inference.predictor import Predictor
from couloir.inference.trained import Trained
from couloir.task.dense import Dense

BATCH = 32
"""Images that pass the network at a time."""
AGAIN = ("gradient_checkpointing", "memory_efficient")
"""Keys of layers that run again in the backward pass, to save memory."""
PASSING = ("Dropout", "Dropout2d", "Identity", "Sequential")
"""Layers that compute nothing themselves in evaluation."""


class Met(NamedTuple):
    """One layer, as a sample meets it.

    Attributes:
        name: its dotted name.
        kind: its class.
        shape: of its output without the batch; of maps (C, H, W).
    """

    name: str
    kind: str
    shape: tuple[int, ...]


def fast(x: Tensor) -> Tensor:
    """The same values in the order in memory in which convolutions are fastest: of SqueezeNet on a CPU a forward pass
    takes half the time, and one with gradients three quarters.
    """
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


@dataclass
class Shown:
    """The samples that are explained.

    Attributes:
        pixels: images in [0, 1] (N, C, H, W) at the network's size, or rows as they are (N, F), on the device.
        x: the same as the network takes them, standardised.
        target: the output that is explained, (N,) int64, on the device.
        names: what each is called: a file's name, or its place in a split.
        truth: the class of each, -1 where it is not known; None: of none it is known.
    """

    pixels: Tensor
    x: Tensor
    target: Tensor
    names: list[str] = field(default_factory=list)
    truth: list[int] | None = None

    def __len__(self) -> int:
        return len(self.x)

    def part(self, places: Sequence[int]) -> Shown:
        """Some of them."""
        at = list(places)
        truth = None if self.truth is None else [self.truth[place] for place in at]
        return Shown(self.pixels[at], self.x[at], self.target[at], [self.names[place] for place in at], truth)


class Subject:
    """A network that is looked into.

    Its activations do not work in place any more, so that what a layer gives can be kept, and its parameters take no
    gradients.

    Args:
        trained: a finished run, or what stands for one.

    Attributes:
        trained: the same.
        net: the network, in evaluation mode.
        task: what an output means.
        classes: their names; those of a regression's values, or numbers, where there are none.
    """

    def __init__(self, trained: Trained) -> None:
        self.trained, self.task, self.net = trained, trained.task, trained.net
        self.data = trained.data
        self.device = trained.device
        self.kind: str = self.data.fields[input_field(self.data.fields)]
        for module in self.net.modules():
            if getattr(module, "inplace", False) is True:
                module.inplace = False  # type: ignore[assignment]
            for key in AGAIN:  # a second pass would be one without what surrounded the first
                if getattr(module, key, False) is True:
                    setattr(module, key, False)
        self.net.eval().requires_grad_(False)

    @property
    def is_image(self) -> bool:
        """Whether it looks at images."""
        return self.kind == "image"

    @cached_property
    def _scale(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the channels or columns, to be broadcast."""
        shape = {"image": (1, -1, 1, 1), "series": (1, 1, -1), "video": (1, -1, 1, 1, 1)}.get(self.kind, (1, -1))
        found = [torch.as_tensor(value, dtype=torch.float32, device=self.device).reshape(-1)
                 for value in (self.data.mean, self.data.std)]  # fmt: skip
        return found[0].reshape(shape), found[1].reshape(shape)

    def standardised(self, pixels: Tensor) -> Tensor:
        """Images in [0, 1] (B, C, H, W), or rows (B, F), as the network takes them; gradients pass."""
        mean, std = self._scale
        return (pixels - mean) / std

    def pixels(self, x: Tensor) -> Tensor:
        """The inverse of `standardised`."""
        mean, std = self._scale
        return x * std + mean

    def scores(self, x: Tensor) -> Tensor:
        """The raw score of each output for standardised inputs, (B, K): logits of classes, values of a regression as
        the network gives them; of maps the mean over the pixels of each channel. Gradients pass.
        """
        if isinstance(self.task, Dense):
            output = self.task.look(x)
            return output.flatten(2).mean(dim=2) if output.ndim == 4 else output.flatten(1).mean(dim=1, keepdim=True)
        output = self.net(x)
        if not isinstance(output, Tensor):
            raise CouloirError(
                f"The network gives a {type(output).__name__}, and what is explained is a tensor of scores.",
                next_step="let the network return its scores in evaluation",
            )
        return output.reshape(len(x), -1)

    def score(self, x: Tensor, target: Tensor) -> Tensor:
        """The raw score of one output for each input, (B,)."""
        return self.scores(x).gather(1, target[:, None])[:, 0]

    def answers(self, x: Tensor) -> Tensor:
        """What the scores mean, (B, K) without gradient: probabilities of classes, values in the data's units."""
        with torch.no_grad():
            return torch.cat([self.as_answers(self.scores(fast(part))) for part in torch.split(x, BATCH)])

    def as_answers(self, scores: Tensor) -> Tensor:
        """The same of scores (B, K); gradients pass."""
        found = self.task.answer(scores)
        assert isinstance(found, Tensor)
        return found.reshape(len(scores), -1)

    @property
    def chooses(self) -> bool:
        """Whether its answer is one of several classes, whose probabilities sum to 1."""
        return bool(self.data.kind == "label")

    def name_of(self, target: int) -> str:
        """What an output is called; a class of ImageNet by its word, not by its number in WordNet."""
        names = list(self.data.classes) or list(getattr(self.data, "targets", []))
        name = str(names[target]) if target < len(names) else f"output {target}"
        return imagenet().get(name, name)

    def gradients(self, x: Tensor, target: Tensor) -> Tensor:
        """How the score of the target changes with each number of standardised inputs, in the form of `x`."""
        found = []
        for part, wanted in zip(torch.split(x, BATCH), torch.split(target, BATCH), strict=True):
            given = fast(part.detach()).clone().requires_grad_()
            with torch.enable_grad():
                found.append(torch.autograd.grad(self.score(given, wanted).sum(), given)[0].contiguous())
        return torch.cat(found)

    @cached_property
    def met(self) -> list[Met]:
        """All modules that give one tensor, in the order in which a sample meets them, blocks behind their parts."""
        names = {module: name for name, module in self.net.named_modules() if name}
        order: dict[str, Met] = {}

        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                order[names[module]] = Met(names[module], type(module).__name__, tuple(output.shape[1:]))

        hooks = [module.register_forward_hook(note) for module in names]
        try:
            with torch.no_grad():
                self.net(self.empty())
        finally:
            for hook in hooks:
                hook.remove()
        return list(order.values())

    def empty(self, count: int = 1) -> Tensor:
        """Inputs of the network's size that hold zeros."""
        data = self.data  # of which images that were shrunk to be restored are larger than those that the network sees
        size = input_size({"image_size": data.image_size, "factor": getattr(data, "factor", 1), "fields": data.fields})
        shape = sample_shape(self.data.channels, size) if self.is_image else (self.data.channels,)
        return torch.zeros(count, *shape, device=self.device)

    def layer(self, name: str) -> Met:
        """A layer by its dotted name.

        Raises:
            CouloirError: no sample meets a layer of that name.
        """
        found = next((met for met in self.met if met.name == name), None)
        if found is None:
            hint = did_you_mean(name, [met.name for met in self.met], form="--layer {}")
            last = self.mapped[-1].name if self.mapped else self.met[-1].name
            raise CouloirError(
                f"The network has no layer '{name}' that a sample passes.",
                next_step=hint or f"couloir summary lists them, such as --layer {last}",
            )
        return found

    @property
    def mapped(self) -> list[Met]:
        """The layers that give maps of more than one pixel, in order."""
        return [met for met in self.met if len(met.shape) == 3 and max(met.shape[1:]) > 1]

    @cached_property
    def last_maps(self) -> Met:
        """The last layer with maps before the scores: what Grad-CAM looks at. A layer whose maps are those of the
        classes themselves does not count.

        Raises:
            CouloirError: no layer has maps.
        """
        head = {name.rpartition(".")[0] for name in self.scoring}
        inner = [met for met in self.mapped if met.kind not in PASSING and met.name not in (*self.scoring, *head)]
        before = [met for met in inner if self._order(met.name) < min(map(self._order, self.scoring), default=1 << 30)]
        if not (before or inner):
            raise CouloirError(
                "No layer of the network has maps.", next_step="methods that need none: --methods gradients"
            )
        return (before or inner)[-1]

    @cached_property
    def scoring(self) -> list[str]:
        """The last layer with weights: that which gives the scores."""
        weighted = [name for name in passed(self.net, self.empty())
                    if any(True for _ in self.net.get_submodule(name).parameters(recurse=False))]  # fmt: skip
        return weighted[-1:]

    def _order(self, name: str) -> int:
        return next((place for place, met in enumerate(self.met) if met.name == name), 1 << 30)

    @contextmanager
    def kept(self, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
        """What some layers give in the passes that follow, by name; the last pass counts, with its gradients."""
        found: dict[str, Tensor] = {}

        def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
            def hook(module: nn.Module, inputs: Any, output: Any) -> None:
                if isinstance(output, Tensor):
                    found[name] = output

            return hook

        hooks = [self.net.get_submodule(name).register_forward_hook(keep(name)) for name in names]
        try:
            yield found
        finally:
            for hook in hooks:
                hook.remove()

    def outputs(self, x: Tensor, name: str) -> Tensor:
        """What one layer gives for standardised inputs, (B, ...), without gradient."""
        parts = []
        with torch.no_grad(), self.kept([name]) as found:
            for part in torch.split(x, BATCH):
                self.net(part)
                parts.append(found[name])
        return torch.cat(parts)

    def hidden(self, x: Tensor) -> Tensor:
        """The values of the last hidden layer, what the last layer with weights takes: (B, F), without gradient. Of a
        convolution that gives the scores its maps are averaged.
        """
        if not self.scoring:
            return x.flatten(1)
        parts: list[Tensor] = []

        def keep(module: nn.Module, inputs: Any) -> None:
            parts.append(inputs[0].detach())

        hook = self.net.get_submodule(self.scoring[0]).register_forward_pre_hook(keep)
        try:
            with torch.no_grad():
                for part in torch.split(x, BATCH):
                    self.net(part)
        finally:
            hook.remove()
        return torch.cat([part.flatten(2).mean(dim=2) if part.ndim > 2 else part for part in parts])

    def split(self, name: str, most: int | None = None) -> Iterator[tuple[Tensor, Tensor | None, list[int]]]:
        """The samples of a split of the run's own data as validation sees them, batch by batch: standardised inputs
        (B, ...), targets where there are some, and their places in the split.

        Args:
            name: `train`, `val` or `test`.
            most: samples from all over the split at most; None: all of them.

        Raises:
            CouloirError: the data is not there.
        """
        if not self.has_data:
            raise CouloirError(
                "The data of the run is not there, and this method looks through it.",
                next_step="data.root=FOLDER or data.path=FILE says where it is now; or leave the method out",
            )
        start = 0
        for batch in self.data.spread(name, sys.maxsize if most is None else most):
            x, target = batch[self.task.input].to(self.device), batch.get(self.task.target)
            numbers = batch.get(SAMPLE)
            places = list(range(start, start + len(x))) if numbers is None else numbers.tolist()
            yield x, target.to(self.device) if isinstance(target, Tensor) else None, places
            start += len(x)

    @property
    def has_data(self) -> bool:
        """Whether the data of the run is there, and its splits can be looked through."""
        return isinstance(self.trained, Predictor | BegunWithData)
