"""Photographs as the network gets them: the same pixels by every way, squares and windows as Pillow would cut them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from couloir.augmentation.geometry import RandomResizedCrop
from couloir.augmentation.transform import in_turn
from couloir.cli.main import run as command
from couloir.config.compose import compose_sentence
from couloir.data import images
from couloir.data.decode import Reading, read_frame
from couloir.data.folder import FileSource
from couloir.data.standardise import Standardise
from couloir.data.windows import windows_first
from couloir.errors import CouloirError
from pairs import pair
from photographs import epochs, make_photographs, photograph_samples, smooth


def test_cache_memory_and_workers_do_not_change_a_bit(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos")
    expected = epochs(photograph_samples(root, resize=30))
    for keys in (
        {"workers": 2},
        {"memory_budget": 1.0},
        {"memory_budget": 1.0, "workers": 1},
        {"cache": True},  # fills it, in the first of the two epochs
        {"cache": True, "workers": 2},
        {"cache": True, "memory_budget": 1.0},
    ):
        got = epochs(photograph_samples(root, resize=30, cache_dir=str(tmp_path / "cache"), **keys))
        assert torch.equal(got, expected), keys


@pytest.mark.parametrize(
    ("width", "height", "resize"), [(500, 375, 224), (375, 500, 256), (1200, 900, 100), (60, 40, 90)]
)
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_a_frame_is_pillows_within_a_few_grey_levels(
    width: int, height: int, resize: int, ending: str, tmp_path: Path
) -> None:
    file = tmp_path / f"x.{ending}"
    smooth(width, height, 0).save(file)
    frame = read_frame(file, resize)
    assert frame.dtype == torch.uint8
    assert min(frame.shape[:2]) == resize
    with Image.open(file) as image:
        expected = image.convert("RGB").resize((frame.shape[1], frame.shape[0]), Image.Resampling.BILINEAR)
    difference = np.abs(frame.numpy().astype(int) - np.asarray(expected))
    assert difference.mean() < 1.0
    assert difference.max() <= 8


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_printed_photographs_have_the_channels_asked_for(mode: str, channels: int, tmp_path: Path) -> None:
    smooth(64, 48, 0).convert(mode).save(tmp_path / "x.jpg", quality=95)
    frame = read_frame(tmp_path / "x.jpg", 32, Reading(channels))
    with Image.open(tmp_path / "x.jpg") as image:
        expected = np.asarray(image.convert("RGB" if channels == 3 else "L"), dtype=float).mean()
    assert frame.shape[2] == channels
    assert frame.float().mean().item() == pytest.approx(expected, abs=2.0)


def test_a_window_is_what_pillow_cuts_and_scales_and_mirrors(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    smooth(90, 60, 0).save(file)
    source = FileSource([(file, 0)] * 3, 60, 3)

    class Three:
        def windows(
            self, sizes: torch.Tensor, generator: torch.Generator, aspect: float
        ) -> tuple[torch.Tensor, torch.Tensor]:
            assert aspect == 1.0
            assert sizes.tolist() == [[60, 90]] * 3
            boxes = torch.tensor([[0, 0, 60, 90], [10, 20, 30, 40], [40, 70, 20, 10]])
            return boxes, torch.tensor([False, True, False])

    out = source.empty(3)
    source.cut([0, 1, 2], out, Three(), 0)
    with Image.open(file) as image:
        cuts = [image.crop(box) for box in ((0, 0, 90, 60), (20, 10, 60, 40), (70, 40, 80, 60))]
    cuts[1] = cuts[1].transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for got, cut in zip(out.numpy(), cuts, strict=True):
        expected = np.asarray(cut.resize((60, 60), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(got.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("of", ["whole", "square", "middle"])
def test_windows_lie_in_the_photograph_and_have_the_area_and_shape_asked_for(of: str) -> None:
    sizes = torch.tensor([[200, 300], [400, 250], [256, 256]]).repeat(500, 1)
    augmentation = RandomResizedCrop([0.2, 0.5], [0.5, 2.0], 0.25, of)
    boxes, mirror = augmentation.windows(sizes, torch.Generator().manual_seed(0))
    top, left, height, width = boxes.double().unbind(1)
    assert (boxes >= 0).all()
    assert (top + height <= sizes[:, 0]).all()
    assert (left + width <= sizes[:, 1]).all()
    shorter = sizes.amin(dim=1)
    share = height * width / (sizes.prod(dim=1) if of == "whole" else shorter.square())
    assert 0.195 < share.min() < 0.23
    assert 0.46 < share.max() < 0.505
    assert ((width / height) > 0.48).all()
    assert ((width / height) < 2.1).all()
    assert mirror.float().mean().item() == pytest.approx(0.25, abs=0.05)
    across = sizes[:, 1] > sizes[:, 0]
    outside = (left[across] < 50) | (left + width > 250)[across]
    assert outside.any() == (of != "middle")


@pytest.mark.parametrize("size", [(40, 100), (90, 30)])
@pytest.mark.parametrize("of", ["whole", "square", "middle"])
def test_windows_for_rectangles_have_their_shape(of: str, size: tuple[int, int]) -> None:
    """A window of the shape asked for is not distorted; what `of` says of squares goes for rectangles of the shape."""
    sizes = torch.tensor([[200, 300], [400, 250], [256, 256]]).repeat(300, 1)
    aspect = size[1] / size[0]
    boxes, _ = RandomResizedCrop([0.2, 0.3], [1.0, 1.0], 0.5, of).windows(
        sizes, torch.Generator().manual_seed(0), aspect
    )
    top, left, height, width = boxes.double().unbind(1)
    assert (boxes >= 0).all()
    assert (top + height <= sizes[:, 0]).all()
    assert (left + width <= sizes[:, 1]).all()
    assert torch.allclose(width / height, torch.full_like(width, aspect), rtol=0.05)
    largest = torch.stack([torch.minimum(h.double(), w / aspect) ** 2 * aspect for h, w in sizes])
    share = height * width / (sizes.prod(dim=1) if of == "whole" else largest)
    assert 0.19 < share.min() < share.max() < 0.31
    off_middle = (top + height / 2 - sizes[:, 0] / 2).abs() > torch.sqrt(largest / aspect) / 2
    off_middle |= (left + width / 2 - sizes[:, 1] / 2).abs() > torch.sqrt(largest * aspect) / 2
    assert off_middle.any() == (of != "middle")


@pytest.mark.parametrize(("size", "top", "left"), [((60, 40), 0, 30), ((30, 100), 15, 0), ((60, 100), 0, 0)])
def test_the_middle_of_a_photograph_is_cut_as_a_rectangle(
    size: tuple[int, int], top: int, left: int, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(60, 100, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    source = FileSource([(tmp_path / "x.png", 0)], list(size), 3)
    expected = pixels[top : top + size[0], left : left + size[1]].transpose(2, 0, 1)
    assert np.array_equal(source.fetch(torch.tensor([0]))[0].numpy(), expected)
    source.squares = 3
    parts = source.fetch(torch.tensor([0]))[0].numpy()
    assert np.array_equal(parts[1], expected)
    assert np.array_equal(parts[0], pixels[: size[0], : size[1]].transpose(2, 0, 1))
    assert np.array_equal(parts[2], pixels[60 - size[0] :, 100 - size[1] :].transpose(2, 0, 1))


@pytest.mark.parametrize("resize", [[40, 150], [90, 60], [30, 60], [200, 300]])
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_a_frame_just_covers_a_rectangle_and_is_pillows(resize: list[int], ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"x.{ending}"
    smooth(300, 200, 0).save(file, quality=95)
    frame = read_frame(file, resize)
    height, width = frame.shape[:2]
    assert height == resize[0] or width == resize[1]
    assert height >= resize[0]
    assert width >= resize[1]
    assert width / height == pytest.approx(1.5, rel=0.05)
    with Image.open(file) as image:
        expected = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    difference = np.abs(frame.numpy().astype(int) - np.asarray(expected))
    assert difference.mean() < 1.5
    assert difference.max() <= 12


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_turned_photograph_covers_a_rectangle_once_it_is_upright(orientation: int, tmp_path: Path) -> None:
    """Stored as 400x200, it is 200x400 upright: of [90, 40] the height decides, and half of it is decoded."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = smooth(400, 200, 0)
    picture.save(tmp_path / "x.jpg", quality=95, exif=exif)
    frame = read_frame(tmp_path / "x.jpg", [90, 40])
    assert frame.shape[:2] == ((90, 45) if orientation == 6 else (90, 180))
    turned = picture.rotate(-90, expand=True) if orientation == 6 else picture.rotate(180)
    expected = np.asarray(turned.resize((frame.shape[1], frame.shape[0]), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(frame.numpy().astype(int) - expected).mean() < 2


def test_a_rectangle_has_the_same_pixels_from_memory_cache_and_workers(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos", train=6, other=2)
    keys: dict[str, Any] = {"image_size": [16, 30], "resize": [20, 36]}
    expected = epochs(photograph_samples(root, **keys))
    assert expected.shape[1:] == (3, 16, 30)
    for more in ({"workers": 1}, {"memory_budget": 1.0}, {"cache": True}, {"cache": True, "memory_budget": 1.0}):
        got = epochs(photograph_samples(root, cache_dir=str(tmp_path / "cache"), **keys, **more))
        assert torch.equal(got, expected), more


def test_a_photograph_too_long_for_any_window_gives_its_middle() -> None:
    augmentation = RandomResizedCrop([0.9, 1.0], [0.75, 1.3333], 0.0)
    boxes, _ = augmentation.windows(torch.tensor([[10, 400], [400, 10]]), torch.Generator().manual_seed(0))
    assert boxes.tolist() == [[0, 194, 10, 13], [194, 0, 13, 10]]


def test_the_paper_of_alexnet_cuts_without_scaling() -> None:
    augmentation = RandomResizedCrop([0.765625] * 2, [1.0, 1.0], 0.5, "middle")
    boxes, _ = augmentation.windows(torch.tensor([[256, 341]] * 400), torch.Generator().manual_seed(0))
    assert (boxes[:, 2:] == 224).all()
    assert (int(boxes[:, 1].min()), int(boxes[:, 1].max())) == (42, 42 + 32)


def test_validation_sees_the_middle_of_the_scaled_photograph(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos")
    samples = photograph_samples(root, resize=40)
    x, _ = pair(next(iter(samples.val_dataloader())))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (samples.mean, samples.std))
    for got, index in zip(x, samples.splits["val"].indices, strict=False):
        with Image.open(samples.splits["val"].source.paths[index]) as image:  # type: ignore[attr-defined]
            scale = 40 / min(image.size)
            whole = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
        left, top = (whole.width - 24) // 2, (whole.height - 24) // 2
        expected = np.asarray(whole.crop((left, top, left + 24, top + 24))).transpose(2, 0, 1) / 255
        assert np.abs((got * std + mean).numpy() - expected).max() < 8 / 255


def test_what_comes_after_the_windows_sees_pixels_in_zero_to_one(tmp_path: Path) -> None:
    class Look(nn.Module):
        seen: tuple[float, float]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen = float(x.min()), float(x.max())
            return torch.zeros_like(x)

    samples, look = photograph_samples(make_photographs(tmp_path / "photos")), Look()
    samples.augmentation = in_turn(crop=RandomResizedCrop([0.1, 1.0], [1.0, 1.0], 0.5), look=look)
    x, _ = pair(next(iter(samples.train_dataloader())))
    assert 0 <= look.seen[0] < look.seen[1] <= 1
    assert torch.allclose(x[:, 0], torch.tensor(-0.5 / 0.2))
    windows, rest = windows_first(nn.Sequential(look))
    assert windows is None
    assert isinstance(rest, nn.Sequential)


def test_windows_differ_between_epochs_and_follow_from_the_seed_alone(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos", train=8)
    loader = photograph_samples(root).train_dataloader()
    first, second = (
        {tuple(x.flatten().tolist()) for x in torch.cat([x for x, _ in map(pair, loader)])} for _ in range(2)
    )
    assert not first & second
    torch.manual_seed(99)
    again = photograph_samples(root).train_dataloader()
    assert {tuple(x.flatten().tolist()) for x in torch.cat([x for x, _ in map(pair, again)])} == first


@pytest.mark.parametrize("channels_last", [False, True])
def test_standardised_bytes_are_what_the_formula_says(channels_last: bool) -> None:
    pixels = torch.randint(0, 256, (3, 3, 20, 30), dtype=torch.uint8)
    if channels_last:
        pixels = pixels.contiguous(memory_format=torch.channels_last)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    out = Standardise(mean, std, image=True)(pixels)
    shape = (3, 1, 1)
    expected = (pixels.numpy() / 255 - np.reshape(mean, shape)) / np.reshape(std, shape)
    np.testing.assert_allclose(out.numpy(), expected, atol=2e-6)
    assert out.stride() == torch.empty_like(pixels, dtype=torch.float32).stride()


def test_batches_that_are_kept_are_not_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("couloir.data.standardise.POOLED_BYTES", 0)
    monkeypatch.setattr("couloir.data.standardise.PART", 1)
    standardise = Standardise([0.0], [1.0], image=True)
    kept, parts = [], []
    for value in range(12):
        batch = standardise(torch.full((2, 1, 4, 4), value, dtype=torch.uint8))
        if value % 2:
            kept.append((value, batch))
        else:
            parts.append((value, batch[1:, :, 2:]))  # a part keeps the whole
    assert all(torch.allclose(batch, torch.tensor(value / 255)) for value, batch in [*kept, *parts])
    kept.clear()
    parts.clear()
    places = {standardise(torch.zeros((2, 1, 4, 4), dtype=torch.uint8)).data_ptr() for _ in range(20)}
    assert len(places) <= 2, "memory is used again"


def test_imagenets_photographs_are_256_pixels_high_for_images_of_224_and_in_proportion_for_others() -> None:
    for words, expected in (([], 256), (["data.image_size=299"], 342), (["data.resize=null"], None)):
        cfg = compose_sentence(["data=imagenet", "data.root=x", "data.num_classes=2", *words]).cfg
        assert cfg.data.resize == expected


def test_frames_smaller_than_the_squares_are_refused(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"root": str(make_photographs(tmp_path / "p")), "resize": 200, "image_size": 224}
    with pytest.raises(CouloirError, match=r"data\.resize=200 is smaller than data\.image_size=224"):
        images.inspect("image_folder", keys)


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises so many pixels, in a hundred bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), chunk(b"IDAT", zlib.compress(b""))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp", "webp"])
def test_a_photograph_of_too_many_pixels_is_refused_before_it_is_decoded(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / f"x.{ending}"
    smooth(60, 50, 0).save(file)
    assert read_frame(file, 30, Reading(max_pixels=3000)).shape == (30, 36, 3)
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("its pixels were decoded"))
    monkeypatch.setattr("simplejpeg.decode_jpeg", lambda *_, **__: pytest.fail("its pixels were decoded"))
    with pytest.raises(
        CouloirError, match=rf"x\.{ending} has 60 x 50 pixels; the limit is data\.max_pixels=2999"
    ) as error:
        read_frame(file, 30, Reading(max_pixels=2999))
    assert str(file) in str(error.value)
    assert "raise data.max_pixels" in str(error.value)


def test_a_decompression_bomb_in_a_folder_ends_the_run_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_photographs(tmp_path / "photos")
    (root / "train/a/bomb.png").write_bytes(png_header(60_000, 60_000))
    monkeypatch.chdir(tmp_path)
    words = [
        "data=image_folder",
        f"data.root={root}",
        "data.image_size=24",
        "data.workers=0",
        "model=mlp",
        "logger=csv",
    ]
    for more in (["data.memory_budget=0"], []):
        assert command(["train", "trainer=debug", *words, *more]) == 2
        message = capsys.readouterr().err
        assert "bomb.png has 60000 x 60000 pixels; the limit is data.max_pixels=178956970." in message
    (root / "train/a/bomb.png").unlink()
    assert command(["train", "trainer=debug", *words, "data.max_pixels=100"]) == 2
    assert "data.max_pixels=100." in capsys.readouterr().err


def test_a_photograph_that_scaling_would_blow_up_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (40_000, 1)).save(tmp_path / "thin.png")
    with pytest.raises(CouloirError, match=r"40000 x 1 pixels and would have 2007040000 once its shorter side is 224"):
        read_frame(tmp_path / "thin.png", 224)
