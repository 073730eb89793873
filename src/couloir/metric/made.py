"""How near made images come to real ones, pixel by pixel and without a classifier: three numbers a split."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from couloir.errors import CouloirError
from couloir.metric.kept import keys, lowest
from couloir.metric.precision import WIDE

PROJECTIONS = 128
"""Directions on which pixels are projected: fixed, so that epochs and runs are measured alike."""
SEED = 18
"""What the directions follow from."""
COUNT = 10_000
"""Samples whose projections are kept at most: 20 MiB."""
WIDTH = 1 + 2 * PROJECTIONS
"""What is kept of a sample: its key, and the projections of the made and the real image."""


class Made(Metric):
    """Three numbers of made images beside as many real ones.

    - `swd`: the sliced Wasserstein distance of their pixels: the mean, over `PROJECTIONS` random directions of length
      one, of the 1-Wasserstein distance of their projections. In grey levels, of which white is one; less is better.
      Source: Rabin, Peyré, Delon and Bernot, 2011, Wasserstein Barycenter and Its Application to Texture Mixing;
      Bonneel, Rabin, Peyré and Pfister, 2015, Sliced and Radon Wasserstein Barycenters of Measures.
    - `diversity`: the root mean square of the Euclidean distance of two made images over that of two real ones. It
      follows from sums over all samples: no pairs are drawn. Near 0 all made images are the same.
    - `sharpness`: the mean absolute Laplacian of made images over that of real ones, where a pixel beyond the border is
      as the one at it. Below 1 made images are blurred, above 1 they are noisy.

    Of more than `COUNT` samples `swd` takes the same ones, whatever the batches and processes are. A ratio to real
    images that are all the same, or plain, is NaN.
    """

    full_state_update = False
    kept: list[Tensor]
    sums: list[Tensor]
    totals: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.set_dtype(WIDE)  # also of what stands for a process without a sample
        # One flat tensor each: TorchMetrics joins those of processes that have other numbers of samples, or none.
        for name in ("kept", "sums", "totals"):
            self.add_state(name, [], dist_reduce_fx="cat")
        self._directions = torch.empty(0, 0)

    def update(self, *tensors: Tensor) -> None:
        """Add samples.

        Args:
            tensors: of which the last two are the made images and as many real ones, both (B, C, H, W) in [0, 1].

        Raises:
            CouloirError: they have other shapes.
        """
        made, real = (x.detach().float() for x in tensors[-2:])
        if made.shape != real.shape or made.dim() != 4:
            raise CouloirError(
                f"Made images have the shape {tuple(made.shape)}, the real ones {tuple(real.shape)}; they must have "
                "the same, (samples, channels, height, width)."
            )
        flat = [x.flatten(1) for x in (made, real)]
        with torch.autocast(made.device.type, enabled=False):
            rows = [x @ self._directions_for(x) for x in flat]
        more = torch.cat([keys(real), *rows], dim=1).to(WIDE).flatten()
        self.kept = [lowest([*self.kept, more], WIDTH, COUNT).flatten()]
        wide = [x.to(WIDE) for x in flat]
        self.sums = [_added(self.sums, torch.cat([x.sum(dim=0) for x in wide]))]
        each = [x.square().sum() for x in wide] + [laplacian(x).to(WIDE).sum() for x in (made, real)]
        count = torch.tensor(float(len(made)), dtype=WIDE, device=made.device)
        self.totals = [_added(self.totals, torch.stack([count, *each]))]

    def compute(self) -> dict[str, Tensor]:
        """The three numbers, over all processes; NaN of fewer than two samples."""
        kept = lowest(self.kept, WIDTH, COUNT)[:, 1:]
        made, real = (rows.sort(dim=0).values for rows in kept.tensor_split(2, dim=1))
        totals = torch.cat(_listed(self.totals)).view(-1, 5)
        sums = torch.cat(_listed(self.sums)).view(len(totals), 2, -1).sum(dim=0)
        count, *squares, made_edges, real_edges = totals.sum(dim=0)
        # The mean squared distance of two samples is twice the variance, summed over pixels.
        spread = [(squares[k] - sums[k].square().sum() / count).clamp(min=0) for k in (0, 1)]
        spread[1] = torch.where(spread[1] > 1e-12 * squares[1], spread[1], 0.0)  # what is left of equal images rounds
        return {
            "swd": (made - real).abs().mean(),
            "diversity": torch.where(spread[1] > 0, (spread[0] / spread[1]).sqrt(), torch.nan),
            "sharpness": torch.where(real_edges > 0, made_edges / real_edges, torch.nan),
        }

    def _directions_for(self, flat: Tensor) -> Tensor:
        """The directions for images (B, P), (P, `PROJECTIONS`)."""
        if self._directions.shape[0] != flat.shape[1]:
            drawn = torch.randn(flat.shape[1], PROJECTIONS, generator=torch.Generator().manual_seed(SEED))
            self._directions = drawn / drawn.norm(dim=0)
        self._directions = self._directions.to(flat.device)
        return self._directions


def laplacian(images: Tensor) -> Tensor:
    """The absolute discrete Laplacian of each pixel of images (B, C, H, W): four times it less its four neighbours."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    around = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return (4 * images - around).abs()


def _added(before: list[Tensor], more: Tensor) -> Tensor:
    return before[0] + more if before else more


def _listed(state: list[Tensor] | Tensor) -> list[Tensor]:
    """A state as a list: what several processes have joined is one tensor."""
    return [state] if isinstance(state, Tensor) else state
