"""Adversaries: a generator makes images from codes, and a discriminator scores how real images look.

`gan_mlp` is of Goodfellow et al., 2014, Generative Adversarial Nets, section 5: fully-connected, ReLU in the generator,
maxout and dropout in the discriminator (`activation=maxout`; leaky ReLU has taken its place since). Its networks for
MNIST are `hidden=[1200,1200] discriminator_hidden=[240,240] activation=maxout maxout_pieces=5 dropout=0.5`.

`dcgan` is of Radford, Metz and Chintala, 2015, Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks, figure 1 and section 3:

| generator, 64 pixels | output | discriminator | output |
|---|---|---|---|
| linear, laid out as a map | 8w x 4 x 4 | convolution 4x4, stride 2 | w x 32 x 32 |
| transposed convolution 4x4, stride 2 | 4w x 8 x 8 | convolution 4x4, stride 2 | 2w x 16 x 16 |
| transposed convolution 4x4, stride 2 | 2w x 16 x 16 | convolution 4x4, stride 2 | 4w x 8 x 8 |
| transposed convolution 4x4, stride 2 | w x 32 x 32 | convolution 4x4, stride 2 | 8w x 4 x 4 |
| transposed convolution 4x4, stride 2 | the image | linear | the score |

Images of 32 pixels have one stage less, those of 28 begin with 2w x 7 x 7. The paper's kernels have 5x5 pixels; here
they have 4x4, as in most code since: the stride divides them, which avoids checkerboards (Odena et al., 2016). Batch
normalisation follows each layer but the generator's last and the discriminator's first and last; the generator has ReLU
and tanh, the discriminator leaky ReLU of slope 0.2. Weights begin at N(0, 0.02).

With labels the generator is given a learned vector for the class beside the code (Mirza and Osindero, 2014, Conditional
Generative Adversarial Nets), and the discriminator adds to its score the inner product of its last features and a
learned vector for the class (Miyato and Koyama, 2018, cGANs with Projection Discriminator). With `spectral_norm` each
layer of the discriminator is divided by its largest singular value, and batch normalisation, which would scale it
again, is left out of it (Miyato et al., 2018, Spectral Normalization for Generative Adversarial Networks).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from couloir.config.image_size import ImageSize, halvings, sample_shape
from couloir.config.slopes import check_slopes
from couloir.layer_kinds import BatchNorm, Convolution
from couloir.model.activation import Maxout
from couloir.model.activation import activation as activation_layer
from couloir.model.autoencoder import KERNEL, PADDING, STRIDE
from couloir.model.linear import features

SLOPE = 0.2
"""Of the discriminators' leaky ReLU below zero (Radford et al., 2015, section 3)."""
DEVIATION = 0.02
"""Of the weights that `dcgan` begins with (Radford et al., 2015, section 4)."""


class Generator(nn.Module):
    """Images from codes.

    Args:
        layers: what takes codes (B, K), or (B, 2K) with labels, and gives images (B, C, H, W).
        code_size: K.
        num_classes: classes that images are asked for by; None: there are none.
    """

    def __init__(self, layers: nn.Sequential, code_size: int, num_classes: int | None) -> None:
        super().__init__()
        self.labels = None if num_classes is None else nn.Embedding(num_classes, code_size)
        if self.labels is not None:
            # As long as a one-hot vector: a longer one drowns the code, and all images of a class become the same.
            nn.init.normal_(self.labels.weight, std=1 / math.sqrt(code_size))
        self.layers = layers

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Codes (B, K) and, with classes, labels (B,) int64 -> images (B, C, H, W) in [-1, 1]."""
        if self.labels is not None:
            codes = torch.cat([codes, self.labels(labels)], dim=1)
        images: Tensor = self.layers(codes)
        return images


class Discriminator(nn.Module):
    """A score for each image: the larger, the more real it looks.

    Args:
        layers: images (B, C, H, W) -> features (B, F).
        inputs: F.
        num_classes: classes that images are scored by; None: there are none.
    """

    def __init__(self, layers: nn.Sequential, inputs: int, num_classes: int | None) -> None:
        super().__init__()
        self.layers = layers
        self.score = nn.Linear(inputs, 1)
        self.labels = None if num_classes is None else nn.Embedding(num_classes, inputs)
        if self.labels is not None:
            nn.init.normal_(self.labels.weight, std=1 / math.sqrt(inputs))  # its products are as large as the features

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] and, with classes, labels (B,) int64 -> raw scores (B,)."""
        found = self.layers(images)
        scores: Tensor = self.score(found).squeeze(1)
        return scores if self.labels is None else scores + (self.labels(labels) * found).sum(dim=1)


