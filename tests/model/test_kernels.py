"""Known kernels against SciPy's correlation, and what they may not be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch
from torch import nn

from couloir.errors import CouloirError
from couloir.model.kernels import BASIC, KERNELS, kernels, named_kernel, stacked


def net(names: list[Any], channels: int = 1, size: int = 8, classes: int = 10, **keys: Any) -> nn.Sequential:
    settings = {"learn": False, "padding": 0, "activation": "none", "pool": 1, "head": "linear", **keys}
    return kernels(channels, size, classes, names, **settings)


def test_maps_are_the_correlations_of_scipy_with_the_mean_of_the_channels() -> None:
    x = torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    maps = net(list(KERNELS), channels=3, size=9)[0](x).numpy()
    known = stacked(list(KERNELS)).numpy()
    for sample, image in enumerate(x.mean(dim=1).numpy()):
        for number, kernel in enumerate(known):
            np.testing.assert_allclose(
                maps[sample, number], scipy.signal.correlate2d(image, kernel, "valid"), atol=1e-5
            )


def test_named_kernels_do_what_their_names_say() -> None:
    x = np.random.default_rng(0).random((7, 7))
    inner = (slice(1, -1), slice(1, -1))
    expected = {
        "identity": x,
        "blur": scipy.ndimage.uniform_filter(x, 3),
        "laplace": scipy.ndimage.laplace(x),
        "sharpen": x - scipy.ndimage.laplace(x),
        "sobel_x": -scipy.ndimage.sobel(x, axis=1) / 4,
        "sobel_y": -scipy.ndimage.sobel(x, axis=0) / 4,
    }
    for name, values in expected.items():
        found = scipy.signal.correlate2d(x, named_kernel(name).numpy(), "valid")
        np.testing.assert_allclose(found, values[inner], atol=1e-6)
    for name in ("gaussian", "blur", "sharpen", "identity"):
        assert float(named_kernel(name).sum()) == pytest.approx(1.0), "a grey area stays as it is"
    for name in set(KERNELS) - {"gaussian", "blur", "sharpen", "identity"}:
        assert float(named_kernel(name).sum()) == pytest.approx(0.0, abs=1e-6), "an even area gives nothing"


def test_a_template_answers_most_where_its_picture_stands() -> None:
    for name in ("bar", "beam", "ring"):
        template = named_kernel(name).numpy()
        image = np.zeros((15, 15))
        image[4:9, 6:11] = template > 0
        found = scipy.signal.correlate2d(image, template, "valid")
        assert np.unravel_index(found.argmax(), found.shape) == (4, 6)


def test_known_kernels_stay_and_learned_ones_are_as_many_of_the_same_size() -> None:
    known, learned = net(["sobel_x", "bar"]), net(["sobel_x", "bar"], learn=True)
    assert [tuple(layer.weight.shape) for layer in learned if isinstance(layer, nn.Conv2d)] == [(2, 1, 5, 5)]
    assert sum(p.numel() for p in known.parameters()) == 2 * 4 * 4 * 10 + 10
    assert sum(p.numel() for p in learned.parameters()) == 2 * 4 * 4 * 10 + 10 + 50
    before = known[0].kernel.clone()
    nn.init.zeros_(known[-1].weight)  # type: ignore[arg-type]
    assert torch.equal(known.state_dict()["convolution.kernel"], before), "a checkpoint has them"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"names": ["sobel"]}, "no kernel 'sobel'"),
        ({"names": [[[1, 2], [3]]]}, "not the rows of a kernel"),
        ({"names": [3]}, "not the rows of a kernel"),
        ({"names": []}, "names none"),
        ({"names": [[[1, 2], [3, 4]], "sobel_x"]}, "no place in the middle"),
        ({"names": ["sobel_x"], "size": 2}, "leave nothing"),
        ({"names": ["sobel_x"], "head": "none"}, "36 numbers, and the data asks for 10"),
    ],
)
def test_kernels_that_cannot_be_are_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(CouloirError, match=said):
        net(**keys)


def test_the_default_kernels_are_known() -> None:
    assert set(BASIC) <= set(KERNELS)


def test_the_mean_of_each_map_is_an_output_of_a_network_that_needs_no_weights() -> None:
    known = net(["sobel_x", "laplace"], classes=2, head="mean")
    x = torch.rand(3, 1, 8, 8)
    torch.testing.assert_close(known(x), known[0](x).mean(dim=(2, 3)))
    with pytest.raises(CouloirError, match="are 2 numbers, and the data asks for 10"):
        net(["sobel_x", "laplace"], head="mean")
