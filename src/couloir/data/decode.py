"""From a file to a frame: a whole photograph as uint8 (H, W, C), scaled until it just covers what is asked for.

What is asked for is a square, whose side the photograph's shorter side then has, or a rectangle.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import simplejpeg
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from couloir.config.image_size import ImageSize, Size, covered_size, in_words, is_square, size_of
from couloir.data.headers import (
    FORMATS,
    START,
    UNREADABLE,
    check_is_file,
    jpeg_orientation,
    orientation_of,
    read_header,
    recognised,
    refuse_format,
    undecodable,
)
from couloir.errors import CouloirError

Pixels = NDArray[np.uint8]

MAX_PIXELS = 178_956_970
"""Pixels of a photograph beyond which it is taken for a decompression bomb: where Pillow refuses by default, too."""
MODES = {1: "L", 3: "RGB"}
DECODER = f"2 simplejpeg {simplejpeg.__version__} pillow {PIL.__version__} torch {torch.__version__}"
"""What the pixels of a frame follow from besides the file: raised where this module decodes otherwise than before."""
LOOKED_AT = 8
"""Photographs that tell how many bits their greys use."""
BITS_PER_SAMPLE, PHOTOMETRIC = 258, 262


@dataclass(frozen=True)
class Reading:
    """How pixels are made of a file, whatever their number.

    Attributes:
        channels: 3 or 1.
        max_pixels: photographs of more pixels are refused.
        background: red, green and blue of what shows where a photograph is transparent.
        bits: bits that greys of more than 8 bits use; None: as many as the file says.
    """

    channels: int = 3
    max_pixels: int = MAX_PIXELS
    background: tuple[int, int, int] = (255, 255, 255)
    bits: int | None = None

    def __str__(self) -> str:
        """What a cache of the pixels must be named after."""
        return f"{self.channels} {self.background} {self.bits}"


COLOUR = Reading()


def read_frame(path: Path, resize: ImageSize, reading: Reading = COLOUR) -> Tensor:
    """One photograph as a frame: uint8 (H, W, C), upright, just covering `resize`.

    Raises:
        CouloirError: the file cannot be read or decoded.
    """
    return scaled(decode(path, resize, reading), resize)


def decode(path: Path, resize: ImageSize | None, reading: Reading = COLOUR) -> Pixels:
    """The pixels of a file, (H, W, C), upright, unless its header promises more than the limit.

    What a file is, its first bytes say, and not its name. Of an animation or of several pages the first is taken.
    A JPEG is decoded at the smallest of the scales 1, 1/2, 1/4 and 1/8 that still covers `resize`; None: at its own.
    libjpeg-turbo knows all eighths, but vectorises only these: 5/8 of 500x375 takes 0.87 ms, the whole of it 0.70 ms.

    Raises:
        CouloirError: the file cannot be read or decoded.
    """
    try:
        check_is_file(path)
        content = path.read_bytes()
    except UNREADABLE as error:
        raise undecodable(path, error) from error
    return decoded(path, content, resize, reading)


def decoded(path: Path, content: bytes, resize: ImageSize | None, reading: Reading = COLOUR) -> Pixels:
    """The pixels of a file's bytes, as `decode` gives them.

    Args:
        path: what messages call it; nothing is read there.
        content: all bytes of the file.
        resize: what is to be covered; None: the file's own size.
        reading: how pixels are made of them.

    Raises:
        CouloirError: they cannot be decoded.
    """
    mode, least = MODES[reading.channels], None if resize is None else size_of(resize)
    try:
        if content[:2] == b"\xff\xd8":
            orientation = jpeg_orientation(content)
            least = None if least is None else _as_stored(least, orientation)
            pixels = _decode_jpeg(path, content, least, reading)
            if pixels is not None:
                return _upright(pixels, orientation)
        refuse_format(path, recognised(content[:START]))
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            _check_size(path, *opened.size, least, reading.max_pixels)
            if least is not None:
                opened.draft(mode, (least[1], least[0]))
            opened.load()
            image = _of_eight_bits(path, opened, reading.bits) if opened.mode[0] in "IF" else opened
            if image.has_transparency_data:
                image = _on(reading.background, image)
            pixels = np.array(image.convert(mode))
            return _upright(pixels.reshape(image.height, image.width, reading.channels), orientation_of(opened))
    except UNREADABLE as error:
        raise undecodable(path, error) from error


def _check_size(path: Path, width: int, height: int, least: Size | None, max_pixels: int) -> None:
    """Before it is decoded: a small file can promise more pixels than there is memory, whole or once it is scaled."""
    least = least or (1, 1)
    rows, columns = covered_size(max(1, height), max(1, width), least)
    frame = rows * columns
    if width * height > max_pixels or frame > max_pixels:
        fact = f"{path.name} has {width} x {height} pixels"
        scaled_to = f"its shorter side is {least[0]}" if is_square(least) else f"it covers {in_words(least)}"
        fact += f" and would have {frame} once {scaled_to}" if width * height <= max_pixels else ""
        raise CouloirError(
            f"{fact}; the limit is data.max_pixels={max_pixels}.",
            place=str(path),
            next_step="remove the file (it may be made to fill the memory), or raise data.max_pixels",
        )


def _decode_jpeg(path: Path, content: bytes, least: Size | None, reading: Reading) -> Pixels | None:
    """A JPEG by libjpeg-turbo, as it is stored; None where Pillow should have a look: CMYK, torn, or damaged."""
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(content)
        _check_size(path, width, height, least, reading.max_pixels)
        if space not in ("YCbCr", "RGB", "Gray"):
            return None
        least = least or (height, width)
        factor = max((factor for factor in (2, 4, 8) if _covers(height, width, factor, least)), default=1)
        rows, columns = -(-height // factor), -(-width // factor)
        keys = {"min_height": rows, "min_width": columns, "min_factor": factor} if factor > 1 else {}
        # Colours are smoothed where the photograph is scaled down anyway: 54 dB from the exact ones, and 7% faster.
        shrinks = 3 * rows >= 4 * least[0] and 3 * columns >= 4 * least[1]
        pixels: Pixels = simplejpeg.decode_jpeg(
            content, "GRAY" if reading.channels == 1 else "RGB", fastupsample=shrinks, **keys
        )
    except ValueError:
        return None
    return pixels


def _covers(height: int, width: int, factor: int, least: Size) -> bool:
    """Whether a photograph of which each side is divided by a factor still covers a rectangle."""
    return -(-height // factor) >= least[0] and -(-width // factor) >= least[1]


def _as_stored(size: Size, orientation: int) -> Size:
    """Height and width of an upright rectangle, as a file of this orientation stores them."""
    return (size[1], size[0]) if orientation > 4 else size


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Pixels (H, W, C) turned and mirrored as EXIF's orientation, 1 to 8, says."""
    if orientation == 1:
        return pixels
    if orientation > 4:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _of_eight_bits(path: Path, image: Image.Image, bits: int | None) -> Image.Image:
    """An image of greys of 12, 16 or 32 bits, or of fractions, as one of 8 bits: the whole range becomes 0..255.

    Raises:
        CouloirError: nothing says what the range is, or a value lies outside of it.
    """
    values = np.asarray(image)
    tags: Any = getattr(image, "tag_v2", {})
    stated = bits or _bits_of(image, tags)
    low, high = float(values.min()), float(values.max())
    top = 1.0 if stated is None and image.mode == "F" else 2.0 ** (stated or 0) - 1
    if not (low >= 0 and top > 0 and high <= top):
        allowed = "0 to 1" if image.mode == "F" and stated is None else f"0 to {top:.0f} (data.bits={stated})"
        raise CouloirError(
            f"{path.name} has greys from {low:g} to {high:g}, and {f'not {allowed}' if top else 'no stated range'}.",
            place=str(path),
            next_step="data.bits=16 (or 12, ...) says that 2^bits - 1 is white; or save the files with 8 or 16 bits",
        )
    if tags.get(PHOTOMETRIC) == 0:
        values = top - values  # zero is white
    grey = Image.fromarray(np.floor(values * (255 / top) + 0.5).astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(np.asarray(image) == clear, 0, 255).astype(np.uint8)))
    return grey


