"""Which images a U-Net without padding takes: its maps are halved at each level. Nothing here imports torch.

Each level has two 3x3 convolutions on the way down and two on the way up. Where the map that enters the lowest level
has b pixels a side, the image has 2^depth (b + 4) - 4 and the output 2^depth (b - 8) + 4 (Ronneberger et al., 2015,
figure 1: depth 4, b = 32, 572 and 388).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from couloir.config.image_size import as_image_size, in_words, size_of, typed
from couloir.errors import CouloirError

TARGET = "couloir.model.unet.unet"


def at_least(side: int, depth: int) -> int:
    """The smallest side that fits and is not less than this one."""
    step = 1 << depth
    fewest = 7 if depth == 1 else 8  # pixels that enter the lowest level, so that some are left at the end
    return step * (max(fewest, -(-(side + 4) // step) - 4) + 4) - 4


def check_unpadded(model: Mapping[str, Any], image_size: Any) -> None:
    """Where the network is a U-Net without padding, the images fit.

    Args:
        model: the node of the model.
        image_size: of the data.

    Raises:
        CouloirError: they do not.
    """
    if model.get("_target_") == TARGET and model.get("padding") == "none" and isinstance(model.get("depth"), int):
        check_sides(image_size, model["depth"])


def check_sides(image_size: Any, depth: int) -> None:
    """Images of this size fit a U-Net of this depth without padding.

    Raises:
        CouloirError: they do not.
    """
    if image_size is None:
        return
    height, width = size_of(image_size)
    above = at_least(height, depth), at_least(width, depth)
    if (height, width) == above:
        return
    below = tuple(
        max(at_least(1, depth), fits - 2**depth) if fits != side else fits
        for fits, side in zip(above, (height, width), strict=True)
    )
    sizes = dict.fromkeys(typed(as_image_size(size)) for size in ((below[0], below[1]), above))
    raise CouloirError(
        f"Images of {in_words(image_size)} pixels do not fit a U-Net of depth {depth} without padding: its maps cannot "
        "be halved at each level.",
        next_step=" or ".join(f"data.image_size={size}" for size in sizes) + ", or model.padding=same",
    )
