"""Linear forecasts: what every other forecaster must beat.

Zeng et al., 2023, Are Transformers Effective for Time Series Forecasting?, section 4, LTSF-Linear.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.model.sequence.network import opened
from couloir.model.weights import loads_weights


class OverSteps(nn.Module):
    """One linear map from the steps of a window to the steps to come: W x + b for each channel.

    Args:
        length: steps of a window, T.
        horizon: steps to come, H.
        channels: K; None: one map is shared by all channels.
    """

    def __init__(self, length: int, horizon: int, channels: int | None = None) -> None:
        super().__init__()
        count = 1 if channels is None else channels
        self.maps = nn.ModuleList(nn.Linear(length, horizon) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        """(B, K, T) -> (B, K, H)."""
        if len(self.maps) == 1:
            out: Tensor = self.maps[0](x)
            return out
        return torch.stack([each(x[:, place]) for place, each in enumerate(self.maps)], dim=1)


class LinearForecast(nn.Module):
    """The steps to come of each target as a weighted sum of its own steps in the window.

    Args:
        length: steps of a window, T.
        horizon: steps to come, H.
        num_classes: targets, K, the first channels of the input; further channels are not looked at.
        individual: whether each target has weights of its own.
    """

    def __init__(self, length: int, horizon: int, num_classes: int, individual: bool) -> None:
        super().__init__()
        self.length, self.targets = length, num_classes
        self.linear = OverSteps(length, horizon, num_classes if individual else None)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, F) -> (B, H, K)."""
        out: Tensor = self.linear(_targets(x, self.targets))
        return out.transpose(1, 2)


class DLinear(nn.Module):
    """The same for a trend and what remains without it, with weights of their own, added up.

    The trend is a moving mean over `kernel_size` steps, whose first and last step are repeated at the edges.

    Args:
        length: steps of a window, T.
        horizon: steps to come, H.
        num_classes: targets, K, the first channels of the input; further channels are not looked at.
        kernel_size: steps of the moving mean, an odd number.
        individual: whether each target has weights of its own.
    """

    def __init__(self, length: int, horizon: int, num_classes: int, kernel_size: int, individual: bool) -> None:
        super().__init__()
        self.length, self.targets, self.kernel_size = length, num_classes, kernel_size
        channels = num_classes if individual else None
        self.seasonal, self.trend = OverSteps(length, horizon, channels), OverSteps(length, horizon, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, F) -> (B, H, K)."""
        x = _targets(x, self.targets)
        trend = moving_mean(x, self.kernel_size)
        out: Tensor = self.seasonal(x - trend) + self.trend(trend)
        return out.transpose(1, 2)


def moving_mean(x: Tensor, kernel_size: int) -> Tensor:
    """The mean of the `kernel_size` steps around each one, (B, K, T) -> (B, K, T); the edges are repeated."""
    before = (kernel_size - 1) // 2
    padded = F.pad(x, (before, kernel_size - 1 - before), mode="replicate")
    return F.avg_pool1d(padded, kernel_size, stride=1)


def _targets(x: Tensor, count: int) -> Tensor:
    """(B, T, F) -> (B, K, T)."""
    return opened(x)[0][..., :count].transpose(1, 2)


@loads_weights
def linear_forecast(length: int, horizon: int, num_classes: int, individual: bool = False) -> nn.Module:
    """A `LinearForecast`."""
    return LinearForecast(length, horizon, num_classes, individual)


@loads_weights
def dlinear(length: int, horizon: int, num_classes: int, kernel_size: int = 25, individual: bool = False) -> nn.Module:
    """A `DLinear`."""
    return DLinear(length, horizon, num_classes, kernel_size, individual)
