"""Photographs in folders: decoding, random windows and standardisation, against the usual data loader.

    python benchmarks/bench_folder.py [--kinds jpeg png large] [--images 1500] [--rounds 3]

Makes folders of files, from crops of real photographs where COULOIR_DATA has them and smooth noise otherwise: JPEGs
and PNGs of 500 x 375 pixels, and a few JPEGs of 4,000 x 3,000. Each is read, in turn, in the usual way (torchvision's
ImageFolder and transforms, rewritten here, in a DataLoader with two workers), by torchvision itself where it imports,
by Couloir decoding, by Couloir decoding and filling its cache, and by Couloir from its cache. All give float32 batches
(B, 3, 224, 224) of random resized crops and mirrors, standardised, from warm files. Images a second are medians over
epochs, and so are the seconds of the cores, workers' included, for 1,000 images. The epoch that fills the cache has the
start of its workers in it; the others' have started. It is measured once more with a disk that takes 150 MB/s: the call
that waits for the disk is made that slow. The JSON beside this file holds the same numbers.
"""

from __future__ import annotations

import argparse
import io
import math
import multiprocessing
import os
import random
import resource
import shutil
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
from measure import write_report

SIZE, WORKERS = 224, 2
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
DISTINCT = 12
"""Large photographs that are made; the others are copies."""


@dataclass(frozen=True)
class Kind:
    """Files of one kind.

    Attributes:
        words: what the table calls them.
        suffix: of their names.
        size: width and height.
        batch: images a batch.
        share: of the images that are asked for, how many are made.
    """

    words: str
    suffix: str
    size: tuple[int, int]
    batch: int
    share: float


KINDS = {
    "jpeg": Kind("JPEGs of 500 x 375", ".jpg", (500, 375), 128, 1.0),
    "png": Kind("PNGs of 500 x 375", ".png", (500, 375), 64, 1 / 3),
    "large": Kind("JPEGs of 4,000 x 3,000", ".jpg", (4000, 3000), 8, 1 / 24),
}
USUAL, TORCHVISION = "the usual DataLoader", "torchvision's ImageFolder and DataLoader"
DISK = 150.0
"""MB/s of the slow disk."""
SLOW = f"the same with a disk that takes {DISK:.0f} MB/s"
DECODING, FILLING, CACHED = "couloir, decoding", "couloir, decoding and filling the cache", "couloir, from the cache"


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


def make_folder(root: Path, count: int, kind: Kind) -> None:
    """`count` files in two classes, and four to validate and test on; JPEGs of quality 90."""
    sources, draw = photographs(), random.Random(0)
    width, height = kind.size
    made: list[Path] = []
    for number, split in enumerate(["train"] * count + ["val"] * 2 + ["test"] * 2):
        file = root / split / "ab"[number % 2] / f"{number:06}{kind.suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        if width > 1000 and number >= DISTINCT:
            shutil.copyfile(made[number % DISTINCT], file)
            continue
        image = sources[number % len(sources)]
        whole = max(width / image.width, height / image.height)
        factor = max(whole, min(whole * draw.uniform(1.0, 1.3), 1.0))
        sides = max(width, round(image.width * factor)), max(height, round(image.height * factor))
        left, top = draw.randint(0, sides[0] - width), draw.randint(0, sides[1] - height)
        cut = image.resize(sides, Image.Resampling.BICUBIC).crop((left, top, left + width, top + height))
        cut.save(file, **({"quality": 90} if kind.suffix == ".jpg" else {}))
        made.append(file)


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


def usual(root: Path, batch: int) -> DataLoader[Any]:
    """The usual way."""
    return DataLoader(Usual(root), batch, shuffle=True, num_workers=WORKERS, persistent_workers=WORKERS > 0)


def torchvisions(root: Path, batch: int) -> DataLoader[Any] | None:
    """torchvision's own way; None, and a line that says so, where it does not import."""
    try:
        from torchvision import datasets, transforms
    except (
        ImportError,
        RuntimeError,
        OSError,
        AttributeError,
    ) as error:  # a wheel for another torch ends in all of them
        print(f"torchvision is left out, since it does not import here: {error}")
        return None
    steps = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIZE, scale=SCALE, ratio=RATIO),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    found = datasets.ImageFolder(str(root / "train"), steps)
    return DataLoader(found, batch, shuffle=True, num_workers=WORKERS, persistent_workers=WORKERS > 0)


def ours(root: Path, batch: int, cache_dir: Path | None) -> Samples:
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
        batch_size=batch,
        workers=WORKERS,
        mean=MEAN,
        std=STD,
        augmentation=RandomResizedCrop(list(SCALE), list(RATIO), flip=0.5),
    )
    samples.setup()
    return samples


