"""A run's checkpoints: their names, the checksum that each carries within itself, and what they hold.

A file of `torch.save` is a zip archive, and a zip archive may end in a comment, which every reader skips. The comment
holds the SHA-256 of all that stands before it. torch itself reads an archive with a flipped bit without a word. Nothing
here imports torch before a checkpoint is read.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, TYPE_CHECKING, Any, cast

from couloir.errors import CouloirError

if TYPE_CHECKING:
    from torch import Tensor

NOT_WEIGHTS = (
    UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError, OSError,
    struct.error,
)  # fmt: skip
"""What torch raises for a file that is torn, something else, or not safe to read."""


FOLDER = "checkpoints"
LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"
"""The newest state, the one before it, and that of the best epoch."""
_EPOCH = re.compile(r"epoch_(\d{4,})\.ckpt")


def epoch_checkpoint(epoch: int) -> str:
    """The name of the checkpoint that is kept of an epoch, counted from one."""
    return f"epoch_{epoch:04d}.ckpt"


def kept_epochs(run: Path) -> dict[int, Path]:
    """The checkpoints of single epochs that a run has, by epoch."""
    found = ((_EPOCH.fullmatch(file.name), file) for file in (run / FOLDER).glob("epoch_*.ckpt"))
    return dict(sorted((int(match[1]), file) for match, file in found if match))


def best_weights(run: Path) -> Path:
    """The checkpoint of the run's best epoch, or the last one where no epoch was the best or its checkpoint not kept.

    Args:
        run: its folder; or one of its checkpoints, which is then the answer.

    Raises:
        CouloirError: the run has no checkpoint.
    """
    if run.is_file():
        return run
    for name in (BEST, LAST):
        path = run / FOLDER / name
        if path.is_file():
            return path
    raise CouloirError(
        f"The run {run.name} has no checkpoint.",
        place=str(run / FOLDER),
        next_step="one is written after the first epoch; status.json and train.log of the run say how far it came",
    )


def read_checkpoint(file: Path) -> dict[str, Any]:
    """A run's checkpoint.

    Raises:
        CouloirError: it cannot be read.
    """
    import torch

    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except NOT_WEIGHTS as error:
        raise CouloirError(
            f"The checkpoint {file.name} cannot be read: it is damaged, or holds more than plain tensors and numbers.",
            place=str(file),
            next_step="use another checkpoint; a file that could run code is refused",
        ) from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise CouloirError(f"{file.name} is not a checkpoint of a run.", place=str(file))
    return content


def network_state(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The network's state dict, without what the run measured beside it."""
    entries = checkpoint["state_dict"].items()
    return {name.removeprefix("net."): value for name, value in entries if name.startswith("net.")}


def load_network(net: Any, checkpoint: dict[str, Any], run: Path) -> None:
    """Give a network the weights of a checkpoint.

    Args:
        net: as the run's configuration says, an `nn.Module`.
        checkpoint: of the run.
        run: its folder.

    Raises:
        CouloirError: they do not fit, since one of the two was edited.
    """
    try:
        net.load_state_dict(network_state(checkpoint))
    except RuntimeError as error:
        raise CouloirError(
            f"The checkpoint of {run.name} does not fit its own configuration: {str(error).splitlines()[1].strip()}",
            place=str(run / "config.yaml"),
        ) from error


def data_statistics(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint keeps of the data; Lightning names it after the data module's class."""
    named = [checkpoint.get("Samples"), checkpoint.get("Sequences"), checkpoint.get("Plain"), *checkpoint.values()]
    return next((state for state in named if isinstance(state, dict) and "classes" in state), {})


MARK = b"couloir sha256 "
LENGTH = len(MARK) + hashlib.sha256().digest_size * 2
EMPTY = b"\0\0"
"""The last field of an archive, the length of its comment, when there is none."""
BLOCK = 1 << 22


class _Hashed:
    """A stream that hashes what it writes.

    Attributes:
        failure: why the disk did not take it; torch, which writes through this, reports something else then.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.digest = stream, hashlib.sha256()
        self.failure: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write all of it."""
        self.digest.update(data)
        try:
            return self.stream.write(data)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        """Hand on what is buffered."""
        self.stream.flush()


def write_sealed(path: Path, write: Callable[[IO[bytes]], object], flushed: bool = True) -> None:
    """Write a zip archive, seal it, and see it onto the disk; a write that fails leaves no file.

    Args:
        path: a temporary name, to be renamed by the caller.
        write: writes the archive into the stream that it is given, from beginning to end.
        flushed: False leaves it to the caller to see the file onto the disk, by `couloir.record.files.flush`.
    """
    try:
        with path.open("wb") as stream:
            hashed = _Hashed(stream)
            try:
                write(cast(IO[bytes], hashed))  # as much of a stream as torch.save asks for
            except RuntimeError:
                if hashed.failure is not None:
                    raise hashed.failure from None  # torch's error has come of it
                raise
            comment = MARK + hashed.digest.hexdigest().encode()
            stream.seek(-len(EMPTY), os.SEEK_END)
            stream.write(struct.pack("<H", len(comment)) + comment)
            stream.flush()
            if flushed:
                os.fsync(stream.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def is_sealed(path: Path) -> bool | None:
    """Whether a file is, to the bit, what was sealed; None where it carries no seal, as other programs' files.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        rest = stream.seek(0, os.SEEK_END) - LENGTH - len(EMPTY)
        if rest <= 0:
            return None
        stream.seek(rest + len(EMPTY))
        comment = stream.read()
        if not comment.startswith(MARK):
            return None
        stream.seek(0)
        while rest > 0 and (block := stream.read(min(BLOCK, rest))):
            digest.update(block)
            rest -= len(block)
    digest.update(EMPTY)
    return comment == MARK + digest.hexdigest().encode()
