"""The tables and pictures of `bench_remedies.py`: small, and with faults whose size is known."""

from __future__ import annotations

import gzip
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn import datasets

KEPT = {"train": 1500, "test": 1000}
"""Samples of MNIST and CIFAR-10, each split's first ones."""
WRONG = 0.4
"""The share of wrong labels."""


def make_data(made: Path, data: Path | None) -> None:
    """Make what is not there yet.

    Args:
        made: the folder.
        data: the folder with mnist/, cifar10/, hymenoptera/ and series/; None: what needs it is left out.
    """
    embedded: dict[str, Callable[[Path], None]] = {
        "cancer": _cancer, "diabetes": _diabetes, "friedman": _friedman, "clusters": _clusters, "digits": _digits,
    }  # fmt: skip
    real: dict[str, Callable[[Path, Path], None]] = {
        "mnist": _mnist, "cifar10": _cifar, "photos": _photos, "energy": _energy,
    }  # fmt: skip
    made.mkdir(parents=True, exist_ok=True)
    for name, make in embedded.items():
        if not (made / f"{name}.done").exists():
            make(made)
            (made / f"{name}.done").touch()
    for name, take in real.items():
        if data is not None and not (made / f"{name}.done").exists():
            take(made, data)
            (made / f"{name}.done").touch()


def _table(file: Path, x: np.ndarray, y: np.ndarray, target: str) -> None:
    header = ",".join([*(f"x{column}" for column in range(x.shape[1])), target])
    rows = (",".join([*(f"{value:.6g}" for value in row), str(label)]) for row, label in zip(x, y, strict=True))
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def _mislabelled(labels: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """A share of the labels is another class, drawn evenly."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(labels)) < WRONG
    moved = (labels + rng.integers(1, classes, len(labels))) % classes
    return np.where(wrong, moved, labels)


def _halves(data: tuple[np.ndarray, np.ndarray], count: int) -> tuple[np.ndarray, ...]:
    x, y = data
    order = np.random.default_rng(0).permutation(len(x))
    return x[order[:count]], y[order[:count]], x[order[count:]], y[order[count:]]


def _cancer(made: Path) -> None:
    names = np.array(["malignant", "benign"])
    x, y, x_test, y_test = _halves(datasets.load_breast_cancer(return_X_y=True), 300)
    _table(made / "cancer.csv", x, names[y], "diagnosis")
    _table(made / "cancer_test.csv", x_test, names[y_test], "diagnosis")


def _diabetes(made: Path) -> None:
    x, y, x_test, y_test = _halves(datasets.load_diabetes(return_X_y=True), 240)
    _table(made / "diabetes.csv", x, y, "progression")
    _table(made / "diabetes_test.csv", x_test, y_test, "progression")


def _friedman(made: Path) -> None:
    """Friedman, 1991, Multivariate Adaptive Regression Splines, example 1; and one target in eight far off."""
    x, y = datasets.make_friedman1(n_samples=1600, noise=1.0, random_state=0)
    rng = np.random.default_rng(0)
    off = np.where(rng.random(600) < 0.125, rng.choice([-1.0, 1.0], 600) * rng.uniform(40, 80, 600), 0.0)
    _table(made / "friedman.csv", x[:600], y[:600].round(4), "y")
    _table(made / "friedman_outliers.csv", x[:600], (y[:600] + off).round(4), "y")
    _table(made / "friedman_test.csv", x[600:], y[600:].round(4), "y")


def _clusters(made: Path) -> None:
    names = np.array(["north", "east", "south", "west"])
    x, y = datasets.make_classification(
        n_samples=1800, n_features=16, n_informative=8, n_classes=4, class_sep=1.6, random_state=1
    )
    _table(made / "clusters.csv", x[:800], names[y[:800]], "kind")
    _table(made / "clusters_mislabelled.csv", x[:800], names[_mislabelled(y[:800], 4, 1)], "kind")
    _table(made / "clusters_test.csv", x[800:], names[y[800:]], "kind")


def _digits(made: Path) -> None:
    """The digits as pictures with a validation and a test folder; and once more with training pictures misfiled."""
    pictures, labels = datasets.load_digits(return_X_y=True)
    pictures = (pictures.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(labels))
    filed = {"digits": labels, "digits_misfiled": labels.copy()}
    filed["digits_misfiled"][order[:800]] = _mislabelled(labels[order[:800]], 10, 2)
    for place, index in enumerate(order):
        split = "train" if place < 800 else "val" if place < 1100 else "test"
        for root, classes in filed.items():
            folder = made / root / split / str(classes[index])
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pictures[index]).save(folder / f"{index:04}.png")


def _mnist(made: Path, data: Path) -> None:
    for split, name in (("train", "train"), ("test", "t10k")):
        count = KEPT[split]
        images = _content(data / "mnist" / f"{name}-images-idx3-ubyte.gz")[16 : 16 + count * 784]
        labels = _content(data / "mnist" / f"{name}-labels-idx1-ubyte.gz")[8 : 8 + count]
        wrong = _mislabelled(np.frombuffer(labels, np.uint8).astype(np.int64), 10, 3).astype(np.uint8).tobytes()
        for root, written in (("mnist", labels), ("mnist_misfiled", wrong if split == "train" else labels)):
            (made / root).mkdir(exist_ok=True)
            header = struct.pack(">4I", 0x803, count, 28, 28)
            (made / root / f"{name}-images-idx3-ubyte").write_bytes(header + images)
            (made / root / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + written)


def _content(file: Path) -> bytes:
    with gzip.open(file) as stream:
        return stream.read()


def _cifar(made: Path, data: Path) -> None:
    from couloir.data.cifar import TEST, TRAIN, read_archive

    contents = read_archive(data / "cifar10" / "cifar-10-binary.tar.gz", (*TRAIN["cifar10"], *TEST["cifar10"]))
    (made / "cifar10").mkdir(exist_ok=True)
    for split, files in (("train", TRAIN["cifar10"]), ("test", TEST["cifar10"])):
        for file in files:
            (made / "cifar10" / file).write_bytes(contents[file][: 3073 * KEPT[split] // len(files)])


def _photos(made: Path, data: Path) -> None:
    """Ants and bees; what the archive validates on is for the test."""
    with zipfile.ZipFile(data / "hymenoptera" / "hymenoptera.zip") as archive:
        for member in archive.namelist():
            parts = Path(member).parts
            if member.lower().endswith(".jpg") and len(parts) >= 3:
                split, label, file = parts[-3:]
                folder = made / "photos" / {"val": "test"}.get(split, split) / label
                folder.mkdir(parents=True, exist_ok=True)
                (folder / file).write_bytes(archive.read(member))


def _energy(made: Path, data: Path) -> None:
    """The oil temperature of a transformer from its six loads, hours drawn at random."""
    header, *rows = (data / "series" / "ETTh1.csv").read_text(encoding="utf-8").splitlines()
    drawn = np.random.default_rng(0).permutation(len(rows))
    lines: list[Any] = [row.partition(",")[2] for row in rows]
    for name, chosen in (("energy", drawn[:1000]), ("energy_test", drawn[1000:2500])):
        text = "\n".join([header.partition(",")[2], *(lines[index] for index in chosen)])
        (made / f"{name}.csv").write_text(text + "\n", encoding="utf-8")
