"""One convolution whose kernels are known before anything is learned: edges, blurs, templates, or numbers of your own.

Source: the course, Boudart, why convolutional networks (Sobel's kernel with its factor of 1/4), and Louppe, convolution
as a matrix multiplication; Gonzalez and Woods, 2018, Digital Image Processing, chapter 3, for the others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.config.image_size import ImageSize, size_of
from couloir.errors import CouloirError, did_you_mean

Numbers = Sequence[Sequence[float]]
"""The rows of a kernel."""

KERNELS: dict[str, tuple[float, Numbers]] = {
    "identity": (1, [[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
    "sobel_x": (1 / 4, [[1, 0, -1], [2, 0, -2], [1, 0, -1]]),  # the lecture's: vertical edges, bright on the left
    "sobel_y": (1 / 4, [[1, 2, 1], [0, 0, 0], [-1, -2, -1]]),
    "diagonal": (1 / 4, [[2, 1, 0], [1, 0, -1], [0, -1, -2]]),
    "antidiagonal": (1 / 4, [[0, 1, 2], [-1, 0, 1], [-2, -1, 0]]),
    "laplace": (1, [[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    "blur": (1 / 9, [[1, 1, 1], [1, 1, 1], [1, 1, 1]]),
    "gaussian": (1 / 16, [[1, 2, 1], [2, 4, 2], [1, 2, 1]]),
    "sharpen": (1, [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),  # the image less its Laplacian
    # Templates: what they look like, less its mean, so that an even area gives zero.
    "bar": (1 / 10, [[-2, -2, 8, -2, -2]] * 5),
    "beam": (1 / 10, [[-2] * 5, [-2] * 5, [8] * 5, [-2] * 5, [-2] * 5]),
    "ring": (1 / 12, [[-12, 13, 13, 13, -12], [13, -12, -12, -12, 13], [13, -12, -12, -12, 13],
                      [13, -12, -12, -12, 13], [-12, 13, 13, 13, -12]]),
}  # fmt: skip
"""What a kernel is multiplied with, and its rows of whole numbers."""
BASIC = ("identity", "sobel_x", "sobel_y", "diagonal", "antidiagonal", "laplace", "blur", "bar", "beam", "ring")


class KnownKernels(nn.Module):
    """A convolution without bias whose kernels never learn; no initializer changes them.

    A kernel looks at the mean of an image's channels.

    Args:
        kernels: (K, k, l).
        channels: of the images.
        padding: zeros around the image.
    """

    kernel: Tensor

    def __init__(self, kernels: Tensor, channels: int, padding: int) -> None:
        super().__init__()
        weight = (kernels / channels)[:, None].repeat(1, channels, 1, 1)
        self.register_buffer("kernel", weight)
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, K, H', W')."""
        return F.conv2d(x, self.kernel.to(x.dtype), padding=self.padding)

    def multiply_adds(self, x: Tensor, output: Tensor) -> int:
        """Those of a convolution with as many weights."""
        return output.numel() * self.kernel[0].numel()

    def extra_repr(self) -> str:
        """Its shape."""
        return f"{tuple(self.kernel.shape)}, padding={self.padding}"


def named_kernel(kernel: str | Numbers) -> Tensor:
    """One kernel (k, l), by its name or its rows.

    Raises:
        CouloirError: there is none of that name, or rows are not of one length.
    """
    if isinstance(kernel, str):
        if kernel not in KERNELS:
            hint = did_you_mean(kernel, list(KERNELS), form="model.kernels=[{}]")
            raise CouloirError(
                f"There is no kernel '{kernel}'.",
                place="model.kernels",
                next_step=hint or f"there are {', '.join(KERNELS)}, or give its rows: [[1,0],[0,-1]]",
            )
        factor, rows = KERNELS[kernel]
        return torch.tensor(rows, dtype=torch.float32) * factor
    try:
        numbers = torch.tensor([[float(value) for value in row] for row in kernel], dtype=torch.float32)
    except (TypeError, ValueError):
        numbers = torch.empty(0)
    if numbers.ndim != 2 or numbers.numel() == 0:
        raise CouloirError(
            f"{kernel} are not the rows of a kernel.",
            place="model.kernels",
            next_step="a list of kernels, each a name or rows of numbers: model.kernels=[sobel_x,[[1,0],[0,-1]]]",
        )
    return numbers


