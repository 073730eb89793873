"""Fully convolutional networks over VGG-16: its classifier slides over the image, and its scores are enlarged again.

Long, Shelhamer and Darrell, 2015, Fully Convolutional Networks for Semantic Segmentation, section 4 and figure 3:

| layer | map | |
|---|---|---|
| features | 1/32 | VGG-16, configuration D, without its fully-connected layers |
| fc6, fc7 | 1/32 | the fully-connected layers as convolutions, 7x7 and 1x1, 4096 channels, ReLU, dropout |
| score_fr | 1/32 | 1x1, a score a class |
| upscore2 | 1/16 | transposed convolution 4x4, stride 2; plus score_pool4, 1x1 over the fourth pooling |
| upscore_pool4 | 1/8 | transposed convolution 4x4, stride 2; plus score_pool3, 1x1 over the third pooling |
| upscore | 1 | transposed convolution: 64x64, stride 32 (fcn32s), 32x32, 16 (fcn16s), 16x16, 8 (fcn8s) |

`fcn32s` enlarges score_fr at once, `fcn16s` after the fourth pooling, `fcn8s` after both. Layers that give scores begin
at zero, transposed convolutions as bilinear interpolation, without biases. All of them learn; the paper keeps the last
one fixed (`finetune=pattern finetune.frozen=[upscore]`).

The paper pads the image with 100 zeros on each side, so that the 7x7 window has room, and crops what comes out. With
`padding=same` the window itself is padded, and the image only up to a multiple of 32 pixels, below and to the right:
the same layers at a fraction of the cost on small images.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from couloir.config.image_size import ImageSize
from couloir.model.start import he_normal_by_fan_out
from couloir.model.upsampling import bilinear_kernel, padded
from couloir.model.vgg import D, features
from couloir.model.weights import State, loads_weights

POOLINGS = {4: 16, 3: 8}
"""The poolings whose scores are added, in this order, and how much smaller than the image their maps are."""
HIDDEN = 4096
MARGIN = 100
OFFSETS = {32: 19, 16: 27, 8: 31}
"""Stride of the last layer -> where the image begins in what comes out of it, with the paper's padding."""
POOLING_OFFSETS = {4: 5, 3: 9}
"""Where the enlarged scores begin in those over a pooling, with the paper's padding."""


SCORES = ("score_", "upscore")
"""How the names of layers begin that give scores, or enlarge them."""


class FCN(nn.Module):
    """The table down to one of its strides.

    Args:
        stride: 32, 16 or 8, of the last transposed convolution.
        channels: channels of the images.
        num_classes: maps of the output.
        padding: `same`, or `paper`.
        width: factor of all hidden channels, 1 in the paper.
        dropout: share of the units of fc6 and fc7 dropped in training.
    """

    encoder_part = "features"

    def __init__(
        self, stride: int, channels: int, num_classes: int, padding: str, width: float, dropout: float
    ) -> None:
        super().__init__()

        def scaled(entry: int) -> int:
            return max(1, round(entry * width))

        stages = [[scaled(entry) for entry in stage] for stage in D]
        self.pads = padding == "same"
        self.stride = stride
        self.features = features(stages, channels, batch_norm=False)
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                layer.ceil_mode = True  # as the library has it that the offsets are worked for
        hidden = scaled(HIDDEN)
        self.fc6 = nn.Conv2d(stages[-1][-1], hidden, 7, padding=3 if self.pads else 0)
        self.fc7 = nn.Conv2d(hidden, hidden, 1)
        self.relu, self.dropout = nn.ReLU(inplace=True), nn.Dropout(dropout)
        he_normal_by_fan_out(self.features)
        for layer in (self.fc6, self.fc7):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        self.score_fr = nn.Conv2d(hidden, num_classes, 1)
        self.poolings = [number for number, reached in POOLINGS.items() if stride <= reached]
        for number in self.poolings:
            setattr(self, f"score_pool{number}", nn.Conv2d(stages[number - 1][-1], num_classes, 1))
            setattr(self, _upscore(number), self._enlarging(num_classes, 2))
        self.upscore = self._enlarging(num_classes, stride)
        for name, parameter in self.named_parameters():
            if name.startswith("score_") or name in ("fc6.bias", "fc7.bias"):
                nn.init.zeros_(parameter)

    def _enlarging(self, channels: int, stride: int) -> nn.ConvTranspose2d:
        """Bilinear interpolation, to begin with."""
        padding = stride // 2 if self.pads else 0
        layer = nn.ConvTranspose2d(channels, channels, 2 * stride, stride, padding=padding, bias=False)
        layer.weight.data.copy_(bilinear_kernel(channels, 2 * stride))
        return layer

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> raw scores (B, num_classes, H, W)."""
        height, width = x.shape[2:]
        x = padded(x, 32) if self.pads else nn.functional.pad(x, [MARGIN - 1] * 4)
        pooled = []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                pooled.append(x)
        x = self.dropout(self.relu(self.fc6(x)))
        x = self.dropout(self.relu(self.fc7(x)))
        scores = self.score_fr(x)
        for number in self.poolings:
            scores = getattr(self, _upscore(number))(scores)
            beside = getattr(self, f"score_pool{number}")(pooled[number - 1])
            scores = scores + _window(beside, 0 if self.pads else POOLING_OFFSETS[number], *scores.shape[2:])
        return _window(self.upscore(scores), 0 if self.pads else OFFSETS[self.stride], height, width)

    def begins_with(self, state: State) -> tuple[State, list[str]]:
        """What of a state is for this network, and the names of what stays as it is.

        VGG-16's fully-connected layers become fc6 and fc7 (section 4.1); its last one is for other classes. Of another
        of these networks come all layers that both have in the same shape (section 4.2).
        """
        own = self.state_dict()
        state = dict(state)
        for layer, name in (("classifier.0", "fc6"), ("classifier.3", "fc7")):
            for part in ("weight", "bias"):
                value = state.pop(f"{layer}.{part}", None)
                if value is None:
                    continue
                fits = part == "weight" and value.numel() == own[f"{name}.weight"].numel()
                state[f"{name}.{part}"] = value.reshape(own[f"{name}.weight"].shape) if fits else value
        state = {name: value for name, value in state.items() if not name.startswith("classifier.")}
        scores = [name for name in own if name.startswith(SCORES)]
        anew = [name for name in scores if name not in state or state[name].shape != own[name].shape]
        gone = [name for name in state if name.startswith(SCORES) and (name in anew or name not in own)]
        return {name: value for name, value in state.items() if name not in gone}, anew


def _upscore(number: int) -> str:
    """The name of the layer whose output the scores over a pooling are added to."""
    return {4: "upscore2", 3: "upscore_pool4"}[number]


def _window(x: Tensor, offset: int, height: int, width: int) -> Tensor:
    """(B, C, H, W) -> (B, C, height, width), from a pixel on."""
    return x[:, :, offset : offset + height, offset : offset + width]


def _named(stride: int) -> Callable[..., FCN]:
    """The constructor of one of the three networks."""

    def build(
        channels: int,
        image_size: ImageSize,
        num_classes: int,
        padding: str = "same",
        width: float = 1.0,
        dropout: float = 0.5,
    ) -> FCN:
        return FCN(stride, channels, num_classes, padding, width, dropout)

    build.__name__ = f"fcn{stride}s"
    return loads_weights(build)


fcn32s = _named(32)
fcn16s = _named(16)
fcn8s = _named(8)
