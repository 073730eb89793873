"""scikit-learn's handwritten digits, each moving in one direction: videos to classify, or to continue.

A digit of 8x8 pixels moves on a black canvas by the same number of pixels from frame to frame. Where it begins is
drawn among the places from which it never leaves the canvas, and which way it goes among the directions. Both follow
from the seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from couloir.config.image_size import as_image_size, size_of, typed
from couloir.data.classes import check_choice
from couloir.data.digits import arrays
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.data.sequence.sequences import Sequences
    from couloir.data.source import Loaded

DIRECTION, NEXT_FRAMES = "direction", "next_frames"
SIDE = 8
"""Pixels of a digit's sides."""
STEPS = {
    "right": (0, 1), "down": (1, 0), "left": (0, -1), "up": (-1, 0),
    "down_right": (1, 1), "down_left": (1, -1), "up_left": (-1, -1), "up_right": (-1, 1),
}  # fmt: skip
"""The directions: down and right, in steps a frame; the first four are those of `data.directions=4`."""


def moving_digits(
    frames: int,
    image_size: Any,
    speed: int,
    directions: int,
    count: int | None,
    learn: str,
    length: int,
    horizon: int | None,
    seed: int,
    **keys: Any,
) -> Sequences:
    """Videos of digits that move.

    Args:
        frames: of a video that the network is given.
        image_size: pixels of the canvas, or `[height, width]`.
        speed: pixels that a digit moves from one frame to the next, along each side on which it moves.
        directions: 4 or 8.
        count: videos; None: one of each digit.
        learn: `direction`, a class a video, or `next_frames`.
        length: as `frames`.
        horizon: frames to come; None: there are none.
        seed: what the videos follow from, and the splits.
        keys: those of `couloir.data.sequence.sequences.Sequences`.
    """
    from couloir.data.sequence.sequences import Sequences

    ahead = horizon or 0
    return Sequences(
        lambda: _load(frames, ahead, image_size, speed, directions, count, seed),
        horizon=horizon,
        seed=seed,
        **keys,
    )


def _load(
    frames: int, horizon: int, image_size: Any, speed: int, directions: int, count: int | None, seed: int
) -> Loaded:
    from couloir.data.sequence.stretches import Stretch, Stretches
    from couloir.data.source import Loaded

    images, _ = arrays()
    whole = frames + horizon
    digits = np.arange(count or len(images)) % len(images)
    videos, labels = moved_over(images[digits, 0], whole, size_of(image_size), speed, directions, seed)
    steps = videos.reshape(-1, 1, *size_of(image_size))
    starts = np.arange(len(digits)) * whole
    fields = {"video": Stretch(steps, starts, frames)}
    if horizon:
        fields["future"] = Stretch(steps, starts + frames, horizon)
        source = Stretches(fields)
    else:
        source = Stretches(fields, labels)
    groups = digits if len(digits) > len(images) else None
    return Loaded(source, classes=[] if horizon else list(STEPS)[:directions], groups=groups)


def moved_over(
    images: NDArray[np.uint8], frames: int, canvas: tuple[int, int], speed: int, directions: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Videos (N, frames, H, W) of images (N, h, w) that move, and the number of the direction of each, (N,).

    Args:
        images: what moves.
        frames: of each video.
        canvas: height and width.
        speed: pixels a frame.
        directions: 4 or 8.
        seed: what places and directions follow from.
    """
    random = np.random.default_rng([seed, 1])
    labels = random.integers(directions, size=len(images))
    steps = np.array(list(STEPS.values()))[labels] * speed
    way = steps * (frames - 1)
    side = np.array(images.shape[1:])
    first = random.integers(np.maximum(0, -way), np.array(canvas) - side - np.maximum(0, way) + 1)
    videos = np.zeros((len(images), frames, *canvas), np.uint8)
    number = np.arange(len(images))[:, None, None]
    for frame in range(frames):
        rows, columns = (first + frame * steps).T
        rows, columns = rows[:, None, None] + np.arange(side[0])[:, None], columns[:, None, None] + np.arange(side[1])
        videos[number, frame, rows, columns] = images
    return videos, labels


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """What is learned, and whether a digit stays on its canvas.

    Raises:
        CouloirError: it does not; keys contradict each other; or as `couloir.data.classes.check_choice`.
    """
    ahead = keys.get("learn") == NEXT_FRAMES
    horizon, frames, directions = keys.get("horizon"), keys.get("frames"), keys.get("directions")
    if not ahead and horizon is not None:
        raise CouloirError(
            f"data.horizon={horizon} would be ignored: the direction is learned, and no frame to come.",
            next_step="data.learn=next_frames, or leave data.horizon out",
        )
    horizon = (horizon or 1) if ahead else None
    if keys.get("length", frames) != frames:
        raise CouloirError(
            f"data.length={keys['length']} would be ignored: a video has data.frames={frames}.",
            next_step=f"data.frames={keys['length']}",
        )
    if ahead and keys.get("classes") is not None:
        raise CouloirError(
            "data.classes chooses directions to tell apart, and frames to come have none.",
            next_step="leave data.classes out",
        )
    if all(isinstance(value, int) for value in (frames, keys.get("speed"), keys.get("count") or 1)):
        _check_room(int(keys["frames"]), horizon or 0, int(keys["speed"]), keys.get("image_size"))
    names = list(STEPS)[: directions if directions in (4, 8) else 8]
    if ahead:
        return {
            "task": "forecast", "fields": {"video": "video", "future": "future"}, "num_classes": 1, "horizon": horizon,
        }  # fmt: skip
    check_choice(keys, names)
    chosen = keys.get("classes")
    return {
        "task": "sequence_classification", "fields": {"video": "video", "label": "label"},
        "num_classes": len(names) if chosen is None else len(chosen), "horizon": None,
    }  # fmt: skip


def _check_room(frames: int, horizon: int, speed: int, image_size: Any) -> None:
    """A digit that moves through all frames stays on the canvas.

    Raises:
        CouloirError: it does not.
    """
    height, width = size_of(image_size)
    way = speed * (frames + horizon - 1)
    if min(height, width) < SIDE + way:
        larger = as_image_size((max(height, SIDE + way), max(width, SIDE + way)))
        raise CouloirError(
            f"A digit of {SIDE} pixels that moves {way} ({frames + horizon} frames, data.speed={speed}) leaves a "
            f"canvas of {height}x{width} pixels.",
            next_step=f"data.image_size={typed(larger)}, fewer data.frames, or a smaller data.speed",
        )
