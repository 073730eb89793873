"""The user's own YAML files before Hydra reads them: a file must be text, and must have an end."""

from __future__ import annotations

from pathlib import Path

import yaml

from couloir.config import tree
from couloir.errors import CouloirError, display

MOST_NODES = 100_000
"""Values of a file once its aliases are written out: a page of them can stand for billions."""


def check_own_files() -> None:
    """Look for aliases that stand for too much, in the user's own files that have aliases.

    Raises:
        CouloirError: a file whose aliases have no end, or would fill the memory.
    """
    for file in _own_files():
        _check_aliases(file)


def check_experiment(word: str, path: Path) -> None:
    """Look at an experiment file that a path names, before Hydra reads it.

    Args:
        word: what was typed.
        path: the path that it names.

    Raises:
        CouloirError: there is no such file, it cannot be read, or it is no experiment file.
    """
    file = tree.elsewhere(str(path))
    if file is None:
        raise _no_file(word, path)
    try:
        text = tree.read_text(file)
        node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise CouloirError(f"{display(file)} cannot be read: {error.strerror or error}.", place=word) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "it is nested too deeply"
        raise CouloirError(
            f"{display(file)} cannot be read as YAML: {reason}.",
            place=f"{display(file)}, line {mark.line + 1}" if mark is not None else word,
            next_step="mend that line, or name another file",
        ) from error
    if not isinstance(node, yaml.MappingNode):
        raise CouloirError(
            f"{display(file)} is not an experiment file: it has no keys.",
            place=word,
            next_step="`couloir recipe RUN` makes one of a run",
        )
    _check_aliases(file)


def _no_file(word: str, path: Path) -> CouloirError:
    place = path.expanduser()
    inside = place / "recipe.yaml" if place.is_dir() else place
    if inside != place and inside.is_file():
        return CouloirError(
            f"{path} is a folder, and an experiment is a file.", next_step=f"{word.partition('=')[0]}={inside}"
        )
    choice = place.stem if place.stem in tree.choices(tree.EXPERIMENT) else None
    beside = sorted(file.name for ending in tree.ENDINGS for file in place.parent.glob(f"*{ending}"))[:5]
    near = f"{display(place.parent)} has {', '.join(beside)}" if beside else "check the path"
    fact = f"There is no file {path}."
    if place.exists():
        fact = f"{path} is a folder without a recipe.yaml." if place.is_dir() else f"{path} is not a YAML file."
    return CouloirError(fact, place=word, next_step=f"did you mean experiment={choice}?" if choice else near)


def _check_aliases(file: Path) -> None:
    text = file.read_bytes()
    if b"&" not in text or b"*" not in text:
        return
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return  # Hydra will say so, if the file takes part at all
    if _count(node, {}) > MOST_NODES:
        raise CouloirError(
            f"The aliases of {display(file)} expand to more than {MOST_NODES:,} values, or refer to themselves.",
            next_step="write the values directly, or refer to them with ${key}",
        )


def not_text(error: UnicodeDecodeError) -> CouloirError:
    """What is wrong when a file of the tree is not UTF-8."""
    for file in _own_files():
        try:
            tree.read_text(file)
        except CouloirError as wrong:
            return wrong
    return CouloirError(f"A configuration file is not text in UTF-8: {error}")


def _own_files() -> list[Path]:
    return [path for own in tree.own_confs() for path in sorted(own.rglob("*.yaml")) if path.is_file()]


def _count(node: yaml.Node | None, known: dict[int, float]) -> float:
    """The values below a node with its aliases written out; infinite where a node holds itself."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in known:
        known[id(node)] = float("inf")  # until it is counted, whoever meets it again is inside it
        parts = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
        try:
            known[id(node)] = 1 + sum(_count(part, known) for part in parts)
        except RecursionError:
            return float("inf")
    return known[id(node)]
