"""Files of tensors: what is written is read to the bit, by the library too; a damaged file is named with its place."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from couloir.errors import CouloirError
from couloir.record.safetensors import read_header, read_state, write_state

FACTS = {"classes": ["ant", "bee"], "mean": [0.485, 0.456, 0.406], "image_size": 224, "named": "é"}


def state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 3, 2, 2, generator=generator)
    return {
        "weight": weight,
        "last.weight": weight.to(memory_format=torch.channels_last),
        "tied": weight,
        "part": weight[1:3],
        "half": torch.randn(5, generator=generator).to(torch.bfloat16),
        "count": torch.tensor(7),
        "none": torch.zeros(0, 3),
        "flag": torch.tensor([True, False]),
    }


def test_tensors_come_back_to_the_bit_with_their_facts(tmp_path: Path) -> None:
    file, given = tmp_path / "net.safetensors", state()
    write_state(file, given, FACTS)
    for read in (read_state(file), load_file(file)):  # ours, and as any other program reads it
        assert read.keys() == given.keys()
        assert all(torch.equal(read[name], given[name]) for name in given)
        assert all(read[name].dtype == given[name].dtype for name in given)
    header = read_header(file)
    assert header.facts == FACTS
    assert header.shapes == {name: tuple(value.shape) for name, value in given.items()}
    assert header.dtypes["half"] == "BF16"
    with safe_open(file, "pt") as opened:
        assert json.loads(opened.metadata()["couloir"]) == FACTS
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]


def test_a_file_of_another_program_has_no_facts(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "theirs.safetensors")
    assert read_header(tmp_path / "theirs.safetensors").facts == {}


def test_the_header_is_read_without_torch(tmp_path: Path) -> None:
    write_state(tmp_path / "a.safetensors", {"a": torch.ones(2)}, FACTS)
    code = (
        "import sys; from couloir.record.safetensors import read_header\n"
        f"print(read_header({str(tmp_path / 'a.safetensors')!r}).facts['image_size'], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["224", "False"]


def header(content: object, tail: bytes = b"") -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return len(text).to_bytes(8, "little") + text + tail


DAMAGED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda whole: b"", "it has 0 bytes"),
    "cut in the length": (lambda whole: whole[:5], "it has 5 bytes"),
    "cut in the header": (lambda whole: whole[:40], r"its header would end at byte [\d,]+, and the file has 40"),
    "cut in the tensors": (lambda whole: whole[:-3], "its tensors would end at byte"),
    "longer": (lambda whole: whole + b"x", "its tensors would end at byte"),
    "a pickle": (lambda whole: b"PK\x03\x04\0\0\x08\x08\0\0\0\0", "its header would have"),
    "no JSON": (lambda whole: header(b"{'a': 1}"), "is no JSON"),
    "a list": (lambda whole: header([1]), "not a JSON object"),
    "no shape": (lambda whole: header({"a": {"dtype": "F32"}}), "the tensor a has no shape"),
    "not an entry": (lambda whole: header({"a": 3}), "the tensor a has no shape"),
    "negative": (
        lambda whole: header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, b"1234"),
        "the tensor a has no shape",
    ),
    "another size": (
        lambda whole: header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"1234"),
        "the tensor a has 4 bytes, which do not make",
    ),
    "an unknown kind": (
        lambda whole: header({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
        "F99",
    ),
    "a hole": (
        lambda whole: header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"12345678"),
        "not a whole .safetensors file",
    ),
    "metadata of numbers": (lambda whole: header({"__metadata__": {"couloir": 3}}), "not texts by key"),
    "facts of another kind": (lambda whole: header({"__metadata__": {"couloir": "[1]"}}), "__metadata__.couloir"),
    "facts that are no JSON": (lambda whole: header({"__metadata__": {"couloir": "{"}}), "__metadata__.couloir"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_named_with_what_is_wrong_in_it(case: str, tmp_path: Path) -> None:
    damage, said = DAMAGED[case]
    file = tmp_path / "net.safetensors"
    write_state(file, {"a": torch.ones(30)}, FACTS)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(CouloirError, match=said) as raised:
        read_state(file)
    assert "net.safetensors is not a whole .safetensors file" in raised.value.fact
    assert raised.value.place == str(file)


def test_no_file_and_no_room_are_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match=r"none\.safetensors cannot be read: No such file"):
        read_header(tmp_path / "none.safetensors")
    with pytest.raises(CouloirError, match=r"a\.safetensors cannot be written"):
        write_state(tmp_path / "no folder/a.safetensors", {"a": torch.ones(1)}, {})


def test_facts_that_are_no_json_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_state(tmp_path / "a.safetensors", {"a": torch.ones(1)}, {"mean": [float("nan")]})
    assert list(tmp_path.iterdir()) == []


def test_writing_again_replaces_the_file_and_gives_the_same_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    contents = set()
    for _ in range(8):
        write_state(file, state(), FACTS)
        contents.add(file.read_bytes())
    assert len(contents) == 1
