"""The bound of a VAE and its parts, against SciPy, torch.distributions and a model whose likelihood is known."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from codes import Variational, reconstruction, standardised, vae
from scipy import stats
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from couloir.errors import CouloirError
from couloir.metric.latent import ActiveUnits
from couloir.task.vae import Posterior, Vae


def batch(count: int = 4) -> dict[str, Tensor]:
    torch.manual_seed(1)
    pixels = torch.rand(count, 1, 4, 4)
    return {"x": standardised(pixels), "label": torch.arange(count) % 2, "sample": torch.arange(count)}


def test_the_kl_divergence_is_the_closed_form_and_what_sampling_finds() -> None:
    torch.manual_seed(0)
    q = Posterior(torch.randn(3, 2), torch.randn(3, 2))
    ours, prior = Normal(q.mean, (0.5 * q.log_variance).exp()), Normal(0.0, 1.0)
    torch.testing.assert_close(q.divergences(), kl_divergence(ours, prior))
    z = q.at(torch.randn(20_000, 3, 2))
    torch.testing.assert_close((ours.log_prob(z) - prior.log_prob(z)).mean(dim=0), q.divergences(), atol=0.1, rtol=0.05)


@pytest.mark.parametrize("deviation", [0.3, None])
def test_a_gaussian_likelihood_is_a_density_in_nats(deviation: float | None) -> None:
    task = vae(likelihood="gaussian", deviation=deviation)
    if deviation is None:
        task.net.log_deviation.data.fill_(math.log(0.7))
    scores, pixels = torch.randn(2, 1, 4, 4), torch.rand(2, 1, 4, 4)
    means = scores.double().sigmoid().numpy()
    expected = -stats.norm(means, 0.7 if deviation is None else deviation).logpdf(pixels.double().numpy())
    np.testing.assert_allclose(task.surprise(scores, pixels).detach(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(task.surprise(scores, pixels, "sum").detach(), expected.sum(), rtol=1e-5)


def test_a_bernoulli_likelihood_is_that_of_scipy_and_the_cross_entropy_of_grey_levels() -> None:
    scores, binary, grey = torch.randn(2, 1, 4, 4), (torch.rand(2, 1, 4, 4) > 0.5).float(), torch.rand(2, 1, 4, 4)
    p = scores.double().sigmoid().numpy()
    expected = -stats.bernoulli(p).logpmf(binary.numpy())
    np.testing.assert_allclose(vae().surprise(scores, binary), expected, rtol=1e-5)
    entropy = -(grey.numpy() * np.log(p) + (1 - grey.numpy()) * np.log(1 - p))
    np.testing.assert_allclose(vae().surprise(scores, grey), entropy, rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_bound_is_the_sum_of_its_parts_over_pixels_and_units(training: bool) -> None:
    task, there = vae(beta=3.0).train(training), batch()
    with torch.no_grad():
        losses = task.compute(there).losses
        units = task.posterior(there["x"]).divergences()
    assert float(losses["neg_elbo"]) == pytest.approx(float(losses["reconstruction"] + losses["kl"]))
    assert float(losses["loss"]) == pytest.approx(float(losses["reconstruction"] + 3 * losses["kl"]))
    assert float(losses["kl"]) == pytest.approx(float(units.sum(dim=1).mean()))


def test_with_beta_zero_a_vae_is_an_autoencoder_with_noise() -> None:
    task, there = vae(beta=0.0), batch()
    plain = reconstruction(Variational((1, 4, 4), 3))
    torch.manual_seed(3)
    loss = task.compute(there).losses["loss"]
    loss.backward()
    torch.manual_seed(3)
    mean, log_variance = plain.net.encode(there["x"])
    scores = plain.net.decode(mean + torch.randn_like(mean) * (log_variance / 2).exp())
    pixels, p = plain.pixels(there["x"]), scores.sigmoid()
    expected = -(pixels * p.log() + (1 - pixels) * (1 - p).log()).sum() / len(pixels)
    expected.backward()
    torch.testing.assert_close(loss, expected)
    for (name, ours), other in zip(task.net.named_parameters(), plain.net.parameters(), strict=True):
        assert (ours.grad is None) == (other.grad is None), name
        if ours.grad is not None:
            torch.testing.assert_close(ours.grad, other.grad)


def test_free_bits_press_no_unit_below_them_and_leave_the_bound_as_it_is() -> None:
    there = batch()
    free_bits = float(vae().posterior(there["x"]).divergences().mean(dim=0).detach().median())
    task, plain = vae(free_bits=free_bits), vae()
    with torch.no_grad():
        torch.manual_seed(2)
        free = task.compute(there).losses
        torch.manual_seed(2)
        bound = plain.compute(there).losses
        units = task.posterior(there["x"]).divergences().mean(dim=0)
    assert float(free["neg_elbo"]) == float(bound["neg_elbo"])
    assert float(free["loss"] - free["reconstruction"]) == pytest.approx(
        float(units.clamp_min(free_bits).sum()), rel=1e-5
    )
    assert [int((units < free_bits).sum()), int((units > free_bits).sum())] == [1, 1], "both sides are looked at"


def test_the_warm_up_follows_from_the_epoch_and_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    task = vae(beta=4.0, warm_up_epochs=2)
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(batch_idx=0))
    trainer = SimpleNamespace(current_epoch=0, num_training_batches=10, fit_loop=loop)
    monkeypatch.setattr(Vae, "trainer", trainer)
    assert task.kl_factor == 0
    loop.epoch_loop.batch_idx, trainer.current_epoch = 5, 1
    assert task.kl_factor == pytest.approx(4 * 1.5 / 2)
    trainer.current_epoch = 7
    assert task.kl_factor == 4
    trainer.current_epoch = 0
    assert task.eval().kl_factor == 4, "what is measured does not change with the epoch"


class Linear(nn.Module):
    """x = w z + b + noise of one deviation, with the true posterior of z, or one that is a little off."""

    code_size = 2

    def __init__(self, off: float = 0.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.w = torch.randn(4, 2, generator=generator, dtype=torch.float64).float()
        self.off, self.deviation = off, 0.8

    def encode(self, x: Tensor) -> Any:
        # Orthogonal columns make the posterior independent by unit.
        norms = self.w.square().sum(dim=0)
        variance = 1 / (1 + norms / self.deviation**2)
        mean = x.flatten(1) @ self.w / self.deviation**2 * variance
        return mean + self.off, variance.log().expand_as(mean)

    def decode(self, codes: Tensor) -> Tensor:
        return (codes @ self.w.T).view(-1, 1, 2, 2)


@pytest.fixture
def linear(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A task whose pixels have the scores themselves as means, and log p(x) of some samples."""

    def made(off: float) -> Vae:
        net = Linear(off)
        net.w = torch.linalg.qr(net.w.double())[0].float() * torch.tensor([1.5, 0.7])
        task = vae(net, likelihood="gaussian", deviation=net.deviation)
        monkeypatch.setattr(task, "surprise", lambda scores, x, _="none": -Normal(scores, net.deviation).log_prob(x))
        return task.eval()

    return made


