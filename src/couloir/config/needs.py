"""What a part needs of the data's fields: the header line `# Needs:` of its YAML file. Nothing here imports torch.

    # Needs: image(channels=3)
    # Needs: image(square)
    # Needs: row or image
    # Needs: image, label or labels
    # Needs: image, map(classes)
    # Needs: image where decoder=none; image, map

A comma stands between needs that must all be met, `or` between fields that meet the same need. In parentheses stands
what keys of the data must be; `square` says that images are as high as they are wide, `classes`, `values` and `images`
say what a map holds. Where the needs follow from a key of the part, a semicolon stands between the ways, and the first
counts whose key has the value behind `where`.

A network needs a `map` if its output is one. Couloir's own networks that need none give a row of numbers for an image.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from couloir.config import contract, tree
from couloir.config.fields import KINDS, MAPS, TARGETS, fields_of, in_words, input_field, maps_of
from couloir.config.image_size import is_square, size_of
from couloir.config.made_for import tasks_of
from couloir.config.metrics import RESTORATION, task_of
from couloir.errors import CouloirError, did_you_mean, display

FACTOR = "factor"
"""The key of data whose answers are larger than its inputs, and of networks that enlarge."""
KEYS = ("channels", "image_size", "num_classes")
"""The keys of the data that a need may fix."""
IMAGE_SIZE, SQUARE, MAP = "image_size", "square", "map"
_MARK = "Needs:"
_FIELD = re.compile(r"([a-z_]+)(?:\(([^()]*)\))?")
_BETWEEN_NEEDS = re.compile(r",(?![^()]*\))")  # not within parentheses


@dataclass(frozen=True)
class Field:
    """One field that meets a need.

    Attributes:
        kind: its kind.
        keys: what keys of the data must be.
        square: whether images must be as high as they are wide.
        holds: what a map must hold, a word of `MAPS`; empty: either.
    """

    kind: str
    keys: dict[str, int]
    square: bool = False
    holds: str = ""

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
        if self.holds and maps_of(data) != self.holds:
            return False
        return all(_same(key, data.get(key), value) for key, value in self.keys.items())

    def __str__(self) -> str:
        """In the words of a message: `square images with channels=3`."""
        keys = ", ".join(f"{key}={value}" for key, value in self.keys.items())
        kind = in_words(self.kind, self.holds)
        kind = f"{SQUARE} {kind}" if self.square else kind
        return f"{kind} with {keys}" if keys else kind


def _same(key: str, there: Any, needed: int) -> bool:
    return size_of(there) == size_of(needed) if key == IMAGE_SIZE and there is not None else bool(there == needed)


@dataclass(frozen=True)
class Way:
    """Needs of a part, a list of the fields of which one meets each, and what a key of the part is then; all: None."""

    needs: list[list[Field]]
    key: str | None = None
    value: str = ""


def needs(file: Path, part: Mapping[str, Any] | None = None) -> list[list[Field]]:
    """What a file's header says that the data must have: needs, and the fields of which one meets each.

    Args:
        file: the part's YAML file.
        part: its node; a key that it lacks is as in the file.

    Raises:
        CouloirError: the line cannot be read.
    """
    return _way(file, part).needs


def _way(file: Path, part: Mapping[str, Any] | None) -> Way:
    for way in ways(file):
        if way.key is None:
            return way
        default = next((key.default for key in contract.read_keys(file) if key.path == way.key), None)
        if _typed((part or {}).get(way.key, default)) == way.value:
            return way
    return Way([])


def _typed(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def ways(file: Path) -> list[Way]:
    """All that a file's header says of needs, whatever the part's keys are.

    Raises:
        CouloirError: the line cannot be read.
    """
    line = next((line for line in tree.header(file) if line.startswith(_MARK)), None)
    if line is None:  # a task has them in a key, which it reads itself
        kinds = next((key.default for key in contract.read_keys(file) if key.path == "needs"), None)
        return [Way([[Field(str(kind), {}) for kind in kinds]] if kinds else [])]
    return [_read_way(text, line, file) for text in line.removeprefix(_MARK).split(";")]


def _read_way(text: str, line: str, file: Path) -> Way:
    wanted, where, condition = text.partition(" where ")
    found = [[_field(word, line, file) for word in re.split(r"\sor\s", need)] for need in _BETWEEN_NEEDS.split(wanted)]
    if not where:
        return Way(found)
    key, _, value = (word.strip() for word in condition.partition("="))
    known = [each.path for each in contract.read_keys(file)]
    if key not in known or not value:
        hint = did_you_mean(key, known, form=f"where {{}}={value or 'VALUE'}")
        raise _unreadable(f"'where {condition.strip()}' names no key", line, file, hint or "write where KEY=VALUE")
    return Way(found, key, value)


def _field(text: str, line: str, file: Path) -> Field:
    """`image(channels=3)`."""
    read = _FIELD.fullmatch(text.strip())
    if read is None:
        raise _unreadable(f"'{text.strip()}' is no need", line, file, "write a kind of field: image, image(channels=3)")
    kind, inside = read[1], read[2]
    if kind not in KINDS:
        hint = did_you_mean(kind, list(KINDS), form="{}")
        raise _unreadable(f"there is no kind of field '{kind}'", line, file, hint or f"kinds: {', '.join(KINDS)}")
    keys, square, holds = {}, False, ""
    for part in [] if inside is None else inside.split(","):
        key, _, value = (word.strip() for word in part.partition("="))
        if kind != MAP and part.strip() == SQUARE:
            square = True
            continue
        if kind == MAP and part.strip() in MAPS:
            holds = part.strip()
            continue
        if key not in KEYS or not value.isdigit():
            raise _unreadable(
                f"'{part.strip()}' is not KEY=NUMBER",
                line,
                file,
                f"{', '.join(MAPS) if kind == 'map' else SQUARE}, or keys: {', '.join(KEYS)}",
            )
        keys[key] = int(value)
    return Field(kind, keys, square, holds)


def _unreadable(fact: str, line: str, file: Path, next_step: str) -> CouloirError:
    lines = tree.read_text(file).splitlines()
    number = next(number for number, text in enumerate(lines, 1) if text.lstrip("#").strip() == line)
    return CouloirError(
        f"The line '{line}' cannot be read: {fact}.", place=f"{display(file)}, line {number}", next_step=next_step
    )


def lacking(file: Path, data: Mapping[str, Any], part: Mapping[str, Any] | None = None) -> tuple[str, str] | None:
    """What a file's part needs that a data node does not have, and what it has, in words; None where nothing lacks.

    Args:
        file: the part's YAML file.
        data: the data's node.
        part: the part's node; None: its keys are as in the file.

    Raises:
        CouloirError: the file's line cannot be read.
    """
    return _lacking(needs(file, part), data)


def _lacking(wanted: list[list[Field]], data: Mapping[str, Any]) -> tuple[str, str] | None:
    for need in wanted:
        if not any(field.there(data) for field in need):
            kinds = " and ".join(in_words(kind, maps_of(data)) for kind in fields_of(data).values())
            # Of data without images it is not their shape that matters.
            need = [field if field.kind in fields_of(data).values() else replace(field, square=False) for field in need]
            asked = dict.fromkeys(key for field in need for key in field.asked)
            keys = ", ".join(f"{key}={data.get(key)}".replace(" ", "") for key in asked)
            return " or ".join(map(str, need)), f"{kinds} with {keys}" if keys else kinds
    return None


def gives_rows(file: Path, data: Mapping[str, Any], part: Mapping[str, Any] | None = None) -> bool:
    """Whether one of Couloir's own networks gives a row of numbers for an image where a map is learned."""
    if MAP not in fields_of(data).values() or tree.is_own(file):
        return False
    return not any(field.kind == MAP for need in needs(file, part) for field in need)