def unused_bits(paths: Sequence[Path], max_pixels: int = MAX_PIXELS) -> list[str]:
    """A sentence where files of 16-bit greys use fewer bits, as far as some evenly spaced files tell; else none.

    Args:
        paths: photographs; those without 16-bit greys, or that cannot be read, tell nothing.
        max_pixels: larger ones tell nothing either.
    """
    tops = []
    for path in paths[:: -(-len(paths) // LOOKED_AT) or 1]:
        with suppress(*UNREADABLE):
            header = read_header(path)
            if header.mode.startswith("I;16") and header.width * header.height <= max_pixels:
                with Image.open(path, formats=FORMATS) as image:
                    tops.append((int(np.asarray(image).max()), _bits_of(image, getattr(image, "tag_v2", {})) or 0))
    if not tops:
        return []
    top, stated = max(top for top, _ in tops), min(bits for _, bits in tops)
    used = next((bits for bits in (8, 10, 12, 14) if top < 2**bits), stated)
    if used >= stated:
        return []
    return [
        f"greys of {stated} bits reach {top:,} in {len(tops)} photographs that were looked at: data.bits={used} makes "
        f"{2**used - 1:,} white, and the pictures as bright as they are meant to be"
    ]


def _bits_of(image: Image.Image, tags: Any) -> int | None:
    """The bits that a file states; None where its greys may be anything."""
    if image.mode.startswith("I;16"):
        return int(tags.get(BITS_PER_SAMPLE, (16,))[0])
    return 16 if image.mode == "I" and image.format in ("PNG", "PPM") else None


def _on(background: tuple[int, int, int], image: Image.Image) -> Image.Image:
    """A transparent image as it looks on a colour: RGB."""
    if image.mode in ("La", "RGBa"):  # Pillow turns back what is multiplied by alpha in one way only
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    above = image.convert("RGBA")
    canvas = Image.new("RGB", image.size, background)
    canvas.paste(above, mask=above.getchannel("A"))
    return canvas


def scaled(pixels: Pixels, resize: ImageSize) -> Tensor:
    """Pixels (H, W, C) that just cover `resize`: uint8 (H', W', C), bilinear, antialiased."""
    height, width = pixels.shape[:2]
    size = covered_size(height, width, size_of(resize))
    frame = torch.from_numpy(pixels)
    if size[0] < height:  # the rows first: that pass is the cheaper one, and leaves less to the other
        frame = resampled(frame, (size[0], width))
    return resampled(frame, size).contiguous()


def resampled(frame: Tensor, size: tuple[int, int], classes: int = 0) -> Tensor:
    """uint8 (H, W, C) as (h, w, C): bilinear, antialiased where it shrinks.

    Args:
        frame: the pixels.
        size: height and width.
        classes: so many of the last channels are numbers of classes: they take the nearest pixel.
    """
    if tuple(frame.shape[:2]) == size:
        return frame
    if classes:
        nearest = frame[..., -classes:][None].permute(0, 3, 1, 2)
        nearest = F.interpolate(nearest, size, mode="nearest-exact")[0].permute(1, 2, 0)
        return torch.cat([resampled(frame[..., :-classes], size), nearest], dim=-1)
    # In this order: torch has a vectorised pass for channels that come last, and knows them by the batch's stride.
    batch = frame[None].permute(0, 3, 1, 2)
    return F.interpolate(batch, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0)
