"""Samples rebuilt out of their codes: losses, corruption, sparsity and numbers against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from codes import Coder, described, reconstruction, standardised

from couloir.errors import CouloirError
from couloir.loss.classification import BinaryCrossEntropy, CrossEntropy
from couloir.task.reconstruction import Reconstruction


def batch(count: int = 4) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    pixels = torch.rand(count, 1, 4, 4)
    return {
        "x": standardised(pixels),
        "label": torch.arange(count) % 2,
        "sample": torch.arange(count),
        "pixels": pixels,
    }


def test_mse_and_psnr_are_those_of_pixels_and_not_of_standardised_images() -> None:
    task, there = reconstruction().eval(), batch()
    with torch.no_grad():
        step = task.compute(there)
        rebuilt = task.net(there["x"]).double().numpy()
    errors = ((rebuilt - there["pixels"].double().numpy()) ** 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(step.losses["loss"], errors.mean(), rtol=1e-5)
    mse, psnr, _ = step.tensors[0].double().numpy().T
    np.testing.assert_allclose(mse, errors, rtol=1e-5)
    np.testing.assert_allclose(psnr, -10 * np.log10(errors), rtol=1e-5)
    told = task.tabled(there, step)
    assert torch.equal(told["class"], there["label"])
    torch.testing.assert_close(told["code"], task.net.encode(there["x"]))
    np.testing.assert_allclose(told["error"], errors, rtol=1e-5)


@pytest.mark.parametrize("kind", ["gaussian", "masking", "salt_and_pepper"])
def test_corruption_is_new_in_each_training_step_and_a_sample_s_own_afterwards(kind: str) -> None:
    task, clean = reconstruction(corruption=kind), batch()["pixels"]
    assert not torch.equal(task.corrupted(clean, None), task.corrupted(clean, None))
    numbers = torch.arange(4)
    state = torch.get_rng_state()
    whole = task.corrupted(clean, numbers)
    assert torch.equal(
        torch.cat([task.corrupted(clean[:1], numbers[:1]), task.corrupted(clean[1:], numbers[1:])]), whole
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert float(whole.min()) >= 0
    assert float(whole.max()) <= 1
    assert not torch.equal(whole, clean)
    there = batch()
    step = task.eval().compute(there)
    assert torch.equal(step.outputs.given, task.corrupted(task.pixels(there["x"]), numbers))
    loss = (task.net(task.standardised(step.outputs.given)) - task.pixels(there["x"])).square().mean()
    torch.testing.assert_close(step.losses["loss"], loss, msg="it is compared with the clean image")
    noise = (step.outputs.given - task.pixels(there["x"])).square().flatten(1).mean(dim=1)
    torch.testing.assert_close(step.tensors[0][:, 3], -10 * noise.log10())


def test_masking_blackens_a_pixel_in_all_channels_and_gaussian_noise_of_rows_is_not_cut_off() -> None:
    clean = torch.full((3, 3, 40, 40), 0.5)
    masked = reconstruction(corruption="masking", amount=0.3).corrupted(clean, torch.arange(3))
    assert (masked == masked[:, :1]).all()
    assert set(masked.unique().tolist()) == {0.0, 0.5}
    assert float((masked == 0).float().mean()) == pytest.approx(0.3, abs=0.02)
    rows = reconstruction(Coder((5,), 2), described(None, 5), corruption="gaussian", amount=2.0)
    noise = rows.corrupted(torch.zeros(400, 5), None)
    assert float(noise.std()) == pytest.approx(2.0, rel=0.1)
    assert float(noise.min()) < -1


def test_the_sparsity_of_a_batch_is_ng_s_sum_over_units() -> None:
    codes = torch.tensor([[0.1, 0.9], [0.3, 0.5]])
    task = reconstruction(sparsity=2.0, sparsity_kind="kl", sparsity_target=0.05)
    mean, target = np.array([0.2, 0.7]), 0.05
    expected = (target * np.log(target / mean) + (1 - target) * np.log((1 - target) / (1 - mean))).sum()
    np.testing.assert_allclose(task.penalty(codes), expected, rtol=1e-6)
    assert float(reconstruction(sparsity=1.0).penalty(-codes)) == pytest.approx(0.9), "l1: a code's sum, mean over both"
    there = batch()
    plain, sparse = reconstruction(), reconstruction(sparsity=2.0)
    added = sparse.compute(there).losses["loss"] - plain.compute(there).losses["loss"]
    torch.testing.assert_close(added, 2 * plain.net.encode(there["x"]).abs().sum(dim=1).mean())


def test_a_row_has_an_error_and_no_psnr() -> None:
    task = reconstruction(Coder((5,), 2, sigmoid=False), described(None, 5)).eval()
    rows = torch.randn(3, 5)
    step = task.compute({"x": rows, "label": torch.zeros(3), "sample": torch.arange(3)})
    torch.testing.assert_close(step.tensors[0], (task.net(rows) - rows).square().mean(dim=1, keepdim=True))
    assert set(task.measures()["rebuilt"].names) == {"mse"}
    assert not task.seen


def test_losses_that_cannot_compare_samples_are_refused() -> None:
    data = described()
    data.example_batch = lambda count: {"x": standardised(torch.rand(count, 1, 4, 4))}
    Reconstruction.check(Coder((1, 4, 4), 3), BinaryCrossEntropy(), data)
    with pytest.raises(CouloirError, match="class scores"):
        Reconstruction.check(Coder((1, 4, 4), 3), CrossEntropy(), data)
    with pytest.raises(CouloirError, match=r"values in \[0, 1\]"):
        Reconstruction.check(Coder((1, 4, 4), 3, sigmoid=False), BinaryCrossEntropy(), data)
    with pytest.raises(CouloirError, match="no share"):
        reconstruction(corruption="masking", amount=1.5)


def test_keys_of_a_corruption_or_sparsity_that_is_not_there_are_refused_and_not_ignored() -> None:
    with pytest.raises(CouloirError, match=r"task.corruption=none leaves"):
        reconstruction(amount=0.5)
    with pytest.raises(CouloirError, match=r"with task.sparsity=0 they have none"):
        reconstruction(sparsity_kind="kl")
    with pytest.raises(CouloirError, match=r"task.sparsity_target=0\.1 is of"):
        reconstruction(sparsity=0.1, sparsity_target=0.1)
    reconstruction(corruption="masking", amount=0.2, sparsity=0.1, sparsity_kind="kl", sparsity_target=0.1)
