"""Where the configuration lives on disk: the packaged tree, the user's own `./conf` before it, and what a file's
header says.

Nothing here imports Hydra, so that `--help` and `couloir list` answer at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from couloir.errors import CouloirError, display

ROOT_CONFIG = "train"
"""The name of the root file, without its ending."""


@dataclass(frozen=True)
class Source:
    """One YAML file that took part in a composition, and the key below which its content stands."""

    file: Path
    package: str


def packaged_conf() -> Path:
    """The tree that ships with Couloir: inside the wheel, or `conf/` of a checkout (an editable install)."""
    inside = Path(__file__).parents[1] / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[3] / "conf"


def user_conf() -> Path | None:
    """The `./conf` of the working directory, or None where there is none or where it is the packaged one."""
    here = Path.cwd() / "conf"
    if not here.is_dir() or here.resolve() == packaged_conf().resolve():
        return None
    return here


def is_own(file: Path) -> bool:
    """Whether a file is of the user's own tree."""
    own = user_conf()
    return own is not None and file.is_relative_to(own)


def roots() -> list[Path]:
    """The folders that are searched, first match first."""
    user = user_conf()
    return [packaged_conf()] if user is None else [user, packaged_conf()]


def find(config: str) -> Path | None:
    """The file of a config such as `model/lenet5`, or None."""
    for root in roots():
        path = root / f"{config}.yaml"
        if path.is_file():
            return path
    return None


def groups(packaged: bool = False) -> list[str]:
    """The names of all config groups, in alphabetical order; `packaged`: without those of the user's own."""
    trees = [packaged_conf()] if packaged else roots()
    names = {path.name for root in trees for path in root.iterdir() if path.is_dir() and any(path.glob("*.yaml"))}
    return sorted(names - {"hydra"})


def choices(group: str) -> dict[str, Path]:
    """The choices of a group and their files; a choice in a subfolder is `folder/name`."""
    found: dict[str, Path] = {}
    for root in roots():
        folder = root / group
        for path in sorted(path for path in folder.rglob("*.yaml") if path.is_file()):
            found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
    return dict(sorted(found.items()))


def read_text(path: Path) -> str:
    """The text of a file of the tree.

    Raises:
        CouloirError: it is not text in UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise CouloirError(
            f"{display(path)} is not text in UTF-8.",
            place=f"{display(path)}, line {line}",
            next_step="save it in UTF-8, or remove it",
        ) from error


def header(path: Path) -> list[str]:
    """The comment lines that open a file, without their marks; the `@package` line is left out."""
    lines = []
    for line in read_text(path).splitlines():
        if not line.startswith("#"):
            break
        text = line.lstrip("#").strip()
        if not text.startswith("@package"):
            lines.append(text)
    return lines


def describe(path: Path) -> str:
    """The first sentence of a file's header."""
    text = " ".join(header(path))
    return re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]