def test_the_importance_weighted_bound_of_a_solvable_model_is_its_likelihood(linear: Any) -> None:
    x = torch.randn(5, 1, 2, 2, generator=torch.Generator().manual_seed(4))
    numbers = torch.arange(5)
    exact = linear(0.0)
    w = exact.net.w.double().numpy()
    expected = -stats.multivariate_normal(cov=w @ w.T + 0.64 * np.eye(4)).logpdf(x.flatten(1).double().numpy())
    np.testing.assert_allclose(exact.bound(x, exact.posterior(x), numbers, 3), expected, rtol=1e-4)
    off = linear(0.3)
    posterior = off.posterior(x)
    bounds = [off.bound(x, posterior, numbers, count) for count in (1, 20, 4000)]
    assert [float(bound.mean()) for bound in bounds] == sorted((float(bound.mean()) for bound in bounds), reverse=True)
    np.testing.assert_allclose(bounds[-1], expected, atol=0.05)
    copies = x.repeat(2000, 1, 1, 1)
    posterior, numbers = off.posterior(copies), torch.arange(len(copies))
    many = off.bound(copies, posterior, numbers, 1).view(2000, 5).mean(dim=0)
    scores = off.net.decode(posterior.at(torch.randn_like(posterior.mean)))
    elbo = off.surprise(scores, copies).flatten(1).sum(dim=1) + posterior.divergences().sum(dim=1)
    torch.testing.assert_close(many.float(), elbo.view(2000, 5).mean(dim=0), atol=0.1, rtol=0.02)


