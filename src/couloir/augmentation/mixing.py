"""Mixing samples: mixup and cutmix. Each sample has a partner and a share of its own; targets are mixed alike."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Beta

from couloir.augmentation.transform import Batch, changed_fields
from couloir.config.fields import KINDS
from couloir.errors import CouloirError

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


class Mixing(nn.Module):
    """Mixes the samples of a batch, inputs and targets alike.

    Args:
        num_classes: classes, into which labels are spread.
        alpha: small values mix little.
    """

    by_field = True

    def __init__(self, num_classes: int, alpha: float) -> None:
        super().__init__()
        self.num_classes, self.alpha = num_classes, alpha

    def mix(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mixed inputs (B, ...), the partner of each sample, and the sample's own share, (B,) each."""
        raise NotImplementedError

    def forward(self, x: Tensor | Batch, y: Tensor | Mapping[str, str] | None = None) -> Tensor | Mixed | Batch:
        """A batch and the kinds of its fields, or inputs (B, ...) and, if given, targets.

        Args:
            x: a batch of named fields, or inputs.
            y: the kind of each field (None: each is named after its kind), or the targets: labels (B,), probabilities
                (B, C) or values (B, K).

        Raises:
            CouloirError: the batch has a target that cannot be mixed.
        """
        if isinstance(x, Tensor):
            mixed, partner, share = self.mix(x)
            assert y is None or isinstance(y, Tensor)
            return mixed if y is None else (mixed, blend(as_mixable(y, self.num_classes), partner, share))
        kinds = {name: name for name in x if name in KINDS} if y is None else y
        assert isinstance(kinds, Mapping)
        name = changed_fields(x, kinds, self)[0]
        batch = dict(x)
        batch[name], partner, share = self.mix(x[name])
        for other, kind in kinds.items():
            if kind in MIXED and other in x:
                batch[other] = blend(as_mixable(x[other], self.num_classes), partner, share)
            elif other != name and other in x:
                raise CouloirError(
                    f"augmentation={type(self).__name__.lower()} mixes labels and values, and the field "
                    f"'{other}' is of the kind {kind}.",
                    next_step="an augmentation that moves images and maps together, such as augmentation=flip_crop",
                )
        return batch


MIXED = ("label", "labels", "value")
"""Kinds of targets of which a mean of two is one again."""


class Mixup(Mixing):
    """x = s x_i + (1 - s) x_j, and the targets in the same way, s from Beta(alpha, alpha).

    Zhang et al., 2018, mixup: Beyond Empirical Risk Minimization, equation 2.
    """

    def mix(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mixed inputs (B, ...), the partner of each sample, and the sample's own share, (B,) each."""
        share, partner = shares(self.alpha, x), torch.randperm(len(x), device=x.device)
        return blend(x, partner, share), partner, share


class CutMix(Mixing):
    """Replaces a window of each image by its partner's; the targets are mixed by area.

    Yun et al., 2019, CutMix, section 3.1: the window has the image's shape and the share 1 - s of its area, s from
    Beta(alpha, alpha), and its centre anywhere in the image; what lies outside is cut off.
    """

    def mix(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, C, H, W) with their windows, the partner of each, and the share of its own pixels, (B,) each."""
        partner = torch.randperm(len(x), device=x.device)
        inside = windows(x, shares(self.alpha, x))
        mixed = torch.where(inside[:, None], x[partner], x)
        return mixed, partner, 1 - inside.to(x.dtype).mean(dim=(1, 2))


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
