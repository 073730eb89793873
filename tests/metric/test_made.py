"""What is said of made images without a classifier is what the papers' formulas give, however batches are cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import laplace
from scipy.spatial.distance import pdist
from scipy.stats import wasserstein_distance
from torch import Tensor

from couloir.errors import CouloirError
from couloir.metric import made as module
from couloir.metric.made import Made


def images(count: int = 30, channels: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    made, real = (torch.rand(count, channels, 6, 5, generator=generator) for _ in range(2))
    return made * 0.7, real**2


def measured(*batches: tuple[Tensor, Tensor]) -> dict[str, float]:
    metric = Made()
    for made, real in batches:
        metric.update(made, real)
    return {name: float(value) for name, value in metric.compute().items()}


@pytest.mark.parametrize("channels", [1, 3])
def test_each_number_is_that_of_an_independent_formula(channels: int) -> None:
    made, real = images(channels=channels)
    found = measured((made, real))
    generator = torch.Generator().manual_seed(module.SEED)
    directions = torch.randn(channels * 30, 128, generator=generator).numpy()
    directions /= np.linalg.norm(directions, axis=0)
    flat = [x.flatten(1).numpy() for x in (made, real)]
    slices = [wasserstein_distance(flat[0] @ direction, flat[1] @ direction) for direction in directions.T]
    assert found["swd"] == pytest.approx(np.mean(slices), rel=1e-5)
    distances = [np.sqrt(np.mean(pdist(x) ** 2)) for x in flat]
    assert found["diversity"] == pytest.approx(distances[0] / distances[1], rel=1e-5)
    edges = [np.mean([abs(laplace(plane, mode="reflect")) for plane in x.flatten(0, 1).numpy()]) for x in (made, real)]
    assert found["sharpness"] == pytest.approx(edges[0] / edges[1], rel=1e-5)


def test_real_images_themselves_are_as_good_as_real_ones() -> None:
    _, real = images()
    assert measured((real, real)) == {"swd": 0, "diversity": 1, "sharpness": 1}


def test_one_image_made_again_and_again_has_no_diversity() -> None:
    made, real = images()
    assert measured((made[:1].expand_as(made), real))["diversity"] == pytest.approx(0, abs=1e-6)


def test_real_images_that_are_plain_and_all_the_same_give_no_ratio() -> None:
    made, _ = images()
    found = measured((made, torch.full_like(made, 0.3)))
    assert np.isnan([found["diversity"], found["sharpness"]]).all()
    assert found["swd"] > 0


def test_batches_processes_and_many_samples_change_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """TorchMetrics joins the states of the processes, which is done by hand here; the third process has no sample."""
    monkeypatch.setattr(module, "COUNT", 12)
    made, real = images(40)
    whole = measured((made, real))
    assert measured(*zip(made.split(7), real.split(7), strict=True)) == pytest.approx(whole, rel=1e-6)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    own, other, idle = Made(), Made(), Made()
    own.update(made[order[:9]], real[order[:9]])
    other.update(made[order[9:]], real[order[9:]])
    for name in ("kept", "sums", "totals"):
        nothing = torch.tensor([], dtype=idle.dtype)
        setattr(own, name, torch.cat([*getattr(own, name), *getattr(other, name), nothing]))
    joined = {name: float(value) for name, value in own.compute().items()}
    assert joined == pytest.approx(whole, rel=1e-6)


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(CouloirError, match="must have the same"):
        Made().update(torch.rand(4, 1, 6, 5), torch.rand(4, 1, 5, 6))
