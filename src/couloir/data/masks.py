"""Files of masks and of maps of values: what their pixels mean. Nothing here imports torch.

The pixels of every file are brought to numbers first, whatever its mode: a palette's index, a grey level, or a colour.
A table says which class each number is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from couloir.config.fields import IGNORED
from couloir.data.headers import (
    FORMATS,
    START,
    UNREADABLE,
    check_is_file,
    orientation_of,
    recognised,
    refuse_format,
    undecodable,
)
from couloir.data.mask_table import COLOUR, GREYS, OTHER, RANGES, UNKNOWN, Numbers, Table, few, in_words, table_of
from couloir.errors import CouloirError, as_typed

MOST_VALUES = 64
"""More different values than this are not taken for classes where nobody says what they are."""
TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""What makes an image of each of EXIF's orientations upright."""
REPAIR = "remove or repair the file; data.on_error=skip leaves such pairs out"
ENDS = 4
"""Masks that number objects end at least at so many different numbers."""


class ReadMask:
    """Reads masks of classes.

    Args:
        table: what the values of the files mean.
        max_pixels: larger files are refused.
    """

    planes, classes = 1, True

    def __init__(self, table: Table, max_pixels: int) -> None:
        self.table, self.max_pixels = table, max_pixels

    def __str__(self) -> str:
        """What a mask follows from besides its file."""
        return f"1 {self.table} pillow {PIL.__version__}"

    def __call__(self, path: Path) -> NDArray[np.uint8]:
        """The classes of a mask, (H, W, 1), with `IGNORED` where none counts.

        Raises:
            CouloirError: the file cannot be decoded, or has a value that the table does not know.
        """
        image = opened(path, self.max_pixels)
        numbers = numbered(image, self.table.in_colour)
        labels = self.table.labels(numbers)
        if (labels == UNKNOWN).any():
            raise _unknown(path, image.format, Counter(numbers[labels == UNKNOWN].tolist()), self.table)
        return labels.astype(np.uint8)[..., None]


