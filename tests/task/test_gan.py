"""A generator against a discriminator: whose weights a step moves, what both are told, that a run goes on exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

import couloir
from couloir.cli.main import run
from couloir.config.check import checked
from couloir.errors import CouloirError
from couloir.inspect.probe import Probe
from couloir.trainer.loop import ShortStep
from interruption import assert_same, rows, stopped

TINY = [
    "task=gan",
    "model=gan_mlp",
    "model.hidden=[16]",
    "model.code_size=4",
    "data=digits",
    "data.subset=70",
    "data.batch_size=8",
    "trainer=cpu",
    "trainer.max_epochs=2",
    "logger=csv",
]
SYNTHETIC = ["data=synthetic", "data.samples=60", "data.image_size=16"]
PLAYERS = ("generator", "discriminator")


def state(net: Any) -> dict[str, dict[str, Tensor]]:
    """The weights of both players."""
    return {name: {key: value.clone() for key, value in getattr(net, name).state_dict().items()} for name in PLAYERS}


def differ(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return any(not torch.equal(one[name], other[name]) for name in one)


class Watching(Callback):
    """Takes down who was moved by each batch, and the gradients that each optimizer was given."""

    def __init__(self) -> None:
        self.moved: list[tuple[bool, ...]] = []
        self.strays: list[bool] = []
        self.labels: dict[str, list[Tensor | None]] = {name: [] for name in PLAYERS}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.before = state(pl_module.net)
        self._of_discriminator: list[Tensor] = []
        for name, seen in self.labels.items():
            player: Any = getattr(pl_module.net, name)
            player.register_forward_pre_hook(
                lambda _module, inputs, seen=seen: seen.append(inputs[1] if inputs[1:] else None)
            )

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        net: Any = pl_module.net
        gradients = [weight.grad.clone() for weight in net.discriminator.parameters() if weight.grad is not None]
        if optimizer is trainer.optimizers[0]:  # the discriminator's are still those of its own step
            self.strays.append(not all(map(torch.equal, gradients, self._of_discriminator)))
        else:
            self._of_discriminator = gradients

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: Any) -> None:
        now = state(pl_module.net)
        self.moved.append(tuple(differ(self.before[name], now[name]) for name in PLAYERS))
        self.before = now


def watched(*words: str, batches: int = 9) -> Watching:
    """What happens in the first batches of a sentence, over the end of an epoch."""
    probe, watching = Probe.of(checked([*TINY, *words]).cfg), Watching()
    assert len(probe.data.train_dataloader()) < batches
    probe.steps([watching], 2 * batches)
    return watching


def test_each_batch_moves_the_discriminator_and_each_third_the_generator_over_the_end_of_an_epoch() -> None:
    watching = watched("task.discriminator_steps=3")
    assert all(judge for _, judge in watching.moved)
    makers = [maker for maker, _ in watching.moved]
    assert makers == [number % 3 == 0 for number in range(1, len(makers) + 1)]
    assert len(watching.strays) == sum(makers)
    assert not any(watching.strays), "the generator's step leaves the discriminator's gradients alone"


@pytest.mark.parametrize("objective", ["minimax", "least_squares", "wasserstein_gp", "hinge"])
def test_both_players_learn_by_each_objective(objective: str) -> None:
    watching = watched(f"task.objective={objective}")
    assert all(maker and judge for maker, judge in watching.moved)
    assert not any(watching.strays)


def test_the_discriminator_has_a_rate_of_its_own_that_the_schedule_scales() -> None:
    module = Probe.of(checked([*TINY, "task.discriminator_lr=0.004", "optimizer.lr=0.001"]).cfg).module
    assert [each["optimizer"].param_groups[0]["lr"] for each in module.configure_optimizers()] == [0.001, 0.004]
    assert not {id(p) for p in module.net.generator.parameters()} & {
        id(p) for p in module.configure_optimizers()[1]["optimizer"].param_groups[0]["params"]
    }


def test_both_players_are_told_the_classes_of_the_batch_in_training_and_in_validation() -> None:
    words = ["task.conditional=true"]
    watching = watched(*words)
    for seen in watching.labels.values():
        assert all(labels is not None and labels.dtype == torch.int64 for labels in seen)
    made, judged = watching.labels["generator"][0], watching.labels["discriminator"][:3]
    assert all(torch.equal(made, labels) for labels in judged if made is not None and labels is not None)
    probe = Probe.of(checked([*TINY, *words]).cfg)
    module: Any = probe.module.eval()
    batch = probe.data.example_batch(6)
    with torch.no_grad():
        losses = module.compute(batch).losses
        others = module.compute({**batch, "label": (batch["label"] + 1) % 10}).losses
    assert all(float(losses[name]) != float(others[name]) for name in losses)


def test_made_images_of_a_validation_follow_from_the_samples_numbers_and_lie_between_0_and_1() -> None:
    probe = Probe.of(checked(TINY).cfg)
    module: Any = probe.module.eval()
    batch = {**probe.data.example_batch(6), "sample": torch.tensor([3, 1, 4, 15, 9, 2])}
    with torch.no_grad():
        real_scores, _, made, real = module.compute(batch).tensors
        turned = {name: value.flip(0) for name, value in batch.items()}
        _, _, again, _ = module.compute(turned).tensors
        expected = module.net.discriminator(2 * real - 1)
    torch.testing.assert_close(again.flip(0), made)
    assert made.shape == real.shape
    assert 0 <= float(made.min()) <= float(made.max()) <= 1
    torch.testing.assert_close(real_scores, expected, rtol=1e-4, atol=1e-5)
    greys = real.numpy() * 255  # of bytes
    np.testing.assert_allclose(greys, greys.round(), atol=1e-2)


EXACT = [
    "task.objective=wasserstein_gp",
    "task.discriminator_steps=2",
    "task.discriminator_lr=0.001",
    "task.conditional=true",
    "model.spectral_norm=true",
    "averaging=ema",
    "scheduler=warmup_cosine",
    "scheduler.warmup_epochs=0.5",
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with everything that has a state."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(["train", *TINY, *EXACT, f"output_dir={folder}"]) == 0
    return (folder / "latest").resolve()


@pytest.mark.parametrize(
    "where", [("train", 9), pytest.param(("val", 2), marks=pytest.mark.slow)], ids=["train", "val"]
)
def test_a_run_that_was_stopped_within_an_epoch_goes_on_to_the_bit(
    where: tuple[str, int], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stopped([*TINY, *EXACT, f"output_dir={tmp_path}"], *where, monkeypatch)
    assert run(["resume", str(folder)]) == 0
    assert_same(folder, whole)


def test_the_short_way_through_a_step_trains_bit_for_bit_what_lightnings_own_trains(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    step = ShortStep._descend
    monkeypatch.setattr(ShortStep, "_descend", lambda *arguments: taken.append(1) or step(*arguments))
    assert run(["train", *TINY, *EXACT, f"output_dir={tmp_path}", "trainer.short_steps=false"]) == 0
    assert not taken
    assert run(["train", *TINY, *EXACT, f"output_dir={tmp_path}/short", "test=false"]) == 0
    assert len(taken) > 10
    own, short = (
        torch.load(run_ / "checkpoints/last.ckpt", weights_only=True) for run_ in ((tmp_path / "latest"), whole)
    )
    assert rows(tmp_path / "latest") == rows(whole)
    assert all(torch.equal(own["state_dict"][name], short["state_dict"][name]) for name in own["state_dict"])
    assert own["global_step"] == short["global_step"]
    loops = [
        {name: value for name, value in content["loops"]["fit_loop"].items() if "val_loop" not in name}
        for content in (own, short)
    ]
    assert loops[0] == loops[1]


def test_the_mean_of_weights_is_the_generators_alone_and_grows_with_its_steps(whole: Path) -> None:
    content = torch.load(whole / "checkpoints/last.ckpt", weights_only=True)
    newest, saved = content["averaging"]["weights"], content["state_dict"]
    assert newest
    assert all(name.startswith("generator.") for name in newest)
    assert any(not torch.equal(saved[f"net.{name}"], value) for name, value in newest.items())
    table = rows(whole)
    batches = content["global_step"] * 2 // 3  # each second batch is a step of both
    assert content["averaging"]["steps"] == content["global_step"] - batches
    assert {"gradients/generator", "gradients/discriminator"} <= {name for name, value in table[-1].items() if value}


def test_a_run_measures_both_players_and_predicts_scores(whole: Path) -> None:
    table, numbers = rows(whole), json.loads((whole / "result.json").read_text())
    for name in ("generator", "discriminator", "real_accuracy", "made_accuracy"):
        assert {f"train/{name}", f"val/{name}"} <= set(table[0])
    assert float(table[-1]["val/loss"]) == pytest.approx(
        float(table[-1]["val/generator"]) + float(table[-1]["val/discriminator"]), rel=1e-5
    )
    assert {"test/swd", "test/diversity", "test/sharpness", "best/swd"} <= set(numbers)
    assert (whole / "predictions.csv").read_text().startswith("sample,score\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["task.conditional=true", "model.conditional=false"], "leave model.conditional out"),
        (["model.conditional=true"], "task.conditional=true, or leave model.conditional out"),
        (["finetune=greedy"], "finetune=greedy adds one layer after another"),
        (["task.discriminator_lr=0.1", "scheduler=piecewise"], "task.discriminator_lr=0.1 would have no effect"),
        (["model=dcgan", "task.objective=wasserstein_gp", *SYNTHETIC], "model.discriminator_batch_norm=false"),
        (["momentum_schedule=linear", "optimizer=momentum"], "follows the steps of one optimizer"),
        (["task.discriminator_steps=10000"], "the generator takes no step"),
    ],
)
def test_what_a_gan_cannot_do_is_refused(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = [word for word in TINY if not (words[0] == "model=dcgan" and word.startswith("model"))]
    assert run(["train", *sentence, *words, f"output_dir={tmp_path}"]) == 2
    assert said in capsys.readouterr().err


class Own(torch.nn.Module):
    """A network of a user's own: its players are told no class, and nothing calls `forward`."""

    code_size = 4

    def __init__(self, *end: torch.nn.Module, side: int = 8) -> None:
        super().__init__()
        image = torch.nn.Unflatten(1, (1, side, side))
        self.generator = torch.nn.Sequential(torch.nn.Linear(4, side * side), torch.nn.Tanh(), image)
        self.discriminator = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 1), *end)


