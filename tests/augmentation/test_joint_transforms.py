"""One draw a sample for its picture, its map and its boxes."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from couloir.augmentation.geometry import Cutout, Dihedral, FlipCrop, RandomResizedCrop, Rotate, Shift, padded
from couloir.augmentation.mixing import CutMix, Mixup
from couloir.augmentation.photometric import Noise, PCAColor, Photometric
from couloir.augmentation.transform import Transform, in_turn
from couloir.config import tree
from couloir.config.fields import IGNORED, SAMPLE
from couloir.errors import CouloirError
from couloir.ragged import Ragged

HEIGHT, WIDTH = 72, 80
WINDOW = (60, 66)
"""What the windows of the batch's images have; all other choices leave the images' size."""
KINDS = {"picture": "image", "mask": "map", "places": "boxes", "kind": "label"}
STAY = {"none", "noise", "photometric", "pca_color"}
"""Choices that do not move pixels."""
MOVE = sorted(set(tree.choices("augmentation")) - STAY - {"mixup", "cutmix", "adversarial"})
TURN = {"affine", "elastic", "rotate", "simard", "unet"}
"""Choices that turn or bend boxes: around what has turned a box is larger than it need be."""
DRAWS, LANDMARKS, SIDE = 100, 2, 11
DISC = ((torch.arange(SIDE) - 5).square() + (torch.arange(SIDE)[:, None] - 5).square() <= 30).long()
"""The pixels of a landmark."""


def choice(name: str) -> DictConfig:
    """A choice of the group, put together in a tenth of the time that Hydra takes for a whole sentence."""
    node = OmegaConf.load(tree.choices("augmentation")[name])
    parts = [str(part).partition("@") for part in node.pop("defaults", []) if part != "_self_"]
    return OmegaConf.merge({key: choice(part) for part, _, key in parts}, node)


@cache
def build(name: str, border: str = "black", plain: bool = True) -> Any:
    """A choice of the group; `plain`: of which no step but those that move pixels changes anything."""
    cfg = OmegaConf.create({"data": {"image_size": list(WINDOW)}, "augmentation": choice(name)}).augmentation
    for step in (cfg, *(value for value in cfg.values() if isinstance(value, DictConfig))):
        changes = {"brightness", "contrast", "saturation", "hue", "sigma", "value"} if plain else set()
        if "alpha" in step:  # Simard's sigma smooths
            changes -= {"sigma"}
        step.update(dict.fromkeys(changes & set(step), 0.0) | dict.fromkeys({"border"} & set(step), border))
    return instantiate(cfg, _convert_="all")


@cache
def landmarks(count: int = DRAWS) -> dict[str, Any]:
    """Two discs in each image, each in a channel of its own, of a class of its own in the map, and in a box.

    Of an edge along the pixels nearest neighbours may be half a pixel wrong; around a disc that evens out.
    """
    generator = torch.Generator().manual_seed(0)
    picture, mask = torch.zeros(count, 3, HEIGHT, WIDTH), torch.zeros(count, HEIGHT, WIDTH, dtype=torch.int64)
    tops = torch.randint(12, HEIGHT - 23, (count, LANDMARKS), generator=generator)
    lefts = torch.randint(8, 24, (count, LANDMARKS), generator=generator) + 32 * torch.arange(LANDMARKS)
    for number, places in enumerate(zip(tops.tolist(), lefts.tolist(), strict=True)):
        for channel, (top, left) in enumerate(zip(*places, strict=True)):
            picture[number, channel, top : top + SIDE, left : left + SIDE] = DISC
            mask[number, top : top + SIDE, left : left + SIDE] = DISC * (channel + 1)
    classes = torch.arange(1, LANDMARKS + 1).expand(count, -1)
    boxes = torch.stack([lefts, tops, lefts + SIDE, tops + SIDE, classes], dim=2).float()
    label = torch.arange(count) % 4
    return {
        "picture": picture, "mask": mask, "places": Ragged.of(list(boxes)), "kind": label, SAMPLE: torch.arange(count)
    }  # fmt: skip


def each_landmark(mask: Tensor) -> Tensor:
    """The pixels of each class in maps (B, H, W): (B, 2, H, W) float."""
    return (mask[:, None] == torch.arange(1, LANDMARKS + 1).view(-1, 1, 1)).float()


def middles(weights: Tensor) -> Tensor:
    """The centres of mass of (B, N, H, W), as columns and rows in pixels, (B, N, 2)."""
    columns, rows = torch.arange(weights.shape[3]) + 0.5, torch.arange(weights.shape[2]) + 0.5
    mass = weights.sum(dim=(2, 3)).clamp_min(1e-6)
    return torch.stack([weights.sum(dim=2) @ columns / mass, weights.sum(dim=3) @ rows / mass], dim=2)


@pytest.mark.parametrize("name", MOVE)
def test_landmarks_their_classes_and_their_boxes_stay_together_to_half_a_pixel(name: str) -> None:
    before = landmarks()
    torch.manual_seed(1)
    after = build(name)(before, KINDS)
    assert list(after) == list(before)
    size = WINDOW if name in ("random_window", "segmentation", "unet") else (HEIGHT, WIDTH)
    assert after["picture"].shape == (DRAWS, 3, *size)
    assert after["mask"].shape == (DRAWS, *size)
    assert after["mask"].dtype == torch.int64
    known = (after["mask"] >= 0) & (after["mask"] <= LANDMARKS) | (after["mask"] == IGNORED)
    assert known.all(), "classes are not averaged"
    assert torch.equal(after["kind"], before["kind"])
    assert torch.equal(after[SAMPLE], before[SAMPLE])
    pictures, masks = after["picture"][:, :LANDMARKS], each_landmark(after["mask"])
    inner = masks[:, :, 1:-1, 1:-1].sum(dim=(2, 3))
    areas, light = masks.sum(dim=(2, 3)), pictures.sum(dim=(2, 3))
    # What is cut off, or hidden by a hole, has another middle.
    whole = (inner == areas) & (areas >= 9) & (light > 0.9 * areas) & (light < 1.2 * areas)
    assert whole.sum() > DRAWS / 2
    difference = (middles(pictures) - middles(masks)).abs()[whole]
    assert difference.max() < 0.5
    moved = (middles(masks) - middles(each_landmark(before["mask"]))).norm(dim=2)[whole]
    assert (moved > 1).float().mean() > 0.5

    boxes, counts = after["places"]
    sample, channel = torch.arange(DRAWS).repeat_interleave(counts), boxes[:, 4].long() - 1
    found = torch.full((DRAWS, LANDMARKS, 4), torch.nan)
    found[sample, channel] = boxes[:, :4]
    pixels = (masks[whole] > 0) | (pictures[whole] > 0.5)
    for axis, length in ((2, size[1]), (3, size[0])):
        seen, places = pixels.any(dim=axis - 1), torch.arange(length)
        first, last = seen.int().argmax(dim=1), (seen * places).amax(dim=1) + 1
        low, high = found[whole][:, axis - 2], found[whole][:, axis]
        assert (low - 1 <= first).all()
        assert (last <= high + 1).all()
        if name not in TURN:
            assert (first - low).amax() < 1.5
            assert (high - last).amax() < 1.5


@pytest.mark.parametrize("name", MOVE)
def test_an_image_is_changed_the_same_whatever_else_its_sample_has_and_the_batch_stays_as_it_was(name: str) -> None:
    batch = {key: value[:8] if isinstance(value, Tensor) else value for key, value in landmarks().items()}
    batch["places"] = Ragged.of(list(landmarks()["places"].samples())[:8])
    expected = {key: value.clone() for key, value in batch.items() if isinstance(value, Tensor)}
    boxes = batch["places"].values.clone()
    torch.manual_seed(2)
    together = build(name, plain=False)(batch, KINDS)["picture"]
    torch.manual_seed(2)
    assert torch.equal(build(name, plain=False)(batch["picture"]), together)
    assert all(torch.equal(batch[key], value) for key, value in expected.items())
    assert torch.equal(batch["places"].values, boxes)


COME_IN = ["affine", "cutout", "elastic", "flip_crop", "rotate", "shift", "simard"]
"""Choices that show what lies outside of an image."""


@pytest.mark.parametrize("name", [*COME_IN, "segmentation"])
def test_what_comes_in_from_outside_is_black_and_of_no_class_and_of_no_value(name: str) -> None:
    batch = {"picture": torch.ones(16, 3, *WINDOW), "mask": torch.zeros(16, *WINDOW, dtype=torch.int64)}
    torch.manual_seed(3)
    after = build(name)({**batch, "values": batch["picture"][:, :1]}, {**KINDS, "values": "map"})
    assert set(after["mask"].unique().tolist()) == {0, IGNORED}
    ignored, light = after["mask"] == IGNORED, after["values"][:, 0]
    assert light[ignored].max() <= 0.5 + 1e-3, "bilinear, of white and black"
    assert light[~ignored].min() >= 0.25 - 1e-3
    if name not in ("cutout", "segmentation"):  # the image has a hole, and is changed once more
        assert torch.equal(light, after["picture"][:, 0])


@pytest.mark.parametrize("name", COME_IN)
def test_with_a_mirrored_border_nothing_is_ignored_and_image_and_map_are_mirrored_alike(name: str) -> None:
    picture = smooth_planes(16)
    torch.manual_seed(4)
    after = build(name, "mirror")({"picture": picture, "mask": (picture[:, 0] * 200).round().long()}, KINDS)
    assert IGNORED not in after["mask"]
    difference = after["mask"] / 200 - after["picture"][:, 0]
    if name == "cutout":
        difference = difference[(after["picture"] > 0).all(dim=1)]
    assert difference.abs().max() < 0.06, "half a pixel of the slope, and half a class"


def smooth_planes(count: int) -> Tensor:
    """Images whose values say where a pixel lies, between 0.1 and 1, (B, 3, H, W)."""
    rows, columns = torch.linspace(0.1, 0.55, WINDOW[0])[:, None], torch.linspace(0.0, 0.45, WINDOW[1])
    return (rows + columns).expand(count, 3, -1, -1).contiguous()


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


def test_a_vertical_flip_turns_pictures_maps_and_boxes_upside_down() -> None:
    batch = landmarks(4)
    found = FlipCrop(0, 0.0, vertical=1.0)(batch, KINDS)
    assert torch.equal(found["picture"], batch["picture"].flip(2))
    assert torch.equal(found["mask"], batch["mask"].flip(1))
    x0, y0, x1, y1, kind = batch["places"].values.unbind(dim=1)
    torch.testing.assert_close(found["places"].values, torch.stack([x0, HEIGHT - y1, x1, HEIGHT - y0, kind], dim=1))


def test_flips_in_both_directions_are_drawn_for_themselves_and_boxes_follow() -> None:
    torch.manual_seed(2)
    batch = landmarks()
    found = FlipCrop(3, 0.5, vertical=0.25)(batch, KINDS)
    boxes = found["places"].samples()
    counts = {"as it was": 0, "horizontal": 0, "vertical": 0, "both": 0}
    for number in range(DRAWS):
        middles = [found["mask"][number].eq(kind).nonzero().float().mean(dim=0) for kind in (1, 2)]
        before = [batch["mask"][number].eq(kind).nonzero().float().mean(dim=0) for kind in (1, 2)]
        (down, right), (down_before, right_before) = middles[1] - middles[0], before[1] - before[0]
        upside_down = bool((down - down_before).abs() > 0.5)
        horizontal = bool(right * right_before < 0)
        counts[[["as it was", "horizontal"], ["vertical", "both"]][upside_down][horizontal]] += 1
        for (row, column), (x0, y0, x1, y1, _) in zip(middles, boxes[number].tolist(), strict=True):
            assert (x0 + x1) / 2 == pytest.approx(float(column) + 0.5, abs=0.01)
            assert (y0 + y1) / 2 == pytest.approx(float(row) + 0.5, abs=0.01)
    assert 25 < counts["horizontal"] + counts["both"] < 75
    assert 10 < counts["vertical"] + counts["both"] < 42
    assert min(counts.values()) > 3


def test_without_vertical_flips_the_random_numbers_are_those_of_before() -> None:
    torch.manual_seed(0)
    offsets, mirrored = torch.randint(0, 9, (2, 5)), torch.rand(5) < 0.5
    after = torch.rand(1)
    torch.manual_seed(0)
    draw = FlipCrop(4, 0.5).draw(torch.zeros(5, 1, 8, 8))
    assert torch.equal(torch.stack([*draw]).long(), torch.stack([*offsets, mirrored]).long())
    assert torch.equal(torch.rand(1), after)


def test_images_take_all_symmetries_of_a_square_and_are_turned_as_numpy_turns_them() -> None:
    batch = {
        "image": torch.rand(1, 2, 9, 9).repeat(200, 1, 1, 1),
        "map": torch.arange(81).view(1, 9, 9).repeat(200, 1, 1),
    }
    boxes = [torch.tensor([[1.0, 2, 4, 3, 0]])] * 200
    torch.manual_seed(5)
    after = Dihedral(0.5, 0.5, 0.5)({**batch, "boxes": Ragged.of(boxes)})
    plane = batch["map"][0].numpy()
    turned = [np.rot90(each, turns) for each in (plane, plane.T) for turns in range(4)]
    counts = np.zeros(8)
    for number in range(200):
        (which,) = [place for place, each in enumerate(turned) if np.array_equal(after["map"][number], each)]
        image = batch["image"][number].numpy()
        expected = np.rot90(image.swapaxes(1, 2) if which > 3 else image, which % 4, (1, 2))
        assert np.array_equal(after["image"][number], expected)
        x0, y0, x1, y1 = after["boxes"].values[number, :4].int().tolist()
        assert sorted(after["map"][number, y0:y1, x0:x1].flatten().tolist()) == [19, 20, 21]
        counts[which] += 1
    assert counts.min() > 10
    flat = Dihedral(0.5, 0.5, 0.5)({"map": torch.arange(12).view(1, 3, 4), "image": torch.rand(1, 1, 3, 4)})["map"]
    assert flat.shape == (1, 3, 4), "what is not square is mirrored alone"


def test_a_mirrored_border_is_that_of_numpy_however_wide() -> None:
    x = torch.arange(12.0).view(1, 1, 3, 4)
    assert np.array_equal(padded(x, 5, 9, "mirror")[0, 0], np.pad(x[0, 0].numpy(), ((5, 5), (9, 9)), mode="symmetric"))


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
    assert torch.equal((found["mask"][:, 0] > 0).float(), found["picture"].amax(dim=1))
    assert torch.equal(found["mask"][:, 0], found["mask"][:, 1])


def test_what_changes_values_alone_leaves_maps_and_boxes_alone() -> None:
    batch = landmarks(4)
    colours = {"light": Photometric(0.4, 0.4, 0.4, 0.0), "colour": PCAColor(0.5, [0.2] * 3, [[0.6, 0.5, 0.6]] * 3)}
    found = in_turn(**colours, noise=Noise(0.1), hole=Cutout(20, 0.5))(batch, KINDS)
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
