"""Tiny runs of each kind of data, each trained once a session, for what asks finished runs for answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import couloir
from couloir.record.predictions import read_predictions
from photographs import make_photographs

CITIES = ("Bern", "Genf", "Chur")


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """A table of a number, a category with gaps, a date, a yes or no; and of what may be predicted from them."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        size, city = round(float(rng.uniform(20, 200)), 1), CITIES[int(rng.integers(3))]
        garden = bool(rng.integers(2))
        found.append({
            "size": size, "city": "" if number % 17 == 3 else city,
            "built": f"{1990 + number % 30}-0{1 + number % 9}-11",
            "garden": "yes" if garden else "no", "price": round(100_000 + 3_000 * size + 20_000 * garden, 2),
            "kind": "house" if garden else "flat", "large": int(size > 100), "central": int(city == "Bern"),
        })  # fmt: skip
    return found


def write_table(file: Path, table: list[dict[str, Any]], columns: list[str] | None = None, mark: str = ",") -> Path:
    """Rows as CSV, their columns in an order."""
    columns = columns or list(table[0])
    file.write_text("\n".join([mark.join(columns), *(mark.join(str(row[name]) for name in columns) for row in table)]))
    return file


class FinishedRuns:
    """Runs by name; the data that they were trained on is deleted afterwards.

    Args:
        folder: where runs and data go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: dict[str, Path] = {}

    def __call__(self, name: str) -> Path:
        """The folder of a run."""
        if name not in self._made:
            self._made[name] = MAKE[name](self)
        return self._made[name]

    def train(self, *words: str) -> Path:
        """A run of one epoch."""
        told = ["trainer.max_epochs=1", "logger=csv", "trainer=cpu", f"output_dir={self.folder / 'outputs'}", *words]
        return couloir.train(couloir.compose(told)).dir

    def photographs(self) -> Path:
        """The photographs of the run `photographs`, whose own copy is deleted."""
        folder = self.folder / "kept"
        if not folder.is_dir():  # whichever test comes first
            make_photographs(folder, other=6)
        return folder

    def _photographs(self, seed: int) -> Path:
        root = self.folder / f"photographs{seed}"
        shutil.copytree(self.photographs(), root)
        run = self.train(
            "data=image_folder", f"data.root={root}", "data.image_size=16", "data.resize=20", "data.memory_budget=0",
            "data.batch_size=4", "data.workers=0", f"seed={seed}", "model=lenet5",
        )  # fmt: skip
        shutil.rmtree(root)
        return run

    def series(self) -> Path:
        """The table of the run `series`: two columns of 200 hours, the first of them with a daily season."""
        file = self.folder / "kept.csv"
        if not file.is_file():
            hours = (np.datetime64("2020-02-25T00", "h") + np.arange(200)).astype(str)
            rng = np.random.default_rng(0)
            day = np.sin(2 * np.pi * np.arange(200) / 24)
            rows = zip(hours, 20 + 5 * day + rng.normal(0, 0.5, 200), 3 + rng.normal(0, 1, 200), strict=True)
            file.write_text("when,warmth,wind\n" + "".join(f"{hour}:00,{a:.3f},{b:.3f}\n" for hour, a, b in rows))
        return file

    def _series(self) -> Path:
        file = self.folder / "series.csv"
        shutil.copy(self.series(), file)
        run = self.train(
            "data=series_csv", f"data.path={file}", "data.length=30", "data.horizon=6", "data.calendar=[hour]",
            "data.batch_size=16", "trainer.max_epochs=2",
        )  # fmt: skip
        file.unlink()
        return run

    def texts(self) -> list[tuple[str, str]]:
        """The texts of the run `texts`, and the class of each."""
        return [(f"{'Good' if n % 2 else 'Bad'} film {'ab'[n % 2] * 3} number{n}", "np"[n % 2]) for n in range(40)]

    def _texts(self) -> Path:
        file = self.folder / "texts.csv"
        file.write_text("review,mood\n" + "".join(f"{text},{mood}\n" for text, mood in self.texts()))
        run = self.train(
            "data=text_csv", f"data.path={file}", "data.length=4", "data.batch_size=8", "model=text_cnn",
            "model.embedding=8", "model.maps=4", "optimizer.lr=0.05", "trainer.max_epochs=3",
        )  # fmt: skip
        file.unlink()
        return run

    def masks(self) -> Path:
        """The images of several sizes, and their masks, of the run `masks`, whose own copy is deleted."""
        folder = self.folder / "kept masks"
        if not folder.is_dir():  # whichever test comes first
            make_masks(folder)
        return folder

    def _masks(self, seed: int) -> Path:
        root = self.folder / f"masks{seed}"
        shutil.copytree(self.masks(), root)
        run = self.train(
            "data=image_masks", f"data.root={root}", "data.colours={ground: 0, disc: 1, bar: 2}", "data.ignore_index=9",
            "data.image_size=24", "data.batch_size=4", "data.workers=0", f"seed={seed}", *SMALL_UNET,
        )  # fmt: skip
        shutil.rmtree(root)
        return run

    def _table(self, target: str, *words: str) -> Path:
        others = {"price", "kind", "large", "central"} - set(target.strip("[]").split(","))
        file = write_table(self.folder / "table.csv", rows(60))
        run = self.train(
            "data=csv", f"data.path={file}", f"data.target={target}", f"data.ignore=[{','.join(sorted(others))}]",
            "model=mlp", *words,
        )  # fmt: skip
        file.unlink()
        return run


SMALL_DIGITS = ("data=digits", "data.subset=64", "data.batch_size=16")
SMALL_UNET = ("model=unet", "model.depth=1", "model.width=4", "optimizer.lr=0.01")

SALIENCY = (
    "data=digits_on_photographs", "data.target=saliency", "data.samples=24", "data.image_size=24", "data.most=1",
    "task=saliency", "task.output=density", "loss=kl", *SMALL_UNET,
)  # fmt: skip
TWICE_AS_LARGE = (
    "data=super_resolution", "data.images=digits", "data.subset=24", "data.batch_size=8", "model.widths=[8,4]",
)  # fmt: skip


def make_masks(root: Path) -> None:
    """Twelve images of several sizes with a disc and a bar each, some pixels of which do not count."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for number in range(12):
        height, width = ((26, 41), (40, 30))[number % 2]
        image, mask = rng.integers(0, 90, (height, width, 3), dtype=np.uint8), np.zeros((height, width), np.uint8)
        rows, columns = np.mgrid[:height, :width]
        mask[(rows - 9) ** 2 + (columns - 8 - number) ** 2 < 30] = 1
        mask[17:23, 3 + number :][:, :9] = 2
        image[mask == 1], image[mask == 2] = (220, 90, 60), (60, 110, 220)
        mask[:2] = 9
        Image.fromarray(image).save(root / f"images/{number:02}.png")
        Image.fromarray(mask).save(root / f"masks/{number:02}.png")


