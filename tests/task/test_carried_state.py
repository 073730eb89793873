"""State that goes on from batch to batch: exact over streams, resumed within an epoch, undisturbed by a validation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small_texts import LETTERS, made, write_conf

import couloir
from couloir.cli.main import run
from couloir.errors import CouloirError
from couloir.ragged import Padded
from couloir.record.film import texts
from couloir.run.assemble import build_network, load_data
from couloir.task.build import build_task
from couloir.task.next_token import NextToken
from couloir.task.token_prediction import flat
from interruption import assert_same, rows, stopped

ALLOWED = "allow_targets=[small_texts]"
WORDS = [
    "data=small_text", "model=gru", "model.width=6", ALLOWED, "trainer.accelerator=cpu",
    "optimizer=adam", "optimizer.lr=0.02", "logger=csv", "data.carry_state=true", "trainer.max_epochs=2",
    "data.lengths=[270,90,90]",
]  # fmt: skip


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_conf(tmp_path / "conf")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def task_of(*words: str) -> tuple[NextToken, Any]:
    cfg = couloir.compose([*WORDS, *words]).cfg
    data = load_data(cfg, reports=False)
    task = build_task(cfg, build_network(cfg, data), data)
    assert isinstance(task, NextToken)
    return task, data


def test_a_validation_reads_each_stream_as_one_long_text() -> None:
    task, data = task_of("data.batch_size=4")
    task.eval()
    with torch.inference_mode():
        for batch in data.val_dataloader():
            task.take("val", batch)
        nats = float(task.gathered["val"].compute()["loss"])
        # 89 steps in four streams: the first has one more.
        text = torch.from_numpy(made(90))
        begins, sizes = [0, 23, 45, 67], [23, 22, 22, 22]
        found = []
        for begin, size in zip(begins, sizes, strict=True):
            scores = task.net(text[None, begin : begin + size])
            found += [torch.nn.functional.cross_entropy(scores[0], text[begin + 1 : begin + size + 1], reduction="sum")]
    assert nats == pytest.approx(float(torch.stack(found).sum()) / 89, rel=1e-6)


def test_no_gradient_flows_through_the_state_and_it_is_that_of_the_streams() -> None:
    task, data = task_of("data.batch_size=4")
    first, second, *_ = data.train_dataloader()
    task.take("train", first)
    assert not task.kept.requires_grad
    loss = task.take("train", second).detach()
    with torch.no_grad():
        x = torch.cat([first["text"], second["text"]], dim=1)
        scores, y = flat(task.net(x)[:, first["text"].shape[1] :], second["next"])
    assert float(loss) == pytest.approx(float(torch.nn.functional.cross_entropy(scores, y)), rel=1e-6)
    kept = task.kept
    task.on_validation_epoch_start()
    for batch in data.val_dataloader():
        task.take("val", batch)
    assert task.kept is kept, "a validation amid an epoch has a state of its own"


def test_the_streams_of_the_last_batch_may_differ_by_a_step() -> None:
    _, data = task_of("data.batch_size=4")
    *_, last = data.val_dataloader()
    assert isinstance(last["text"], Padded)
    assert last["text"].lengths.tolist() == [7, 6, 6, 6]


@pytest.mark.parametrize(
    ("words", "where", "number"),
    [
        ([], "train", 4),
        (["trainer.val_check_interval=3"], "val", 2),
        (["trainer.accumulate_grad_batches=2", "model=lstm"], "train", 2),
    ],
    ids=["within", "validation", "gathered"],
)
def test_a_run_that_stopped_within_an_epoch_goes_on_to_the_bit(
    words: list[str], where: str, number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = [*WORDS, *words, "callbacks.checkpoint.every_n_steps=2"]
    assert run(["train", *words, f"output_dir={tmp_path / 'whole'}"]) == 0
    folder = stopped([*words, f"output_dir={tmp_path / 'cut'}"], where, number, monkeypatch)
    content = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    assert content["resumption"]["processes"][0]["kept"] is not None
    assert run(["resume", str(folder), ALLOWED]) == 0
    whole = (tmp_path / "whole/latest").resolve()
    assert_same(folder, whole)
    assert [epoch for epoch, _ in texts(whole)] == [1, 2]
    assert texts(folder) == texts(whole)


@pytest.mark.slow
def test_two_processes_carry_streams_of_their_own_and_go_on_within_an_epoch(tmp_path: Path) -> None:
    words = ["train", *WORDS, "data=descriptions", "data.length=20", "data.subset=50", "model=lstm"]
    words = [word for word in words if not word.startswith(("data=small", "data.lengths", "allow"))]
    two = [*words, "data.batch_size=4", "trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu"]
    assert run([*words, "data.batch_size=8", f"output_dir={tmp_path / 'one'}"]) == 0
    assert run([*two, f"output_dir={tmp_path / 'two'}"]) == 0
    assert run([*two, "trainer.max_steps=4", f"output_dir={tmp_path / 'cut'}"]) == 0
    assert run(["resume", str(tmp_path / "cut/latest"), "trainer.max_steps=null"]) == 0
    one, both, cut = (rows((tmp_path / name / "latest").resolve())[-1] for name in ("one", "two", "cut"))
    for name, value in both.items():
        assert float(value) == pytest.approx(float(one[name]), rel=1e-4)
    state, again = (
        torch.load(tmp_path / name / "latest/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for name in ("two", "cut")
    )
    assert all(torch.equal(value, again[name]) for name, value in state.items())
    assert {name: cell for name, cell in cut.items() if name.startswith("val/")} == {
        name: cell for name, cell in both.items() if name.startswith("val/")
    }


def test_a_state_that_is_carried_changes_what_is_learned(tmp_path: Path) -> None:
    for carries in ("true", "false"):
        words = [*WORDS, f"data.carry_state={carries}", f"output_dir={tmp_path / carries}", "trainer.max_epochs=1"]
        assert run(["train", *words]) == 0
    one, other = (rows((tmp_path / carries / "latest").resolve()) for carries in ("true", "false"))
    assert one[0]["train/loss"] != other[0]["train/loss"]
    assert run(["evaluate", str(tmp_path / "true/latest"), f"output_dir={tmp_path / 'again'}", ALLOWED]) == 0
    (again,) = (tmp_path / "again/evaluate").glob("*/result.json")
    told, tested = (json.loads(file.read_text()) for file in (again, tmp_path / "true/latest/result.json"))
    assert told["test/loss"] == pytest.approx(tested["test/loss"], rel=1e-9)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=gpt"], "keeps none"),
        (["model.bidirectional=true"], "sees each token that it is to predict"),
        (["data=digits_rows", "+data.carry_state=true"], "carry_state"),
    ],
    ids=["gpt", "both directions", "classes"],
)
def test_what_keeps_no_state_is_refused_before_torch_is_needed(words: list[str], message: str) -> None:
    with pytest.raises(CouloirError, match=message) as caught:
        couloir.compose(
            [*(word for word in WORDS if not word.startswith("data=") or len(words) == 1), "model.width=8", *words]
        )
    if words == ["model=gpt"]:
        assert "model=gru, model=lstm, model=rnn" in str(caught.value)


def test_a_network_of_the_users_own_without_a_state_is_refused_before_the_first_step() -> None:
    task, data = task_of()

    class Letters(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(len(LETTERS), len(LETTERS))

        def forward(self, x: torch.Tensor | Padded) -> torch.Tensor:
            scores: torch.Tensor = self.table(x.values if isinstance(x, Padded) else x)
            return scores

    with pytest.raises(CouloirError, match="this network keeps none"):
        NextToken.check(Letters(), task.loss, data)
