"""House numbers from MATLAB's files, which SciPy writes here as the publisher's are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

import couloir
from couloir.data import svhn
from couloir.errors import CouloirError
from pairs import pair

RNG = np.random.default_rng(0)
SETTINGS: dict[str, Any] = {
    "task": "classification", "channels": 3, "image_size": 32, "num_classes": 10, "batch_size": 8, "standardize": False,
    "val_fraction": 0.25,
}  # fmt: skip


def write(root: Path, part: str, count: int = 20, **arrays: Any) -> dict[str, np.ndarray]:
    """A file of the publisher's form: X (32, 32, 3, N) bytes, y (N, 1), the digit 0 called 10."""
    root.mkdir(parents=True, exist_ok=True)
    digits = np.arange(count, dtype=np.uint8)[:, None] % 10
    found = {"X": RNG.integers(256, size=(32, 32, 3, count), dtype=np.uint8), "y": np.where(digits, digits, 10)}
    found = {name: array for name, array in (found | arrays).items() if array is not None}
    savemat(root / f"{part}_32x32.mat", found, do_compression=True)
    return found


def all_of(loader: Any) -> tuple[torch.Tensor, torch.Tensor]:
    xs, ys = zip(*map(pair, loader), strict=True)
    return torch.cat(xs), torch.cat(ys)


@pytest.mark.parametrize("where", [".", "svhn"])
def test_digits_and_colours_are_where_the_file_has_them(where: str, tmp_path: Path) -> None:
    write(tmp_path / where, "train")
    test = write(tmp_path / where, "test", 13)
    assert svhn.inspect("svhn", {"root": str(tmp_path), "extra": False}) == {"num_classes": 10}
    samples = svhn.svhn(str(tmp_path), False, **SETTINGS)
    samples.setup()
    x, y = all_of(samples.test_dataloader())
    assert y.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    for number, colour, row, column in ((0, 0, 0, 0), (5, 2, 30, 7), (12, 1, 3, 31)):
        expected = test["X"][row, column, colour, number] / 255
        assert x[number, colour, row, column].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("extra", "count"), [(False, 20), (True, 50)])
def test_the_extra_digits_are_trained_on_where_they_are_asked_for(extra: bool, count: int, tmp_path: Path) -> None:
    found = {part: write(tmp_path, part, number) for part, number in (("train", 20), ("extra", 30), ("test", 10))}
    samples = svhn.svhn(str(tmp_path), extra, **SETTINGS)
    samples.setup()
    pixels = [found[part]["X"].astype(np.int64).sum(axis=(0, 1, 2)) for part in ("train", *["extra"] * extra)]
    seen = [
        all_of(loader)[0].double().sum(dim=(1, 2, 3))
        for loader in (samples.train_dataloader(), samples.val_dataloader())
    ]
    assert len(torch.cat(seen)) == count
    np.testing.assert_allclose(np.sort(torch.cat(seen).numpy()), np.sort(np.concatenate(pixels)) / 255, rtol=1e-6)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"X": None}, "has no array X"),
        ({"y": None}, "has no array y"),
        ({"X": np.zeros((32, 32, 3, 20))}, "32 x 32 x 3 x 20 double; they are 32 x 32 x 3 x N uint8"),
        ({"X": np.zeros((20, 32, 32, 3), np.uint8)}, "has images X of 20 x 32 x 32 x 3 uint8"),
        ({"y": np.ones((19, 1), np.uint8)}, "has 20 images X, and labels y of 19 x 1"),
        ({"y": np.full((20, 1), 11, np.uint8)}, "has the label 11; the digits 1 to 9 have their own number"),
        ({"y": np.zeros((20, 1), np.uint8)}, "has the label 0"),
    ],
)
def test_arrays_that_cannot_be_house_numbers_are_explained(arrays: dict[str, Any], said: str, tmp_path: Path) -> None:
    write(tmp_path, "train", **arrays)
    with pytest.raises(CouloirError, match=said) as caught:
        couloir.compose(["data=svhn", f"data.root={tmp_path}"])
    assert str(tmp_path / "train_32x32.mat") in str(caught.value.place)


@pytest.mark.parametrize(
    "content", [b"", b"<html>404</html>" * 40, b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(999)]
)
def test_files_that_are_none_of_matlabs_are_explained(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "train_32x32.mat").write_bytes(content)
    with pytest.raises(CouloirError, match=r"train_32x32\.mat is damaged, or no file of MATLAB's"):
        svhn.inspect("svhn", {"root": str(tmp_path)})


def test_a_torn_file_is_explained_wherever_it_breaks(tmp_path: Path) -> None:
    write(tmp_path, "train", 4)
    write(tmp_path, "test", 4)
    file = tmp_path / "train_32x32.mat"
    whole = file.read_bytes()
    for length in (60, 128, 140, 2000, len(whole) - 30, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(CouloirError, match=r"is damaged|has no array"):
            svhn.arrays([file])
    rng = np.random.default_rng(1)
    for place in rng.integers(128, len(whole), 60):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            images, digits = svhn.arrays([file])
        except CouloirError:
            continue
        assert images.shape == (4, 3, 32, 32), place
        assert len(digits) == 4, place


def test_a_missing_file_is_named_and_what_is_not_stated_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "train")
    with pytest.raises(CouloirError, match=r"has no test_32x32\.mat") as caught:
        svhn.inspect("svhn", {"root": str(tmp_path)})
    assert "or leave data.root out" in str(caught.value.next_step)
    write(tmp_path, "test")
    with pytest.raises(CouloirError, match=r"has no extra_32x32\.mat") as caught:
        svhn.inspect("svhn", {"root": str(tmp_path), "extra": True})
    assert str(caught.value.next_step).startswith("data.extra=false")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COULOIR_DATA", raising=False)
    assert svhn.inspect("svhn", {"root": None, "extra": True}) == {"num_classes": 10}
    asked: list[str] = []

    def fetched(remote: Any, folder: Path) -> Path:
        asked.append(remote.name)
        part = remote.name.partition("_")[0]
        write(tmp_path / folder, part, 12)
        return tmp_path / folder / remote.name

    monkeypatch.setattr(svhn, "download", fetched)
    samples = svhn.svhn(None, True, **SETTINGS)
    samples.setup()
    assert asked == ["train_32x32.mat", "extra_32x32.mat", "test_32x32.mat"]
    assert len(all_of(samples.test_dataloader())[1]) == 12


def test_some_digits_alone_are_classes(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write(tmp_path, part)
    cfg = couloir.compose(["data=svhn", f"data.root={tmp_path}", "data.classes=[3,0]"]).cfg
    assert cfg.data.num_classes == 2
