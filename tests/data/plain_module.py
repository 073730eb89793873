"""A LightningDataModule as Lightning's documentation shows one: it knows nothing of Couloir."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, random_split


class Blobs(Dataset[tuple[Tensor, int]]):
    """Points around three centres; training shakes them, in whatever generator of random numbers is asked."""

    def __init__(self, count: int, shaken: bool) -> None:
        generator = np.random.default_rng(0)
        self.labels = np.arange(count) % 3
        self.points = (generator.normal(size=(count, 2)) * 0.3 + self.labels[:, None]).astype(np.float32)
        self.shaken = shaken

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        point = torch.from_numpy(self.points[index])
        if self.shaken:
            point = point + 0.01 * (torch.randn(2) + np.random.normal() + random.random())
        return point, int(self.labels[index])


class BlobsModule(LightningDataModule):
    def __init__(self, batch_size: int = 16, workers: int = 0, named: bool = False) -> None:
        super().__init__()
        self.batch_size, self.workers, self.named = batch_size, workers, named

    def setup(self, stage: str) -> None:
        if stage == "fit":
            whole = Blobs(180, shaken=True)
            self.train, self.val = random_split(whole, [150, 30], generator=torch.Generator().manual_seed(1))
        if stage == "test":
            self.test = Blobs(60, shaken=False)

    def _loader(self, data: Any, shuffle: bool = False) -> DataLoader[Any]:
        collate = self._by_name if self.named else None
        return DataLoader(data, self.batch_size, shuffle=shuffle, num_workers=self.workers, collate_fn=collate)

    def _by_name(self, samples: list[tuple[Tensor, int]]) -> dict[str, Tensor]:
        points, labels = zip(*samples, strict=True)
        return {"point": torch.stack(points), "kind": torch.tensor(labels), "weight": torch.ones(len(points))}

    def train_dataloader(self) -> DataLoader[Any]:
        return self._loader(self.train, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader(self.val)

    def test_dataloader(self) -> DataLoader[Any]:
        return self._loader(self.test)


class ScaledModule(BlobsModule):
    """A module with a hook of its own."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        assert self.trainer is not None
        return {**batch, "point": 2 * batch["point"]}


YAML = """# Points around three centres, from a data module of my own.
# Source: my own.
defaults:
  - override /model@_global_.model: mlp
  - _self_
_target_: plain_module.BlobsModule
task: classification
fields: {point: row, kind: label}
channels: 2
image_size: null
num_classes: 3
batch_size: 16  # int >= 1; samples a step
workers: 0
named: false
"""
