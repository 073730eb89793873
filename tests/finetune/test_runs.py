"""What a run moves and what it does not, to the bit: in and after the epoch that changes it, and when it is resumed."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor

import couloir
from couloir.cli.main import run as couloir_main
from couloir.inspect.find_lr import range_test
from couloir.inspect.probe import Probe
from couloir.record.tested import read_layers
from couloir.run.assemble import build_network, load_data
from interruption import assert_same, stopped

WORDS = [
    "data=digits", "data.subset=60", "data.batch_size=16", "trainer.threads=1", "trainer.max_epochs=3",
    "model=convnet", "model.widths=[4,4]", "model.hidden=8", "model.batch_norm=true", "model.dropout=0.3",
]  # fmt: skip
BODY = ("0", "1", "4", "5", "10")
"""The layers in front of the head, 13: convolution and batch normalisation twice, and a hidden layer."""
MOVES = {
    "head": ("13.weight", "13.bias"),
    "last_n": ("10.weight", "10.bias", "13.weight", "13.bias"),
    "bias_only": ("0.bias", "1.bias", "4.bias", "5.bias", "10.bias", "13.weight", "13.bias"),
    "pattern finetune.frozen=[0,1,*.bias]": ("4.weight", "5.weight", "10.weight", "13.weight"),
}
"""Choices, and the parameters that they let learn."""
FIXED_STATISTICS = {
    "head": ("1", "5"),
    "last_n": ("1", "5"),
    "bias_only": (),
    "pattern finetune.frozen=[0,1,*.bias]": ("1",),
}
"""Batch normalisation whose running statistics are fixed."""


def trained(tmp_path: Path, *words: str) -> Path:
    """The folder of a run."""
    return couloir.train(couloir.compose([*WORDS, *words, f"output_dir={tmp_path}"])).dir


def weights(run: Path, name: str = "last") -> dict[str, Tensor]:
    """A checkpoint's network."""
    state = torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"]
    return {name.removeprefix("net."): value for name, value in state.items() if name.startswith("net.")}


