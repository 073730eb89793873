"""Columns as they are named at the prompt, whatever their names are. No torch here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from couloir.errors import CouloirError, as_typed, in_quotes

NAMING = "'data.columns={NAME: KIND}'"
"""How a kind is stated, in quotes for the shell."""
_PLAIN_NAME = re.compile(
    r"(?!(?:null|true|false|nan|inf(?:inity)?)\Z)[a-z_][\w.-]*(?: [\w.-]+)*|0|[1-9]\d*", re.ASCII | re.IGNORECASE
)
"""Names that Hydra reads as they stand."""


def stating(name: str, kind: str = "category") -> str:
    """What is typed to state a column's kind. Hydra takes no quotes around a key: odd names need them around all."""
    if _PLAIN_NAME.fullmatch(name):
        return as_typed([f"data.columns={{{name}: {kind}}}"])
    pair = f"{{{name}: {kind}}}"
    if _of_text(pair) != {name: kind}:
        pair = json.dumps({name: kind}, ensure_ascii=False)
    return as_typed([f"data.columns={in_quotes(pair)}"])


def ignoring(name: str) -> str:
    """What is typed to leave a column out."""
    if _PLAIN_NAME.fullmatch(name):
        word = f"data.ignore=[{name}]"
        return word if " " not in name else as_typed([word])
    return as_typed([f"data.ignore=[{in_quotes(name)}]"])


def stated_kinds(stated: Any) -> dict[str, str]:
    """The kinds by column of `data.columns`, a mapping or the text of one, which may have any name in it.

    Raises:
        CouloirError: it is neither.
    """
    kinds = _of_text(stated) if isinstance(stated, str) else stated or {}
    if not isinstance(kinds, Mapping):
        raise CouloirError(
            f"data.columns takes the kinds of columns by name, not {stated!r}.",
            next_step="data.columns={age: number, city: category}",
        )
    return {str(name): str(kind) for name, kind in kinds.items()}


def _of_text(text: str) -> Any:
    try:
        return yaml.load(text, yaml.BaseLoader)
    except yaml.YAMLError:
        return None
