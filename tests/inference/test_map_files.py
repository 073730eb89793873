"""Maps of new images: each at its image's own size, as the run's own test has seen them, in files that others read."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import couloir
from couloir.cli.main import run as command
from couloir.config.finished import run_config
from couloir.inference.predictor import evaluate
from couloir.palette import palette
from couloir.record.result import read_result
from couloir.record.tested import read_confusion, read_maps
from finished_runs import FinishedRuns, told

Capture = pytest.CaptureFixture[str]
NAMES = ("ground", "disc", "bar")


def written(words: list[str], folder: Path) -> list[dict[str, str]]:
    """The rows of `answers.csv`."""
    assert command(["predict", *words, "--output", str(folder)]) == 0
    return list(csv.DictReader((folder / "answers.csv").open()))


def refused(words: list[str], capsys: Capture) -> str:
    capsys.readouterr()
    assert command(["predict", *words]) == 2
    return capsys.readouterr().err


def read(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file))


def test_masks_of_files_are_those_that_the_runs_own_test_has_measured(finished: FinishedRuns, tmp_path: Path) -> None:
    """What predictions.csv, confusion.csv and result.json say follows from the files, by a formula of its own."""
    run, kept = finished("masks"), finished.masks()
    rows = told(run)
    images = [str(kept / row["file"]) if "/" in row["file"] else str(kept / "images" / row["file"]) for row in rows]
    answers = written([str(run), *images], tmp_path / "masks")
    pixels = np.zeros((3, 3), int)
    for row, answer, image in zip(rows, answers, images, strict=True):
        mask = Image.open(tmp_path / "masks" / answer["answer"])
        assert mask.mode == "P"
        assert mask.getpalette() == palette().reshape(-1).tolist()
        assert mask.size == Image.open(image).size
        said, truth = np.asarray(mask), read(kept / "masks" / Path(image).name)
        counted = truth != 9
        assert float(row["pixel_accuracy"]) == pytest.approx((said == truth)[counted].mean(), rel=1e-6)
        ious = []
        for number, name in enumerate(NAMES):
            either = ((said == number) | (truth == number)) & counted
            both = (said == number) & (truth == number) & counted
            assert (row[f"iou({name})"] == "") == (not either.any())
            if either.any():
                ious.append(both.sum() / either.sum())
                assert float(row[f"iou({name})"]) == pytest.approx(ious[-1], rel=1e-6)
            assert float(answer[f"share({name})"]) == pytest.approx((said == number).mean(), rel=1e-5)
        assert float(row["mean_iou"]) == pytest.approx(np.mean(ious), rel=1e-6)
        np.add.at(pixels, (truth[counted], said[counted]), 1)
    confusion = read_confusion(run)
    assert confusion is not None
    assert (confusion.classes, confusion.counts) == (list(NAMES), pixels.tolist())
    assert read_result(run)["test/pixel_accuracy"] == pytest.approx(np.trace(pixels) / pixels.sum(), rel=1e-6)


def test_the_worst_images_of_the_test_come_first(finished: FinishedRuns) -> None:
    for name, by in (("masks", "mean_iou"), ("saliency", "cc"), ("twice as large", "psnr")):
        rows = [float(row[by]) for row in told(finished(name))]
        worst = read_maps(finished(name))
        assert [float(row[by]) for row in worst] == pytest.approx(sorted(rows)[:12], rel=1e-4), name
        assert all(float(row[by]) == pytest.approx(rows[int(row["index"])], rel=1e-4) for row in worst), name
        assert (finished(name) / "maps.png").exists()
        assert "no predictions.csv" not in (finished(name) / "train.log").read_text()


def test_overlays_and_probabilities_belong_to_the_mask(finished: FinishedRuns, tmp_path: Path) -> None:
    photograph = finished.masks() / "images/00.png"
    words = [str(finished("masks")), str(photograph), "--overlay", "--probabilities", "--probability", "disc"]
    (row,) = written(words, tmp_path / "out")
    mask, p = read(tmp_path / "out" / row["answer"]), np.load(tmp_path / "out" / row["probabilities"])
    assert (p.shape, p.dtype) == ((3, *mask.shape), np.float16)
    assert np.abs(p.astype(float).sum(axis=0) - 1).max() < 2e-3
    assert (p.argmax(axis=0) == mask).mean() > 0.99, "but for what half precision makes equal"
    deep = Image.open(tmp_path / "out" / row["probability(disc)"])
    assert deep.mode == "I;16"
    assert np.abs(np.asarray(deep) / 65535 - p[1]).max() < 1e-3
    overlay = read(tmp_path / "out" / row["overlay"])
    factor = overlay.shape[1] // mask.shape[1]
    shown = overlay[: mask.shape[0] * factor : factor, ::factor].astype(float)
    strength = np.where(mask == 0, 0.25, 0.5)[..., None]
    assert np.abs(shown - (read(photograph) * (1 - strength) + palette()[mask] * strength)).max() <= 1


def test_in_python_an_answer_is_a_map_with_the_shares_of_its_classes(finished: FinishedRuns, tmp_path: Path) -> None:
    run = couloir.load(finished("masks"))
    folder = finished.masks() / "images"
    answers = run(folder)
    rows = written([str(finished("masks")), str(folder)], tmp_path / "all")
    assert len(rows) == len(answers) == 12
    for row, answer in zip(rows, answers, strict=True):
        assert (answer.map == read(tmp_path / "all" / row["answer"])).all()
        assert answer.shares == pytest.approx({name: float(row[f"share({name})"]) for name in NAMES}, rel=1e-4)
        assert answer.array.shape == (3, *answer.map.shape)
    one = run(Image.open(folder / "01.png"))
    assert (one.map == answers[1].map).all()
    assert (run(np.asarray(Image.open(folder / "01.png"))).map == one.map).all()
    both = run([Image.open(folder / name) for name in ("00.png", "01.png")])
    assert [each.map.shape for each in both] == [(26, 41), (40, 30)]
    assert repr(one).startswith("Answer(map of 40 x 30 pixels, ")


def test_arrays_of_any_height_and_width_are_taken(finished: FinishedRuns, tmp_path: Path) -> None:
    images = np.stack([read(finished.masks() / f"images/{name}.png") for name in ("00", "02")])
    np.save(tmp_path / "last.npy", images)
    np.save(tmp_path / "first.npy", (images / 255).transpose(0, 3, 1, 2).astype(np.float32))
    run = str(finished("masks"))
    expected = [
        answer.map for answer in couloir.load(run)([finished.masks() / f"images/{n}.png" for n in ("00", "02")])
    ]
    for name in ("last", "first"):
        rows = written([run, str(tmp_path / f"{name}.npy")], tmp_path / name)
        found = [read(tmp_path / name / row["answer"]) for row in rows]
        assert np.mean([(one == other).mean() for one, other in zip(found, expected, strict=True)]) > 0.999
    assert [row["sample"] for row in rows] == ["0", "1"]


def test_a_photograph_that_cannot_be_read_is_named_and_the_rest_is_done(
    finished: FinishedRuns, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(("00", "01", "02")):
        (tmp_path / f"photos/{number}.png").write_bytes((finished.masks() / f"images/{name}.png").read_bytes())
    (tmp_path / "photos/1.png").write_bytes((tmp_path / "photos/1.png").read_bytes()[:200])
    words = [str(finished("masks")), str(tmp_path / "photos/0.png"), str(tmp_path / "photos/1.png")]
    rows = written([*words, str(tmp_path / "photos/2.png")], tmp_path / "out")
    assert [Path(row["file"]).name for row in rows] == ["0.png", "2.png"]
    assert "warning: " in capsys.readouterr().err
    assert "1.png" in refused([*words, "--strict", "--output", str(tmp_path / "strict")], capsys)


def test_two_runs_answer_with_the_mean_of_their_probabilities(finished: FinishedRuns, tmp_path: Path) -> None:
    runs, photograph = [finished("masks"), finished("masks again")], finished.masks() / "images/03.png"
    means = np.mean([couloir.load(run)(photograph).array for run in runs], axis=0)
    (row,) = written([*map(str, runs), str(photograph), "--probabilities"], tmp_path / "both")
    assert np.abs(np.load(tmp_path / "both" / row["probabilities"]) - means).max() < 1e-3


def test_saliency_is_written_as_pictures_of_8_and_16_bits_and_its_values(
    finished: FinishedRuns, tmp_path: Path
) -> None:
    photograph = finished.masks() / "images/00.png"
    (row,) = written([str(finished("saliency")), str(photograph), "--probabilities", "--overlay"], tmp_path / "out")
    values = np.load(tmp_path / "out" / row["values"])
    assert values.shape == (26, 41)
    assert values.sum() == pytest.approx(1, rel=1e-4), "a density"
    shares = values / values.max()
    assert np.abs(read(tmp_path / "out" / row["answer"]) - shares * 255).max() <= 0.51
    assert np.abs(read(tmp_path / "out" / row["values16"]) - shares * 65535).max() <= 0.6
    assert read(tmp_path / "out" / row["overlay"]).shape == (26, 41, 3)
    assert np.array_equal(couloir.load(finished("saliency"))(photograph).map, values)


def test_a_small_picture_is_enlarged(finished: FinishedRuns, tmp_path: Path) -> None:
    picture = tmp_path / "small.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7), dtype=np.uint8)).save(picture)
    (row,) = written([str(finished("twice as large")), str(picture)], tmp_path / "out")
    made = read(tmp_path / "out" / row["answer"])
    assert made.shape == (18, 14)
    assert (couloir.load(finished("twice as large"))(picture).map == made).all()


def test_what_does_not_apply_to_maps_is_refused_before_anything_is_written(
    finished: FinishedRuns, tmp_path: Path, capsys: Capture
) -> None:
    run, photograph, out = str(finished("masks")), str(finished.masks() / "images/00.png"), str(tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/kept.txt").touch()
    assert "--output FOLDER" in refused([run, photograph], capsys)
    assert "--output FOLDER" in refused([run, photograph, "--output", str(tmp_path / "a.csv")], capsys)
    assert "--output FOLDER" in refused([run, photograph, "--json", "--output", out], capsys)
    assert "--top names classes" in refused([run, photograph, "--top", "2", "--output", out], capsys)
    assert "not an empty folder" in refused([run, photograph, "--output", str(tmp_path / "full")], capsys)
    told = refused([run, photograph, "--output", out, "--probability", "disk"], capsys)
    assert "--probability disc" in told
    for name, flag in (("twice as large", "--overlay"), ("twice as large", "--probabilities")):
        assert "leave --" in refused([str(finished(name)), photograph, "--output", out, flag], capsys)
    told = refused([str(finished("saliency")), photograph, "--output", out, "--probability", "1"], capsys)
    assert "task=segmentation" in told
    assert "leave --overlay out" in refused([str(finished("digits")), photograph, "--overlay"], capsys)
    np.save(tmp_path / "flat.npy", np.zeros((2, 24, 24), np.uint8))
    assert "(N, 3, height, width)" in refused([run, str(tmp_path / "flat.npy"), "--output", out], capsys)
    assert not Path(out).exists()


def test_an_evaluation_gives_the_numbers_of_the_runs_own_test_also_as_an_ensemble(
    finished: FinishedRuns, tmp_path: Path
) -> None:
    run = finished("twice as large")
    cfgs = [run_config(run), run_config(run)]
    expected = {name.removeprefix("test/"): value for name, value in read_result(run).items() if "test/" in name}
    alone, both = evaluate(cfgs[:1], [run]), evaluate(cfgs, [run, run])
    assert alone.numbers == pytest.approx(expected, rel=1e-6)
    assert both.numbers == pytest.approx({name: expected[name] for name in ("psnr", "ssim", "input_psnr")}, rel=1e-5)
