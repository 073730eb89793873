"""The lectures' convolutions: their numbers, and images to learn them from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.signal

from couloir.cli.main import run
from couloir.data.by_hand import EXAMPLES, by_hand, inspect
from couloir.data.samples import Samples
from couloir.errors import CouloirError

# Louppe; Boudart; Scornet, without the last column of the print, which is 3 throughout.
PRINTED = {
    "4x4": "122 148 / 126 134",
    "3x3": "69 50 / 48 43",
    "9x9": "3 0 3 4 2 4 / 2 0 2 1 2 5 / 1 -1 6 1 -1 6 / 1 -1 6 1 -1 6 / 1 -1 6 1 -1 6 / 1 1 3 0 2 5 / 2 0 3 3 2 4",
}


def samples(example: str, **keys: Any) -> Samples:
    facts = inspect("by_hand", {"example": example})
    made = by_hand(example, 40, task="regression", channels=1, batch_size=8, seed=0, mean=[0.0],
                   fields={"image": "image", "value": "value"}, **{**facts, **keys})  # fmt: skip
    made.setup()
    return made


@pytest.mark.parametrize("example", sorted(EXAMPLES))
def test_the_first_test_sample_is_the_lectures_and_gives_what_it_prints(example: str) -> None:
    made = samples(example)
    batch = next(iter(made.test_dataloader()))
    printed = np.array([[int(word) for word in row.split()] for row in PRINTED[example].split("/")])
    side = int(batch["value"].shape[1] ** 0.5)
    np.testing.assert_array_equal(batch["value"][0].reshape(side, side)[:, : printed.shape[1]].numpy(), printed)
    np.testing.assert_array_equal(batch["image"][0, 0].numpy(), EXAMPLES[example].image)
    kernel = np.array(EXAMPLES[example].kernel)
    for batch in made.train_dataloader():
        for image, value in zip(batch["image"][:, 0].numpy(), batch["value"].numpy(), strict=True):
            expected = scipy.signal.correlate2d(image, kernel, "valid").reshape(-1)
            np.testing.assert_array_equal(value, expected, "the network gets the numbers themselves")


def test_other_sizes_than_the_lectures_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CouloirError, match="4x4 pixels, and 4 numbers"):
        samples("4x4", image_size=5)
    assert run(["summary", "data=by_hand", "data.example=5x5"]) == 2
    assert "data.example takes one of 4x4, 3x3, 9x9, not 5x5" in capsys.readouterr().err


def test_a_network_without_weights_is_not_trained(capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    words = ["experiment=convolution_by_hand", "model.learn=false", f"output_dir={tmp_path}"]
    assert run(["train", *words]) == 2
    assert "nothing to learn" in capsys.readouterr().err


def test_a_lectures_convolution_is_explained_without_a_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["experiment=convolution_by_hand", "model.learn=false", "data.samples=10"]
    methods = ["--methods", "matrix", "--count", "1", "--output", str(tmp_path / "page")]
    assert run(["explain", *words, *methods]) == 0
    assert "output 0 122, output 1 148, output 2 126, output 3 134" in capsys.readouterr().out
    assert np.load(tmp_path / "page/matrix_convolution.npy").shape == (4, 16)
    assert run(["explain", "data=by_hand", *methods]) == 2, "a linear layer has something to learn"
