"""A loss that is no number: the run ends and says where, or goes on as if the batch had not been there."""

from __future__ import annotations

import copy
import csv
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

import couloir
from couloir.callbacks.divergence import IN_A_ROW, Divergence, not_finite
from couloir.callbacks.gradient_norms import broken_layer, gradient_norms, largest, named_parameters
from couloir.callbacks.remedies import overrides_to_try
from couloir.config.fields import SAMPLE, SHARE
from couloir.config.tree import packaged_conf
from couloir.data.batches import Batches, Share
from couloir.errors import Diverged
from couloir.optimizer.adaptive import adagrad, adam, adamw, rmsprop
from couloir.optimizer.gradient_descent import momentum, nesterov, sgd
from couloir.optimizer.second_order import SDLM
from couloir.ragged import Ragged
from couloir.trainer.execution import fuse

WORDS = [
    "model=mlp",
    "data.subset=100",
    "data.batch_size=10",
    "trainer.max_epochs=2",
    "logger=csv",
    "seed=1",
    "optimizer.lr=0.001",
]
STEPS = 9  # an epoch


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    from losses_gone_wrong import WRONG

    WRONG.update(batches=set(), seen=0, kind="nan")
    return WRONG


def sentence(directory: Path, *words: str) -> DictConfig:
    cfg = couloir.compose([*WORDS, f"output_dir={directory}", *words]).cfg
    cfg.loss = {"_target_": "losses_gone_wrong.Wrong"}
    return cfg


def diverged(cfg: DictConfig) -> tuple[Diverged, Path]:
    with pytest.raises(Diverged) as caught:
        couloir.train(cfg)
    run = (Path(cfg.output_dir) / "latest").resolve()
    assert json.loads((run / "status.json").read_text())["status"] == "diverged"
    return caught.value, run


def test_the_end_names_step_epoch_rate_layer_checkpoint_and_an_override(wrong: Any, tmp_path: Path) -> None:
    wrong["batches"] = {STEPS + 1}
    error, run = diverged(sentence(tmp_path))
    assert error.exit_code == 3
    assert f"became nan at step {STEPS + 1} (epoch 2, lr 0.001)" in error.fact
    assert f"the gradients of step {STEPS} were largest in " in error.fact
    assert "(Linear), norm " in error.fact
    assert f"last.ckpt: step {STEPS}, 1 epochs done" in str(error.place)
    assert "optimizer.lr=0.0001" in str(error.next_step)
    assert f"couloir resume {run} optimizer.lr=0.0001" in str(error.next_step)
    kept = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert kept["global_step"] == STEPS
    assert all(value.isfinite().all() for value in kept["state_dict"].values())


def test_a_first_loss_that_is_no_number_is_not_blamed_on_gradients(wrong: Any, tmp_path: Path) -> None:
    wrong["batches"] = {1}
    error, _ = diverged(sentence(tmp_path))
    assert "the first one: no gradient was computed yet" in error.fact
    assert error.place is None
    assert "resume" not in str(error.next_step)


def test_broken_data_is_named_rather_than_the_rate(wrong: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    iterate = Batches.__iter__

    def spoilt(batches: Batches) -> Iterator[Any]:
        for number, batch in enumerate(iterate(batches)):
            if number == 1:
                batch["image"][0, 0] = torch.nan
            yield batch

    monkeypatch.setattr(Batches, "__iter__", spoilt)
    error, _ = diverged(sentence(tmp_path))
    assert "at step 2" in error.fact
    assert "64 of the 640 numbers of the field 'image' of this batch are NaN or infinite" in error.fact
    assert "on_nan=skip" in str(error.next_step)
    assert "optimizer.lr" not in str(error.next_step)


@pytest.mark.parametrize("every", ["null", "2"])
def test_where_losses_are_read_now_and_then_none_is_missed_or_saved(
    every: str, wrong: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Divergence, "_reads_at_once", lambda *_: False)  # as on a GPU
    wrong["batches"] = {6}
    error, run = diverged(sentence(tmp_path, f"callbacks.checkpoint.every_n_steps={every}"))
    assert "became nan at step 6 (epoch 1" in error.fact
    assert "the gradients of step 4 were largest in" in error.fact
    assert wrong["seen"] == (9 if every == "null" else 6), "found at the next look, or before the next checkpoint"
    last = run / "checkpoints/last.ckpt"
    assert not last.exists() if every == "null" else torch.load(last, weights_only=True)["global_step"] == 4


def test_weights_that_the_last_step_of_an_epoch_breaks_are_never_saved(wrong: Any, tmp_path: Path) -> None:
    wrong.update(batches={2 * STEPS}, kind="gradient")
    error, run = diverged(sentence(tmp_path))
    assert f"are no longer finite after step {2 * STEPS} (epoch 2" in error.fact
    assert "though its loss was" in error.fact
    assert "not finite in 3 of 3 layers, from" in error.fact
    for name in ("last", "best"):
        assert torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)["global_step"] == STEPS
    assert len((run / "metrics.csv").read_text().splitlines()) == 2, "epoch 2 has no row"


