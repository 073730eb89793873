"""What is used of Lightning's private parts, against the installed version."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from lightning_fabric.loggers.logger import rank_zero_experiment
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers.logger import DummyLogger
from pytorch_lightning.utilities.combined_loader import CombinedLoader
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from couloir.trainer.lightning_private import (
    HOOK,
    STEPPED,
    Epochs,
    Evaluation,
    LearningRateMonitor,
    PrefetchDataFetcher,
    Steps,
    as_if_in,
    leave_signals_to_the_run,
    log_no_hyperparameters,
    logging_of,
    measure_by,
    sole_loader,
    take_back_epoch,
)


class Line(LightningModule):
    def __init__(self, rate: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = nn.Linear(2, 1)
        self.hooks: list[Any] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.hooks.append(self.__dict__[HOOK])
        return self.layer(batch[0]).square().mean()

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("loss", self.layer(batch[0]).square().mean())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.hparams["rate"])


class Placed(Epochs):
    def place(self, loaders: Iterable[Any]) -> None:
        assert isinstance(self.epoch_loop, Steps)
        self.placed = [(loader, self.restarting, self.epoch_progress.current.completed) for loader in loaders]


class Slow(TensorDataset):
    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        time.sleep(0.02)
        return super().__getitem__(index)


class Noted(Callback):
    def __init__(self) -> None:
        self.ends: list[tuple[bool, bool, int]] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        loop = trainer.fit_loop.epoch_loop
        assert isinstance(loop, Steps)
        pl_module.__dict__["hooks"].append(pl_module.__dict__[HOOK])
        self.ends.append((loop.gathers(), loop.has_all_batches(), loop.__dict__[STEPPED]))
        self.fetcher, self.waited = type(trainer.fit_loop._data_fetcher), loop.waited


def trainer(**options: Any) -> Trainer:
    usual: dict[str, Any] = {"logger": False, "enable_checkpointing": False}
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False}
    built = Trainer(accelerator="cpu", **{"max_epochs": 1, **usual, **quiet, **options})
    steps = built.fit_loop.epoch_loop
    built.fit_loop = Placed(built, built.fit_loop.min_epochs, built.fit_loop.max_epochs)
    built.fit_loop.epoch_loop = Steps(built, steps.min_steps, steps.max_steps)
    return built


def batches() -> DataLoader[Any]:
    return DataLoader(Slow(torch.ones(5, 2)))


def test_a_step_is_seen_as_lightning_sees_it() -> None:
    noted, module = Noted(), Line()
    trainer(callbacks=[noted], accumulate_grad_batches=2).fit(module, batches())
    assert module.hooks == ["training_step", "on_train_batch_end"] * 5
    assert module.__dict__[HOOK] is None
    # A loop takes a batch ahead; the last batch steps alone.
    assert noted.ends == [(True, False, 0), (False, False, 0), (True, False, 1), (False, False, 1), (False, True, 2)]
    assert noted.fetcher is PrefetchDataFetcher
    assert noted.waited >= 5 * 0.02


def test_a_training_is_taken_up_with_its_counters_and_its_own_place_among_the_batches(tmp_path: Path) -> None:
    first = trainer()
    first.fit(Line(), batches())
    first.save_checkpoint(tmp_path / "one.ckpt")
    noted, loader = Noted(), batches()
    second = trainer(max_epochs=2, callbacks=[noted])
    second.fit(Line(), loader, ckpt_path=tmp_path / "one.ckpt", weights_only=True)
    assert isinstance(second.fit_loop, Placed)
    assert second.fit_loop.placed == [(loader, False, 1)]
    assert second.global_step == 10
    assert len(noted.ends) == 5


class Validated(Line):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.seen.append(self.trainer.global_step)

    def val_dataloader(self) -> Any:
        return DataLoader(TensorDataset(torch.ones(1, 2)))


def test_a_loop_says_where_validations_come_and_whether_the_run_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[bool] = []

    def due(loop: Steps) -> bool:
        ends.append(loop.ends_run)
        return loop.global_step % 2 == 1

    monkeypatch.setattr(Steps, "validation_is_due", due)
    module = Validated()
    module.seen = []
    limited = trainer(max_epochs=2, max_steps=7, num_sanity_val_steps=0)
    limited.fit(module, batches())
    assert module.seen == [1, 3, 5, 7]
    assert ends == [False] * 6 + [True]
    assert limited.fit_loop.epoch_loop.validates(limited.fit_loop._data_fetcher)  # type: ignore[attr-defined]


def test_a_run_that_is_limited_in_its_steps_is_taken_up_as_any_other_and_an_epoch_is_taken_back(tmp_path: Path) -> None:
    first = trainer(max_steps=5)
    first.fit(Line(), batches())
    first.save_checkpoint(tmp_path / "one.ckpt")
    second = trainer(max_epochs=2, max_steps=8)
    second.fit(Line(), batches(), ckpt_path=tmp_path / "one.ckpt", weights_only=True)
    assert isinstance(second.fit_loop, Placed)
    assert second.fit_loop.placed[0][1:] == (False, 1), "it does not restart"
    assert second.current_epoch == 2
    take_back_epoch(second.fit_loop)
    assert second.current_epoch == 1


def test_what_is_logged_goes_through_the_connector_that_a_step_tells() -> None:
    class Logs(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
            connector = logging_of(trainer)
            pl_module.log("seen", float(len(noted)))
            connector.on_batch_end()
            connector.update_train_step_metrics()
            noted.append(float(trainer.logged_metrics["seen"]))
            connector.on_batch_start(torch.ones(1, 2))

    noted: list[float] = []
    trainer(callbacks=[Logs()]).fit(Line(), batches())
    assert noted == [0, 1, 2, 3, 4]


def test_a_module_logs_as_if_in_a_hook_and_not_outside_of_one() -> None:
    class Logs(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
            pl_module.__dict__[HOOK] = None
            with pytest.raises(MisconfigurationException, match=r"self\.log"):
                pl_module.log("outside", 1.0)
            with as_if_in("on_train_batch_end", pl_module):
                pl_module.log("inside", 2.0)

    built = trainer(callbacks=[Logs()])
    built.fit(Line(), batches())
    assert built.logged_metrics["inside"] == 2


class Listed(DummyLogger):
    def __init__(self) -> None:
        super().__init__()
        self.parameters: list[Any] = []

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        return None

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        self.parameters.append(params)

    def log_metrics(self, *_: Any, **__: Any) -> None:
        pass


@pytest.mark.parametrize("quiet", [False, True])
def test_a_test_may_leave_hyperparameters_alone(quiet: bool) -> None:
    logger, module = Listed(), Line()
    if quiet:
        log_no_hyperparameters(module)
    trainer(logger=logger).test(module, batches(), verbose=False)
    assert logger.parameters == ([] if quiet else [{"rate": 0.1}])


@pytest.fixture
def own_handler() -> Iterator[Any]:
    def own(*_: Any) -> None:
        raise AssertionError("no signal is sent")

    before = signal.signal(signal.SIGTERM, own)
    yield own
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("left", [False, True])
def test_signals_can_be_left_to_the_run(left: bool, own_handler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Handlers(Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            found.append(signal.getsignal(signal.SIGTERM) is own_handler)

    asked: list[Steps] = []
    monkeypatch.setattr(Steps, "_broadcast_sigterm_tensor", lambda self: asked.append(self))
    monkeypatch.setattr(Trainer, "world_size", 2)  # with which Lightning asks the others in each step
    found: list[bool] = []
    built = trainer(callbacks=[Handlers()])
    if left:
        leave_signals_to_the_run(built)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        built.fit(Line(), batches())
    finally:
        dist.destroy_process_group()
    assert found == [left] * 5
    assert len(asked) == (0 if left else 5)


def test_a_groups_rate_is_logged_with_its_factor() -> None:
    monitor = LearningRateMonitor()
    monitor.lrs = {"lr-SGD/a": []}
    assert monitor._extract_lr({"lr": 0.5, "factor": 0.1}, "lr-SGD/a") == {"lr-SGD/a": 0.05}
    assert monitor._extract_lr({"lr": 0.5}, "lr-SGD/a") == {"lr-SGD/a": 0.5}
    assert monitor.lrs == {"lr-SGD/a": [0.05, 0.5]}


def fetcher_of(iterables: Any, limits: Any = None) -> PrefetchDataFetcher:
    fetcher = PrefetchDataFetcher()
    fetcher.setup(CombinedLoader(iterables, "max_size_cycle"))
    fetcher.combined_loader.limits = limits
    iter(fetcher)
    return fetcher


@pytest.mark.parametrize("limits", [None, 2])
def test_batches_past_the_fetcher_are_those_of_the_fetcher_and_it_knows_of_them(limits: int | None) -> None:
    through, past = fetcher_of([10, 11, 12], limits), fetcher_of([10, 11, 12], limits)
    short = sole_loader(past)
    assert short is not None
    for _ in range(limits or 3):
        batch, _, _ = next(through)
        assert next(short) == batch
        assert (past.fetched, past.done) == (through.fetched, through.done)
    assert past.done
    again = fetcher_of([10, 11, 12])
    short = sole_loader(again)
    assert short is not None
    next(short)
    assert next(again)[:2] == (11, 1), "the fetcher goes on behind it"


def test_a_loader_that_ends_early_ends_the_epoch() -> None:
    class Short(list[int]):
        def __len__(self) -> int:
            return 5

    fetcher = fetcher_of(Short([10]))
    short = sole_loader(fetcher)
    assert short is not None
    next(short)
    with pytest.raises(StopIteration):
        next(short)
    assert fetcher.done


def test_several_loaders_and_those_without_a_length_stay_lightnings() -> None:
    assert sole_loader(fetcher_of({"x": [1, 2]})) is None
    assert sole_loader(fetcher_of(iter([1, 2]))) is None


def test_a_loop_of_ones_own_measures_and_lightning_counts_what_it_has_measured() -> None:
    taken: list[tuple[str, int]] = []

    class Every(Evaluation):
        def take(self, batch: Any, index: int) -> bool:
            if index % 2:
                return False
            taken.append(("test" if self.trainer.testing else "val", index))
            self.batch_progress.increment_ready()
            return True

    class Measured(Line):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            taken.append(("Lightning", batch_idx))

    module = Measured()
    trainer = Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    measure_by(trainer, Every)
    loader = DataLoader(TensorDataset(torch.zeros(6, 2)), batch_size=2)
    trainer.fit(module, loader, loader)
    assert taken == [("val", 0), ("Lightning", 1), ("val", 2)]
    loop = trainer.fit_loop.epoch_loop.val_loop
    assert isinstance(loop, Every)
    assert loop._has_run
    assert not loop.inference_mode, "a validation's tensors may be trained on"
    taken.clear()
    trainer.test(module, loader, verbose=False)
    assert [split for split, _ in taken] == ["test", "test"]
    assert trainer.test_loop.inference_mode
