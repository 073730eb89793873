"""Histograms of oriented gradients under a linear classifier: the hand-crafted baseline that networks are to beat.

Dalal and Triggs, 2005, Histograms of Oriented Gradients for Human Detection, section 6: centred differences, unsigned
orientations in `orientations` bins of cells, and blocks of cells normalised by L2-Hys. What scikit-image computes
(`skimage.feature.hog`): a pixel votes for one bin of one cell with the length of its gradient, and of several channels
the one with the longest gradient votes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.config.image_size import ImageSize, size_of
from couloir.errors import CouloirError

EPSILON = 1e-5
"""What is added to a block's length, so that an even area has no direction."""
CLIPPED = 0.2
"""The largest part that one bin may have in a block, once it is normalised (L2-Hys)."""


class HistogramsOfGradients(nn.Module):
    """Images as rows of normalised histograms; nothing of it learns.

    Args:
        orientations: bins between 0 and 180 degrees.
        cell_size: pixels of a cell's side.
        block_size: cells of a block's side.
    """

    def __init__(self, orientations: int, cell_size: int, block_size: int) -> None:
        super().__init__()
        self.orientations, self.cell_size, self.block_size = orientations, cell_size, block_size
        edges = torch.arange(1, orientations, dtype=torch.float64) * math.pi / orientations
        self.register_buffer(
            "edges", torch.stack([edges.cos(), edges.sin()]).float()[:, :, None, None], persistent=False
        )
        self.edges: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, blocks down * blocks across * block_size² * orientations)."""
        down = F.pad(x[:, :, 2:] - x[:, :, :-2], [0, 0, 1, 1])
        across = F.pad(x[:, :, :, 2:] - x[:, :, :, :-2], [1, 1])
        length = (across.square() + down.square()).sqrt()
        longest = length.argmax(dim=1, keepdim=True)
        length, across, down = (part.gather(1, longest) for part in (length, across, down))
        # A gradient and its opposite have one orientation; it is behind an edge between two bins that it is left of.
        opposite = (down < 0) | ((down == 0) & (across < 0))
        across, down = torch.where(opposite, -across, across), torch.where(opposite, -down, down)
        cosine, sine = self.edges
        bins = (cosine * down >= sine * across).sum(dim=1, keepdim=True)
        votes = length * (bins == torch.arange(self.orientations, device=x.device).view(1, -1, 1, 1))
        cells = F.avg_pool2d(votes, self.cell_size)
        blocks = cells.unfold(2, self.block_size, 1).unfold(3, self.block_size, 1)  # (B, bins, down, across, b, b)
        blocks = blocks.permute(0, 2, 3, 4, 5, 1).flatten(3)
        blocks = _normalised(_normalised(blocks).clamp(max=CLIPPED))
        return blocks.flatten(1)


def _normalised(blocks: Tensor) -> Tensor:
    return blocks / (blocks.square().sum(dim=-1, keepdim=True) + EPSILON**2).sqrt()


def hog_linear(
    channels: int,
    image_size: ImageSize,
    num_classes: int,
    orientations: int = 9,
    cell_size: int | None = None,
    block_size: int = 2,
) -> nn.Sequential:
    """A linear classifier of histograms of oriented gradients; it alone learns.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`.
        num_classes: classes, or outputs of a regression.
        orientations: bins between 0 and 180 degrees.
        cell_size: pixels of a cell's side; None: 8, as in the paper, from 64 pixels on, 4 from 16 on, 2 below.
        block_size: cells of a block's side.

    Raises:
        CouloirError: not one block fits into the images.
    """
    sides = size_of(image_size)
    if cell_size is None:
        cell_size = 8 if min(sides) >= 64 else 4 if min(sides) >= 16 else 2
    blocks = [side // cell_size - block_size + 1 for side in sides]
    if min(blocks) < 1:
        raise CouloirError(
            f"A block of {block_size} x {block_size} cells of {cell_size} pixels does not fit into images of "
            f"{sides[0]}x{sides[1]}.",
            next_step="a smaller model.cell_size or model.block_size, or larger images",
        )
    width = math.prod(blocks) * block_size**2 * orientations
    net = nn.Sequential()
    net.add_module("hog", HistogramsOfGradients(orientations, cell_size, block_size))
    net.add_module("linear", nn.Linear(width, num_classes))
    return net
