"""How made pictures are written: one picture of all, one of each, numbers, or frames that a viewer shows in turn.

Each PNG and GIF says that `couloir sample` has written it, and is replaced by the next one of its name.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from couloir.artifacts.sample_grid import SMALL, Pixels, columns_for, grid, tiles
from couloir.inference.sampling.drawing import Made
from couloir.inference.sampling.words import FOLDER, GIF, MARK, NPY, PNG
from couloir.record.files import write_atomically, writing, written_whole

FRAME = 80
"""Milliseconds that a frame of a film is shown."""
FRAME_SIDE = 256
"""Pixels of a frame's longer side, about: a single picture is enlarged up to that."""
ROW = 480
"""Pixels of a row of pictures, about: small ones are enlarged up to that."""
DIGITS = 6
"""Of a sample's number in the name of its file, at least."""


def write_made(place: Path, form: str, parts: Iterable[Made], columns: int | None) -> list[Path]:
    """Write samples as one picture, as one of each, or as numbers; returns the files.

    Args:
        place: the file or folder.
        form: how its name ends.
        parts: the samples, batch by batch; only one picture of all needs them all in memory.
        columns: samples in a row of one picture; None: as many as make it about square.
    """
    with writing(place):
        if form == PNG:
            pictures = torch.cat([part.pictures for part in parts])
            columns = columns or columns_for(len(pictures))
            write_picture(place, grid(pictures, columns, least=side_of(columns)))
        elif form == NPY:
            write_numbers(place, (part.pictures for part in parts))
        else:
            assert form == FOLDER
            return write_each(place, parts)
    return [place]


def side_of(columns: int) -> int:
    """Pixels of the longer side of each picture at least, where so many stand in a row: few ones are larger."""
    return max(SMALL, min(FRAME_SIDE, ROW // columns))


def write_picture(file: Path, pixels: Pixels) -> None:
    """Write one picture."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", pnginfo=_mark(), optimize=True)
    write_atomically(file, stream.getvalue())


def marked(picture: bytes) -> bytes:
    """A PNG, such as matplotlib draws it, that says who has written it."""
    stream = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as image:
        image.convert("RGB").save(stream, format="PNG", pnginfo=_mark(), optimize=True)
    return stream.getvalue()


def _mark() -> PngInfo:
    said = PngInfo()
    said.add_text("Software", MARK)
    return said


def write_numbers(file: Path, parts: Iterable[Tensor]) -> None:
    """Write pictures as numbers, float32 (N, C, H, W) in [0, 1]; one batch is in memory at a time.

    Args:
        file: it ends in `.npy`.
        parts: (B, C, H, W), at least one.
    """
    count, shape = 0, ()
    with written_whole(file) as stream:
        # The head has room for any number: it is written again when it is known how many there are.
        for part in parts:
            values = np.ascontiguousarray(part.float().numpy(), dtype="<f4")
            if not count:
                shape = values.shape[1:]
                _write_head(stream, 0, shape)
            stream.write(values.tobytes())
            count += len(values)
        stream.seek(0)
        _write_head(stream, count, shape)


def _write_head(stream: io.BufferedIOBase | object, count: int, shape: tuple[int, ...]) -> None:
    """The head of a `.npy` file; NumPy leaves room in it for a first axis of any length."""
    facts = {"descr": "<f4", "fortran_order": False, "shape": (count, *shape)}
    np.lib.format.write_array_header_1_0(stream, facts)  # type: ignore[arg-type]


def write_each(folder: Path, parts: Iterable[Made]) -> list[Path]:
    """Write each picture at its own size, named after its number and its class; returns the folder.

    Args:
        folder: it is there, and empty.
        parts: the samples, batch by batch.
    """
    for part in parts:
        labels = [None] * len(part.numbers) if part.labels is None else part.labels.tolist()
        for number, label, pixels in zip(part.numbers.tolist(), labels, tiles(part.pictures, 1), strict=True):
            name = f"{number:0{DIGITS}}" + ("" if label is None else f"_class_{label}")
            Image.fromarray(pixels).save(folder / f"{name}{PNG}", pnginfo=_mark())
    return [folder]


def write_film(file: Path, form: str, frames: Iterable[Tensor]) -> None:
    """Write an animated picture, GIF or PNG, that begins again when it is over.

    Args:
        file: where to.
        form: `GIF` or `PNG`.
        frames: the pictures of each frame, (B, C, H, W) in [0, 1]; several stand side by side.
    """
    first, *others = [Image.fromarray(_frame(pictures)) for pictures in frames]
    stream = io.BytesIO()
    if form == GIF:
        first.save(
            stream, format="GIF", save_all=True, append_images=others, duration=FRAME, loop=0, comment=MARK.encode()
        )
    else:
        first.save(stream, format="PNG", save_all=True, append_images=others, duration=FRAME, loop=0, pnginfo=_mark())
    with writing(file):
        write_atomically(file, stream.getvalue())


def _frame(pictures: Tensor) -> Pixels:
    count = len(pictures)
    least = math.ceil(math.sqrt(count))
    columns = next((side for side in range(least, 2 * least + 1) if count % side == 0), least)  # 10 classes: 2 x 5
    return grid(pictures, columns, least=side_of(columns))
