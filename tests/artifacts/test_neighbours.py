"""The nearest training images are the nearest, whatever the batches; a copy is seen as one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from couloir.artifacts.neighbours import nearest, neighbours_figure, pairs, ratio


def random_images(count: int, seed: int) -> torch.Tensor:
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("batch", [3, 7, 40])
def test_the_neighbours_are_those_of_scipy_however_the_images_are_batched(batch: int) -> None:
    pictures, images = random_images(6, 0), random_images(40, 1)
    found = nearest(pictures, images.split(batch), count=5, shown=4)
    distances = cdist(pictures.flatten(1).double(), images.flatten(1).double())
    order = np.argsort(distances, axis=1)[:, :5]
    assert np.array_equal(found.numbers.numpy(), order)
    assert found.distances.numpy() == pytest.approx(np.take_along_axis(distances, order, axis=1), abs=1e-3)
    assert torch.equal(found.images, images[torch.from_numpy(order[:4])])


def test_a_copy_has_the_distance_zero_and_not_what_rounding_leaves() -> None:
    images = 0.9 + 0.1 * torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(2))
    found = nearest(images[[17, 3]], images.split(8))
    assert found.numbers[:, 0].tolist() == [17, 3]
    assert found.distances[:, 0].tolist() == [0.0, 0.0]


def test_with_fewer_images_than_are_asked_for_the_table_has_those_that_there_are() -> None:
    found = nearest(random_images(2, 3), [random_images(3, 4)])
    columns = pairs(found, 2, {"label": ["a", "b", "c"]})
    assert columns["made"] == ["0"] * 3 + ["1"] * 3
    assert columns["rank"] == ["1", "2", "3"] * 2
    assert [columns["label"][place] for place in range(3)] == ["abc"[number] for number in found.numbers[0, :3]]
    assert columns["distance"][0] == f"{float(found.distances[0, 0]):.6g}"
    assert neighbours_figure(random_images(2, 3), found, str).axes[0].images, "it can be drawn"


def test_copies_have_a_ratio_near_zero_and_new_images_one_near_one() -> None:
    assert ratio(torch.tensor([0.0, 0.1, 9.0]), torch.tensor([2.0, 1.0, 3.0])) == pytest.approx(0.05)
    assert ratio(torch.tensor([2.0, 2.1]), torch.tensor([1.9, 2.0, 2.2])) == pytest.approx(1.025)
    assert ratio(torch.tensor([1.0]), torch.tensor([0.0, 0.0])) is None, "the test images are training images"
