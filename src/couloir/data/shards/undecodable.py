"""Pictures in shards that cannot be decoded, found and left out before training: `data.on_error=skip`.

As with folders (`couloir.data.unreadable`) they are found before there are splits and orders, by decoding every picture
once; what was found is remembered by the version of the shards below the caches' folder.
"""

from __future__ import annotations

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from couloir.config.image_size import in_words
from couloir.data.decode import DECODER
from couloir.data.shards.rows import ANNOUNCED_SECONDS, FOLDER, Rows
from couloir.data.shards.source import ShardFrames
from couloir.data.skipped import Skipped
from couloir.errors import CouloirError
from couloir.log import say
from couloir.machine import cores
from couloir.record.files import write_atomically

AT_A_TIME = 256


def without_undecodable(
    rows: Rows, frames: ShardFrames, split: str, names: list[str], caches: Path
) -> tuple[Rows, list[Skipped]]:
    """The samples that can be decoded, and the others.

    Args:
        rows: all samples of a split's shards.
        frames: what decodes them.
        split: its name.
        names: of the classes.
        caches: the folder of all caches.

    Raises:
        CouloirError: none of them can be decoded; a shard cannot be read.
    """
    known = f"{DECODER}\0{frames.reading}\0{frames.reading.max_pixels}\0{in_words(frames.resize)}"
    name = hashlib.sha256(f"{rows.key}\0{known}".encode()).hexdigest()[:32]
    memory = caches / FOLDER / f"{name}.undecodable.json"
    found = _remembered(memory)
    if found is None:
        found = _decoded(frames, len(rows), rows.shards[0])
        with suppress(OSError):
            write_atomically(memory, json.dumps(found) + "\n")
    if not found:
        return rows, []
    skipped = [
        Skipped(split, f"{rows.place(number)[0]}/{rows.member(number)}", None, names[int(rows.labels[number])], reason)
        for number, reason in found
    ]
    if len(found) == len(rows):
        raise CouloirError(
            f"None of the {len(rows):,} pictures in {split} can be decoded: the first one {skipped[0].reason}.",
            place=skipped[0].file,
            next_step="write the shards again",
        )
    return rows.without(np.array([number for number, _ in found])), skipped


def _remembered(memory: Path) -> list[tuple[int, str]] | None:
    try:
        content: Any = json.loads(memory.read_bytes())
        return [(int(number), str(reason)) for number, reason in content]
    except (OSError, ValueError, TypeError):
        return None


def _decoded(frames: ShardFrames, count: int, place: str) -> list[tuple[int, str]]:
    def why_not(number: int) -> str | None:
        content = frames.content(number)  # a shard that cannot be read ends the run
        try:
            frames.of_bytes(number, content)
        except CouloirError as error:
            return error.fact.removeprefix(f"{Path(frames.rows.member(number)).name} ")
        return None

    found: list[tuple[int, str]] = []
    began, announced = time.monotonic(), False
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, count, AT_A_TIME):
            part = range(start, min(count, start + AT_A_TIME))
            if frames.blocks is not None:
                frames.blocks.bring(part)
            found += [
                (number, why) for number, why in zip(part, pool.map(why_not, part), strict=True) if why is not None
            ]
            expected = (time.monotonic() - began) / part.stop * (count - part.stop)
            if not announced and expected > ANNOUNCED_SECONDS:
                announced = True
                say.info(
                    "%s", f"checking that {count:,} pictures can be decoded, once: about {expected / 60:.1f} minutes"
                )
    return found