def seconds_of_cores() -> float:
    """Seconds that the cores have worked for this process and its children, those that still live included."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        total += used.ru_utime + used.ru_stime
    for child in multiprocessing.active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def epoch(batches: Iterable[Any], count: int) -> tuple[float, float]:
    """Images a second of one epoch, and seconds of the cores for 1,000 images."""
    start, worked, seen = time.perf_counter(), seconds_of_cores(), 0
    for batch in batches:
        x = batch["image"] if isinstance(batch, dict) else batch[0]
        assert x.dtype == torch.float32
        assert x.shape[1:] == (3, SIZE, SIZE)
        seen += len(x)
    assert seen == count
    rate = count / (time.perf_counter() - start)
    return rate, (seconds_of_cores() - worked) / count * 1000


@contextmanager
def disk_of(rate: float | None) -> Iterator[None]:
    """Have the calls that wait for the disk take as long as with one of so many MB/s; None: as long as they take.

    It is one disk for all processes that are forked meanwhile, and whatever is appended to the file goes to it.
    """
    if not rate:
        yield
        return
    wait, written, free = os.fdatasync, multiprocessing.Value("d", 0.0), multiprocessing.Value("d", 0.0)

    def slow(file: int) -> None:
        wait(file)
        with written.get_lock():
            size = os.fstat(file).st_size
            free.value = max(time.monotonic(), free.value) + max(0.0, size - written.value) / (rate * 1e6)
            written.value, until = size, free.value
        time.sleep(max(0.0, until - time.monotonic()))

    os.fdatasync = slow
    try:
        yield
    finally:
        os.fdatasync = wait


def filling(root: Path, batch: int, cache: Path, count: int, disk: float | None = None) -> tuple[float, float]:
    """The first epoch of a set without a cache, with the start of its workers."""
    with disk_of(disk):
        loader = ours(root, batch, cache).train_dataloader()
        try:
            return epoch(loader, count)
        finally:
            loader.close()
            shutil.rmtree(cache)


def measure(kind: Kind, count: int, rounds: int) -> dict[str, Any]:
    """All ways to read files of one kind, in turn, several times over: medians."""
    with tempfile.TemporaryDirectory() as name:
        root, cache = Path(name) / "photographs", Path(name) / "cache"
        make_folder(root, count, kind)
        theirs, own = usual(root, kind.batch), torchvisions(root, kind.batch)
        decoding, cached = (ours(root, kind.batch, place).train_dataloader() for place in (None, cache))
        sides: dict[str, Callable[[], tuple[float, float]]] = {
            USUAL: lambda: epoch(theirs, count),
            **({} if own is None else {TORCHVISION: lambda: epoch(own, count)}),
            DECODING: lambda: epoch(decoding, count),
            FILLING: lambda: filling(root, kind.batch, Path(name) / "fresh", count),
            SLOW: lambda: filling(root, kind.batch, Path(name) / "fresh", count, DISK),
            CACHED: lambda: epoch(cached, count),
        }
        found: dict[str, list[tuple[float, float]]] = {label: [] for label in sides}
        for _ in range(rounds + 1):
            for label, side in sides.items():
                found[label].append(side())
        for loader in (decoding, cached):
            loader.close()
    # The first round starts workers, and fills the cache.
    rates, seconds = (
        {label: statistics.median(one[place] for one in values[1:]) for label, values in found.items()}
        for place in (0, 1)
    )
    return {"images": count, "images_per_second": rates, "seconds_of_cores_for_1000_images": seconds}


def main() -> None:
    """Measure each kind of files, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--images", type=int, default=1500, help="JPEGs; of PNGs a third, of large JPEGs a 24th")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    report: dict[str, Any] = {"workers": WORKERS}
    for name in arguments.kinds:
        kind = KINDS[name]
        whole = max(1, round(arguments.images * kind.share / kind.batch))  # whole batches: all sides read all images
        numbers = measure(kind, whole * kind.batch, arguments.rounds)
        rates, seconds = numbers["images_per_second"], numbers["seconds_of_cores_for_1000_images"]
        numbers["ratios"] = {label: rate / rates[USUAL] for label, rate in rates.items()}
        report[name] = numbers
        print(f"{numbers['images']:,} {kind.words}")
        for label, rate in rates.items():
            print(
                f"{rate:8,.0f} images/s  ratio {numbers['ratios'][label]:5.2f}  "
                f"{seconds[label]:6.2f} s of the cores for 1,000 images, ratio {seconds[USUAL] / seconds[label]:5.2f}  "
                f"{label}"
            )
    write_report(__file__, report)


if __name__ == "__main__":
    main()
