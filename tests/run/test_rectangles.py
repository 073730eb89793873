"""Photographs that are not square, through everything that a run and its finished folder go through."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import couloir
from couloir.artifacts.sheet import Sheet
from couloir.cli.main import run as command
from couloir.config.finished import run_config
from couloir.inference.predictor import Predictor
from photographs import make_photographs

SIZE = [24, 40]
NETWORK = ["model=convnet", "model.M=1", "model.widths=4", "model.hidden=[8]"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, drawn_tiles: None) -> Path:
    root = make_photographs(tmp_path_factory.mktemp("photographs"), train=12, other=6)
    words = [
        "data=image_folder", f"data.root={root}", f"data.image_size={json.dumps(SIZE).replace(' ', '')}", *NETWORK,
        "augmentation=imagenet", "initializer=lsuv", "logger=tensorboard", "tta=multi_crop", "data.workers=0",
        "data.batch_size=6", "optimizer.lr=1e-9", "trainer.max_epochs=1", "trainer=cpu", "seed=3",
        f"output_dir={tmp_path_factory.mktemp('outputs')}",
    ]  # fmt: skip
    return couloir.train(couloir.compose(words)).dir


def test_the_record_says_height_and_width(finished: Path) -> None:
    assert yaml.safe_load((finished / "config.yaml").read_text())["data"]["image_size"] == SIZE
    assert json.loads((finished / "provenance.json").read_text())["data"]["image_size"] == SIZE
    rows = json.loads((finished / "layers.json").read_text())["layers"]
    assert rows[0]["output_shape"] == [4, *SIZE]
    assert rows[0]["multiply_adds"] == 4 * SIZE[0] * SIZE[1] * 27
    assert "tta/accuracy" in json.loads((finished / "result.json").read_text())


def test_pictures_of_mistakes_have_the_shape_of_the_images(finished: Path) -> None:
    pictures = json.loads((finished / "pictures.json").read_text())["mistakes"]
    factor = pictures["tiles"]["scale"]
    assert pictures["tiles"]["size"] == [factor * SIZE[1], factor * SIZE[0]]
    sheet = Sheet.read(finished, "mistakes")
    assert sheet is not None
    assert sheet.tile == (SIZE[1], SIZE[0])


def test_a_finished_run_answers_with_the_middles_of_photographs(finished: Path) -> None:
    """The photographs are 50x75 and 61x50 pixels: once they cover 24x40, their middles are cut."""
    cfg = run_config(finished)
    cfg.tta = None
    predictor = Predictor(cfg, finished)
    (batch,) = predictor.batches()
    assert batch["image"].shape == (6, 3, *SIZE)
    shown = batch["image"] * torch.tensor(predictor.data.std).view(3, 1, 1)
    shown = (shown + torch.tensor(predictor.data.mean).view(3, 1, 1)) * 255
    for pixels, path in zip(shown, predictor.data.splits["test"].source.paths, strict=True):
        with Image.open(path) as image:
            height, width = (27, 40) if image.size == (75, 50) else (49, 40)
            frame = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)).astype(float)
        top = (height - SIZE[0]) // 2
        difference = np.abs(pixels.numpy().transpose(1, 2, 0) - frame[top : top + SIZE[0]])
        assert difference.mean() < 2


def test_every_verb_takes_such_images(
    finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(["evaluate", str(finished), "tta=ten_crop"]) == 0
    assert command(["report", str(finished)]) == 0
    root = run_config(finished).data.root
    photographs = ["data=image_folder", f"data.root={root}", "data.image_size=[60,40]", "model=resnet20"]
    capsys.readouterr()
    assert command(["data", *photographs, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["photographs"]
    assert facts["covers"] == [60, 40]
    assert facts["enlarged"] == facts["files"] - _of_61_rows(Path(root)) > 0
    assert command(["data", *photographs]) == 0
    assert "scaled until they cover 60x40" in capsys.readouterr().out
    assert command(["diagnose", str(finished)]) == 0
    capsys.readouterr()
    data = ["data=synthetic", "data.samples=60", "data.image_size=[16,24]", *NETWORK]
    assert command(["summary", *data, "--json"]) == 0
    totals = json.loads(capsys.readouterr().out)["totals"]
    assert totals["parameters"] == 4 * 28 + (4 * 8 * 12 + 1) * 8 + 9 * 10
    assert command(["find-batch-size", *data, "--min", "2", "--max", "4", "--steps", "3"]) == 0
    assert command(["find-lr", *data, "data.batch_size=8"]) == 0


MODULE = """
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset


class Strips(LightningDataModule):
    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size

    def loader(self):
        labels = torch.arange(12) % 2
        images = torch.rand(12, 1, 8, 12) + labels[:, None, None, None]
        return DataLoader(TensorDataset(images, labels), self.batch_size)

    train_dataloader = val_dataloader = test_dataloader = loader
"""


def test_a_module_of_the_users_own_states_height_and_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "conf/data").mkdir(parents=True)
    (tmp_path / "strips.py").write_text(MODULE)
    (tmp_path / "conf/data/strips.yaml").write_text(
        "# Strips.\n# Source: none.\n_target_: strips.Strips\nfields: {image: image, label: label}\nchannels: 1\n"
        "image_size: [8, 12]\nnum_classes: 2\nbatch_size: 4\n"
    )
    words = ["data=strips", *NETWORK, "trainer.max_epochs=1", "trainer=cpu", "logger=tensorboard"]
    run = couloir.train(couloir.compose(words)).dir
    assert json.loads((run / "provenance.json").read_text())["data"]["image_size"] == [8, 12]
    assert json.loads((run / "layers.json").read_text())["layers"][0]["output_shape"] == [4, 8, 12]


def _of_61_rows(root: Path) -> int:
    """Photographs that are high enough; the others have 50 rows."""
    count = 0
    for file in root.rglob("*.jpg"):
        with Image.open(file) as image:
            count += image.height == 61
    return count


@pytest.mark.skipif(os.environ.get("COULOIR_ALL_FAULTS") != "1", reason="COULOIR_ALL_FAULTS=1: a sweep is slow")
def test_a_sweep_tries_squares_and_rectangles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "data=digits", "data.subset=40", "data.image_size=8,[8,12]", *NETWORK, "trainer.max_epochs=1", "trainer=cpu",
        "logger=none", "sweep.isolation=none", f"output_dir={tmp_path}",
    ]  # fmt: skip
    assert command(["train", "-m", *words]) == 0
    sizes = [
        yaml.safe_load(file.read_text())["data"]["image_size"]
        for file in sorted(tmp_path.glob("sweep/*/*/config.yaml"))
    ]
    assert sizes == [8, [8, 12]]
    assert "[8,12]" in capsys.readouterr().out.replace(" ", "")
