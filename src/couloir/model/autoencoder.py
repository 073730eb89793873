"""Autoencoders: a network that squeezes a sample into a few numbers, its code, and one that rebuilds it from them.

Hinton and Salakhutdinov, 2006, Reducing the Dimensionality of Data with Neural Networks, is where the fully-connected
one comes from: the decoder has the encoder's widths in reverse, and the code is linear. Masci et al., 2011, Stacked
Convolutional Auto-Encoders for Hierarchical Feature Extraction, has the convolutional one. Its kernels have 4x4 pixels
and stride 2: a kernel that the stride divides reaches every pixel equally often, so that transposed convolutions leave
no checkerboard (Odena, Dumoulin and Olah, 2016, Deconvolution and Checkerboard Artifacts).

| autoencoder | output | conv_autoencoder | output at 28 pixels and width 32 |
|---|---|---|---|
| linear, a hidden width each | h_1, h_2, ... | convolution 4x4, stride 2, a halving each | 32x14x14, 64x7x7 |
| linear | the code | linear | the code |
| linear, the hidden widths in reverse | ..., h_2, h_1 | linear | 64x7x7 |
| linear, sigmoid | the sample | transposed convolution 4x4, stride 2, a doubling each; sigmoid | 32x14x14, the image |

With `tied` the decoder's weights are those of the encoder, transposed; its biases are its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from couloir.config.image_size import ImageSize, halvings, sample_shape
from couloir.model.activation import activation as activation_layer
from couloir.model.linear import features

KERNEL, STRIDE, PADDING = 4, 2, 1
"""Of all convolutions here: they halve the sides of an image, and transposed ones double them."""


class Tied(nn.Module):
    """The transposed map of a linear layer or a convolution elsewhere in the network, with a bias of its own.

    The weight belongs to that layer alone, so a state dict and an optimizer have it once, and a copy of the network is
    tied as well.

    Args:
        layer: a linear layer, or a convolution.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self._of = (layer,)  # a tuple hides it from `parameters`: it is no part of this module
        self.bias = nn.Parameter(layer.weight.new_zeros(layer.weight.shape[1]))

    def forward(self, x: Tensor) -> Tensor:
        """(B, outputs of the layer, ...) -> (B, inputs of the layer, ...)."""
        (layer,) = self._of
        if isinstance(layer, nn.Linear):
            return F.linear(x, layer.weight.T, self.bias)
        return F.conv_transpose2d(x, layer.weight, self.bias, STRIDE, PADDING)

    def multiply_adds(self, x: Tensor, output: Tensor) -> int:
        """Multiply-adds of one call for one sample: each number of the input meets a row, or a kernel, of weights."""
        return x.numel() * self._of[0].weight[0].numel()


