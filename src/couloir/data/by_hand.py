"""The convolutions that the lectures work by hand: their images and kernels, and more images to learn from.

Source: the course: Louppe, convolution as a matrix multiplication (4x4, the kernel 3x3); Boudart, why convolutional
networks (3x3, the kernel 2x2); Scornet, convolution of black and white images (9x9, the kernel 3x3). The last one's
slides lose a sign and a column in some versions: the output that they print comes of the kernel that stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from couloir.config.image_size import size_of
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.data.samples import Samples


@dataclass(frozen=True)
class Example:
    """One convolution worked by hand.

    Attributes:
        image: its rows, whole numbers from 0 on.
        kernel: its rows.
        grey: the grey level of a byte that stands for 1.
    """

    image: list[list[int]]
    kernel: list[list[int]]
    grey: int


EXAMPLES = {
    "4x4": Example(
        image=[[4, 5, 8, 7], [1, 8, 8, 8], [3, 6, 6, 4], [6, 5, 7, 8]],
        kernel=[[1, 4, 1], [1, 4, 3], [3, 3, 1]],
        grey=16,
    ),
    "3x3": Example(image=[[4, 6, 3], [8, 5, 1], [2, 4, 6]], kernel=[[3, 2], [5, 1]], grey=16),
    "9x9": Example(
        image=[
            [1, 1, 1, 1, 1, 1, 1, 1, 1],
            [1, 1, 1, 0, 0, 1, 1, 1, 1],
            *([1, 1, 0, 1, 1, 0, 1, 1, 1] for _ in range(5)),
            [1, 1, 1, 0, 0, 1, 1, 1, 1],
            [1, 1, 1, 1, 1, 1, 1, 1, 1],
        ],
        kernel=[[-1, 2, 1], [-1, 0, 1], [-1, 2, 0]],
        grey=255,
    ),
}
"""By the size of the image."""
TESTED = 4
"""One test image for so many to train and validate on."""


def by_hand(example: str, samples: int, **keys: Any) -> Samples:
    """Images of a lecture's size and what comes out of them: the lecture's own is the first of the test split."""
    from couloir.data.samples import Samples
    from couloir.data.source import ArraySource, Loaded

    worked = EXAMPLES[example]
    size, outputs = facts(example)
    if tuple(size_of(keys["image_size"])) != size or keys["num_classes"] != outputs:
        raise CouloirError(
            f"The images of data.example={example} have {size[0]}x{size[1]} pixels, and {outputs} numbers come out.",
            next_step="leave data.image_size and data.num_classes out",
        )

    def source(numbers: NDArray[np.int64]) -> ArraySource:
        convolved = correlated(numbers, np.array(worked.kernel)).reshape(len(numbers), -1)
        return ArraySource((numbers * worked.grey).astype(np.uint8)[:, None], convolved.astype(np.float32))

    def load() -> Loaded:
        rng = np.random.default_rng(keys["seed"])
        image = np.array(worked.image)
        drawn = rng.integers(image.max() + 1, size=(samples + samples // TESTED, *image.shape))
        return Loaded(source(drawn[:samples]), test=source(np.concatenate([image[None], drawn[samples:]])))

    return Samples(load, **keys)


def correlated(images: NDArray[np.int64], kernel: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sums of kernel times image at each place, (N, H, W) -> (N, H - h + 1, W - w + 1): what networks call a
    convolution.
    """
    windows = np.lib.stride_tricks.sliding_window_view(images, kernel.shape, axis=(1, 2))
    summed: NDArray[np.int64] = (windows * kernel).sum(axis=(-2, -1))
    return summed


def facts(example: str) -> tuple[tuple[int, int], int]:
    """The size of an example's images, and how many numbers come out of one."""
    image, kernel = np.array(EXAMPLES[example].image), np.array(EXAMPLES[example].kernel)
    left = [side - window + 1 for side, window in zip(image.shape, kernel.shape, strict=True)]
    return (image.shape[0], image.shape[1]), left[0] * left[1]


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes, and the scale with which the network gets whole numbers: pixels in [0, 1] over std."""
    example = keys.get("example")
    if example not in EXAMPLES:
        raise CouloirError(
            f"data.example takes one of {', '.join(EXAMPLES)}, not {example}.", next_step="data.example=4x4"
        )
    size, outputs = facts(example)
    return {"image_size": size[0], "num_classes": outputs, "std": [EXAMPLES[example].grey / 255]}
