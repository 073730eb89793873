"""Generators and discriminators have their papers' layers and first weights, and are told classes if asked to."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import couloir
from couloir.errors import CouloirError
from couloir.initializer.lsuv import lsuv
from couloir.initializer.orthogonal import orthogonal
from couloir.initializer.spread import normal
from couloir.model.gan import Adversaries, dcgan, gan_mlp
from networks import build

DCGAN_64 = (3_576_704, 2_765_568)
"""Generator and discriminator of PyTorch's example `dcgan` for 64 pixels and three channels, without any biases."""


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def small(**keys: object) -> Adversaries:
    torch.manual_seed(0)
    return dcgan(1, 16, 3, width=4, code_size=5, **keys)  # type: ignore[arg-type]


def test_dcgan_for_64_pixels_has_the_parameters_of_the_common_code() -> None:
    with torch.device("meta"):
        net = build("dcgan", 3, 64)
    assert parameters(net.generator) == DCGAN_64[0] + 3, "a bias a channel of the image"
    assert parameters(net.discriminator) == DCGAN_64[1] + 64 + 1, "biases where no normalisation follows"


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 28), (1, 32), (3, 32), (1, 64), (3, 64)])
def test_adversaries_have_the_parameters_counted_by_hand(channels: int, size: int) -> None:
    side = {28: 7, 32: 4, 64: 4}[size]
    widths = [channels, *(64 * 2**step for step in range(round(math.log2(size / side))))]
    kernels = 16 * sum(one * other for one, other in itertools.pairwise(widths))
    flat = widths[-1] * side**2
    n, hidden = channels * size**2, [256, 512, 1024]
    inner = sum(one * other + other for one, other in itertools.pairwise(hidden))
    with torch.device("meta"):
        net = build("dcgan", channels, size)
        assert parameters(net.generator) == 100 * flat + kernels + 2 * sum(widths[1:]) + channels
        assert parameters(net.discriminator) == kernels + 64 + 2 * sum(widths[2:]) + flat + 1
        told = build("dcgan", channels, size, classes=10, conditional=True)
        assert parameters(told.generator) - parameters(net.generator) == 100 * flat + 10 * 100
        assert parameters(told.discriminator) - parameters(net.discriminator) == 10 * flat
        dense = build("gan_mlp", channels, size)
        assert parameters(dense.generator) == 256 * 101 + inner + 1025 * n
        backwards = sum(one * other + other for one, other in itertools.pairwise(reversed(hidden)))
        assert parameters(dense.discriminator) == 1024 * (n + 1) + backwards + 257
        for each in (net, told, dense):
            codes, labels = torch.zeros(2, 100), torch.zeros(2, dtype=torch.int64)
            made = each.generator(codes, labels if each.num_classes else None)
            assert made.shape == (2, channels, size, size)
            assert each.discriminator(made, labels if each.num_classes else None).shape == (2,)


def test_the_papers_gan_for_mnist_has_maxout_units_and_their_dropout() -> None:
    """Goodfellow et al., 2014: 1200-1200 ReLUs, and 240-240 maxout units of 5 pieces."""
    keys = {"hidden": [1200, 1200], "discriminator_hidden": [240, 240], "activation": "maxout", "maxout_pieces": 5}
    with torch.device("meta"):
        net = build("gan_mlp", 1, 28, dropout=0.5, **keys)
    assert parameters(net.generator) == 1200 * 101 + 1200 * 1201 + 784 * 1201
    assert parameters(net.discriminator) == 5 * 240 * 785 + 5 * 240 * 241 + 241
    assert [type(module).__name__ for module in net.discriminator.layers] == ["Flatten", *["Maxout", "Dropout"] * 2]
    assert {type(module).__name__ for module in net.generator.layers} == {"Linear", "ReLU", "Tanh", "Unflatten"}


