"""`checkerboard.png`: what transposed convolutions add to an image that nothing in it has asked for.

A transposed convolution puts its kernel on the output once for each pixel of its input, and adds up where kernels
overlap. If the stride does not divide the kernel, some pixels get more kernels than their neighbours do, in a pattern
that repeats with the stride (Odena, Dumoulin and Olah, 2016, Deconvolution and Checkerboard Artifacts). The picture
shows, of each kind of layer, how many kernels a pixel gets; what all layers in a row make of a constant, with equal
weights; what the trained network makes of an image of one colour; and the spectra of the last two.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.config.image_size import ImageSize, sample_shape
from couloir.record.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INPUT = 6
"""Pixels of a side of the constant that the layers enlarge."""
LARGEST = 256
"""Pixels of a side from which on further layers are left out."""
SHOWN = 32
"""Pixels of a side that are shown, from the middle."""
KINDS = 3
"""Kinds of layers that are shown, at most."""
LEAST = 1e-4
"""Amplitudes below this share of the mean are not shown."""


def draw_checkerboard(net: nn.Module, channels: int, image_size: ImageSize | None, file: Path) -> str | None:
    """Draw the picture of a network that has transposed convolutions; of any other nothing.

    Args:
        net: the trained network; the modes of its modules are left as they were.
        channels: channels of its images.
        image_size: of its images; None for tables.
        file: where the PNG goes.

    Returns:
        None, or a sentence that says why there is no picture: it is no reason to end a run.

    Raises:
        OSError: it cannot be written.
    """
    layers = transposed(net)
    if not layers or image_size is None:
        return None
    try:
        import matplotlib

        from couloir.artifacts.scene import STYLE

        with matplotlib.rc_context(STYLE):
            figure = _figure(layers, answer(net, channels, image_size))
            stream = io.BytesIO()
            figure.savefig(stream, format="png")
    except Exception as error:  # noqa: BLE001  fonts, a matplotlibrc, a network that does not take such an image
        return f"{file.name} cannot be drawn: {type(error).__name__}: {' '.join(str(error).split())}"
    write_atomically(file, stream.getvalue())
    return None


def transposed(net: nn.Module) -> dict[str, nn.ConvTranspose2d]:
    """The transposed convolutions of a network by name, in the order of definition, but those that enlarge nothing."""
    named = ((name, layer) for name, layer in net.named_modules() if isinstance(layer, nn.ConvTranspose2d))
    return {name: layer for name, layer in named if max(layer.stride) > 1}


def overlap(layer: nn.ConvTranspose2d, x: Tensor | None = None) -> Tensor:
    """How many kernels each pixel gets, (h, w); of another input than ones, (h, w), the sum of its pixels' kernels."""
    x = torch.ones(INPUT, INPUT) if x is None else x
    padding, out_padding = (_pair(each) for each in (layer.padding, layer.output_padding))
    ones = torch.ones(1, 1, *_pair(layer.kernel_size))
    return F.conv_transpose2d(
        x[None, None], ones, None, _pair(layer.stride), padding, out_padding, dilation=_pair(layer.dilation)
    )[0, 0]


def stacked(layers: list[nn.ConvTranspose2d]) -> Tensor:
    """What layers in a row make of a constant one, (h, w), with equal weights that keep the mean at one."""
    x = torch.ones(INPUT, INPUT)
    for layer in layers:
        share = layer.stride[0] * layer.stride[1] / (layer.kernel_size[0] * layer.kernel_size[1])
        if max(x.shape) * max(layer.stride) > LARGEST:
            break
        x = overlap(layer, x) * share
    return x


def answer(net: nn.Module, channels: int, image_size: ImageSize) -> Tensor | None:
    """What a network makes of an image of one colour, the mean of all: the channel that varies most, (h, w).

    None where it does not give an image.
    """
    first = next(net.parameters())
    x = torch.zeros(1, *sample_shape(channels, image_size), dtype=first.dtype, device=first.device)
    modes = {module: module.training for module in net.modules()}
    try:
        with torch.no_grad():
            out = net.eval()(x)
    finally:
        for module, training in modes.items():
            module.training = training
    if not isinstance(out, Tensor) or out.dim() != 4:
        return None
    maps = out[0].float().cpu()
    changes = [float(middle(each).std(correction=0)) for each in maps]
    return maps[changes.index(max(changes))]


