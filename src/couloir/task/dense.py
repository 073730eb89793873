"""A value or a class a pixel: what segmentation, saliency and restoration share.

Networks learn on windows, and are measured on whole images. An image that is larger than the window is asked for in
tiles; images of several sizes that stand in one batch are taken out of it, each at its own size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric

from couloir.config.fields import SAMPLE, SIZE
from couloir.config.image_size import Size, size_of
from couloir.data.batches import Batch
from couloir.errors import CouloirError
from couloir.metric.worst_maps import WorstOfMaps
from couloir.task.task import Step, Task, try_network
from couloir.task.tiles import scanned

SMALLEST = 1e-30
"""What the sum of weights is at least: of images without a pixel that counts, the loss is 0 and not NaN."""


class Dense(Task):
    """Maps (B, K, f H, f W) of images (B, C, H, W), and one loss.

    Args:
        overlap: the share of a tile that it has in common with the next, where an image is larger than the window.
        keys: those of `Task`.
    """

    input_mean: Tensor
    input_std: Tensor
    ranked: ClassVar[tuple[str, ...]] = ()
    """What an image is measured by, names of `each`; the first says which images are worst."""
    classes_shown: ClassVar[int] = 0
    """How many of the last planes of `planes` are classes."""

    def __init__(self, overlap: float, **keys: Any) -> None:
        super().__init__(**keys)
        data = keys["data"]
        for name, value, otherwise in (("mean", data.mean, 0.0), ("std", data.std, 1.0)):
            numbers = [otherwise] if value is None else [each or otherwise for each in value]
            values = torch.tensor(numbers, dtype=torch.float32).view(1, -1, 1, 1)
            self.register_buffer(f"input_{name}", values, persistent=False)
        height, width = size_of(data.image_size)
        factor = getattr(data, "factor", 1)  # the window is of targets, and inputs may be smaller
        self.factor = factor
        self.overlap, self.window = overlap, (height // factor, width // factor)
        self.at_once = data.batch_size or 1
        self._observed = 0

    def measured_of(self, split: str) -> dict[str, Metric]:
        """In training the loss alone: what sorts or filters all pixels would cost a step too much."""
        return {} if split == "train" else self.measures()

    beside = 0.0
    """What stands in the outputs of a batch beside those of smaller images; an answer of it says nothing."""

    def compute(self, batch: Batch) -> Step:
        """The loss; of each sample the statistics that the metrics sum."""
        batch = self.counted(batch)
        if self.training:
            return self._trained(batch)
        steps = [
            (places, self.compared(output, target, x, places)) for places, x, target, output in self._by_size(batch)
        ]
        return _joined(steps)

    def counted(self, batch: Batch) -> Batch:
        """A batch whose target says which of its pixels count."""
        return batch

    def _trained(self, batch: Batch) -> Step:
        outputs = self.net(batch[self.input])
        own, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
        target = inner(batch[self.target], own)
        loss = self.criterion(own, target)
        for output in auxiliary:
            loss = loss + cast(float, self.net.auxiliary_weight) * self.criterion(output, target)
        return Step({"loss": loss}, self.statistics(self.prediction(own.detach()), target, None), self.weight(target))

    def compared(self, output: Tensor, target: Tensor, x: Tensor | None, places: list[int]) -> Step:
        """The loss and the statistics of the network's output for whole images, (B, K, H, W), all of one size."""
        seen = dict(zip(places, output, strict=True))
        loss = {"loss": self.criterion(output, target)}
        return Step(loss, self.statistics(self.prediction(output), target, x), self.weight(target), seen)

    def _by_size(self, batch: Batch) -> list[tuple[list[int], Tensor, Tensor, Tensor]]:
        """Of a batch, for each size that its images have: their places, they, their targets, the network's output."""
        x, target = batch[self.input], batch[self.target]
        found = []
        for places, (height, width) in groups_of(batch.get(SIZE), x):
            part, wanted = x[places, :, :height, :width], target[places]
            output = self.look(part)
            wanted = wanted[..., : output.shape[-2], : output.shape[-1]]  # not what stands beside it
            found.append((places, part, wanted, output))
        return found

    def look(self, x: Tensor) -> Tensor:
        """What the network gives for whole images of one size, (B, C, H, W): (B, K, f H, f W)."""
        return scanned(self.net, x, self.window, self.overlap, self.at_once)

    def criterion(self, outputs: Any, y: Tensor) -> Tensor:
        """The loss of the network's output."""
        assert self.loss is not None
        loss: Tensor = self.loss(self.prediction(outputs), y)
        return loss

    def prediction(self, output: Tensor) -> Tensor:
        """What the loss takes of an output."""
        return output

    def outputs(self, batch: Batch) -> Tensor:
        """What the network gives for the inputs of a batch, (B, K, H, W): those of smaller images in the top left."""
        return self.by_size(batch, self.look, self.beside)

    def by_size(self, batch: Batch, look: Callable[[Tensor], Tensor], beside: float) -> Tensor:
        """What is found of the images of a batch, of all those of one size together.

        Args:
            batch: the batch.
            look: whole images of one size, (B, C, H, W) -> (B, K, f H, f W).
            beside: what stands beside the maps of smaller images, which lie in the top left.

        Returns:
            (B, K, f H, f W).
        """
        x = batch[self.input]
        found: Tensor | None = None
        for places, (height, width) in groups_of(batch.get(SIZE), x):
            output = look(x[places, :, :height, :width])
            if SIZE not in batch:
                return output
            if found is None:
                factor = output.shape[-1] // width
                room = (len(x), output.shape[1], x.shape[-2] * factor, x.shape[-1] * factor)
                found = output.new_full(room, beside)
            found[places, :, : output.shape[-2], : output.shape[-1]] = output
        assert found is not None
        return found

    def statistics(self, prediction: Tensor, target: Tensor, x: Tensor | None) -> tuple[Tensor, ...]:
        """Of each sample what the metrics sum, (B, ...) each.

        Args:
            prediction: of `prediction`, or an answer, (B, K, H, W).
            target: as the batch has it.
            x: the inputs, where samples are whole images; None in training, where some are not measured.
        """
        raise NotImplementedError

    def weight(self, target: Tensor) -> Tensor | None:
        """What a batch counts among others; None: the number of its samples."""
        return None

    def each(self, tensors: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """What each sample is measured by, (B,) or, by class, (B, K), by name.

        Args:
            tensors: of `statistics`, of whole images.
        """
        raise NotImplementedError

    def tabled(self, batch: Batch, step: Step, answer: Tensor | None = None) -> dict[str, Tensor]:
        """What each image is measured by: the map itself is no row."""
        return {name: values.float() for name, values in self.each(step.tensors).items()}

    def examine(self, data: Any) -> dict[str, Metric]:
        """The images whose maps are worst, with their pictures, where it is known how images were standardised."""
        if data.mean is None or data.image_size is None:
            return {}
        return {"maps": WorstOfMaps(self.ranked, self.planes_of(3 if data.channels == 3 else 1))}

    def observe(self, batch: Batch, step: Step) -> None:
        """Keep the worst images."""
        if "maps" not in self.seen:
            return
        batch = self.counted(batch)
        x, target = batch[self.input], batch[self.target]
        sizes = batch.get(SIZE)

        def pictures(place: int) -> tuple[Tensor, int]:
            height, width = x.shape[-2:] if sizes is None else sizes[place].tolist()
            output = step.outputs[place]
            image = (x[place : place + 1, :, :height, :width].float() * self.input_std + self.input_mean)[0]
            true = target[place][..., : output.shape[-2], : output.shape[-1]]
            shown = image if len(image) == 3 else image[:1]  # what is no colour is shown by its first channel
            return self.planes(shown, output, true), self.classes_shown

        measured = self.each(step.tensors)
        numbers = torch.stack([measured[name] for name in self.ranked], dim=1)
        positions = batch[SAMPLE] if SAMPLE in batch else torch.arange(len(x)) + self._observed
        self._observed += len(x)
        self.seen["maps"].update(numbers, positions, pictures)

    def planes_of(self, channels: int) -> int:
        """How many planes `planes` gives for images of 1 or 3 channels."""
        return channels + 2

    def planes(self, image: Tensor, output: Tensor, target: Tensor) -> Tensor:
        """What is shown of a sample: its image, the truth and the answer as planes (P, H, W) of one size.

        Args:
            image: the input in [0, 1], (C, H, W), C being 1 or 3.
            output: the network's output, (K, f H, f W).
            target: as the batch has it, (f H, f W) or (M, f H, f W).
        """
        raise NotImplementedError

    def compare(self, answer: Tensor, batch: Batch) -> Step:
        """The metrics' statistics of answers that were averaged over views or runs, and no loss.

        Args:
            answer: of `answer`, of the whole batch, (B, K, H, W).
            batch: the batch.
        """
        batch = self.counted(batch)
        x, target = batch[self.input], batch[self.target]
        factor = target.shape[-1] // x.shape[-1]
        steps = []
        for places, (height, width) in groups_of(batch.get(SIZE), x):
            part = answer[places, :, : height * factor, : width * factor]
            wanted = target[places][..., : height * factor, : width * factor]
            seen = dict(zip(places, part, strict=True))
            tensors = self.statistics(part, wanted, x[places, :, :height, :width])
            steps.append((places, Step({}, tensors, outputs=seen)))
        return _joined(steps)

    def at_size(self, answer: Tensor, size: Size) -> Tensor:
        """Answers (B, K, H, W) to images that were scaled, at the size of these, or the factor times that.

        Args:
            answer: of `answer`.
            size: height and width of the images before they were scaled.
        """
        wanted = (size[0] * self.factor, size[1] * self.factor)
        if tuple(answer.shape[-2:]) == wanted:
            return answer
        return F.interpolate(answer, wanted, mode="bilinear", antialias=True)

    @classmethod
    def check(cls, net: nn.Module, loss: nn.Module | None, data: Any) -> None:
        """Send two samples through the network.

        Raises:
            CouloirError: it does not take them, or does not return a map for each, or one that is not enlarged where
                the data asks for that.
        """
        output, count = try_network(net, data)
        shape = tuple(getattr(output, "shape", ()))
        if len(shape) != 4 or shape[:2] != (count, data.num_classes):
            raise CouloirError(
                f"The network returns shape {shape} for {count} samples; the data needs {count} maps of "
                f"{data.num_classes} channels.",
                next_step="a model whose output is an image, such as model=unet",
            )
        factor = getattr(data, "factor", 1)
        if factor > 1 and shape[2:] != size_of(data.image_size):
            raise CouloirError(
                f"The network returns images of {shape[2]} x {shape[3]} pixels, and data.factor={factor} asks for "
                f"{' x '.join(map(str, size_of(data.image_size)))}.",
                next_step="a network that enlarges its input, such as model=espcn or model=srcnn",
            )


def inner(target: Tensor, output: Tensor) -> Tensor:
    """The middle of a target, as large as the output of a network without padding."""
    height, width = output.shape[-2:]
    top, left = (target.shape[-2] - height) // 2, (target.shape[-1] - width) // 2
    return target[..., top : top + height, left : left + width]


def groups_of(sizes: Tensor | None, x: Tensor) -> list[tuple[list[int], tuple[int, int]]]:
    """The samples of a batch by the sizes of their images, in the order in which these come.

    Args:
        sizes: heights and widths, (B, 2); None: all fill the batch.
        x: the images (B, C, H, W).
    """
    if sizes is None:
        return [(list(range(len(x))), (int(x.shape[-2]), int(x.shape[-1])))]
    groups: dict[tuple[int, int], list[int]] = {}
    for place, (height, width) in enumerate(sizes.tolist()):
        groups.setdefault((height, width), []).append(place)
    return [(places, size) for size, places in groups.items()]


def _joined(steps: list[tuple[list[int], Step]]) -> Step:
    """The steps of the groups of one batch as one, its samples in the order of the batch."""
    if len(steps) == 1:
        return steps[0][1]
    weights = [step.weight for _, step in steps if step.weight is not None]
    counts = torch.tensor([len(places) for places, _ in steps])
    counted = torch.stack(weights) if weights else counts
    losses = {}
    for name in steps[0][1].losses:
        values = torch.stack([step.losses[name] for _, step in steps])
        shares = counted.to(values)
        # An image without a pixel that counts has no loss: 0 times NaN would be one.
        losses[name] = torch.where(shares > 0, values * shares, 0).sum() / shares.sum().clamp_min(SMALLEST)
    order = torch.tensor([place for places, _ in steps for place in places]).argsort()
    tensors = tuple(
        torch.cat(parts)[order.to(parts[0].device)] for parts in zip(*(step.tensors for _, step in steps), strict=True)
    )
    seen = {place: output for _, step in steps for place, output in step.outputs.items()}
    return Step(losses, tensors, counted.sum() if weights else None, seen)
