"""How large images are: `data.image_size`, the pixels of both sides, or `[height, width]`. Nothing here imports torch.

Whoever needs height and width asks `size_of`; a number stays a number, and stands for a square.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from couloir.config.fields import fields_of
from couloir.errors import CouloirError

ImageSize = int | Sequence[int]
"""Pixels of both sides, or height and width."""
Size = tuple[int, int]
"""Height and width in pixels."""
_PRODUCT = re.compile(r"\s*(\d+)\s*[x×]\s*(\d+)\s*")


def size_of(image_size: Any) -> Size:
    """Height and width.

    Args:
        image_size: pixels of both sides, or `[height, width]`.

    Raises:
        CouloirError: it is neither.
    """
    if _is_length(image_size):
        return image_size, image_size
    sides = [] if isinstance(image_size, str) or not isinstance(image_size, Sequence) else list(image_size)
    if len(sides) == 2 and all(map(_is_length, sides)):
        return sides[0], sides[1]
    shown = f"[{','.join(map(str, sides))}]" if sides else image_size
    meant = meant_by(image_size)
    hint = f"did you mean data.image_size=[{meant[0]},{meant[1]}]? The height comes first" if meant else None
    raise CouloirError(
        f"The size of images is a number of pixels, or [height, width], not {shown}.",
        next_step=hint or "data.image_size=224, or data.image_size=[192,256]",
    )


def _is_length(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def meant_by(value: Any) -> list[int] | None:
    """Height and width of a text such as `192x256`."""
    found = _PRODUCT.fullmatch(value) if isinstance(value, str) else None
    return None if found is None else [int(found[1]), int(found[2])]


def as_image_size(size: Size) -> int | list[int]:
    """Height and width as the key has them: one number for a square."""
    return size[0] if size[0] == size[1] else list(size)


def enlarged(image_size: ImageSize, factor: float) -> int | list[int]:
    """Both sides times a factor, rounded."""
    height, width = size_of(image_size)
    return as_image_size((round(height * factor), round(width * factor)))


def covering(one: ImageSize, other: ImageSize) -> int | list[int]:
    """The smallest size into which both fit."""
    (height, width), (least_height, least_width) = size_of(one), size_of(other)
    return as_image_size((max(height, least_height), max(width, least_width)))


def covered_size(height: int, width: int, size: Size) -> Size:
    """The size of a photograph once it is scaled, with its shape, until it just covers a rectangle.

    For a square, that is until its shorter side is as long as the square's.

    Args:
        height: of the photograph.
        width: of the photograph.
        size: of the rectangle.
    """
    scale = max(size[0] / height, size[1] / width)
    return max(size[0], round(height * scale)), max(size[1], round(width * scale))


def is_square(image_size: ImageSize) -> bool:
    """Whether height and width are the same."""
    height, width = size_of(image_size)
    return height == width


def side_of(image_size: ImageSize, model: str) -> int:
    """The side of square images.

    Raises:
        CouloirError: they are not square.
    """
    if not is_square(image_size):
        raise CouloirError(
            f"model={model} needs square images, not {in_words(image_size)}.",
            next_step=f"data.image_size={max(size_of(image_size))}, or another model",
        )
    return size_of(image_size)[0]


def halvings(image_size: ImageSize, model: str) -> tuple[int, Size]:
    """How often strided convolutions halve images on the way to a small map, and how large that map is.

    They do while both sides are even and at least 8: 28 becomes 14 and 7; 32 becomes 16, 8 and 4; 64 as well, one step
    later.

    Raises:
        CouloirError: a side is below 8, or is not a multiple of 4.
    """
    height, width = size_of(image_size)
    if min(height, width) < 8 or height % 4 or width % 4:
        fitting = as_image_size((max(8, -(-height // 4) * 4), max(8, -(-width // 4) * 4)))
        raise CouloirError(
            f"model={model} needs images whose sides are multiples of 4, and at least 8, not {in_words(image_size)}.",
            next_step=f"data.image_size={typed(fitting)}, or another model",
        )
    steps = 0
    while min(height, width) >= 8 and height % 2 == 0 and width % 2 == 0:
        steps, height, width = steps + 1, height // 2, width // 2
    return steps, (height, width)


def sample_shape(channels: int, image_size: ImageSize | None) -> tuple[int, ...]:
    """The shape of a sample: (C, H, W), or (F,) for a row of a table, which has no image size."""
    return (channels,) if image_size is None else (channels, *size_of(image_size))


def typed(image_size: ImageSize) -> str:
    """As it is typed at the prompt: `224`, `[192,256]`."""
    height, width = size_of(image_size)
    return str(height) if height == width else f"[{height},{width}]"


def input_size(data: Mapping[str, Any]) -> Any:
    """How large the images are that the network is given: where images are restored that were shrunk, `data.image_size`
    is that of the large ones.

    Args:
        data: the node of the data.
    """
    size, factor = data.get("image_size"), data.get("factor")
    if size is None or not isinstance(factor, int) or factor <= 1 or "map" not in fields_of(data).values():
        return size
    height, width = size_of(size)
    return as_image_size((height // factor, width // factor))


def in_words(image_size: ImageSize) -> str:
    """`224` for a square, `192x256` otherwise: height x width."""
    height, width = size_of(image_size)
    return str(height) if height == width else f"{height}x{width}"
