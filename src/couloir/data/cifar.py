"""CIFAR-10 and CIFAR-100 in their binary layout; the pickled layout is never opened, since a pickle can run code.

Krizhevsky, 2009, Learning Multiple Layers of Features from Tiny Images. A record is one label byte (CIFAR-100:
coarse, then fine) and
3,072 bytes, the planes of red, green and blue.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from couloir.data.classes import check_choice
from couloir.data.roots import data_root, find_file
from couloir.download import Remote, download
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.data.samples import Samples

PIXELS = 3 * 32 * 32
MIRRORS = ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/")
ARCHIVES = {
    "cifar10": Remote("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", MIRRORS),
    "cifar100": Remote("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", MIRRORS),
}
FOLDERS = {"cifar10": ("cifar-10-batches-bin", "cifar10"), "cifar100": ("cifar-100-binary", "cifar100")}
TRAIN = {"cifar10": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "cifar100": ("train.bin",)}
TEST = {"cifar10": ("test_batch.bin",), "cifar100": ("test.bin",)}
PICKLED = ("cifar-10-batches-py", "cifar-10-python.tar.gz", "cifar-100-python", "cifar-100-python.tar.gz")
MOST_BYTES = 1 << 29
"""Of an unpacked archive, three times those of either: what inflates to more is not one of them."""
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
LABEL_CLASSES = {"fine": 100, "coarse": 20}


def cifar10(root: str | None, **keys: Any) -> Samples:
    """Ten classes: 50,000 training and 10,000 test images of 32x32."""
    return _samples("cifar10", root, 0, 1, NAMES, keys)


def cifar100(root: str | None, labels: str, **keys: Any) -> Samples:
    """A hundred fine or twenty coarse classes: 50,000 training and 10,000 test images of 32x32."""
    return _samples("cifar100", root, 1 if labels == "fine" else 0, 2, _numbered(labels), keys)


def _numbered(labels: str) -> list[str]:
    return [str(label) for label in range(LABEL_CLASSES[labels])]


def _samples(name: str, root: str | None, label_byte: int, label_bytes: int, classes: list[str], keys: Any) -> Samples:
    from couloir.data.samples import Samples
    from couloir.data.source import ArraySource, Loaded

    def load() -> Loaded:
        found = arrays(name, root, label_byte, label_bytes)
        parts = [ArraySource(images, labels, keys["image_size"]) for images, labels in found]
        return Loaded(parts[0], test=parts[1], classes=classes)

    return Samples(load, **keys)


def arrays(
    name: str, root: str | None, label_byte: int, label_bytes: int
) -> list[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Images (N, 3, 32, 32) and labels (N,) of training and test, downloaded where they are not there.

    Raises:
        CouloirError: a file is torn, or cannot be downloaded.
    """
    contents = _contents(name, data_root(root, name))
    parts = []
    for files in (TRAIN[name], TEST[name]):
        records = np.concatenate([as_records(contents[file], label_bytes, file) for file in files])
        labels = records[:, label_byte].astype(np.int64)
        parts.append((records[:, label_bytes:].reshape(-1, 3, 32, 32), labels))
    return parts


def as_records(content: bytes, label_bytes: int, file: str) -> NDArray[np.uint8]:
    """The bytes of one file as records (N, label_bytes + 3072).

    Raises:
        CouloirError: the bytes are not a whole number of records.
    """
    size = label_bytes + PIXELS
    _check_size(len(content), size, file)
    return np.frombuffer(content, np.uint8).reshape(-1, size)


def _check_size(found: int, record: int, name: str, path: Path | None = None) -> None:
    if found == 0 or found % record:
        raise CouloirError(
            f"{name} is truncated: {found:,} bytes are not a whole number of records of {record:,}.",
            place=str(path) if path else None,
            next_step="remove the file and download it again",
        )


