"""How well maps of classes are predicted: counts of each sample, and what follows from their sums over a split."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from couloir.config.fields import IGNORED
from couloir.config.metrics import by_class
from couloir.errors import CouloirError
from couloir.metric.precision import WIDE


def classes_of(scores: Tensor) -> Tensor:
    """The class of each pixel that scores (B, K, H, W) speak for, (B, H, W), the first of several.

    `max` and not `argmax`: on a CPU it is five times faster along this axis.
    """
    return scores.max(dim=1).indices


def confusion(scores_or_classes: Tensor, target: Tensor, num_classes: int) -> Tensor:
    """How many pixels of each class are taken for each class, (B, K, K) int64: truth by rows, prediction by columns.

    Pixels that are IGNORED in the target have no part. Nothing waits for the device.

    Args:
        scores_or_classes: scores (B, K, H, W), or classes (B, H, W).
        target: classes int64 (B, H, W).
        num_classes: the number of classes K.

    Raises:
        CouloirError: the shapes do not belong together.
    """
    predicted = _classes(scores_or_classes, target)
    batch, kinds = len(target), num_classes
    # One row more, for the pixels that are left out: to select the others, a GPU would have to be waited for.
    rows = torch.where(target == IGNORED, kinds, target)
    samples = torch.arange(batch, device=target.device).view(-1, 1, 1)
    place = ((samples * (kinds + 1) + rows) * kinds + predicted).flatten()
    counts = torch.zeros(batch * (kinds + 1) * kinds, dtype=torch.int64, device=target.device)
    # As `bincount`, which would have to read back how large its result is.
    counts.scatter_add_(0, place, counts.new_ones(1).expand_as(place))
    return counts.view(batch, kinds + 1, kinds)[:, :kinds]


def boundary_counts(scores_or_classes: Tensor, target: Tensor, num_classes: int, tolerance: float = 2.0) -> Tensor:
    """How many pixels of each class's boundary lie near the other boundary, (B, K, 4) int64.

    A pixel is on the boundary of its class if one of its four neighbours has another class; the border of the image
    and IGNORED pixels make none.

    Source: Csurka, Larlus and Perronnin, 2013, What Is a Good Evaluation Measure for Semantic Segmentation?, section 2.

    Args:
        scores_or_classes: scores (B, K, H, W), or classes (B, H, W).
        target: classes int64 (B, H, W).
        num_classes: the number of classes K.
        tolerance: how far away "near" is, in pixels from centre to centre.

    Returns:
        By class: predicted boundary pixels that are near a true one, all predicted ones, true ones that are near a
        predicted one, all true ones.

    Raises:
        CouloirError: the shapes do not belong together.
    """
    counted = target != IGNORED
    predicted = torch.where(counted, _classes(scores_or_classes, target), IGNORED)
    edges = [_edges(classes, counted) for classes in (predicted, target)]
    found = []
    for number in range(num_classes):
        own, true = ((classes == number) & edge for classes, edge in zip((predicted, target), edges, strict=True))
        near = (own & _grown(true, tolerance), own, true & _grown(own, tolerance), true)
        found.append(torch.stack([where.sum(dim=(1, 2)) for where in near], dim=1))
    return torch.stack(found, dim=1)


class SegmentationMetrics(Metric):
    """Sums counts over a split, and makes of the sums what a segmentation is measured by.

    A class that is neither in the truth nor in the predictions has no IoU and no Dice (NaN) and no part in their means.

    Args:
        num_classes: the number of classes K.
        classes: their names; without them they are numbered.
        boundaries: whether boundaries are measured as well.
    """

    full_state_update = False
    pixels: Tensor
    edges: Tensor

    def __init__(self, num_classes: int, classes: Sequence[str] = (), boundaries: bool = False) -> None:
        super().__init__()
        self.names = by_class("iou", classes, num_classes)
        self.boundaries = boundaries
        counts = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        self.add_state("pixels", counts, dist_reduce_fx="sum")
        if boundaries:
            self.add_state("edges", torch.zeros(num_classes, 4, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, confusions: Tensor, boundaries: Tensor | None = None) -> None:
        """Add samples: what `confusion` (B, K, K) and, where boundaries are measured, `boundary_counts` say of them."""
        self.pixels += confusions.sum(dim=0)
        if self.boundaries and boundaries is not None:
            self.edges += boundaries.sum(dim=0)

    def compute(self) -> dict[str, Tensor]:
        """`pixel_accuracy`, `mean_iou`, `mean_dice`, `boundary_f1` where it is measured, and `iou_CLASS` by class."""
        pixels = self.pixels.to(WIDE)
        right, both = pixels.diagonal(), pixels.sum(dim=0) + pixels.sum(dim=1)
        iou = right / (both - right)  # 0 / 0 is NaN, of a class that is nowhere
        values = {
            "pixel_accuracy": right.sum() / pixels.sum(),
            "mean_iou": iou.nanmean(),
            "mean_dice": (2 * right / both).nanmean(),
        }
        if self.boundaries:
            near, own, near_true, true = self.edges.to(WIDE).unbind(dim=1)
            # 2 P R / (P + R) with P = near / own and R = near_true / true; without one of the boundaries it is 0.
            f1 = 2 * near * near_true / (near * true + near_true * own).clamp(min=1)
            values["boundary_f1"] = torch.where(own + true > 0, f1, torch.nan).nanmean()
        return values | dict(zip(self.names, iou, strict=True))


class Confusions(Metric):
    """Sums of what `confusion` says of samples: how many pixels of each class are taken for each class, over a split.

    Args:
        num_classes: the number of classes K.
    """

    full_state_update = False
    pixels: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        counts = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        self.add_state("pixels", counts, dist_reduce_fx="sum")

    def update(self, confusions: Tensor) -> None:
        """Add samples: (B, K, K)."""
        self.pixels += confusions.sum(dim=0)

    def compute(self) -> Tensor:
        """(K, K) int64, truth by rows."""
        return self.pixels.clone()


def overlaps(confusions: Tensor) -> tuple[Tensor, Tensor]:
    """Of each sample the share of its pixels that are right, (B,), and the IoU of each class, (B, K).

    NaN where a class is neither in the truth nor in the prediction, and where no pixel counts.

    Args:
        confusions: of `confusion`, (B, K, K).
    """
    pixels = confusions.to(WIDE)
    right = pixels.diagonal(dim1=1, dim2=2)
    both = pixels.sum(dim=1) + pixels.sum(dim=2)
    return right.sum(dim=1) / pixels.sum(dim=(1, 2)), right / (both - right)


def _classes(scores_or_classes: Tensor, target: Tensor) -> Tensor:
    predicted = classes_of(scores_or_classes) if scores_or_classes.ndim == 4 else scores_or_classes
    if predicted.shape != target.shape or target.ndim != 3:
        raise CouloirError(
            f"Predictions of the shape {tuple(scores_or_classes.shape)} do not belong to a map of classes of the "
            f"shape {tuple(target.shape)}.",
            next_step="predictions are scores (B, K, H, W) or classes (B, H, W), the target is classes (B, H, W)",
        )
    return predicted


def _edges(classes: Tensor, counted: Tensor) -> Tensor:
    """Pixels (B, H, W) with one of another class beside, above or below them."""
    edges = torch.zeros_like(counted)
    for axis in (1, 2):
        size = classes.shape[axis] - 1
        pair = [classes.narrow(axis, start, size) for start in (0, 1)]
        differ = (pair[0] != pair[1]) & counted.narrow(axis, 0, size) & counted.narrow(axis, 1, size)
        for start in (0, 1):
            edges.narrow(axis, start, size).logical_or_(differ)
    return edges


def _grown(where: Tensor, radius: float) -> Tensor:
    """All pixels (B, H, W) at most `radius` from one of those that are set."""
    reach, (height, width) = int(radius), where.shape[1:]
    grown, wide, spread = torch.zeros_like(where), where, 0
    for rows in range(reach, -1, -1):  # the further away a row, the fewer of its pixels are near
        while (spread + 1) ** 2 + rows**2 <= radius**2 and spread < width:
            spread += 1
            wide = wide.clone()
            wide[:, :, spread:] |= where[:, :, : width - spread]
            wide[:, :, : width - spread] |= where[:, :, spread:]
        if rows < height:
            grown[:, rows:] |= wide[:, : height - rows]
            grown[:, : height - rows] |= wide[:, rows:]
    return grown
