"""Training on samples that are changed against the network: what is changed, how far, and that nothing else moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import couloir
from couloir.augmentation.adversarial import Adversarial, spread
from couloir.cli.main import run as command
from couloir.config.check import checked
from couloir.errors import CouloirError
from couloir.run.assemble import build_network, load_data
from couloir.task.build import build_task
from couloir.task.task import Task
from interruption import assert_same, stopped

MEAN, STD, EPSILON = [0.4, 0.3], [0.2, 0.1], 0.05
DIGITS = ["data=digits", "data.subset=64", "data.batch_size=16", "trainer=cpu", "logger=csv"]
OPPOSED = ["augmentation=adversarial", "augmentation.epsilon=0.1"]


def adversarial(method: str = "pgd", share: float = 1.0) -> Adversarial:
    found = Adversarial(nn.Identity(), method, EPSILON, None, None, share)
    found.standardised_as(MEAN, STD)
    return found


def as_pixels(x: Tensor) -> Tensor:
    return x * torch.tensor(STD).view(-1, 1, 1) + torch.tensor(MEAN).view(-1, 1, 1)


def as_input(pixels: Tensor) -> Tensor:
    return (pixels - torch.tensor(MEAN).view(-1, 1, 1)) / torch.tensor(STD).view(-1, 1, 1)


def test_one_step_moves_each_pixel_by_epsilon_in_the_direction_of_the_gradient_and_stays_an_image() -> None:
    torch.manual_seed(0)
    pixels, weight = torch.rand(6, 2, 5, 5), torch.randn(2, 5, 5)
    found = as_pixels(adversarial("fgsm").against(as_input(pixels), lambda x: weight.expand_as(x)))
    torch.testing.assert_close(found, (pixels + EPSILON * weight.sign()).clamp(0, 1), atol=1e-6, rtol=0)


def test_many_steps_begin_anywhere_and_stay_in_the_ball_and_the_image() -> None:
    torch.manual_seed(0)
    pixels, weight = torch.rand(6, 2, 5, 5), torch.randn(2, 5, 5)
    start, steps = as_input(pixels), []

    def gradient(x: Tensor) -> Tensor:
        steps.append(as_pixels(x))
        return weight.expand_as(x)

    found = as_pixels(adversarial().against(start, gradient))
    assert len(steps) == 7
    for each in (*steps, found):
        assert (each - pixels).abs().max() <= EPSILON + 1e-6
        assert each.min() >= -1e-6
        assert each.max() <= 1 + 1e-6
    assert 0.4 < (steps[0] - pixels).std() / (2 * EPSILON / 12**0.5) < 1.1  # uniform, but for the borders
    # From one side of the ball to the other are eight steps.
    torch.testing.assert_close(found, (pixels + EPSILON * weight.sign()).clamp(0, 1), atol=EPSILON / 4, rtol=0)
    noisy = pixels + 0.3 * torch.randn_like(pixels)  # noise comes before, and need not stay in [0, 1]
    moved = as_pixels(adversarial().against(as_input(noisy), gradient))
    assert (moved - noisy).abs().max() <= EPSILON + 1e-6


def test_the_share_that_is_changed_is_spread_over_the_batch() -> None:
    assert spread(8, 0.25) == [False, False, False, True] * 2
    assert [sum(spread(count, 0.3)) for count in (10, 100, 3)] == [3, 30, 0]
    assert all(spread(7, 1.0))
    x = as_input(torch.full((8, 2, 3, 3), 0.5))
    found = adversarial("fgsm", share=0.25).against(x, torch.ones_like)
    assert [not torch.equal(*pair) for pair in zip(found, x, strict=True)] == spread(8, 0.25)


def task_of(words: list[str]) -> tuple[Task, Any]:
    """A task in training, and a batch."""
    cfg = checked(words).cfg
    data = load_data(cfg)
    torch.manual_seed(0)
    task = build_task(cfg, build_network(cfg, data), data).train()
    loader = data.train_dataloader()
    batch = next(iter(loader))
    loader.close()
    return task, batch


def test_the_extra_passes_leave_weights_running_means_gradients_modes_and_random_numbers_alone() -> None:
    words = ["model=convnet", "model.norm=batch", "model.dropout=0.3", "augmentation.method=fgsm", "seed=1"]
    task, batch = task_of([*DIGITS, *OPPOSED, *words])
    frozen = next(module for module in task.net.modules() if isinstance(module, nn.BatchNorm2d))
    frozen.eval()  # as finetune leaves what is fixed
    before = {name: value.clone() for name, value in task.net.state_dict().items()}
    modes, drawn = [module.training for module in task.net.modules()], torch.get_rng_state()
    assert task.adversary is not None
    turned = task._opposed(batch, task.adversary)
    assert all(torch.equal(before[name], value) for name, value in task.net.state_dict().items())
    assert [module.training for module in task.net.modules()] == modes
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(parameter.grad is None for parameter in task.parameters())
    assert not turned[task.input].requires_grad
    task.net.eval()
    with torch.no_grad():
        assert task.compute(turned).losses["loss"] > task.compute(batch).losses["loss"]


def test_what_is_changed_in_a_sample_does_not_depend_on_the_others_of_its_batch() -> None:
    words = ["model=convnet", "model.norm=batch", "augmentation.method=fgsm"]
    task, batch = task_of([*DIGITS, *OPPOSED, *words])
    assert task.adversary is not None
    whole = task._opposed(batch, task.adversary)[task.input]
    for part in (slice(0, 5), slice(5, 16)):  # as two processes share a batch
        some = {name: value[part] for name, value in batch.items()}
        agree = (task._opposed(some, task.adversary)[task.input] - whole[part]).abs() < 1e-6
        assert agree.double().mean() > 0.99  # gradients that are nearly zero may round to another sign


def test_a_run_that_was_stopped_goes_on_to_the_bit_and_is_measured_on_samples_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*DIGITS, "model=mlp", "model.hidden=[16]", "trainer.max_epochs=2", "optimizer.lr=0.01"]
    against = [*words, *OPPOSED, "augmentation@augmentation.before=shift", "augmentation.before.pixels=1"]
    whole = couloir.train(couloir.compose([*against, "output_dir=whole"]))
    cut = stopped([*against, "output_dir=cut"], "train", 5, monkeypatch)
    assert command(["resume", str(cut)]) == 0
    assert_same(cut, whole.dir)
    slow = [*words, "trainer.max_epochs=1", "optimizer.lr=1e-9", "test=false"]
    opposed, plain = (couloir.train(couloir.compose([*slow, *more, "output_dir=slow"])) for more in (OPPOSED, []))
    assert opposed.metrics["val/loss"] == pytest.approx(plain.metrics["val/loss"], abs=1e-5)
    assert opposed.metrics["train/loss"] > plain.metrics["train/loss"] + 0.01


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["task=gan"], "task=gan has none"),
        (["task=reconstruction"], "task=reconstruction has none"),
        (["augmentation.method=fgsm", "augmentation.steps=3"], "is one step of epsilon, and augmentation.steps=3"),
        (["data=moons"], "needs images"),
        (["augmentation@augmentation.before=pca_color"], "augmentation@augmentation.before=pca_color needs images"),
        (["augmentation@augmentation.before=adversarial"], "comes before itself"),
        (["trainer=fsdp"], "trainer=fsdp gathers the weights"),
    ],
    ids=" ".join,
)
def test_what_it_would_ignore_or_cannot_do_is_refused_before_torch(words: list[str], said: str) -> None:
    with pytest.raises(CouloirError) as caught:
        checked(["augmentation=adversarial", *words])
    assert said in caught.value.fact


def test_it_is_refused_where_there_is_no_network_and_where_nobody_says_what_pixels_are(tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match="the data knows none"):
        adversarial()(torch.rand(2, 2, 3, 3))
    cfg = checked([*DIGITS, *OPPOSED, "model=mlp"]).cfg
    data = load_data(cfg)
    data.mean = None
    with pytest.raises(CouloirError, match="by what mean"):
        build_task(cfg, nn.Linear(1, 1), data)
