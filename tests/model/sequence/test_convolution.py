"""The stack of one-dimensional convolutions: its numbers, its lengths, and padding that changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from couloir.errors import CouloirError
from couloir.model.sequence.convolution import conv1d
from couloir.ragged import Padded


@pytest.mark.parametrize("answers", ["sequence", "horizon"])
@pytest.mark.parametrize("pool", ["last", "mean", "max"])
@pytest.mark.parametrize("keys", [{}, {"kernel_size": 4, "stride": 2, "pool_size": 3}, {"pool_size": 1}])
def test_padding_changes_no_number(keys, pool: str, answers: str) -> None:
    torch.manual_seed(0)
    net = conv1d(3, None, 2, answers=answers, horizon=2, widths=[4, 5], pool=pool, activation="tanh", **keys).double()
    samples = [torch.randn(length, 3).double() for length in (7, 1, 12, 2)]
    values, lengths = Padded.of(samples)
    together = net(Padded(values + 9.0 * ~Padded(values, lengths).mask()[..., None], lengths))  # nothing reads padding
    alone = torch.cat([net(sample[None]) for sample in samples])
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-6)


def test_a_stage_is_a_convolution_in_the_middle_and_the_largest_of_its_windows() -> None:
    torch.manual_seed(0)
    net = conv1d(1, None, 2, widths=[1], kernel_size=3, pool_size=2, pool="max")
    x = torch.randn(1, 5, 1)
    kernel, bias = (parameter.detach().numpy().reshape(-1) for parameter in net.stages[0].parameters())
    series = np.pad(x.numpy().reshape(-1), 1)
    steps = np.array([max(0.0, float(series[t : t + 3] @ kernel + bias[0])) for t in range(5)])
    pooled = [steps[:2].max(), steps[2:4].max(), steps[4]]
    torch.testing.assert_close(net(x), net.head.linear(torch.tensor([[max(pooled)]], dtype=torch.float32)))
    assert F.relu(net.stages[0](x.transpose(1, 2), None)[0]).flatten().tolist() == pytest.approx(pooled, abs=1e-6)


def test_what_sees_steps_behind_does_not_predict_them() -> None:
    with pytest.raises(CouloirError, match="both sides"):
        conv1d(None, 9, 9, answers="steps")
