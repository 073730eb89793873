"""`data=shards` in a sentence: it trains, goes on inside an epoch, repeats, evaluates, and is looked at, as folders."""

from __future__ import annotations

import csv
import json
import shutil
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from archives import archive, jpeg, make_shards, samples

import couloir
from couloir.cli.main import run
from couloir.config.world import ALONE, World
from couloir.data.health import repeated_samples
from couloir.data.samples import Samples
from couloir.errors import CouloirError
from couloir.run.assemble import load_data
from interruption import differences, result, rows, state, stopped

SIZES = (20, 1, 23)


def sentence(root: Path, *more: str) -> list[str]:
    return [
        "data=shards", f"data.path={root}", "data.image_size=8", "data.batch_size=4", "data.block=4", "data.window=3",
        "data.workers=0", "model=mlp", "model.hidden=[4]", "trainer.max_epochs=2", "logger=csv", *more,
    ]  # fmt: skip


def loaded(root: Path, *more: str, world: World = ALONE) -> Samples:
    cfg = couloir.compose(sentence(root, "data.standardize=false", *more)).cfg
    data: Samples = load_data(cfg, reports=False)
    data.world = world
    return data


def numbers(batch: dict[str, torch.Tensor]) -> list[int]:
    """The numbers that the pictures' pixels are."""
    return (batch["image"][:, 0, 0, 0] * 255).round().long().tolist()


def test_a_run_that_was_stopped_inside_an_epoch_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shards(tmp_path / "set", *SIZES)
    words = sentence(tmp_path / "set")
    whole = couloir.train(couloir.compose([*words, f"output_dir={tmp_path / 'whole'}"])).dir
    broken = stopped([*words, f"output_dir={tmp_path / 'broken'}"], "train", 4, monkeypatch)
    assert run(["resume", str(broken), "data.workers=1"]) == 0
    assert rows(broken) == rows(whole)
    assert result(broken) == result(whole)
    assert differences(state(broken, "last"), state(whole, "last")) == ["/hyper_parameters/data/workers: 1 0"]


@pytest.mark.slow
def test_a_finished_run_is_repeated_and_evaluated_wherever_the_shards_are(tmp_path: Path) -> None:
    make_shards(tmp_path / "set", *SIZES)
    whole = couloir.train(couloir.compose([*sentence(tmp_path / "set"), f"output_dir={tmp_path / 'whole'}"])).dir
    assert run(["rerun", str(whole)]) == 0
    (tmp_path / "moved").symlink_to(tmp_path / "set")
    assert run(["evaluate", str(whole), f"data.path={tmp_path / 'moved'}"]) == 0
    with (whole / "predictions.csv").open() as stream:
        files = [row["file"] for row in csv.DictReader(stream)]
    assert len(files) == len(set(files)) > 2
    assert all(file.startswith("train-00000") and file.endswith(".png") for file in files)
    data = json.loads((whole / "provenance.json").read_text())["data"]
    assert data["fingerprint"] == loaded(tmp_path / "set").fingerprint()
    archive(tmp_path / "set/train-000001.tar", samples(90, 1))
    assert data["fingerprint"] != loaded(tmp_path / "set").fingerprint()


def test_an_epoch_is_the_same_whatever_workers_and_processes_share_it(tmp_path: Path) -> None:
    make_shards(tmp_path, *SIZES)
    alone = loaded(tmp_path)
    batches = [numbers(batch) for batch in alone.train_dataloader()]
    assert sorted(chain(*batches)) == alone.splits["train"].indices.tolist()
    helped = loaded(tmp_path, "data.workers=2")
    assert [numbers(batch) for batch in helped.train_dataloader()] == batches
    helped.end_workers()
    parts = []
    for rank in (0, 1):
        of_two = loaded(tmp_path, "data.batch_size=2", world=World(rank, 2, rank, 2))
        parts.append([numbers(batch) for batch in of_two.train_dataloader()])
    assert [{*one, *other} for one, other in zip(*parts, strict=True)] == list(map(set, batches))
    nodes = []
    for rank in (0, 1):
        of_two = loaded(tmp_path, "data.batch_size=2", world=World(rank, 2, 0, 1, rank))
        nodes.append([numbers(batch) for batch in of_two.train_dataloader()])
    assert [{*one, *other} for one, other in zip(*nodes, strict=True)] == list(map(set, batches))
    assert nodes != parts


def test_what_is_held_out_follows_from_the_number_of_a_sample(tmp_path: Path) -> None:
    few = loaded(make_shards(tmp_path / "few", 40, 40)).splits
    more = loaded(make_shards(tmp_path / "more", 40, 40, 40)).splits
    for split in ("train", "val", "test"):
        assert few[split].indices.tolist() == [at for at in more[split].indices.tolist() if at < 80]
    everything = np.concatenate([split.indices for split in more.values()])
    assert sorted(everything.tolist()) == list(range(120))
    make_shards(tmp_path / "few", 10, split="test")
    own = loaded(tmp_path / "few")
    assert own.sizes()["test"] == 10
    assert numbers(next(iter(own.test_dataloader()))) == [0, 1, 2, 3]


