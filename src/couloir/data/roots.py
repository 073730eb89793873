"""Where a data set's files are: the folder that the user states, or the usual one."""

from __future__ import annotations

import os
from pathlib import Path

from couloir.errors import CouloirError


def data_root(stated: str | None, name: str) -> Path:
    """The folder of a data set.

    Args:
        stated: `data.root`; None takes `$COULOIR_DATA/NAME` where it exists, else `./data/NAME`.
        name: the data set's name.

    Raises:
        CouloirError: the stated folder does not exist.
    """
    if stated is not None:
        root = Path(stated).expanduser()
        if not root.is_dir():
            raise CouloirError(
                f"data.root={stated} is not a folder.",
                next_step="name the folder that holds the files, or leave data.root out",
            )
        return root
    shared = Path(os.environ.get("COULOIR_DATA", "data")) / name
    return shared if shared.is_dir() else Path("data") / name


def find_file(root: Path, subfolders: tuple[str, ...], names: tuple[str, ...]) -> Path | None:
    """The first of some files that is below a root, directly or in one of some subfolders."""
    for folder in (root, *(root / sub for sub in subfolders)):
        for name in names:
            if (folder / name).is_file():
                return folder / name
    return None
