"""Translations: what is measured is what would be written, and a decoder that sees the answer is refused."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import couloir
from couloir.cli.main import run
from couloir.config.metrics import measured
from couloir.errors import CouloirError
from couloir.ragged import Padded
from couloir.run.assemble import build_network, load_data
from couloir.task.build import build_task
from couloir.task.token_prediction import flat
from couloir.task.translation import Translation, behind_start
from interruption import assert_same, stopped

WORDS = [
    "data=reversed", "data.samples=60", "data.symbols=abc", "data.shortest=1", "data.length=4", "model.width=8",
    "model.heads=2", "model.hidden=8", "model.layers=1", "trainer.accelerator=cpu", "optimizer=adam",
    "task.max_tokens=6",
]  # fmt: skip


def made(*words: str) -> tuple[Translation, Any]:
    torch.manual_seed(0)
    cfg = couloir.compose([*WORDS, *words]).cfg
    data = load_data(cfg, reports=False)
    task = build_task(cfg, build_network(cfg, data), data)
    assert isinstance(task, Translation)
    return task.eval(), data


def trained(*words: str) -> tuple[Translation, Any]:
    """A task whose network is right about some samples and wrong about others."""
    task, data = made(*words)
    optimizer = torch.optim.Adam(task.parameters(), lr=0.02)
    for _ in range(12):
        for batch in data.train_dataloader():
            optimizer.zero_grad()
            task.compute(batch).losses["loss"].backward()
            optimizer.step()
    return task, data


def test_a_decoder_is_told_the_start_and_all_but_the_last_token() -> None:
    target = Padded.of([torch.tensor([5, 6, 1]), torch.tensor([7, 1])])
    told = behind_start(target, 0)
    assert isinstance(told, Padded)
    assert [row.tolist() for row in told.samples()] == [[0, 5, 6], [0, 7]]
    assert behind_start(torch.tensor([[5, 1]]), 0).tolist() == [[0, 5]]  # type: ignore[union-attr]


def test_the_metrics_of_a_split_are_those_of_its_tokens_and_of_what_greedy_search_writes() -> None:
    task, data = trained("data.batch_size=16")
    logits, tokens, exact = [], [], []
    with torch.no_grad():
        for batch in data.train_dataloader():
            task.take("val", batch)
            scores, y = flat(task.outputs(batch), batch["target"])
            logits.append(scores)
            tokens.append(y)
            written = task.look(batch["source"]).samples()
            target = batch["target"]
            rows = target.samples() if isinstance(target, Padded) else list(target)
            exact += [one.tolist() == other.tolist() for one, other in zip(written, rows, strict=True)]
    scores, y = torch.cat(logits).double(), torch.cat(tokens)
    nats = nn.functional.cross_entropy(scores, y)
    values = {name: float(value) for name, value in task.gathered["val"].compute().items()}
    assert values["loss"] == pytest.approx(float(nats), rel=1e-6)
    assert values["perplexity"] == pytest.approx(float(nats.exp()), rel=1e-6)
    assert values["token_accuracy"] == float((scores.argmax(dim=1) == y).double().mean())
    assert 0 < sum(exact) < len(exact), "or the test shows nothing"
    assert values["exact_match"] == sum(exact) / len(exact)
    cfg = couloir.compose(WORDS).cfg
    assert [f"val/{name}" for name in values] == measured(cfg, "val"), "they are known before torch is imported"


def test_a_beam_writes_answers_that_are_at_least_as_probable() -> None:
    task, data = trained()
    batch = data.example_batch(20)
    probable = []
    for task.beam, task.length_penalty in ((1, 0.0), (4, 0.0)):
        written = task.look(batch["source"])
        with torch.no_grad():
            log_p = task.net(batch["source"], behind_start(written, task.start)).log_softmax(dim=2)
        nats = log_p.gather(2, written.values[..., None])[..., 0] * written.mask()
        probable.append(nats.sum(dim=1))
    assert (probable[1] >= probable[0] - 1e-5).all()


def test_what_is_written_is_told_as_text() -> None:
    task, data = made()
    batch = data.example_batch(3)
    batch = {**batch, "target": Padded.of([torch.tensor([2, 3, 1]), torch.tensor([4, 1]), torch.tensor([1])])}
    rows = task.tabled(batch, task.compute(batch))
    assert rows["truth"] == ["ab", "c", ""]
    assert rows["source"] == task.texts(batch["source"])
    assert len(rows["prediction"]) == 3
    assert task.texts(torch.tensor([[2, 2]])) == ["aa"], "what never came to a stop token"


class Sees(nn.Module):
    """Scores that are right since the next token is looked at."""

    def forward(self, source: Any, target: Any = None) -> Tensor:
        x = torch.zeros(2, 1, dtype=torch.long) if target is None else target
        return nn.functional.one_hot(x.roll(-1, dims=1), 5).float()


def test_a_decoder_that_sees_what_it_predicts_is_refused() -> None:
    task, data = made()
    with pytest.raises(CouloirError, match="sees the tokens that it is to predict"):
        Translation.check(Sees(), task.loss, data)
    with pytest.raises(CouloirError, match="begins a target with token 3"):
        Translation.check(build_network(couloir.compose([*WORDS, "model.start=3"]).cfg, data), task.loss, data)


def test_a_run_writes_sources_truths_and_predictions_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = couloir.train(couloir.compose([*WORDS, "task.beam=2", "trainer.max_epochs=1"]))
    assert set(result.metrics) >= {"test/exact_match", "best/exact_match", "test/perplexity"}
    with (result.dir / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 6
    assert all(row["truth"] == row["source"][::-1] and set(row["prediction"]) <= set("abc<start>") for row in rows)


@pytest.mark.slow
def test_a_run_that_stopped_within_an_epoch_goes_on_to_the_bit_with_its_schedule(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = [
        *WORDS, "data.batch_size=8", "scheduler=noam", "scheduler.warmup_steps=4", "trainer.max_epochs=2",
        "model.dropout=0.2", "callbacks.checkpoint.every_n_steps=2",
    ]  # fmt: skip
    assert run(["train", *words, f"output_dir={tmp_path / 'whole'}"]) == 0
    folder = stopped([*words, f"output_dir={tmp_path / 'cut'}"], "train", 9, monkeypatch)
    assert run(["resume", str(folder)]) == 0
    assert_same(folder, (tmp_path / "whole/latest").resolve())


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (["data=reversed", "model=lstm"], "task=translation needs a network that is made for it"),
        (["data=reversed", "task=next_token"], "task=next_token does not fit data=reversed"),
        (["data=digits", "model=transformer"], "tokens"),
        (["data=reversed", "task.beam=0"], "task.beam"),
    ],
)
def test_what_does_not_go_together_is_refused_before_torch_is_imported(words: list[str], fact: str) -> None:
    with pytest.raises(CouloirError) as error:
        couloir.compose(words)
    assert fact in str(error.value)
