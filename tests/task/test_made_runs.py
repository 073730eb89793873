"""Runs of what makes things: stopped in the middle, in two processes, asked afterwards; their numbers stay the same."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import couloir
from couloir.cli.main import run as command
from couloir.config.finished import run_config
from couloir.errors import CouloirError
from couloir.inference.predictor import Predictor
from couloir.record.result import read_result
from interruption import assert_same, result, stopped

SMALL = (
    "data=digits", "data.subset=48", "data.batch_size=8", "data.val_fraction=0.3", "logger=csv", "trainer.max_epochs=2",
    "trainer.accelerator=cpu", "model.hidden=[8]", "model.code_size=2",
)  # fmt: skip
KINDS = {
    "vae": ("model=vae", "task.binarise=dynamic", "task.warm_up_epochs=1.5", "task.free_bits=0.01"),
    "reconstruction": ("task=reconstruction", "task.corruption=salt_and_pepper", "task.sparsity=0.01",
                       "task.sparsity_kind=kl", "model.code_activation=sigmoid"),
}  # fmt: skip


@pytest.fixture(scope="module", params=sorted(KINDS))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str], Path]:
    """A kind of run, its words, and its folder."""
    kind = str(request.param)
    words = [*SMALL, *KINDS[kind]]
    folder = tmp_path_factory.mktemp(kind)
    return kind, words, couloir.train(couloir.compose([*words, f"output_dir={folder}"])).dir


def told(run: Path) -> list[dict[str, str]]:
    with (run / "predictions.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_run_that_is_stopped_within_an_epoch_goes_on_to_the_bit(
    run: tuple[str, list[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, words, whole = run
    cut = stopped([*words, f"output_dir={tmp_path}"], "train", 3, monkeypatch)
    assert command(["resume", str(cut)]) == 0
    assert_same(whole, cut)
    assert (whole / "predictions.csv").read_bytes() == (cut / "predictions.csv").read_bytes()


def test_a_run_is_repeated_to_the_bit(run: tuple[str, list[str], Path], tmp_path: Path) -> None:
    _, _, whole = run
    assert command(["rerun", str(whole), f"output_dir={tmp_path}"]) == 0
    assert result((tmp_path / "latest").resolve()) == result(whole)


def test_an_evaluation_gives_what_the_run_gave_and_a_vae_s_better_bound(
    run: tuple[str, list[str], Path], tmp_path: Path
) -> None:
    kind, _, whole = run
    words = ["task.importance_samples=20"] if kind == "vae" else []
    assert command(["evaluate", str(whole), f"output_dir={tmp_path}", *words]) == 0
    (found,) = (tmp_path / "evaluate").iterdir()
    numbers, before = read_result(found), read_result(whole)
    shared = {name for name in numbers if name in before}
    assert {name: numbers[name] for name in shared} == {name: before[name] for name in shared}
    if kind == "vae":
        assert numbers["test/neg_iwae"] < numbers["test/neg_elbo"] == before["test/neg_elbo"]
        assert "test/neg_iwae" not in before
    else:
        assert set(numbers) == {f"test/{name}" for name in ("loss", "mse", "psnr", "ssim", "input_psnr")}
    with (found / "predictions.csv").open() as ours, (whole / "predictions.csv").open() as theirs:
        assert ours.read() == theirs.read()
    assert command(["evaluate", str(whole), str(whole), f"output_dir={tmp_path}"]) == 2, "codes have no mean"
    assert command(["evaluate", str(whole), "tta=mirror", f"output_dir={tmp_path}"]) == 2


def test_new_samples_have_errors_and_codes_that_are_those_of_the_test(
    run: tuple[str, list[str], Path], tmp_path: Path
) -> None:
    kind, _, whole = run
    rows = told(whole)
    numbers = ["error"] if kind == "reconstruction" else ["neg_elbo", "reconstruction", "kl", "error"]
    assert list(rows[0]) == ["sample", "class", *numbers, "code_0", "code_1"]
    data: Any = couloir.load(whole)
    test = _test_images(whole)
    assert len(test) == len(rows)
    answers = data(test)
    for row, answer in zip(rows, answers, strict=True):
        for name in numbers:
            assert answer.numbers[name] == pytest.approx(float(row[name]), rel=1e-4), name
        np.testing.assert_allclose(answer.code, [float(row["code_0"]), float(row["code_1"])], rtol=1e-3, atol=1e-5)
    codes = data.encode(test)
    assert tuple(codes.shape) == (len(test), 2)
    np.testing.assert_allclose(data.decode(codes), data.rebuild(test), rtol=1e-5, atol=1e-6)
    if kind == "vae":
        again = [answer.array for answer in answers]
        np.testing.assert_allclose(
            np.stack(again), data.decode(np.stack([answer.code for answer in answers])), atol=1e-6
        )
    with pytest.raises(CouloirError, match="a code of this run has 2 numbers"):
        data.decode([[0.0, 0.0, 0.0]])
    np.save(tmp_path / "x.npy", test)
    output = tmp_path / "answers.csv"
    assert command(["predict", str(whole), str(tmp_path / "x.npy"), "--output", str(output)]) == 0
    with output.open(newline="") as stream:
        said = list(csv.DictReader(stream))
    assert [float(row["error"]) for row in said] == pytest.approx([float(row["error"]) for row in rows], rel=1e-4)
    assert command(["predict", str(whole), str(tmp_path / "x.npy"), "--top", "2"]) == 2, "there are no classes"


def _test_images(run: Path) -> np.ndarray[Any, Any]:
    """The test split of a run, uint8 (N, 1, 8, 8)."""
    split = Predictor(run_config(run), run).data.splits["test"]
    images: np.ndarray[Any, Any] = split.source.fetch(torch.from_numpy(split.indices)).cpu().numpy()
    return images


@pytest.mark.slow
def test_two_processes_measure_each_sample_once(tmp_path: Path) -> None:
    words = [*SMALL, *KINDS["vae"], "optimizer.lr=1e-12", "trainer.max_epochs=1"]  # each draws noise of its own
    several = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "data.batch_size=5"]
    one, two = (
        couloir.train(couloir.compose([*words, *more, f"output_dir={tmp_path / str(len(more))}"])).dir
        for more in ([], several)
    )
    numbers, expected = read_result(two), read_result(one)
    for name in ("neg_elbo", "kl", "active_units", "swd", "diversity", "sharpness"):
        assert numbers[f"test/{name}"] == pytest.approx(expected[f"test/{name}"], rel=1e-4), name
    assert [row["sample"] for row in told(two)] == [row["sample"] for row in told(one)]
    for row, other in zip(told(two), told(one), strict=True):
        assert float(row["neg_elbo"]) == pytest.approx(float(other["neg_elbo"]), rel=1e-4)
