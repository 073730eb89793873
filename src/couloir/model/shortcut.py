"""What a residual block adds to its output when the shapes differ, and how often it is skipped."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.errors import CouloirError

PLAIN = "none"


def check_plain(option: str, key: str, value: object) -> None:
    """Refuse a key of the shortcuts in a network that has none.

    Args:
        option: the kind of the shortcuts.
        key: of the model.
        value: what it is; of false or zero nothing is to be said.

    Raises:
        CouloirError: the network has no shortcuts.
    """
    if option == PLAIN and value:
        raise CouloirError(
            f"model.{key}={str(value).lower()} lets a block give nothing but its shortcut, and with "
            "model.shortcut=none there is none.",
            next_step=f"model.shortcut=A or B, or leave model.{key} out",
        )


class ZeroPadding(nn.Module):
    """Option A: every `stride`-th pixel, and channels of zeros behind; no parameters.

    He et al., 2015, Deep Residual Learning, section 3.3.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: 2 halves the map.
    """

    selects = True

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.extra, self.stride = out_channels - in_channels, stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride)."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], [0, 0, 0, 0, 0, self.extra])


class NoShortcut(nn.Module):
    """Nothing is added: the plain network that residual ones are compared with (section 4.1)."""

    selects = True

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> (), a zero."""
        return x.new_zeros(())


def shortcut(in_channels: int, out_channels: int, stride: int, option: str) -> nn.Module | None:
    """None, the identity, where the shapes agree; zero padding (A) or a 1x1 projection (B) where they do not. With
    `none` there is no shortcut at all.
    """
    if option == PLAIN:
        return NoShortcut()
    if stride == 1 and in_channels == out_channels:
        return None
    if option == "A":
        return ZeroPadding(in_channels, out_channels, stride)
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))


def stochastic_depth(residual: Tensor, survival: float, training: bool) -> Tensor:
    """The residual branch of a block that is left out of some training steps, all samples together.

    Huang et al., 2016, Deep Networks with Stochastic Depth, equations 2 and 5.

    Args:
        residual: the branch's output.
        survival: the probability that it counts in a step of training; its weight otherwise.
        training: whether this is training.
    """
    if survival == 1.0:
        return residual
    if not training:
        return residual * survival
    return residual * (torch.rand((), device=residual.device) < survival)