def test_dcgan_has_the_layers_of_the_paper() -> None:
    net = small()
    assert [type(module).__name__ for module in net.generator.layers] == [
        "Linear", "Unflatten", "BatchNorm2d", "ReLU", "ConvTranspose2d", "BatchNorm2d", "ReLU", "ConvTranspose2d",
        "Tanh",
    ]  # fmt: skip
    assert [type(module).__name__ for module in net.discriminator.layers] == [
        "Conv2d", "LeakyReLU", "Conv2d", "BatchNorm2d", "LeakyReLU", "Flatten",
    ]  # fmt: skip
    assert {module.negative_slope for module in net.modules() if isinstance(module, nn.LeakyReLU)} == {0.2}
    assert not any(isinstance(m, nn.BatchNorm2d) for m in small(discriminator_batch_norm=False).discriminator.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in small(batch_norm=False).generator.modules())


def test_dcgan_begins_with_the_deviations_of_the_paper() -> None:
    torch.manual_seed(0)
    net = build("dcgan", 3, 32)
    for module in net.requires_grad_(False).modules():
        if isinstance(module, nn.BatchNorm2d):
            assert float(module.weight.mean()) == pytest.approx(1, abs=0.02)
            assert float(module.weight.std()) == pytest.approx(0.02, rel=0.4)
        elif isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            count = module.weight.numel()
            assert float(module.weight.mean()) == pytest.approx(0, abs=5 * 0.02 / math.sqrt(count))
            assert float(module.weight.std()) == pytest.approx(0.02, rel=4 / math.sqrt(2 * count))
        else:
            continue
        assert module.bias is None or not module.bias.any()


@pytest.mark.parametrize("name", ["gan_mlp", "dcgan"])
@pytest.mark.parametrize("conditional", [False, True])
def test_gradients_reach_all_of_both_networks_and_images_are_within_their_range(name: str, conditional: bool) -> None:
    torch.manual_seed(0)
    net = build(name, 3, [16, 24], classes=3, conditional=conditional)
    labels = torch.tensor([0, 1, 2, 0]) if conditional else None
    made = net.generator(torch.randn(4, 100), labels)
    assert made.shape == (4, 3, 16, 24)
    assert -1 < made.min() < 0 < made.max() < 1
    net.discriminator(made, labels).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    assert net.averages == ("generator.",)
    assert net.num_classes == (3 if conditional else None)


def test_classes_change_what_is_made_and_what_it_is_scored() -> None:
    """Miyato and Koyama, 2018: a class adds the inner product of its vector and the last features to the score."""
    net = small(conditional=True).eval()
    codes = torch.randn(3, 5)
    classes = torch.tensor([0, 1, 2])
    assert not torch.allclose(net.generator(codes, classes), net.generator(codes, classes.flip(0)))
    images = torch.randn(3, 1, 16, 16)
    found = net.discriminator.layers(images).detach().numpy()
    assert net.discriminator.labels is not None
    vectors = net.discriminator.labels.weight.detach().numpy()
    expected = net.discriminator.score(net.discriminator.layers(images))[:, 0].detach().numpy() + (vectors * found).sum(
        1
    )
    np.testing.assert_allclose(net.discriminator(images, classes).detach().numpy(), expected, rtol=1e-4, atol=1e-6)


def spectra(net: Adversaries) -> list[float]:
    """The largest singular value of each weight of the discriminator, its outputs against all else."""
    weights = [module.weight for module in net.discriminator.modules() if hasattr(module, "parametrizations")]
    return [float(np.linalg.svd(weight.detach().flatten(1).numpy(), compute_uv=False)[0]) for weight in weights]


def trained(net: Adversaries, steps: int) -> Adversaries:
    """A few steps of both networks on noise."""
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(steps):
        labels = None if net.num_classes is None else torch.zeros(8, dtype=torch.int64)
        scores: Tensor = net.discriminator(net.generator(torch.randn(8, net.code_size), labels), labels)
        optimizer.zero_grad()
        scores.square().mean().backward()
        optimizer.step()
    return net