class Autoencoder(nn.Module):
    """An encoder and a decoder.

    Args:
        encoder: samples (B, C, H, W) or (B, F) -> codes (B, K).
        decoder: codes -> samples.
        code_size: K.
    """

    encoder_part = "encoder"

    def __init__(self, encoder: nn.Sequential, decoder: nn.Sequential, code_size: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.code_size = code_size

    def encode(self, x: Tensor) -> Tensor:
        """Standardised samples (B, C, H, W) or (B, F) -> codes (B, K)."""
        codes: Tensor = self.encoder(x)
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, K) -> images (B, C, H, W), in [0, 1] where the output is a sigmoid, or rows (B, F)."""
        rebuilt: Tensor = self.decoder(codes)
        return rebuilt

    def forward(self, x: Tensor) -> Tensor:
        """Samples, rebuilt from their codes."""
        return self.decode(self.encode(x))

    def pairs(self) -> list[list[str]]:
        """The modules of each layer of the encoder and of the layer of the decoder that undoes it, by name, the
        outermost pair first. Without its innermost pairs this is an autoencoder with fewer layers.
        """
        down, up = _layers(self.encoder, "encoder"), _layers(self.decoder, "decoder")
        return [[*one, *other] for one, other in zip(down, reversed(up), strict=True)]


def _layers(part: nn.Sequential, name: str) -> list[list[str]]:
    """The names of modules by layers: what lays maps flat belongs to the layer that follows, all else to the one before
    it.
    """
    found: list[list[str]] = []
    is_open = True
    for key, module in part.named_children():
        weighted = isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | Tied)
        if not found or isinstance(module, nn.Flatten) or (weighted and not is_open):
            found.append([])
            is_open = True
        found[-1].append(f"{name}.{key}")
        is_open = is_open and not weighted
    return found


def autoencoder(
    channels: int,
    image_size: ImageSize | None,
    hidden: Sequence[int],
    code_size: int,
    activation: str = "relu",
    batch_norm: bool = False,
    tied: bool = False,
    output: str = "sigmoid",
    code_activation: str = "linear",
    slope: float | None = None,
    alpha: float | None = None,
) -> Autoencoder:
    """The fully-connected autoencoder, of images or rows; linear without hidden layers and with a linear output.

    Args:
        channels: channels of the images, or columns of the table.
        image_size: pixels of a side, or `[height, width]`, None for tables.
        hidden: widths of the encoder's hidden layers; the decoder has them in reverse.
        code_size: numbers of a code.
        activation: of the hidden layers, by name.
        batch_norm: normalise before each activation.
        tied: the decoder's weights are the encoder's, transposed.
        output: `sigmoid` or `linear`, of images; rows are always linear.
        code_activation: `linear` or `sigmoid`, of the code; a mean activation needs codes in (0, 1).
        slope: of leaky ReLUs and PReLUs; None: the usual one.
        alpha: of ELUs; None: 1.
    """
    inputs, layer_of = features(channels, image_size), partial(activation_layer, activation, slope, alpha)
    encoder = nn.Sequential(
        nn.Flatten(),
        *dense(inputs, hidden, layer_of, batch_norm),
        nn.Linear(hidden[-1] if hidden else inputs, code_size),
        *_output(code_activation),
    )
    linear = [layer for layer in encoder if isinstance(layer, nn.Linear)]
    decoder: list[nn.Module] = []
    for layer in reversed(linear):
        width = layer.in_features
        decoder.append(Tied(layer) if tied else nn.Linear(layer.out_features, width))
        if layer is not linear[0]:
            decoder += [*([nn.BatchNorm1d(width)] if batch_norm else []), layer_of()]
    if image_size is not None:
        decoder += [*_output(output), nn.Unflatten(1, sample_shape(channels, image_size))]
    return Autoencoder(encoder, nn.Sequential(*decoder), code_size)


def conv_autoencoder(
    channels: int,
    image_size: ImageSize,
    width: int,
    code_size: int,
    activation: str = "relu",
    batch_norm: bool = False,
    tied: bool = False,
    output: str = "sigmoid",
    code_activation: str = "linear",
    slope: float | None = None,
    alpha: float | None = None,
) -> Autoencoder:
    """Strided convolutions down to a small map, the code, and transposed convolutions up again.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`: multiples of 4.
        width: channels of the first map, which double with each halving.
        code_size: numbers of a code.
        activation: behind each layer but the code and the output, by name.
        batch_norm: normalise before each activation.
        tied: the decoder's weights are the encoder's, transposed.
        output: `sigmoid` or `linear`.
        code_activation: `linear` or `sigmoid`, of the code.
        slope: of leaky ReLUs and PReLUs; None: the usual one.
        alpha: of ELUs; None: 1.

    Raises:
        CouloirError: a side is no multiple of 4, or below 8.
    """
    layer_of = partial(activation_layer, activation, slope, alpha)
    steps, size = halvings(image_size, "conv_autoencoder")
    deepest = width * 2 ** (steps - 1)
    encoder = nn.Sequential(
        *down(channels, steps, width, layer_of, batch_norm),
        nn.Flatten(),
        nn.Linear(deepest * math.prod(size), code_size),
        *_output(code_activation),
    )
    down_layers = [layer for layer in encoder if isinstance(layer, nn.Conv2d | nn.Linear)]
    decoder = nn.Sequential(
        *up(channels, steps, size, width, code_size, layer_of, batch_norm, down_layers if tied else None),
        *_output(output),
    )
    return Autoencoder(encoder, decoder, code_size)


def dense(inputs: int, widths: Sequence[int], activation: Callable[[], nn.Module], batch_norm: bool) -> list[nn.Module]:
    """[linear -> normalisation? -> activation] for each width."""
    layers: list[nn.Module] = []
    for before, width in zip((inputs, *widths), widths, strict=False):
        layers += [nn.Linear(before, width), *([nn.BatchNorm1d(width)] if batch_norm else [])]
        layers.append(activation())
    return layers


def down(
    channels: int, steps: int, width: int, activation: Callable[[], nn.Module], batch_norm: bool
) -> list[nn.Module]:
    """[convolution 4x4, stride 2 -> normalisation? -> activation] for each halving; channels double from `width` on."""
    layers: list[nn.Module] = []
    for step in range(steps):
        before, after = channels if step == 0 else width * 2 ** (step - 1), width * 2**step
        layers += [nn.Conv2d(before, after, KERNEL, STRIDE, PADDING), *_normalised(after, activation, batch_norm)]
    return layers


def up(
    channels: int,
    steps: int,
    size: tuple[int, int],
    width: int,
    code_size: int,
    activation: Callable[[], nn.Module],
    batch_norm: bool,
    tied_to: Sequence[nn.Conv2d | nn.Linear] | None = None,
) -> list[nn.Module]:
    """From codes (B, K) to a small map, and from there the way of `down` back to raw scores (B, C, H, W).

    Args:
        channels: C.
        steps: doublings.
        size: of the small map.
        width: channels of the last map before the image.
        code_size: K.
        activation: makes what stands behind each layer but the last.
        batch_norm: normalise before each activation.
        tied_to: the layers of the way down whose weights are these, transposed; None: none.
    """
    deepest = width * 2 ** (steps - 1)
    layers: list[nn.Module] = [
        Tied(tied_to[-1]) if tied_to else nn.Linear(code_size, deepest * math.prod(size)),
        nn.Unflatten(1, (deepest, *size)),
        *_normalised(deepest, activation, batch_norm),
    ]
    for step in reversed(range(steps)):
        before, after = width * 2**step, channels if step == 0 else width * 2 ** (step - 1)
        transposed = Tied(tied_to[step]) if tied_to else nn.ConvTranspose2d(before, after, KERNEL, STRIDE, PADDING)
        layers.append(transposed)
        layers += _normalised(after, activation, batch_norm) if step else []
    return layers


def _normalised(channels: int, activation: Callable[[], nn.Module], batch_norm: bool) -> list[nn.Module]:
    return [*([nn.BatchNorm2d(channels)] if batch_norm else []), activation()]


def _output(name: str) -> list[nn.Module]:
    return [nn.Sigmoid()] if name == "sigmoid" else []
