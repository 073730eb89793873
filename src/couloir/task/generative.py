"""What networks that make things share: pixels of standardised images, codes drawn by number, made pictures.

A network turns codes (B, K) into samples; the task says how it learns that. `couloir sample`, the pictures of an epoch
and the metrics of made samples ask no more than what stands here.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from couloir.config.fields import SAMPLE, input_field, of_kind
from couloir.data.batches import Batch
from couloir.errors import CouloirError
from couloir.ragged import length
from couloir.task.task import Task

CODES, NOISE, PIXELS, BOUND = range(4)
"""What a number draws, each from a stream of its own: codes of made samples, the noise of a sample's own code, its
binary pixels, and the noise of the codes of an importance-weighted bound.
"""


class Generative(Task):
    """A task whose network makes samples, or rebuilds them, out of codes (B, K).

    Args:
        keys: those of `Task`.
    """

    can_draw: ClassVar[bool] = False
    """Whether codes come from a known distribution, N(0, 1), so that drawn ones become new samples."""
    can_encode: ClassVar[bool] = False
    """Whether the network finds the code of a sample."""
    conditional: bool = False
    """Whether the network is told a class together with a code."""
    asks: ClassVar[tuple[str, ...]] = ("code_size",)
    """What a network must have: attributes and methods by name."""
    input_mean: Tensor
    input_std: Tensor

    def __init__(self, **keys: Any) -> None:
        data = keys["data"]
        self.makes_images = data.image_size is not None  # before `measures` and `examine` are asked
        """Whether samples are images; else rows of a table."""
        super().__init__(**keys)
        found = of_kind(data.fields, ["label"])
        self.label_field: str | None = found[0] if found else None
        """The field of the samples' classes, which batches hold beside the input; None: there is none."""
        for name, values in zip(("mean", "std"), standard_of(data), strict=True):
            self.register_buffer(f"input_{name}", values, persistent=False)
        self._counted = 0

    @property
    def code_size(self) -> int:
        """The numbers of a code, K."""
        return int(self.net.code_size)  # type: ignore[arg-type]

    # Samples.

    def pixels(self, x: Tensor) -> Tensor:
        """Standardised images (B, C, H, W) in [0, 1]; rows (B, F) stay as they are."""
        if not self.makes_images:
            return x
        return as_pixels(x, self.input_mean, self.input_std)

    def standardised(self, pixels: Tensor) -> Tensor:
        """Images in [0, 1] (B, C, H, W) as the network is given them; rows (B, F) stay as they are."""
        return (pixels - self.input_mean) / self.input_std if self.makes_images else pixels

    # Codes.

    def draw(self, numbers: Tensor, seed: int = 0) -> Tensor:
        """Codes from N(0, 1), (B, K), each a function of the seed and its number alone.

        Args:
            numbers: (B,) int64, at least 0.
            seed: of the whole.
        """
        return normal(numbers, (self.code_size,), CODES, seed).to(self.device)

    def make(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Pictures (B, C, H, W) in [0, 1], or rows (B, F), without gradients.

        Args:
            codes: (B, K).
            labels: (B,) int64, where the network is told a class.
        """
        raise CouloirError(f"{type(self).__name__} makes nothing out of codes.")

    def codes(self, batch: Batch) -> Tensor:
        """The codes of a batch, (B, K), without gradients."""
        raise CouloirError(f"{type(self).__name__} finds no codes of samples.")

    def rebuilt(self, batch: Batch) -> Tensor:
        """The samples of a batch through their codes, images (B, C, H, W) in [0, 1] or rows (B, F)."""
        return self.make(self.codes(batch))

    def numbers(self, batch: Batch) -> Tensor:
        """The numbers of a batch's samples in their split, (B,); where the data does not tell them, their places.

        It is asked once a batch.
        """
        if SAMPLE in batch:
            numbers: Tensor = batch[SAMPLE]
            return numbers
        begin, self._counted = self._counted, self._counted + length(batch)
        return torch.arange(begin, self._counted)

    # What Task asks for.

    def taken_by(self, name: str, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Of a step's tensors the made and the real pictures, of `made`; of all other metrics what is before them."""
        if name == "made":
            return tensors[-2:]
        return tensors[:-2] if self.can_draw and tensors[-1].ndim == 4 else tensors

    def chosen(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Made and real pictures, (B, C, H, W) in [0, 1]; of a task that makes none, the statistics."""
        return tensors[-2:] if self.can_draw else tensors

    def on_validation_epoch_start(self) -> None:
        """Begin to measure, and to count."""
        super().on_validation_epoch_start()
        self._counted = 0

    def on_test_epoch_start(self) -> None:
        """Begin to measure, and to count."""
        super().on_test_epoch_start()
        self._counted = 0

    @classmethod
    def check(cls, net: nn.Module, loss: nn.Module | None, data: Any) -> None:
        """Look at what the network has, and at the values of images that Couloir has not standardised.

        Raises:
            CouloirError: the network lacks something, or images lie outside [0, 1].
        """
        missing = [name for name in cls.asks if not hasattr(net, name)]
        if missing:
            raise CouloirError(
                f"{cls.__name__} asks the network {type(net).__name__} for {' and '.join(missing)}, which it lacks.",
                next_step="docs/generating.md says what a network of this task has; model=... chooses another",
            )
        if "map" in data.fields.values():
            raise CouloirError(
                f"{cls.__name__} learns images of one size, and the images of a data set with maps are whole ones.",
                next_step="data=image_folder takes a folder's pictures without their maps",
            )
        if data.image_size is None or data.mean is not None:
            return
        x = data.example_batch(2)[input_field(data.fields)]
        if not x.is_floating_point() or float(x.min()) < 0 or float(x.max()) > 1:
            raise CouloirError(
                f"{cls.__name__} compares pixels in [0, 1], and the images of this data module are {x.dtype} from "
                f"{float(x.min()):g} to {float(x.max()):g}.",
                next_step="let the module hand out float32 in [0, 1]; the network may standardise them itself",
            )


def standard_of(data: Any) -> tuple[Tensor, Tensor]:
    """Mean and deviation of images, (1, C, 1, 1) each; 0 and 1 where Couloir has not standardised them."""
    mean = [0.0] if data.mean is None else data.mean
    std = [1.0] if data.std is None else [value or 1.0 for value in data.std]  # as a channel that never varies has been
    return tuple(torch.tensor(each, dtype=torch.float32).view(1, -1, 1, 1) for each in (mean, std))  # type: ignore[return-value]


def as_pixels(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Standardised images (B, C, H, W) in [0, 1].

    Args:
        x: the images.
        mean: of `standard_of`.
        std: likewise.
    """
    return (x * std).add_(mean).clamp_(0, 1)  # torch.addcmul takes twice as long where two are broadcast


def numbered(numbers: Tensor, stream: int, seed: int = 0) -> list[np.random.Generator]:
    """A generator for each number, which follows from the seed, the number and the stream alone.

    Source: Salmon et al., 2011, Parallel Random Numbers: As Easy as 1, 2, 3 (Philox): the key is the seed and the
    number, and each stream has a part of the counter of its own.

    Args:
        numbers: (B,) int64, at least 0.
        stream: one of `CODES`, `NOISE`, `PIXELS` and `BOUND`.
        seed: of the whole.
    """
    counter = np.array([0, 0, 0, stream], np.uint64)
    keys = np.array([[seed, number] for number in numbers.tolist()], np.uint64)
    return [np.random.Generator(np.random.Philox(counter=counter, key=key)) for key in keys]


def normal(numbers: Tensor, shape: tuple[int, ...], stream: int, seed: int = 0) -> Tensor:
    """Values from N(0, 1), float32 (B, *shape) on the CPU; see `numbered`."""
    values = [each.standard_normal(shape, np.float32) for each in numbered(numbers, stream, seed)]
    return torch.from_numpy(np.stack(values)) if values else torch.empty(0, *shape)


def uniform(numbers: Tensor, shape: tuple[int, ...], stream: int, seed: int = 0) -> Tensor:
    """Values from [0, 1), float32 (B, *shape) on the CPU; see `numbered`."""
    values = [each.random(shape, np.float32) for each in numbered(numbers, stream, seed)]
    return torch.from_numpy(np.stack(values)) if values else torch.empty(0, *shape)
