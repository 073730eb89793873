"""`couloir find-lr`: what it leaves behind, that it changes nothing, and what is said of mistakes."""

from __future__ import annotations

import csv
import itertools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import couloir
from couloir.cli.main import run as command
from couloir.inspect.find_lr import range_test
from couloir.inspect.probe import Probe, training_sentence
from couloir.inspect.rate_curve import exponential_rates
from pairs import pair

CPU = "trainer=cpu"


def found(outputs: Path, verb: str = "find-lr") -> Path:
    return max((outputs / verb).iterdir(), key=lambda path: path.stat().st_mtime_ns)


def numbers(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return content


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "find_lr.csv").open() as stream:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]


def test_a_suggestion_its_picture_and_its_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["optimizer.lr=7", "seed=3", CPU, f"output_dir={tmp_path}"]
    assert command(["find-lr", "--min", "1e-5", "--steps=60", *words]) == 0
    folder = found(tmp_path)
    result, said = numbers(folder), capsys.readouterr().out
    assert 3e-4 < result["optimizer.lr"] < 3e-2, "Adam's rates for LeNet-5 on digits"
    assert f"train seed=3 trainer=cpu output_dir={tmp_path} optimizer.lr={result['optimizer.lr']:g}" in said
    points = rows(folder)
    assert points[0]["lr"] == pytest.approx(1e-5)
    ratios = [later["lr"] / earlier["lr"] for earlier, later in itertools.pairwise(points)]
    assert ratios == pytest.approx([(10 / 1e-5) ** (1 / 59)] * len(ratios))
    assert points[0]["loss"] == pytest.approx(np.log(10), abs=0.15), "an untrained network guesses"
    assert min(point["smoothed"] for point in points) < 1.5
    assert Image.open(folder / "find_lr.png").size[0] > 600
    assert (folder / "config.yaml").exists()
    assert json.loads((folder / "status.json").read_text())["status"] == "completed"
    assert not (tmp_path / "latest").exists(), "it is not a run that later commands go on with"


def test_the_rates_are_those_of_the_steps(tmp_path: Path) -> None:
    """Plain gradient descent at such small rates is a sum: the first weights less each rate times its gradient."""
    cfg = couloir.compose(["data=line", "optimizer=sgd", "data.batch_size=1000", "data.seed=0", CPU]).cfg
    probe = Probe.of(cfg)
    rates = exponential_rates(0.01, 0.2, 10)
    curve = range_test(probe, rates, float(cfg.optimizer.lr), [])
    (x, y), *_ = map(pair, probe.data.train_dataloader())
    w, b = (float(value.detach()) for value in probe.module.net.parameters())
    x, y = x.double().flatten().numpy(), y.double().flatten().numpy()
    expected = []
    for rate in rates:
        error = w * x + b - y
        expected.append((error**2).mean())
        w, b = w - rate * 2 * (error * x).mean(), b - rate * 2 * error.mean()
    assert curve.losses == pytest.approx(expected, rel=1e-4)


def test_accumulated_batches_make_one_step_with_their_mean_loss() -> None:
    words = ["data=blobs", "optimizer=sgd", "data.batch_size=20", CPU]
    apart = Probe.of(couloir.compose(words).cfg)
    together = Probe.of(couloir.compose([*words, "trainer.accumulate_grad_batches=3"]).cfg)
    rates = [1e-9] * 4  # the weights stay where they are
    single = range_test(apart, [1e-9] * 12, 0.1, []).losses
    triple = range_test(together, rates, 0.1, []).losses
    assert triple == pytest.approx(np.reshape(single, (4, 3)).mean(axis=1).tolist(), rel=1e-5)


