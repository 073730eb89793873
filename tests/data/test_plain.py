"""A user's own LightningDataModule trains, tests, resumes, reruns and reports; what it cannot say is left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from couloir.cli.main import run
from couloir.data.plain import Replayed
from couloir.errors import CouloirError
from couloir.task.classification import Classification
from couloir.trainer.loop import ShortStep
from interruption import assert_same, stopped

WORDS = [
    "data=mine", "model.hidden=[8]", "model.dropout=0.2", "trainer.max_epochs=3", "trainer.accelerator=cpu",
    "logger=csv", "allow_targets=[plain_module]",
]  # fmt: skip


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import plain_module

    (tmp_path / "conf/data").mkdir(parents=True)
    (tmp_path / "conf/data/mine.yaml").write_text(plain_module.YAML)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_trains_tests_reports_and_is_evaluated_and_says_once_what_it_lacks(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", *WORDS, "trainer.max_epochs=6", "optimizer.lr=0.05"]) == 0
    said = capsys.readouterr()
    assert (said.out + said.err).count("BlobsModule is your own data module") == 1
    folder = (project / "outputs/latest").resolve()
    numbers = json.loads((folder / "result.json").read_text())
    assert numbers["test/accuracy"] > 0.8
    data = json.loads((folder / "provenance.json").read_text())["data"]
    assert data["sizes"] == {"train": 150, "val": 30, "test": 60}
    assert data["fingerprint"] is None
    assert (folder / "confusion.csv").read_text().startswith("true\\predicted,0,1,2")
    assert run(["report", str(folder)]) == 0
    assert run(["evaluate", str(folder), WORDS[-1]]) == 0
    evaluated = json.loads(next((project / "outputs/evaluate").glob("*/result.json")).read_text())
    assert evaluated["test/accuracy"] == numbers["test/accuracy"]


@pytest.mark.parametrize(
    "more", [[], ["data.named=true", "augmentation=noise"], pytest.param(["data.workers=2"], marks=pytest.mark.slow)]
)
def test_a_run_that_was_stopped_within_an_epoch_goes_on_to_the_bit(
    more: list[str], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stopped([*WORDS, *more, "output_dir=stopped"], "train", 13, monkeypatch)  # ten batches an epoch
    assert run(["resume", str(folder), WORDS[-1]]) == 0
    assert run(["train", *WORDS, *more, "output_dir=whole"]) == 0
    assert_same(folder, (project / "whole/latest").resolve())


def test_a_rerun_is_the_same_to_the_bit(project: Path) -> None:
    assert run(["train", *WORDS]) == 0
    assert run(["rerun", "latest", WORDS[-1]]) == 0


@pytest.mark.parametrize("hooks", [False, True])
def test_a_modules_own_hooks_are_called_and_the_short_way_is_taken_where_there_are_none(
    hooks: bool, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import plain_module

    seen, taken = list[float](), list[int]()
    compute, step = Classification.compute, ShortStep._step
    monkeypatch.setattr(
        Classification, "compute", lambda task, batch: seen.append(float(batch["point"].std())) or compute(task, batch)
    )
    monkeypatch.setattr(ShortStep, "_step", lambda loop, batch, index: taken.append(index) or step(loop, batch, index))
    if hooks:
        (project / "conf/data/mine.yaml").write_text(plain_module.YAML.replace("BlobsModule", "ScaledModule"))
    assert run(["train", *WORDS, "trainer.max_epochs=1"]) == 0
    assert len(taken) == (0 if hooks else 9)
    assert (sum(seen) / len(seen) > 1.4) is hooks  # points around 0, 1 and 2 deviate by about 0.87


@pytest.mark.slow
def test_several_processes_are_refused_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", *WORDS, "trainer=ddp", "trainer.devices=2"]) == 2
    assert "several processes cannot divide" in capsys.readouterr().err


def test_fields_that_are_not_those_of_the_batches_are_said(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "conf/data/mine.yaml"
    file.write_text(file.read_text().replace("point: row", "dot: row"))
    assert run(["train", *WORDS, "data.named=true"]) == 2
    assert "no field 'dot'; they have point, kind, weight" in capsys.readouterr().err


def batches_of(loader: Replayed) -> list[torch.Tensor]:
    return [batch["row"].clone() for batch in loader]


def test_an_epoch_is_a_pure_function_of_seed_and_epoch_and_leaves_the_runs_random_numbers_alone() -> None:
    def loader(seed: int) -> Replayed:
        plain = DataLoader(TensorDataset(torch.arange(20.0)[:, None], torch.zeros(20)), 4, shuffle=True)
        return Replayed(plain, {"row": "row", "value": "value"}, seed, "train")

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = loader(0)
    one, two = batches_of(first), batches_of(first)
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(99)
    again = loader(0)
    assert all(map(torch.equal, batches_of(again), one))
    assert not all(map(torch.equal, two, one))
    assert not all(map(torch.equal, batches_of(loader(1)), one))
    taken_up = loader(0)
    taken_up.load_state_dict({"epoch": 1, "position": 3})
    assert all(map(torch.equal, batches_of(taken_up), two[3:]))
    assert len(two[3:]) == 2


def test_a_tuple_of_another_length_is_refused() -> None:
    loader = Replayed([(torch.zeros(2, 1), torch.zeros(2))], {"row": "row"}, 0, "train")
    with pytest.raises(CouloirError, match=r"2 parts, and data\.fields names 1: row"):
        next(iter(loader))
