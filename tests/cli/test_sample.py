"""`couloir sample`: what is written is what the run makes, and what is refused."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import couloir
from couloir.cli.main import run as command
from couloir.config.finished import run_config
from couloir.errors import CouloirError
from couloir.inference.trained import Trained
from couloir.record.result import read_result
from couloir.task.generative import Generative
from finished_runs import FinishedRuns

Capture = pytest.CaptureFixture[str]


def answered(capsys: Capture, *words: str | Path) -> dict[str, Any]:
    """The facts that `--json` gives."""
    capsys.readouterr()
    assert command(["sample", *map(str, words), "--json"]) == 0
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


def refused(capsys: Capture, *words: str | Path) -> str:
    capsys.readouterr()
    assert command(["sample", *map(str, words)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("error:") == 1
    return shown.err


def task_of(run: Path) -> Generative:
    task = Trained(run_config(run), run).task
    assert isinstance(task, Generative)
    return task


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three digits as files."""
    folder = tmp_path_factory.mktemp("digits")
    files = [folder / f"{number}.png" for number in range(3)]
    for file, image in zip(files, load_digits().images, strict=False):
        Image.fromarray((image * 255 / 16).round().astype(np.uint8)).save(file)
    return files


def test_samples_are_those_of_the_task_whatever_their_number_and_form(
    finished: FinishedRuns, tmp_path: Path, capsys: Capture
) -> None:
    run = finished("vae")
    task = task_of(run)
    expected = task.make(task.draw(torch.arange(70), seed=5)).numpy()
    answered(capsys, run, "--seed", "5", "--count", "70", "--output", tmp_path / "many.npy")
    answered(capsys, run, "--seed", "5", "--count", "3", "--output", tmp_path / "few.npy")
    many, few = np.load(tmp_path / "many.npy"), np.load(tmp_path / "few.npy")
    assert (many.shape, many.dtype) == ((70, 1, 8, 8), np.float32)
    np.testing.assert_allclose(many, expected, atol=1e-6)
    np.testing.assert_array_equal(few, many[:3])
    np.testing.assert_array_equal(couloir.load(run).sample(3, seed=5), few)
    facts = answered(capsys, run, "--seed", "5", "--count", "3", "--output", tmp_path / "each")
    assert facts["folders"] == [str(tmp_path / "each")]
    with Image.open(tmp_path / "each/000002.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), (few[2, 0] * 255).round())
    assert "not an empty folder" in refused(capsys, run, "--output", tmp_path / "each")


def test_a_picture_goes_into_the_run_and_is_written_again(finished: FinishedRuns, capsys: Capture) -> None:
    run = finished("vae")
    facts = answered(capsys, run, "--count", "4")
    (file,) = facts["files"]
    assert Path(file) == run / "samples/sample_seed0.png"
    with Image.open(file) as picture:
        whole = np.asarray(picture)
    side = (whole.shape[0] - 2) // 2
    first = task_of(run).make(task_of(run).draw(torch.arange(1)))[0, 0].numpy()
    np.testing.assert_array_equal(whole[: side : side // 8, : side : side // 8], (first * 255).round())
    assert (whole[side : side + 2] == 255).all(), "a gap between two pictures"
    assert answered(capsys, run, "--count", "4") == facts


def test_a_class_is_made_alone_and_all_of_them_in_turn(finished: FinishedRuns, tmp_path: Path, capsys: Capture) -> None:
    run = finished("gan")
    task = task_of(run)
    codes = task.draw(torch.arange(12))
    answered(capsys, run, "--count", "12", "--class", "7", "--output", tmp_path / "sevens.npy")
    expected = task.make(codes, torch.full((12,), 7)).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "sevens.npy"), expected, atol=1e-6)
    answered(capsys, run, "--count", "12", "--output", tmp_path / "all.npy")
    expected = task.make(codes, torch.arange(12) % 10).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "all.npy"), expected, atol=1e-6)
    np.testing.assert_array_equal(couloir.load(run).sample(2, label="1")[1], couloir.load(run).sample(2)[1])
    assert "knows no class 'seven'" in refused(capsys, run, "--class", "seven")


def test_rows_go_from_code_to_code_and_between_files(
    finished: FinishedRuns, digits: list[Path], tmp_path: Path, capsys: Capture
) -> None:
    run = finished("vae")
    task = task_of(run)
    answered(capsys, run, "--interpolate", "--count", "2", "--seed", "3", "--output", tmp_path / "drawn.npy")
    rows = np.load(tmp_path / "drawn.npy").reshape(2, 10, 8, 8)
    ends = task.make(task.draw(torch.arange(4), seed=3)).numpy().reshape(2, 2, 8, 8)
    np.testing.assert_allclose(rows[:, [0, -1]], ends, atol=1e-5)
    run = finished("autoencoder")
    answered(capsys, run, "--interpolate", *digits, "--output", tmp_path / "files.npy")
    rows = np.load(tmp_path / "files.npy").reshape(2, 10, 8, 8)
    loaded = couloir.load(run)
    rebuilt = loaded.rebuild(list(map(str, digits)))[:, 0]
    np.testing.assert_allclose(rows[:, [0, -1]], np.stack([rebuilt[:2], rebuilt[1:]], axis=1), atol=1e-5)
    codes = loaded.encode(list(map(str, digits)))
    middle = loaded.decode(codes[0] * 5 / 9 + codes[1] * 4 / 9)[0]
    np.testing.assert_allclose(rows[0, 4], middle, atol=1e-5)


