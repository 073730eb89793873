"""The benchmark of folders: what it makes, and that torchvision takes part where it imports."""

from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, with small photographs and without worker processes."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = importlib.import_module("bench_folder")
    noise = np.random.default_rng(0).integers(256, size=(2, 12, 16, 3), dtype=np.uint8)
    monkeypatch.setattr(module, "photographs", lambda: list(map(Image.fromarray, noise)))
    monkeypatch.setattr(module, "WORKERS", 0)
    return module


class ImageFolder(Dataset[tuple[Tensor, int]]):
    """What torchvision's would give: here of one colour each."""

    def __init__(self, root: str, transform: Any) -> None:
        self.files, self.transform = sorted(Path(root).rglob("*.*")), transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.files[index]), 0


def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """torchvision's names, as the benchmark uses them; the transforms that were asked for, in order."""
    asked: list[str] = []

    def transform(name: str) -> Any:
        def make(*values: Any, **_: Any) -> str:
            asked.append(f"{name} {values}")
            return name

        return make

    names = ("RandomResizedCrop", "RandomHorizontalFlip", "ToTensor", "Normalize")
    found: Any = ModuleType("torchvision")
    found.transforms, found.datasets = ModuleType("transforms"), ModuleType("datasets")
    for name in names:
        setattr(found.transforms, name, transform(name))
    found.transforms.Compose = lambda steps: lambda _: torch.zeros(3, 224, 224)
    found.datasets.ImageFolder = ImageFolder
    monkeypatch.setitem(sys.modules, "torchvision", found)
    return asked


def test_torchvision_takes_part_where_it_imports(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = stand_in(monkeypatch)
    numbers = bench.measure(bench.KINDS["png"], 8, 1)
    assert set(numbers["images_per_second"]) == {
        bench.USUAL, bench.TORCHVISION, bench.DECODING, bench.FILLING, bench.SLOW, bench.CACHED,
    }  # fmt: skip
    assert all(rate > 0 for rate in numbers["images_per_second"].values())
    assert all(seconds >= 0 for seconds in numbers["seconds_of_cores_for_1000_images"].values())
    assert asked == [
        "RandomResizedCrop (224,)", "RandomHorizontalFlip ()", "ToTensor ()",
        f"Normalize ({bench.MEAN}, {bench.STD})",
    ]  # fmt: skip


@pytest.mark.parametrize("error", [ImportError("no such module"), RuntimeError("operator torchvision::nms is missing")])
def test_without_torchvision_the_benchmark_says_so_and_goes_on(
    error: Exception,
    bench: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Fails:
        def find_spec(self, name: str, *_: Any) -> None:
            if name.partition(".")[0] == "torchvision":
                raise error

    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Fails(), *sys.meta_path])
    assert bench.torchvisions(tmp_path, 4) is None
    assert str(error) in capsys.readouterr().out


def test_the_slow_disk_takes_as_long_as_it_says(bench: ModuleType, tmp_path: Path) -> None:
    wait = os.fdatasync
    with (tmp_path / "file").open("wb", buffering=0) as stream, bench.disk_of(0.5):
        for _ in range(2):
            begin = time.monotonic()
            stream.write(bytes(50_000))
            os.fdatasync(stream.fileno())
            assert time.monotonic() - begin >= 0.1
    assert os.fdatasync is wait


def test_large_photographs_are_large_and_pngs_are_pngs(bench: ModuleType, tmp_path: Path) -> None:
    for name, kind in bench.KINDS.items():
        bench.make_folder(tmp_path / name, 2, bench.Kind(kind.words, kind.suffix, kind.size, 2, 1.0))
        files = sorted((tmp_path / name).rglob("*.*"))
        assert len(files) == 6
        with Image.open(files[0]) as image:
            assert image.size == kind.size
            assert image.format == ("PNG" if name == "png" else "JPEG")
