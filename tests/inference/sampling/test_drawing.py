"""The paths between codes, against their closed forms."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import geometric_slerp

from couloir.inference.sampling.drawing import in_a_loop, labelled, path


def test_an_arc_is_that_of_scipy_and_a_line_is_straight() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 6, generator=generator)
    places = torch.linspace(0, 1, 10)
    units = [each.double().numpy() / float(each.double().norm()) for each in (first, second)]
    expected = geometric_slerp(*units, places.double().numpy())
    found = path(first / first.norm(), second / second.norm(), places, spherical=True)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    line = path(first, second, places, spherical=False)
    np.testing.assert_allclose(line.numpy(), first + places[:, None] * (second - first), atol=1e-6)


def test_a_path_begins_and_ends_at_its_codes_also_where_there_is_no_arc() -> None:
    code, places = torch.tensor([0.3, -2.0]), torch.tensor([0.0, 0.5, 1.0])
    for other in (torch.tensor([1.0, 1.0]), code, -code, torch.zeros(2)):
        found = path(code, other, places, spherical=True)
        torch.testing.assert_close(found[[0, 2]], torch.stack([code, other]))
        assert found.isfinite().all()


def test_a_walk_comes_back_to_its_first_code_in_even_steps() -> None:
    keys = torch.eye(3)
    found = in_a_loop(keys, 12, spherical=False)
    torch.testing.assert_close(found[[0, 4, 8]], keys)
    steps = (torch.cat([found, found[:1]]).diff(dim=0)).norm(dim=1)
    torch.testing.assert_close(steps, torch.full((12,), 2**0.5 / 4))


def test_a_row_has_one_class() -> None:
    assert labelled(3, 2, None, 2).tolist() == [0, 0, 1, 1, 0, 0]
    assert labelled(2, 5, 4, 2).tolist() == [4, 4, 4, 4]
