"""Street View House Numbers: digits cut out of photographs of houses, in MATLAB's files.

Netzer et al., 2011, Reading Digits in Natural Images with Unsupervised Feature Learning, the cropped digits (format 2).
A file has X (32, 32, 3, N) uint8: row, column, colour, number; and y (N, 1), in which the digit 0 is called 10.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from couloir.data.classes import check_choice
from couloir.data.roots import data_root, find_file
from couloir.download import Remote, download
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.data.samples import Samples

MIRRORS = ("http://ufldl.stanford.edu/housenumbers/",)
FILES = {
    "train": Remote("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", MIRRORS),
    "test": Remote("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3", MIRRORS),
    "extra": Remote("extra_32x32.mat", "a93ce644f1a588dc4d68dda5feec44a7", MIRRORS),
}
NAMES = [str(digit) for digit in range(10)]
SIDE, COLOURS = 32, 3
MOST = 600_000
"""Images of a file at most; the largest has 531,131."""
BROKEN = (ValueError, TypeError, LookupError, OSError, OverflowError, NotImplementedError, zlib.error)
"""How SciPy says that it cannot read a file, beside its own error."""
AGAIN = "remove the file and download it again"


def svhn(root: str | None, extra: bool, **keys: Any) -> Samples:
    """Ten digits: 73,257 training and 26,032 test images of 32x32; `extra` adds 531,131 easier ones to the training."""
    from couloir.data.samples import Samples
    from couloir.data.source import ArraySource, Loaded

    def load() -> Loaded:
        folder = data_root(root, "svhn")
        train, test = (
            ArraySource(*arrays([_file(folder, part) for part in parts]), keys["image_size"])
            for parts in (_training(extra), ["test"])
        )
        return Loaded(train, test=test, classes=NAMES)

    return Samples(load, **keys)


def _training(extra: bool) -> list[str]:
    return ["train", "extra"] if extra else ["train"]


def _file(folder: Path, part: str) -> Path:
    remote = FILES[part]
    return find_file(folder, ("svhn",), (remote.name,)) or download(remote, folder)


def arrays(files: list[Path]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, 3, 32, 32) and digits (N,) of some files, one after the other.

    Raises:
        CouloirError: a file is torn, or not what it should be.
    """
    counts = [counted(file) for file in files]
    images = np.empty((sum(counts), COLOURS, SIDE, SIDE), np.uint8)
    first = 0
    for file, count in zip(files, counts, strict=True):
        images[first : first + count] = _read(file, "X").transpose(3, 2, 0, 1)
        first += count
    return images, np.concatenate([_digits(file) for file in files])


def counted(file: Path) -> int:
    """How many images a file says that it has; it is not read whole.

    Raises:
        CouloirError: it is no file of MATLAB's, or has other arrays.
    """
    from scipy.io import whosmat

    there = {name: (tuple(shape), kind) for name, shape, kind in _tried(file, lambda: whosmat(file))}
    for name in ("X", "y"):
        if name not in there:
            raise CouloirError(
                f"{file.name} has no array {name}; a file of these digits has X, the images, and y, their labels.",
                place=str(file),
                next_step=AGAIN,
            )
    (shape, kind), (labels, _) = there["X"], there["y"]
    if kind != "uint8" or len(shape) != 4 or shape[:3] != (SIDE, SIDE, COLOURS) or not 0 < shape[3] <= MOST:
        raise CouloirError(
            f"{file.name} has images X of {' x '.join(map(str, shape))} {kind}; they are 32 x 32 x 3 x N uint8, N at "
            f"most {MOST:,}.",
            place=str(file),
            next_step="take the cropped digits (format 2), train_32x32.mat and test_32x32.mat",
        )
    count = int(shape[3])
    if sorted(labels) != [1, count] and labels != (count,):
        raise CouloirError(
            f"{file.name} has {count:,} images X, and labels y of {' x '.join(map(str, labels))}.",
            place=str(file),
            next_step=AGAIN,
        )
    return count


def _digits(file: Path) -> NDArray[np.int64]:
    labels = _read(file, "y").ravel()
    wrong = labels[(labels < 1) | (labels > 10)]
    if len(wrong):
        raise CouloirError(
            f"{file.name} has the label {wrong[0]}; the digits 1 to 9 have their own number, and 0 is called 10.",
            place=str(file),
            next_step=AGAIN,
        )
    return labels.astype(np.int64) % 10


def _read(file: Path, name: str) -> NDArray[Any]:
    from scipy.io import loadmat

    found: NDArray[Any] = _tried(file, lambda: loadmat(file, variable_names=[name])[name])
    return found


def _tried(file: Path, read: Any) -> Any:
    """What a reader of SciPy's gives.

    Raises:
        CouloirError: the file is torn, or none of MATLAB's.
    """
    from scipy.io.matlab import MatReadError

    try:
        return read()
    except (MatReadError, *BROKEN) as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise CouloirError(
            f"{file.name} is damaged, or no file of MATLAB's: {said}", place=str(file), next_step=AGAIN
        ) from error


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Check which classes take part, and the files that are there: their arrays and labels.

    Raises:
        CouloirError: no such class, a stated folder without the files, or files that cannot be right.
    """
    facts = {"num_classes": len(check_choice(keys, NAMES))}
    folder = data_root(keys.get("root"), "svhn")
    for part in [*_training(keys.get("extra") is True), "test"]:
        name = FILES[part].name
        file = find_file(folder, ("svhn",), (name,))
        if file is not None:
            counted(file)
            _digits(file)
        elif keys.get("root") is not None:
            also = "data.extra=false, or " if part == "extra" else ""
            raise CouloirError(
                f"{folder} has no {name}.",
                next_step=f"{also}put it there, from {MIRRORS[0]}, or leave data.root out: Couloir downloads it",
            )
    return facts
