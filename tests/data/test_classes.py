"""`data.classes`: which classes take part, and which label each gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from sklearn.datasets import load_digits, load_iris

import couloir
from couloir.cli.main import run as command
from couloir.config.build import build
from couloir.config.check import checked
from couloir.data.classes import chosen_classes
from couloir.data.samples import Samples
from couloir.errors import CouloirError
from photographs import make_photographs
from repeats import few

ANIMALS = ["ant", "bee", "cat", "dog"]


@pytest.mark.parametrize(
    ("chosen", "names", "found"),
    [
        (None, ANIMALS, ANIMALS),
        (["dog", "ant"], ANIMALS, ["dog", "ant"]),
        ([3, "bee"], ANIMALS, ["dog", "bee"]),
        (["10", 2], ["1", "2", "10"], ["10", "2"]),  # where names are integers, integers are names
        ([True, False], ["False", "True"], ["True", "False"]),
        ([None, "dog"], ["dog", "null"], ["null", "dog"]),
    ],
)
def test_a_class_is_named_or_numbered(chosen: Any, names: list[str], found: list[str]) -> None:
    assert chosen_classes(chosen, names) == found


@pytest.mark.parametrize(
    ("chosen", "names", "fact", "next_step"),
    [
        (["dog", "aunt"], ANIMALS, "There is no class 'aunt'", "did you mean ant, cat?"),
        ([4, 0], ANIMALS, "There is no class '4'", "data.classes=[ant,bee]"),
        ([-1, 0], ANIMALS, "There is no class '-1'", "data.classes=[ant,bee]"),
        ([0, 1], ["1", "2"], "There is no class '0'", ""),
        ([1.0, 2], ANIMALS, "There is no class '1.0'", ""),
        ([True, 2], ANIMALS, "There is no class 'True'", ""),
        (["dog", 0, 3], ANIMALS, "names the class 'dog' twice", "data.classes=[dog,ant]"),
        (["dog"], ANIMALS, "names one class; a classification needs at least two", "data.classes=[ant,bee]"),
        ([], ANIMALS, "names no class", "data.classes=[ant,bee]"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(chosen: Any, names: list[str], fact: str, next_step: str) -> None:
    with pytest.raises(CouloirError, match=fact) as raised:
        chosen_classes(chosen, names)
    assert next_step in str(raised.value.next_step)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("data=digits data.classes=[3,11]", "There is no class '11'"),
        ("data=fashion_mnist data.classes=[bag,cot]", "did you mean coat?"),
        ("data=cifar10 data.classes=[cat,dgo]", "did you mean dog?"),
        ("data=cifar100 data.classes=[3,100]", "There is no class '100'"),
        ("data=cifar100 data.labels=coarse data.classes=[3,20]", "There is no class '20'"),
        ("data=iris data.classes=[setosa]", "names one class"),
        ("data=moons data.classes=[0,0]", "names the class '0' twice"),
        ("data=digits data.classes=3", "data.classes takes a list of names or numbers, not 3"),
        ("data=digits data.classes=[1,2,3] data.num_classes=4", "names 3 classes, and data.num_classes is 4"),
        ("data=digits data.classes=[1,2,3] model=lenet5_1998", "needs classes with num_classes=10"),
    ],
)
def test_a_wrong_choice_ends_before_torch(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["train", *words.split()]) == 2
    assert said in capsys.readouterr().err


def samples_of(*words: str) -> Samples:
    cfg = checked(list(words)).cfg
    samples: Samples = build(cfg, "data")
    samples.setup()
    assert samples.num_classes == cfg.data.num_classes == len(samples.classes)
    return samples


def test_labels_follow_the_order_given_in_all_splits() -> None:
    bunch = load_digits()
    samples = samples_of("data=digits", "data.classes=[8,3,5]")
    assert samples.classes == ["8", "3", "5"]
    rows = np.concatenate([split.indices for split in samples.splits.values()])
    assert sorted(rows) == sorted(np.flatnonzero(np.isin(bunch.target, [3, 5, 8])))
    for split in samples.splits.values():
        assert (np.array([8, 3, 5])[split.targets] == bunch.target[split.indices]).all()
        pixels = split.source.fetch(torch.from_numpy(split.indices[:5])).numpy()[:, 0]
        assert (pixels == np.rint(bunch.images[split.indices[:5]] * (255 / 16))).all()


def test_the_share_of_each_split_and_the_subset_are_of_the_chosen_classes() -> None:
    samples = samples_of("data=digits", "data.classes=[0,1]", "data.subset=40")
    assert samples.sizes()["train"] + samples.sizes()["val"] == 40
    assert all(np.bincount(split.targets).tolist()[0] > 0 for split in samples.splits.values())


def test_without_the_key_nothing_changes_and_all_classes_in_order_are_the_same() -> None:
    digits = samples_of("data=digits").fingerprint()
    assert samples_of("data=digits", "data.classes=[0,1,2,3,4,5,6,7,8,9]").fingerprint() == digits
    assert samples_of("data=digits", "data.classes=[1,0,2,3,4,5,6,7,8,9]").fingerprint() != digits


def test_a_table_of_scikit_learn_gives_its_classes_by_name() -> None:
    bunch = load_iris()
    samples = samples_of("data=iris", "data.classes=[virginica,setosa]")
    for split in samples.splits.values():
        assert (bunch.target_names[bunch.target[split.indices]] == np.array(samples.classes)[split.targets]).all()


def test_the_halves_of_the_moon_can_change_their_labels() -> None:
    plain, turned = (
        samples_of("data=moons").splits["test"],
        samples_of("data=moons", "data.classes=[1,0]").splits["test"],
    )
    by_row = dict(zip(plain.indices.tolist(), plain.targets.tolist(), strict=True))
    shared = [row for row in turned.indices.tolist() if row in by_row]
    found = dict(zip(turned.indices.tolist(), turned.targets.tolist(), strict=True))
    assert shared
    assert all(found[row] == 1 - by_row[row] for row in shared)


@pytest.mark.parametrize("name", few(["mnist", "cifar10"], 1))
def test_downloaded_sets_give_the_rows_of_their_classes(name: str, couloir_data: Path) -> None:
    words = [f"data={name}", f"data.root={couloir_data / name}"]
    everything, two = samples_of(*words), samples_of(*words, "data.classes=[7,2]")
    for split in ("train", "test"):
        rows = two.splits[split].indices
        assert (np.array([7, 2])[two.splits[split].targets] == everything.splits[split].source.targets[rows]).all()
    assert len(two.splits["test"].indices) == np.isin(everything.splits["test"].source.targets, [2, 7]).sum()


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Twelve photographs of each of three classes, `a`, `b` and `c`, in three splits."""
    root = make_photographs(tmp_path / "photographs", train=8, other=4)
    for split in ("train", "val", "test"):
        (root / split / "c").mkdir()
        for file in sorted((root / split / "a").iterdir()):
            (root / split / "c" / f"c{file.name}").write_bytes(file.read_bytes())
    return root


