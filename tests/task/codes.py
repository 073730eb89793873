"""Small networks with codes, data that is described and not there, and tasks of both."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from couloir.loss.regression import MeanSquaredError
from couloir.task.reconstruction import Reconstruction
from couloir.task.vae import Vae

MEAN, STD = 0.3, 0.4


class Coder(nn.Module):
    """Linear maps between samples and codes."""

    def __init__(self, shape: tuple[int, ...], code_size: int, sigmoid: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.shape, self.code_size, self.sigmoid = shape, code_size, sigmoid
        numbers = int(torch.tensor(shape).prod())
        self.encoder, self.decoder = nn.Linear(numbers, code_size), nn.Linear(code_size, numbers)

    def encode(self, x: Tensor) -> Tensor:
        codes: Tensor = self.encoder(x.flatten(1))
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        found: Tensor = self.decoder(codes).view(-1, *self.shape)
        return found.sigmoid() if self.sigmoid else found

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class Variational(Coder):
    """The same with a distribution of codes, and scores instead of pixels."""

    def __init__(self, shape: tuple[int, ...], code_size: int) -> None:
        super().__init__(shape, code_size, sigmoid=False)
        self.spread = nn.Linear(self.encoder.in_features, code_size)
        self.log_deviation = nn.Parameter(torch.zeros(()))

    def encode(self, x: Tensor) -> Any:
        return self.encoder(x.flatten(1)), self.spread(x.flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x)[0]).sigmoid()


def described(image_size: int | None = 4, channels: int = 1) -> Any:
    """What a task asks of data, of images or of rows of `channels` columns."""
    kind = "row" if image_size is None else "image"
    return SimpleNamespace(
        fields={"x": kind, "label": "label"}, image_size=image_size, channels=channels, batch_size=4, num_classes=2,
        classes=["a", "b"], target_offset=0.0, target_scale=1.0, mean=[MEAN] * channels, std=[STD] * channels,
    )  # fmt: skip


def standardised(pixels: Tensor) -> Tensor:
    return (pixels - MEAN) / STD


def reconstruction(net: nn.Module | None = None, data: Any = None, **keys: Any) -> Reconstruction:
    made: dict[str, Any] = {
        "corruption": "none", "amount": None, "sparsity": 0.0, "sparsity_kind": "l1", "sparsity_target": 0.05,
        "loss": MeanSquaredError(), "make_optimizer": None, "make_scheduler": None,
    }  # fmt: skip
    return Reconstruction(**{**made, "net": net or Coder((1, 4, 4), 3), "data": data or described(), **keys})


def vae(net: nn.Module | None = None, **keys: Any) -> Vae:
    made: dict[str, Any] = {
        "likelihood": "bernoulli", "deviation": 1.0, "binarise": "none", "beta": 1.0, "warm_up_epochs": 0,
        "free_bits": 0.0, "importance_samples": None, "loss": None, "make_optimizer": None, "make_scheduler": None,
    }  # fmt: skip
    return Vae(**{**made, "net": net or Variational((1, 4, 4), 3), "data": described(), **keys})