def stacked(kernels: Sequence[str | Numbers]) -> Tensor:
    """Kernels as one tensor (K, k, l): smaller ones stand in the middle of zeros.

    Raises:
        CouloirError: there is none, or one cannot stand in the middle.
    """
    found = [named_kernel(kernel) for kernel in kernels]
    if not found:
        raise CouloirError("model.kernels names none.", next_step="model.kernels=[sobel_x,sobel_y]")
    height, width = (max(kernel.shape[side] for kernel in found) for side in (0, 1))
    room = torch.zeros(len(found), height, width)
    for place, kernel in zip(room, found, strict=True):
        above, left = height - kernel.shape[0], width - kernel.shape[1]
        if above % 2 or left % 2:
            raise CouloirError(
                f"A kernel of {kernel.shape[0]}x{kernel.shape[1]} has no place in the middle of {height}x{width}.",
                place="model.kernels",
                next_step="kernels whose sides are all odd, or all of one size",
            )
        place[above // 2 : above // 2 + kernel.shape[0], left // 2 : left // 2 + kernel.shape[1]] = kernel
    return room


def kernels(
    channels: int,
    image_size: ImageSize,
    num_classes: int,
    kernels: Sequence[str | Numbers],
    learn: bool,
    padding: int,
    activation: str,
    pool: int,
    head: str,
) -> nn.Sequential:
    """One convolution without bias, and what is made of its maps.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`.
        num_classes: classes, or outputs of a regression.
        kernels: names out of `KERNELS`, or rows of numbers.
        learn: as many kernels of the same size that begin at random and learn, instead of these.
        padding: zeros around the image.
        activation: `none` or `relu`.
        pool: pixels of the sides of the windows of which the maximum is taken, next to each other; 1: none.
        head: `linear`, one layer over all numbers of the maps; `none`, these are the outputs themselves; `mean`, the
            mean of each map is an output.

    Raises:
        CouloirError: there is no such kernel, no pixel is left, or the maps have not as many numbers as there are
            outputs.
    """
    known = stacked(kernels)
    height, width = (
        (side + 2 * padding - kernel + 1) // pool
        for side, kernel in zip(size_of(image_size), known.shape[1:], strict=True)
    )
    if min(height, width) < 1:
        raise CouloirError(
            f"Kernels of {known.shape[1]}x{known.shape[2]} pixels and a pooling over {pool} leave nothing of images of "
            f"{' x '.join(map(str, size_of(image_size)))}.",
            next_step="smaller kernels, model.padding, a smaller model.pool, or larger images",
        )
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if learn:
        layers["convolution"] = nn.Conv2d(channels, len(known), tuple(known.shape[1:]), padding=padding, bias=False)  # type: ignore[arg-type]
    else:
        layers["convolution"] = KnownKernels(known, channels, padding)
    if activation == "relu":
        layers["activation"] = nn.ReLU()
    if pool > 1:
        layers["pool"] = nn.MaxPool2d(pool)
    if head == "mean":
        layers["mean"] = nn.AdaptiveAvgPool2d(1)
        height = width = 1
    layers["flatten"] = nn.Flatten()
    outputs = len(known) * height * width
    if head == "linear":
        layers["linear"] = nn.Linear(outputs, num_classes)
    elif outputs != num_classes:
        raise CouloirError(
            f"{len(known)} map{'s' * (len(known) > 1)} of {height}x{width} pixels are {outputs} numbers, and the data "
            f"asks for {num_classes}.",
            place=f"model.head={head}",
            next_step="model.head=linear, or data=by_hand, whose targets are the numbers of one map",
        )
    return nn.Sequential(layers)
