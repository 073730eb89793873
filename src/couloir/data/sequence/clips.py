"""Which videos a folder holds, each a folder of pictures, and which of their frames a clip has.

Nothing here imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from couloir.data.listing import Listing, composed
from couloir.errors import CouloirError

EVEN, FIRST, MIDDLE = "even", "first", "middle"
REPEAT = "repeat"
_NUMBERS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Video:
    """A folder of pictures.

    Attributes:
        folder: where they lie.
        frames: the pictures, sorted naturally by name.
        target: the label.
    """

    folder: Path
    frames: list[Path]
    target: Any


@dataclass
class Videos:
    """The videos of a folder by split.

    Attributes:
        classes: names in the order of the labels.
        splits: the videos of each split that there is.
    """

    classes: list[str]
    splits: dict[str, list[Video]] = field(default_factory=dict)


def naturally(path: Path) -> list[Any]:
    """A key to sort names by: their numbers count as numbers, so that frame10 stands behind frame9."""
    parts = _NUMBERS.split(path.name)
    return [(part.lower(), 0) if place % 2 == 0 else ("", int(part)) for place, part in enumerate(parts)] + [path.name]


def by_folder(files: Iterable[Path]) -> list[tuple[Path, list[Path]]]:
    """The folders that pictures lie in, in their first order, each with its pictures sorted naturally."""
    found: dict[Path, list[Path]] = {}
    for file in files:
        found.setdefault(file.parent, []).append(file)
    return [(folder, sorted(frames, key=naturally)) for folder, frames in found.items()]


def videos_of(listing: Listing) -> Videos:
    """The pictures of class folders as videos: those of one folder are the frames of one.

    Raises:
        CouloirError: pictures lie in a class folder itself.
    """
    videos = Videos(listing.classes)
    for split, samples in listing.splits.items():
        labels = {path.parent: target for path, target in samples}
        found = [Video(folder, frames, labels[folder]) for folder, frames in by_folder(path for path, _ in samples)]
        for video in found:
            own, above = composed(video.folder.name), composed(video.folder.parent.name)
            if own == composed(listing.classes[video.target]) != above:
                raise CouloirError(
                    f"{len(video.frames):,} pictures lie in the class folder '{video.folder.name}' itself; a video is "
                    "a folder of its own there.",
                    place=str(video.folder),
                    next_step="put the frames into data.root/<class>/<video>/, with two classes or more; "
                    "data=image_folder takes single pictures",
                )
        videos.splits[split] = found
    return videos


def chosen_frames(count: int, frames: int, take: str, short: str) -> list[int]:
    """Which frames of a video a clip has.

    Args:
        count: frames of the video, at least one.
        frames: of the clip.
        take: `even`, the first, the last, and evenly spaced ones between them; `first` or `middle`, consecutive ones.
        short: `repeat`: of a video that is too short the last frame stands again at the end.
    """
    if count < frames:
        assert short == REPEAT, "others are refused before"
        return [*range(count), *[count - 1] * (frames - count)]
    if take == EVEN:
        steps = max(1, frames - 1)
        return [(place * (count - 1) + steps // 2) // steps for place in range(frames)]
    start = 0 if take == FIRST else (count - frames) // 2
    return list(range(start, start + frames))


def check_lengths(videos: Sequence[Video], frames: int, short: str) -> None:
    """Each video has as many frames as a clip.

    Raises:
        CouloirError: one has fewer, and nothing says what stands in their place.
    """
    few = [video for video in videos if len(video.frames) < frames]
    if not few or short == REPEAT:
        return
    least = min(few, key=lambda video: len(video.frames))
    raise CouloirError(
        f"{len(few):,} of {len(videos):,} videos {'has' if len(few) == 1 else 'have'} fewer than data.frames={frames} "
        f"frames; the shortest has {len(least.frames)}.",
        place=str(least.folder),
        next_step=f"data.frames={len(least.frames)}, or data.short=repeat: the last frame stands again at the end",
    )
