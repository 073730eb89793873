"""A segmentation of images of several sizes, stopped in the middle, and in two processes: its numbers stay the same."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

import couloir
from couloir.cli.main import run as command
from couloir.record.metrics import TIMES
from couloir.record.result import read_result
from couloir.record.tested import read_confusion, read_maps
from finished_runs import SMALL_UNET, make_masks, told
from interruption import assert_same, stopped

SEVERAL = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "data.batch_size=2")


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    make_masks(tmp_path / "set")
    return [
        "data=image_masks", f"data.root={tmp_path / 'set'}", "data.colours={ground: 0, disc: 1, bar: 2}",
        "data.ignore_index=9", "data.image_size=24", "data.batch_size=4", "data.workers=0", "data.val_fraction=0.3",
        "data.test_fraction=0.25", "logger=csv", "trainer.max_epochs=2", "trainer.accelerator=cpu", *SMALL_UNET,
    ]  # fmt: skip


def test_a_run_that_is_stopped_within_an_epoch_goes_on_with_the_same_windows(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*words, "augmentation=segmentation", "model.dropout=0.3"]
    whole = couloir.train(couloir.compose([*words, f"output_dir={tmp_path / 'whole'}"])).dir
    cut = stopped([*words, f"output_dir={tmp_path / 'cut'}"], "train", 3, monkeypatch)
    assert command(["resume", str(cut)]) == 0
    assert_same(whole, cut)
    for name in ("predictions.csv", "confusion.csv", "maps.csv"):
        assert (whole / name).read_bytes() == (cut / name).read_bytes()


@pytest.mark.slow
def test_two_processes_count_each_pixel_and_each_image_once(words: list[str], tmp_path: Path) -> None:
    words = [*words, "data.windows=middle", "model.dropout=0"]
    one, two = (
        couloir.train(couloir.compose([*words, *more, f"output_dir={tmp_path / str(len(more))}"])).dir
        for more in ((), SEVERAL)
    )
    rows, expected = (list(csv.DictReader((run / "metrics.csv").open())) for run in (two, one))
    for row, other in zip(rows, expected, strict=True):
        for name in set(other) - set(TIMES):
            if not name.startswith("gradients/"):
                assert float(row[name]) == pytest.approx(float(other[name]), rel=1e-3, abs=1e-5), name
    assert [row["file"] for row in told(two)] == [row["file"] for row in told(one)]
    assert read_result(two)["test/mean_iou"] == pytest.approx(read_result(one)["test/mean_iou"], rel=1e-3)
    counts = [np.array(confusion.counts) for confusion in (read_confusion(two), read_confusion(one)) if confusion]
    assert (counts[0].sum(axis=1) == counts[1].sum(axis=1)).all(), "each true pixel once"
    files = {row["sample"]: row["file"] for row in told(one)}
    assert all(files[row["index"]] == row["file"] for row in read_maps(two)), "each of the worst has its file's name"
    assert {row["index"] for row in read_maps(two)} == {row["index"] for row in read_maps(one)} == {"0", "1", "2"}
    states = [torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for run in (two, one)]
    for name, value in states[1].items():
        torch.testing.assert_close(states[0][name], value, atol=1e-4, rtol=1e-3)
