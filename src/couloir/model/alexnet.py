"""AlexNet, as it was trained on two GPUs in 2012, and in the one column of today's checkpoints.

Krizhevsky, Sutskever and Hinton, 2012, ImageNet Classification with Deep Convolutional Neural Networks, section 3.5:

| layer | what | map | parameters |
|---|---|---|---|
| conv1 | 96 kernels 11x11, stride 4; LRN; pooling 3x3, stride 2 | 55, then 27 | 34,944 |
| conv2 | 256 kernels 5x5, two groups; LRN; pooling 3x3, stride 2 | 27, then 13 | 307,456 |
| conv3 | 384 kernels 3x3, over both groups | 13 | 885,120 |
| conv4 | 384 kernels 3x3, two groups | 13 | 663,936 |
| conv5 | 256 kernels 3x3, two groups; pooling 3x3, stride 2 | 13, then 6 | 442,624 |
| fc6, fc7 | 4096, dropout 0.5 | | 37,752,832; 16,781,312 |
| fc8 | 1000 | | 4,097,000 |

With `extra_convolution` a sixth stands behind the last pooling, as in the networks 1CNN* and 7CNNs* of section 6. The
paper does not say how wide it is: here it has 256 kernels 3x3 in two groups, as conv5 would have behind 256 maps.

The one column is Krizhevsky, 2014, One Weird Trick for Parallelizing Convolutional Neural Networks: 64, 192, 384, 256
and 256 kernels, no groups, no normalisation; its parameters have torchvision's names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from couloir.config.image_size import ImageSize
from couloir.model.head import BroughtTo, hidden_4096
from couloir.model.normalisation import local_response_norm
from couloir.model.weights import loads_weights


class AlexNet(nn.Module):
    """Convolutions, a pooling to 6x6 whatever the size of the images, and three fully-connected layers."""

    def __init__(self, features: nn.Sequential, classifier: nn.Sequential) -> None:
        super().__init__()
        self.features = features
        self.avgpool = BroughtTo(6)
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, num_classes)."""
        x = torch.flatten(self.avgpool(self.features(x)), 1)
        logits: Tensor = self.classifier(x)
        return logits


@loads_weights
def alexnet(channels: int, image_size: ImageSize, num_classes: int, dropout: float = 0.5) -> AlexNet:
    """The one column: 61,100,840 parameters at three channels and a thousand classes.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`; 224 gives a map of 6x6, others are pooled to it.
        num_classes: classes, or outputs of a regression.
        dropout: share of the inputs of the first two fully-connected layers dropped in training.
    """
    features = nn.Sequential(
        nn.Conv2d(channels, 64, 11, stride=4, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
    )
    classifier = nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(256 * 6 * 6, 4096),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(4096, 4096),
        nn.ReLU(inplace=True),
        nn.Linear(4096, num_classes),
    )
    return AlexNet(features, classifier)


@loads_weights
def alexnet_2012(
    channels: int, image_size: ImageSize, num_classes: int, dropout: float = 0.5, extra_convolution: bool = False
) -> AlexNet:
    """The paper's two groups: 60,965,224 parameters at three channels and a thousand classes.

    It starts as the paper's section 5 says: weights from N(0, 0.01²); biases of the second, fourth, fifth (and
    sixth) convolution and of the hidden fully-connected layers at one, so that their units are alive, the others at
    zero.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`; 224 gives a map of 6x6, others are pooled to it.
        num_classes: classes, or outputs of a regression.
        dropout: share of the units of the hidden fully-connected layers dropped in training.
        extra_convolution: a sixth behind the last pooling (1CNN*), 295,168 parameters more.
    """
    sixth: list[nn.Module] = [nn.Conv2d(256, 256, 3, padding=1, groups=2), nn.ReLU(inplace=True)]
    features = nn.Sequential(
        nn.Conv2d(channels, 96, 11, stride=4, padding=2),
        nn.ReLU(inplace=True),
        local_response_norm(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2),
        nn.ReLU(inplace=True),
        local_response_norm(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(256, 384, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 384, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
        *(sixth if extra_convolution else []),
    )
    net = AlexNet(features, hidden_4096(256 * 6 * 6, num_classes, dropout))
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for number, layer in enumerate(layers, 1):
        nn.init.normal_(layer.weight, std=0.01)
        if layer.bias is not None:
            nn.init.constant_(layer.bias, 0.0 if number in (1, 3, len(layers)) else 1.0)
    return net