def test_a_folder_reads_the_chosen_classes_alone(photographs: Path) -> None:
    (photographs / "train/b/000.jpg").write_bytes(b"not a photograph")
    words = ["data=image_folder", f"data.root={photographs}", "data.image_size=16", "data.workers=0"]
    for classes in ("[c,a]", "[2,0]"):
        samples = samples_of(*words, f"data.classes={classes}", "data.on_error=skip")
        assert (samples.classes, samples.skipped) == (["c", "a"], [])
        for split in samples.splits.values():
            folders = [split.source.paths[index].parent.name for index in split.indices]
            assert folders == [samples.classes[label] for label in split.targets]
            assert set(folders) == {"a", "c"}


def test_a_split_without_any_of_the_classes_is_named(photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in (photographs / "val/c").iterdir():
        file.unlink()
    for file in (photographs / "val/b").iterdir():
        file.unlink()
    words = ["data=image_folder", f"data.root={photographs}", "data.classes=[c,b]"]
    assert command(["train", *words]) == 2
    assert "val has no image of the classes c, b" in capsys.readouterr().err


def test_summary_needs_no_folder_and_counts_what_is_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data=imagenet", "data.image_size=32", "model=resnet18", "data.classes=[cat,dog,horse]"]
    assert command(["summary", *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["layers"][-1]["output_shape"] == [3]


def test_a_run_is_tested_and_run_again_with_its_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["data=digits", "data.classes=[9,4]", "data.subset=60", "model=linear", "trainer.max_epochs=2"]
    result = couloir.train(couloir.compose([*words, "trainer=cpu", "logger=none"]))
    settled = yaml.safe_load((result.dir / "config.yaml").read_text())["data"]
    assert (settled["classes"], settled["num_classes"]) == ([9, 4], 2)
    assert (result.dir / "confusion.csv").read_text().splitlines()[0].split(",")[1:] == ["9", "4"]
    assert command(["evaluate", str(result.dir)]) == 0
    evaluated = json.loads(next(tmp_path.glob("outputs/evaluate/*/result.json")).read_text())
    assert evaluated["test/accuracy"] == result.metrics["test/accuracy"]
    assert command(["evaluate", str(result.dir), "data.classes=[4,9]"]) == 2
    assert "cannot change after training" in capsys.readouterr().err
    assert command(["rerun", str(result.dir)]) == 0
