"""Next tokens: the loss is a mean over tokens, and a network that sees them before is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_texts import write_conf
from torch import nn

import couloir
from couloir.config.build import build
from couloir.errors import CouloirError
from couloir.ragged import Padded
from couloir.run.assemble import build_network, load_data
from couloir.task.build import build_task
from couloir.task.next_token import NextToken
from couloir.task.token_prediction import flat

WORDS = [
    "data=small_text", "model=lstm", "model.width=8", "allow_targets=[small_texts]", "trainer.accelerator=cpu",
    "optimizer=adam",
]  # fmt: skip


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_conf(tmp_path / "conf")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(*words: str) -> tuple[NextToken, Any]:
    cfg = couloir.compose([*WORDS, *words]).cfg
    data = load_data(cfg, reports=False)
    task = build_task(cfg, build_network(cfg, data), data)
    assert isinstance(task, NextToken)
    return task, data


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_a_split_is_the_mean_over_its_tokens_whatever_the_batches(smoothing: float) -> None:
    task, data = made(f"loss.label_smoothing={smoothing}", "data.batch_size=5")
    task.eval()
    logits, tokens = [], []
    for batch in data.val_dataloader():
        task.take("val", batch)
        scores, y = flat(task.net(batch["text"]).detach(), batch["next"])
        logits.append(scores)
        tokens.append(y)
    scores, y = torch.cat(logits).double(), torch.cat(tokens)
    assert len(y) == 89
    values = {name: float(value) for name, value in task.gathered["val"].compute().items()}
    log_p = scores.log_softmax(dim=1)
    plain = -log_p[torch.arange(len(y)), y].mean()
    smoothed = (1 - smoothing) * plain - smoothing * log_p.mean()
    assert values["loss"] == pytest.approx(float(smoothed), rel=1e-6)
    assert values["perplexity"] == pytest.approx(float(plain.exp()), rel=1e-6), "of the plain nats"
    assert values["bits_per_character"] == pytest.approx(float(plain) / 0.6931471805599453, rel=1e-6)
    assert values["token_accuracy"] == float((scores.argmax(dim=1) == y).double().mean())


@pytest.mark.parametrize("words", [[], ["loss.label_smoothing=0.1"], ["loss=focal"]], ids=["plain", "smooth", "focal"])
def test_training_counts_what_validation_does(words: list[str]) -> None:
    task, data = made(*words, "data.batch_size=7")
    for batch in data.val_dataloader():
        task.train()
        task.take("train", batch)
        task.eval()
        task.take("val", batch)
    train, val = (task.gathered[split].compute() for split in ("train", "val"))
    for name, value in val.items():
        assert float(train[name]) == pytest.approx(float(value), rel=1e-6)


class Ahead(nn.Module):
    """Scores that are right since the next token is looked at."""

    def forward(self, x: torch.Tensor | Padded) -> torch.Tensor:
        x = x.values if isinstance(x, Padded) else x
        return torch.nn.functional.one_hot(x.roll(-1, dims=1), 7).float()


def test_a_network_that_sees_what_it_predicts_is_refused() -> None:
    task, data = made()
    with pytest.raises(CouloirError, match="sees the tokens that it is to predict"):
        NextToken.check(Ahead(), task.loss, data)
    cfg = couloir.compose([*WORDS]).cfg
    cfg.model.bidirectional = True
    with pytest.raises(CouloirError, match="sees the tokens"):
        NextToken.check(build(cfg, "model"), task.loss, data)


def test_a_network_that_answers_once_a_sequence_is_refused() -> None:
    task, data = made()
    cfg = couloir.compose([*WORDS]).cfg
    cfg.model.answers = "sequence"
    with pytest.raises(CouloirError, match=r"returns shape \(2, 7\) for 2 samples; the next token"):
        NextToken.check(build(cfg, "model"), task.loss, data)


def test_losses_of_other_things_than_classes_are_refused() -> None:
    with pytest.raises(CouloirError, match="loss=mse"):
        couloir.compose([*WORDS, "loss=mse"])


def test_a_mean_of_several_answers_is_measured_as_one_is() -> None:
    task, data = made()
    task.eval()
    batch = next(iter(data.val_dataloader()))
    with torch.inference_mode():
        own, of_answer = task.compute(batch), task.compare(task.answer(task.outputs(batch)), batch)
    assert float(of_answer.losses["loss"]) == pytest.approx(float(own.losses["loss"]), rel=1e-5)
    for one, other in zip(own.tensors, of_answer.tensors, strict=True):
        assert torch.allclose(one.float(), other.float(), rtol=1e-5)