def columns(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def initial(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """The weights that all runs of the module begin with: those of the seed."""
    cfg = couloir.compose(WORDS).cfg
    seed_everything(cfg.seed, workers=True, verbose=False)
    data = load_data(cfg)
    seed_everything(cfg.seed, workers=True, verbose=False)
    return {name: value.clone() for name, value in build_network(cfg, data).state_dict().items()}


def moved(run: Path, before: dict[str, Tensor], name: str = "last") -> set[str]:
    return {key for key, value in weights(run, name).items() if not torch.equal(value, before[key])}


@pytest.mark.parametrize("choice", MOVES)
def test_only_what_learns_moves_and_fixed_statistics_stay(
    choice: str, tmp_path: Path, initial: dict[str, Tensor]
) -> None:
    name, *more = choice.split()
    run = trained(tmp_path, f"finetune={name}", *more, "trainer.max_epochs=2", "optimizer.weight_decay=0.1")
    buffers = {
        f"{layer}.{part}" for layer in ("1", "5") for part in ("running_mean", "running_var", "num_batches_tracked")
    }
    still = {f"{layer}.{part.rpartition('.')[2]}" for layer in FIXED_STATISTICS[choice] for part in buffers}
    assert moved(run, initial) == {*MOVES[choice], *(buffers - still)}
    assert "lr/rest" not in columns(run)[0]


@pytest.fixture(scope="module")
def switching(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose head learns alone in its first epoch, and everything in the second and third."""
    words = ["finetune=head_then_all", "finetune.factor=0.1", "optimizer=adamw", "callbacks.checkpoint.keep=every_n"]
    words += ["callbacks.checkpoint.every_n_epochs=1", "scheduler=one_cycle", "callbacks.signals.every_n_epochs=1"]
    words += ["trainer.log_every_n_steps=1"]
    return trained(tmp_path_factory.mktemp("switching"), *words)


def test_the_body_is_fixed_until_its_epoch_and_then_learns(switching: Path, initial: dict[str, Tensor]) -> None:
    first = moved(switching, initial, "epoch_0001")
    assert first == {"13.weight", "13.bias"}
    assert moved(switching, initial) == set(initial), "everything, statistics too"


def test_the_rates_of_parts_are_columns_and_follow_the_schedule_times_their_factor(switching: Path) -> None:
    rows = columns(switching)
    assert [float(row["lr/body"]) for row in rows] == pytest.approx([0, *(0.1 * float(row["lr"]) for row in rows[1:])])
    assert [float(row["lr/head"]) for row in rows] == pytest.approx(
        [float(row["lr"]) * factor for row, factor in zip(rows, (1, 0.1, 0.1), strict=True)]
    )
    peaks = {group["max_lr"] for group in state(switching)["param_groups"]}
    assert peaks == {0.001}, "one schedule for all parts"


def state(run: Path) -> dict[str, Any]:
    """The optimizer's state."""
    (found,) = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["optimizer_states"]
    assert isinstance(found, dict)
    return found


def test_an_optimizers_groups_have_the_names_of_the_parts(switching: Path) -> None:
    groups = state(switching)["param_groups"]
    assert [group["name"] for group in groups] == ["head", "head/no_decay", "body", "body/no_decay"]
    assert [group["weight_decay"] for group in groups] == [0.01, 0, 0.01, 0]
    assert {group["factor"] for group in groups} == {0.1}


def test_each_part_of_the_optimizer_counts_its_own_steps(switching: Path) -> None:
    content = state(switching)
    steps = {
        group["name"]: {int(content["state"][number]["step"]) for number in group["params"]}
        for group in content["param_groups"]
    }
    each = steps["body"].copy().pop() // 2
    assert steps == {"head": {3 * each}, "head/no_decay": {3 * each}, "body": {2 * each}, "body/no_decay": {2 * each}}


def test_tensorboard_has_the_rate_of_each_group(switching: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(next((switching / "tensorboard").rglob("events.*")).parent))
    board.Reload()
    tags = {tag: [event.value for event in board.Scalars(tag)] for tag in board.Tags()["scalars"] if "lr-" in tag}
    assert set(tags) == {f"lr-AdamW/{name}" for name in ("head", "head/no_decay", "body", "body/no_decay")}


def test_the_report_and_the_diagnosis_read_several_rates(switching: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert couloir_main(["report", str(switching)]) == 0
    page = (switching / "report.html").read_text(encoding="utf-8")
    assert "lr/body" in page
    assert couloir_main(["diagnose", str(switching)]) == 0
    assert "dead" not in capsys.readouterr().out


def test_gradients_are_those_of_what_learns_in_the_epoch(switching: Path) -> None:
    rows = columns(switching)
    assert not rows[0].get("gradients/first_to_last"), "one layer has no first and last"
    assert all(row["gradients/first_to_last"] for row in rows[1:])
    assert all(float(row["gradients/norm"]) > 0 for row in rows)


@pytest.mark.parametrize("place", [("train", 2), ("train", 4), ("train", 6), ("val", 1), ("val", 2)])
def test_a_resumed_run_has_the_same_parts_fixed(
    place: tuple[str, int], tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stopped([*WORDS, *SWITCH, f"output_dir={tmp_path}"], *place, monkeypatch)
    assert couloir_main(["resume", str(run)]) == 0
    assert_same(run, whole)


SWITCH = ["finetune=head_then_all", "finetune.factor=0.1", "averaging=ema", "scheduler=cosine", "optimizer=nesterov"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, never stopped."""
    return trained(tmp_path_factory.mktemp("whole"), *SWITCH)


def test_a_rerun_has_the_same_result(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert couloir_main(["rerun", str(whole)]) == 0


def test_layerwise_rates_are_columns_by_the_names_of_layers(tmp_path: Path) -> None:
    run = trained(tmp_path, "finetune=layerwise", "finetune.decay=0.5", "finetune.factor=1", "trainer.max_epochs=1")
    (row,) = columns(run)
    lr = float(row["lr"])
    found = {name: float(value) / lr for name, value in row.items() if name.startswith("lr/")}
    assert found == pytest.approx({"lr/13": 1, "lr/10": 0.5, "lr/4": 0.25, "lr/0": 0.125})


def test_swa_leaves_fixed_statistics_alone(tmp_path: Path, initial: dict[str, Tensor]) -> None:
    run = trained(tmp_path, "finetune=last_n", "averaging=swa", "averaging.start=1", "averaging.swa_lr=0.01")
    assert moved(run, initial) == set(MOVES["last_n"])


class Seen(Callback):
    """The network, and the rate and the factor of each group, as a probe's step was taken."""

    def __init__(self) -> None:
        self.state: dict[str, Tensor] = {}
        self.groups: list[tuple[str, float, float]] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        self.state = {name: value.clone() for name, value in pl_module.net.state_dict().items()}
        groups = trainer.optimizers[0].param_groups
        self.groups = [(group["name"], group["lr"], group["factor"]) for group in groups]


@pytest.mark.parametrize("everything", [False, True])
def test_a_probe_keeps_to_what_learns_first_or_takes_all_of_it(everything: bool, initial: dict[str, Tensor]) -> None:
    probe = Probe.of(couloir.compose([*WORDS, "finetune=head_then_all"]).cfg, all_learns=everything)
    seen = Seen()
    range_test(probe, [0.3] * 9, 0.002, [seen])  # nine steps, an epoch has four
    differ = {name for name, value in seen.state.items() if not torch.equal(value, initial[name])}
    assert differ == (set(initial) if everything else {"13.weight", "13.bias"})
    factors = (0.01, 0.01) if everything else (1.0, 0.0)
    assert seen.groups == [("head", 0.3, factors[0]), ("body", 0.3, factors[1])]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["finetune=head_then_all", "finetune.head_epochs=3"], "finetune.head_epochs=3 leaves no epoch"),
        (["finetune=layerwise", "finetune.decay=-0.5"], "finetune.decay takes a number in (0, 1], not -0.5"),
        (["finetune=layerwise", "finetune.decay=0"], "finetune.decay takes"),
        (["finetune=last_n", "finetune.n=0"], "finetune.n takes an integer >= 1, not 0"),
        (["finetune=last_n", "finetune.n=99"], "finetune.n=99 is more than the 4 layers"),
        (["finetune=pattern"], "finetune=pattern needs finetune.frozen"),
        (["finetune=pattern", "finetune.frozen=[]"], "finetune.frozen=[] fixes nothing"),
        (["finetune=pattern", "finetune.frozen=[layer9.*]"], "finetune.frozen=layer9.* names no parameter"),
        (["finetune=pattern", "finetune.frozen=['*']"], "fixes all of the network"),
        (["finetune=pattern", "finetune.frozen=4"], "finetune.frozen takes"),
        (["finetune=head", "finetune.head=nowhere"], "finetune.head=nowhere is no module of this network"),
        (["finetune=pattern", "finetune.frozen=[1.10]"], """put the name in quotes: 'finetune.frozen=["1.1"]'"""),
        (["finetune=greedy"], "A layer that joins the network later does not give what it takes"),
        (["model.weights="], "There is no run ''"),
        (["finetune=heads"], "There is no finetune called 'heads'"),
        (["finetune=head", "finetune.n=2"], "it is a key of finetune=last_n"),
        (["finetune=head", "trainer=fsdp", "trainer.accelerator=auto"], "finetune=head needs the whole network"),
    ],
)
def test_mistakes_are_said_in_a_sentence(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert couloir_main(["train", *WORDS, *words, f"output_dir={tmp_path}"]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_run_says_what_learns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(tmp_path, "finetune=head", "trainer.max_epochs=1")
    assert "learns: 13, 90 of 430 parameters; fixed: 0, 1, 4, 5, 10" in capsys.readouterr().out
    totals = read_layers(run)["totals"]
    assert (totals["trainable_parameters"], totals["parameters"]) == (90, 430)
    assert math.isfinite(float(columns(run)[0]["val/loss"]))


@pytest.mark.slow
def test_two_processes_train_the_same_parts_as_one(tmp_path: Path) -> None:
    words = [*SWITCH, "trainer.sync_batchnorm=true", "model.dropout=0", "trainer.accelerator=cpu"]
    words += ["trainer.limit_train_batches=3"]  # whole batches: one of a few samples has other statistics
    two = trained(tmp_path / "two", *words, "data.batch_size=8", "trainer=ddp", "trainer.devices=2")
    one = trained(tmp_path / "one", *words)
    for key, value in weights(one).items():
        torch.testing.assert_close(weights(two)[key], value, atol=1e-5, rtol=1e-4)
    fixed = trained(tmp_path / "fixed", "finetune=head", "trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")
    assert columns(fixed)[0]["val/loss"]


def test_the_summary_says_what_learns_when(capsys: pytest.CaptureFixture[str]) -> None:
    growing = ["data=digits", "model=mlp", "model.hidden=[4,4,4]", "finetune=greedy", "trainer.max_epochs=20"]
    assert couloir_main(["summary", *growing, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["totals"]["trainable_parameters"] == facts["totals"]["parameters"] == 260 + 20 + 20 + 50
    assert facts["learns"][0] == "learns in epochs 1 to 5: 1, 7, 310 of 350 parameters; not there yet: 3, 5"
    assert facts["learns"][-1] == "learns from epoch 16 on: everything, 350 of 350 parameters"
    assert couloir_main(["summary", "data=digits", "model=mlp", "finetune=head", "finetune.head=3"]) == 0
    assert "learns: 3, 4,160 of 8,970 parameters; fixed: 1, 5" in capsys.readouterr().out
