"""MNIST and Fashion-MNIST: idx files, gzipped or not.

LeCun, Cortes and Burges, 1998; Xiao, Rasul and Vollgraf, 2017. An idx file is two zero bytes, a type, the number of
dimensions, each
dimension as a big-endian integer of four bytes, and the values.
"""

from __future__ import annotations

import gzip
import math
import struct
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

CLASSES = 10
UNSIGNED_BYTE = 8
MOST_BYTES = 1 << 30
"""Of an idx file's content, 20 times those of MNIST: what promises more is no such set."""

MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion_mnist": (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
}
MD5 = {
    "mnist": {
        "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
    },
}
SUBFOLDERS = {
    "mnist": ("mnist", "MNIST/raw", "raw"),
    "fashion_mnist": ("fashion_mnist", "FashionMNIST/raw", "fashion", "raw"),
}
DIGITS = [str(digit) for digit in range(CLASSES)]
GARMENTS = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]


def mnist(root: str | None, **keys: Any) -> Samples:
    """The handwritten digits: 60,000 training and 10,000 test images of 28x28."""
    return _samples("mnist", root, keys, DIGITS)


def fashion_mnist(root: str | None, **keys: Any) -> Samples:
    """The articles of clothing: 60,000 training and 10,000 test images of 28x28."""
    return _samples("fashion_mnist", root, keys, GARMENTS)


def _samples(name: str, root: str | None, keys: dict[str, Any], classes: list[str]) -> Samples:
    from couloir.data.samples import Samples
    from couloir.data.source import ArraySource, Loaded

    def load() -> Loaded:
        parts = [ArraySource(images, labels, keys["image_size"]) for images, labels in arrays(name, root)]
        return Loaded(parts[0], test=parts[1], classes=classes)

    return Samples(load, **keys)


def arrays(name: str, root: str | None) -> list[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Images (N, 1, 28, 28) and labels (N,) of training and test, downloaded where they are not there.

    Raises:
        CouloirError: a file is torn, or cannot be downloaded.
    """
    folder = data_root(root, name)
    parts = []
    for split in ("train", "t10k"):
        images = read_idx(_file(name, folder, f"{split}-images-idx3-ubyte"), dimensions=3)
        labels_file = _file(name, folder, f"{split}-labels-idx1-ubyte")
        labels = read_idx(labels_file, dimensions=1)
        _check_labels(labels, len(images), labels_file)
        parts.append((images[:, None], labels.astype(np.int64)))
    return parts


def _local(name: str, folder: Path, file: str) -> Path | None:
    return find_file(folder, SUBFOLDERS[name], (file, f"{file}.gz", file.replace("-idx", ".idx")))


def _file(name: str, folder: Path, file: str) -> Path:
    return _local(name, folder, file) or download(Remote(f"{file}.gz", MD5[name][file], MIRRORS[name]), folder)


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Check which classes take part, and the files that are there: headers, sizes and labels.

    Raises:
        CouloirError: no such class, a stated folder without the files, a torn file, labels that are not digits.
    """
    check_choice(keys, GARMENTS if target == "fashion_mnist" else DIGITS)
    stated = keys.get("root")
    folder = data_root(stated, target)
    for split in ("train", "t10k"):
        images = _local(target, folder, f"{split}-images-idx3-ubyte")
        labels = _local(target, folder, f"{split}-labels-idx1-ubyte")
        if images is None or labels is None:
            if stated is None:
                continue  # they will be downloaded
            missing = "images-idx3" if images is None else "labels-idx1"
            raise CouloirError(
                f"{folder} has no {split}-{missing}-ubyte, gzipped or not.",
                next_step="name the folder that holds the idx files, or leave data.root out: Couloir downloads them",
            )
        shape = idx_shape(images, dimensions=3)
        _check_size(images, shape)
        _check_labels(read_idx(labels, dimensions=1), shape[0], labels)
    return {}


def _check_labels(labels: NDArray[Any], images: int, file: Path) -> None:
    if len(labels) != images:
        raise CouloirError(f"There are {images} images and {len(labels)} labels.", place=str(file))
    if len(labels) and labels.max() >= CLASSES:
        position = int(np.argmax(labels >= CLASSES))
        raise CouloirError(
            f"Label {labels[position]} of sample {position} is outside of 0..{CLASSES - 1}.", place=str(file)
        )


def _open(file: Path) -> Any:
    return gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb")


def idx_shape(file: Path, dimensions: int) -> tuple[int, ...]:
    """The shape that an idx file's header states.

    Raises:
        CouloirError: it is not an idx file of bytes with so many dimensions.
    """
    header = _read(file, 4 + 4 * dimensions)
    if len(header) < 4 + 4 * dimensions or header[:3] != bytes([0, 0, UNSIGNED_BYTE]) or header[3] != dimensions:
        raise CouloirError(
            f"{file.name} is not an idx file of bytes in {dimensions} dimensions: it begins with {header[:4].hex()}.",
            place=str(file),
            next_step="download the file again",
        )
    shape = struct.unpack(f">{dimensions}I", header[4:])
    if math.prod(shape) > MOST_BYTES:
        raise CouloirError(
            f"{file.name} has a header that states {math.prod(shape):,} bytes; the limit is {MOST_BYTES:,}.",
            place=str(file),
            next_step="download the file again",
        )
    return shape


def _read(file: Path, count: int) -> bytes:
    """At most `count` bytes of a file's content: a gzip file of a megabyte can inflate to a gigabyte."""
    try:
        with _open(file) as stream:
            content: bytes = stream.read(count)
            return content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CouloirError(
            f"{file.name} is incomplete: its gzip stream ends early ({error}).",
            place=str(file),
            next_step="remove the file and download it again",
        ) from error


def _check_size(file: Path, shape: tuple[int, ...]) -> None:
    """Compare a file's size with its header; of a gzip file the last four bytes state the size of the content."""
    expected = 4 + 4 * len(shape) + math.prod(shape)
    if file.suffix == ".gz":
        with file.open("rb") as stream:
            stream.seek(-4, 2)
            if struct.unpack("<I", stream.read())[0] == expected:
                return
        found = len(_read(file, expected + 1))  # raises when the stream breaks off
    else:
        found = file.stat().st_size
    if found != expected:
        raise _wrong_size(file, expected, found)


def _wrong_size(file: Path, expected: int, found: int) -> CouloirError:
    state = "truncated" if found < expected else "too long"
    there = f"there are {found:,}" if found < expected or file.suffix != ".gz" else "there are more"
    return CouloirError(
        f"{file.name} is {state}: its header states {expected:,} bytes, {there}.",
        place=str(file),
        next_step="remove the file and download it again",
    )


def read_idx(file: Path, dimensions: int) -> NDArray[Any]:
    """The values of an idx file of bytes, uint8, in the shape of its header.

    Raises:
        CouloirError: it is not such a file, or it is torn.
    """
    shape = idx_shape(file, dimensions)
    expected = 4 + 4 * dimensions + math.prod(shape)
    content = _read(file, expected + 1)
    if len(content) != expected:
        raise _wrong_size(file, expected, len(content))
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape).copy()