def test_what_is_rebuilt_stands_below_its_file_with_the_error_that_predict_gives(
    finished: FinishedRuns, digits: list[Path], capsys: Capture
) -> None:
    run, torn = finished("autoencoder"), digits[0].with_name("torn.png")
    torn.write_bytes(b"no picture")
    facts = answered(capsys, run, "--reconstruct", *digits, torn)
    capsys.readouterr()
    assert command(["predict", str(run), *map(str, digits)]) == 0
    told = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [entry["file"] for entry in facts["errors"]] == [row["file"] for row in told]
    np.testing.assert_allclose([entry["mse"] for entry in facts["errors"]], [float(row["error"]) for row in told], 1e-4)
    assert command(["sample", str(run), "--reconstruct", *map(str, [*digits, torn])]) == 0
    shown = capsys.readouterr()
    assert "torn.png" in shown.err
    assert "PSNR" in shown.out
    with Image.open(facts["files"][0]) as picture:
        whole = np.asarray(picture)
    side = (whole.shape[0] - 2) // 2
    given = (load_digits().images[0] * 255 / 16).round()
    np.testing.assert_allclose(whole[: side : side // 8, : side : side // 8], given, atol=1)
    torn.unlink()


def test_the_codes_of_the_test_split_are_those_that_predict_gives(
    finished: FinishedRuns, tmp_path: Path, capsys: Capture
) -> None:
    run = finished("vae")
    facts = answered(capsys, run, "--latent")
    folder = run / "samples/latent"
    assert {Path(file).name for file in facts["files"]} == {"codes.png", "manifold.png", "codes.csv", "codes.npy"}
    with (folder / "codes.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    with (run / "predictions.csv").open(newline="") as stream:
        told = list(csv.DictReader(stream))
    assert [(row["sample"], row["class"]) for row in rows] == [(row["sample"], row["class"]) for row in told]
    found = np.array([[float(row[name]) for name in ("code_0", "code_1")] for row in rows])
    np.testing.assert_allclose(found, [[float(row[f"code_{k}"]) for k in (0, 1)] for row in told], atol=1e-5)
    np.testing.assert_allclose(np.load(folder / "codes.npy"), found, atol=1e-6)
    answered(capsys, run, "--latent")  # what is its own is replaced
    three = answered(capsys, finished("autoencoder"), "--latent", "--output", tmp_path / "codes")
    assert {Path(file).name for file in three["files"]} == {"codes.png", "codes.csv", "codes.npy"}
    assert "test/mse" in read_result(finished("autoencoder"))


@pytest.mark.parametrize("name", ["gan", "autoencoder"])
def test_a_walk_has_as_many_frames_as_are_asked_for(
    finished: FinishedRuns, name: str, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "walk.gif"
    answered(capsys, finished(name), "--walk", "--count", "20", "--output", file)
    with Image.open(file) as film:
        assert sum(1 for _ in range(getattr(film, "n_frames", 1))) > 1
        shown = sum(film.info["duration"] for frame in range(getattr(film, "n_frames", 1)) if film.seek(frame) is None)
    assert shown == 20 * 80, "frames that are alike are one that is shown longer"


def test_a_run_that_makes_nothing_is_refused_before_torch_is_imported(finished: FinishedRuns) -> None:
    program = "import sys; from couloir.cli.main import run; print(run(sys.argv[1:]), 'torch' in sys.modules)"
    for words in (["digits"], ["gan", "--latent"]):
        sentence = ["sample", str(finished(words[0])), *words[1:]]
        done = subprocess.run([sys.executable, "-c", program, *sentence], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["2", "False"], done.stderr


def test_what_cannot_be_made_is_refused_in_one_message(
    finished: FinishedRuns, digits: list[Path], tmp_path: Path, capsys: Capture
) -> None:
    vae, auto, gan, other = (finished(name) for name in ("vae", "autoencoder", "gan", "digits"))
    taken = tmp_path / "holiday.png"
    Image.new("L", (4, 4)).save(taken)
    for words, said in (
        ([other], "task=classification"),
        ([auto], "model=vae"),
        ([gan, "--latent"], "has no encoder"),
        ([gan, "--reconstruct", digits[0]], "has no encoder"),
        ([vae, "--class", "3"], "conditional GAN"),
        ([vae, "--count", "0"], "integer >= 1"),
        ([vae, "--latent", "--walk"], "one at a time"),
        ([vae, digits[0]], "takes no files"),
        ([vae, gan], "One run"),
        ([vae, "--output", tmp_path / "a.jpg"], "ends in .jpg"),
        ([vae, "--output", taken], "is no picture of `couloir sample`"),
        ([vae, "--output", tmp_path / "nowhere/a.png"], "no folder"),
        ([vae, "model.code_size=3"], "cannot change"),
        ([], "No run is named"),
    ):
        assert said in refused(capsys, *words), words
    with pytest.raises(CouloirError, match="count of at least 1"):
        couloir.load(vae).sample(0)
