"""A checkpoint carries its checksum: what is not, to the bit, what was written is found out."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest
import torch

from couloir.errors import CouloirError
from couloir.record.checkpoint import MARK, is_sealed
from couloir.trainer.checkpoint_io import SealedFiles

CONTENT = {"state_dict": {"w": torch.arange(1000.0)}, "epoch": 3}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A sealed checkpoint."""
    path = tmp_path / "checkpoints" / "last.ckpt"
    SealedFiles().save_checkpoint(CONTENT, path)
    return path


def test_a_sealed_file_is_an_ordinary_checkpoint_and_its_seal_the_sha256_of_what_torch_wrote(file: Path) -> None:
    assert torch.equal(torch.load(file, weights_only=True)["state_dict"]["w"], CONTENT["state_dict"]["w"])  # type: ignore[index]
    comment = zipfile.ZipFile(file).comment
    written = file.read_bytes()[: -len(comment)]
    assert comment == MARK + hashlib.sha256(written[:-2] + b"\0\0").hexdigest().encode()
    assert is_sealed(file) is True


def test_every_flipped_bit_and_every_missing_byte_is_found(file: Path) -> None:
    whole = file.read_bytes()
    for place in (0, 100, len(whole) // 2, len(whole) - 100, len(whole) - 1):
        flipped = bytearray(whole)
        flipped[place] ^= 1
        file.write_bytes(flipped)
        assert not is_sealed(file), place
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert not is_sealed(file), length


def test_a_damaged_checkpoint_is_refused_in_a_sentence(file: Path) -> None:
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 4
    file.write_bytes(damaged)
    torch.load(file, weights_only=True)  # torch does not notice
    with pytest.raises(CouloirError, match=r"last\.ckpt is damaged"):
        SealedFiles().load_checkpoint(file)


def test_a_checkpoint_of_another_program_is_read_without_a_seal(tmp_path: Path) -> None:
    torch.save(CONTENT, tmp_path / "other.ckpt")
    assert is_sealed(tmp_path / "other.ckpt") is None
    assert SealedFiles().load_checkpoint(tmp_path / "other.ckpt")["epoch"] == 3


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises((OSError, TypeError, AttributeError)):
        SealedFiles().save_checkpoint({"no": lambda: None}, tmp_path / ".last.ckpt")
    assert not list(tmp_path.iterdir())
