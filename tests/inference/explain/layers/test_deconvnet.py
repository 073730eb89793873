"""Projections to the pixels: against explicit unpooling and transposed convolutions, and units of a known stimulus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.inference.explain.layers.deconvnet import deconvnet, project, strongest, strongest_places
from couloir.inference.explain.plates import GAP, plate
from couloir.inference.explain.words import Wanted
from couloir.model.normalisation import LocalContrastNorm, local_response_norm
from subjects import shown_of, subject_of

EDGE = torch.tensor([[-1.0, 0.0, 1.0]] * 3)
"""Dark on the left, bright on the right."""


def wanted(*layers: str, unit: int | None = None, most: int = 0) -> Wanted:
    return Wanted((), Path(), layers=layers, unit=unit, most=most)


def two_stages(between: nn.Module | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), between or nn.Identity(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 3, 2),
        nn.ReLU(), nn.Flatten(), nn.Linear(4 * 9, 3),
    ).eval()  # fmt: skip


def by_hand(net: nn.Sequential, x: Tensor, place: tuple[int, ...], scale: float = 1.0) -> Tensor:
    """The way down of the paper: ReLU, the transposed filters, unpooling by the switches, ReLU, transposed filters."""
    lower = net[2](torch.relu(net[0](x)))
    pooled, switches = F.max_pool2d(lower, 2, return_indices=True)
    upper = torch.relu(net[4](pooled))
    kept = torch.zeros_like(upper)
    kept[(0, *place)] = upper[(0, *place)]
    down = F.conv_transpose2d(kept.clamp_min(0), net[4].weight, stride=2, output_padding=1)
    down = F.max_unpool2d(down, switches, 2) * scale
    return F.conv_transpose2d(down.clamp_min(0), net[0].weight, padding=1)


def test_a_projection_is_unpooling_rectifying_and_transposed_filters() -> None:
    net, x = two_stages(), torch.rand(3, 2, 16, 16)
    subject = subject_of(net, 2, 16)
    places = [strongest_places(values, 1)[0] for values in subject.outputs(x, "5")]
    got = project(subject, x, "5", places)
    for sample in range(3):
        expected = by_hand(net, x[sample : sample + 1], places[sample])[0]
        torch.testing.assert_close(got[sample], expected)
        assert expected.abs().sum() > 0


@pytest.mark.parametrize("layer", [local_response_norm(3, alpha=1.0), LocalContrastNorm(5)])
def test_what_normalises_responses_hands_values_down_as_they_are(layer: nn.Module) -> None:
    net, x = two_stages(layer), torch.rand(1, 2, 16, 16)
    subject = subject_of(net, 2, 16)
    (place,) = strongest_places(subject.outputs(x, "5")[0], 1)
    torch.testing.assert_close(project(subject, x, "5", [place]), by_hand(net, x, place))
    torch.testing.assert_close(net(x), subject_of(net, 2, 16).net(x))


def test_batch_normalisation_hands_values_down_by_its_scale() -> None:
    norm = nn.BatchNorm2d(3)
    norm.weight.data.fill_(3.0)
    norm.running_var.fill_(4.0)
    net, x = two_stages(norm), torch.rand(1, 2, 16, 16)
    subject = subject_of(net, 2, 16)
    (place,) = strongest_places(subject.outputs(x, "5")[0], 1)
    torch.testing.assert_close(project(subject, x, "5", [place]), by_hand(net, x, place, 3 / np.sqrt(4 + 1e-5)))


def edge_net() -> nn.Sequential:
    """Map 0 answers to vertical edges, map 1 to horizontal ones."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2 * 9, 3))
    net[0].weight.data = torch.stack([EDGE[None], EDGE.T[None]])
    return net


