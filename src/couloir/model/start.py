"""The weights that the deep networks begin with where no initializer is named."""

from __future__ import annotations

import math

from torch import nn


def he_normal_by_fan_out(net: nn.Module, linear_deviation: float | None = None) -> None:
    """Convolutions from N(0, 2 / fan-out), their biases at zero.

    He et al., 2015, Delving Deep into Rectifiers, equation 14.

    Args:
        net: changed in place.
        linear_deviation: linear layers from N(0, deviation²), biases at zero; None leaves PyTorch's own.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1] // module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        elif isinstance(module, nn.Linear) and linear_deviation is not None:
            nn.init.normal_(module.weight, std=linear_deviation)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
