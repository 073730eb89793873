"""A file that gets its name once all about it is right."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from couloir.record.files import rename, writing

ENDING = ".json"
"""What follows the name of an exported file in the name of the facts beside it."""


@contextmanager
def provisional(file: Path) -> Iterator[Path]:
    """A file of the same name in a folder of its own; where the block ends well, all that is there then moves to the
    place of the file.

    Raises:
        CouloirError: the disk does not take it.
    """
    with writing(file), tempfile.TemporaryDirectory(prefix=".export-", dir=file.parent) as folder:
        yield Path(folder) / file.name
        made = sorted(Path(folder).iterdir(), key=lambda path: path.name == file.name)  # the file itself comes last
        for path in made:
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())
            path.chmod(0o644)
            rename(path, file.parent / path.name)