def test_copies_are_told_and_pictures_that_differ_in_the_middle_are_none(tmp_path: Path) -> None:
    middle = [bytes(5000) + bytes([value]) + bytes(5000) for value in (1, 2)]
    assert len(middle[0]) > 4096 + 1024
    members = [("x.png", middle[0]), ("x.cls", b"0"), ("y.png", middle[1]), ("y.cls", b"1")]
    archive(tmp_path / "train-0.tar", [*samples(0, 12), *members])
    archive(tmp_path / "test-0.tar", samples(3, 2))
    archive(tmp_path / "val-0.tar", [("a.png", samples(5, 1)[0][1]), ("a.cls", b"1")])
    told = list(repeated_samples(loaded(tmp_path)))
    assert told == [
        "2 of 2 test samples are also in the training split, for example "
        "train-0.tar/00003.png and test-0.tar/00003.png",
        "1 of 1 validation samples is also in the training split, for example "
        "train-0.tar/00005.png and val-0.tar/a.png",
        "1 photograph has two labels: for example train-0.tar/00005.png and val-0.tar/a.png are the same file",
    ]


def test_couloir_data_looks_into_shards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_shards(tmp_path / "set", 12, names=["ant", "bee", "cat"])
    members = [("x.png", b"no picture"), ("x.cls", b"bee"), ("y.jpg", jpeg(0)), ("y.cls", b"ant"), ("y.txt", b"words")]
    archive(tmp_path / "set/train-000001.tar", [*members, ("z.jpg", jpeg(1))])
    words = [f"output_dir={tmp_path}", *sentence(tmp_path / "set")]
    assert run(["data", *words]) == 0
    assert "z.jpg has no label" in capsys.readouterr().out
    assert run(["data", *words, "data.on_error=skip", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["samples"] == 14
    assert facts["classes"]["names"] == ["ant", "bee", "cat"]
    assert facts["photographs"]["formats"] == {"PNG": 12, "JPEG": 1}
    assert facts["broken"]["number"] == 1
    assert facts["broken"]["files"][0]["file"] == "train-000001.tar/x.png"
    assert facts["left_out"]["samples"][0]["reason"] == "has no label"
    assert facts["other_files"][0]["kind"] == ".txt"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data.path=null"], "The shards are missing"),
        (["data.num_classes=2"], "labels of the shards are those of 3 classes"),
        (["data.resize=4"], "data.resize=4 is smaller than data.image_size=8"),
        (["data.block=0"], "data.block takes"),
        (["data.classes=[0,7]"], "There is no class '7'"),
        (["data.background=colourless"], "is no colour"),
    ],
)
def test_what_makes_no_sense_is_said_before_training(words: list[str], said: str, tmp_path: Path) -> None:
    make_shards(tmp_path, 12)
    with pytest.raises(CouloirError, match=said):
        couloir.compose(sentence(tmp_path, *words))


def test_a_shard_that_changes_or_goes_away_while_it_is_read_ends_the_run_by_name(tmp_path: Path) -> None:
    data = loaded(make_shards(tmp_path, *SIZES))
    archive(tmp_path / "train-000000.tar", samples(100, 20))
    with pytest.raises(CouloirError, match=r"train-000000\.tar has changed while it was read") as error:
        list(data.train_dataloader())
    assert error.value.place == str(tmp_path / "train-000000.tar")
    data = loaded(tmp_path)
    shutil.rmtree(tmp_path)
    with pytest.raises(CouloirError, match=r"train-00000.\.tar cannot be read: No such file"):
        list(data.train_dataloader())


def test_a_picture_that_cannot_be_decoded_is_named_with_its_shard(tmp_path: Path) -> None:
    members = [("x.png", b"no picture"), ("x.cls", b"0"), ("y.png", jpeg(0)), ("y.cls", b"1"), *samples(0, 6)]
    data = loaded(archive(tmp_path / "train-0.tar", members).parent)
    with pytest.raises(CouloirError, match=r"x\.png cannot be decoded: it is empty or not an image") as error:
        [list(data.in_order(split)) for split in data.splits]
    assert error.value.place == f"{tmp_path / 'train-0.tar'}, x.png"


def test_pictures_that_cannot_be_decoded_are_left_out_as_if_they_were_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = [("x.png", b"no picture"), ("x.cls", b"1")]
    archive(tmp_path / "train-0.tar", [*samples(0, 7), *broken, *samples(7, 6)])
    archive(tmp_path / "val-0.tar", samples(20, 3))
    archive(tmp_path / "test-0.tar", [*broken, *samples(30, 3)])
    data = loaded(tmp_path, "data.on_error=skip")
    assert data.sizes() == {"train": 13, "val": 3, "test": 3}
    assert sorted(chain(*map(numbers, data.in_order("train")))) == list(range(13))
    assert [(each.split, each.file, each.label, each.reason) for each in data.skipped] == [
        (name, str(tmp_path / f"{name}-0.tar/x.png"), "1", "cannot be decoded: it is empty or not an image")
        for name in ("train", "test")
    ]
    monkeypatch.setattr("couloir.data.shards.undecodable._decoded", None)  # remembered
    assert loaded(tmp_path, "data.on_error=skip").fingerprint() == data.fingerprint()
    monkeypatch.undo()
    archive(tmp_path / "val-0.tar", broken)
    with pytest.raises(CouloirError, match="None of the 1 pictures in val can be decoded"):
        loaded(tmp_path, "data.on_error=skip")


def test_classes_can_be_chosen_and_drawn_evenly_and_folds_cut(tmp_path: Path) -> None:
    make_shards(tmp_path, *SIZES)
    chosen = loaded(tmp_path, "data.classes=[2,0]")
    assert chosen.num_classes == 2
    assert all(numbers(batch) for batch in chosen.train_dataloader())
    assert {number % 3 for batch in chosen.train_dataloader() for number in numbers(batch)} == {0, 2}
    even = loaded(tmp_path, "data.sampler=balanced")
    assert sum(len(numbers(batch)) for batch in even.train_dataloader()) == even.sizes()["train"]
    fold = loaded(tmp_path, "data.folds=4", "data.fold=1")
    assert fold.sizes()["test"] == 11
