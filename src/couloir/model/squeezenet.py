"""SqueezeNet 1.0: AlexNet's accuracy with a fiftieth of its parameters.

Iandola et al., 2016, SqueezeNet: AlexNet-Level Accuracy with 50x Fewer Parameters and < 0.5 MB Model Size, table 1:

| layer | squeeze 1x1 | expand 1x1 | expand 3x3 |
|---|---|---|---|
| conv1, 96 kernels 7x7, stride 2; pooling 3x3, stride 2 | | | |
| fire2, fire3 | 16 | 64 | 64 |
| fire4; pooling | 32 | 128 | 128 |
| fire5 | 32 | 128 | 128 |
| fire6, fire7 | 48 | 192 | 192 |
| fire8; pooling | 64 | 256 | 256 |
| fire9, dropout 0.5 | 64 | 256 | 256 |
| conv10, a 1x1 kernel a class; average pooling | | | |

Parameters have torchvision's names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from couloir.config.image_size import ImageSize
from couloir.model.weights import loads_weights


class Fire(nn.Module):
    """A 1x1 convolution to few channels, then 1x1 and 3x3 convolutions side by side (figure 1).

    Args:
        in_channels: channels of the input.
        squeezed: channels in between.
        expanded: channels of each half of the output.
    """

    def __init__(self, in_channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, 2 expanded, H, W)."""
        x = self.relu(self.squeeze(x))
        out: Tensor = self.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1))
        return out


class SqueezeNet(nn.Module):
    """1,248,424 parameters at three channels and a thousand classes; images of any size that leaves a pixel.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`.
        num_classes: classes, or outputs of a regression.
        dropout: share of the last map dropped in training.
    """

    def __init__(self, channels: int, image_size: ImageSize, num_classes: int, dropout: float = 0.5) -> None:
        super().__init__()

        def pool() -> nn.MaxPool2d:
            return nn.MaxPool2d(3, stride=2, ceil_mode=True)

        self.features = nn.Sequential(
            nn.Conv2d(channels, 96, 7, stride=2),
            nn.ReLU(inplace=True),
            pool(),
            Fire(96, 16, 64),
            Fire(128, 16, 64),
            Fire(128, 32, 128),
            pool(),
            Fire(256, 32, 128),
            Fire(256, 48, 192),
            Fire(384, 48, 192),
            Fire(384, 64, 256),
            pool(),
            Fire(512, 64, 256),
        )
        head = nn.Conv2d(512, num_classes, 1)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), head, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        nn.init.normal_(head.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, num_classes)."""
        logits: Tensor = self.classifier(self.features(x))
        return logits


squeezenet = loads_weights(SqueezeNet)
