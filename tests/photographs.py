"""Folders of small photographs, for the tests of what reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from couloir.augmentation.geometry import RandomResizedCrop
from couloir.data.images import image_folder
from couloir.data.samples import Samples
from pairs import pair


def smooth(width: int, height: int, seed: int) -> Image.Image:
    """A picture without sharp edges, on which two resamplings agree."""
    small = np.random.default_rng(seed).integers(256, size=(5, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def make_photographs(root: Path, train: int = 10, other: int = 4) -> Path:
    """`root/train|val|test/a|b/*.jpg`, upright and across."""
    for split, count in (("train", train), ("val", other), ("test", other)):
        for number in range(count):
            folder = root / split / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            sides = (75, 50) if number % 3 else (50, 61)
            smooth(*sides, seed=1000 * len(split) + number).save(folder / f"{number:03}.jpg", quality=95)
    return root


def photograph_samples(root: Path, **keys: Any) -> Samples:
    """The folder, ready, with random windows."""
    settings: dict[str, Any] = {
        "memory_budget": 0.0, "task": "classification", "channels": 3, "image_size": 24, "num_classes": 2,
        "batch_size": 4, "workers": 0, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4],
    }  # fmt: skip
    settings["augmentation"] = RandomResizedCrop([0.1, 1.0], [0.75, 1.333], 0.5)
    samples = image_folder(str(root), **{**settings, **keys})
    samples.setup()
    return samples


def epochs(samples: Samples, count: int = 2) -> Tensor:
    """All training inputs of some epochs, in their order, and all validation inputs."""
    loader = samples.train_dataloader()
    batches = [x for _ in range(count) for x, _ in map(pair, loader)]
    inputs = torch.cat([*batches, *(x for x, _ in map(pair, samples.val_dataloader()))])
    samples.teardown("fit")  # the garbage collector would wait for the workers in a later test
    return inputs
