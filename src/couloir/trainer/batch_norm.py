"""Batch normalisation over the samples of all processes, on the CPU; torch's own SyncBatchNorm takes only GPUs."""

from __future__ import annotations

from typing import cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from pytorch_lightning.plugins import LayerSync
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from couloir.layer_kinds import BatchNorm


class OverAllProcesses(nn.BatchNorm2d):
    """A batch normalisation whose mean and variance in training are those of all processes' samples together.

    Each process may have another number of samples. It stands for layers of one, two and three dimensions alike.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> the same shape, standardised per channel."""
        if not self.training:
            by_batch = self.running_mean is None
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, by_batch, eps=self.eps)
        given, x = x.dtype, x.float()  # sums in half precision would lose most of their digits
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1] + [1] * (x.ndim - 2)
        count = torch.tensor(x.numel() / x.shape[1], dtype=x.dtype)
        dist.all_reduce(count)
        # Two passes: the difference of mean square and squared mean would cancel.
        mean = _summed(x.sum(dim=axes)) / count
        centred = x - mean.view(shape)
        variance = _summed(centred.square().sum(dim=axes)) / count
        self._track(mean.detach(), variance.detach() * count / (count - 1).clamp_min(1))
        out = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.weight is not None:
            out = out * self.weight.view(shape) + (0 if self.bias is None else self.bias.view(shape))
        return out.to(given)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def _summed(values: Tensor) -> Tensor:
    """The sum over all processes, which gradients pass in the other direction."""
    return cast(Tensor, all_reduce(values))  # type: ignore[no-untyped-call]


class SyncOnCpu(LayerSync):
    """Lets the batch normalisations of a network look at all processes for the length of a training."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Change the layers' class: weights, buffers and their names stay."""
        for module in model.modules():
            if isinstance(module, BatchNorm):
                module.__dict__["class_when_alone"] = type(module)
                module.__class__ = OverAllProcesses
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        """Give the layers their own class back."""
        for module in model.modules():
            if isinstance(module, OverAllProcesses):
                module.__class__ = cast(type[OverAllProcesses], module.__dict__.pop("class_when_alone"))
        return model
