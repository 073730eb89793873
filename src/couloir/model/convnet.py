"""The course's pattern, INPUT -> [[CONV -> RELU]*N -> POOL?]*M -> [FC -> RELU]*K -> FC.

What it covers (the course, convolutional networks, architectures):

| N, M, K | network |
|---|---|
| 0, 0, 0 | INPUT -> FC, a linear classifier |
| 0, 0, K | INPUT -> [FC -> RELU]*K -> FC, a multi-layer perceptron |
| 1, 1, 0 without pooling | INPUT -> CONV -> RELU -> FC |
| 1, 2, 1 | INPUT -> [CONV -> RELU -> POOL]*2 -> FC -> RELU -> FC |
| 2, 3, 2 | INPUT -> [[CONV -> RELU]*2 -> POOL]*3 -> [FC -> RELU]*2 -> FC |

| `connection` | CONV |
|---|---|
| `shared` | a convolution |
| `local` | a kernel for each place of the map (LeCun, 1989; `couloir.locally_connected`) |
| `separable` | a kernel for each channel, then a 1x1 convolution (Howard et al., 2017, MobileNets, section 3.1) |

With a decoder the output is an image: the fully-connected layers become 1x1 convolutions (Long et al., 2015, section
3.1), and the stages follow again in reverse (Noh, Hong and Han, 2015, Learning Deconvolution Network for Semantic
Segmentation, section 3): [UP -> RELU -> [CONV -> RELU]*(N-1)]*M -> CONV 1x1.

| decoder | UP |
|---|---|
| `transposed` | transposed convolution, stride 2 |
| `unpool` | each pixel to where the maximum pooling found it, then a convolution |
| `upsample` | interpolation, then a convolution |
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from couloir.config.image_size import ImageSize, Size, size_of
from couloir.config.pattern import check_pattern
from couloir.config.slopes import check_slopes
from couloir.errors import CouloirError
from couloir.locally_connected import LocallyConnected
from couloir.model.activation import activation as activation_layer
from couloir.model.activation import fix_below_steps
from couloir.model.normalisation import LocalContrastNorm
from couloir.model.upsampling import Mirrored, PoolWithPlaces, Unpool, enlarging, padded
from couloir.model.weights import loads_weights

GROUPS = 8
"""Groups of group normalisation, where they divide the channels; one otherwise."""


@loads_weights
def convnet(
    channels: int,
    image_size: ImageSize,
    num_classes: int,
    N: int,
    M: int,
    K: int,
    widths: int | list[int],
    hidden: int | list[int],
    kernel_size: int,
    stride: int,
    padding: int | str,
    dilation: int,
    pool: str,
    activation: str,
    norm: str,
    batch_norm: bool,
    dropout: float,
    decoder: str = "none",
    decoder_kernel_size: int | None = None,
    upsample_mode: str | None = None,
    output_bias: bool = True,
    slope: float | None = None,
    alpha: float | None = None,
    connection: str = "shared",
    bias: bool = True,
    padding_mode: str = "zeros",
    pool_size: int | None = None,
    pool_stride: int | None = None,
    global_pool: str = "none",
) -> nn.Module:
    """A plain convolutional network.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`.
        num_classes: classes, or outputs of a regression.
        N: convolutions a stage.
        M: stages.
        K: hidden fully-connected layers.
        widths: channels of the stages: a list of M, or the first, which doubles from stage to stage.
        hidden: widths of the fully-connected layers: a list of K, or one for all.
        kernel_size: pixels of the kernels' sides.
        stride: steps of the convolutions.
        padding: zeros around each map, or `same`.
        dilation: distance of the kernels' elements.
        pool: `max`, `average` or `none`, after each stage.
        activation: by name. Below the last `step` nothing learns.
        norm: `none`, `batch`, `group` or `instance`, before each activation of a convolution, or `local_contrast`,
            behind it.
        batch_norm: the same as `norm=batch`.
        dropout: share of units dropped before each fully-connected layer.
        decoder: `none`, or how maps are enlarged again: `transposed`, `unpool` or `upsample`.
        decoder_kernel_size: pixels of the sides of the kernels that enlarge; None: 4 of transposed convolutions, which
            their stride divides, otherwise `kernel_size`.
        upsample_mode: `nearest` or `bilinear`, of `decoder=upsample`; None: nearest.
        output_bias: whether the layer of the outputs has a bias.
        slope: of leaky ReLUs and PReLUs; None: the usual one.
        alpha: of ELUs; None: 1.
        connection: `shared`, `local` or `separable`.
        bias: whether convolutions have biases.
        padding_mode: what is around each map, `zeros` or `mirror`: the map itself, mirrored in its outermost pixels.
        pool_size: pixels of the sides of the pooling's windows; None: 2, which halve the map.
        pool_stride: pixels between two of them; None: `pool_size`. Where it is less, windows overlap.
        global_pool: `average` or `max`, of each map, before the fully-connected layers: images may have any size; or
            `none`.

    Raises:
        CouloirError: a list has another length than there are stages or layers, two keys contradict each other, or no
            pixel is left.
    """
    stage_widths = _as_list("widths", widths, M, [2**stage for stage in range(M)])
    fc_widths = _as_list("hidden", hidden, K, [1] * K)
    if padding == "same" and stride != 1:
        raise CouloirError(
            "model.padding=same needs model.stride=1.", next_step="give the padding in pixels, or use pooling instead"
        )
    if batch_norm and norm not in ("none", "batch"):
        raise CouloirError(
            f"model.batch_norm=true means model.norm=batch, but model.norm is {norm}.",
            next_step="leave one of the two out",
        )
    norm = "batch" if batch_norm else norm
    check_slopes(activation, slope, alpha)
    check_pattern(
        {
            "N": N, "M": M, "kernel_size": kernel_size, "padding": padding, "pool": pool, "activation": activation,
            "decoder": decoder, "decoder_kernel_size": decoder_kernel_size, "upsample_mode": upsample_mode,
            "connection": connection, "bias": bias, "padding_mode": padding_mode, "pool_size": pool_size,
            "pool_stride": pool_stride, "global_pool": global_pool,
        }
    )  # fmt: skip
    layer_of = partial(activation_layer, activation, slope, alpha)

    def then(width: int) -> list[nn.Module]:
        contrast: list[nn.Module] = [LocalContrastNorm()] if norm == "local_contrast" else []
        return [*_norm(norm, width), layer_of(), *contrast]

    if decoder != "none":
        sizes = kernel_size, decoder_kernel_size or (4 if decoder == "transposed" else kernel_size)
        mode = upsample_mode or "nearest"
        widths = [channels, *stage_widths]
        return ConvDecoder(
            widths,
            fc_widths,
            num_classes,
            N,
            sizes,
            dilation,
            pool,
            then,
            layer_of,
            dropout,
            decoder,
            mode,
            output_bias,
        )
    layers: list[nn.Module] = []
    size, width = size_of(image_size), channels
    for stage, out_channels in enumerate(stage_widths, 1):
        for _ in range(N):
            before, size = size, _next_size(size, stage, kernel_size, stride, padding, dilation)
            mirror, around = padding_mode == "mirror", _around(padding, kernel_size, dilation)
            if mirror:
                _check_mirror(before, stage, around)
                layers.append(Mirrored(*around))
            keys = kernel_size, stride, 0 if mirror else padding, dilation
            seen = (before[0] + sum(around), before[1] + sum(around)) if mirror else before
            layers += _connected(connection, width, out_channels, seen, keys, bias)
            if norm == "instance" and size == (1, 1):
                raise CouloirError(
                    f"The image is too small for this convnet: stage {stage} has one pixel, and model.norm="
                    "instance needs at least two.",
                    next_step="another model.norm, fewer stages (model.M), or larger images",
                )
            layers += then(out_channels)
            width = out_channels
        if pool != "none":
            window = pool_size or 2
            size = _next_size(size, stage, window, pool_stride or window, 0, 1, pooled=True)
            kind = nn.MaxPool2d if pool == "max" else nn.AvgPool2d
            layers.append(kind(window, pool_stride or window))
    if global_pool != "none":
        layers.append(nn.AdaptiveAvgPool2d(1) if global_pool == "average" else GlobalMax())
        size = 1, 1
    layers.append(nn.Flatten())
    width *= math.prod(size)
    for units in fc_widths:
        layers += [nn.Dropout(dropout)] if dropout else []
        layers += [nn.Linear(width, units), layer_of()]
        width = units
    fix_below_steps(layers)
    layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, nn.Linear(width, num_classes, bias=output_bias))


def _as_list(key: str, value: int | list[int], count: int, factors: list[int]) -> list[int]:
    if isinstance(value, int):
        return [value * factor for factor in factors]
    if len(value) != count:
        letter = "M" if key == "widths" else "K"
        raise CouloirError(
            f"model.{key} has {len(value)} entries, model.{letter} is {count}.",
            next_step=f"give {count} widths, or one number for all",
        )
    return value


def _next_size(
    size: Size, stage: int, kernel_size: int, stride: int, padding: int | str, dilation: int, pooled: bool = False
) -> Size:
    """The size of the next map, each side floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1."""
    if padding == "same":
        return size
    window = dilation * (kernel_size - 1) + 1
    height, width = ((side + 2 * int(padding) - window) // stride + 1 for side in size)
    if min(height, width) < 1:
        fewer = "fewer stages (model.M), " if stage > 1 else ""
        smaller = "model.padding=same"
        if pooled:
            smaller = "a smaller model.pool_size, model.pool=none" if window > 2 else "model.pool=none"
        raise CouloirError(
            f"The image is too small for this convnet: in stage {stage} a map of {size[0]}x{size[1]} pixels meets "
            f"{'pooling ' if pooled else ''}windows of {window}.",
            next_step=f"{fewer}{smaller}, or larger images",
        )
    return height, width


def _around(padding: int | str, kernel_size: int, dilation: int) -> tuple[int, int]:
    """Pixels that are added above (and left), and below (and right); of an odd number one more below."""
    if padding != "same":
        return int(padding), int(padding)
    both = dilation * (kernel_size - 1)
    return both // 2, both - both // 2


def _check_mirror(size: Size, stage: int, around: tuple[int, int]) -> None:
    """A mirror image has one pixel less than the map on each side.

    Raises:
        CouloirError: it would need more.
    """
    if max(around) >= min(size):
        raise CouloirError(
            f"In stage {stage} model.padding_mode=mirror needs {max(around)} pixels beyond the border, and a map of "
            f"{size[0]}x{size[1]} pixels has {min(size) - 1} to mirror.",
            next_step="smaller kernels (model.kernel_size), fewer stages (model.M), or model.padding_mode=zeros",
        )


def _connected(
    connection: str,
    before: int,
    after: int,
    size: Size,
    keys: tuple[int, int, int | str, int],
    bias: bool,
) -> list[nn.Module]:
    """What CONV stands for, from `before` channels to `after`; `keys` are kernel, stride, padding and dilation."""
    kernel_size, stride, padding, dilation = keys
    if connection == "local":
        around = _around(padding, kernel_size, dilation) * 2
        return [LocallyConnected(before, after, size, kernel_size, stride, around, dilation, bias)]
    if connection == "separable":  # with nothing between the two (Chollet, 2017, Xception, section 4.7)
        of_channels = nn.Conv2d(before, before, *keys, groups=before, bias=False)
        return [of_channels, nn.Conv2d(before, after, 1, bias=bias)]
    return [nn.Conv2d(before, after, *keys, bias=bias)]


def _norm(name: str, channels: int) -> list[nn.Module]:
    if name == "batch":
        return [nn.BatchNorm2d(channels)]
    if name == "instance":
        return [nn.InstanceNorm2d(channels, affine=True)]
    if name == "group":
        return [nn.GroupNorm(GROUPS if channels % GROUPS == 0 else 1, channels)]
    return []


class GlobalMax(nn.Module):
    """The largest value of each map; where there are several, one of them gets the gradient.

    torch's own adaptive pooling has no deterministic backward pass on a GPU.
    """

    selects = True

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 1, 1)."""
        largest: Tensor = x.flatten(2).max(dim=2, keepdim=True).values
        return largest[..., None]


class Up(nn.Sequential):
    """Maps twice as large, and the layers behind them; unpooling goes by the places of the pooling on this level."""

    def forward(self, x: Tensor, places: Tensor | None = None) -> Tensor:
        """(B, C, h, w) -> (B, C', 2h, 2w)."""
        for layer in self:
            x = layer(x, places) if isinstance(layer, Unpool) else layer(x)
        return x


class ConvDecoder(nn.Module):
    """The pattern and its mirror image, for images of any size: zeros below and to the right are cut off again.

    Args:
        widths: channels of the images, and of each stage.
        hidden: channels of the 1x1 convolutions between the last stage and its mirror image; where there are some, one
            more leads back to the channels of the stage.
        num_classes: maps of the output.
        N: convolutions a stage.
        sizes: pixels of the sides of the convolutions' kernels, and of those that enlarge.
        dilation: distance of the convolutions' elements.
        pool: `max` or `average`.
        then: makes what follows each convolution of a stage, for its channels.
        activation: makes what follows each 1x1 convolution.
        dropout: share of units dropped before each 1x1 convolution.
        decoder: `transposed`, `unpool` or `upsample`.
        mode: of `upsample`.
        output_bias: whether the layer of the outputs has a bias.
    """

    def __init__(
        self,
        widths: list[int],
        hidden: list[int],
        num_classes: int,
        N: int,
        sizes: tuple[int, int],
        dilation: int,
        pool: str,
        then: Callable[[int], list[nn.Module]],
        activation: Callable[[], nn.Module],
        dropout: float,
        decoder: str,
        mode: str,
        output_bias: bool,
    ) -> None:
        super().__init__()

        def convolutions(before: int, after: int, count: int, size: int) -> list[nn.Module]:
            layers: list[nn.Module] = []
            for number in range(count):
                width = after if number else before
                layers += [nn.Conv2d(width, after, size, padding="same", dilation=dilation), *then(after)]
            return layers

        def up(before: int, after: int) -> list[nn.Module]:
            if decoder == "transposed":
                return [enlarging(before, after, sizes[1], 2), *then(after)]
            aligned = False if mode == "bilinear" else None
            larger = Unpool() if decoder == "unpool" else nn.Upsample(scale_factor=2, mode=mode, align_corners=aligned)
            return [larger, nn.Conv2d(before, after, sizes[1], padding="same"), *then(after)]

        self.stages = nn.ModuleList(nn.Sequential(*convolutions(*pair, N, sizes[0])) for pair in pairwise(widths))
        average: nn.Module = nn.AvgPool2d(2) if pool == "average" else nn.MaxPool2d(2)
        self.pool = PoolWithPlaces() if decoder == "unpool" else average
        dropped: list[nn.Module] = [nn.Dropout(dropout)] if dropout else []
        middle: list[nn.Module] = []
        for before, after in pairwise([widths[-1], *hidden, widths[-1]] if hidden else []):
            middle += [*dropped, nn.Conv2d(before, after, 1), activation()]
        self.middle = nn.Sequential(*middle)
        self.decoder = nn.ModuleList(
            Up(*up(before, after), *convolutions(after, after, N - 1, sizes[0]))
            for before, after in pairwise([*widths[:0:-1], widths[1]])
        )
        self.score = nn.Sequential(*dropped, nn.Conv2d(widths[1], num_classes, 1, bias=output_bias))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> raw scores (B, num_classes, H, W)."""
        height, width = x.shape[2:]
        x = padded(x, 2 ** len(self.stages))
        found: list[Tensor | None] = []
        for stage in self.stages:
            x = stage(x)
            x, places = self.pool(x) if isinstance(self.pool, PoolWithPlaces) else (self.pool(x), None)
            found.append(places)
        x = self.middle(x)
        for up in self.decoder:
            x = up(x, found.pop())
        scores: Tensor = self.score(x)
        return scores[:, :, :height, :width]
