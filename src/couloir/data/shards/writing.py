"""Writes a set of labelled images as tar shards, with an index beside each and the names of the classes."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image

from couloir.data.division import Split
from couloir.data.headers import FORMATS, START, recognised
from couloir.data.listing import ENDINGS
from couloir.data.samples import Samples
from couloir.data.shards.index import ENDING, scanned
from couloir.data.shards.naming import CLASSES
from couloir.data.shards.reading import Disk
from couloir.data.shards.source import ShardSource
from couloir.errors import CouloirError
from couloir.record.files import rename, write_atomically, written_whole

MB = 10**6
ORDER = 0x54A2
"""What the seed is paired with where the training samples are shuffled, so that nothing else draws the same numbers."""
END = bytes(2 * tarfile.BLOCKSIZE)
ODD = str.maketrans({chr(code): "_" for code in (*range(32), 127, ord("."))})
"""What stands in no key: the first dot of a member's name ends its key."""
Taken = tuple[str, str, bytes]
"""Of a sample its key, the ending of its image, and the image's bytes."""


@dataclass
class Written:
    """What was written.

    Attributes:
        folder: where.
        shards: of each split how many shards.
        samples: of each split how many samples.
        bytes: of all shards.
    """

    folder: Path
    shards: dict[str, int] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)
    bytes: int = 0


def write_shards(data: Samples, folder: Path, shard_bytes: int) -> Written:
    """Write the splits of a set as shards: all of them, or nothing.

    The files of photographs are copied to the byte; images in memory become PNG. The training samples are shuffled by
    the seed, so that neighbours in a shard are not all of one class; the others stay in order.

    Args:
        data: labelled images, set up.
        folder: where: a new folder, or an empty one.
        shard_bytes: after so many bytes the next shard begins.

    Raises:
        CouloirError: the images cannot be written, or the disk does not take them.
    """
    takes = {name: _taker(split, data) for name, split in data.splits.items()}
    written = Written(folder)
    folder = folder.absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _made_whole(folder) as making:
            for name, split in data.splits.items():
                order = np.arange(len(split.indices))
                if name == "train":
                    order = np.random.default_rng([ORDER, data.seed]).permutation(order)
                targets = split.targets
                samples = ((*takes[name](int(number)), int(targets[number])) for number in order)
                shards = _write_split(making, name, samples, shard_bytes)
                written.shards[name], written.samples[name] = len(shards), len(order)
                written.bytes += sum(shard.stat().st_size for shard in shards)
            if data.classes:
                write_atomically(making / CLASSES, json.dumps(data.classes, ensure_ascii=False, indent=0) + "\n")
    except OSError as error:
        raise CouloirError(
            f"The shards cannot be written: {error.strerror or error}.",
            place=str(error.filename or folder),
            next_step="--to-shards FOLDER names a place with enough room; nothing was left there",
        ) from error
    return written


@contextmanager
def _made_whole(folder: Path) -> Iterator[Path]:
    """A folder under another name, which gets its own once the block ends well, and is removed otherwise."""
    making = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield making
        making.chmod(0o755)
        if folder.is_dir():
            folder.rmdir()
        rename(making, folder)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise


def _write_split(
    folder: Path, split: str, samples: Iterator[tuple[str, str, bytes, int]], shard_bytes: int
) -> list[Path]:
    """The shards of one split, each with its index."""
    found: list[Path] = []
    pending = next(samples, None)
    while pending is not None:
        shard = folder / f"{split}-{len(found):06}.tar"
        count, keys = 0, set[str]()
        with written_whole(shard) as stream:
            while pending is not None and (not count or stream.tell() < shard_bytes):
                key, ending, content, label = pending
                if key in keys:
                    key = f"{key}-{count}"
                keys.add(key)
                _add(stream, f"{key}{ending}", content)
                _add(stream, f"{key}.cls", str(label).encode())
                count, pending = count + 1, next(samples, None)
            stream.write(END)
            stream.write(bytes(-stream.tell() % tarfile.RECORDSIZE))
        disk = Disk()
        index = scanned(str(shard), disk.stamps([str(shard)])[0], partial(disk.read, str(shard)))
        if len(index.rows) != count or index.faulty:
            raise RuntimeError(f"{shard.name} has {len(index.rows)} samples, not {count}: {index.faults[:1]}")
        index.write(Path(f"{shard}{ENDING}"))
        found.append(shard)
    return found


def _add(stream: BinaryIO, name: str, content: bytes) -> None:
    """A member of an archive; the same bytes whoever writes it, and when."""
    header = tarfile.TarInfo(name)
    header.size = len(content)
    stream.write(header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
    stream.write(content)
    stream.write(bytes(-len(content) % tarfile.BLOCKSIZE))


def _taker(split: Split, data: Samples) -> Callable[[int], Taken]:
    """What takes a sample of a split by its number there.

    Raises:
        CouloirError: they are no images of bytes.
    """
    source = split.source
    if isinstance(source, ShardSource):
        return partial(_from_shard, source, split)
    if source.paths:
        folders = {os.path.dirname(path) for each in data.splits.values() for path in each.source.paths}  # noqa: PTH120
        return partial(_from_file, Path(os.path.commonpath(folders)), split)
    inputs = getattr(source, "inputs", None)
    if inputs is None or inputs.ndim != 4 or inputs.dtype != torch.uint8 or inputs.shape[1] not in (1, 3):
        told = "" if inputs is None else f" {tuple(inputs.shape[1:])} of {str(inputs.dtype).removeprefix('torch.')}"
        raise CouloirError(
            f"Samples{told} are no images of 1 or 3 channels in 8 bits, and shards hold pictures.",
            next_step="data=image_folder, or another set of images with classes",
        )
    return partial(_from_array, split)


def _from_file(root: Path, split: Split, number: int) -> Taken:
    path: Path = split.source.paths[split.indices[number]]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CouloirError(
            f"{path.name} cannot be read: {error.strerror}.", place=str(path), next_step="remove or repair it"
        ) from error
    relative = PurePosixPath(path.relative_to(root).as_posix())
    return (*_named(relative, content), content)


def _named(name: PurePosixPath, content: bytes) -> tuple[str, str]:
    """The key of a picture, and the ending by which it is known as one."""
    ending = name.suffix.lower()
    if ending not in ENDINGS:
        said = recognised(content[:START])
        ending = f".{said.lower()}" if said in FORMATS and f".{said.lower()}" in ENDINGS else ".jpg"
    return str(name.with_suffix("") if name.suffix else name).translate(ODD), ending


def _from_shard(source: ShardSource, split: Split, number: int) -> Taken:
    index = int(split.indices[number])
    content = source.content(index)
    return (*_named(PurePosixPath(source.rows.member(index)), content), content)


def _from_array(split: Split, number: int) -> Taken:
    image = split.source.fetch(torch.from_numpy(split.indices[number : number + 1]))[0]
    pixels: Any = image.permute(1, 2, 0).cpu().numpy()
    made = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(made, "PNG")
    return f"{int(split.indices[number]):08}", ".png", made.getvalue()
