"""A training that is looked at from above is the same training, and its path goes on where it was stopped."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import couloir
from couloir.callbacks import landscape as module
from couloir.cli.main import run
from couloir.config.finished import run_config
from couloir.inference.predictor import Predictor
from couloir.record.landscape import read_path
from interruption import stopped

WORDS = [
    "data=digits", "data.subset=48", "data.batch_size=16", "trainer.max_epochs=4", "model=mlp", "model.hidden=[6]",
    "trainer=cpu", "logger=csv", "test=false", "seed=3",
]  # fmt: skip
DRAWN = ["callbacks.landscape.draw=true", "callbacks.landscape.points=5", "callbacks.landscape.samples=20"]
SIZE = 64 * 6 + 6 * 10


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return couloir.train(couloir.compose([*WORDS, *DRAWN, f"output_dir={tmp_path_factory.mktemp('drawn')}"])).dir


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    return state


def test_the_picture_is_of_the_runs_own_loss_with_its_last_weights(drawn: Path) -> None:
    assert (drawn / "loss_surface.png").read_bytes()[:4] == b"\x89PNG"
    numbers = np.load(drawn / "loss_surface.npz")
    predictor = Predictor(run_config(drawn), drawn / "checkpoints/last.ckpt")
    batch = predictor.data.example_batch(20)
    with torch.no_grad():
        expected = nn.functional.cross_entropy(predictor.net(batch[predictor.task.input]), batch[predictor.task.target])
    assert numbers["loss"].shape == (5, 5)
    assert numbers["loss"][2, 2] == pytest.approx(float(expected), rel=1e-5)
    assert numbers["loss"].max() > numbers["loss"][2, 2] * 1.01
    epochs, path = read_path(drawn, SIZE)
    assert epochs == [0, 1, 2, 3, 4] == numbers["path_epochs"].tolist()
    last = [value.reshape(-1) for name, value in weights(drawn).items() if value.ndim > 1 and name.startswith("net.")]
    assert np.array_equal(path[-1], torch.cat(last).numpy())
    assert numbers["path_points"][-1] == pytest.approx([0, 0])
    assert 0 < numbers["path_shares"][1] < numbers["path_shares"][0] < 1


def test_nobody_notices_that_the_training_is_looked_at(drawn: Path, tmp_path: Path) -> None:
    blind = couloir.train(couloir.compose([*WORDS, f"output_dir={tmp_path}"])).dir
    assert not (blind / "path").exists()
    assert not (blind / "loss_surface.png").exists()
    one, other = weights(drawn), weights(blind)
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_a_run_that_was_stopped_goes_on_with_its_path(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = stopped([*WORDS, *DRAWN, f"output_dir={tmp_path}"], "train", 5, monkeypatch)
    assert 0 < len(read_path(cut, SIZE)[0]) < 5
    assert run(["resume", str(cut)]) == 0
    for one, other in zip(read_path(drawn, SIZE), read_path(cut, SIZE), strict=True):
        assert np.array_equal(one, other)
    whole, resumed = (np.load(folder / "loss_surface.npz") for folder in (drawn, cut))
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole.files)


def test_a_path_that_would_fill_the_disk_is_thinned_or_left_out_and_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "draw_landscape", lambda *_: None)
    monkeypatch.setattr(module, "MOST_BYTES", 4 * SIZE * 4)
    few = couloir.train(couloir.compose([*WORDS, *DRAWN, f"output_dir={tmp_path}", "trainer.max_epochs=6"])).dir
    assert read_path(few, SIZE)[0] == [0, 2, 4, 6]
    assert "one of 2 is kept for loss_surface.png" in capsys.readouterr().out
    assert "path_loss" in np.load(few / "loss_surface.npz").files
    (few / "path/epoch_0002.npy").write_bytes(b"torn")
    assert read_path(few, SIZE)[0] == [0, 4, 6]
    monkeypatch.setattr(module, "MOST_BYTES", 4 * SIZE * 3)
    none = couloir.train(couloir.compose([*WORDS, *DRAWN, f"output_dir={tmp_path}", "trainer.max_epochs=1"])).dir
    assert not (none / "path").exists()
    assert "path_loss" not in np.load(none / "loss_surface.npz").files
    assert "none is kept" in capsys.readouterr().out
