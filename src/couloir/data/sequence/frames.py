"""Videos as folders of pictures: `root/<class>/<video>/*.png`, below `train`, `val` and `test` or without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from couloir.config.image_size import ImageSize
from couloir.data.classes import check_choice, only
from couloir.data.images import check_signatures, reading_of
from couloir.data.listing import Listing, list_images
from couloir.data.roots import data_root
from couloir.data.sequence.clips import Video, Videos, check_lengths, chosen_frames, videos_of
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.data.decode import Reading
    from couloir.data.sequence.sequences import Sequences
    from couloir.data.source import Loaded


def frames(
    root: str | None,
    frames: int,
    take: str,
    short: str,
    image_size: ImageSize,
    length: int,
    memory_budget: float,
    resize: ImageSize | None = None,
    max_pixels: int | None = None,
    background: str | list[int] = "white",
    bits: int | None = None,
    classes: Sequence[str | int] | None = None,
    **keys: Any,
) -> Sequences:
    """Folders of pictures as videos; what fits into `memory_budget` GiB once decoded is decoded once.

    Args:
        root: the folder.
        frames: of a clip; there is one clip a video.
        take: `even`, `first` or `middle`, as `couloir.data.sequence.clips.chosen_frames` has them.
        short: what is done with videos of fewer frames: `refuse` or `repeat`.
        image_size: pixels of the frames' sides, or `[height, width]`: their middles.
        length: as `frames`.
        memory_budget: GiB of decoded frames that may stay in memory; where there are more, they are decoded batch by
            batch, in each epoch again.
        resize: what a picture is scaled to cover before its middle is cut; None: `image_size`.
        max_pixels: pictures of more pixels are refused.
        background: the colour that shows where a picture is transparent.
        bits: bits that greys of more than 8 bits use; None: as many as each file says.
        classes: the classes that take part, by name or number, in the order of their labels; None: all.
        keys: those of `couloir.data.sequence.sequences.Sequences`.
    """
    from couloir.data.sequence.sequences import Sequences

    reading = reading_of(
        {"channels": keys["channels"], "max_pixels": max_pixels, "background": background, "bits": bits}
    )

    def load() -> Loaded:
        listing = only(_listed(root), classes)
        videos = videos_of(listing)
        loaded = load_videos(videos, frames, take, short, image_size, resize, reading, memory_budget)
        loaded.skipped, loaded.notes = listing.left_out, [*_notes(listing), *loaded.notes]
        return loaded

    return Sequences(load, **keys)


def load_videos(
    videos: Videos,
    frames: int,
    take: str,
    short: str,
    image_size: ImageSize,
    resize: ImageSize | None,
    reading: Reading,
    memory_budget: float,
) -> Loaded:
    """Clips of videos as sources, in memory where all of them fit once decoded; the arguments are those of `frames`.

    Raises:
        CouloirError: a picture cannot be decoded.
    """
    from couloir.config.image_size import size_of
    from couloir.data.sequence.decoded import Clips
    from couloir.data.source import Loaded

    clips = sum(map(len, videos.splits.values()))
    height, width = size_of(image_size)
    needed = clips * frames * height * width * reading.channels
    fits = needed <= memory_budget * 2**30
    sources = {
        split: Clips([files_of(video, frames, take, short) for video in found], image_size, resize, reading,
                     np.array([video.target for video in found], np.int64), [video.folder for video in found], fits)
        for split, found in videos.splits.items()
    }  # fmt: skip
    notes = [] if fits or not memory_budget else [
        f"{clips:,} clips take {needed / 2**30:.2g} GiB once decoded, more than data.memory_budget={memory_budget:g}: "
        "their frames are decoded batch by batch, in each epoch again"
    ]  # fmt: skip
    return Loaded(sources["train"], sources.get("val"), sources.get("test"), classes=list(videos.classes), notes=notes)


def files_of(video: Video, frames: int, take: str, short: str) -> list[Path]:
    """The pictures of a video's clip."""
    return [video.frames[place] for place in chosen_frames(len(video.frames), frames, take, short)]


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Count the classes, look at the first bytes of the files, and count the frames of each video.

    Raises:
        CouloirError: no folder, no classes, one alone, pictures that are no frames of a video, a file that is no
            picture, a video that is too short, or another number of classes or frames than stated.
    """
    if keys.get("root") is None:
        raise CouloirError("The folder of the videos is missing.", next_step="add data.root=FOLDER")
    count = keys.get("frames")
    if keys.get("length", count) != count:
        raise CouloirError(
            f"data.length={keys['length']} would be ignored: a clip has data.frames={count}.",
            next_step=f"data.frames={keys['length']}",
        )
    listing = _listed(str(keys["root"]))
    if keys.get("classes") is not None:
        check_choice(keys, listing.classes)
        listing = only(listing, keys["classes"])
    stated = keys.get("num_classes")
    if stated is not None and stated != len(listing.classes):
        raise CouloirError(
            f"There are {len(listing.classes)} class folders, not {stated}: {', '.join(listing.classes[:12])}.",
            place=str(keys["root"]),
            next_step="leave data.num_classes out: Couloir counts them",
        )
    check_signatures(listing, keys)
    videos = videos_of(listing)
    if isinstance(count, int):
        check_lengths([video for found in videos.splits.values() for video in found], count, str(keys.get("short")))
    return {"num_classes": len(listing.classes), "classes": listing.classes}


def count(keys: Mapping[str, Any]) -> tuple[int, int | None]:
    """How many videos folds are made of; they are in no groups."""
    listing = _listed(str(keys["root"]))
    listing = listing if keys.get("classes") is None else only(listing, keys["classes"])
    return len(videos_of(listing).splits["train"]), None


def _listed(root: str | None) -> Listing:
    layout = "put the pictures of a video into data.root/train/<class>/<video>/, a folder a video in a folder a class"
    return list_images(data_root(root, "videos"), least=2, layout=layout)


def _notes(listing: Listing) -> list[str]:
    """What was recognised, without that class folders hold folders: here each of those is a video."""
    return [note for note in listing.notes if "belong to the class" not in note]
