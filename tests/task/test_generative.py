"""Codes and noise by number: what is drawn for a sample does not depend on its batch, its process or its device."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from codes import Coder, Variational, described, reconstruction, standardised, vae
from scipy import stats
from torch import nn

from couloir.errors import CouloirError
from couloir.task.generative import CODES, NOISE, normal, uniform
from couloir.task.reconstruction import Reconstruction
from couloir.task.vae import Vae


def test_a_code_follows_from_its_number_and_the_seed_alone() -> None:
    task, numbers = vae(), torch.arange(6)
    whole = task.draw(numbers)
    torch.manual_seed(9)
    parts = torch.cat([task.draw(numbers[:1]), task.draw(numbers[1:4]), task.draw(numbers[4:])])
    assert torch.equal(parts, whole)
    assert torch.equal(task.draw(numbers[[4, 2]]), whole[[4, 2]])
    assert not torch.equal(task.draw(numbers, seed=1), whole)
    assert not torch.equal(normal(numbers, (3,), NOISE), whole), "the noise of a sample is not the code of a made one"
    state = torch.get_rng_state()
    task.draw(numbers)
    assert torch.equal(torch.get_rng_state(), state), "pictures move no generator of the training"


def test_drawn_codes_are_standard_normal_and_independent_between_numbers() -> None:
    codes = normal(torch.arange(4000), (3,), CODES).double()
    assert stats.kstest(codes.flatten().numpy(), "norm").pvalue > 0.01
    assert np.abs(np.corrcoef(codes[1:, 0], codes[:-1, 0])[0, 1]) < 0.05
    assert stats.kstest(uniform(torch.arange(4000), (2,), CODES).double().flatten().numpy(), "uniform").pvalue > 0.01


def test_pixels_are_the_images_before_they_were_standardised() -> None:
    pixels = torch.rand(2, 1, 4, 4)
    task = reconstruction()
    torch.testing.assert_close(task.pixels(standardised(pixels)), pixels)
    torch.testing.assert_close(task.standardised(pixels), standardised(pixels))
    rows = torch.randn(2, 5)
    assert torch.equal(reconstruction(Coder((5,), 2), described(None, 5)).pixels(rows), rows)


def test_a_network_or_images_that_the_task_cannot_use_are_named_before_training() -> None:
    data = described()
    data.example_batch = lambda count: {"x": torch.full((count, 1, 4, 4), 2.0)}
    with pytest.raises(CouloirError, match="asks the network Linear for code_size and encode and decode"):
        Reconstruction.check(nn.Linear(2, 2), None, data)
    Reconstruction.check(Coder((1, 4, 4), 3), None, data)
    with pytest.raises(CouloirError, match="samples of shape"):
        Reconstruction.check(Coder((1, 2, 8), 3), None, data)
    small = Coder((1, 4, 4), 3)
    small.code_size = 5
    with pytest.raises(CouloirError, match=r"takes from encode the codes, \(2, 5\) each"):
        Reconstruction.check(small, None, data)
    with pytest.raises(CouloirError, match=r"logarithms of the variances.*Coder gives Tensor \(2, 3\)"):
        Vae.check(Coder((1, 4, 4), 3), None, data)
    Vae.check(Variational((1, 4, 4), 3), None, data)
    several = Coder((1, 4, 4), 3)
    several.forward = lambda x: (x, x, x)  # type: ignore[method-assign]
    with pytest.raises(CouloirError, match="gives a tuple for samples"):
        Reconstruction.check(several, None, data)
    data.mean = data.std = None  # a data module of the user's own
    with pytest.raises(CouloirError, match=r"in \[0, 1\]"):
        Reconstruction.check(Coder((1, 4, 4), 3), None, data)
