"""Where the configuration lives on disk: the packaged tree, the user's own folders before it, and what a file's header
says.

Nothing here imports Hydra, so that `--help` and `couloir list` answer at once.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from couloir.errors import CouloirError, display

ROOT_CONFIG = "train"
"""The name of the root file, without its ending."""
EXPERIMENT = "experiment"
"""The group whose choices may be files anywhere."""
ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True)
class Source:
    """One YAML file that took part in a composition, and the key below which its content stands."""

    file: Path
    package: str


KEY = "config_dir"
"""The word of a sentence that names a folder of the user's own besides `./conf`; `--config-dir` stands for it."""
_named: list[Path] = []


def name_own(folder: str | Path | None) -> None:
    """From now on search this folder first, as a process searches its working directory; None: `./conf` alone.

    Raises:
        CouloirError: there is no such folder.
    """
    _named.clear()
    if folder is None:
        return
    path = Path(os.path.normpath(Path(folder).expanduser().absolute()))
    if not path.is_dir():
        raise CouloirError(
            f"There is no folder {folder}.",
            place=f"{KEY}={folder}",
            next_step="name a folder that is laid out as ./conf is",
        )
    _named.append(path)


def own_word() -> list[str]:
    """The word that names the folder which is searched first; none where there is none."""
    return [as_word(path) for path in _named]


def as_word(folder: str | Path) -> str:
    """The word that names a folder, its path in full."""
    text = str(folder)
    plain = re.fullmatch(r"[\w./-]+", text) is not None
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"{KEY}={text}" if plain else f"{KEY}='{quoted}'"


def take_own(words: list[str]) -> list[str]:
    """Search the folder first that words name, if they name one; the words, with its path in full.

    Raises:
        CouloirError: there is no such folder.
    """
    named = [word for word in words if word.startswith(f"{KEY}=")]
    value = named[-1].partition("=")[2] if named else ""
    if value[:1] in ("'", '"') and value[-1:] == value[:1]:
        value = value[1:-1].replace(f"\\{value[0]}", value[0]).replace("\\\\", "\\")
    name_own(value if value not in ("", "null") else None)
    return [*(word for word in words if word not in named), *own_word()] if _named else words


@lru_cache(maxsize=1)
def packaged_conf() -> Path:
    """The tree that ships with Couloir: inside the wheel, or `conf/` of a checkout (an editable install)."""
    inside = Path(__file__).parents[1] / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[3] / "conf"


def user_conf() -> Path | None:
    """The `./conf` of the working directory, or None where there is none or where it is the packaged one."""
    here = f"{os.getcwd()}/conf"  # noqa: PTH109  this and os.stat: a composition asks two hundred times
    try:
        found = os.stat(here)  # noqa: PTH116
    except OSError:
        return None
    return Path(here) if stat.S_ISDIR(found.st_mode) and not os.path.samestat(found, _packaged()) else None


@lru_cache(maxsize=1)
def _packaged() -> os.stat_result:
    return packaged_conf().stat()


def own_confs() -> list[Path]:
    """The user's own folders, first match first: the one that is named, and `./conf`."""
    user = user_conf()
    return list(dict.fromkeys([*_named, *([] if user is None else [user])]))


def is_own(file: Path) -> bool:
    """Whether a file is of the user's own."""
    return any(file.is_relative_to(own) for own in own_confs()) or not file.is_relative_to(packaged_conf())


def is_elsewhere(file: Path) -> bool:
    """Whether a file lies in none of the folders that are searched: an experiment that was named by its path."""
    return not any(file.is_relative_to(root) for root in roots())


def is_experiment(file: Path) -> bool:
    """Whether a file is a choice of the group `experiment`, or an experiment file that a path names."""
    return any(file.is_relative_to(root / EXPERIMENT) for root in roots()) or is_elsewhere(file)


def roots() -> list[Path]:
    """The folders that are searched, first match first."""
    return [*own_confs(), packaged_conf()]


def find(config: str) -> Path | None:
    """The file of a config such as `model/lenet5`, or None."""
    for root in roots():
        path = root / f"{config}.yaml"
        if path.is_file():
            return path
    group, _, name = config.partition("/")
    return elsewhere(name) if group == EXPERIMENT else None


def elsewhere(name: str) -> Path | None:
    """The experiment file that a path names, from the working directory on; None where there is none.

    It has an ending, which the name of a choice has not: `outputs/latest/recipe.yaml`.
    """
    path = Path(name).expanduser()
    if path.suffix not in ENDINGS:
        return None
    from couloir.record.folder import follow  # PyYAML: the help does without it

    return follow(path) if follow(path).is_file() else None


def is_path(name: str) -> bool:
    """Whether a word for an experiment is a path."""
    return Path(name).suffix in ENDINGS or len(Path(name).parts) > 1


def groups(packaged: bool = False) -> list[str]:
    """The names of all config groups, in alphabetical order; `packaged`: without those of the user's own."""
    own = [] if packaged else own_confs()
    return sorted(_packaged_groups().union(*map(_groups_in, own)) - {"hydra"})


def _groups_in(root: Path) -> frozenset[str]:
    return frozenset(path.name for path in root.iterdir() if path.is_dir() and any(path.glob("*.yaml")))


@lru_cache(maxsize=1)
def _packaged_groups() -> frozenset[str]:
    return _groups_in(packaged_conf())


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