class Adversaries(nn.Module):
    """Both networks.

    Args:
        generator: codes -> images.
        discriminator: images -> scores.
        code_size: numbers of a code, K.
        num_classes: classes that both are told; None: none.
    """

    averages: ClassVar[tuple[str, ...]] = ("generator.",)
    """What `averaging` keeps a mean of: images are made by the mean, the discriminator is the newest one."""

    def __init__(
        self, generator: Generator, discriminator: Discriminator, code_size: int, num_classes: int | None
    ) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.code_size = code_size
        self.num_classes = num_classes

    def forward(self, x: Tensor) -> Tensor:
        """Scores (B,) of as many images as `x` has samples, all made from the code 0, and of the class 0: it passes
        each layer once, for whoever looks at layers.
        """
        labels = None if self.num_classes is None else torch.zeros(len(x), dtype=torch.int64, device=x.device)
        scores: Tensor = self.discriminator(self.generator(x.new_zeros(len(x), self.code_size), labels), labels)
        return scores


def gan_mlp(
    channels: int,
    image_size: ImageSize,
    num_classes: int,
    hidden: Sequence[int],
    discriminator_hidden: Sequence[int] | None = None,
    code_size: int = 100,
    activation: str = "leaky_relu",
    maxout_pieces: int = 2,
    dropout: float = 0.0,
    batch_norm: bool = False,
    spectral_norm: bool = False,
    conditional: bool = False,
    slope: float | None = None,
    alpha: float | None = None,
) -> Adversaries:
    """Two fully-connected networks.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`.
        num_classes: classes of the data.
        hidden: widths of the generator's hidden layers.
        discriminator_hidden: those of the discriminator; None: `hidden` in reverse.
        code_size: numbers of a code.
        activation: of the discriminator, by name; `maxout` replaces linear layer and activation by one maxout layer.
        maxout_pieces: affine pieces of a maxout unit.
        dropout: share of the discriminator's hidden units that is dropped in training.
        batch_norm: normalise the generator's hidden layers before each activation.
        spectral_norm: whether the discriminator's layers have the largest singular value 1.
        conditional: whether both networks are told the classes.
        slope: of the discriminator's leaky ReLUs and PReLUs; None: 0.2, and 0.25.
        alpha: of the discriminator's ELUs; None: 1.

    Raises:
        CouloirError: the activation has no such slope.
    """
    check_slopes(activation, slope, alpha)
    slope = SLOPE if activation == "leaky_relu" and slope is None else slope
    pixels, classes = features(channels, image_size), num_classes if conditional else None
    width, made = code_size * (2 if conditional else 1), list[nn.Module]()
    for units in hidden:
        made += [nn.Linear(width, units), *([nn.BatchNorm1d(units)] if batch_norm else []), nn.ReLU()]
        width = units
    made += [nn.Linear(width, pixels), nn.Tanh(), nn.Unflatten(1, sample_shape(channels, image_size))]
    generator = Generator(nn.Sequential(*made), code_size, classes)
    width, seen = pixels, list[nn.Module]([nn.Flatten()])
    for units in reversed(hidden) if discriminator_hidden is None else discriminator_hidden:
        maxout = activation == "maxout"
        if maxout:
            seen.append(Maxout(width, units, maxout_pieces))
        else:
            seen += [nn.Linear(width, units), activation_layer(activation, slope, alpha)]
        seen += [nn.Dropout(dropout)] if dropout else []
        width = units
    discriminator = Discriminator(nn.Sequential(*seen), width, classes)
    if spectral_norm:
        _normalise(discriminator)
    return Adversaries(generator, discriminator, code_size, classes)


