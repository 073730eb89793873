"""What a part needs of the data's fields: the header line `# Needs:` of its YAML file. Nothing here imports torch.

    # Needs: image(channels=3)
    # Needs: image(square)
    # Needs: row or image
    # Needs: image, label or labels

A comma stands between needs that must all be met, `or` between fields that meet the same need. In parentheses stands
what keys of the data must be; `square` says that images are as high as they are wide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from couloir.config import contract, tree
from couloir.config.fields import KINDS, fields_of
from couloir.config.image_size import is_square, size_of
from couloir.errors import CouloirError, did_you_mean, display

KEYS = ("channels", "image_size", "num_classes")
"""The keys of the data that a need may fix."""
IMAGE_SIZE, SQUARE = "image_size", "square"
_MARK = "Needs:"
_FIELD = re.compile(r"([a-z]+)(?:\(([^()]*)\))?")
_BETWEEN_NEEDS = re.compile(r",(?![^()]*\))")  # not within parentheses


@dataclass(frozen=True)
class Field:
    """One field that meets a need: its kind, what keys of the data must be, and whether images must be square."""

    kind: str
    keys: dict[str, int]
    square: bool = False

    @property
    def asked(self) -> list[str]:
        """The keys of the data that the need looks at."""
        return [*self.keys, *([IMAGE_SIZE] if self.square else [])]

    def there(self, data: Mapping[str, Any]) -> bool:
        """Whether a data node has such a field.

        Raises:
            CouloirError: the size of the data's images is not one.
        """
        if self.kind not in fields_of(data).values():
            return False
        if self.square and data.get(IMAGE_SIZE) is not None and not is_square(data[IMAGE_SIZE]):
            return False
        return all(_same(key, data.get(key), value) for key, value in self.keys.items())

    def __str__(self) -> str:
        """In the words of a message: `square images with channels=3`."""
        keys = ", ".join(f"{key}={value}" for key, value in self.keys.items())
        kind = f"{SQUARE} {KINDS[self.kind]}" if self.square else KINDS[self.kind]
        return f"{kind} with {keys}" if keys else kind


def _same(key: str, there: Any, needed: int) -> bool:
    return size_of(there) == size_of(needed) if key == IMAGE_SIZE and there is not None else bool(there == needed)


def needs(file: Path) -> list[list[Field]]:
    """What a file's header says that the data must have: needs, and the fields of which one meets each.

    Raises:
        CouloirError: the line cannot be read.
    """
    line = next((line for line in tree.header(file) if line.startswith(_MARK)), None)
    if line is None:  # a task has them in a key, which it reads itself
        kinds = next((key.default for key in contract.read_keys(file) if key.path == "needs"), None)
        return [[Field(str(kind), {}) for kind in kinds]] if kinds else []
    wanted = _BETWEEN_NEEDS.split(line.removeprefix(_MARK))
    return [[_field(word, line, file) for word in re.split(r"\sor\s", need)] for need in wanted]


def _field(text: str, line: str, file: Path) -> Field:
    """`image(channels=3)`."""
    read = _FIELD.fullmatch(text.strip())
    if read is None:
        raise _unreadable(f"'{text.strip()}' is no need", line, file, "write a kind of field: image, image(channels=3)")
    kind, inside = read[1], read[2]
    if kind not in KINDS:
        hint = did_you_mean(kind, list(KINDS), form="{}")
        raise _unreadable(f"there is no kind of field '{kind}'", line, file, hint or f"kinds: {', '.join(KINDS)}")
    keys, square = {}, False
    for part in [] if inside is None else inside.split(","):
        key, _, value = (word.strip() for word in part.partition("="))
        if part.strip() == SQUARE:
            square = True
            continue
        if key not in KEYS or not value.isdigit():
            raise _unreadable(
                f"'{part.strip()}' is not KEY=NUMBER", line, file, f"{SQUARE}, or keys: {', '.join(KEYS)}"
            )
        keys[key] = int(value)
    return Field(kind, keys, square)


def _unreadable(fact: str, line: str, file: Path, next_step: str) -> CouloirError:
    lines = tree.read_text(file).splitlines()
    number = next(number for number, text in enumerate(lines, 1) if text.lstrip("#").strip() == line)
    return CouloirError(
        f"The line '{line}' cannot be read: {fact}.", place=f"{display(file)}, line {number}", next_step=next_step
    )


def lacking(file: Path, data: Mapping[str, Any]) -> tuple[str, str] | None:
    """What a file's part needs that a data node does not have, and what it has, in words; None where nothing lacks.

    Raises:
        CouloirError: the file's line cannot be read.
    """
    for need in needs(file):
        if not any(field.there(data) for field in need):
            kinds = " and ".join(KINDS.get(kind, kind) for kind in fields_of(data).values())
            # Of data without images it is not their shape that matters.
            need = [field if field.kind in fields_of(data).values() else replace(field, square=False) for field in need]
            asked = dict.fromkeys(key for field in need for key in field.asked)
            keys = ", ".join(f"{key}={data.get(key)}".replace(" ", "") for key in asked)
            return " or ".join(map(str, need)), f"{kinds} with {keys}" if keys else kinds
    return None


def told(group: str, cfg: Any) -> Mapping[str, Any]:
    """What the needs of a group's part are compared with: the data; for a loss, what the task learns of the data."""
    task = cfg.get("task") or {}
    learned = task.get("needs") if group == "loss" and "loss" in task else None
    if not learned:
        return cast(Mapping[str, Any], cfg.data)
    return {**{key: cfg.data.get(key) for key in KEYS}, "fields": {kind: kind for kind in learned}}


def fitting(group: str, data: Mapping[str, Any]) -> list[str]:
    """The choices of a group that lack nothing."""
    return [name for name, file in tree.choices(group).items() if lacking(file, data) is None]