def test_groups_keep_the_ratio_of_their_rates_and_schedules_are_off() -> None:
    cfg = couloir.compose(["data=blobs", "model=mlp", "optimizer=sgd", "scheduler=one_cycle", CPU]).cfg
    probe = Probe.of(cfg)
    seen: list[list[float]] = []

    def two_groups(parameters: Any) -> torch.optim.Optimizer:
        first, *rest = parameters
        return torch.optim.SGD([{"params": [first], "lr": 0.01}, {"params": rest}], lr=0.1)

    from pytorch_lightning import Callback

    class Watch(Callback):
        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            seen.append([group["lr"] for group in optimizer.param_groups])

    probe.module.make_optimizer = two_groups
    rates = exponential_rates(1e-4, 1e-2, 10)
    range_test(probe, rates, 0.1, [Watch()])
    np.testing.assert_allclose(seen, [[rate / 10, rate] for rate in rates])


@pytest.mark.parametrize("words", [["model=convnet", "model.batch_norm=true"], ["data=line", "model=linear"]])
def test_weights_optimizers_and_random_numbers_are_left_as_they_were(words: list[str]) -> None:
    cfg = couloir.compose([*words, "optimizer=momentum", "augmentation=none", CPU]).cfg
    probe = Probe.of(cfg)
    optimizer = probe.module.configure_optimizers()["optimizer"]
    x, y = pair(probe.data.example_batch(16))
    probe.module.loss(probe.module(x), y).backward()
    optimizer.step()

    def everything() -> list[torch.Tensor]:
        state = [*probe.module.state_dict().values(), *(weight.grad for weight in probe.module.net.parameters())]
        state += [entry["momentum_buffer"] for entry in optimizer.state.values()]
        state += [torch.get_rng_state(), torch.tensor(np.random.get_state()[1].astype(np.int64))]
        return [value.clone() for value in state] + [torch.tensor(random.getstate()[1], dtype=torch.int64)]

    before = everything()
    curve = range_test(probe, exponential_rates(1e-3, 1.0, 10), 0.1, [])
    assert len(curve.losses) == 10
    assert all(torch.equal(one, other) for one, other in zip(before, everything(), strict=True))


def test_a_run_is_the_same_bit_for_bit_after_both_tools_as_before_them(tmp_path: Path) -> None:
    words = ["data=moons", "model=mlp", "model.dropout=0.3", "trainer.max_epochs=2", "logger=csv", CPU]

    def trained(name: str) -> tuple[list[list[str]], dict[str, torch.Tensor]]:
        run = couloir.train(couloir.compose([*words, f"output_dir={tmp_path / name}"])).dir
        table = [row[:-2] for row in csv.reader((run / "metrics.csv").open())]  # the last columns are the clock's
        return table, torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]

    before = trained("before")
    assert command(["find-lr", "--steps", "20", *words, f"output_dir={tmp_path}"]) == 0
    assert command(["find-batch-size", "--max", "16", "--steps", "4", *words, f"output_dir={tmp_path}"]) == 0
    after = trained("after")
    assert before[0] == after[0]
    assert all(torch.equal(before[1][name], after[1][name]) for name in before[1])


def test_with_scale_lr_the_suggestion_is_what_to_type(tmp_path: Path) -> None:
    words = ["data=moons", "model=mlp", "data.batch_size=64", "optimizer.base_batch_size=16", CPU]
    words.append(f"output_dir={tmp_path}")
    assert command(["find-lr", "--steps", "40", *words]) == 0
    plain = numbers(found(tmp_path))
    assert command(["find-lr", "--steps", "40", "optimizer.scale_lr=linear", *words]) == 0
    scaled = numbers(found(tmp_path))
    assert scaled["steepest_lr"] == plain["steepest_lr"], "the rates that are used are the same"
    assert scaled["optimizer.lr"] == pytest.approx(plain["steepest_lr"] * 16 / 64, rel=0.01)


def test_auxiliary_heads_and_curvature_take_the_tasks_own_step() -> None:
    for words in (["model=lenet5_1998", "loss=lenet_map", "optimizer=sdlm"], ["augmentation=mixup"]):
        probe = Probe.of(couloir.compose([*words, "data.subset=100", CPU]).cfg)
        losses = range_test(probe, exponential_rates(1e-5, 1e-3, 10), float(probe.cfg.optimizer.lr), []).losses
        assert len(losses) == 10
        assert np.isfinite(losses).all()


