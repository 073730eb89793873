"""A project of the user's own: a network, a data set, an experiment, a test, and what belongs around them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from couloir.config import tree
from couloir.errors import CouloirError, display
from couloir.version import __version__

TEMPLATE = Path(__file__).parent / "template"
OWN = ".couloir"
"""The folder of a project for what Couloir makes there, which git leaves alone."""
RENAMED = {"gitignore": ".gitignore"}
"""Files whose own name would mean something within the template."""


def make_project(folder: Path) -> list[Path]:
    """Write the files of a project.

    Args:
        folder: where they go; it is made where it is missing.

    Returns:
        the files, by their paths within the folder.

    Raises:
        CouloirError: one of the files is there already, or the folder cannot be written.
    """
    if (folder / "conf").resolve() == tree.packaged_conf().resolve():
        raise CouloirError(
            "This is the folder of Couloir itself.", next_step="couloir init FOLDER, in a folder of your own"
        )
    files = _files(folder)
    _refuse_existing(folder, list(files))
    written: list[Path] = []
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="\n") as stream:
                written.append(path)
                stream.write(text)
        (folder / OWN).mkdir(exist_ok=True)
        (folder / OWN / "python").write_text(f"{sys.executable}\n", encoding="utf-8")
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise CouloirError(
            f"The project cannot be written: {error.strerror or error}.",
            place=str(error.filename or folder),
            next_step="couloir init FOLDER, where you may write",
        ) from error
    return list(files)


def _files(folder: Path) -> dict[Path, str]:
    """The text of each file."""
    name = Path(os.path.abspath(folder)).name or "project"  # noqa: PTH100  resolve() would follow a user's links
    found = {}
    for file in sorted(TEMPLATE.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            text = file.read_text(encoding="utf-8").replace("{PROJECT}", name).replace("{VERSION}", __version__)
            found[file.relative_to(TEMPLATE).with_name(RENAMED.get(file.name, file.name))] = text
    return found


def _refuse_existing(folder: Path, names: list[Path]) -> None:
    if os.path.lexists(folder) and not folder.is_dir():
        raise CouloirError(f"{folder} is a file, and a project is a folder.", next_step="couloir init ANOTHER_NAME")
    there = [name.as_posix() for name in names if os.path.lexists(folder / name)]
    blocked = {above for name in names for above in name.parents[:-1] if (folder / above).exists()}
    there += sorted(above.as_posix() for above in blocked if not (folder / above).is_dir())
    if there:
        raise CouloirError(
            f"{'These files are' if len(there) > 1 else 'This file is'} there already: {', '.join(there)}.",
            place=display(folder),
            next_step="nothing was written; couloir init FOLDER makes a project in a new folder",
        )
