"""Two runs compared bit for bit: the first number that differs, and what cannot be compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import couloir
from couloir.compare.numbers import compare_metrics
from couloir.compare.rerun import compare_runs, same_bits, scalars

WORDS = ["data=moons", "data.subset=60", "trainer.max_epochs=2", "trainer.log_every_n_steps=1", "trainer=cpu"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return couloir.train(couloir.compose([*WORDS, f"output_dir={tmp_path_factory.mktemp('outputs')}"])).dir


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be spoilt."""
    return Path(shutil.copytree(original, tmp_path / "run"))


def edit(file: Path, **facts: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **facts}))


def test_a_copy_is_identical_in_every_file(original: Path, run: Path) -> None:
    compared = compare_runs(run, original)
    assert compared.differ == compared.left_out == []
    assert compared.counts["metrics.csv"] == 2 * 10
    assert compared.counts["checkpoints/last.ckpt"] > 4


def test_rows_within_epochs_are_compared_where_they_stand() -> None:
    then = [{"epoch": "0.5", "step": "3", "val/loss": "1.0"}, {"epoch": "1", "step": "7", "val/loss": "0.5"}]
    now = [{"epoch": "0.5", "step": "3", "val/loss": "1.5"}, {"epoch": "0.75", "step": "5", "val/loss": "0.5"}]
    said = [number.in_words() for number in compare_metrics(then, now).differ]
    assert said == [
        "epoch 0.5, step 3, val/loss: 1.0 and 1.5 (metrics.csv)",
        "epoch 1, step 7, epoch: 1 and 0.75 (metrics.csv)",
        "epoch 1, step 7, step: 7 and 5 (metrics.csv)",
    ]


@pytest.mark.parametrize(
    ("spoilt", "epoch", "step", "name"),
    [
        ("steps", 1, 3, "train/loss_step"),
        ("metrics", 2, 14, "val/loss"),
        ("epochs", 2, 14, "number of rows"),
        ("result", None, None, "test/accuracy"),
        ("best.ckpt", None, None, "net."),
        ("last.ckpt", None, None, "net."),
    ],
)
def test_the_first_number_that_differs_is_named_with_both_values(
    spoilt: str, epoch: int | None, step: int | None, name: str, original: Path, run: Path
) -> None:
    before = _spoil(run, spoilt)
    first = compare_runs(run, original).first()
    assert first is not None
    assert first.name.startswith(name)
    assert (first.epoch, first.step, first.then) == (epoch, step, before)
    assert f": {first.then} and {first.now} (" in first.in_words()


def _spoil(run: Path, what: str) -> str:
    """Change a number of a run; the value that it has then, as it will be quoted."""
    if what == "steps":
        from torch.utils.tensorboard import SummaryWriter

        found = scalars(run / "tensorboard")
        shutil.rmtree(run / "tensorboard")
        with SummaryWriter(str(run / "tensorboard")) as writer:
            for (tag, step), value in sorted(found.items(), key=lambda item: item[0][1]):
                writer.add_scalar(tag, 7.5 if (tag, step) == ("train/loss_step", 3) else float(value), step)
        return "7.5"
    lines = (run / "metrics.csv").read_text().splitlines()
    if what == "epochs":
        (run / "metrics.csv").write_text("\n".join(lines[:2]) + "\n")
        return "1"
    if what == "metrics":
        cells = lines[2].split(",")
        cells[lines[0].split(",").index("val/loss")] = "0.125"
        (run / "metrics.csv").write_text("\n".join([*lines[:2], ",".join(cells)]) + "\n")
        return "0.125"
    if what == "result":
        edit(run / "result.json", **{"test/accuracy": 2.5})
        return "2.5"
    file = run / "checkpoints" / what
    checkpoint = torch.load(file, weights_only=True)
    tensor = next(value for name, value in checkpoint["state_dict"].items() if name.startswith("net."))
    tensor.view(-1)[1] = 0.75
    file.unlink()
    torch.save(checkpoint, file)
    return "0.75"


def test_an_unfinished_run_is_compared_as_far_as_it_came(original: Path, run: Path) -> None:
    edit(run / "status.json", status="interrupted")
    (run / "result.json").unlink()
    lines = (run / "metrics.csv").read_text().splitlines()
    (run / "metrics.csv").write_text("\n".join(lines[:2]) + "\n")
    file = run / "checkpoints/last.ckpt"
    checkpoint = torch.load(file, weights_only=True)
    file.unlink()
    torch.save({**checkpoint, "global_step": 5}, file)
    compared = compare_runs(run, original)
    assert compared.differ == []
    assert compared.left_out == [
        "the run's end: it is interrupted",
        "metrics.csv has 1 rows there, 2 here",
        "last.ckpt: saved after 5 steps there, 14 here",
    ]
    assert "result.json" not in compared.counts


def test_a_torn_checkpoint_of_the_run_does_not_cost_the_comparison(original: Path, run: Path) -> None:
    whole = (run / "checkpoints/best.ckpt").read_bytes()
    (run / "checkpoints/best.ckpt").unlink()
    (run / "checkpoints/best.ckpt").write_bytes(whole[:999])
    compared = compare_runs(run, original)
    assert compared.differ == []
    assert [text.partition(":")[0] for text in compared.left_out] == ["best.ckpt"]


def test_bits_decide_and_not_values() -> None:
    nan = torch.tensor([float("nan"), 1.0])
    assert same_bits(nan, nan.clone())
    assert not same_bits(torch.tensor(0.0), torch.tensor(-0.0))
    assert not same_bits(torch.tensor([1.0]), torch.tensor([1]))
    assert same_bits(torch.ones(4, 3).t(), torch.ones(3, 4))
