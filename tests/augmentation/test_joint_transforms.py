"""One draw a sample for its picture, its map and its boxes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from couloir.augmentation.geometry import Affine, FlipCrop, RandomResizedCrop, Rotate, Shift
from couloir.augmentation.mixing import CutMix, Mixup
from couloir.augmentation.photometric import Noise, Photometric
from couloir.augmentation.transform import Transform, in_turn
from couloir.config.fields import SAMPLE
from couloir.data.ragged import Ragged
from couloir.errors import CouloirError

HEIGHT, WIDTH = 40, 56
KINDS = {"picture": "image", "mask": "map", "places": "boxes", "kind": "label"}
GEOMETRIC = {
    "shift": lambda: Shift(4),
    "flip_crop": lambda: FlipCrop(4, 0.5),
    "rotate": lambda: Rotate(25.0),
    "affine": lambda: Affine(15.0, 0.2, 0.2, 3.0),
    "random_resized_crop": lambda: RandomResizedCrop([0.3, 1.0], [0.75, 1.333], 0.5),
    "in_turn": lambda: in_turn(crop=FlipCrop(4, 0.5), noise=Noise(0.0), turn=Rotate(10.0)),
}
DRAWS = 100


def landmarks(count: int = DRAWS) -> dict[str, Any]:
    """A bright square in each image, class 7 in the same pixels of its map, and a box around it of class 2."""
    generator = torch.Generator().manual_seed(0)
    picture, mask = torch.zeros(count, 3, HEIGHT, WIDTH), torch.zeros(count, HEIGHT, WIDTH, dtype=torch.int64)
    tops = torch.randint(8, HEIGHT - 14, (count,), generator=generator).tolist()
    lefts = torch.randint(8, WIDTH - 14, (count,), generator=generator).tolist()
    boxes = []
    for number, (top, left) in enumerate(zip(tops, lefts, strict=True)):
        picture[number, :, top : top + 6, left : left + 6] = 1.0
        mask[number, top : top + 6, left : left + 6] = 7
        boxes.append(torch.tensor([[left, top, left + 6, top + 6, 2.0]]))
    label = torch.arange(count) % 4
    return {"picture": picture, "mask": mask, "places": Ragged.of(boxes), "kind": label, SAMPLE: torch.arange(count)}


def middle(pixels: Tensor) -> Tensor:
    """The centre of mass of (H, W) weights, as column and row in pixels."""
    weights = pixels.double()
    rows, columns = torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5
    return torch.stack([(weights.sum(dim=0) * columns).sum(), (weights.sum(dim=1) * rows).sum()]) / weights.sum()


@pytest.mark.parametrize("name", GEOMETRIC)
def test_a_landmark_its_map_and_its_box_stay_together(name: str) -> None:
    torch.manual_seed(1)
    before = landmarks()
    after = GEOMETRIC[name]()(before, KINDS)
    assert list(after) == list(before)
    assert after["mask"].shape == before["mask"].shape
    assert after["mask"].dtype == torch.int64
    assert set(after["mask"].unique().tolist()) == {0, 7}, "classes are not averaged"
    assert torch.equal(after["kind"], before["kind"])
    assert torch.equal(after[SAMPLE], before[SAMPLE])
    moved = compared = 0
    pictures, masks = after["picture"][:, 0], after["mask"] == 7
    for start, picture, mask, box in zip(before["mask"] == 7, pictures, masks, after["places"].samples(), strict=True):
        seen = picture > 0.5
        inner = mask[1:-1, 1:-1].sum() == mask.sum()  # cut off, or drawn out at the border, it has another middle
        if not seen.any() or not mask.any() or not inner:
            continue
        compared += 1
        moved += bool((middle(mask) - middle(start)).norm() > 1)
        assert (middle(picture) - middle(mask)).norm() < 1.0
        ((x0, y0, x1, y1, kind),) = box.tolist()
        assert kind == 2.0
        rows, columns = (seen | mask).nonzero().unbind(dim=1)
        assert x0 - 1 <= int(columns.min()) < int(columns.max()) + 1 <= x1 + 1
        assert y0 - 1 <= int(rows.min()) < int(rows.max()) + 1 <= y1 + 1
        assert (middle(mask) - torch.tensor([x0 + x1, y0 + y1]) / 2).norm() < 1.0, (
            "the box is no larger than it need be"
        )
    assert compared > DRAWS / 2
    assert moved > compared / 2


@pytest.mark.parametrize("name", GEOMETRIC)
def test_an_image_is_changed_the_same_whatever_else_its_sample_has(name: str) -> None:
    batch = landmarks(8)
    torch.manual_seed(2)
    together = GEOMETRIC[name]()(batch, KINDS)["picture"]
    torch.manual_seed(2)
    assert torch.equal(GEOMETRIC[name]()(batch["picture"]), together)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_the_batch_that_came_in_stays_as_it_was(name: str) -> None:
    batch, expected = landmarks(8), landmarks(8)
    GEOMETRIC[name]()(batch, KINDS)
    for field in ("picture", "mask", "kind"):
        assert torch.equal(batch[field], expected[field])
    assert torch.equal(batch["places"].values, expected["places"].values)


class Mirror(RandomResizedCrop):
    """The whole image, mirrored."""

    def __init__(self) -> None:
        super().__init__([1.0, 1.0], [1.0, 1.0], 1.0)


@pytest.mark.parametrize("flip", [FlipCrop(0, 1.0), Mirror()])
def test_a_flip_mirrors_boxes(flip: Transform) -> None:
    batch = landmarks(4)
    found = flip(batch, KINDS)["places"].values
    x0, y0, x1, y1, kind = batch["places"].values.unbind(dim=1)
    torch.testing.assert_close(found, torch.stack([WIDTH - x1, y0, WIDTH - x0, y1, kind], dim=1))


class ToTheLeft(Shift):
    """Moves every image 10 pixels to the left."""

    def __init__(self) -> None:
        super().__init__(10)

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        at = torch.full((len(x),), 10)
        return at, 2 * at, self.mirrored(x)


def test_a_box_that_has_left_the_image_is_gone_and_one_that_is_half_outside_is_cut() -> None:
    boxes = [
        torch.tensor([[2.0, 3, 9, 8, 0], [4, 3, 16, 8, 1]]),
        torch.tensor([[2.0, 3, 10, 8, 2]]),
        torch.zeros(0, 5),
        torch.tensor([[20.0, 3, 30, 8, 3]]),
    ]
    found = ToTheLeft()({"image": torch.zeros(4, 1, HEIGHT, WIDTH), "boxes": Ragged.of(boxes)})["boxes"]
    assert [sample.tolist() for sample in found.samples()] == [
        [[0.0, 3.0, 6.0, 8.0, 1.0]], [], [], [[10.0, 3.0, 20.0, 8.0, 3.0]],
    ]  # fmt: skip
    assert found.counts.tolist() == [1, 0, 0, 1]


def test_maps_of_values_move_with_their_channels() -> None:
    torch.manual_seed(3)
    batch = landmarks(8)
    batch["mask"] = batch["mask"][:, None].float().repeat(1, 2, 1, 1)
    found = FlipCrop(4, 0.5)(batch, KINDS)
    assert torch.equal(found["mask"][:, 0], 7 * found["picture"][:, 0])
    assert torch.equal(found["mask"][:, 0], found["mask"][:, 1])


def test_what_changes_values_alone_leaves_maps_and_boxes_alone() -> None:
    batch = landmarks(4)
    found = in_turn(light=Photometric(0.4, 0.4, 0.4, 0.0), noise=Noise(0.1))(batch, KINDS)
    assert not torch.equal(found["picture"], batch["picture"])
    assert torch.equal(found["mask"], batch["mask"])
    assert torch.equal(found["places"].values, batch["places"].values)


class Darker(nn.Module):
    """A user's own function of inputs alone."""

    def forward(self, x: Tensor) -> Tensor:
        return x / 2


