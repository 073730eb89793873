"""Codes on a plane, against NumPy and SciPy; the table and the array hold the same codes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm

from couloir.inference.sampling.drawing import Codes
from couloir.inference.sampling.latent import NAMED, SIDE, groups_of, manifold_codes, panels_of, shown, write_codes

RANDOM = np.random.default_rng(0)


def test_principal_components_are_those_of_the_singular_values() -> None:
    codes = RANDOM.normal(size=(40, 5)) * [5, 3, 1, 0.5, 0.1]
    first, second = panels_of(codes)
    centred = codes - codes.mean(axis=0)
    _, scales, rows = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ rows[:2].T
    np.testing.assert_allclose(np.abs(first.points), np.abs(expected), atol=1e-9)
    assert f"({scales[0] ** 2 / (scales**2).sum():.0%} of the variance)" in first.names[0]
    assert second.points.shape == (40, 2)
    np.testing.assert_array_equal(panels_of(codes)[1].points, second.points)


@pytest.mark.parametrize(("width", "count"), [(1, 5), (2, 5), (3, 1), (3, 3)])
def test_few_and_short_codes_are_shown_as_well(width: int, count: int) -> None:
    panels = panels_of(RANDOM.normal(size=(count, width)))
    assert len(panels) == 1
    assert panels[0].points.shape == (count, 2)


def test_codes_that_are_all_the_same_end_no_run() -> None:
    (panel,) = panels_of(np.ones((50, 8)))
    assert (panel.points == 0).all()


def test_the_manifold_of_a_vae_stands_at_the_normal_quantiles() -> None:
    quantiles = norm.ppf((np.arange(SIDE) + 0.5) / SIDE)
    found = manifold_codes(np.zeros((3, 2), np.float32), normal=True).reshape(SIDE, SIDE, 2).numpy()
    np.testing.assert_allclose(found[0, :, 0], quantiles, atol=1e-6)
    np.testing.assert_allclose(found[:, 0, 1], quantiles[::-1], atol=1e-6)
    assert manifold_codes(np.zeros((3, 1), np.float32), normal=True).shape == (SIDE, 1)


def test_the_manifold_of_an_autoencoder_covers_its_codes() -> None:
    codes = np.stack([np.linspace(-3, 7, 101), np.linspace(20, 10, 101)], axis=1).astype(np.float32)
    found = manifold_codes(codes, normal=False)
    torch.testing.assert_close(found.amin(0), torch.tensor([-2.9, 10.1]))
    torch.testing.assert_close(found.amax(0), torch.tensor([6.9, 19.9]))


def test_every_sample_has_a_look_and_rare_classes_share_one() -> None:
    labels = np.concatenate([np.repeat(np.arange(NAMED), 3), [NAMED, NAMED + 1]])
    groups = groups_of(labels, [f"class {number}" for number in range(NAMED + 2)])
    assert sum(int(group.places.sum()) for group in groups) == len(labels)
    assert groups[-1].name == "others"
    assert len({(group.colour, group.marker) for group in groups}) == len(groups)


def test_a_large_split_is_shown_from_end_to_end() -> None:
    places = shown(10_000)
    assert (len(places), places[0], places[-1]) == (2_000, 0, 9_999)
    np.testing.assert_array_equal(shown(3), [0, 1, 2])


def test_table_and_array_hold_number_class_and_code(tmp_path: Path) -> None:
    values = RANDOM.normal(size=(2, 3)).astype(np.float32)
    codes = Codes(np.array([4, 9]), values, np.array([1, 0]))
    write_codes(tmp_path / "c.csv", tmp_path / "c.npy", codes, ["cat", "dog, wet"])
    with (tmp_path / "c.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["sample"], row["class"]) for row in rows] == [("4", "dog, wet"), ("9", "cat")]
    found = np.array([[np.float32(row[f"code_{k}"]) for k in (0, 1, 2)] for row in rows])
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(np.load(tmp_path / "c.npy"), values)
