"""Steps that are timed: their parts are the whole step, they are those of `train`, and nothing of them is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback

import couloir
from couloir.inspect.probe import Probe
from couloir.inspect.profile.account import Account, Span, account
from couloir.inspect.profile.clock import Clock
from couloir.inspect.profile.instruments import timed_modules
from couloir.inspect.profile.steps import WARM_UP, Round, Setting, per_step_callbacks

MOONS = ["data=moons", "model=mlp", "logger=csv", "trainer=cpu"]


def setting(*words: str) -> Setting:
    return Setting.of(Probe.of(couloir.compose([*MOONS, *words]).cfg))


def added_up(timed: Round) -> Account:
    return account([(timed.marks, timed.spans)], timed.kinds)


class Watch(Callback):
    """Another clock: when each batch was done, and the loss."""

    def __init__(self) -> None:
        self.moments: list[float] = []
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.losses.append(float(outputs["loss"]))
        time.sleep(0.005)  # as a callback of a user's own may
        self.moments.append(time.perf_counter())


def test_the_parts_are_the_whole_step_as_another_clock_measures_it(tmp_path: Path) -> None:
    watch = Watch()
    timed = setting().take(20, tmp_path, [watch], instruments=True)
    found = added_up(timed)
    assert len(timed.durations) == 20
    assert sum(found.parts.values()) == pytest.approx(found.seconds, rel=1e-9)
    moments = watch.moments[WARM_UP : WARM_UP + 20]
    assert all(begin < now < end for begin, now, end in zip(timed.marks, moments, timed.marks[1:], strict=False))
    assert found.within["logging"]["Watch"] >= 0.005
    assert found.share("rest") < 0.5
    steps = [span for span in timed.spans if (span.part, span.name) == ("loss", "")]
    assert len(steps) == 20
    assert {span.parent for span in steps} == {-1}, "these are the short steps: Lightning's own are in the optimizer's"
    assert all(found.parts[part] > 0 for part in ("loading", "forward", "loss", "backward", "optimizer", "metrics"))


def test_a_known_delay_is_found_in_the_part_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that stands still but for these delays, so that what else the machine does changes nothing."""
    present, moment = setting(), [0.0]
    monkeypatch.setattr("couloir.inspect.profile.clock.time.perf_counter", lambda: moment[0])

    def later(seconds: float) -> Callable[..., None]:
        def wait(*_: Any) -> None:
            moment[0] += seconds

        return wait

    net, loss = present.module.net, present.module.loss
    assert isinstance(net, torch.nn.Sequential)
    assert loss is not None
    net.register_forward_hook(later(1.0))
    net[-1].register_forward_hook(later(4.0))
    net[-1].register_full_backward_hook(later(6.0))
    loss.register_forward_hook(later(3.0))
    found = added_up(present.take(10, tmp_path, instruments=True))
    delays = {"forward": 5.0, "loss": 3.0, "backward": 6.0}
    assert found.parts == pytest.approx({part: delays.get(part, 0.0) for part in found.parts})
    (whole,) = found.modules
    assert (whole.seconds, whole.own_seconds) == pytest.approx((5.0, 1.0))
    assert (whole.children[0].kind, whole.children[0].own_seconds) == ("Linear", pytest.approx(4.0))


def test_measuring_changes_no_loss_and_leaves_nothing_behind(tmp_path: Path) -> None:
    present, backward, before = setting("augmentation=noise"), torch.autograd.backward, torch.get_rng_state()
    weights = {name: value.clone() for name, value in present.module.state_dict().items()}
    losses = []
    for instruments in (False, True):
        watch = Watch()
        present.take(4, tmp_path, [watch], instruments)
        losses.append(watch.losses)
    assert losses[0] == losses[1]
    assert torch.autograd.backward is backward
    assert not present.data.augmentation._forward_hooks
    assert not present.data.augmentation._forward_pre_hooks
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, weights[name]) for name, value in present.module.state_dict().items())
    assert list(tmp_path.iterdir()) == []


def test_a_step_of_gathered_batches_has_all_of_them(tmp_path: Path) -> None:
    timed = setting("trainer.accumulate_grad_batches=3", "data.batch_size=10").take(4, tmp_path, instruments=True)
    assert len(timed.durations) == 4
    assert timed.samples == 4 * 3 * 10
    assert sum(span.part == "optimizer" for span in timed.spans) == 4
    assert sum(span.part == "backward" for span in timed.spans) == 12


def test_every_step_of_a_task_with_two_players_is_seen(tmp_path: Path) -> None:
    words = ["data=digits", "model=gan_mlp", "model.hidden=[8]", "data.batch_size=16", "logger=csv", "trainer=cpu"]
    timed = Setting.of(Probe.of(couloir.compose(words).cfg)).take(3, tmp_path, instruments=True)
    found = added_up(timed)
    assert {each.name for each in found.modules} == {"generator", "discriminator"}
    assert {name.rpartition(" ")[2] for name in found.within["optimizer"]} == {"generator", "discriminator"}
    assert sum(found.parts.values()) == pytest.approx(found.seconds, rel=1e-9)
    assert found.share("rest") < 0.5


def test_steps_that_are_broken_off_leave_no_worker(tmp_path: Path) -> None:
    class Stop(Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            assert present.data.worker_processes()
            raise KeyError

    present = setting("data.workers=1")
    with pytest.raises(KeyError):
        present.take(3, tmp_path, [Stop()], instruments=True)
    assert not present.data.worker_processes()
    assert torch.autograd.backward.__module__ == "torch.autograd"


def test_only_callbacks_that_hear_of_steps_take_part_and_none_saves() -> None:
    cfg = couloir.compose(["averaging=ema", "callbacks.early_stopping.patience=2", "trainer=cpu"]).cfg
    names = [type(each).__name__ for each in per_step_callbacks(cfg, Path(), logs=False)]
    assert names == ["Divergence", "Averaging", "Gradients", "Progress"]


def test_spans_of_a_clock_nest_and_close_with_what_is_around_them() -> None:
    clock = Clock()
    clock.begin("loading", "")  # before it starts
    clock.start()
    clock.mark()
    clock.begin("forward", "")
    clock.begin("forward", "a")
    clock.end("forward", "")  # an error left the inner one open
    clock.end("forward", "a")
    with clock.span("metrics"):
        pass
    clock.stop()
    clock.begin("loss", "")
    marks, spans = clock.read()
    assert len(marks) == 2
    assert [(span.part, span.name, span.parent) for span in spans] == [
        ("forward", "", -1),
        ("forward", "a", 0),
        ("metrics", "", -1),
    ]
    assert all(isinstance(span, Span) and marks[0] <= span.begin <= span.end <= marks[1] for span in spans)


def test_on_a_gpu_moments_are_events_of_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that reaches one event a millisecond."""
    recorded: list[Any] = []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            recorded.append(self)

        def elapsed_time(self, other: Any) -> float:
            return float(recorded.index(other) - recorded.index(self))

    waited: list[bool] = []
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append(True))
    clock = Clock(torch.device("cuda"))
    clock.start()
    clock.mark()
    with clock.span("forward"), clock.span("loss"):
        pass
    clock.stop()
    assert clock.read() == ([0.0, 0.005], [Span("forward", "", -1, 0.001, 0.004), Span("loss", "", 0, 0.002, 0.003)])
    assert waited


def test_of_a_deep_network_the_outer_modules_are_timed() -> None:
    net = torch.nn.Sequential(*(torch.nn.Sequential(*(torch.nn.ReLU() for _ in range(20))) for _ in range(20)))
    assert list(timed_modules(net)) == ["", *map(str, range(20))]