def outcome(cfg: DictConfig) -> tuple[dict[str, Any], list[dict[str, str]], Path]:
    """The last checkpoint, the rows of metrics.csv without what counts or takes time, and the run."""
    run = couloir.train(cfg).dir
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    kept = [{name: value for name, value in row.items() if "/" in name and "skipped" not in name} for row in rows]
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True), kept, run


def alike(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    return torch.equal(one, other) if isinstance(one, Tensor) else bool(one == other)


@pytest.mark.parametrize("kind", ["nan", "gradient"])
def test_a_skipped_batch_leaves_no_trace_in_weights_means_statistics_and_metrics(
    kind: str, wrong: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["model.batch_norm=true", "averaging=ema", "optimizer=adamw"]
    bad = {"batches": {3, STEPS + 3}, "kind": kind}
    wrong.update(seen=0, **bad)
    short, short_rows, run = outcome(sentence(tmp_path / "short", "on_nan=skip", *words))
    said = capsys.readouterr().out
    assert "step 3 (epoch 1, lr 0.001) is skipped: the " in said
    assert said.count("is skipped") == 1
    assert f"2 of {2 * STEPS} steps were skipped" in said
    assert json.loads((run / "result.json").read_text())["train/skipped_steps"] == 2
    assert json.loads((run / "status.json").read_text())["skipped_steps"] == 2
    assert short["callbacks"]["Divergence"]["skipped"] == 2
    own, own_rows = short, short_rows
    if kind == "nan":
        wrong.update(seen=0, **bad)
        own, own_rows, _ = outcome(sentence(tmp_path / "own", "on_nan=skip", "trainer.short_steps=false", *words))

    iterate, length = Batches.__iter__, Batches.__len__

    def without(batches: Batches) -> Iterator[Any]:
        return (batch for number, batch in enumerate(iterate(batches), 1) if number != 3 or not batches.shuffle)

    monkeypatch.setattr(Batches, "__iter__", without)
    monkeypatch.setattr(Batches, "__len__", lambda batches: length(batches) - batches.shuffle)
    wrong.update(seen=0, batches=set())
    never, never_rows, _ = outcome(sentence(tmp_path / "never", *words))
    assert short_rows == own_rows == never_rows
    for name in ("state_dict", "optimizer_states", "averaging"):
        assert alike(short[name], never[name]), name
        assert alike(short[name], own[name]), name


def test_a_step_of_gathered_batches_is_left_out_as_a_whole(wrong: Any, tmp_path: Path) -> None:
    # Steps of 3 batches: the second one is left out, whichever of its batches is wrong, and how many.
    results = []
    for batches in ({4, 5}, {6}):
        wrong.update(seen=0, batches=batches)
        words = ["on_nan=skip", "trainer.accumulate_grad_batches=3", "trainer.max_epochs=1"]
        checkpoint, _, run = outcome(sentence(tmp_path / str(len(results)), *words))
        results.append(checkpoint["state_dict"])
        assert json.loads((run / "result.json").read_text())["train/skipped_steps"] == 1
    assert alike(results[0], results[1])


def test_a_run_that_would_skip_for_ever_ends(wrong: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong["batches"] = set(range(STEPS + 1, 999))
    error, run = diverged(sentence(tmp_path / "epoch", "on_nan=skip"))
    assert f"all {STEPS} steps of the epoch were skipped; the last one because the loss was nan" in error.fact
    assert f"step {STEPS}, 1 epochs done" in str(error.place)
    assert json.loads((run / "status.json").read_text())["skipped_steps"] == STEPS
    wrong.update(seen=0, batches=set(range(2, 999)))
    words = ["on_nan=skip", "data.batch_size=1", "data.subset=150"]
    error, _ = diverged(sentence(tmp_path / "row", *words))
    assert f"At step {IN_A_ROW + 1} " in error.fact
    assert f"{IN_A_ROW} steps in a row" in error.fact


OPTIMIZERS = {
    "adagrad": adagrad, "adam": partial(adam, betas=[0.9, 0.99]), "adamw": partial(adamw, betas=[0.9, 0.99]),
    "dcgan": partial(adam, betas=[0.5, 0.999]), "momentum": momentum, "nesterov": nesterov,
    "rmsprop": partial(rmsprop, momentum=0.9), "sdlm": SDLM, "sgd": sgd,
}  # fmt: skip


def test_no_choice_of_optimizer_is_missing() -> None:
    assert set(OPTIMIZERS) == {path.stem for path in (packaged_conf() / "optimizer").glob("*.yaml")}


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_an_optimizer_passes_over_weights_without_gradients(name: str) -> None:
    net = nn.Linear(3, 2)
    optimizer = OPTIMIZERS[name](net.parameters(), lr=0.1, weight_decay=0.1)
    fuse(optimizer)
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    before = copy.deepcopy((list(net.parameters()), optimizer.state_dict()))
    optimizer.zero_grad()
    optimizer.step()
    assert alike(before, (list(net.parameters()), optimizer.state_dict()))


def test_the_layers_are_named_by_their_gradients() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    assert largest(gradient_norms(named_parameters(net)), net) == ""
    for parameter, value in zip(net.parameters(), (3.0, 0.0, 1e30, 0.0), strict=True):
        parameter.grad = torch.full_like(parameter, value)
    norms = gradient_norms(named_parameters(net))
    assert norms == pytest.approx({"0": 6.0, "2": 2e30}), "no overflow in float32"
    assert largest(norms, net) == "largest in 2 (Linear), norm 2e+30"
    net[0].bias.grad[0] = torch.inf
    assert largest(gradient_norms(named_parameters(net)), net) == "not finite in 0 (Linear)"
    net[2].bias.grad[0] = torch.nan
    assert (
        largest(gradient_norms(named_parameters(net)), net) == "not finite in 2 of 2 layers, from 2 (Linear) backwards"
    )


def test_running_statistics_count_as_weights() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    net.register_buffer("mask", torch.tensor([-torch.inf]))
    assert broken_layer(net) is None, "a buffer of the network's own may hold what it likes"
    net[1].running_var[0] = torch.inf
    assert broken_layer(net) == "1 (BatchNorm2d)"


def test_a_batch_says_what_it_holds() -> None:
    x, y = torch.ones(2, 3), torch.tensor([0, 1])
    assert not_finite({"row": x, "label": y}) is None
    found = not_finite({"row": x, "value": torch.tensor([1.0, torch.inf])})
    assert found == "1 of the 2 numbers of the field 'value' of this batch are NaN or infinite"
    boxes = Ragged.of([torch.tensor([[0.0, 0.0, torch.nan, 4.0, 1.0]]), torch.zeros(2, 5)])
    found = not_finite({"row": x, "boxes": boxes, SAMPLE: y, SHARE: Share(2, 3, 1.0)})
    assert found == "1 of the 15 numbers of the field 'boxes' of this batch are NaN or infinite"


def tried(norms: dict[str, float], bound: float = 0.0, **groups: dict[str, Any]) -> list[str]:
    given = {"trainer": {"gradient_clip_val": None}, "optimizer": {"lr": 0.02}, "data": {}, **groups}
    return overrides_to_try(OmegaConf.create(given), norms, bound)


def test_the_overrides_fit_the_run() -> None:
    calm, wild = {"0": 0.5}, {"0": 5.0}
    assert tried(calm) == ["optimizer.lr=0.002"], "cutting gradients to 1 would change nothing"
    assert tried(wild, optimizer={"lr": 1e6}) == ["optimizer.lr=0.1", "trainer.gradient_clip_val=1.0"]
    assert tried(wild, trainer={"gradient_clip_val": 5}) == ["optimizer.lr=0.002"]
    scaled = {"rule": "linear", "lr": 0.01, "batch_size": 512, "base_batch_size": 256}
    assert tried(calm, scaled_lr=scaled) == ["optimizer.lr=0.001"], "as it is typed, before it is scaled"
    assert tried(calm, scheduler={"max_lr": 0.5}) == ["scheduler.max_lr=0.05"]
    high = tried(calm, optimizer={"lr": 0.02, "momentum": 0.99}, trainer={"precision": "16-true"})
    assert high == ["optimizer.lr=0.002", "optimizer.momentum=0.9", "trainer.precision=32-true"]
    wide = {"target_scaling": "none"}
    assert tried(calm, bound=1000.0, data=wide)[1] == "data.target_scaling=standardize"
    assert tried({}, bound=1000.0, data=wide)[0] == "data.target_scaling=standardize", "the rate had no part in it"
