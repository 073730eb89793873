"""A run epoch by epoch: `samples/epoch_0001.png` and so on, what a network makes, or `.txt`, what it writes; `fit/`,
`regions/`, `features/` and `filters/`, what it has learned, with the numbers that they are drawn from beside them.
Nothing here imports torch.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zipfile import BadZipFile

from couloir.record.files import write_atomically

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLES, FIT, REGIONS, FEATURES, FILTERS = "samples", "fit", "regions", "features", "filters"
LEARNED = (FIT, REGIONS, FEATURES, FILTERS)
"""The folders of `callbacks.film=true`."""
FRAME = re.compile(r"epoch_(\d{4,})\.png")
TEXT = re.compile(r"epoch_(\d{4,})\.txt")
VALUES = re.compile(r"epoch_(\d{4,})\.npz")
STRIP, MOVING = "film.png", "film.gif"
"""Of a folder: some epochs beside each other, and one after the other."""


def write_frame(run: Path, epoch: int, picture: bytes, kind: str = SAMPLES) -> None:
    """Write the picture of an epoch, in place of the one that is there.

    Args:
        run: the run's folder.
        epoch: counted from one; 0 is before the first step.
        picture: a PNG file.
        kind: the folder.

    Raises:
        OSError: it cannot be written.
    """
    folder = run / kind
    folder.mkdir(exist_ok=True)
    write_atomically(folder / f"epoch_{epoch:04d}.png", picture)


def frames(run: Path, kind: str = SAMPLES) -> list[tuple[int, Path]]:
    """The epochs that have a picture, and the pictures, in the order of the epochs; none where there is no film."""
    return _numbered(run / kind, FRAME, "epoch_*.png")


class Written(NamedTuple):
    """What a network has written after an epoch.

    Attributes:
        prompt: the text that it was to continue.
        text: what it has written behind it.
        choice: how the tokens were chosen, in words.
    """

    prompt: str
    text: str
    choice: str


def write_text(run: Path, epoch: int, written: Written) -> None:
    """Write the text of an epoch, in place of the one that is there: two lines about it, an empty one, the text.

    Args:
        run: the run's folder.
        epoch: counted from one.
        written: the text.

    Raises:
        OSError: it cannot be written.
    """
    folder = run / SAMPLES
    folder.mkdir(exist_ok=True)
    prompt = json.dumps(written.prompt, ensure_ascii=False)
    text = f"prompt: {prompt}\nwritten: {written.choice}\n\n{written.text}\n"
    write_atomically(folder / f"epoch_{epoch:04d}.txt", text)


def texts(run: Path) -> list[tuple[int, Written]]:
    """The epochs that have a text, and the texts, in the order of the epochs; of a file that is none, nothing."""
    found = []
    for epoch, file in _numbered(run / SAMPLES, TEXT, "epoch_*.txt"):
        try:
            # Not `read_text`, which takes every kind of line break for the same.
            first, second, _, text = file.read_bytes().decode().split("\n", 3)
            prompt = json.loads(first.removeprefix("prompt: "))
        except (OSError, ValueError):
            continue
        if isinstance(prompt, str):
            found.append((epoch, Written(prompt, text.removesuffix("\n"), second.removeprefix("written: "))))
    return found


def write_values(run: Path, epoch: int, kind: str, values: Mapping[str, NDArray[Any]]) -> None:
    """Write the numbers that the picture of an epoch will be drawn from, `epoch_0001.npz`.

    It costs a training as little as can be: the disk is not waited for, and what a killed run has torn, it measures
    again once it is resumed.

    Raises:
        OSError: they cannot be written.
    """
    import numpy as np

    stream = io.BytesIO()
    arrays: dict[str, Any] = dict(values)
    np.savez(stream, **arrays)
    file = run / kind / f"epoch_{epoch:04d}.npz"
    try:
        file.write_bytes(stream.getvalue())
    except FileNotFoundError:
        file.parent.mkdir()
        file.write_bytes(stream.getvalue())


def read_values(run: Path, kind: str, last: int | None = None) -> list[tuple[int, dict[str, NDArray[Any]]]]:
    """The numbers of all epochs in their order; of a torn file none.

    Args:
        run: the run's folder.
        kind: the folder.
        last: the last epoch that counts; None: all do.
    """
    import numpy as np

    found = []
    for epoch, file in _numbered(run / kind, VALUES, "epoch_*.npz"):
        if last is not None and epoch > last:
            continue
        try:
            with np.load(file) as archive:
                found.append((epoch, {name: archive[name] for name in archive.files}))
        except (OSError, ValueError, EOFError, KeyError, BadZipFile):  # what a torn archive may raise
            continue
    return found


def write_film(run: Path, kind: str, strip: bytes, moving: bytes) -> None:
    """Write the strip of some epochs, a PNG file, and the film, a GIF file.

    Raises:
        OSError: they cannot be written.
    """
    write_atomically(run / kind / STRIP, strip)
    write_atomically(run / kind / MOVING, moving)


def read_film(run: Path, kind: str) -> tuple[bytes, bytes] | None:
    """The strip and the film of a folder; None where one of them is missing."""
    try:
        return (run / kind / STRIP).read_bytes(), (run / kind / MOVING).read_bytes()
    except OSError:
        return None


def _numbered(folder: Path, form: re.Pattern[str], names: str) -> list[tuple[int, Path]]:
    found = ((form.fullmatch(file.name), file) for file in folder.glob(names))
    return sorted((int(match[1]), file) for match, file in found if match is not None)
