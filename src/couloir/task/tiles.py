"""A network over images larger than the window it learned with: overlapping tiles, blended without seams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product

import torch
from torch import Tensor

from couloir.config.image_size import Size
from couloir.errors import CouloirError

ALIGNED = 32
"""Tiles begin at multiples of this, so that pooling joins the pixels that it joins in the whole image."""
Network = Callable[[Tensor], Tensor]
Tile = tuple[int, int, int]
"""The image, the row of tiles and the column of tiles."""
Span = tuple[int, int]
"""First pixel of a tile along one side, and the one after its last."""


def scanned(net: Network, x: Tensor, window: Size, overlap: float = 0.25, at_once: int = 8) -> Tensor:
    """What a network gives for whole images, whatever their size.

    Images that fit into the window pass at once. Larger ones are cut into overlapping tiles, whose outputs are blended:
    a pixel near the inner edge of a tile, where the network lacks what lies beyond it, has no weight in that tile.
    Where the receptive field of a pixel reaches no further than a quarter of the overlap, the result is that of the
    whole image. A network without padding, whose output is smaller than its input, gets a mirrored border, and so
    answers for every pixel (Ronneberger et al., 2015, U-Net, section 2).

    Args:
        net: (B, C, H, W) -> (B, K, f H, f W); or, where its attribute `shrinks` is true, smaller by as many pixels on
            each side, and it takes windows alone.
        x: images of one size, (B, C, H, W).
        window: height and width that the network learned with.
        overlap: the share of a tile that it has in common with the next, in [0, 1).
        at_once: tiles that pass the network together.

    Returns:
        (B, K, f H, f W).

    Raises:
        CouloirError: the output does not belong to the input pixel by pixel.
    """
    if getattr(net, "shrinks", False):
        return _without_padding(net, x, window, overlap, at_once)
    if x.shape[-2] > window[0] or x.shape[-1] > window[1]:
        return _tiled(net, x, window, overlap, at_once)
    return net(x)


def _tiled(net: Network, x: Tensor, window: Size, overlap: float, at_once: int) -> Tensor:
    height, width = x.shape[-2:]
    rows, columns = _spans(height, window[0], overlap), _spans(width, window[1], overlap)
    down, across = _ramps(rows), _ramps(columns)
    total: Tensor | None = None
    weights = torch.empty(0)
    factor = 1
    for group in _passing(len(x), rows, columns, at_once):
        outs = net(
            torch.stack([x[image, :, slice(*rows[row]), slice(*columns[column])] for image, row, column in group])
        )
        if total is None:
            (top, bottom), (left, right) = rows[group[0][1]], columns[group[0][2]]
            factor = _factor(outs, (bottom - top, right - left))
            wide = torch.promote_types(outs.dtype, torch.float32)  # of half precision, sums would be rounded
            total = outs.new_zeros(len(x), outs.shape[1], height * factor, width * factor, dtype=wide)
            weights = outs.new_zeros(height * factor, width * factor, dtype=wide)
            down, across = ([ramp.to(total).repeat_interleave(factor) for ramp in ramps] for ramps in (down, across))
        for (image, row, column), out in zip(group, outs, strict=True):
            weight = torch.outer(down[row], across[column])
            place = [slice(begin * factor, end * factor) for begin, end in (rows[row], columns[column])]
            total[image, :, place[0], place[1]] += out * weight
            if image == 0:
                weights[place[0], place[1]] += weight
    assert total is not None
    return total.div_(weights)


def _passing(images: int, rows: Sequence[Span], columns: Sequence[Span], at_once: int) -> Iterator[list[Tile]]:
    """The tiles of all images in groups that pass the network together: those of one size, `at_once` at most."""
    sizes: dict[Size, list[Tile]] = {}
    for row, column, image in product(range(len(rows)), range(len(columns)), range(images)):
        size = (rows[row][1] - rows[row][0], columns[column][1] - columns[column][0])
        sizes.setdefault(size, []).append((image, row, column))
    for tiles in sizes.values():
        for start in range(0, len(tiles), at_once):
            yield tiles[start : start + at_once]


def _factor(out: Tensor, size: Size) -> int:
    factor = out.shape[-2] // size[0]
    if factor < 1 or tuple(out.shape[-2:]) != (size[0] * factor, size[1] * factor):
        raise CouloirError(
            f"The network makes {out.shape[-2]} x {out.shape[-1]} pixels of {size[0]} x {size[1]}: they do not belong "
            "to each other pixel by pixel.",
            next_step="a model whose output has the size of its input, or a whole multiple of it",
        )
    return factor


def _spans(length: int, window: int, overlap: float) -> list[Span]:
    """The tiles along one side, each as long as the window; the last ends where the image does, and may be longer.

    All begin at multiples of `ALIGNED`, or of the largest smaller power of two that keeps the overlap.
    """
    if length <= window:
        return [(0, length)]
    step = max(1, int(window * (1 - overlap)))
    aligned = min(ALIGNED, 1 << (step.bit_length() - 1))
    step = step // aligned * aligned
    last = (length - window) // aligned * aligned
    return [*((start, start + window) for start in range(0, last, step)), (last, length)]


def _ramps(spans: Sequence[Span]) -> list[Tensor]:
    """The weight of each pixel of each tile along one side: 1, and less towards an inner edge, (n,) each.

    Of what two tiles share, a quarter at the edge of each has no weight in it, and the half between rises evenly.
    """
    ramps = [torch.ones(end - begin, dtype=torch.float64) for begin, end in spans]
    for (first, (_, end)), (second, (begin, _)) in pairwise(enumerate(spans)):
        shared = end - begin
        if shared > 0:
            distance = torch.arange(shared, dtype=torch.float64) + 0.5
            slope = ((distance / shared - 0.25) * 2).clamp(0, 1)
            ramps[second][:shared] *= slope
            ramps[first][-shared:] *= slope.flip(0)
    return ramps


def _without_padding(net: Network, x: Tensor, window: Size, overlap: float, at_once: int) -> Tensor:
    """Tiles of exactly the window out of images with a mirrored border; their outputs lie side by side."""
    height, width = x.shape[-2:]
    out = net(mirrored(x[:1], 0, 0, *window))
    lost = [window[0] - out.shape[-2], window[1] - out.shape[-1]]
    if min(lost) < 0 or lost[0] % 2 or lost[1] % 2:
        raise CouloirError(
            f"The network makes {out.shape[-2]} x {out.shape[-1]} pixels of {window[0]} x {window[1]}: they do not lie "
            "in the middle of its input.",
            next_step="a model that loses as many pixels on each side, or none",
        )
    inner = (int(out.shape[-2]), int(out.shape[-1]))
    result = out.new_empty(len(x), out.shape[1], height, width)
    for top, left in product(range(0, height, inner[0]), range(0, width, inner[1])):
        for start in range(0, len(x), at_once):
            part = x[start : start + at_once]
            answer = net(mirrored(part, top - lost[0] // 2, left - lost[1] // 2, *window))
            place = result[start : start + at_once, :, top : top + inner[0], left : left + inner[1]]
            place.copy_(answer[..., : place.shape[-2], : place.shape[-1]])
    return result


def mirrored(x: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """A window of images, as if each were surrounded by its mirror images without end.

    Args:
        x: (B, C, H, W).
        top: its first row; it may lie outside.
        left: its first column; it may lie outside.
        height: its rows.
        width: its columns.
    """
    rows = _reflected(torch.arange(top, top + height, device=x.device), x.shape[-2])
    columns = _reflected(torch.arange(left, left + width, device=x.device), x.shape[-1])
    return x.index_select(-2, rows).index_select(-1, columns)


def _reflected(index: Tensor, length: int) -> Tensor:
    """Places on a line that is mirrored at its first and its last pixel, which are not doubled."""
    if length == 1:
        return torch.zeros_like(index)
    period = 2 * (length - 1)
    index = index.remainder(period)
    return torch.where(index < length, index, period - index)
