"""Samples rebuilt out of a smaller code, as they are or made worse before."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from couloir.data.batches import Batch
from couloir.data.degraded import MASKING, SALT_AND_PEPPER, Noise
from couloir.errors import CouloirError
from couloir.metric.means import Means
from couloir.metric.restoration import psnr, ssim
from couloir.task.rebuilding import Rebuilding, Rebuilt
from couloir.task.task import Step

AMOUNTS = {"gaussian": 0.5, MASKING: 0.5, SALT_AND_PEPPER: 0.25}
"""How much worse each corruption makes a sample where nobody says so."""
NONE = "none"
L1, KL = "l1", "kl"
TARGET = 0.05
"""The mean activation that `kl` asks for where nobody says so."""


class Reconstruction(Rebuilding):
    """A code a sample, and the sample again, compared by one loss: images in [0, 1], rows as they are standardised.

    Source: Hinton and Salakhutdinov, 2006, Reducing the Dimensionality of Data with Neural Networks; Vincent et al.,
    2010, Stacked Denoising Autoencoders, section 3.3 for the corruptions; Ng, 2011, Sparse Autoencoder, for the
    sparsity.

    Args:
        corruption: `none`, `gaussian`, `masking` or `salt_and_pepper`: what the network is given instead of the sample.
        amount: the deviation of the noise, or the share of the pixels; None: of `AMOUNTS`.
        sparsity: the weight of the codes' penalty in the loss.
        sparsity_kind: `l1`, the sum of a code's absolute values, the mean over the batch; `kl`, the sum over the units
            of KL(target || mean activation over the batch), for codes in (0, 1).
        sparsity_target: the mean activation that `kl` asks for.
        keys: those of `Task`.
    """

    ranked = ("psnr", "ssim", "mse")

    def __init__(
        self,
        corruption: str,
        amount: float | None,
        sparsity: float,
        sparsity_kind: str,
        sparsity_target: float,
        **keys: Any,
    ) -> None:
        self.corruption = corruption  # before `measures` is asked
        super().__init__(**keys)
        _check_keys(corruption, amount, sparsity, sparsity_kind, sparsity_target)
        self.sparsity, self.sparsity_kind, self.sparsity_target = sparsity, sparsity_kind, sparsity_target
        self.noise: Noise | None = None
        """What makes samples worse; None: nothing."""
        if corruption != NONE:
            amount = AMOUNTS[corruption] if amount is None else amount
            if corruption != "gaussian" and amount > 1:
                raise CouloirError(
                    f"task.amount={amount:g} is no share of the pixels: more than all of them cannot change.",
                    place=f"task.corruption={corruption}",
                    next_step=f"task.amount={AMOUNTS[corruption]} is the default",
                )
            self.noise = Noise(corruption, amount, bounded=self.makes_images)

    @property
    def names(self) -> tuple[str, ...]:
        """What a sample is measured by in validation and test; a row has no pixels, and a clean input no noise."""
        if not self.makes_images:
            return ("mse",)
        return ("mse", "psnr", "ssim", *(["input_psnr"] if self.corruption != NONE else []))

    def measures(self) -> dict[str, Metric]:
        """The mean squared error; of images PSNR and SSIM, and, if they are made worse, the PSNR of what is given."""
        return {"rebuilt": Means(self.names)}

    def measured_of(self, split: str) -> dict[str, Metric]:
        """In training the mean squared error and PSNR alone."""
        return {"rebuilt": Means(self.names[:2])} if split == "train" else self.measures()

    def compute(self, batch: Batch) -> Step:
        """The loss of a batch; of each sample what the metrics sum."""
        clean = self.pixels(batch[self.input])
        numbers = None if self.training else self.numbers(batch)
        given, x = clean, batch[self.input]
        if self.noise is not None:
            given = self.corrupted(clean, numbers)
            x = self.standardised(given)
        codes = self._encode(x)
        output = self._decode(codes)
        loss = self.criterion(output, clean)
        if self.sparsity > 0:
            loss = loss + self.sparsity * self.penalty(codes)
        with torch.no_grad():
            errors = _errors(output, clean)
            each = {"mse": errors, "error": errors}
            if self.makes_images:
                each["psnr"] = psnr(output, clean)
            if numbers is None:
                return Step({"loss": loss}, (torch.stack([each[name] for name in self.names[:2]], dim=1),))
            if self.makes_images:
                each |= {"ssim": ssim(output, clean), "input_psnr": psnr(given, clean)}
        tensors = (torch.stack([each[name] for name in self.names], dim=1),)
        return Step({"loss": loss}, tensors, outputs=Rebuilt(given, output, each, codes, numbers))

    def corrupted(self, clean: Tensor, numbers: Tensor | None) -> Tensor:
        """What the network is given instead of samples, of the same shape: the samples where there is no corruption.

        Args:
            clean: images (B, C, H, W) in [0, 1], or rows (B, F).
            numbers: of the samples, (B,), that the corruption follows from; None: torch's generator draws it.
        """
        if self.noise is None:
            return clean
        if self.makes_images:
            return self.noise(clean, numbers)
        return self.noise(clean[:, None, None], numbers)[:, 0, 0]  # a row as an image of one line

    def penalty(self, codes: Tensor) -> Tensor:
        """What the codes of a batch (B, K) cost, before it is weighted."""
        codes = codes.float()
        if self.sparsity_kind == L1:
            return codes.abs().sum(dim=1).mean()
        target, mean = self.sparsity_target, codes.mean(dim=0).clamp(1e-6, 1 - 1e-6)
        return (target * (target / mean).log() + (1 - target) * ((1 - target) / (1 - mean)).log()).sum()

    def criterion(self, outputs: Any, y: Tensor) -> Tensor:
        """The loss of what came out (B, ...) against the samples, images in [0, 1]."""
        assert self.loss is not None
        loss: Tensor = self.loss(outputs.float(), y.float())
        return loss

    def pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Samples as the network is given them, and as they are compared."""
        x = batch[self.input].to(self.device)
        return x, self.pixels(x)

    def make(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """The samples of codes (B, K), images (B, C, H, W) in [0, 1] or rows (B, F), without gradients."""
        with torch.no_grad():
            return self.answer(self._decode(codes))

    def on_train_start(self) -> None:
        """See whether the codes can have a mean activation.

        Raises:
            CouloirError: `kl` is asked for, and codes lie outside (0, 1).
        """
        super().on_train_start()
        if self.sparsity == 0 or self.sparsity_kind != KL:
            return
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        x = data.example_batch(32)[self.input].to(self.device)
        training = self.net.training
        self.net.eval()
        with torch.no_grad():
            codes = self._encode(x)
        self.net.train(training)
        low, high = float(codes.min()), float(codes.max())
        if low < 0 or high > 1:
            raise CouloirError(
                f"task.sparsity_kind=kl compares mean activations in (0, 1), and the network's codes lie from "
                f"{low:.3g} to {high:.3g}.",
                next_step="model.code_activation=sigmoid, or task.sparsity_kind=l1",
            )

    def _encode(self, x: Tensor) -> Tensor:
        return cast(Tensor, cast(Any, self.net).encode(x.to(self.input_std.dtype)))

    def _decode(self, codes: Tensor) -> Tensor:
        return cast(Tensor, cast(Any, self.net).decode(codes.to(self.input_std.dtype)))

    @classmethod
    def check(cls, net: nn.Module, loss: nn.Module | None, data: Any) -> None:
        """Send two samples through the network and the loss.

        Raises:
            CouloirError: the network does not take them or gives another shape back, or the loss is for other targets.
        """
        super(Rebuilding, cls).check(net, loss, data)
        output, clean = cls.tried(net, data)
        if getattr(loss, "expects", "values") not in ("values", "probabilities"):
            raise CouloirError(
                f"{type(loss).__name__} is a loss of class scores, and a sample that is rebuilt has none.",
                next_step="loss=mse, mae, charbonnier, ssim or bce",
            )
        if getattr(loss, "expects", "values") == "probabilities" and not cls._are_shares(output, clean):
            raise CouloirError(
                f"{type(loss).__name__} compares values in [0, 1], and the samples or what the network makes of them "
                "lie outside.",
                next_step="images and a network that ends in a sigmoid (model.output=sigmoid), or loss=mse",
            )
        if loss is not None:
            loss(output, clean)

    @staticmethod
    def _are_shares(*values: Tensor) -> bool:
        return all(float(each.min()) >= 0 and float(each.max()) <= 1 for each in values)


def _errors(output: Tensor, clean: Tensor) -> Tensor:
    """The mean squared error of each sample, (B,)."""
    return (output.float() - clean.float()).square().flatten(1).mean(dim=1)


def _check_keys(corruption: str, amount: float | None, sparsity: float, kind: str, target: float) -> None:
    """Refuse keys of a corruption and of a sparsity that are not there.

    Raises:
        CouloirError: one was named.
    """
    if corruption == NONE and amount is not None:
        raise CouloirError(
            f"task.amount={amount:g} says how much worse a corruption makes the samples, and task.corruption=none "
            "leaves them as they are.",
            next_step="task.corruption=gaussian, masking or salt_and_pepper, or leave task.amount out",
        )
    if sparsity == 0 and kind != L1:
        raise CouloirError(
            f"task.sparsity_kind={kind} says which penalty the codes have, and with task.sparsity=0 they have none.",
            next_step="a weight, such as task.sparsity=0.1, or leave task.sparsity_kind out",
        )
    if (sparsity == 0 or kind != KL) and target != TARGET:
        raise CouloirError(
            f"task.sparsity_target={target:g} is of task.sparsity_kind=kl with a weight above 0.",
            place=f"task.sparsity={sparsity:g} task.sparsity_kind={kind}",
            next_step="task.sparsity=0.1 task.sparsity_kind=kl, or leave task.sparsity_target out",
        )
