"""Mixing samples: mixup and cutmix. Each sample has a partner and a share of its own; targets are mixed alike."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Beta

Mixed = tuple[Tensor, Tensor]


def as_mixable(y: Tensor, num_classes: int) -> Tensor:
    """Labels (B,) as one-hot rows (B, num_classes); values and probabilities stay as they are."""
    return y if y.is_floating_point() else F.one_hot(y, num_classes).float()


def shares(alpha: float, x: Tensor) -> Tensor:
    """A share for each sample from Beta(alpha, alpha), (B,), drawn from torch's global generator of the device."""
    concentration = torch.full((len(x),), alpha, device=x.device)
    return Beta(concentration, concentration, validate_args=False).sample().to(x.dtype)


def blend(y: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    """share y + (1 - share) y of the partner, for targets (B, C)."""
    weight = share.to(y.dtype).view(-1, *[1] * (y.ndim - 1))
    return weight * y + (1 - weight) * y[partner]


class Mixup(nn.Module):
    """x = s x_i + (1 - s) x_j, and the targets in the same way, s from Beta(alpha, alpha).

    Zhang et al., 2018, mixup: Beyond Empirical Risk Minimization, equation 2.

    Args:
        num_classes: classes, into which labels are spread.
        alpha: small values mix little.
    """

    mixes_targets = True

    def __init__(self, num_classes: int, alpha: float) -> None:
        super().__init__()
        self.num_classes, self.alpha = num_classes, alpha

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor | Mixed:
        """Inputs (B, ...) and, if given, targets: labels (B,), probabilities (B, C) or values (B, 1)."""
        share, partner = shares(self.alpha, x), torch.randperm(len(x), device=x.device)
        mixed = blend(x, partner, share)
        return mixed if y is None else (mixed, blend(as_mixable(y, self.num_classes), partner, share))


class CutMix(nn.Module):
    """Replaces a window of each image by its partner's; the targets are mixed by area.

    Yun et al., 2019, CutMix, section 3.1: the window has the image's shape and the share 1 - s of its area, s from
    Beta(alpha, alpha), and its centre anywhere in the image; what lies outside is cut off.

    Args:
        num_classes: classes, into which labels are spread.
        alpha: small values exchange little or nearly all.
    """

    mixes_targets = True

    def __init__(self, num_classes: int, alpha: float) -> None:
        super().__init__()
        self.num_classes, self.alpha = num_classes, alpha

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor | Mixed:
        """Images (B, C, H, W) and, if given, labels (B,) or probabilities (B, C)."""
        partner = torch.randperm(len(x), device=x.device)
        inside = windows(x, shares(self.alpha, x))
        mixed = torch.where(inside[:, None], x[partner], x)
        kept = 1 - inside.to(x.dtype).mean(dim=(1, 2))
        return mixed if y is None else (mixed, blend(as_mixable(y, self.num_classes), partner, kept))


def windows(x: Tensor, share: Tensor) -> Tensor:
    """Which pixels of each image are replaced, (B, H, W) bool."""
    side = (1 - share).sqrt()
    masks = []
    for length in x.shape[2:]:
        centre = torch.randint(0, length, (len(x),), device=x.device)
        half = (side * length / 2).round().long()
        positions = torch.arange(length, device=x.device)
        masks.append((positions >= (centre - half)[:, None]) & (positions < (centre + half)[:, None]))
    return masks[0][:, :, None] & masks[1][:, None, :]