class ReadValues:
    """Reads maps of values: 0 is 0, and the brightest grey that a file can have is 1.

    Args:
        max_pixels: larger files are refused.
    """

    planes, classes = 1, False

    def __init__(self, max_pixels: int) -> None:
        self.max_pixels = max_pixels

    def __str__(self) -> str:
        """What a map follows from besides its file."""
        return f"values 1 pillow {PIL.__version__}"

    def __call__(self, path: Path) -> NDArray[np.uint8]:
        """The values of a map, 0 to 255, (H, W, 1).

        Raises:
            CouloirError: the file cannot be decoded.
        """
        image = opened(path, self.max_pixels)
        if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
            values = np.asarray(image).astype(np.int64)
            return ((2 * 255 * values + 65535) // (2 * 65535)).astype(np.uint8)[..., None]
        if image.mode in ("I", "F"):
            raise CouloirError(
                f"{path.name} has pixels of the kind {image.mode}, and nothing says which of them is 1.",
                place=str(path),
                next_step="save maps as greys of 8 or 16 bits",
            )
        return np.array(image.convert("L"))[..., None]


def opened(path: Path, max_pixels: int) -> Image.Image:
    """A file's picture, decoded and upright.

    Raises:
        CouloirError: it cannot be decoded, or is too large.
    """
    try:
        check_is_file(path)
        with path.open("rb") as stream:
            refuse_format(path, recognised(stream.read(START)))
            stream.seek(0)
            with Image.open(stream, formats=FORMATS) as image:
                if image.width * image.height > max_pixels:
                    raise CouloirError(
                        f"{path.name} has {image.width} x {image.height} pixels; the limit is "
                        f"data.max_pixels={max_pixels}.",
                        place=str(path),
                        next_step="remove the file (it may be made to fill the memory), or raise data.max_pixels",
                    )
                image.load()
                turn = TURNED.get(orientation_of(image))
                found = image if turn is None else image.transpose(turn)
                found.format = image.format
                return found
    except UNREADABLE as error:
        raise undecodable(path, error, REPAIR) from error


def numbered(image: Image.Image, in_colour: bool) -> Numbers:
    """The number of each pixel, (H, W).

    Args:
        image: of `opened`.
        in_colour: take the colours of a palette, and not its indices.

    Raises:
        CouloirError: its pixels are no numbers that can stand for classes.
    """
    mode = image.mode
    if mode == "P" and not in_colour:
        return np.asarray(image).astype(np.int32)
    if mode in ("L", "1", "LA", "La"):
        grey = np.asarray(image)
        return (grey[..., 0] if grey.ndim == 3 else grey).astype(np.int32)
    if mode.startswith("I"):
        whole = np.asarray(image).astype(np.int32)
        if whole.size == 0 or (whole.min() >= 0 and whole.max() < GREYS):
            return whole
    if mode in ("P", "PA", "RGB", "RGBA", "RGBX", "RGBa"):
        colours = np.asarray(image.convert("RGB")).astype(np.int32)
        red, green, blue = colours[..., 0], colours[..., 1], colours[..., 2]
        packed = COLOUR + (red << 16) + (green << 8) + blue
        return np.where((red == green) & (green == blue), red, packed)
    name = Path(str(getattr(image, "filename", "") or "The mask")).name
    raise CouloirError(
        f"{name} has pixels of the kind {mode}, which do not stand for classes.",
        next_step="save masks as PNG with a palette, greys or colours",
    )


def _unknown(path: Path, form: str | None, found: Counter[int], table: Table) -> CouloirError:
    values = [number for number, _ in found.most_common()]
    pixels = sum(found.values())
    first = in_words(values[0])
    if form == "JPEG":
        return _smeared(path, len(values))
    more = f" and {len(values) - 1} more value{'s' * (len(values) > 2)}" if len(values) > 1 else ""
    three = next((name for name, last in _three(table) if values[0] in last), None)
    hint = f"three values of one class are written {three}; " if three else ""
    return CouloirError(
        f"{path.name} has the value {first}{more}, which {'is' if not more else 'are'} in no class: "
        f"{pixels:,} pixel{'s' * (pixels != 1)}.",
        place=str(path),
        next_step=f"{hint}name it in data.colours, or data.ignore_index={first} if such pixels do not count; "
        "data.on_error=skip leaves such pairs out",
    )


def _three(table: Table) -> list[tuple[str, tuple[int, int, int]]]:
    """Colours of a table that may have been meant as three values."""
    found = []
    for first, last, _ in table.ranges:
        if first == last >= COLOUR:
            three = ((first >> 16) & 255, (first >> 8) & 255, first & 255)
            found.append((f"'{','.join(map(str, three))}'", three))
    return found


def _smeared(path: Path, count: int) -> CouloirError:
    return CouloirError(
        f"{path.name} is a JPEG, which changes values along edges: it has {count} value{'s' * (count != 1)} that "
        f"{'are' if count != 1 else 'is'} in no class.",
        place=str(path),
        next_step=f"save masks as PNG; or give ranges of greys: {RANGES}",
    )


@dataclass
class Values:
    """What the pixels of some masks are.

    Attributes:
        masks: in how many masks each number stands.
        looked_at: how many masks these are.
        jpeg: one of them that is a JPEG, if there is one.
        palettes: whether one of them has a palette.
        objects: whether each mask counts 1, 2, ... without a gap, and not all as far: as if they numbered objects.
    """

    masks: Counter[int] = field(default_factory=Counter)
    looked_at: int = 0
    jpeg: Path | None = None
    palettes: bool = False
    objects: bool = False


def values_of(paths: Iterable[Path], max_pixels: int, in_colour: bool = False) -> Values:
    """Look at the pixels of masks.

    Args:
        paths: the files.
        max_pixels: larger files are refused.
        in_colour: take the colours of a palette, and not its indices.

    Raises:
        CouloirError: a mask cannot be decoded.
    """
    found = Values()
    tops, counts_up = set(), True
    for path in paths:
        image = opened(path, max_pixels)
        numbers = np.unique(numbered(image, in_colour)).tolist()
        found.masks.update(numbers)
        found.looked_at += 1
        found.palettes = found.palettes or image.mode == "P"
        if image.format == "JPEG" and found.jpeg is None:
            found.jpeg = path
        objects = [number for number in numbers if number]
        counts_up = counts_up and objects == list(range(1, len(objects) + 1))
        tops.add(len(objects))
    found.objects = counts_up and len(tops) >= ENDS
    return found


def classes_found(values: Values, ignored: Any, place: str) -> dict[str, int | str]:
    """The classes where nobody states them, as the key `colours` names them.

    Two values are a background and a foreground; more are a class each, in their order.

    Args:
        values: of the masks.
        ignored: the key `ignore_index`.
        place: the masks' folder.

    Raises:
        CouloirError: the values do not look like classes.
    """
    numbers = sorted(values.masks)
    if ignored is not None:
        left_out = table_of({"": ignored})
        numbers = [number for number in numbers if left_out.labels(np.array([number], np.int32))[0] == UNKNOWN]
    objects = as_typed([f"data.colours={{background: 0, object: {OTHER}}}"])
    if values.jpeg is not None and len(numbers) > 2:
        raise CouloirError(
            f"The masks have {len(numbers)} different values, and {values.jpeg.name} is a JPEG, which changes values "
            "along edges.",
            place=str(values.jpeg),
            next_step=f"save masks as PNG; or give ranges of greys: {RANGES}",
        )
    if len(numbers) > MOST_VALUES:
        raise CouloirError(
            f"The masks have {len(numbers)} different values, {few(numbers)}: too many to be classes.",
            place=place,
            next_step=f"if they number objects: {objects}; if they are values and no classes: data.maps=values; if "
            "they are classes 0 to K-1: data.num_classes=K",
        )
    if len(numbers) < 2:
        only = f"the value {in_words(numbers[0])} in every pixel" if numbers else "no pixel that counts"
        raise CouloirError(
            f"The masks have {only}: there is nothing to learn from them.", place=place, next_step="look at the files"
        )
    if values.objects:
        raise CouloirError(
            f"The masks have the values {few(numbers)}, and each mask counts on from 1, as if it numbered objects.",
            place=place,
            next_step=f"if they are objects of one class: {objects}; if they are classes: data.num_classes="
            f"{numbers[-1] + 1}",
        )
    if IGNORED in numbers and len(numbers) > 2 and numbers[:-1] == list(range(len(numbers) - 1)):
        raise CouloirError(
            f"The masks have the values 0 to {len(numbers) - 2}, and {values.masks[IGNORED]} of {values.looked_at} "
            f"have {IGNORED} besides: a class of its own, or pixels that do not count?",
            place=place,
            next_step=f"data.ignore_index={IGNORED} if they do not count; "
            + as_typed([f"data.colours={{background: 0, ..., border: {IGNORED}}}"])
            + " if they are a class",
        )
    names = ["background", "foreground"] if len(numbers) == 2 and not numbers[0] else [in_words(n) for n in numbers]
    return {name: n if n < COLOUR else in_words(n) for name, n in zip(names, numbers, strict=True)}
