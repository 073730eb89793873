"""Worse images of clean ones: by the formulas that are stated, and for a sample of validation always the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter1d

from couloir.config.check import checked
from couloir.config.fields import SIZE
from couloir.data.degraded import AMOUNTS, Noise, Shrunk, count, inspect, noisy, super_resolution
from couloir.data.samples import Samples
from couloir.errors import CouloirError
from couloir.task.restoration import Restoration
from photographs import smooth

KEYS: dict[str, Any] = {
    "images": "digits", "root": None, "memory_budget": 1.0, "resize": None, "cache": False, "cache_size": 1.0,
    "cache_dir": None, "on_error": "raise", "group_pattern": None, "max_pixels": 10**6, "background": "white",
    "bits": None, "task": "restoration", "fields": {"image": "image", "clean": "map"}, "channels": 1, "image_size": 8,
    "num_classes": 1, "batch_size": 16, "standardize": False,
}  # fmt: skip


def samples_of(kind: str | None = None, **keys: Any) -> Samples:
    made = {**KEYS, **keys}
    made.setdefault("factor", 1 if kind else 2)
    samples = super_resolution(**made) if kind is None else noisy(kind=kind, amount=None, **made)
    samples.setup()
    return samples


def pictures(root: Path, count: int = 8) -> Path:
    (root / "a").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        smooth(41 if number % 2 else 50, 39, seed=number).save(root / "a"[: number % 2] / f"{number}.png")
    return root


def test_a_small_image_is_the_bicubic_one_of_the_papers() -> None:
    clean = torch.from_numpy(np.asarray(smooth(24, 18, seed=3)).copy()).permute(2, 0, 1)[None].float() / 255
    for factor in (2, 3):
        small = Shrunk(factor)(clean, None)
        for ours, channel in zip(small[0], clean[0], strict=True):
            image = Image.fromarray(channel.numpy()).resize((24 // factor, 18 // factor), Image.Resampling.BICUBIC)
            reference = np.asarray(image).clip(0, 1)
            assert np.abs(ours.numpy() - reference).max() <= 0.5 / 255 + 1e-5  # in steps of a byte
        assert torch.equal((small * 255).round() / 255, small)


def test_noise_has_the_distribution_that_is_stated() -> None:
    grey = torch.full((2, 3, 200, 200), 0.5)
    numbers = torch.arange(2)
    noise = Noise("gaussian", 0.1)(grey, numbers) - 0.5
    assert abs(noise.mean()) < 0.001
    assert abs(noise.std() - 0.1) < 0.001
    photons = Noise("poisson", 0.02)(grey, numbers)
    assert torch.allclose(photons / 0.02, (photons / 0.02).round(), atol=1e-4)
    assert abs(photons.mean() - 0.5) < 0.002
    assert abs(photons.var() - 0.5 * 0.02) < 0.0003  # a Poisson variable's variance is its mean
    salted = Noise("salt_and_pepper", 0.1)(grey, numbers)
    assert abs((salted == 0).float().mean() - 0.05) < 0.005
    assert abs((salted == 1).float().mean() - 0.05) < 0.005
    assert (salted == salted[:, :1]).all()  # a pixel in all its channels
    assert ((salted == 0.5) | (salted == 0) | (salted == 1)).all()


def test_a_blurred_image_is_scipys() -> None:
    clean = torch.rand(2, 3, 17, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    blurred = clean.numpy()
    for axis in (2, 3):
        blurred = gaussian_filter1d(blurred, 1.5, axis=axis, mode="nearest", radius=5)
    assert np.allclose(Noise("blur", 1.5)(clean, None), blurred)


@pytest.mark.parametrize("kind", sorted(AMOUNTS))
def test_the_noise_of_a_sample_follows_from_its_number_alone(kind: str) -> None:
    clean = torch.rand(4, 1, 9, 9)
    noise = Noise(kind, AMOUNTS[kind])
    together = noise(clean, torch.tensor([5, 6, 5, 8]))
    torch.testing.assert_close(noise(clean[2:3], torch.tensor([5])), together[2:3])
    assert together.min() >= 0
    assert together.max() <= 1
    if kind == "blur":
        return
    assert not torch.equal(noise(clean, None), noise(clean, None))
    same = noise(clean[:1].expand(2, -1, -1, -1), torch.tensor([5, 6]))
    assert not torch.equal(same[0], same[1])
    state = torch.get_rng_state()
    drawn = noise(clean, None)
    torch.set_rng_state(state)
    assert torch.equal(noise(clean, None), drawn)  # a run that goes on draws what it would have drawn


def test_validation_sees_the_same_noise_each_time_and_training_never() -> None:
    samples = samples_of("gaussian", subset=40)
    once, again = (torch.cat([batch["image"] for batch in samples.val_dataloader()]) for _ in range(2))
    assert torch.equal(once, again)
    samples.batch_size = 3
    assert torch.equal(torch.cat([batch["image"] for batch in samples.val_dataloader()]), once)
    samples.batch_size = 17
    loader = samples.train_dataloader()
    epochs = []
    for _ in range(2):
        batches = list(loader)
        clean = torch.cat([batch["clean"] for batch in batches])
        order = clean.flatten(1).double().matmul(torch.arange(64.0, dtype=torch.float64).sin()).argsort()
        noise = torch.cat([batch["image"] for batch in batches]) - clean
        epochs.append((clean[order], noise[order]))
    assert torch.equal(epochs[0][0], epochs[1][0])
    assert not torch.equal(epochs[0][1], epochs[1][1])


def test_images_in_memory_lose_their_last_pixels_where_the_factor_does_not_divide_them() -> None:
    facts = inspect("super_resolution", {"images": "digits", "factor": 3})
    assert facts == {"channels": 1, "num_classes": 1, "image_size": 6}
    whole, cut = samples_of(factor=2), samples_of(factor=3, image_size=6)
    (first, *_), (other, *_) = whole.test_dataloader(), cut.test_dataloader()
    assert torch.equal(first["clean"][:, :, :6, :6], other["clean"])
    assert first["image"].shape[1:] == (1, 4, 4)
    assert other["image"].shape[1:] == (1, 2, 2)


def test_a_folder_gives_windows_to_train_on_and_whole_images_to_test_on(tmp_path: Path) -> None:
    folder = {"images": "folder", "root": str(pictures(tmp_path)), "channels": 3, "image_size": 24, "num_classes": 3}
    assert inspect("super_resolution", {**folder, "factor": 4})["channels"] == 3
    assert count(folder) == (8, None)
    assert count({**folder, "group_pattern": "(.)$"}) == (8, 1)
    samples = samples_of(factor=4, batch_size=4, **folder)
    train = next(iter(samples.train_dataloader()))
    assert train["clean"].shape == (4, 3, 24, 24)
    assert torch.equal(Shrunk(4)(train["clean"], None), train["image"])
    sizes = []
    for batch in samples.test_dataloader():
        for place in range(len(batch["image"])):
            high = batch["clean"][place]
            height, width = (batch[SIZE][place] if SIZE in batch else torch.tensor(batch["image"].shape[2:])).tolist()
            assert torch.equal(
                Shrunk(4)(high[None, :, : 4 * height, : 4 * width], None)[0], batch["image"][place, :, :height, :width]
            )
            sizes.append((height, width))
    assert set(sizes) <= {(9, 12), (9, 10)}
    (tmp_path / "broken.png").write_bytes(b"no")
    skipping = samples_of(factor=4, on_error="skip", **folder)
    assert [Path(entry.file).name for entry in skipping.skipped] == ["broken.png"]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"images": "cifar10", "image_size": 31}, ["does not divide their sides", "data.image_size=32"]),
        ({"images": "cifar10", "image_size": [32, 33]}, ["data.image_size=[32,34]"]),
        ({"images": "digits", "channels": 3}, ["data.images=digits has 1 channel, not 3"]),
        ({"images": "digits", "root": "here"}, ["needs none", "data.images=folder"]),
        ({"images": "digits", "resize": [9, 12]}, ["data.resize=[9,12] is for a folder's pictures"]),
        ({"images": "mnist", "group_pattern": "x"}, ["data.group_pattern=x is for a folder's pictures"]),
        ({"images": "mnist", "root": "nowhere"}, ["is not a folder"]),
        ({"images": "folder"}, ["add data.root=FOLDER"]),
        ({"images": "folder", "root": "{empty}"}, ["There are no pictures in"]),
        ({"images": "digits", "kind": "salt_and_pepper", "amount": 2}, ["data.amount=2 is no share of the pixels"]),
        ({"images": "digits", "num_classes": 3}, ["leave data.num_classes out"]),
        ({"images": "folder", "root": "{tiny}"}, ["dot.png has 1 x 5 pixels, and nothing is left"]),
    ],
)
def test_sets_and_sizes_that_cannot_be_made_smaller_are_refused(
    keys: dict[str, Any], says: list[str], tmp_path: Path
) -> None:
    for name in ("empty", "tiny"):
        (tmp_path / name).mkdir()
    Image.new("L", (1, 5)).save(tmp_path / "tiny/dot.png")
    if "root" in keys:
        keys = {**keys, "root": keys["root"].format(empty=tmp_path / "empty", tiny=tmp_path / "tiny")}
    with pytest.raises(CouloirError) as caught:
        inspect("super_resolution", {"factor": 2, **keys})
    assert all(text in str(caught.value) for text in says), caught.value


def test_a_network_that_does_not_enlarge_is_refused() -> None:
    data = samples_of(subset=40)
    with pytest.raises(CouloirError, match=r"returns images of 4 x 4 pixels, and data\.factor=2 asks for 8 x 8"):
        Restoration.check(torch.nn.Conv2d(1, 1, 1), None, data)
    Restoration.check(torch.nn.ConvTranspose2d(1, 1, 2, stride=2), None, data)
    with pytest.raises(CouloirError, match=r"model=unet gives images as large as its input") as caught:
        checked(["data=super_resolution", "data.images=digits", "model=unet"])
    assert str(caught.value.next_step).endswith("take one of: espcn, srcnn")
