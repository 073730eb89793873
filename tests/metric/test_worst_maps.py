"""The worst images are those of the whole split, whatever the batches and the processes were."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from couloir.metric.worst_maps import KEPT, SIDE, WorstMaps, WorstOfMaps, shrunk

COUNT = 40


def scores() -> Tensor:
    """Of 40 images, some with the same score, one without."""
    drawn = torch.randint(0, 25, (COUNT, 2), generator=torch.Generator().manual_seed(0)) / 25
    drawn[7] = torch.nan
    return drawn


def taken(parts: list[list[int]]) -> WorstOfMaps:
    metric = WorstOfMaps(("score", "other"), 2)
    numbers = scores()
    for part in parts:

        def pictures(place: int, part: list[int] = part) -> tuple[Tensor, int]:
            shape = (3 + part[place] % 3, 4)  # of several sizes
            return torch.stack([torch.full(shape, part[place] / 255), torch.full(shape, float(part[place]))]), 1

        metric.update(numbers[part], torch.tensor(part), pictures)
    return metric


def expected() -> list[int]:
    return sorted((place for place in range(COUNT) if place != 7), key=lambda place: (float(scores()[place, 0]), place))


def assert_worst(worst: WorstMaps) -> None:
    assert worst.position == expected()[:KEPT]
    assert worst.numbers["score"] == scores()[worst.position, 0].double().tolist()
    assert worst.numbers["other"] == scores()[worst.position, 1].double().tolist()
    for position, planes in zip(worst.position, worst.planes, strict=True):
        assert planes.shape == (2, 3 + position % 3, 4)
        assert (planes == position).all()


def test_the_worst_of_a_split_are_kept_whatever_its_batches() -> None:
    assert_worst(taken([list(range(COUNT))]).compute())
    assert_worst(taken([list(range(start, start + 5)) for start in range(0, COUNT, 5)]).compute())


def test_several_processes_find_the_same() -> None:
    """TorchMetrics stacks the states of the processes, which is done by hand here."""
    own = taken([[place for place in range(COUNT) if place % 2 == 0]])
    other = taken([[place for place in range(COUNT) if place % 2]])
    for name in ("scores", "positions", "numbers", "sizes", "pictures"):
        setattr(own, name, torch.stack([getattr(own, name), getattr(other, name)]))
    assert_worst(own.compute())


def test_of_fewer_images_there_are_fewer() -> None:
    worst = taken([[3, 7]]).compute()
    assert worst.position == [3]
    assert len(worst.planes) == 1


def test_large_pictures_shrink_and_classes_stay_classes() -> None:
    classes = torch.randint(0, 2, (1, 600, 301)).float() * 255
    small = shrunk(torch.cat([torch.rand(3, 600, 301), classes]), 1)
    assert small.shape == (4, SIDE, 128)
    assert set(np.unique(small[3])) <= {0, 255}
    assert 100 < float(small[:3].float().mean()) < 155
