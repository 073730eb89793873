"""Networks that enlarge images: the papers' counts, sub-pixel convolution and residuals by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.errors import CouloirError
from networks import FACTOR, build


def weights_alone(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters() if parameter.ndim > 1)


@pytest.mark.parametrize(("kernel_sizes", "count"), [([9, 1, 5], 8_032), ([9, 3, 5], 24_416), ([9, 5, 5], 57_184)])
def test_srcnn_has_the_weights_of_its_paper(kernel_sizes: list[int], count: int) -> None:
    assert weights_alone(build("srcnn", 1, 33, 1, kernel_sizes=kernel_sizes)) == count


def test_espcn_has_the_weights_of_its_paper() -> None:
    """5x5 to 64, 3x3 to 32, 3x3 to a value for each of the factor² pixels (section 3.2)."""
    assert weights_alone(build("espcn", 1, 17, 1, factor=3)) == 25 * 64 + 9 * 64 * 32 + 9 * 32 * 9
    deeper = weights_alone(build("espcn", 1, 17, 1, factor=3, depth=4)) - weights_alone(
        build("espcn", 1, 17, 1, factor=3)
    )
    assert deeper == 4 * 2 * 9 * 64**2


def test_the_channels_of_the_last_map_are_the_pixels_of_the_large_image() -> None:
    """Equation 4: pixel (y, x) of channel c comes from (y // r, x // r) of channel c r² + (y % r) r + x % r."""
    torch.manual_seed(0)
    net = build("espcn", 2, 5, 2, factor=3).eval()
    x = torch.randn(1, 2, 4, 5)
    with torch.no_grad():
        small, out = net.pixels(net.features(x))[0], net(x)[0]
    for c in range(2):
        for y in range(12):
            for column in range(15):
                assert out[c, y, column] == small[c * 9 + (y % 3) * 3 + column % 3, y // 3, column // 3]


@pytest.mark.parametrize("name", ["srcnn", "espcn"])
@pytest.mark.parametrize("factor", [1, 2, 4])
def test_with_residual_a_network_that_says_nothing_gives_the_bicubic_enlargement(name: str, factor: int) -> None:
    net = build(name, 3, 9, 3, factor=factor, residual=True)
    last = net.reconstruction if name == "srcnn" else net.pixels
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    x = torch.rand(2, 3, 9, 7)
    expected = x if factor == 1 else F.interpolate(x, size=(9 * factor, 7 * factor), mode="bicubic")
    assert torch.equal(net(x), expected)


def test_a_few_steps_bring_the_answer_nearer_than_bicubic() -> None:
    """Stripes two pixels wide in each direction, which bicubic interpolation blurs."""
    torch.manual_seed(0)

    def clean(count: int) -> Tensor:
        frequency, phase = 0.6 + 0.8 * torch.rand(count, 2, 1), 6 * torch.rand(count, 2, 1)
        waves = torch.sin(frequency * torch.arange(24.0) + phase)
        return (0.5 + 0.25 * (waves[:, 0, :, None] + waves[:, 1, None, :]))[:, None]

    net = build("espcn", 1, 12, 1, residual=True, activation="relu")
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)

    def errors(count: int) -> tuple[Tensor, Tensor]:
        y = clean(count)
        x = F.avg_pool2d(y, FACTOR)
        return F.mse_loss(net(x), y), F.mse_loss(F.interpolate(x, scale_factor=2, mode="bicubic"), y)

    for _ in range(60):
        optimizer.zero_grad()
        errors(16)[0].backward()
        optimizer.step()
    with torch.no_grad():
        own, bicubic = errors(64)
    assert own < bicubic / 2  # 3 dB


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        ("srcnn", {"kernel_sizes": [9, 5]}, "three convolutions with odd kernels"),
        ("espcn", {"kernel_sizes": [5, 4, 3]}, "three convolutions with odd kernels"),
        ("srcnn", {"widths": [64]}, "two hidden maps"),
        ("espcn", {"residual": True}, "the image has 3 channels, the answer 1"),
    ],
)
def test_keys_that_do_not_fit_are_refused(name: str, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(CouloirError, match=said):
        build(name, 3, 16, 1, **keys)