@pytest.mark.parametrize("name", ["dcgan", "gan_mlp"])
def test_spectral_norm_keeps_the_largest_singular_value_of_each_layer_at_one(name: str) -> None:
    torch.manual_seed(0)
    keys = {"width": 4} if name == "dcgan" else {"hidden": [8, 16], "activation": "maxout"}
    net = build(name, 1, 16, classes=3, spectral_norm=True, conditional=True, code_size=5, **keys)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in net.discriminator.modules())
    assert len(spectra(net)) == 4
    with torch.no_grad():
        for _ in range(60):  # the power iteration takes a step with each pass
            net.discriminator(torch.zeros(1, 1, 16, 16), torch.zeros(1, dtype=torch.int64))
    assert spectra(net) == pytest.approx([1.0] * 4, rel=1e-2)
    assert all(not hasattr(module, "parametrizations") for module in net.generator.modules())


def test_a_discriminator_goes_on_to_the_bit_from_its_state_dict(tmp_path: Path) -> None:
    net = trained(small(spectral_norm=True, conditional=True), 3)
    assert sum(name.endswith(("_u", "_v")) for name in net.state_dict()) == 2 * len(spectra(net))
    torch.save(net.state_dict(), tmp_path / "net.pt")
    other = small(spectral_norm=True, conditional=True)
    other.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    twin = copy.deepcopy(net)
    for each in (net, other, twin):
        torch.manual_seed(1)
        trained(each, 2)
    for each in (other, twin):
        assert all(torch.equal(value, each.state_dict()[name]) for name, value in net.state_dict().items())


def test_initializers_set_the_weight_that_spectral_norm_divides() -> None:
    net = small(spectral_norm=True)
    normal(net, std=0.3)
    convolution = net.discriminator.layers[2]
    original = convolution.parametrizations.weight.original.detach()
    assert float(original.std()) == pytest.approx(0.3, rel=0.2)
    largest = np.linalg.svd(original.flatten(1).numpy(), compute_uv=False)[0]
    net.eval()
    np.testing.assert_allclose(convolution.weight.detach().numpy(), original.numpy() / largest, rtol=0.02, atol=1e-4)
    orthogonal(net)
    rows = convolution.parametrizations.weight.original.detach().flatten(1).numpy()
    np.testing.assert_allclose(rows @ rows.T, np.eye(len(rows)), atol=1e-5)
    with pytest.raises(CouloirError, match="computed from other parameters"):
        lsuv(net)


def test_a_gan_brings_its_optimizer_and_the_prompt_has_the_last_word() -> None:
    cfg = couloir.compose(["model=dcgan", "data=mnist"]).cfg
    assert (cfg.optimizer.lr, list(cfg.optimizer.betas)) == (0.0002, [0.5, 0.999])
    assert couloir.compose(["model=gan_mlp", "data=mnist", "optimizer.lr=0.001"]).cfg.optimizer.lr == 0.001
    named = couloir.compose(["model=gan_mlp", "data=mnist", "optimizer=adam"]).cfg.optimizer
    assert (named.lr, list(named.betas)) == (0.002, [0.9, 0.999])


def test_a_recipe_with_a_gan_may_bring_another_optimizer(tmp_path: Path) -> None:
    recipe = "# @package _global_\n# Mine.\ndefaults:\n  - override /data: mnist\n  - override /model: dcgan\n"
    (tmp_path / "plain.yaml").write_text(recipe + "  - _self_\nmodel:\n  width: 8\n")
    (tmp_path / "other.yaml").write_text(recipe + "  - override /optimizer: rmsprop\n  - _self_\nmodel:\n  width: 8\n")
    assert couloir.compose([f"experiment={tmp_path / 'plain.yaml'}"]).cfg.optimizer.betas == [0.5, 0.999]
    assert "RMSprop" in str(couloir.compose([f"experiment={tmp_path / 'other.yaml'}"]).cfg.optimizer).replace(
        "rms", "RMS"
    )


@pytest.mark.parametrize("choice", [gan_mlp, dcgan])
def test_a_class_is_as_long_as_a_one_hot_vector_so_that_it_does_not_drown_the_code(
    choice: Callable[..., Adversaries],
) -> None:
    torch.manual_seed(0)
    keys: dict[str, object] = {"hidden": [16]} if choice is gan_mlp else {"width": 4}
    net = choice(channels=1, image_size=28, num_classes=50, conditional=True, **keys)
    assert net.generator.labels is not None
    assert net.generator.labels.weight.norm(dim=1).mean().item() == pytest.approx(1.0, abs=0.05)
