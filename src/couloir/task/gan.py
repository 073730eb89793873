"""Two players: a generator makes images out of noise, and a discriminator tells them from real ones.

Goodfellow et al., 2014, Generative Adversarial Nets, algorithm 1; for classes Mirza and Osindero, 2014, Conditional
Generative Adversarial Nets.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from couloir.config.fields import input_field
from couloir.data.batches import Batch
from couloir.errors import CouloirError
from couloir.layer_kinds import BatchNorm
from couloir.metric.made import Made
from couloir.metric.means import Means
from couloir.task.adversarial import WASSERSTEIN, discriminator_loss, generator_loss, gradient_penalty, judged
from couloir.task.generative import Generative
from couloir.task.task import Step

ACCURACIES = ("real_accuracy", "made_accuracy")


class Gan(Generative):
    """A generator and a discriminator, each with an optimizer of its own.

    A batch is one step of the discriminator, and each `discriminator_steps`-th batch of the run one of the generator as
    well. Which one that is follows from the batch's number in the run, so the count goes on over the end of an epoch.

    Both steps of a batch look at the same made images, as the usual loop has it: algorithm 1 draws new codes for the
    generator, which costs a further pass and changes nothing in the mean. The discriminator sees real and made images
    in passes of their own, so its batch normalisation standardises each kind by itself (Radford et al., 2015); its
    running statistics, which validation uses, are those of all passes, the generator's too.

    Args:
        objective: a name of `couloir.task.adversarial`.
        discriminator_steps: batches for each step of the generator.
        discriminator_lr: the discriminator's rate; None: that of the optimizer.
        penalty: what the gradient penalty of `wasserstein_gp` counts.
        conditional: whether both players are told the class of an image.
        keys: those of `Generative`.
    """

    parts = ("generator", "discriminator")
    players = ("generator", "discriminator")
    can_draw = True
    asks = ("code_size", "generator", "discriminator")

    def __init__(
        self,
        objective: str,
        discriminator_steps: int,
        discriminator_lr: float | None,
        penalty: float,
        conditional: bool,
        **keys: Any,
    ) -> None:
        super().__init__(**keys)
        self.automatic_optimization = False
        self.objective, self.penalty = objective, penalty
        self.discriminator_steps, self.discriminator_lr = discriminator_steps, discriminator_lr
        self.conditional = conditional
        if conditional and self.label_field is None:
            raise CouloirError(
                "task.conditional=true tells both networks the class of an image, and this data has no classes.",
                next_step="task.conditional=false, or data whose fields have a label",
            )
        if conditional != bool(getattr(self.net, "num_classes", None)):
            name, own = type(self.net).__name__, not hasattr(self.net, "num_classes")
            raise CouloirError(
                f"task.conditional=true tells both networks a class, and {name} takes none."
                if conditional
                else f"{name} makes images of classes (num_classes), and task.conditional=false tells it none.",
                next_step=("model=gan_mlp or model=dcgan, or " if conditional and own else "")
                + f"task.conditional={str(not conditional).lower()}"
                + ("" if own else ", or leave model.conditional out: it follows the task"),
            )
        self._check_critic()
        self._learning_weights: list[Tensor] = []
        """The discriminator's weights that are trained in this epoch."""

    @classmethod
    def check(cls, net: nn.Module, loss: nn.Module | None, data: Any) -> None:
        """Let the network make two images and score them.

        Raises:
            CouloirError: it lacks a player, or these do not give images of the data's shape and one score for each.
        """
        super().check(net, loss, data)
        for name in cls.players:
            if not isinstance(getattr(net, name), nn.Module):
                raise CouloirError(
                    f"The {name} of {type(net).__name__} is a {type(getattr(net, name)).__name__}, and each player "
                    "has an optimizer for weights of its own.",
                    next_step=f"make it a part: self.{name} = ..., an nn.Module",
                )
        x = data.example_batch(2)[input_field(data.fields)][:2]
        labels = torch.zeros(len(x), dtype=torch.int64) if getattr(net, "num_classes", None) else None
        training = net.training
        net.eval()
        try:
            with torch.no_grad():
                made = _told(cast(nn.Module, net.generator), torch.zeros(len(x), int(cast(Any, net.code_size))), labels)
                cls._expect("generator", "images", made, tuple(x.shape))
                scores = _told(cast(nn.Module, net.discriminator), made, labels)
                cls._expect("discriminator", "scores", scores, (len(x),))
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise CouloirError(
                f"The players of {type(net).__name__} cannot make and score images of shape {tuple(x.shape[1:])}: "
                f"{str(error).splitlines()[0]}",
                next_step="generator(codes (B, code_size)) gives images, discriminator(images) scores (B,); both are "
                "given labels (B,) as well where the network has num_classes",
            ) from error
        finally:
            net.train(training)

    @staticmethod
    def _expect(name: str, what: str, found: Any, shape: tuple[int, ...]) -> None:
        if (given := tuple(getattr(found, "shape", ()))) != shape:
            raise CouloirError(
                f"The {name} gives {what} of shape {given} for {shape[0]} samples; {shape} is needed.",
                next_step="the score of each image is one number: .squeeze(1), or nn.Flatten(0) at the end"
                if name == "discriminator"
                else "end it in an image of the data's size, with values from -1 to 1",
            )

    def _check_critic(self) -> None:
        mixing = [layer for layer in self.discriminator.modules() if isinstance(layer, BatchNorm)]
        if self.objective == WASSERSTEIN and self.penalty and mixing:
            raise CouloirError(
                "The gradient penalty of task.objective=wasserstein_gp goes by the score of each image alone, and the "
                "discriminator's batch normalisation mixes the images of a batch.",
                next_step="a discriminator without it (model=dcgan: model.discriminator_batch_norm=false), or another "
                "task.objective",
            )

    @property
    def generator(self) -> nn.Module:
        """The player that makes images."""
        return cast(nn.Module, self.net.generator)

    @property
    def discriminator(self) -> nn.Module:
        """The player that judges them."""
        return cast(nn.Module, self.net.discriminator)

    # What Task asks for.

    def compute(self, batch: Batch) -> Step:
        """Both losses of a batch, without the critic's penalty; made images follow from the samples' numbers."""
        real, labels = self._real(batch), self._labels(batch)
        made = _told(self.generator, self.draw(self.numbers(batch)), labels)
        real_scores = _told(self.discriminator, real, labels)
        with self._still([weight for weight in self.discriminator.parameters() if weight.requires_grad]):
            made_scores = _told(self.discriminator, made, labels)
        blamed = _told(self.discriminator, made.detach(), labels) if torch.is_grad_enabled() else made_scores
        losses = {
            "generator": generator_loss(self.objective, made_scores),
            "discriminator": discriminator_loss(self.objective, real_scores, blamed),
        }
        return Step(losses, (real_scores, made_scores, _pixels(made), self.pixels(batch[self.input])))

    def measures(self) -> dict[str, Metric]:
        """The discriminator's accuracies, and what the made images are like."""
        return {"players": Means(ACCURACIES), "made": Made()}

    def measured_of(self, split: str) -> dict[str, Metric]:
        """In training the accuracies alone: images would have to be kept."""
        return {"players": Means(ACCURACIES)} if split == "train" else self.measures()

    def taken_by(self, name: str, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What the scores of many batches say, all at once; made and real images."""
        return (judged(self.objective, *tensors[:2]),) if name == "players" else super().taken_by(name, tensors)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """A step of the discriminator, and where it is its turn one of the generator."""
        generator, discriminator = cast(Any, self.optimizers())
        real, labels = self._real(batch), self._labels(batch)
        both = self.moved = self.moves_generator(batch_idx)
        codes = torch.randn(len(real), self.code_size, device=real.device)
        with torch.set_grad_enabled(both):
            made = _told(self.generator, codes, labels)
        fixed = made.detach()
        real_scores, made_scores = (_told(self.discriminator, x, labels) for x in (real, fixed))
        loss = discriminator_loss(self.objective, real_scores, made_scores)
        penalised = loss
        if self.objective == WASSERSTEIN and self.penalty:
            away = gradient_penalty(lambda x: _told(self.discriminator, x, labels), real, fixed)
            penalised = loss + self.penalty * away
        self.descend(batch, penalised, discriminator)
        if both:
            with self._still(self._learning_weights):
                fooled = generator_loss(self.objective, _told(self.discriminator, made, labels))
            self.descend(batch, fooled, generator)
        else:
            fooled = generator_loss(self.objective, made_scores)
        losses = {"generator": fooled.detach(), "discriminator": loss.detach()}
        self.note("train", batch, Step(losses, (real_scores, made_scores)))

    def moves_generator(self, batch_idx: int) -> bool:
        """Whether the generator takes a step with a batch of this epoch."""
        return bool((self._batches_before() + batch_idx + 1) % self.discriminator_steps == 0)

    def is_last_step(self, place: int) -> bool:
        """Whether none of the epoch's further batches moves the generator, or the discriminator."""
        steps: Any = self.trainer.fit_loop.epoch_loop
        batches = self.trainer.num_training_batches
        if place > 0 or batches == math.inf:
            return super().is_last_step(place)
        before, cycle = self._batches_before(), self.discriminator_steps
        return bool((before + steps.batch_progress.current.ready) // cycle == (before + int(batches)) // cycle)

    def _batches_before(self) -> int:
        """The batches of the epochs before this one; of an epoch without end none are known."""
        batches = self.trainer.num_training_batches
        return 0 if batches == math.inf else self.trainer.current_epoch * int(batches)

    def on_train_start(self) -> None:
        """Know what learns, also in an epoch that is taken up.

        Raises:
            CouloirError: the run ends before the generator's first step.
        """
        super().on_train_start()
        batches, epochs = self.trainer.num_training_batches, self.trainer.max_epochs
        limits = [self.trainer.max_steps] if self.trainer.max_steps > 0 else []
        limits += [int(batches) * epochs] if batches != math.inf and epochs is not None and epochs > 0 else []
        if limits and min(limits) < self.discriminator_steps:
            raise CouloirError(
                f"The run has {min(limits)} batches, and with task.discriminator_steps={self.discriminator_steps} the "
                "generator takes no step.",
                next_step=f"task.discriminator_steps=1, or a longer run (trainer.max_epochs={epochs} now)",
            )
        self._know_weights()

    def on_train_epoch_start(self) -> None:
        """Know what learns in this epoch."""
        super().on_train_epoch_start()
        self._know_weights()

    def _know_weights(self) -> None:
        self._learning_weights = [weight for weight in self.discriminator.parameters() if weight.requires_grad]

    @contextmanager
    def _still(self, weights: Sequence[Tensor]) -> Iterator[None]:
        """Let gradients pass through the discriminator without being computed for its weights that learn."""
        for weight in weights:
            weight.requires_grad = False
        try:
            yield
        finally:
            for weight in weights:
                weight.requires_grad = True

    def configure_optimizers(self) -> Any:
        """The generator's optimizer and the discriminator's, each with a schedule of its own.

        Raises:
            CouloirError: the schedule sets rates of its own, which `discriminator_lr` would not change.
        """
        found = [
            self.optimized(self.generator.parameters()),
            self.optimized(self.discriminator.parameters(), lr=self.discriminator_lr),
        ]
        if self.discriminator_lr and self.make_scheduler is not None:
            of_generator, of_discriminator = (float(each["optimizer"].param_groups[0]["lr"]) for each in found)
            plain = float(self.make_optimizer([nn.Parameter(torch.zeros(1))]).param_groups[0]["lr"])
            if not math.isclose(of_generator * self.discriminator_lr, of_discriminator * plain, rel_tol=1e-6):
                raise CouloirError(
                    f"task.discriminator_lr={self.discriminator_lr:g} would have no effect: the scheduler sets rates "
                    "of its own, whatever the optimizer's are.",
                    next_step="leave task.discriminator_lr out, or take another scheduler",
                )
        return found

    # What `couloir predict` says.

    def outputs(self, batch: Batch) -> Tensor:
        """The scores of the images of a batch, (B,)."""
        scores: Tensor = _told(self.discriminator, self._real(batch), self._labels(batch))
        return scores

    def tabled(self, batch: Batch, step: Step, answer: Tensor | None = None) -> dict[str, Tensor]:
        """The score of each image."""
        return self.columns(self.outputs(batch) if answer is None else answer)

    def columns(self, answer: Any, output: Any = None) -> dict[str, Tensor]:
        """The score: above 0 (least squares: 0.5) an image is taken for real; a critic's scores are only compared."""
        return {"score": answer.float()}

    # What is made.

    def make(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in [0, 1] out of codes (B, K); of classes (B,) where the task is conditional."""
        with torch.no_grad():
            return _pixels(_told(self.generator, codes, labels))

    def _real(self, batch: Batch) -> Tensor:
        """The images of a batch in [-1, 1], which the generator's last layer, a tanh, spans."""
        images: Tensor = batch[self.input]
        return images.mul(2 * self.input_std).add_(2 * self.input_mean - 1)

    def _labels(self, batch: Batch) -> Tensor | None:
        """The classes of a batch, (B,), which made images have as well: so their shares are those of the data."""
        if not self.conditional:
            return None
        name = cast(str, self.label_field)
        if name not in batch:
            raise CouloirError(
                "With task.conditional=true the discriminator scores an image of a class, and these have none.",
                next_step="`couloir evaluate` scores data with classes",
            )
        labels: Tensor = batch[name]
        if labels.ndim != 1 or labels.is_floating_point():
            raise CouloirError(
                "task.conditional=true tells both networks one class an image, and the augmentation mixes classes.",
                next_step="augmentation=none, or task.conditional=false",
            )
        return labels


def _told(player: nn.Module, x: Tensor, labels: Tensor | None) -> Tensor:
    """What a player gives; of one that is told no class, nothing asks that it takes one."""
    given: Tensor = player(x) if labels is None else player(x, labels)
    return given


def _pixels(images: Tensor) -> Tensor:
    """Images in [-1, 1] in [0, 1]."""
    return images.float().mul(0.5).add(0.5).clamp(0, 1)