def test_the_test_ends_once_the_loss_has_exploded() -> None:
    probe = Probe.of(couloir.compose(["data=line", "optimizer=sgd", CPU]).cfg)
    rates = exponential_rates(1e-3, 1e9, 200)
    curve = range_test(probe, rates, 0.1, [])
    assert 20 < len(curve.losses) < 150
    assert curve.steepest is not None
    assert curve.steepest < 2


def test_where_the_loss_falls_nowhere_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--min", "1e-12", "--max", "1e-9", "--steps", "30", "data=moons", CPU, f"output_dir={tmp_path}"]
    assert command(["find-lr", *words]) == 2
    assert "does not clearly fall at any rate from 1e-12" in capsys.readouterr().err
    folder = found(tmp_path)
    assert numbers(folder)["optimizer.lr"] is None
    assert (folder / "find_lr.png").exists()
    assert json.loads((folder / "status.json").read_text())["status"] == "failed"


def test_the_sentence_to_train_with_has_the_key_once_and_is_quoted() -> None:
    words = ["model=mlp", "optimizer.lr=3", "hydra.run.dir=here", "model.hidden=[8, 8]"]
    assert training_sentence(words, "optimizer.lr", "optimizer.lr=0.1") == (
        "train model=mlp 'model.hidden=[8, 8]' optimizer.lr=0.1"
    )


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (["find-lr", "--mim", "1"], ["no flag '--mim'", "did you mean --min"]),
        (["find-lr", "--min", "fast"], ["--min takes a number > 0, not fast"]),
        (["find-lr", "--min=0"], ["--min takes a number > 0, not 0"]),
        (["find-lr", "--steps", "2.5"], ["--steps takes an integer >= 10"]),
        (["find-lr", "--steps"], ["--steps needs a number"]),
        (["find-lr", "--min", "2", "--max", "1"], ["--min 2 is not below --max 1"]),
        (["find-lr", "model=resnet5O"], ["did you mean model=resnet50"]),
        (["find-lr", "optimizer.lr=-1"], ["optimizer.lr takes a number > 0"]),
        (["find-lr", "trainer.devices=2"], ["in 2 processes", "trainer.devices=1"]),
        (["find_lr"], ["There is no verb 'find_lr'", "couloir find-lr"]),
        (["find-batch-size", "--max", "4"], ["--min 8 is above --max 4"]),
        (["find-batch-size", "--max", "x"], ["--max takes an integer >= 1, not x"]),
        (["find-batch-size", "--steps", "2"], ["--steps takes an integer >= 3"]),
        (["find-batch-size", "-m"], ["no flag '-m'"]),
        (["find-batch-size", "data=moons", "model=lenet5"], ["model=lenet5 needs images"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes_are_explained(
    words: list[str],
    fragments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(words) == 2
    message = capsys.readouterr().err
    for fragment in fragments:
        assert fragment in message
    assert not list(tmp_path.glob("outputs/*")), "a mistake leaves no folder"


def test_a_mistake_is_found_before_torch_is_imported(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = "import sys; from couloir.cli.main import run\ncode = run(sys.argv[1:])\n"
    program += "print('torch' in sys.modules)\nsys.exit(code)"
    words = ["find-lr", "optimizer.scale_lr=liner"]
    done = subprocess.run([sys.executable, "-c", program, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "did you mean optimizer.scale_lr=linear" in done.stderr
    assert "False" in done.stdout


def test_an_optimizer_without_a_rate_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf/optimizer").mkdir(parents=True)
    (tmp_path / "conf/optimizer/mine.yaml").write_text("# Mine.\n_target_: torch.optim.Adadelta\n_partial_: true\n")
    monkeypatch.chdir(tmp_path)
    assert command(["find-lr", "optimizer=mine"]) == 2
    assert "optimizer=mine has no key lr" in capsys.readouterr().err
