"""SegNet: down as VGG-16 goes, up again the same way, each pixel unpooled to where the pooling had found it.

Badrinarayanan, Kendall and Cipolla, 2017, SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image
Segmentation, section 3 and figure 2 (3x3 convolutions, each with batch normalisation and ReLU but for the last one):

| map | encoder, VGG-16 without its fully-connected layers | decoder, from below |
|---|---|---|
| 1 | 64 64 | 64 classes |
| 1/2 | 128 128 | 128 64 |
| 1/4 | 256 256 256 | 256 256 128 |
| 1/8 | 512 512 512 | 512 512 256 |
| 1/16 | 512 512 512 | 512 512 512 |

Between the stages 2x2 maximum pooling on one side, and unpooling with its places on the other: nothing else of the
encoder's maps is kept.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from couloir.config.image_size import ImageSize
from couloir.model.start import he_normal_by_fan_out
from couloir.model.upsampling import PoolWithPlaces, Unpool, padded
from couloir.model.vgg import D, features
from couloir.model.weights import State, loads_weights


class SegNet(nn.Module):
    """The table's first stages, for images of any size: zeros are added below and to the right, and cut off again.

    The encoder's parameters have the names of VGG-16's with batch normalisation, whose weights it can begin with.

    Args:
        channels: channels of the images.
        num_classes: maps of the output.
        depth: stages; of VGG-16 the first ones.
        width: channels of the first stage, 64 in the paper; all others change with it.
    """

    encoder_part = "features"

    def __init__(self, channels: int, num_classes: int, depth: int, width: int) -> None:
        super().__init__()
        stages = [[max(1, entry * width // D[0][0]) for entry in stage] for stage in D[:depth]]
        self.depth = depth
        self.features = features(stages, channels, batch_norm=True)
        self.places, self.unpool = PoolWithPlaces(), Unpool()
        self.decoder = nn.ModuleList()
        for number in reversed(range(depth)):
            below = stages[number - 1][-1] if number else num_classes
            widths = [*stages[number], below]
            layers: list[nn.Module] = []
            for in_channels, out_channels in pairwise(widths):
                layers.append(nn.Conv2d(in_channels, out_channels, 3, padding=1))
                layers += [nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
            self.decoder.append(nn.Sequential(*(layers if number else layers[:-2])))
        he_normal_by_fan_out(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> raw scores (B, num_classes, H, W)."""
        height, width = x.shape[2:]
        x = padded(x, 2**self.depth)
        found = []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                x, places = self.places(x)
                found.append(places)
            else:
                x = layer(x)
        for stage in self.decoder:
            x = stage(self.unpool(x, found.pop()))
        return x[:, :, :height, :width]

    def begins_with(self, state: State) -> tuple[State, list[str]]:
        """Of VGG-16's weights with batch normalisation those of its own stages, and the names of its decoder."""
        own = self.state_dict()
        if any(name.startswith("decoder.") for name in state):
            return state, []
        stages = {
            name: value
            for name, value in state.items()
            if name in own or not name.startswith(("features.", "classifier."))
        }
        return stages, [name for name in own if name.startswith("decoder.")]


@loads_weights
def segnet(channels: int, image_size: ImageSize, num_classes: int, depth: int = 5, width: int = 64) -> SegNet:
    """The table, or its first stages."""
    return SegNet(channels, num_classes, depth, width)
