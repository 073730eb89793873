"""Digits read row by row."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import couloir
from couloir.config.check import checked
from couloir.data.digits import arrays
from couloir.errors import CouloirError
from couloir.run.assemble import load_data


def test_a_digit_is_read_from_top_to_bottom() -> None:
    data = load_data(couloir.compose(["data=digits_rows", "data.standardize=false"]).cfg, reports=False)
    images, labels = arrays()
    split = data.splits["train"]
    batch = data.example_batch(3, first=True)
    wanted = images[split.indices[:3], 0].astype(np.float32) / 255
    torch.testing.assert_close(batch["series"], torch.from_numpy(wanted))
    assert batch["label"].tolist() == labels[split.indices[:3]].tolist()


@pytest.mark.parametrize("word", ["data.length=4", "data.channels=4"])
def test_a_digit_of_another_shape_is_refused(word: str) -> None:
    with pytest.raises(CouloirError, match=r"A digit has 8 rows|The data has 8 channels"):
        load_data(checked(["data=digits_rows", word]).cfg, reports=False)
