"""ZFNet: AlexNet after a look at what its first layers had learned.

Zeiler and Fergus, 2014, Visualizing and Understanding Convolutional Networks, figure 3:

| layer | what | map | parameters |
|---|---|---|---|
| 1 | 96 kernels 7x7, stride 2; pooling 3x3, stride 2; contrast normalisation | 110, then 55 | 14,208 |
| 2 | 256 kernels 5x5, stride 2; pooling 3x3, stride 2; contrast normalisation | 26, then 13 | 614,656 |
| 3 | 384 kernels 3x3 | 13 | 885,120 |
| 4 | 384 kernels 3x3 | 13 | 1,327,488 |
| 5 | 256 kernels 3x3; pooling 3x3, stride 2 | 13, then 6 | 884,992 |
| 6, 7 | 4096, dropout 0.5 | | 37,752,832; 16,781,312 |
| 8 | 1000 | | 4,097,000 |

Variant (b) of table 2 has 512, 1024 and 512 kernels in layers 3 to 5: `widths=[512,1024,512]`. The paper normalises
"contrast across feature maps" without its constants; here they are AlexNet's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from couloir.config.image_size import ImageSize
from couloir.model.head import hidden_4096
from couloir.model.normalisation import local_response_norm
from couloir.model.weights import loads_weights


class ZFNet(nn.Module):
    """Eight layers; the last map is pooled to 6x6 whatever the size of the images.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`; 224 gives the paper's maps.
        num_classes: classes, or outputs of a regression.
        widths: kernels of layers 3, 4 and 5.
        dropout: share of the units of layers 6 and 7 dropped in training.
    """

    def __init__(
        self,
        channels: int,
        image_size: ImageSize,
        num_classes: int,
        widths: list[int],
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        third, fourth, fifth = widths
        self.features = nn.Sequential(
            nn.Conv2d(channels, 96, 7, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
            local_response_norm(),
            nn.Conv2d(96, 256, 5, stride=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
            local_response_norm(),
            nn.Conv2d(256, third, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(third, fourth, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(fourth, fifth, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = hidden_4096(fifth * 6 * 6, num_classes, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, num_classes)."""
        logits: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return logits


zfnet = loads_weights(ZFNet)
