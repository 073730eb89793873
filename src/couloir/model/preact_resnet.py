"""Residual networks with normalisation and activation before the weights, and the wide ones.

He, Zhang, Ren and Sun, 2016, Identity Mappings in Deep Residual Networks, figure 4e and appendix; for 32x32 images:

| map | 32 | 16 | 8 |
|---|---|---|---|
| bottleneck (1x1, 3x3, 1x1 channels) | 16, 16, 64 | 32, 32, 128 | 64, 64, 256 |
| blocks of ResNet-164 | 18 | 18 | 18 |
| blocks of ResNet-1001 | 111 | 111 | 111 |

Zagoruyko and Komodakis, 2016, Wide Residual Networks, table 1; N = (depth - 4) / 6, k the width:

| map | 32 | 16 | 8 |
|---|---|---|---|
| two 3x3 convolutions | 16 k | 32 k | 64 k |
| blocks | N | N | N |
"""

from __future__ import annotations

from torch import Tensor, nn

from couloir.config.image_size import ImageSize
from couloir.errors import CouloirError
from couloir.model.stage import Stage
from couloir.model.start import he_normal_by_fan_out
from couloir.model.weights import loads_weights


class PreActivation(nn.Module):
    """Convolutions, each after batch normalisation and ReLU, and the shortcut.

    Where the shapes differ, the shortcut is a 1x1 convolution of the activated input.

    Args:
        in_channels: channels of the input.
        convolutions: channels, kernel size and stride of each convolution.
        dropout: share of the maps dropped before the last convolution.
    """

    def __init__(self, in_channels: int, convolutions: list[tuple[int, int, int]], dropout: float = 0.0) -> None:
        super().__init__()
        before, stride = in_channels, 1
        self.norms, self.convs = nn.ModuleList(), nn.ModuleList()
        for width, kernel_size, step in convolutions:
            self.norms.append(nn.BatchNorm2d(before))
            self.convs.append(nn.Conv2d(before, width, kernel_size, step, kernel_size // 2, bias=False))
            before, stride = width, stride * step
        same = stride == 1 and before == in_channels
        self.projection = None if same else nn.Conv2d(in_channels, before, 1, stride, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride)."""
        out = self.relu(self.norms[0](x))
        identity = x if self.projection is None else self.projection(out)
        last = len(self.convs) - 1
        for number, (norm, conv) in enumerate(zip(self.norms, self.convs, strict=True)):
            out = self.relu(norm(out)) if number else out
            out = conv(self.dropout(out) if number == last else out)
        summed: Tensor = identity + out
        return summed


class PreActResNet(nn.Module):
    """Three stages of pre-activation blocks for small images; the head pools to one pixel.

    Args:
        blocks: blocks of each stage.
        width: k, which multiplies the channels 16, 32 and 64.
        bottleneck: 1x1, 3x3 and 1x1 convolutions, the last four times as wide, in place of two 3x3.
        channels: channels of the images.
        num_classes: classes, or outputs of a regression.
        dropout: share of the maps dropped within each block.
        gradient_checkpointing: keep the blocks' inputs only, and run the blocks twice.
    """

    def __init__(
        self,
        blocks: int,
        width: int,
        bottleneck: bool,
        channels: int,
        num_classes: int,
        dropout: float = 0.0,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        before, stages = 16, []
        for number, base in enumerate((16, 32, 64)):
            row: list[nn.Module] = []
            for position in range(blocks):
                stride, out = (2 if number > 0 and position == 0 else 1), base * width
                plan = [(out, 3, stride), (out, 3, 1)]
                if bottleneck:
                    plan = [(out, 1, stride), (out, 3, 1), (4 * out, 1, 1)]
                row.append(PreActivation(before, plan, dropout))
                before = plan[-1][0]
            stages.append(Stage(*row, gradient_checkpointing=gradient_checkpointing))
        self.stages = nn.Sequential(*stages)
        self.norm = nn.BatchNorm2d(before)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(before, num_classes)
        he_normal_by_fan_out(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, num_classes)."""
        x = self.relu(self.norm(self.stages(self.conv(x))))
        logits: Tensor = self.fc(self.flatten(self.pool(x)))
        return logits


@loads_weights
def preact_resnet164(
    channels: int, image_size: ImageSize, num_classes: int, gradient_checkpointing: bool = False
) -> PreActResNet:
    """Pre-activation ResNet-164: 18 bottlenecks in each of three stages."""
    return PreActResNet(18, 1, True, channels, num_classes, gradient_checkpointing=gradient_checkpointing)


@loads_weights
def preact_resnet1001(
    channels: int, image_size: ImageSize, num_classes: int, gradient_checkpointing: bool = False
) -> PreActResNet:
    """Pre-activation ResNet-1001: 111 bottlenecks in each of three stages."""
    return PreActResNet(111, 1, True, channels, num_classes, gradient_checkpointing=gradient_checkpointing)


@loads_weights
def wide_resnet(
    channels: int,
    image_size: ImageSize,
    num_classes: int,
    depth: int = 16,
    width: int = 8,
    dropout: float = 0.0,
    gradient_checkpointing: bool = False,
) -> PreActResNet:
    """WRN-depth-width, such as WRN-28-10.

    Raises:
        CouloirError: the depth is not 6N + 4.
    """
    if depth < 10 or (depth - 4) % 6:
        below = max(10, depth - (depth - 4) % 6)
        raise CouloirError(
            f"model.depth={depth} is not the depth of a wide residual network: that is 6N + 4.",
            next_step=f"model.depth={below} or model.depth={below + 6}",
        )
    return PreActResNet((depth - 4) // 6, width, False, channels, num_classes, dropout, gradient_checkpointing)
