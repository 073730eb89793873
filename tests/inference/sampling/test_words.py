"""What `couloir sample` is asked, before torch: counts, places, classes, and what must not be replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from couloir.errors import CouloirError
from couloir.inference.class_words import class_number
from couloir.inference.sampling import words
from couloir.inference.sampling.pictures import write_picture

IMAGES = {"task": "classification", "fields": {"image": "image", "label": "label"}}


def configuration(task: str, **keys: Any) -> Any:
    """As a run has it, as far as it is looked at."""
    needs = ["label"] if task == "classification" else []
    node = {"_target_": f"couloir.task.{task}.{task.capitalize()}", "needs": needs, **keys}
    return OmegaConf.create({"task": node, "data": IMAGES})


@pytest.mark.parametrize(
    ("task", "keys", "mode", "label", "files", "said"),
    [
        ("reconstruction", {}, words.SAMPLES, None, [], "model=vae"),
        ("reconstruction", {}, words.INTERPOLATE, None, [], "model=vae"),
        ("gan", {}, words.LATENT, None, [], "it has no encoder, and --latent needs"),
        ("gan", {}, words.RECONSTRUCT, None, ["a.png"], "it has no encoder, and --reconstruct needs"),
        ("gan", {}, words.INTERPOLATE, None, ["a.png", "b.png"], "--interpolate FILE needs"),
        ("gan", {"conditional": False}, words.SAMPLES, "3", [], "task.conditional=true"),
        ("vae", {}, words.SAMPLES, "3", [], "has task=vae"),
    ],
)
def test_what_a_run_cannot_make_is_refused_with_the_next_step(
    task: str, keys: dict[str, Any], mode: str, label: str | None, files: list[str], said: str
) -> None:
    with pytest.raises(CouloirError) as refused:
        words.check_mode(configuration(task, **keys), Path("run"), mode, label, files)
    assert said in str(refused.value)


def test_what_a_run_can_make_is_not_refused() -> None:
    words.check_mode(configuration("gan", conditional=True), Path("run"), words.SAMPLES, "3", [])
    words.check_mode(configuration("vae"), Path("run"), words.LATENT, None, [])
    words.check_mode(configuration("reconstruction"), Path("run"), words.INTERPOLATE, None, ["a.png", "b.png"])
    words.check_task(configuration("vae"), Path("run"))
    words.check_task(OmegaConf.create({"task": {"_target_": "mine.Painter"}, "data": IMAGES}), Path("run"))


def test_a_run_that_makes_nothing_is_refused() -> None:
    with pytest.raises(CouloirError, match="task=classification"):
        words.check_task(configuration("classification"), Path("run"))
    labels = OmegaConf.create({
        "task": {"_target_": "couloir.task.sequence_classification.SequenceClassification", "needs": ["label"]},
        "data": {"task": "sequence_classification"},
    })  # fmt: skip
    with pytest.raises(CouloirError, match="task=sequence_classification"):
        words.check_task(labels, Path("run"))
    with pytest.raises(CouloirError, match=r"task=translation, .* cannot continue one"):
        words.check_task(configuration("translation"), Path("run"))


def test_a_class_is_found_by_its_name_before_its_number() -> None:
    assert class_number("1", ["0", "2", "1"], "--class") == 2
    assert class_number("1", ["cat", "dog"], "--class") == 1
    assert class_number("dog", ["cat", "dog"], "--class") == 1
    with pytest.raises(CouloirError, match="did you mean --class dog"):
        class_number("dogs", ["cat", "dog"], "--class")


def test_a_number_that_counts_nothing_or_too_much_is_refused() -> None:
    assert words.counted(words.SAMPLES, None, words.PNG, []) == 64
    assert words.counted(words.SAMPLES, 100_000, words.NPY, []) == 100_000
    assert words.counted(words.LATENT, None, words.FOLDER, []) == 0
    refused: list[tuple[str, int, str, list[str]]] = [
        (words.SAMPLES, 2_501, words.PNG, []),
        (words.WALK, 1, words.GIF, []),
        (words.LATENT, 5, words.FOLDER, []),
        (words.INTERPOLATE, 5, words.PNG, ["a.png", "b.png"]),
    ]
    for asked in refused:
        with pytest.raises(CouloirError):
            words.counted(*asked)


def test_files_and_flags_that_nothing_reads_are_refused_not_ignored() -> None:
    for mode, files in ((words.RECONSTRUCT, []), (words.INTERPOLATE, ["a.png"]), (words.LATENT, ["a.png"])):
        with pytest.raises(CouloirError):
            words.check_files(mode, files, "latest", "outputs")
    words.check_files(words.INTERPOLATE, ["a.npy"], "latest", "outputs")
    for mode, files, seed in (
        (words.LATENT, [], 1),
        (words.INTERPOLATE, ["a.png", "b.png"], 1),
        (words.SAMPLES, [], 2**63),
    ):
        with pytest.raises(CouloirError):
            words.check_drawn(mode, files, seed, None)


def test_the_name_of_the_output_says_what_is_written(tmp_path: Path) -> None:
    place = words.place_for(words.SAMPLES, None, tmp_path, 3, "a b")
    assert place == (tmp_path / "samples" / "sample_seed3_class_a_b.png", words.PNG)
    last = tmp_path / "checkpoints/last.ckpt"
    assert words.place_for(words.LATENT, None, last, 0, None) == (tmp_path / "samples" / "latent_last", words.FOLDER)
    assert words.place_for(words.WALK, "w.PNG", tmp_path, 0, None)[1] == words.PNG
    assert words.place_for(words.SAMPLES, f"{tmp_path}", tmp_path, 0, None)[1] == words.FOLDER
    assert words.place_for(words.SAMPLES, "a.b/", tmp_path, 0, None)[1] == words.FOLDER
    for mode, name in ((words.SAMPLES, "a.jpg"), (words.WALK, "a.npy"), (words.LATENT, "a.png")):
        with pytest.raises(CouloirError, match=f"--output {name} ends in"):
            words.place_for(mode, name, tmp_path, 0, None)


def test_only_pictures_of_this_verb_are_replaced(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "holiday.png")
    write_picture(tmp_path / "ours.png", pixels)
    (tmp_path / "array.npy").write_bytes(b"numbers")
    words.check_place(tmp_path / "ours.png", words.PNG, own=False)
    words.check_place(tmp_path / "new.png", words.PNG, own=False)
    for name, form in (("holiday.png", words.PNG), ("array.npy", words.NPY), ("", words.FOLDER)):
        with pytest.raises(CouloirError, match="already"):
            words.check_place(tmp_path / name, form, own=False)
    with pytest.raises(CouloirError, match="mkdir -p"):
        words.check_place(tmp_path / "nowhere" / "a.png", words.PNG, own=False)
    codes = tmp_path / "codes"
    codes.mkdir()
    write_picture(codes / "codes.png", pixels)
    (codes / "codes.csv").touch()
    words.check_place(codes, words.FOLDER, own=False)
    (codes / "notes.txt").touch()
    with pytest.raises(CouloirError, match="not an empty folder"):
        words.check_place(codes, words.FOLDER, own=False)
