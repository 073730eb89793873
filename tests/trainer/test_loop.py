"""The short way through a step is Lightning's own, less the hooks that nobody listens to."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn

import couloir
from couloir.record.metrics import TIMES
from couloir.trainer.build import trainer as build_trainer
from couloir.trainer.loop import LISTENED, ShortStep

DIGITS = ["data.subset=150", "data.batch_size=16", "trainer.max_epochs=3", "logger=csv", "seed=3"]


def trained(words: list[str], directory: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], dict[str, Any]]:
    """The rows of metrics.csv without their seconds, and the last checkpoint."""
    directory.mkdir()
    monkeypatch.chdir(directory)
    run = couloir.train(couloir.compose([*DIGITS, *words])).dir
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    steps = [int(row["step"]) for row in rows]
    assert steps == [steps[0] * epoch for epoch in (1, 2, 3)], "every epoch has its steps"
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows], checkpoint


@pytest.mark.parametrize(
    "words",
    [
        ["optimizer=momentum"],
        ["trainer.accumulate_grad_batches=3", "trainer.gradient_clip_val=0.5"],
        ["scheduler=one_cycle", "averaging=ema"],
        ["optimizer=nesterov", "momentum_schedule=linear", "optimizer.weight_decay=0.01"],
        ["callbacks.checkpoint.every_n_steps=4", "augmentation=shift", "trainer.limit_train_batches=5"],
    ],
)
def test_a_short_step_trains_bit_for_bit_what_lightnings_own_step_trains(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    step = ShortStep._step
    monkeypatch.setattr(ShortStep, "_step", lambda loop, batch, index: taken.append(index) or step(loop, batch, index))
    short_rows, short = trained(words, tmp_path / "short", monkeypatch)
    steps = len(taken)
    assert steps > 0
    own_rows, own = trained([*words, "trainer.short_steps=false"], tmp_path / "own", monkeypatch)
    assert len(taken) == steps
    assert short_rows == own_rows
    assert all(torch.equal(short["state_dict"][name], own["state_dict"][name]) for name in own["state_dict"])
    assert short["global_step"] == own["global_step"]
    assert short["lr_schedulers"] == own["lr_schedulers"]
    assert without_times(short["loops"]) == without_times(own["loops"])


def without_times(loops: Any) -> Any:
    """The progress of all loops, which a resumed run goes on from."""
    return {name: value for name, value in loops["fit_loop"].items() if "val_loop" not in name}


class Journal(Callback):
    """Writes down every hook of a step, and logs a number in each, as a user's own callback may."""

    def __init__(self) -> None:
        self.calls: list[Any] = []


def _listen(name: str) -> Any:
    def hook(self: Journal, trainer: Trainer, module: LightningModule, *arguments: Any) -> None:
        self.calls.append((name, trainer.global_step, trainer.fit_loop.epoch_loop.batch_progress.current.completed))
        if name in ("on_train_batch_start", "on_train_batch_end"):
            module.log(f"{name}/calls", float(len(self.calls)), on_step=True, on_epoch=False)

    return hook


for _name in LISTENED:
    setattr(Journal, _name, _listen(_name))


class Line(LightningModule):
    """A regression on two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(2, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return nn.functional.mse_loss(self.net(x), y)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


Line.training_step.__module__ = "couloir.task"  # as if it were Couloir's own, which logs nothing in a step


class Users(Line):
    """A module of a user's, which may log in its steps."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.log("loss", loss)
        return loss


class Newton(Line):
    """An optimizer that evaluates the loss several times a step."""

    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters(), lr=0.1)


class OwnStep(Line):
    """A module that steps its optimizer itself."""

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        optimizer.step(closure=optimizer_closure)


def fitted(module: LightningModule, short_steps: bool, **options: Any) -> tuple[Trainer, Journal]:
    torch.manual_seed(0)
    x = torch.randn(14, 2)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True)), batch_size=2)
    journal = Journal()
    trainer = build_trainer(
        accelerator="cpu", max_epochs=2, logger=False, callbacks=[journal], short_steps=short_steps, **options
    )
    trainer.fit(module, loader)
    return trainer, journal


