"""Tensors by name in a .safetensors file, with plain facts about them beside: classes, sizes, mean and deviation.

The file is eight bytes with the length of a header, the header in JSON, and the tensors' bytes; no code can hide in it.
Couloir's facts are one JSON text below the key `couloir` of the header's `__metadata__`. The header is read without
torch.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from couloir.errors import CouloirError
from couloir.record.files import rename

if TYPE_CHECKING:
    from torch import Tensor

ENDING = ".safetensors"
"""How the name of such a file ends."""
FACTS = "couloir"
"""The key of the metadata that Couloir writes its facts under."""
LENGTH = 8
"""Bytes of the header's length, little-endian."""
LONGEST = 100_000_000
"""Bytes of a header; the format's own limit."""
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "C64": 64, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
}  # fmt: skip
"""Bits of an entry, by the format's names; of other kinds the size is not checked here."""


@dataclass(frozen=True)
class Header:
    """What a file says before its tensors.

    Attributes:
        shapes: of each tensor, by name, in the order of the file.
        dtypes: of each tensor, in the format's words (`F32`).
        facts: what Couloir wrote about them: `classes`, `mean`, `std`, ...; empty in files of other programs.
        metadata: all texts beside the tensors, by key.
    """

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    facts: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


def read_header(file: str | Path) -> Header:
    """The names, shapes and facts of a file, without its tensors and without torch.

    Raises:
        CouloirError: there is no such file, or it is damaged or of another kind.
    """
    path = Path(file).expanduser()
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            start = stream.read(LENGTH)
            length = int.from_bytes(start, "little")
            if len(start) < LENGTH:
                _refuse(path, f"it has {size} bytes, and its header's length alone takes {LENGTH}")
            if length > LONGEST:
                _refuse(path, f"its header would have {length:,} bytes, more than such a file may")
            if LENGTH + length > size:
                _refuse(path, f"its header would end at byte {LENGTH + length:,}, and the file has {size:,}")
            text = stream.read(length)
    except OSError as error:
        raise CouloirError(
            f"{path.name} cannot be read: {error.strerror or error}.", place=str(path), next_step="check the path"
        ) from error
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        _refuse(path, f"its header, bytes {LENGTH} to {LENGTH + length:,}, is no JSON")
    if not isinstance(content, dict):
        _refuse(path, "its header is not a JSON object")
    metadata = content.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        _refuse(path, "__metadata__ in its header is not texts by key")
    shapes, dtypes, end = dict[str, tuple[int, ...]](), dict[str, str](), 0
    for name, entry in content.items():
        shape, dtype, after = _entry(path, name, entry)
        shapes[name], dtypes[name], end = shape, dtype, max(end, after)
    if LENGTH + length + end != size:
        _refuse(path, f"its tensors would end at byte {LENGTH + length + end:,}, and the file has {size:,}")
    return Header(shapes, dtypes, _facts(path, metadata), metadata)


def _entry(path: Path, name: str, entry: Any) -> tuple[tuple[int, ...], str, int]:
    """A tensor's shape and kind, and where its bytes end."""
    try:
        shape, dtype, (begin, end) = entry["shape"], entry["dtype"], entry["data_offsets"]
        whole = all(type(number) is int and number >= 0 for number in (*shape, begin, end))
    except (TypeError, KeyError, ValueError):
        whole = False
    if not whole or not isinstance(dtype, str):
        _refuse(path, f"the tensor {name} has no shape, kind and place in its header")
    if dtype in BITS and math.prod(shape) * BITS[dtype] != (end - begin) * 8:
        _refuse(path, f"the tensor {name} has {end - begin:,} bytes, which do not make {shape} of {dtype}")
    return tuple(shape), dtype, end


def _facts(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    try:
        facts = json.loads(metadata.get(FACTS, "{}"))
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict):
        _refuse(path, f"what it says under __metadata__.{FACTS} is not a JSON object")
    return facts


def _refuse(path: Path, reason: str) -> NoReturn:
    raise CouloirError(
        f"{path.name} is not a whole .safetensors file: {reason}.",
        place=str(path),
        next_step="copy or download it again, or name another file",
    )


def read_state(file: str | Path) -> dict[str, Tensor]:
    """The tensors of a file by name, on the CPU.

    Raises:
        CouloirError: there is no such file, or it is damaged or of another kind.
    """
    read_header(file)  # its messages say where
    path = Path(file).expanduser()
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state: dict[str, Tensor] = load_file(path)
    except (SafetensorError, KeyError, OSError) as error:
        _refuse(path, str(error))
    return state


def write_state(path: Path, state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors by name, and facts about them, into a new file that appears whole or not at all.

    Tensors that share their memory, such as tied weights, are written once for each name: a reader finds them all.

    Args:
        path: the file; its folder is there.
        state: such as a network's `state_dict()`, on any device.
        facts: plain JSON: `classes`, `mean`, `std`, `channels`, `image_size`, ...

    Raises:
        CouloirError: it cannot be written.
    """
    from safetensors.torch import save_file

    tensors, taken = dict[str, Any](), set[int]()
    for name, value in state.items():
        tensor = value.detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        if storage.data_ptr() in taken or storage.nbytes() != tensor.nbytes:
            tensor = tensor.clone()
        taken.add(tensor.untyped_storage().data_ptr())
        tensors[name] = tensor
    # One text alone: the library writes several in a random order, and the same tensors are to give the same bytes.
    metadata = {FACTS: json.dumps(facts, ensure_ascii=False, allow_nan=False)}
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        os.close(handle)
        save_file(tensors, temporary, metadata=metadata)
        with Path(temporary).open("rb+") as stream:
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)  # mkstemp's 0600 would hide it from colleagues
        rename(Path(temporary), path)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if _is_disk(error):
            raise CouloirError(
                f"{path.name} cannot be written: {getattr(error, 'strerror', None) or error}.",
                place=str(path.parent),
                next_step="name a folder that can be written, on a disk that has room",
            ) from error
        raise


def _is_disk(error: BaseException) -> bool:
    """Whether the disk did not take it; the library says so in an error of its own."""
    return isinstance(error, OSError) or type(error).__name__ == "SafetensorError"