def keeps_size(file: Path, data: Mapping[str, Any]) -> bool:
    """Whether one of Couloir's own networks gives an image as large as its input where a larger one is asked for."""
    factor = data.get(FACTOR)
    if not isinstance(factor, int) or factor < 2 or tree.is_own(file):
        return False
    return not any(key.path == FACTOR for key in contract.read_keys(file))


def other_way(group: str, file: Path, data: Mapping[str, Any]) -> str | None:
    """What a key of a part would have to be for the data, as it is typed; None where no key decides."""
    if keeps_size(file, data):
        return None
    found = ways(file)
    decides = next((way.key for way in found if way.key is not None), None)
    if decides is None:
        return None
    key = next(each for each in contract.read_keys(file) if each.path == decides)
    words = ["true", "false"] if key.contract == "bool" else key.contract.removeprefix("one of ").split(", ")
    fitting = [word for word in words if _lacking(needs(file, {decides: word}), data) is None]
    fitting = [word for word in fitting if not gives_rows(file, data, {decides: word})]
    return " or ".join(f"{group}.{decides}={word}" for word in fitting) or None


def told(group: str, cfg: Any) -> Mapping[str, Any]:
    """What the needs of a group's part are compared with: the data; for a loss, what the task learns of the data; for a
    network, the inputs and what the task learns.
    """
    task = cfg.get("task") or {}
    learned = task.get("needs")
    if group not in ("loss", "model") or (group == "loss" and "loss" not in task):
        return cast(Mapping[str, Any], cfg.data)
    if learned is not None and not learned and group == "loss":  # the input is its own target
        name = input_field(fields_of(cfg.data))
        image = fields_of(cfg.data)[name] == "image"
        return {
            "num_classes": cfg.data.get("channels"), "fields": {name: MAP if image else "value"}, "maps": "values",
        }  # fmt: skip
    if not learned:
        return cast(Mapping[str, Any], cfg.data)
    fields = {kind: kind for kind in learned}
    holds = "images" if task_of(cfg) == RESTORATION else maps_of(cfg.data)
    if group == "model":
        fields = {name: kind for name, kind in fields_of(cfg.data).items() if kind not in TARGETS or kind in learned}
    return {**{key: cfg.data.get(key) for key in KEYS}, FACTOR: cfg.data.get(FACTOR), "fields": fields, "maps": holds}


def fitting(group: str, data: Mapping[str, Any]) -> list[str]:
    """The choices of a group that lack nothing; networks that are made for a task are left out."""
    files = tree.choices(group)
    fits = [name for name, file in files.items() if lacking(file, data) is None]
    if group != "model":
        return fits
    fits = [name for name in fits if not tasks_of(name)]
    return [name for name in fits if not gives_rows(files[name], data) and not keeps_size(files[name], data)]
