"""How large the maps of networks over videos are, and which of their keys go together. Nothing here imports torch.

A size is frames, height and width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from couloir.config.image_size import size_of
from couloir.errors import CouloirError

C3D, CONV3D = "couloir.model.sequence.video.c3d", "couloir.model.sequence.video.conv3d"
HORIZON = "horizon"
Size = tuple[int, int, int]
Sides = int | Sequence[int]
"""One number for all dimensions, or frames, height and width."""


def by_dimension(value: Sides) -> Size:
    """A number for each dimension."""
    if isinstance(value, int):
        return value, value, value
    frames, height, width = value
    return frames, height, width


def convolved(size: Size, stride: Size) -> Size:
    """Behind a convolution that adds as many zeros as its kernel has neighbours on a side: each side divided by the
    stride, rounded up.
    """
    frames, height, width = (-(-side // step) for side, step in zip(size, stride, strict=True))
    return frames, height, width


def pooled(size: Size, window: Size, stage: int) -> Size:
    """Behind a pooling of windows side by side; what does not fill a window is left out.

    Raises:
        CouloirError: a side is smaller than the window.
    """
    frames, height, width = (side // step for side, step in zip(size, window, strict=True))
    if min(frames, height, width) < 1:
        left = [min(side, step) for side, step in zip(size, window, strict=True)]
        raise CouloirError(
            f"The videos are too small for this network: in stage {stage} maps of {times(size)} (frames, height, "
            f"width) meet a pooling of {times(window)}, which leaves nothing.",
            next_step=f"model.pool=[{','.join(map(str, left))}], fewer stages (model.widths), or larger videos",
        )
    return frames, height, width


def times(size: Sequence[int]) -> str:
    """`16x112x112`."""
    return "x".join(map(str, size))


def check_odd(kernel_size: Sides) -> None:
    """A kernel has a middle.

    Raises:
        CouloirError: a side is even.
    """
    sides = by_dimension(kernel_size)
    even = next((side for side in sides if side % 2 == 0), None)
    if even is not None:
        odd = [side + (side % 2 == 0) for side in sides]
        raise CouloirError(
            f"A kernel of {times(sides)} has no middle: it moves the maps by half a step.",
            next_step=f"model.kernel_size=[{','.join(map(str, odd))}]",
        )


def check_stack(answers: str, pool: Sides | None, stride: Sides, hidden: Sequence[int], dropout: float) -> None:
    """The keys of `model=conv3d` go together: frames that are predicted are as large as those that are seen.

    Raises:
        CouloirError: one would be ignored, or makes frames smaller.
    """
    if answers != HORIZON:
        return
    fact = "Frames to come are as large as the frames before, and all of the network are convolutions: "
    for key, there in {
        "pool": pool is not None and by_dimension(pool) != (1, 1, 1),
        "stride": by_dimension(stride) != (1, 1, 1),
        "hidden": bool(hidden),
        "dropout": dropout > 0,
    }.items():
        if there:
            raise CouloirError(f"{fact}model.{key} has no place.", next_step=f"leave model.{key} out")


def check_video_network(model: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """A network over videos has maps behind each pooling, and every key that is typed is read.

    Args:
        model: its keys; of another network nothing is said.
        data: those of the data; sizes that only files say are not looked at.

    Raises:
        CouloirError: it has not, or one is not.
    """
    if model.get("_target_") not in (C3D, CONV3D):
        return
    check_odd(model["kernel_size"])
    if model["_target_"] == C3D:
        return
    check_stack(model["answers"], model["pool"], model["stride"], model["hidden"], model["dropout"])
    length = data.get("length")
    if isinstance(length, int) and data.get("image_size") is not None:
        maps((length, *size_of(data["image_size"])), model)


def maps(size: Size, model: Mapping[str, Any]) -> Size:
    """The size of the last maps of `model=conv3d`.

    Args:
        size: of the videos.
        model: its keys `answers`, `N`, `widths`, `stride` and `pool`.

    Raises:
        CouloirError: a pooling leaves nothing.
    """
    window = by_dimension(pool_of(model["answers"], model["pool"]))
    for stage in range(1, len(model["widths"]) + 1):
        for _ in range(model["N"]):
            size = convolved(size, by_dimension(model["stride"]))
        size = pooled(size, window, stage)
    return size


def pool_of(answers: str, pool: Sides | None) -> Sides:
    """The windows of the pooling; where nobody says, they halve each side, unless frames are predicted."""
    if pool is not None:
        return pool
    return 1 if answers == HORIZON else 2
