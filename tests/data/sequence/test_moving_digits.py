"""Digits that move: each by its direction, on the canvas, in one split, and the frames behind a video."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from couloir import compose
from couloir.config.build import build
from couloir.config.check import checked
from couloir.data.digits import arrays
from couloir.data.sequence.moving_digits import STEPS, inspect, moved_over, moving_digits
from couloir.errors import CouloirError


def test_a_digit_moves_by_its_direction_and_is_whole_in_every_frame() -> None:
    images, _ = arrays()
    images = images[:40, 0]
    videos, labels = moved_over(images, 6, (20, 18), speed=2, directions=8, seed=3)
    assert set(labels) == set(range(8))
    steps = list(STEPS.values())
    for video, image, label in zip(videos, images, labels, strict=True):
        down, right = (2 * step for step in steps[label])
        for frame in range(5):
            assert (video[frame].sum(dtype=int), video[5].sum(dtype=int)) == (image.sum(dtype=int),) * 2
            assert np.array_equal(np.roll(video[frame], (down, right), (0, 1)), video[frame + 1])
    again, _ = moved_over(images, 6, (20, 18), speed=2, directions=8, seed=3)
    other, _ = moved_over(images, 6, (20, 18), speed=2, directions=8, seed=4)
    assert np.array_equal(videos, again)
    assert not np.array_equal(videos, other)


def test_batches_are_videos_standardised_by_the_training_split() -> None:
    data = build(compose(["data=moving_digits", "data.directions=4"]).cfg, "data")
    data.setup()
    batch = data.example_batch(16)
    assert batch["video"].shape == (16, 1, 8, 16, 16)
    assert batch["video"].dtype == torch.float32
    assert data.classes == ["right", "down", "left", "up"]
    split = data.splits["train"]
    raw = split.source.fetch(torch.from_numpy(split.indices))["video"].numpy() / 255
    assert data.mean == pytest.approx([raw.mean()])
    assert data.std == pytest.approx([raw.std()])
    expected = (raw[0].transpose(1, 0, 2, 3) - raw.mean()) / raw.std()
    np.testing.assert_allclose(data.example_batch(1, first=True)["video"][0], expected, atol=1e-5)


def test_a_digit_is_in_one_split_alone_however_many_videos_show_it() -> None:
    data = build(compose(["data=moving_digits", "data.count=4000"]).cfg, "data")
    data.setup()
    digits = [set((split.indices % 1797).tolist()) for split in data.splits.values()]
    assert sum(map(len, digits)) == len(set.union(*digits)) == 1797
    assert sum(data.sizes().values()) == 4000


def test_the_next_frames_stand_behind_the_video_in_their_own_order() -> None:
    keys = {"learn": "next_frames", "horizon": 2, "frames": 8, "image_size": 17, "speed": 1, "directions": 8}
    facts = inspect("moving_digits", keys)
    assert (facts["task"], facts["num_classes"], facts["horizon"]) == ("forecast", 1, 2)
    data = moving_digits(**{**keys, **facts}, count=60, length=8, channels=1, batch_size=4, seed=0)
    data.setup()
    batch = data.example_batch(6)
    assert batch["future"].shape == (6, 2, 1, 17, 17)
    video, future = batch["video"][:, 0], batch["future"][:, :, 0]
    frames = torch.cat([video, future], dim=1)
    for clip in frames:
        step = next(step for step in STEPS.values() if torch.equal(torch.roll(clip[0], step, (0, 1)), clip[1]))
        for before, after in itertools.pairwise(clip):
            assert torch.equal(torch.roll(before, step, (0, 1)), after)
    mean, std = data.mean[0], data.std[0]
    assert data.target_offset == [mean]
    assert data.target_scale == [std]


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (["data.frames=16"], "leaves a canvas of 16x16"),
        (["data.speed=2"], "data.image_size=22"),
        (["data.learn=next_frames", "data.horizon=2"], "leaves a canvas"),
        (["data.horizon=2"], "data.horizon=2 would be ignored"),
        (["data.length=4"], "data.length=4 would be ignored"),
        (["data.learn=next_frames", "data.classes=[up,down]"], "frames to come have none"),
        (["data.directions=4", "data.classes=[up_left,down]"], "up_left"),
        (["model=c3d", "model.kernel_size=2"], "no middle"),
        (["data.frames=2"], "leaves nothing"),
        (["model=convnet"], "needs images"),
    ],
)
def test_a_sentence_that_cannot_be_kept_is_refused_before_torch(words: list[str], fact: str) -> None:
    with pytest.raises(CouloirError) as error:
        checked(["data=moving_digits", *words])
    assert fact in str(error.value)