def _contents(name: str, folder: Path) -> dict[str, bytes]:
    files = (*TRAIN[name], *TEST[name])
    found = {file: find_file(folder, FOLDERS[name], (file,)) for file in files}
    present = {file: path for file, path in found.items() if path is not None}
    if len(present) == len(files):
        return {file: path.read_bytes() for file, path in present.items()}
    if present:
        missing = ", ".join(file for file in files if file not in present)
        raise CouloirError(f"{folder} lacks {missing}.", next_step="add the missing files, or the archive")
    archive = find_file(folder, FOLDERS[name], (ARCHIVES[name].name,)) or download(ARCHIVES[name], folder)
    return read_archive(archive, files)


def read_archive(archive: Path, files: tuple[str, ...]) -> dict[str, bytes]:
    """The contents of some files of a tar archive, read in memory: nothing is extracted, so no member can escape a
    folder.

    Raises:
        CouloirError: the archive is torn, lacks a file, or inflates to more than the set has.
    """
    contents: dict[str, bytes] = {}
    try:
        with (
            gzip.open(archive) if _is_gzip(archive) else archive.open("rb") as unpacked,
            tarfile.open(fileobj=cast(IO[bytes], _Bounded(unpacked, archive)), mode="r|") as stream,
        ):
            for member in stream:
                name = Path(member.name).name
                if member.isfile() and name in files and (handle := stream.extractfile(member)):
                    contents[name] = handle.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise CouloirError(
            f"{archive.name} is damaged: {error}", place=str(archive), next_step="remove the file and download it again"
        ) from error
    missing = [file for file in files if file not in contents]
    if missing:
        raise CouloirError(f"{archive.name} has no {', '.join(missing)}.", place=str(archive))
    return contents


class _Bounded:
    """The unpacked bytes of an archive, as far as the set can have them: a megabyte can inflate to a gigabyte."""

    def __init__(self, stream: Any, archive: Path) -> None:
        self.stream, self.archive, self.left = stream, archive, MOST_BYTES

    def read(self, size: int) -> bytes:
        """The next bytes; raises when they are more than the set has."""
        content: bytes = self.stream.read(min(size, self.left + 1))
        self.left -= len(content)
        if self.left < 0:
            raise CouloirError(
                f"{self.archive.name} unpacks to more than {MOST_BYTES:,} bytes; the data set has fewer.",
                place=str(self.archive),
                next_step="remove the file and download it again",
            )
        return content


def _is_gzip(archive: Path) -> bool:
    with archive.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Check which classes take part, and the folder: the binary files or their archive, with sizes that can be right.

    Raises:
        CouloirError: no such class, a stated folder without them, the pickled layout alone, or files of a wrong size.
    """
    kind = str(keys.get("labels"))
    names = _numbered(kind) if kind in LABEL_CLASSES else NAMES
    facts = {"num_classes": len(check_choice(keys, names))}
    stated = keys.get("root")
    folder = data_root(stated, target)
    files = (*TRAIN[target], *TEST[target])
    found = [path for file in files if (path := find_file(folder, FOLDERS[target], (file,)))]
    size = PIXELS + (1 if target == "cifar10" else 2)
    for path in found:
        _check_size(path.stat().st_size, size, path.name, path)
        labels = np.memmap(path, np.uint8, "r").reshape(-1, size)[:, 0]
        if target == "cifar10" and labels.max() >= 10:
            raise CouloirError(f"Label {labels.max()} is outside of 0..9.", place=str(path))
    if stated is None or found or find_file(folder, FOLDERS[target], (ARCHIVES[target].name,)):
        return facts
    pickled = next((name for name in PICKLED if (folder / name).exists()), None)
    if pickled is not None:
        raise CouloirError(
            f"{folder} holds the pickled layout ({pickled}), which is not opened: a pickle can run code.",
            next_step=f"put the binary archive there, {ARCHIVES[target].name} from {MIRRORS[0]}",
        )
    raise CouloirError(
        f"{folder} holds neither {ARCHIVES[target].name} nor its .bin files.",
        next_step="name the folder that holds them, or leave data.root out: Couloir downloads the archive",
    )
