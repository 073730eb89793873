"""Two small tasks as a user would write them, each with its data and network: a map a sample, and two players."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import BinaryAccuracy

from couloir.config.fields import SAMPLE
from couloir.data.samples import Samples
from couloir.data.source import ArraySource, Loaded
from couloir.task.task import Step, Task


class Pixels(Task):
    """Which pixels are bright: a map of zeros and ones for each image."""

    def compute(self, batch: Any) -> Step:
        scores, y = self.net(batch[self.input])[:, 0], batch[self.target]
        fit = F.binary_cross_entropy_with_logits(scores, y.float())
        return Step({"loss": fit + 0.01 * scores.square().mean(), "fit": fit}, (scores.sigmoid(), y))

    parts = ("fit",)

    def measures(self) -> dict[str, Metric]:
        return {"pixel_accuracy": BinaryAccuracy(validate_args=False)}


class TwoPlayers(Task):
    """A maker of points and a judge of them, each with an optimizer of its own; there is no target."""

    parts = ("maker", "judge")

    def __init__(self, maker_lr: float, **keys: Any) -> None:
        super().__init__(**keys)
        self.automatic_optimization = False
        self.maker_lr = maker_lr

    def noise(self, batch: Any) -> Tensor:
        """The same for a sample in whatever process it is."""
        return torch.sin(batch[SAMPLE][:, None].float() * torch.tensor([1.7, 2.9], device=self.device))

    def losses(self, batch: Any) -> tuple[Tensor, Tensor]:
        made, seen = self.net.maker(self.noise(batch)), batch[self.input]
        judge = F.softplus(-self.net.judge(seen)).mean() + F.softplus(self.net.judge(made.detach())).mean()
        return F.softplus(-self.net.judge(made)).mean(), judge

    def compute(self, batch: Any) -> Step:
        maker, judge = self.losses(batch)
        return Step({"maker": maker, "judge": judge})

    def training_step(self, batch: Any, batch_idx: int) -> None:
        maker, judge = self.optimizers()
        step = self.compute(batch)
        self.note("train", batch, Step({name: loss.detach() for name, loss in step.losses.items()}))
        self.descend(batch, step.losses["judge"], judge)
        self.descend(batch, self.losses(batch)[0], maker)

    def configure_optimizers(self) -> Any:
        maker, judge = self.optimized(self.net.maker.parameters()), self.optimized(self.net.judge.parameters())
        for group in maker["optimizer"].param_groups:
            group["lr"] = self.maker_lr
        return [maker, judge]


def bright_spots(samples: int, **keys: Any) -> Samples:
    """Grey images with bright squares, and where these are."""

    def load() -> Loaded:
        rng = np.random.default_rng(keys["seed"])
        images = rng.integers(0, 120, size=(samples, 1, 8, 8), dtype=np.uint8)
        maps = rng.random((samples, 8, 8)) < 0.3
        images[:, 0][maps] += 120
        return Loaded(ArraySource(images, maps.astype(np.int64)))

    return Samples(load, **keys)


def ring(samples: int, **keys: Any) -> Samples:
    """Points on a circle, and nothing else."""

    def load() -> Loaded:
        angles = np.random.default_rng(keys["seed"]).uniform(0, 2 * np.pi, samples)
        points = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
        return Loaded(ArraySource(points, np.zeros(samples)))

    return Samples(load, **keys)


def pixel_net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))


class Players(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.maker = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
        self.judge = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.judge(x)


KEYS = """
channels: {channels}
image_size: {image_size}
num_classes: 1
batch_size: 8
val_fraction: 0.2
test_fraction: 0.2
subset: null
seed: ${{seed}}
workers: 0
standardize: true
mean: null
std: null
"""
FILES = {
    "task/pixels": "_target_: small_tasks.Pixels\n_partial_: true\nneeds: [map]\n"
    "metrics: [loss, fit, pixel_accuracy]\nmonitor: val/pixel_accuracy\n"
    "facts:\n  pixel_accuracy: {label: pixel accuracy, higher_is_better: true, bounds: [0, 1]}\n",
    "task/two_players": "_target_: small_tasks.TwoPlayers\n_partial_: true\nneeds: []\nmaker_lr: 0.02\n"
    "metrics: [loss, maker, judge]\nmonitor: val/loss\n",
    "model/pixel_net": "_target_: small_tasks.pixel_net\n",
    "model/players": "_target_: small_tasks.Players\n",
    "data/bright_spots": "_target_: small_tasks.bright_spots\nsamples: 60\ntask: pixels\n"
    "fields: {image: image, mask: map}\n" + KEYS.format(channels=1, image_size=8),
    "data/ring": "_target_: small_tasks.ring\nsamples: 60\ntask: two_players\n"
    "fields: {row: row}\n" + KEYS.format(channels=2, image_size="null"),
}


def write_configuration(folder: Path) -> None:
    """Write the YAML files below `folder/conf`."""
    for name, text in FILES.items():
        file = folder / "conf" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"# {name}, for tests.\n# Source: none.\n{text}")