class Methods(torch.nn.Module):
    """A network whose players are no parts of their own."""

    code_size = 4

    def generator(self, codes: Tensor) -> Tensor:
        return codes

    def discriminator(self, images: Tensor) -> Tensor:
        return images


def test_an_own_network_is_used_as_it_is_and_one_that_cannot_play_is_refused_before_training() -> None:
    task: Any = Probe.of(checked(TINY).cfg).module
    data, net = Probe.of(checked(TINY).cfg).data, Own(torch.nn.Flatten(0))
    type(task).check(net, None, data)
    task.net = net
    assert torch.isfinite(task.compute(data.example_batch(2)).losses["generator"])
    assert task.make(torch.zeros(3, 4)).shape == (3, 1, 8, 8)
    for wrong, said in (
        (Own(), r"scores of shape \(2, 1\)"),
        (Own(side=9), "images of shape"),
        (Methods(), "a method"),
    ):
        with pytest.raises(CouloirError, match=said):
            type(task).check(wrong, None, data)


def test_classes_of_data_without_any_are_refused_before_torch_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "conf/data/plain.yaml"
    file.parent.mkdir(parents=True)
    digits = (Path(couloir.__file__).parents[2] / "conf/data/digits.yaml").read_text()
    file.write_text("\n".join(digits.replace(", label: label", "").splitlines()))
    monkeypatch.chdir(tmp_path)
    words = [word for word in TINY if not word.startswith("data=")]
    checked([*words, "data=plain"])
    with pytest.raises(CouloirError, match="task=gan needs classes"):
        checked([*words, "data=plain", "task.conditional=true"])


