"""Any network of the zoo as an encoder, and a light decoder that gives each pixel a value.

Ronneberger, Fischer and Brox, 2015, U-Net: Convolutional Networks for Biomedical Image Segmentation, is where the
decoder comes from: the deepest map is enlarged, what the encoder had at that scale is put beside it, and convolutions
follow; and so on up to the size of the image. Here the encoder is a classifier without its head, the enlarging is
bilinear, and a convolution is followed by batch normalisation:

| scale | input | output |
|---|---|---|
| of each map but the deepest, from small to large | the map before, enlarged; the encoder's map | 3x3, 3x3 |
| of the image, where the encoder halves it at once | the map before, enlarged | 3x3, 3x3 |
| of the image | | 1x1, the scores |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.config.image_size import ImageSize
from couloir.errors import CouloirError
from couloir.model.scales import maps_of, smallest_side
from couloir.model.start import he_normal_by_fan_out
from couloir.model.weights import loads_weights


class Step(nn.Module):
    """A map enlarged to a given size, another one beside it, and two convolutions.

    Args:
        in_channels: of both together.
        out_channels: of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor, size: Sequence[int], beside: Tensor | None) -> Tensor:
        """(B, C, h, w), a size (H, W) and maybe a map (B, D, H, W) -> (B, out_channels, H, W)."""
        x = F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
        x = x if beside is None else torch.cat([x, beside], dim=1)
        out: Tensor = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return out


class Decoder(nn.Module):
    """From the maps of each scale to a score for each pixel of the image.

    Args:
        channels: of the maps, from the largest to the smallest.
        has_whole: whether the largest map is as large as the image.
        widths: channels after each step, from the smallest map on; the last counts for all that follow.
        num_classes: scores of a pixel.
    """

    def __init__(self, channels: Sequence[int], has_whole: bool, widths: Sequence[int], num_classes: int) -> None:
        super().__init__()
        before, beside = channels[-1], [*reversed(channels[:-1]), *([] if has_whole else [0])]
        self.steps = nn.ModuleList()
        for number, more in enumerate(beside):
            width = widths[min(number, len(widths) - 1)]
            self.steps.append(Step(before + more, width))
            before = width
        self.scores = nn.Conv2d(before, num_classes, 1)
        he_normal_by_fan_out(self)
        nn.init.normal_(self.scores.weight, std=0.01)  # no value is preferred to begin with

    def forward(self, maps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Maps from the largest to the smallest, and the image's size (H, W) -> (B, num_classes, H, W)."""
        x, others = maps[-1], list(maps[-2::-1])
        for number, step in enumerate(self.steps):
            beside = others[number] if number < len(others) else None
            whole = number == len(self.steps) - 1
            x = step(x, size if beside is None else beside.shape[2:], beside)
            if whole and x.shape[2:] != torch.Size(size):  # convolutions without padding leave less than the image
                x = F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
        scores: Tensor = self.scores(x)
        return scores


class EncoderDecoder(nn.Module):
    """A classifier's maps, and a decoder over them.

    Args:
        network: the classifier, which loses its head.
        channels: channels of the images.
        num_classes: scores of a pixel.
        name: what the user calls the classifier.
        widths: channels after each step of the decoder.

    Raises:
        CouloirError: the classifier's maps cannot be cut out.
    """

    encoder_part = "encoder"

    def __init__(self, network: nn.Module, channels: int, num_classes: int, name: str, widths: Sequence[int]) -> None:
        super().__init__()
        self.encoder, scales, rest = maps_of(network, channels, name)
        self.encoder_head = tuple(dict.fromkeys(each.rpartition(".")[0] for each in rest))
        self.smallest = smallest_side(self.encoder, channels)
        self.decoder = Decoder([scale.channels for scale in scales], scales[0].halvings == 0, widths, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> raw scores (B, num_classes, H, W); images that are too small for the encoder are padded."""
        height, width = x.shape[2:]
        below, right = max(0, self.smallest - height), max(0, self.smallest - width)
        if below or right:
            x = F.pad(x, (0, right, 0, below), mode="replicate")
        scores: Tensor = self.decoder(self.encoder(x), x.shape[2:])
        return scores[:, :, :height, :width]


@loads_weights
def encoder_decoder(
    channels: int,
    image_size: ImageSize,
    num_classes: int,
    encoder: str = "resnet18",
    encoder_keys: Mapping[str, Any] | None = None,
    network: nn.Module | None = None,
    widths: Sequence[int] = (128, 64, 32, 16),
) -> EncoderDecoder:
    """The network that `encoder` names, built beforehand, with a decoder.

    Args:
        channels: channels of the images.
        image_size: pixels; any is taken.
        num_classes: scores of a pixel.
        encoder: what the user calls the network.
        encoder_keys: what its keys were; the network has them already.
        network: the network itself.
        widths: channels after each step of the decoder, from the smallest map on.

    Raises:
        CouloirError: there is no network, or its maps cannot be cut out.
    """
    if network is None:
        raise CouloirError(
            f"model.network is empty: the network {encoder} was not filled in.",
            place=f"model.encoder={encoder}",
            next_step="leave model.network out, and name a choice of model with model.encoder",
        )
    return EncoderDecoder(network, channels, num_classes, encoder, widths)
