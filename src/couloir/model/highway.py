"""Highway networks: layers that learn how much of their input to carry on.

Srivastava, Greff and Schmidhuber, 2015, Training Very Deep Networks, section 3 (the layers) and 4.2 (the network of
19 layers for CIFAR):

    y = H(x) T(x) + x (1 - T(x)),   H a convolution and ReLU, T a convolution and sigmoid

| map | layers |
|---|---|
| 32 | dropout 0.2; 3x3 32; 4 x highway 32; max pool 2x2 |
| 16 | dropout 0.2; 3x3 80; 5 x highway 80; max pool 2x2 |
| 8 | dropout 0.2; 3x3 128; 5 x highway 128; 1x1 100 |
| 1 | average pool, dropout 0.2, linear |
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from couloir.config.image_size import ImageSize
from couloir.model.start import he_normal_by_fan_out
from couloir.model.weights import loads_weights


class Highway(nn.Module):
    """One highway layer of 3x3 convolutions.

    An initializer that sets biases sets the gate's as well.

    Args:
        width: channels of the input and of the output.
    """

    scales_its_branches = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.transform = nn.Conv2d(width, width, 3, padding=1)
        self.gate = nn.Conv2d(width, width, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        gate = torch.sigmoid(self.gate(x))
        out: Tensor = self.relu(self.transform(x)) * gate + x * (1 - gate)
        return out


@loads_weights
def highway(
    channels: int, image_size: ImageSize, num_classes: int, gate_bias: float = -2.0, dropout: float = 0.2
) -> nn.Sequential:
    """The network of 19 layers: 2.3 million parameters at three channels and ten classes.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`; any that two poolings leave a pixel of.
        num_classes: classes, or outputs of a regression.
        gate_bias: bias of all gates at the start.
        dropout: share of the maps dropped before each group of layers.
    """

    def group(in_channels: int, width: int, repeats: int) -> list[nn.Module]:
        first = [nn.Dropout(dropout), nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU(inplace=True)]
        return [*first, *(Highway(width) for _ in range(repeats))]

    net = nn.Sequential(
        *group(channels, 32, 4),
        nn.MaxPool2d(2),
        *group(32, 80, 5),
        nn.MaxPool2d(2),
        *group(80, 128, 5),
        nn.Conv2d(128, 100, 1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(100, num_classes),
    )
    he_normal_by_fan_out(net)
    for module in net.modules():
        if isinstance(module, Highway):
            nn.init.constant_(module.gate.bias, gate_bias)  # type: ignore[arg-type]
    return net
