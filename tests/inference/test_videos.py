"""`couloir predict RUN FOLDER` answers about folders of pictures, and says which it cannot take."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

import couloir
from couloir.cli.main import run
from couloir.errors import CouloirError
from videos import make_videos

WORDS = [
    "data=frames", "data.channels=1", "data.image_size=8", "data.frames=4", "data.batch_size=4", "model.widths=[4,4]",
    "trainer=cpu", "trainer.max_epochs=8", "optimizer.lr=0.05", "logger=none", "callbacks.progress=null",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    make_videos(root / "v")
    return couloir.train(couloir.compose([*WORDS, f"data.root={root / 'v'}", f"output_dir={root}"])).dir


def test_new_videos_get_a_row_each_and_are_compared_with_their_folders(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_videos(tmp_path / "new", each=2)
    short = make_videos(tmp_path / "new/dark/short", classes=("bright",), each=1, frames=2)
    assert run(["predict", str(trained), str(folder)]) == 0
    out, told = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [Path(row["file"]).relative_to(folder).as_posix() for row in rows] == [
        "bright/video0", "bright/video1", "dark/video0", "dark/video1",
    ]  # fmt: skip
    assert [row["prediction"] for row in rows] == [row["truth"] for row in rows] == ["bright"] * 2 + ["dark"] * 2
    assert f"{short.name}" in told
    assert "has 2 frames, and the run takes clips of 4" in told
    assert "4 videos; 1 could not be read" in told


def test_an_array_of_videos_is_answered_and_one_of_another_shape_refused(trained: Path) -> None:
    loaded = couloir.load(trained)
    videos = np.full((2, 4, 1, 8, 8), 40, np.uint8)
    videos[1] = 190
    assert [answer.label for answer in loaded(videos)] == ["dark", "bright"]
    with pytest.raises(CouloirError, match=r"takes \(N, 4, 1, height, width\)"):
        loaded(np.zeros((2, 1, 4, 8, 8), np.uint8))


def test_a_video_is_explained(trained: Path, tmp_path: Path) -> None:
    folder = make_videos(tmp_path / "new", each=1)
    words = ["explain", str(trained), str(folder / "dark/video0"), "--methods", "gradients"]
    assert run([*words, f"output_dir={tmp_path}"]) == 0
    (map_,) = (tmp_path / "explain").glob("*/gradients_0.npy")
    assert np.load(map_).shape[-3:] == (4, 8, 8)