MAKE: dict[str, Callable[[FinishedRuns], Path]] = {
    "photographs": lambda runs: runs._photographs(0),
    "photographs again": lambda runs: runs._photographs(1),
    "digits": lambda runs: runs.train("data=digits", "data.subset=64", "model=mlp"),
    "steps": lambda runs: runs.train("data=digits_rows", "data.subset=64", "model.width=6"),
    "points": lambda runs: runs.train("data=moons", "model=mlp"),
    "translation": lambda runs: runs.train(
        "data=reversed",
        "data.samples=40",
        "data.symbols=abc",
        "data.shortest=1",
        "data.length=4",
        "model.width=8",
        "model.heads=2",
        "model.hidden=8",
        "model.layers=1",
        "task.max_tokens=6",
    ),
    "texts": lambda runs: runs._texts(),
    "several values": lambda runs: runs.train("data=linnerud", "data.target_scaling=standardize"),
    "classes of a table": lambda runs: runs._table("kind"),
    "values of a table": lambda runs: runs._table("price"),
    "series": lambda runs: runs._series(),
    "masks": lambda runs: runs._masks(0),
    "masks again": lambda runs: runs._masks(1),
    "saliency": lambda runs: runs.train(*SALIENCY),
    "twice as large": lambda runs: runs.train(*TWICE_AS_LARGE),
    "vae": lambda runs: runs.train(*SMALL_DIGITS, "model=vae", "model.hidden=[16]", "model.code_size=2"),
    "autoencoder": lambda runs: runs.train(
        *SMALL_DIGITS, "model=autoencoder", "model.hidden=[16]", "model.code_size=3"
    ),
    "gan": lambda runs: runs.train(
        *SMALL_DIGITS, "model=gan_mlp", "model.hidden=[16]", "model.code_size=4", "task.conditional=true"
    ),
    "labels of a table": lambda runs: runs._table("[large,central]"),
}


def told(run: Path) -> list[dict[str, str]]:
    """The rows of a run's own `predictions.csv`."""
    return list(read_predictions(run))


def own_module_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> Path:
    """A run on a data module that knows nothing of Couloir, in a Python module of its own."""
    (tmp_path / "conf/data").mkdir(parents=True)
    (tmp_path / "conf/data/mine.yaml").write_text(
        f"# Points.\n_target_: {module}.Mine\ntask: classification\nfields: {{x: row, y: label}}\nchannels: 2\n"
        "image_size: null\nnum_classes: 2\nclasses: [low, high]\n"
    )
    (tmp_path / f"{module}.py").write_text(
        "import torch\nfrom pytorch_lightning import LightningDataModule\n"
        "from torch.utils.data import DataLoader, TensorDataset\n\n\n"
        "class Mine(LightningDataModule):\n    def setup(self, stage):\n"
        "        x = torch.linspace(-1, 1, 40).reshape(20, 2)\n"
        "        self.parts = TensorDataset(x, (x[:, 0] > 0).long())\n\n"
        "    def train_dataloader(self):\n        return DataLoader(self.parts, 10)\n\n"
        "    val_dataloader = test_dataloader = train_dataloader\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return couloir.train(couloir.compose(["data=mine", "model=mlp", "trainer.max_epochs=1", "trainer=cpu"])).dir
