"""What autoencoders and VAEs share: samples that are rebuilt out of their codes, and the worst of them."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from couloir.config.fields import input_field
from couloir.data.batches import Batch
from couloir.errors import CouloirError
from couloir.metric.worst_maps import WorstOfMaps
from couloir.task.generative import Generative, as_pixels, standard_of
from couloir.task.task import Step, try_network


class Rebuilt(NamedTuple):
    """What a network makes of the samples of a batch.

    Attributes:
        given: what it was given, images (B, C, H, W) in [0, 1] or rows (B, F).
        answer: what came out, of the same shape.
        each: what each sample is measured by, (B,) by name.
        codes: (B, K).
        numbers: of the samples in their split, (B,) int64.
    """

    given: Tensor
    answer: Tensor
    each: dict[str, Tensor]
    codes: Tensor
    numbers: Tensor


class Rebuilding(Generative):
    """A network with `encode` and `decode`, whose samples come back out of their codes.

    Args:
        keys: those of `Task`.
    """

    can_encode = True
    asks = ("code_size", "encode", "decode")
    shown_as = "images"
    ranked: ClassVar[tuple[str, ...]] = ("psnr",)
    """What an image is measured by in `maps.png`, names of `Rebuilt.each`; the first says which images are worst."""
    said: ClassVar[tuple[str, ...]] = ("error",)
    """The columns that say something of a sample, names of `Rebuilt.each`."""
    encoded: ClassVar[tuple[str, ...]] = ("the codes",)
    """What `encode` of the network gives, a tensor (B, code_size) each."""

    def examine(self, data: Any) -> dict[str, Metric]:
        """The images that come back worst, with their pictures."""
        if not self.makes_images:
            return {}
        return {"maps": WorstOfMaps(self.ranked, 3 * (3 if data.channels == 3 else 1))}

    def observe(self, batch: Batch, step: Step) -> None:
        """Keep the worst images."""
        if "maps" not in self.seen:
            return
        seen: Rebuilt = step.outputs
        clean = self.pixels(batch[self.input])

        def pictures(place: int) -> tuple[Tensor, int]:
            planes = [x[place].float().clamp(0, 1) for x in (seen.given, clean, seen.answer)]
            # What is no colour is shown by its first channel.
            return torch.cat([x if len(x) == 3 else x[:1] for x in planes]), 0

        numbers = torch.stack([seen.each[name] for name in self.ranked], dim=1)
        self.seen["maps"].update(numbers, seen.numbers, pictures)

    def outputs(self, batch: Batch) -> Rebuilt:
        """What is said of the samples of a batch, as a test does."""
        seen: Rebuilt = self.compute(batch).outputs
        return seen

    def answer(self, output: Any) -> Tensor:
        """Images (B, C, H, W) in [0, 1], or rows (B, F) as the network has them.

        Args:
            output: of `outputs`, or the network's own.
        """
        answer = output.answer if isinstance(output, Rebuilt) else output
        return answer.float().clamp(0, 1) if self.makes_images else answer

    def columns(self, answer: Any, output: Any = None) -> dict[str, Tensor]:
        """What each sample is measured by, and its code (B, K)."""
        if not isinstance(output, Rebuilt):
            return {}
        return {**{name: output.each[name].float() for name in self.said}, "code": output.codes.float()}

    def tabled(self, batch: Batch, step: Step, answer: Tensor | None = None) -> dict[str, Tensor]:
        """The same, and the class of each sample, where the data has one beside it."""
        labels = {} if self.label_field is None else {"class": batch[self.label_field]}
        return {**labels, **self.columns(answer, step.outputs)}

    def codes(self, batch: Batch) -> Tensor:
        """The codes of a batch, whose samples the network is given as they are, (B, K), without gradients."""
        with torch.no_grad():
            codes: Tensor = self.net.encode(batch[self.input].to(self.input_std.dtype))  # type: ignore[operator]
            return codes

    @classmethod
    def check(cls, net: nn.Module, loss: nn.Module | None, data: Any) -> None:
        """Send two samples through the network.

        Raises:
            CouloirError: it does not take them, or does not give their shape back.
        """
        super().check(net, loss, data)
        cls.tried(net, data)

    @classmethod
    def tried(cls, net: nn.Module, data: Any) -> tuple[Tensor, Tensor]:
        """What a network makes of two samples, and these: images in [0, 1], or rows as they are standardised.

        Raises:
            CouloirError: it does not take them, does not give their shape back, or its codes are not what it says.
        """
        output, _ = try_network(net, data)
        x = data.example_batch(2)[input_field(data.fields)][:2]
        if not isinstance(output, Tensor):
            raise CouloirError(
                f"The network {type(net).__name__} gives a {type(output).__name__} for samples, not samples.",
                next_step="let forward give the rebuilt samples alone; the task calls encode and decode itself",
            )
        if tuple(getattr(output, "shape", ())) != tuple(x.shape):
            raise CouloirError(
                f"The network makes samples of shape {tuple(getattr(output, 'shape', ()))[1:]}; those of the data have "
                f"{tuple(x.shape[1:])}.",
                next_step="a model that gives back what it is given, such as model=autoencoder",
            )
        cls._try_codes(net, x)
        return output, x if data.image_size is None else as_pixels(x, *standard_of(data))

    @classmethod
    def _try_codes(cls, net: nn.Module, x: Tensor) -> None:
        coder: Any = net
        training = net.training
        net.eval()
        with torch.no_grad():
            given = coder.encode(x)
            net.train(training)
        parts = tuple(given) if isinstance(given, tuple | list) else (given,)
        shape = (len(x), coder.code_size)
        if len(parts) == len(cls.encoded) and all(tuple(getattr(part, "shape", ())) == shape for part in parts):
            return
        shapes = " and ".join(f"{type(part).__name__} {tuple(getattr(part, 'shape', ()))}" for part in parts)
        raise CouloirError(
            f"{cls.__name__} takes from encode {' and '.join(cls.encoded)}, {shape} each for {len(x)} samples and "
            f"code_size={coder.code_size}; {type(net).__name__} gives {shapes or 'nothing'}.",
            next_step=f"return {len(cls.encoded)} tensor{'s' * (len(cls.encoded) > 1)} (B, code_size) from encode",
        )
