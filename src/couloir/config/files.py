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
        text = file.read_bytes()
        if b"&" not in text or b"*" not in text:
            continue
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, ValueError, RecursionError):
            continue  # Hydra will say so, if the file takes part at all
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