@pytest.mark.parametrize("gathered", [1, 2])
def test_whoever_listens_to_a_step_hears_the_same_hooks_in_the_same_order(gathered: int) -> None:
    trainer, journal = fitted(Line(), True, accumulate_grad_batches=gathered)
    assert isinstance(trainer.fit_loop.epoch_loop, ShortStep)
    assert trainer.fit_loop.epoch_loop._short
    other, expected = fitted(Line(), False, accumulate_grad_batches=gathered)
    assert journal.calls == expected.calls
    assert trainer.logged_metrics == other.logged_metrics
    assert trainer.callback_metrics == other.callback_metrics


@pytest.mark.parametrize("module", [OwnStep, Users, Newton])
def test_what_a_short_step_does_not_know_goes_lightnings_way(module: type[Line]) -> None:
    trainer, _ = fitted(module(), True)
    assert not trainer.fit_loop.epoch_loop._short  # type: ignore[attr-defined]


def test_validation_within_an_epoch_comes_at_the_end_of_a_step_and_at_the_epochs() -> None:
    class WithValidation(Line):
        seen = 0

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.seen += 1

        def val_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(2, 2), torch.randn(2, 1)))

    for gathered, times in ((1, 3), (2, 3)):  # of 7 batches: after the third or fourth, the sixth, and the last
        module, other = WithValidation(), WithValidation()
        trainer, journal = fitted(module, True, val_check_interval=3, accumulate_grad_batches=gathered)
        _, expected = fitted(other, False, val_check_interval=3, accumulate_grad_batches=gathered)
        assert trainer.fit_loop.epoch_loop._short  # type: ignore[attr-defined]
        assert journal.calls == expected.calls
        assert module.seen == other.seen == 2 * times * 2  # epochs, times, samples


@pytest.mark.parametrize("short_steps", ["true", "false"])
@pytest.mark.parametrize(
    ("gathered", "together", "weights"),
    [
        (3, 48, "null"),
        (3, 48, "[0.2,1.0,5.0,0.5]"),
        (70, 72, "null"),
        *(pytest.param(*case, "null", marks=pytest.mark.slow) for case in ((2, 32), (5, 72), (7, 72))),
    ],
)
def test_gathered_gradients_are_those_of_one_large_batch_also_where_classes_have_weights(
    gathered: int, together: int, weights: str, short_steps: str, tmp_path: Path
) -> None:
    def after_an_epoch(*words: str) -> tuple[dict[str, Tensor], dict[str, float]]:
        sentence = ["data=blobs", "data.samples=100", "model=mlp", "model.hidden=[8]", "optimizer=momentum"]
        sentence += ["optimizer.lr=0.5", "trainer.max_epochs=1", "logger=csv", f"output_dir={tmp_path}"]
        result = couloir.train(couloir.compose([*sentence, f"loss.class_weights={weights}", *words]))
        state: dict[str, Tensor] = torch.load(result.dir / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        return {name: value for name, value in state.items() if name.startswith("net.")}, result.metrics

    # 4 batches of 16, and one of 8: what is left at the end of the epoch has fewer batches, and a smaller one.
    words = [f"trainer.accumulate_grad_batches={gathered}", f"trainer.short_steps={short_steps}"]
    ours, numbers = after_an_epoch("data.batch_size=16", *words)
    theirs, expected = after_an_epoch(f"data.batch_size={together}")
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-5, atol=1e-6)
    for name in ("val/loss", "test/loss"):  # the mean over all samples, however they are batched
        assert numbers[name] == pytest.approx(expected[name], rel=1e-5)


def test_data_that_changes_its_batches_on_the_way_goes_lightnings_way() -> None:
    class Tenfold(LightningDataModule):
        def train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(8, 2), torch.ones(8, 1)))

        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return batch[0] * 10, batch[1]

    class Seen(Callback):
        def __init__(self) -> None:
            self.values: set[float] = set()

        def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.values.add(float(batch[0].max()))

    seen = Seen()
    trainer = build_trainer(accelerator="cpu", max_epochs=1, logger=False, callbacks=[seen])
    trainer.fit(Line(), datamodule=Tenfold())
    assert seen.values == {10.0}


def test_a_step_may_end_the_training() -> None:
    class Enough(Callback):
        def on_train_batch_end(self, trainer: Trainer, *arguments: Any) -> None:
            trainer.should_stop = trainer.global_step == 3

    trainer = build_trainer(accelerator="cpu", max_epochs=2, logger=False, callbacks=[Enough()])
    x = torch.randn(20, 2)
    trainer.fit(Line(), torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x[:, :1]), batch_size=2))
    assert trainer.global_step == 3