def middle(x: Tensor) -> Tensor:
    """The inner half of a map on each axis, an even number of pixels, where the border is not seen: (h, w)."""
    sides = [max(2, side // 4 * 2) for side in x.shape]
    top, left = ((side - inner) // 2 for side, inner in zip(x.shape, sides, strict=True))
    return x[top : top + sides[0], left : left + sides[1]]


def spectrum(x: Tensor) -> Tensor:
    """The amplitudes of the waves in a map around its mean, (h, w), frequency zero in the middle.

    A map is faded out towards its border (Hann), so that the border is not taken for an edge. A wave of amplitude a has
    a / 2 at its frequency and at the opposite one, or a where these are the same.
    """
    height, width = x.shape
    window = torch.hann_window(height)[:, None] * torch.hann_window(width)
    waves = torch.fft.fft2((x - x.mean()) * window) / window.sum()
    amplitudes: Tensor = torch.fft.fftshift(waves.abs())
    return amplitudes


def peak(x: Tensor) -> tuple[float, float, float]:
    """The strongest wave of a map: its frequencies down and to the right, in cycles a pixel, and its amplitude."""
    waves = spectrum(x)
    row, column = divmod(int(waves.argmax()), waves.shape[1])
    down, right = (abs(place / side - 0.5) for place, side in zip((row, column), waves.shape, strict=True))
    both = 1 if {down, right} <= {0.0, 0.5} else 2
    return down, right, both * float(waves[row, column])


def _pair(value: object) -> tuple[int, int]:
    assert isinstance(value, tuple), "torch keeps these keys of two-dimensional layers as pairs"
    return value[0], value[1]


def _figure(layers: dict[str, nn.ConvTranspose2d], answered: Tensor | None) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels: list[tuple[str, Tensor, bool]] = []
    kinds: dict[tuple[object, ...], list[str]] = {}
    for name, layer in layers.items():
        kinds.setdefault((layer.kernel_size, layer.stride, layer.padding, layer.output_padding), []).append(name)
    for names in list(kinds.values())[:KINDS]:
        layer = layers[names[0]]
        named = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        geometry = f"kernel {_side(layer.kernel_size)}, stride {_side(layer.stride)}"
        counts = overlap(layer)
        panels.append((f"{named}\n{geometry}: {_range(middle(counts))} kernels a pixel", counts, False))
    made = {"a constant through all of them,\nequal weights": stacked(list(layers.values()))}
    if answered is not None and min(answered.shape) >= 2:
        made["the network's output\nfor an image of one colour"] = answered
    for said, x in made.items():
        inner = middle(x)
        panels += [
            (f"{said}: {_range(inner)}", inner[:SHOWN, :SHOWN], False),
            (_strongest(inner), spectrum(inner), True),
        ]
    figure = Figure(figsize=(2.5 * len(panels), 3.1), dpi=120)
    FigureCanvasAgg(figure)
    for panel, (title, x, waves) in zip(figure.subplots(1, len(panels), squeeze=False).flat, panels, strict=True):
        panel.set_title(title, fontsize=7)
        if waves:
            most = max(float(x.max()), LEAST)
            logarithm = x.clamp_min(most * LEAST).log10()
            panel.imshow(
                logarithm.numpy(), cmap="magma", extent=(-0.5, 0.5, 0.5, -0.5), vmax=float(torch.tensor(most).log10())
            )
            panel.set(xlabel="cycles a pixel", xticks=[-0.5, 0, 0.5], yticks=[-0.5, 0, 0.5])
        else:
            low, high = float(x.min()), float(x.max())
            margin = 0.05 * (high - low) + 1e-4 * abs(high) + 1e-12
            panel.imshow(x.numpy(), cmap="gray", vmin=low - margin, vmax=high + margin)
            panel.set_axis_off()
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.16, top=0.82, wspace=0.35)
    return figure


def _side(pair: tuple[int, ...]) -> str:
    return str(pair[0]) if len(set(pair)) == 1 else "x".join(map(str, pair))


def _range(x: Tensor) -> str:
    low, high = (f"{float(each):.3g}" for each in (x.min(), x.max()))
    return low if low == high else f"{low} to {high}"


def _strongest(x: Tensor) -> str:
    down, right, amplitude = peak(x)
    if amplitude < LEAST * max(float(x.abs().mean()), LEAST):
        return "its spectrum: no wave"
    return f"its spectrum: the strongest wave, {amplitude:.2g},\nat {down:.2g} down, {right:.2g} right"