def test_the_bound_does_not_depend_on_how_many_codes_are_decoded_at_a_time(
    linear: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, x, numbers = linear(0.5), torch.randn(5, 1, 2, 2), torch.arange(5)
    whole = task.bound(x, task.posterior(x), numbers, 6)
    for decoded in (4, 28, 60):
        monkeypatch.setattr("couloir.task.vae.DECODED", decoded)
        torch.testing.assert_close(task.bound(x, task.posterior(x), numbers, 6), whole)


def test_binary_pixels_are_drawn_anew_in_training_and_are_a_sample_s_own_afterwards() -> None:
    task, grey = vae(binarise="dynamic"), torch.full((200, 1, 4, 4), 0.3)
    drawn, numbers = task.binary(grey, None), torch.arange(200)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(task.binary(grey, None), drawn)
    whole = task.binary(grey, numbers)
    assert float(whole.mean()) == pytest.approx(0.3, abs=0.03)
    assert torch.equal(torch.cat([task.binary(grey[:7], numbers[:7]), task.binary(grey[7:], numbers[7:])]), whole)
    assert vae(binarise="threshold").binary(torch.tensor([0.49, 0.5]), None).tolist() == [0, 1]


def test_what_is_measured_does_not_depend_on_the_batch_and_moves_no_generator() -> None:
    task, there = vae(binarise="dynamic", importance_samples=3).eval(), batch(6)
    state = torch.get_rng_state()
    with torch.no_grad():
        whole = task.compute(there)
        parts = [task.compute({name: x[at] for name, x in there.items()}) for at in (slice(0, 2), slice(2, 6))]
    assert torch.equal(torch.get_rng_state(), state)
    for place, tensor in enumerate(whole.tensors):
        torch.testing.assert_close(torch.cat([part.tensors[place] for part in parts]), tensor)
    for name in ("neg_elbo", "kl", "error"):
        joined = torch.cat([part.outputs.each[name] for part in parts])
        torch.testing.assert_close(joined, whole.outputs.each[name])
    _, bound, made, real = whole.tensors
    assert bound.shape == (6, 1)
    assert made.shape == real.shape == (6, 1, 4, 4)
    torch.testing.assert_close(made, task.make(task.draw(there["sample"])))
    told = task.tabled(there, whole)
    assert list(told) == ["class", "neg_elbo", "reconstruction", "kl", "error", "code"]
    torch.testing.assert_close(told["error"], (task.net(task.standardised(whole.outputs.given)) - whole.outputs.given)
                               .square().flatten(1).mean(dim=1))  # fmt: skip


def test_active_units_are_those_whose_mean_varies_over_the_split() -> None:
    means = torch.randn(200, 3) * torch.tensor([1.0, 0.12, 0.05]) + torch.tensor([0.0, 50.0, -3.0])
    metric = ActiveUnits(3)
    for part in means.split(33):
        metric.update(part)
    assert float(metric.compute()["active_units"]) == int((means.double().numpy().var(axis=0) > 0.01).sum()) == 2


def test_keys_of_the_other_likelihood_are_refused() -> None:
    with pytest.raises(CouloirError, match="of grey ones"):
        vae(likelihood="gaussian", binarise="threshold")
    with pytest.raises(CouloirError, match=r"task.deviation=0\.2 is of"):
        vae(deviation=0.2)
    net = Variational((1, 4, 4), 3)
    del net.log_deviation
    with pytest.raises(CouloirError, match="no parameter log_deviation"):
        vae(net, likelihood="gaussian", deviation=None)
