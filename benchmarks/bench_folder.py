"""Photographs in folders: decoding, random windows and standardisation, against the usual data loader.

    python benchmarks/bench_folder.py [--images 2000] [--rounds 5]

Makes a folder of JPEGs of 500 x 375 pixels (crops of real photographs where COULOIR_DATA has them, smooth noise
otherwise) and measures, in turn: the usual way (torchvision's ImageFolder and transforms, rewritten here, in a
DataLoader with two workers), Couloir decoding, and Couloir reading its cache. Both sides give float32 batches
(128, 3, 224, 224) of random resized crops and mirrors, standardised, from warm files. Images a second are medians over
epochs; the JSON beside this file holds the same numbers.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import platform
import random
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from couloir.augmentation.geometry import RandomResizedCrop
from couloir.data.images import image_folder, list_images
from couloir.data.samples import Samples

WIDTH, HEIGHT, SIZE, BATCH, WORKERS = 500, 375, 224, 128, 2
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)


def photographs() -> list[Image.Image]:
    """What the JPEGs are cut from."""
    archive = Path(os.environ.get("COULOIR_DATA", "")) / "hymenoptera/hymenoptera.zip"
    if not archive.is_file():
        noise = np.random.default_rng(0)
        small = [noise.integers(256, size=(48, 64, 3), dtype=np.uint8) for _ in range(100)]
        return [Image.fromarray(pixels).resize((640, 480), Image.Resampling.BICUBIC) for pixels in small]
    found = []
    with zipfile.ZipFile(archive) as stream:
        for name in sorted(stream.namelist()):
            if name.endswith(".jpg"):
                found.append(Image.open(io.BytesIO(stream.read(name))).convert("RGB"))
    return found


def make_folder(root: Path, count: int) -> None:
    """`count` JPEGs of quality 90 in two classes, and four to validate and test on."""
    sources, draw = photographs(), random.Random(0)
    for number, split in enumerate(["train"] * count + ["val"] * 2 + ["test"] * 2):
        image = sources[number % len(sources)]
        whole = max(WIDTH / image.width, HEIGHT / image.height)
        factor = max(whole, min(whole * draw.uniform(1.0, 1.3), 1.0))
        sides = max(WIDTH, round(image.width * factor)), max(HEIGHT, round(image.height * factor))
        left, top = draw.randint(0, sides[0] - WIDTH), draw.randint(0, sides[1] - HEIGHT)
        cut = image.resize(sides, Image.Resampling.BICUBIC).crop((left, top, left + WIDTH, top + HEIGHT))
        folder = root / split / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        cut.save(folder / f"{number:06}.jpg", quality=90)


class Usual(Dataset[tuple[Tensor, int]]):
    """torchvision's ImageFolder with RandomResizedCrop, RandomHorizontalFlip, ToTensor and Normalize."""

    def __init__(self, root: Path) -> None:
        self.samples = list_images(root).splits["train"]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.samples[index]
        with path.open("rb") as stream:
            image = Image.open(stream).convert("RGB")
        top, left, height, width = self._window(image.height, image.width)
        image = image.crop((left, top, left + width, top + height)).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        if torch.rand(1) < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        x = torch.from_numpy(np.array(image, copy=True)).permute(2, 0, 1).contiguous().to(torch.float32).div(255)
        mean, std = torch.tensor(MEAN).view(-1, 1, 1), torch.tensor(STD).view(-1, 1, 1)
        return x.clone().sub_(mean).div_(std), label

    def _window(self, height: int, width: int) -> tuple[int, int, int, int]:
        for _ in range(10):
            area = height * width * torch.empty(1).uniform_(*SCALE).item()
            aspect = math.exp(torch.empty(1).uniform_(math.log(RATIO[0]), math.log(RATIO[1])).item())
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                top = int(torch.randint(0, height - h + 1, (1,)).item())
                return top, int(torch.randint(0, width - w + 1, (1,)).item()), h, w
        return 0, (width - height) // 2, height, height


def ours(root: Path, cache_dir: Path | None) -> Samples:
    """The same photographs, as `data=imagenet augmentation=imagenet` would load them."""
    samples = image_folder(
        str(root),
        0.0,
        cache=cache_dir is not None,
        cache_dir=str(cache_dir),
        task="classification",
        channels=3,
        image_size=SIZE,
        num_classes=2,
        batch_size=BATCH,
        workers=WORKERS,
        mean=MEAN,
        std=STD,
        augmentation=RandomResizedCrop(list(SCALE), list(RATIO), flip=0.5),
    )
    samples.setup()
    return samples


def images_per_second(batches: Iterable[Any], count: int) -> float:
    """One epoch."""
    start, seen = time.perf_counter(), 0
    for batch in batches:
        x = batch["image"] if isinstance(batch, dict) else batch[0]
        assert x.dtype == torch.float32
        assert x.shape[1:] == (3, SIZE, SIZE)
        seen += len(x)
    assert seen == count
    return count / (time.perf_counter() - start)


def main() -> None:
    """Measure the sides in turn, several times over, and print the medians and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    count = arguments.images
    with tempfile.TemporaryDirectory() as name:
        root, cache = Path(name) / "photographs", Path(name) / "cache"
        make_folder(root, count)
        usual = DataLoader(Usual(root), BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True)
        decoding, cached = ours(root, None).train_dataloader(), ours(root, cache).train_dataloader()
        sides: dict[str, Callable[[], Iterable[Any]]] = {
            "the usual DataLoader": lambda: usual,
            "couloir, decoding": lambda: decoding,
            "couloir, from the cache": lambda: cached,
        }
        filling = images_per_second(cached, count)
        rates: dict[str, list[float]] = {label: [] for label in sides}
        for _ in range(arguments.rounds + 1):
            for label, side in sides.items():
                rates[label].append(images_per_second(side(), count))
    medians = {label: statistics.median(values[1:]) for label, values in rates.items()}  # the first starts workers
    medians["couloir, decoding and filling the cache"] = filling
    for label, rate in medians.items():
        print(f"{rate:8,.0f} images/s  {label}")
    ratios = {label: medians[label] / medians["the usual DataLoader"] for label in list(sides)[1:]}
    report = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "workers": WORKERS,
        "images": count,
        "images_per_second": medians,
        "ratios": ratios,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n")
    for label, ratio in ratios.items():
        print(f"ratio: {label} / the usual DataLoader = {ratio:.2f}")


if __name__ == "__main__":
    main()
