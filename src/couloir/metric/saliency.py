"""How well predicted saliency maps fit true ones: five numbers a sample.

Source: Bylinskii, Judd, Oliva, Torralba and Durand, 2019, What Do Different Evaluation Metrics Tell Us About Saliency
Models?, section 4.
"""

from __future__ import annotations

import torch
from torch import Tensor

from couloir.errors import CouloirError
from couloir.metric.precision import WIDE

NAMES = ("cc", "sim", "nss", "kl_divergence", "auc_judd")
"""What `scores` gives of a sample, in this order."""
EPSILON = 2.0**-52
"""What keeps the logarithm of the divergence finite: the paper's."""


def scores(prediction: Tensor, target: Tensor) -> Tensor:
    """The five numbers of each sample, (B, 5), in the order of `NAMES`; NaN for a true map with no salient pixel.

    Where the true map shows fixations (0 and 1), NSS and AUC are those of the literature. Of a density each pixel
    counts as a fixation by the share of the largest value that it has, and for the rest as a place without one. A
    prediction that is the same everywhere correlates with nothing: its CC and NSS are 0, its AUC 0.5.

    Args:
        prediction: values >= 0 in any unit, (B, 1, H, W).
        target: values >= 0 in any unit, the same shape.

    Raises:
        CouloirError: the shapes differ.
    """
    if prediction.shape != target.shape:
        raise CouloirError(
            f"The predicted maps have the shape {tuple(prediction.shape)}, the true ones {tuple(target.shape)}."
        )
    p, t = prediction.flatten(1).to(WIDE), target.flatten(1).to(WIDE)
    p_share, t_share = _shares(p), _shares(t)
    p_scaled, t_scaled = _scaled(p), _scaled(t)
    columns = (
        (p_scaled * t_scaled).mean(dim=1),
        torch.minimum(p_share, t_share).sum(dim=1),
        (p_scaled * t_share).sum(dim=1),
        (t_share * torch.log(EPSILON + t_share / (EPSILON + p_share))).sum(dim=1),
        _auc(p, t),
    )
    values = torch.stack(columns, dim=1)
    return torch.where(t.amax(dim=1, keepdim=True) > 0, values, torch.nan)


def _shares(maps: Tensor) -> Tensor:
    """Maps (B, P) that sum to one; one without any value stays zero."""
    total = maps.sum(dim=1, keepdim=True)
    return maps / torch.where(total > 0, total, 1.0)


def _scaled(maps: Tensor) -> Tensor:
    """Maps (B, P) with the mean 0 and the deviation 1; one without a deviation is zero.

    A map that is the same everywhere may have a deviation that is its rounding alone.
    """
    mean = maps.mean(dim=1, keepdim=True)
    deviation = maps.std(dim=1, keepdim=True, correction=0)
    varies = maps.amax(dim=1, keepdim=True) > maps.amin(dim=1, keepdim=True)
    return torch.where(varies, maps - mean, 0.0) / torch.where(varies, deviation, 1.0)


def _auc(p: Tensor, t: Tensor) -> Tensor:
    """The probability that a fixated pixel is predicted higher than one that is not, a half where both are the same.

    NaN where no pixel or each one is fixated.
    """
    largest = t.amax(dim=1, keepdim=True)
    order = p.float().sort(dim=1)  # what a network gives has no more digits, and float32 sorts twice as fast
    fixated = (t / torch.where(largest > 0, largest, 1.0)).gather(1, order.indices)
    others = 1 - fixated
    below = torch.nn.functional.pad(others.cumsum(dim=1), (1, 0))
    first = torch.searchsorted(order.values, order.values)
    last = torch.searchsorted(order.values, order.values, right=True)
    won = fixated * (below.gather(1, first) + below.gather(1, last)) / 2
    return won.sum(dim=1) / (fixated.sum(dim=1) * others.sum(dim=1))
