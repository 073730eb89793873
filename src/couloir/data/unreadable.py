"""Photographs that cannot be decoded, found and left out before training: `data.on_error=skip`.

The order of an epoch is a pure function of the seed, the epoch and the list of files. What cannot be decoded is
therefore found before there are splits and orders, by decoding every file once: a run is then, bit for bit, the run on
a folder from which those files were deleted, with any number of workers, with and without memory or cache, stopped and
resumed or not. A photograph that breaks later, while the run goes on, ends the run with its name: left out at that
moment, it would make the batches depend on who came across it, and when.

What was decoded is remembered by name, size and times of change in one file below the caches' folder, so that a second
run, a resumed one and an evaluation do not decode everything again. What was not is looked at each time: a permission
may have been given, a disk may have answered late.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from couloir.config.image_size import ImageSize, in_words
from couloir.data.decode import DECODER, Reading, decode
from couloir.data.listing import Listing
from couloir.data.skipped import Skipped
from couloir.errors import CouloirError
from couloir.log import say
from couloir.machine import cores
from couloir.record.files import rename

AT_A_TIME = 256
"""Photographs after which it is seen how long the others will take."""
ANNOUNCED_SECONDS = 10.0
"""What takes longer than this is announced."""
SAVED_SECONDS = 60.0
"""A look that is killed loses no more than this."""

Stamps = NDArray[np.uint64]


def leave_out_unreadable(
    listing: Listing, root: Path, resize: ImageSize, reading: Reading, folder: Path
) -> list[Skipped]:
    """Take the photographs that cannot be decoded out of a listing.

    Args:
        listing: what was found below the root; afterwards it holds readable photographs alone.
        root: the set's folder.
        resize: what a frame covers: pixels of its shorter side, or a height and a width.
        reading: how pixels are made of the files.
        folder: where it is remembered what could be decoded.

    Raises:
        CouloirError: nothing is left of a class in the training split, or of a whole split.
    """

    def why_not(path: Path) -> str | None:
        if path.exists() and not path.is_file():
            return "is not a file"  # a pipe would be waited for
        try:
            decode(path, resize, reading)
        except CouloirError as error:
            return error.fact.removeprefix(f"{path.name} ")
        return None

    paths = [path for samples in listing.splits.values() for path, _ in samples]
    key = f"{DECODER}\0{in_words(resize)}\0{reading}\0{reading.max_pixels}\0{root.absolute()}"
    name = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:32]
    reasons = find_unreadable(paths, root, why_not, folder / f"readable-{name}.npy")
    skipped = []
    first = 0
    for split, samples in listing.splits.items():
        bad = [(place, reasons[first + place]) for place in range(len(samples)) if first + place in reasons]
        skipped += [
            Skipped(split, str(samples[place][0]), None, listing.name_of(samples[place][1]), reason)
            for place, reason in bad
        ]
        first += len(samples)
        broken = {place for place, _ in bad}
        readable = [sample for place, sample in enumerate(samples) if place not in broken]
        _check_left(listing, split, readable, skipped)
        listing.splits[split] = readable
    return skipped


def unreadable_pairs(
    pairs: Sequence[tuple[Path, Path]],
    root: Path,
    read: Callable[[Path], Any],
    reading: Reading,
    folder: Path,
    images: bool,
    other_size: Callable[[Path, Path], str | None],
) -> dict[int, str]:
    """Which of some images and masks cannot be used, by their place in the list, and why.

    Args:
        pairs: images and masks.
        root: the set's folder.
        read: reads a mask; `str` of it says what a mask follows from besides its file.
        reading: how the images' pixels are made.
        folder: where it is remembered what could be decoded.
        images: decode the images as well.
        other_size: says what is wrong with the sizes of a pair, or None.
    """

    def why_not(decoded: Callable[[Path], Any]) -> Callable[[Path], str | None]:
        def why(path: Path) -> str | None:
            try:
                decoded(path)
            except CouloirError as error:
                return error.fact.removeprefix(f"{path.name} ").rstrip(".")
            return None

        return why

    def memory(key: str) -> Path:
        name = hashlib.sha256(f"{key}\0{root.absolute()}".encode(errors="surrogateescape")).hexdigest()[:32]
        return folder / f"readable-{name}.npy"

    found: dict[int, str] = {}
    if images:
        key = f"{DECODER}\0whole\0{reading}\0{reading.max_pixels}"
        decoded = why_not(lambda path: decode(path, None, reading))
        found |= find_unreadable([image for image, _ in pairs], root, decoded, memory(key))
        found = {place: f"has an image, {pairs[place][0].name}, that {reason}" for place, reason in found.items()}
    found |= find_unreadable([mask for _, mask in pairs], root, why_not(read), memory(f"mask\0{read}"))
    for place, pair in enumerate(pairs):
        if place not in found and (wrong := other_size(*pair)) is not None:
            found[place] = wrong
    return found


def _check_left(listing: Listing, split: str, readable: list[tuple[Path, Any]], skipped: list[Skipped]) -> None:
    left = {target for _, target in readable}
    lost = [label for label in range(len(listing.classes)) if label not in left] if listing.kind == "label" else []
    if left and (split != "train" or not lost):
        return  # a class that has nothing in another split is worth a warning
    name = listing.classes[lost[0]] if lost else ""
    mine = [sample for sample in skipped if sample.split == split and (not left or sample.label == name)]
    fact = f"None of the {len(mine)} photographs of the class '{name}' can be decoded"
    raise CouloirError(
        f"{fact if left else f'None of the {len(mine)} photographs in {split} can be decoded'}: the first one "
        f"{mine[0].reason}.",
        place=mine[0].file,
        next_step="repair the files, or remove the folder",
    )


def find_unreadable(
    paths: list[Path], root: Path, why_not: Callable[[Path], str | None], memory: Path
) -> dict[int, str]:
    """Which of some files cannot be decoded, by their place in the list, and why.

    Args:
        paths: the files.
        root: the folder that they are in.
        why_not: decodes one of them; says what is wrong, or None.
        memory: the file that remembers what could be decoded.
    """
    with _in_turn(memory):  # several processes of a run, or runs of a sweep, do not do the same work
        skip = len(str(root))  # the set may be named from another working directory
        stamps = np.array([_stamp(str(path), skip) for path in paths], dtype=np.uint64)
        fine = (stamps != 0) & np.isin(stamps, _remembered(memory))
        left = np.flatnonzero(~fine)
        reasons: dict[int, str] = {}
        began = saved = time.monotonic()
        announced = False
        try:
            with ThreadPoolExecutor(cores()) as pool:  # decoding leaves Python's lock
                for start in range(0, len(left), AT_A_TIME):
                    part = left[start : start + AT_A_TIME].tolist()
                    answers = pool.map(why_not, [paths[place] for place in part])
                    for place, reason in zip(part, answers, strict=True):
                        fine[place] = reason is None
                        if reason is not None:
                            reasons[place] = reason
                    now, done = time.monotonic(), start + len(part)
                    expected = (now - began) / done * (len(left) - done)
                    if not announced and expected > ANNOUNCED_SECONDS:
                        announced = True
                        say.info("%s", f"checking that {len(left):,} photographs can be decoded: "
                                 f"about {_in_words(expected)}")  # fmt: skip
                    if now - saved > SAVED_SECONDS:
                        _remember(memory, stamps[fine])
                        saved = now
        finally:
            if len(left):
                _remember(memory, stamps[fine])
    return reasons


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def _stamp(path: str, skip: int) -> int:
    """A hash over a file's name from a character on, its size and times of change; 0 where there is no file."""
    try:
        found = os.stat(path)  # noqa: PTH116  a million of them: Path objects would take longer than the calls
    except OSError:
        return 0
    if not stat.S_ISREG(found.st_mode):
        return 0
    text = f"{path[skip:]}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ctime_ns}"
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest()) or 1


@contextmanager
def _in_turn(memory: Path) -> Iterator[None]:
    """One process at a time; without a lock where none can be written."""
    lock = FileLock(memory.with_suffix(".lock"))
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _remembered(memory: Path) -> Stamps:
    try:
        stamps = np.load(memory, allow_pickle=False)
    except (OSError, ValueError, EOFError):  # there is none, or it is torn
        return np.empty(0, np.uint64)
    return stamps if isinstance(stamps, np.ndarray) and stamps.dtype == np.uint64 else np.empty(0, np.uint64)


def _remember(memory: Path, stamps: Stamps) -> None:
    fresh = memory.with_suffix(f".{uuid.uuid4().hex}")
    try:
        with fresh.open("wb") as stream:
            np.save(stream, stamps)  # not flushed to the disk: what a loss of power leaves is not taken for stamps
        rename(fresh, memory)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        say.warning("%s", f"the next run must check the photographs again: {memory.parent} "
                    f"cannot be written ({error.strerror or error})")  # fmt: skip