def dcgan(
    channels: int,
    image_size: ImageSize,
    num_classes: int,
    width: int,
    code_size: int = 100,
    batch_norm: bool = True,
    discriminator_batch_norm: bool = True,
    spectral_norm: bool = False,
    conditional: bool = False,
) -> Adversaries:
    """Two convolutional networks.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`: multiples of 4.
        num_classes: classes of the data.
        width: channels of the maps next to the image, which double with each halving.
        code_size: numbers of a code.
        batch_norm: whether the generator normalises over the batch.
        discriminator_batch_norm: whether the discriminator does; with `spectral_norm` it never does.
        spectral_norm: whether the discriminator's layers have the largest singular value 1.
        conditional: whether both networks are told the classes.

    Raises:
        CouloirError: a side is no multiple of 4, or below 8.
    """
    steps, size = halvings(image_size, "dcgan")
    classes = num_classes if conditional else None
    widths = [channels, *(width * 2**step for step in range(steps))]
    inputs = widths[-1] * math.prod(size)
    generator = Generator(
        nn.Sequential(
            nn.Linear(code_size * (2 if conditional else 1), inputs, bias=not batch_norm),
            nn.Unflatten(1, (widths[-1], *size)),
            *_made(widths, batch_norm),
        ),
        code_size,
        classes,
    )
    seen = _seen(widths, discriminator_batch_norm and not spectral_norm)
    discriminator = Discriminator(nn.Sequential(*seen, nn.Flatten()), inputs, classes)
    for network in (generator.layers, discriminator):
        _begin(network)
    if spectral_norm:
        _normalise(discriminator)
    return Adversaries(generator, discriminator, code_size, classes)


def _made(widths: Sequence[int], batch_norm: bool) -> list[nn.Module]:
    """From the generator's small map to an image; `widths` has the channels, those of the image first."""
    layers: list[nn.Module] = []
    for step in reversed(range(1, len(widths))):
        layers += [*([nn.BatchNorm2d(widths[step])] if batch_norm else []), nn.ReLU(inplace=True)]
        bias = step == 1 or not batch_norm
        layers.append(nn.ConvTranspose2d(widths[step], widths[step - 1], KERNEL, STRIDE, PADDING, bias=bias))
    return [*layers, nn.Tanh()]


def _seen(widths: Sequence[int], batch_norm: bool) -> list[nn.Module]:
    """From an image to the discriminator's small map."""
    layers: list[nn.Module] = []
    for step in range(1, len(widths)):
        normalised = batch_norm and step > 1
        layers.append(nn.Conv2d(widths[step - 1], widths[step], KERNEL, STRIDE, PADDING, bias=not normalised))
        layers += [*([nn.BatchNorm2d(widths[step])] if normalised else []), nn.LeakyReLU(SLOPE)]
    return layers


def _begin(net: nn.Module) -> None:
    """Weights from N(0, 0.02), those of batch normalisation from N(1, 0.02), biases at zero."""
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Embedding | Convolution | BatchNorm):
            nn.init.normal_(module.weight, mean=1.0 if isinstance(module, BatchNorm) else 0.0, std=DEVIATION)
            if not isinstance(module, nn.Embedding) and module.bias is not None:
                nn.init.zeros_(module.bias)


def _normalise(discriminator: nn.Module) -> None:
    """Divide each weight by its largest singular value; the power iteration takes a step with each training pass."""
    for module in list(discriminator.modules()):
        if isinstance(module, nn.Linear | nn.Embedding | Convolution):
            parametrizations.spectral_norm(module)
