"""Maps of whole images: what stands beside an image in a batch, and pixels that do not count, change no number."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.config.fields import IGNORED, SIZE
from couloir.errors import CouloirError
from couloir.inference.trained import over_views
from couloir.metric.gathered import Gathered
from couloir.task.dense import Dense
from couloir.task.restoration import Restoration
from couloir.task.saliency import Saliency
from couloir.task.segmentation import Segmentation
from couloir.task.task import Step
from couloir.tta.views import Dihedral

SIZES = [(20, 31), (33, 17), (20, 31), (24, 24)]
"""Of the images of a batch; the window is 24 x 24."""
KINDS = ("segmentation", "sigmoid", "density", "restoration")


class CrossEntropy(nn.Module):
    def forward(self, scores: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(scores, target, ignore_index=IGNORED)


def task_of(kind: str, **keys: Any) -> Dense:
    factor, classes = (2, 3) if kind == "restoration" else (1, 3 if kind == "segmentation" else 1)
    data = SimpleNamespace(
        fields={"image": "image", "map": "map"}, image_size=24 * factor, factor=factor, channels=3, batch_size=3,
        num_classes=classes, classes=["sky", "sea", "land"] if kind == "segmentation" else [],
        target_offset=0.0, target_scale=1.0, mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.4],
    )  # fmt: skip
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, classes, 3, padding=1)]
    if factor > 1:
        layers.append(nn.Upsample(scale_factor=factor))
    made: dict[str, Any] = {"net": nn.Sequential(*layers), "make_optimizer": None, "make_scheduler": None}
    made |= {"data": data, "needs": ["map"], "overlap": 0.5, **keys}
    if kind == "segmentation":
        task: Dense = Segmentation(loss=CrossEntropy(), **{"ignore_index": IGNORED, **made})
    elif kind == "restoration":
        task = Restoration(loss=nn.MSELoss(), **made)
    else:
        task = Saliency(loss=nn.MSELoss(), output=kind, **made)
    return task.eval()


def target_of(kind: str, size: tuple[int, int]) -> Tensor:
    if kind == "segmentation":
        drawn = torch.randint(0, 4, size)
        return torch.where(drawn == 3, IGNORED, drawn)
    return torch.rand(3, 2 * size[0], 2 * size[1]) if kind == "restoration" else torch.rand(1, *size)


def samples(kind: str) -> list[dict[str, Any]]:
    """Batches of one sample each."""
    torch.manual_seed(1)
    return [{"image": torch.randn(1, 3, *size), "map": target_of(kind, size)[None]} for size in SIZES]


def padded(kind: str) -> dict[str, Any]:
    """The same in one batch; what stands beside an image is as wrong as can be."""
    parts = samples(kind)
    factor = 2 if kind == "restoration" else 1
    room = [max(side) for side in zip(*SIZES, strict=True)]
    x = torch.full((len(parts), 3, *room), 1e6)
    shape = [side * factor for side in room]
    maps = parts[0]["map"].new_full((len(parts), *parts[0]["map"].shape[1:-2], *shape), IGNORED)
    for place, part in enumerate(parts):
        height, width = part["image"].shape[-2:]
        x[place, :, :height, :width] = part["image"][0]
        maps[place, ..., : height * factor, : width * factor] = part["map"][0]
    return {"image": x, "map": maps, SIZE: torch.tensor(SIZES)}


def numbers(task: Dense, steps: list[tuple[Step, int]]) -> dict[str, float]:
    gathered = Gathered(tuple(steps[0][0].losses), task.measures())
    for step, count in steps:
        gathered.add(count if step.weight is None else step.weight, tuple(step.losses.values()), step.tensors)
    return {name: float(value) for name, value in gathered.compute().items()}


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_metrics_of_a_padded_batch_are_those_of_its_images_one_by_one(kind: str) -> None:
    task, batch = task_of(kind), padded(kind)
    with torch.no_grad():
        together = numbers(task, [(task.compute(batch), len(SIZES))])
        alone = numbers(task, [(task.compute(part), 1) for part in samples(kind)])
    assert together == pytest.approx(alone, rel=1e-5, nan_ok=True)
    assert all(value == value for value in together.values())
    assert {"loss", *({"mean_iou", "iou_sea"} if kind == "segmentation" else ())} <= set(together)


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_measured_anew_has_the_numbers_of_the_test(kind: str) -> None:
    task, batch = task_of(kind), padded(kind)
    with torch.no_grad():
        computed = task.compute(batch)
        compared = task.compare(task.answer(task.outputs(batch)), batch)
    assert compared.losses == {}
    for one, other in zip(computed.tensors, compared.tensors, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, equal_nan=True)


@pytest.mark.parametrize("kind", KINDS)
def test_the_output_of_each_sample_is_handed_on_at_its_own_size(kind: str) -> None:
    task, batch = task_of(kind), padded(kind)
    factor = 2 if kind == "restoration" else 1
    with torch.no_grad():
        step, outputs = task.compute(batch), task.outputs(batch)
        for place, part in enumerate(samples(kind)):
            own = task.look(part["image"])[0]
            height, width = SIZES[place]
            assert torch.allclose(step.outputs[place], own, atol=1e-5)
            assert torch.allclose(outputs[place, :, : height * factor, : width * factor], own, atol=1e-5)


def test_ignored_pixels_change_nothing() -> None:
    task, batch = task_of("segmentation"), samples("segmentation")[0]
    ignored = batch["map"] == IGNORED
    with torch.no_grad():
        step = task.compute(batch)
        scores = task.look(batch["image"])
        kept = ~ignored[0]
        assert step.losses["loss"] == pytest.approx(
            float(F.cross_entropy(scores[0][:, kept].T, batch["map"][0][kept])), rel=1e-5
        )
        assert float(step.weight) == int(kept.sum())
        assert int(step.tensors[0].sum()) == int(kept.sum())


def test_an_image_without_a_pixel_that_counts_spoils_no_loss() -> None:
    task, batch = task_of("segmentation"), padded("segmentation")
    batch["map"][1] = IGNORED
    with torch.no_grad():
        together = numbers(task, [(task.compute(batch), len(SIZES))])
        others = [part for place, part in enumerate(samples("segmentation")) if place != 1]
        alone = numbers(task, [(task.compute(part), 1) for part in others])
    assert together == pytest.approx(alone, rel=1e-5)


def test_the_number_that_a_module_of_ones_own_ignores_counts_for_nothing_in_test_and_ensemble() -> None:
    own, usual = task_of("segmentation", ignore_index=-1), task_of("segmentation")
    batch = padded("segmentation")
    theirs = {**batch, "map": batch["map"].masked_fill(batch["map"] == IGNORED, -1)}
    with torch.no_grad():
        answer = usual.answer(usual.outputs(batch))
        assert torch.equal(own.compute(theirs).losses["loss"], usual.compute(batch).losses["loss"])
        for one, other in zip(own.compare(answer, theirs).tensors, usual.compare(answer, batch).tensors, strict=True):
            assert torch.equal(one, other)


def test_a_density_sums_to_one_over_its_own_image_also_in_a_batch_of_larger_ones() -> None:
    task, batch = task_of("density"), padded("density")
    with torch.no_grad():
        answer = task.answer(task.outputs(batch))
    for place, (height, width) in enumerate(SIZES):
        assert float(answer[place, :, :height, :width].sum()) == pytest.approx(1, rel=1e-5)
    assert torch.allclose(answer.sum(dim=(1, 2, 3)), torch.ones(len(SIZES)))


def test_a_restoration_is_measured_beside_its_own_input_enlarged() -> None:
    task, batch = task_of("restoration"), samples("restoration")[0]
    with torch.no_grad():
        found = numbers(task, [(task.compute(batch), 1)])
    std, mean = (torch.tensor(values).view(1, 3, 1, 1) for values in ([0.2, 0.3, 0.4], [0.5, 0.4, 0.3]))
    given = F.interpolate(batch["image"] * std + mean, scale_factor=2, mode="bicubic").clamp(0, 1)
    error = (given - batch["map"]).square().mean()
    assert found["input_psnr"] == pytest.approx(float(-10 * error.log10()), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_training_on_windows_has_a_loss_with_a_gradient(kind: str) -> None:
    task = task_of(kind).train()
    torch.manual_seed(2)
    batch = {"image": torch.randn(2, 3, 24, 24), "map": torch.stack([target_of(kind, (24, 24)) for _ in range(2)])}
    step = task.compute(batch)
    step.losses["loss"].backward()
    assert all(parameter.grad.isfinite().all() for parameter in task.net.parameters())
    measured = Gathered(("loss",), task.measured_of("train"))
    measured.add(2, (step.losses["loss"],), step.tensors)
    assert measured.compute()["loss"] == step.losses["loss"].double()


def test_a_network_that_gives_no_map_is_refused_before_training() -> None:
    class Data(SimpleNamespace):
        def example_batch(self, count: int) -> dict[str, Tensor]:
            return {"image": torch.zeros(count, 3, 24, 24)}

    data = Data(fields={"image": "image", "map": "map"}, num_classes=3)
    with pytest.raises(CouloirError, match="2 maps of 3 channels"):
        Dense.check(nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 3)), None, data)


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_over_all_views_of_maps_turns_with_the_images_of_a_batch_of_several_sizes(kind: str) -> None:
    task = task_of(kind)
    with torch.no_grad():
        batch = padded(kind)
        look = partial(over_views, Dihedral(), size=24, task=task, look=task.look)
        found = task.by_size(batch, look, 0.0)
        factor = 2 if kind == "restoration" else 1
        for place, (height, width) in enumerate(SIZES):
            x = batch["image"][place : place + 1, :, :height, :width]
            symmetries = ([], [3], [2], [2, 3])
            alone = [task.answer(task.look(x.flip(axes))).flip(axes) for axes in symmetries]
            if height == width:
                alone += [task.answer(task.look(x.flip(a).mT)).mT.flip(a) for a in symmetries]
            own = found[place : place + 1, :, : height * factor, : width * factor]
            torch.testing.assert_close(own, torch.stack(alone).mean(dim=0))
            assert not torch.allclose(own, alone[0], atol=1e-3)


def test_pictures_of_densities_show_a_flat_answer_most_wrong_where_people_look() -> None:
    task = task_of("density")
    looked = torch.zeros(1, 8, 8)
    looked[0, 2, 3] = 1
    _, truth, said = task.planes(torch.zeros(1, 8, 8), torch.zeros(1, 8, 8), looked)
    assert truth.max() == 1
    assert torch.allclose(said, torch.full((8, 8), 1 / 64))
    assert (truth - said).abs().argmax() == 2 * 8 + 3
