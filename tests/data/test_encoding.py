"""From compact rows to a network's inputs, against scikit-learn's own pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from test_table import inputs_and_targets, loaded, write

from couloir.data.encoding import Encoding
from couloir.data.features import Feature
from couloir.errors import CouloirError

CITIES = ["Rome", "Oslo", "Bonn", "Lima"]


@pytest.fixture(scope="module")
def mixed() -> tuple[np.ndarray, np.ndarray]:
    """Two columns of numbers and two of texts, with gaps: NaN and None."""
    rng = np.random.default_rng(0)
    numbers = np.where(rng.random((300, 2)) < 0.1, np.nan, np.round(rng.normal([50, -2e6], [9, 4e5], (300, 2)), 2))
    texts = np.stack([rng.choice(CITIES, 300), rng.choice(["m", "w"], 300)], axis=1).astype(object)
    texts[rng.random((300, 2)) < 0.1] = None
    return numbers, texts


@pytest.mark.parametrize("indicators", [False, True])
def test_the_inputs_are_those_of_scikit_learns_pipeline(
    mixed: tuple[np.ndarray, np.ndarray], indicators: bool, tmp_path: Path
) -> None:
    numbers, texts = mixed
    cells = [
        [*map(repr, row.tolist()), *(text or "" for text in more)] for row, more in zip(numbers, texts, strict=True)
    ]
    rows = [",".join(["" if cell == "nan" else cell for cell in row]) + f",{n % 2}" for n, row in enumerate(cells)]
    samples = loaded({**write(tmp_path / "t.csv", "a,b,city,sex,y", rows), "missing_indicator": indicators})
    train = samples.splits["train"].indices
    parts: list[Any] = [
        ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), [0, 1]),
        ("texts", make_pipeline(SimpleImputer(strategy="most_frequent", missing_values=None), OneHotEncoder()), [2, 3]),
    ]
    pipeline = ColumnTransformer(parts, sparse_threshold=0)
    whole = np.concatenate([numbers.astype(object), texts], axis=1)
    pipeline.fit(whole[train])
    assert samples.encoding is not None
    gaps = np.concatenate([np.isnan(numbers), texts == None], axis=1)  # noqa: E711  of each cell
    for split in ("train", "val", "test"):
        x, _, lines = inputs_and_targets(samples, split)
        expected = pipeline.transform(whole[lines - 2])
        kept = [place for place, name in enumerate(samples.encoding.inputs) if not name.endswith(".missing")]
        np.testing.assert_allclose(x[:, kept], expected, rtol=1e-4, atol=1e-5)
        if indicators:
            said = [place for place in range(x.shape[1]) if place not in kept]
            assert x[:, said].tolist() == gaps[lines - 2].astype(float).tolist()


def test_an_unknown_category_is_a_row_of_zeros() -> None:
    encoding = Encoding([Feature("city", "category", categories=["a", "b"]), Feature("n", "number")])
    encoding.fit(np.array([[0, 5], [1, 7], [1, np.nan]], dtype=np.float32), np.arange(3))
    x = encoding(torch.tensor([[-1.0, 1.0], [torch.nan, torch.nan], [0.0, 2.0]]))
    assert x.tolist() == [[0, 0, 1], [0, 1, 6], [1, 0, 2]]


def test_what_a_checkpoint_keeps_is_plain_and_encodes_alike(tmp_path: Path) -> None:
    features = [
        Feature("city", "category", categories=["a", "b"], indicator=True),
        Feature("day", "date", offset=19_000.0, form="year-month-day", cycles=["month", "weekday"]),
        Feature("flag", "boolean", categories=["no", "yes"]),
    ]
    rows = np.array([[0, 5, 1, 2, 1], [1, 7, 2, 3, 0], [np.nan] * 5, [1, 4, 0, 1, 1]], dtype=np.float32)
    encoding = Encoding(features)
    encoding.fit(rows, np.array([0, 1, 3]))
    torch.save(encoding.plain(), tmp_path / "state.pt")
    again = Encoding.of_plain(torch.load(tmp_path / "state.pt", weights_only=True))
    x = torch.from_numpy(rows)
    assert again.inputs == encoding.inputs
    assert torch.equal(again(x), encoding(x))
    # The median day is the 19,005th, a Thursday in January 2022.
    month, weekday = 2 * np.pi * 0 / 12, 2 * np.pi * 3 / 7
    expected = [0, 1, 1, 5, np.sin(month), np.cos(month), np.sin(weekday), np.cos(weekday), 1]
    np.testing.assert_allclose(encoding(x)[2].numpy(), expected, atol=1e-6)


@pytest.mark.filterwarnings("error")
def test_a_number_that_would_be_no_day_in_any_calendar_is_a_number() -> None:
    encoding = Encoding([Feature("n", "number")])
    encoding.fit(np.array([[1e15], [1e16], [1e17]], dtype=np.float32), np.arange(3))
    assert encoding.fills == [float(np.float32(1e16))]


def test_a_column_without_a_value_in_the_training_split_is_refused() -> None:
    encoding = Encoding([Feature("n", "number")])
    with pytest.raises(CouloirError, match="No row of the training split has a value in the column 'n'"):
        encoding.fit(np.array([[np.nan], [1.0]], dtype=np.float32), np.array([0]))