def test_a_function_of_inputs_alone_changes_only_those() -> None:
    batch = landmarks(4)
    found = in_turn(mine=Darker())(batch, KINDS)
    assert torch.equal(found["picture"], batch["picture"] / 2)
    assert torch.equal(found["mask"], batch["mask"])


@pytest.mark.parametrize("mixing", [Mixup, CutMix])
def test_mixing_refuses_a_field_of_which_there_is_no_mean(mixing: type[Mixup | CutMix]) -> None:
    batch = landmarks(4)
    kinds = {"picture": "image", "kind": "label"}
    with pytest.raises(CouloirError, match="the field 'mask' is of the kind map"):
        mixing(4, 1.0)(batch, {**kinds, "mask": "map"})
    with pytest.raises(CouloirError, match="the field 'places' is of the kind boxes"):
        mixing(4, 1.0)(batch, {**kinds, "places": "boxes"})
    mixed: Any = mixing(4, 1.0)(batch, kinds)
    assert mixed["kind"].shape == (4, 4)
    assert torch.equal(mixed[SAMPLE], batch[SAMPLE])


@pytest.mark.parametrize("augmentation", [Noise(0.1), Rotate(5.0), Mixup(4, 1.0)])
def test_data_without_images_and_rows_is_refused_in_a_sentence(augmentation: nn.Module) -> None:
    batch = {"series": torch.zeros(4, 3, 2), "label": torch.arange(4)}
    with pytest.raises(CouloirError, match="changes fields of the kinds image and row; the data has series, label"):
        augmentation(batch)
