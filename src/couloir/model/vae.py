"""Variational autoencoders: the encoder says of each sample which codes are likely, a normal distribution for each
number of the code, and the decoder rebuilds the sample from a draw.

Kingma and Welling, 2014, Auto-Encoding Variational Bayes, appendix C: the encoder ends in two layers side by side, for
the mean and the logarithm of the variance, and the decoder in raw scores, whose sigmoid is the mean of each pixel. The
paper has one hidden layer of 500 tanh units on each side, `model.hidden=[500] model.activation=tanh`. The convolutional
one has the layers of `couloir.model.autoencoder`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from couloir.config.image_size import ImageSize, halvings, sample_shape
from couloir.model.activation import activation as activation_layer
from couloir.model.autoencoder import dense, down, up
from couloir.model.linear import features


class VariationalAutoencoder(nn.Module):
    """An encoder with two ends, and a decoder.

    Args:
        encoder: images (B, C, H, W) -> features (B, F).
        inputs: F.
        code_size: numbers of a code, K.
        decoder: codes (B, K) -> raw scores (B, C, H, W).
        learns_deviation: whether the deviation of a pixel around its mean is a weight of the network, `log_deviation`,
            one for all pixels, which begins at 1.
    """

    encoder_part = "encoder"
    log_deviation: nn.Parameter | None

    def __init__(
        self, encoder: nn.Sequential, inputs: int, code_size: int, decoder: nn.Sequential, learns_deviation: bool
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.mean = nn.Linear(inputs, code_size)
        self.log_variance = nn.Linear(inputs, code_size)
        self.decoder = decoder
        self.code_size = code_size
        self.register_parameter("log_deviation", nn.Parameter(torch.zeros(())) if learns_deviation else None)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised images (B, C, H, W) -> mean and logarithm of the variance of their codes, (B, K) each."""
        found = self.encoder(x)
        return self.mean(found), self.log_variance(found)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, K) -> raw scores (B, C, H, W); their sigmoid is the mean of each pixel, in [0, 1]."""
        scores: Tensor = self.decoder(codes)
        return scores

    def forward(self, x: Tensor) -> Tensor:
        """Images, rebuilt from the means of their codes, (B, C, H, W) in [0, 1]."""
        mean, _ = self.encode(x)
        return torch.sigmoid(self.decode(mean))


def vae(
    channels: int,
    image_size: ImageSize,
    hidden: Sequence[int],
    code_size: int,
    activation: str = "relu",
    batch_norm: bool = False,
    deviation: float | None = 1.0,
    slope: float | None = None,
    alpha: float | None = None,
) -> VariationalAutoencoder:
    """The fully-connected one.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`.
        hidden: widths of the encoder's hidden layers; the decoder has them in reverse.
        code_size: numbers of a code.
        activation: of the hidden layers, by name.
        batch_norm: normalise before each activation.
        deviation: of the Gaussian likelihood; None: it is learned.
        slope: of leaky ReLUs and PReLUs; None: the usual one.
        alpha: of ELUs; None: 1.
    """
    inputs, layer_of = features(channels, image_size), partial(activation_layer, activation, slope, alpha)
    encoder = nn.Sequential(nn.Flatten(), *dense(inputs, hidden, layer_of, batch_norm))
    back = list(reversed(hidden))
    decoder = nn.Sequential(
        *dense(code_size, back, layer_of, batch_norm),
        nn.Linear(back[-1] if back else code_size, inputs),
        nn.Unflatten(1, sample_shape(channels, image_size)),
    )
    width = hidden[-1] if hidden else inputs
    return VariationalAutoencoder(encoder, width, code_size, decoder, learns_deviation=deviation is None)


def conv_vae(
    channels: int,
    image_size: ImageSize,
    width: int,
    code_size: int,
    activation: str = "relu",
    batch_norm: bool = False,
    deviation: float | None = 1.0,
    slope: float | None = None,
    alpha: float | None = None,
) -> VariationalAutoencoder:
    """Strided convolutions down to a small map, the two ends, and transposed convolutions up again.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`: multiples of 4.
        width: channels of the first map, which double with each halving.
        code_size: numbers of a code.
        activation: behind each layer but the ends and the output, by name.
        batch_norm: normalise before each activation.
        deviation: of the Gaussian likelihood; None: it is learned.
        slope: of leaky ReLUs and PReLUs; None: the usual one.
        alpha: of ELUs; None: 1.

    Raises:
        CouloirError: a side is no multiple of 4, or below 8.
    """
    layer_of = partial(activation_layer, activation, slope, alpha)
    steps, size = halvings(image_size, "conv_vae")
    encoder = nn.Sequential(*down(channels, steps, width, layer_of, batch_norm), nn.Flatten())
    decoder = nn.Sequential(*up(channels, steps, size, width, code_size, layer_of, batch_norm))
    inputs = width * 2 ** (steps - 1) * math.prod(size)
    return VariationalAutoencoder(encoder, inputs, code_size, decoder, learns_deviation=deviation is None)