def test_an_edge_filter_is_projected_to_its_edge_where_the_edge_is() -> None:
    x = torch.zeros(1, 1, 8, 8)
    x[..., 5:] = 1.0  # an edge between columns 4 and 5
    subject = subject_of(edge_net(), size=8)
    (exhibit,) = deconvnet(subject, shown_of(subject, x), wanted("2", unit=0))
    (panel,) = exhibit.panels
    assert exhibit.numbers["maps"][0]["activation"] == 3.0
    assert panel.values is not None
    rows, columns = np.nonzero(panel.values[0])
    assert set(columns) in ({3, 5}, {4, 6})  # the two windows that see the whole edge
    top, left = rows.min(), columns.min()
    np.testing.assert_array_equal(panel.values[0, top : top + 3, left : left + 3], 3 * EDGE)
    (flat,) = deconvnet(subject, shown_of(subject, x), wanted("2", unit=1))[0].panels
    assert flat.values is not None
    assert not flat.values.any()  # no horizontal edge is there
    assert panel.picture.ndim == 3


def test_a_network_with_other_activations_is_refused() -> None:
    subject = subject_of(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)))
    shown = shown_of(subject, torch.rand(1, 1, 4, 4))
    with pytest.raises(CouloirError, match="tanh"):
        deconvnet(subject, shown, wanted())
    subject = subject_of(edge_net(), size=8)
    with pytest.raises(CouloirError, match="2 maps, with the numbers 0 to 1, and no 2"):
        deconvnet(subject, shown_of(subject, torch.rand(1, 1, 8, 8)), wanted("0", unit=2))


def test_the_strongest_activations_of_a_split_are_found_each_with_its_patch() -> None:
    torch.manual_seed(0)
    x = torch.rand(40, 1, 8, 8)
    subject = subject_of(edge_net(), size=8)
    before = torch.get_rng_state()

    def split(name: str, most: int | None = None) -> Iterator[tuple[Tensor, None, list[int]]]:
        assert (name, most) == ("val", 40)
        for part in torch.arange(40).split(7):
            yield x[part], None, (part + 100).tolist()

    subject.split = split  # type: ignore[method-assign]
    (exhibit,) = strongest(subject, shown_of(subject, x[:2]), wanted("2", unit=1, most=40))
    assert torch.equal(torch.get_rng_state(), before)
    (panel,), (found,) = exhibit.panels, exhibit.numbers["maps"]
    maps = subject.outputs(x, "2")[:, 1].flatten(1)
    top, order = maps.amax(dim=1).topk(9)
    assert found["samples"] == (order + 100).tolist()
    np.testing.assert_allclose(found["values"], top, rtol=1e-6)
    assert [row * 3 + column for row, column in found["places"]] == maps[order].argmax(dim=1).tolist()
    for at, sample in enumerate(order):
        place = (1, *found["places"][at])
        torch.testing.assert_close(torch.tensor(panel.values[at]), project(subject, x[sample][None], "2", [place])[0])


def test_where_nothing_can_be_projected_the_patches_stand_alone() -> None:
    subject = subject_of(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)))
    subject.split = lambda name, most=None: iter([(torch.rand(3, 1, 4, 4), None, [0, 1, 2])])  # type: ignore[method-assign]
    (exhibit,) = strongest(subject, shown_of(subject, torch.rand(1, 1, 4, 4)), wanted("1"))
    assert "No projections: The rule is one for ReLU" in exhibit.note
    assert len(exhibit.panels) == 2
    assert exhibit.panels[0].values is None
    assert len(exhibit.numbers["maps"][0]["samples"]) == 3


def test_patches_of_several_sizes_are_enlarged_alike() -> None:
    small, large = np.full((2, 3), 10, np.uint8), np.full((4, 4), 20, np.uint8)
    sheet = plate([small, large], ["", ""], 2, 8)
    assert (sheet[:4, :6] == 10).all()  # twice as large, white around it
    assert (sheet[4:8, :8] == 255).all()
    assert (sheet[:8, 8 + GAP :] == 20).all()
