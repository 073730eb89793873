"""Variational autoencoders: each sample has a distribution of codes near N(0, 1), and drawn codes become samples."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from couloir.config.fields import SAMPLE
from couloir.data.batches import Batch
from couloir.errors import CouloirError
from couloir.metric.latent import ActiveUnits
from couloir.metric.made import Made
from couloir.metric.means import Means
from couloir.metric.restoration import psnr
from couloir.task.generative import BOUND, NOISE, PIXELS, normal, uniform
from couloir.task.rebuilding import Rebuilding, Rebuilt
from couloir.task.task import Step

BERNOULLI, GAUSSIAN = "bernoulli", "gaussian"
NONE, THRESHOLD, DYNAMIC = "none", "threshold", "dynamic"
LOG_2_PI = math.log(2 * math.pi)
DECODED = 1 << 21
"""Pixels that are decoded at a time for an importance-weighted bound, 8 MiB in float32."""


class Posterior(NamedTuple):
    """The distribution of the codes of a batch, N(mean, exp(log_variance)), independent by unit, (B, K) each."""

    mean: Tensor
    log_variance: Tensor

    def at(self, noise: Tensor) -> Tensor:
        """The codes that noise (B, K) from N(0, 1) becomes."""
        return self.mean + noise * (0.5 * self.log_variance).exp()

    def divergences(self) -> Tensor:
        """KL(q || N(0, 1)) of each unit in nats, (B, K).

        Source: Kingma and Welling, 2014, Auto-Encoding Variational Bayes, appendix B.
        """
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance)


class Vae(Rebuilding):
    """The negative evidence lower bound of images (B, C, H, W) in [0, 1], in nats a sample.

    Source: Kingma and Welling, 2014, Auto-Encoding Variational Bayes; Higgins et al., 2017, beta-VAE; Sønderby et al.,
    2016, Ladder Variational Autoencoders, for the warm-up; Kingma et al., 2016, Improved Variational Inference with
    Inverse Autoregressive Flow, appendix C.8, for free bits; Burda et al., 2016, for the importance-weighted bound.

    Args:
        likelihood: `bernoulli` or `gaussian`, of each pixel, whose mean is the sigmoid of the decoder's score.
        deviation: of `gaussian`, in pixels of [0, 1]; None: it is learned, the network's `log_deviation`.
        binarise: `none`, `threshold` or `dynamic`: which binary pixels `bernoulli` is of. With `none` it is the
            cross-entropy of grey levels, which is no density of them.
        beta: what the KL divergence counts in the loss.
        warm_up_epochs: epochs in which that grows from 0.
        free_bits: nats of each unit, in the mean over a batch, that cost nothing more than they would at this value.
        importance_samples: codes a sample of the importance-weighted bound, in validation and test; None: it is not
            measured.
        keys: those of `Task`.
    """

    parts = ("neg_elbo", "reconstruction", "kl")
    can_draw = True
    ranked = ("psnr", "neg_elbo")
    encoded = ("the means", "the logarithms of the variances")
    said: ClassVar[tuple[str, ...]] = ("neg_elbo", "reconstruction", "kl", "error")

    def __init__(
        self,
        likelihood: str,
        deviation: float | None,
        binarise: str,
        beta: float,
        warm_up_epochs: float,
        free_bits: float,
        importance_samples: int | None,
        **keys: Any,
    ) -> None:
        self.importance_samples = importance_samples  # before `measures` is asked
        super().__init__(**keys)
        self.likelihood, self.deviation, self.binarise = likelihood, deviation, binarise
        self.beta, self.warm_up_epochs, self.free_bits = beta, warm_up_epochs, free_bits
        _check_keys(likelihood, deviation, binarise)
        learned = getattr(self.net, "log_deviation", None)
        if self.learns_deviation and learned is None:
            raise CouloirError(
                f"task.deviation=null learns the deviation of the pixels, and {type(self.net).__name__} has no "
                "parameter log_deviation.",
                next_step="state it, such as task.deviation=0.1",
            )
        if learned is not None and not self.learns_deviation:
            learned.requires_grad_(False)  # several processes would wait for its gradient

    @property
    def learns_deviation(self) -> bool:
        """Whether the deviation of the pixels is a parameter of the network."""
        return self.likelihood == GAUSSIAN and self.deviation is None

    # What is measured.

    def measures(self) -> dict[str, Metric]:
        """The active units, made pictures beside real ones, and the importance-weighted bound if it is asked for."""
        bound = {} if self.importance_samples is None else {"bound": Means(("neg_iwae",))}
        return {"units": ActiveUnits(self.code_size), **bound, "made": Made()}

    def measured_of(self, split: str) -> dict[str, Metric]:
        """In training the losses alone."""
        return {} if split == "train" else self.measures()

    def taken_by(self, name: str, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Of (means of the codes, bounds, made, real) what each metric is about."""
        return tensors[-2:] if name == "made" else tensors[1:2] if name == "bound" else tensors[:1]

    # One step.

    def compute(self, batch: Batch) -> Step:
        """The loss and the parts of the bound; in validation and test what else is measured."""
        pixels = self.pixels(batch[self.input])
        if self.training:
            return self._trained(batch[self.input], pixels)
        seen, losses, given, posterior = self._looked(batch, pixels)
        tensors: tuple[Tensor, ...] = (posterior.mean,)
        if self.importance_samples is not None:
            tensors += (self.bound(given, posterior, seen.numbers, self.importance_samples)[:, None],)
        made = self.make(self.draw(seen.numbers))
        return Step(losses, (*tensors, made, given if self.binarise == THRESHOLD else pixels), outputs=seen)

    def _trained(self, x: Tensor, pixels: Tensor) -> Step:
        given = pixels if self.binarise == NONE else self.binary(pixels, None)
        posterior = self.posterior(x if self.binarise == NONE else self.standardised(given))
        scores = self.scores(posterior.at(torch.randn_like(posterior.mean)))
        reconstruction = self.surprise(scores, given, "sum") / len(x)
        units = posterior.divergences().sum(dim=0) / len(x)
        return Step(self._losses(reconstruction, units))

    def _losses(self, reconstruction: Tensor, units: Tensor) -> dict[str, Tensor]:
        """The loss and the bound's parts from the mean reconstruction and the mean KL of each unit, (K,)."""
        kl = units.sum()
        counted = kl if self.free_bits == 0 else units.clamp_min(self.free_bits).sum()
        loss = reconstruction + self.kl_factor * counted
        return {"loss": loss, "neg_elbo": reconstruction + kl, "reconstruction": reconstruction, "kl": kl}

    def _looked(self, batch: Batch, pixels: Tensor) -> tuple[Rebuilt, dict[str, Tensor], Tensor, Posterior]:
        """Of samples that are measured: what comes back, the losses, the pixels that are modelled, and their codes."""
        numbers = self.numbers(batch)
        given = self.binary(pixels, numbers)
        posterior = self.posterior(batch[self.input] if self.binarise == NONE else self.standardised(given))
        noise = normal(numbers, (self.code_size,), NOISE).to(posterior.mean)
        scores = self.scores(posterior.at(noise))
        reconstruction = self.surprise(scores, given).flatten(1).sum(dim=1)
        units = posterior.divergences()
        kl = units.sum(dim=1)
        answer = self.make(posterior.mean)
        each = {
            "neg_elbo": reconstruction + kl,
            "reconstruction": reconstruction,
            "kl": kl,
            "error": (answer - given).square().flatten(1).mean(dim=1),
            "psnr": psnr(answer, given),
        }
        losses = self._losses(reconstruction.mean(), units.mean(dim=0))
        return Rebuilt(given, answer, each, posterior.mean, numbers), losses, given, posterior

    def outputs(self, batch: Batch) -> Rebuilt:
        """What is said of the samples of a batch; none are made."""
        return self._looked(batch, self.pixels(batch[self.input]))[0]

    @property
    def kl_factor(self) -> float:
        """What the KL divergence counts in the loss: `beta`, and in the warm-up the share of it that has passed.

        It follows from the epoch and the batch within it, so that a run that is taken up goes on as it was.
        """
        if not self.training or not self.warm_up_epochs:
            return self.beta
        batches = max(1.0, float(self.trainer.num_training_batches))  # infinite where a loader has no length
        passed = self.trainer.current_epoch + max(0, self.trainer.fit_loop.epoch_loop.batch_idx) / batches
        return self.beta * min(1.0, passed / self.warm_up_epochs)

    # The parts.

    def binary(self, pixels: Tensor, numbers: Tensor | None) -> Tensor:
        """The pixels that are modelled: as they are, or zeros and ones.

        Args:
            pixels: (B, C, H, W) in [0, 1].
            numbers: of the samples, (B,), that drawn pixels follow from; None: torch's generator draws them.
        """
        if self.binarise == NONE:
            return pixels
        if self.binarise == THRESHOLD:
            return (pixels >= 0.5).to(pixels.dtype)
        if numbers is None:
            return torch.bernoulli(pixels)
        drawn = uniform(numbers, tuple(pixels.shape[1:]), PIXELS).to(pixels.device)
        return (drawn < pixels).to(pixels.dtype)

    def posterior(self, x: Tensor) -> Posterior:
        """The distribution of the codes of standardised images."""
        mean, log_variance = self.net.encode(x.to(self.input_std.dtype))  # type: ignore[operator]
        return Posterior(mean.float(), log_variance.float())

    def scores(self, codes: Tensor) -> Tensor:
        """The decoder's scores (B, C, H, W) for codes (B, K), in the precision of the network."""
        return cast(Tensor, self.net.decode(codes.to(self.input_std.dtype)))  # type: ignore[operator]

    def surprise(self, scores: Tensor, pixels: Tensor, reduction: str = "none") -> Tensor:
        """-log p(x | z) of each pixel in nats, (B, C, H, W).

        Args:
            scores: of the decoder, whose sigmoids are the pixels' means.
            pixels: in [0, 1].
            reduction: `none`, or `sum`: over all of them, which costs less.
        """
        scores = scores.float()
        if self.likelihood == BERNOULLI:
            return F.binary_cross_entropy_with_logits(scores, pixels, reduction=reduction)
        log_deviation: Any = math.log(self.deviation) if self.deviation is not None else self.net.log_deviation
        precision = (-2 * log_deviation).exp() if isinstance(log_deviation, Tensor) else math.exp(-2 * log_deviation)
        squares = F.mse_loss(scores.sigmoid(), pixels, reduction=reduction)
        constants = log_deviation + 0.5 * LOG_2_PI
        surprise: Tensor = 0.5 * precision * squares + (
            constants if reduction == "none" else constants * pixels.numel()
        )
        return surprise

    def bound(self, given: Tensor, posterior: Posterior, numbers: Tensor, count: int) -> Tensor:
        """The importance-weighted bound, -log (1/k) sum_i p(x, z_i) / q(z_i | x), in nats of each sample, (B,).

        Its memory does not grow with k: codes are decoded some at a time.

        Args:
            given: the pixels that are modelled, (B, C, H, W).
            posterior: q, of the same samples.
            numbers: of the samples, which the codes follow from.
            count: k.
        """
        most = max(1, DECODED // given[0].numel())
        found = []
        for places in torch.split(torch.arange(len(given)), max(1, most // count)):
            noise = normal(numbers[places], (count, self.code_size), BOUND).to(given.device).flatten(0, 1)
            weights = []
            for rows in torch.split(torch.arange(len(noise), device=given.device), most):
                samples = places.to(given.device)[rows // count]
                mean, log_variance = (each[samples] for each in posterior)
                part = noise[rows]
                codes = Posterior(mean, log_variance).at(part)
                scores = self.scores(codes)
                surprise = self.surprise(scores, given[samples]).flatten(1).sum(dim=1)
                # log p(z) - log q(z | x): the constants of both are the same.
                ratio = 0.5 * (part.square() + log_variance - codes.square()).sum(dim=1)
                weights.append(ratio - surprise)
            found.append(math.log(count) - torch.cat(weights).double().view(-1, count).logsumexp(dim=1))
        return torch.cat(found)

    # Samples and codes.

    def make(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """The mean of each pixel for codes (B, K), pictures (B, C, H, W) in [0, 1], without gradients."""
        with torch.no_grad():
            return self.scores(codes).float().sigmoid()

    def codes(self, batch: Batch) -> Tensor:
        """The means of the codes of a batch, (B, K), without gradients."""
        x = batch[self.input]
        if self.binarise != NONE:
            numbers = batch[SAMPLE] if SAMPLE in batch else torch.arange(len(x))
            x = self.standardised(self.binary(self.pixels(x), numbers))
        with torch.no_grad():
            return self.posterior(x).mean


def _check_keys(likelihood: str, deviation: float | None, binarise: str) -> None:
    """Refuse keys of the other likelihood.

    Raises:
        CouloirError: one was named.
    """
    if likelihood == GAUSSIAN and binarise != NONE:
        raise CouloirError(
            f"task.binarise={binarise} makes binary pixels, and task.likelihood=gaussian is of grey ones.",
            next_step="task.likelihood=bernoulli, or leave task.binarise out",
        )
    if likelihood == BERNOULLI and deviation != 1.0:
        stated = "null" if deviation is None else deviation
        raise CouloirError(
            f"task.deviation={stated} is of task.likelihood=gaussian; a binary pixel has no deviation of its own.",
            next_step="task.likelihood=gaussian, or leave task.deviation out",
        )