def test_a_range_test_is_refused_since_no_loss_of_a_game_need_fall(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["find-lr", *TINY, f"output_dir={tmp_path}"]) == 2
    assert "play against each other" in capsys.readouterr().err


def test_a_player_whose_loss_is_no_number_ends_the_run_with_exit_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["optimizer=sgd", "optimizer.lr=0.001", "task.discriminator_lr=1e30", "task.objective=hinge"]
    assert run(["train", *TINY, *words, f"output_dir={tmp_path}"]) == 3
    assert json.loads((tmp_path / "latest/status.json").read_text())["status"] == "diverged"
    said = capsys.readouterr().err
    assert "lr 0.001 and 1e+30" in said
    assert "try task.discriminator_lr=0.1" in said
    assert "clip" not in said, "which this task refuses"


def test_a_plateau_of_the_made_images_lowers_both_rates(tmp_path: Path) -> None:
    words = ["scheduler=plateau", "scheduler.monitor=val/swd", "scheduler.patience=0", "scheduler.threshold=0.9"]
    words += ["task.discriminator_lr=0.004", "optimizer.lr=0.002", "trainer.max_epochs=3", "test=false"]
    assert run(["train", *TINY, *words, f"output_dir={tmp_path}"]) == 0
    content = torch.load(tmp_path / "latest/checkpoints/last.ckpt", weights_only=True)
    rates = [optimizer["param_groups"][0]["lr"] for optimizer in content["optimizer_states"]]
    assert rates == pytest.approx([0.002 / 100, 0.004 / 100])


@pytest.mark.slow
def test_two_processes_agree_and_what_they_measure_one_process_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*TINY, "task.objective=wasserstein_gp", "task.discriminator_steps=2"]
    assert run(["train", *words, "trainer=ddp", "trainer.devices=2"]) == 0
    numbers = json.loads((tmp_path / "outputs/latest/result.json").read_text())
    assert run(["evaluate", "latest"]) == 0
    (alone,) = (json.loads(file.read_text()) for file in (tmp_path / "outputs/evaluate").glob("*/result.json"))
    for name in ("loss", "generator", "real_accuracy", "swd", "diversity"):
        assert alone[f"test/{name}"] == pytest.approx(numbers[f"test/{name}"], rel=1e-4)
