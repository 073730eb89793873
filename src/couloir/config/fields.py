"""What a sample is made of: its fields by name, and the kind of each. Nothing here imports torch.

A data set states them in its YAML, in order, such as `fields: {image: image, label: label}`. docs/architecture.md has
the form that each kind has in a batch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

KINDS = {
    "image": "images",
    "map": "maps",
    "label": "classes",
    "labels": "several labels a sample",
    "value": "values to predict",
    "row": "rows of a table",
    "tokens": "tokens",
    "series": "series",
    "video": "videos",
    "volume": "volumes",
    "boxes": "boxes",
    "target_tokens": "tokens to predict",
    "future": "values to come",
}
"""The kinds of field, and what messages call them."""
TARGETS = ("label", "labels", "value", "map", "boxes", "target_tokens", "future")
"""Kinds that a network is not given unless its task says so."""
SAMPLE, SHARE, SIZE = "sample", "share", "size"
"""What a batch holds besides fields: the samples' numbers in their split, (B,) int64, the
`couloir.data.batches.Share` of an uneven batch of several processes, and, where images of several sizes stand in one
batch, height and width of each, (B, 2) int64: what lies below and to the right of them is no part of the sample.
"""
SEQUENCES = ("tokens", "series", "video")
"""Kinds whose samples have steps, one after the other, and may differ in how many."""
MAPS = {"classes": "maps of classes", "values": "maps of values", "images": "images to restore"}
"""What the pixels of a map hold, and what messages call it: the number of a class, a value from 0 to 1, or the colours
of a picture, whose prediction may lie outside of that.
"""
IGNORED = 255
"""The class of pixels that take no part, in a map of classes: no loss and no metric counts them."""
Fields = Mapping[str, str]


def of_kind(fields: Fields, kinds: Collection[str]) -> list[str]:
    """The names of the fields of some kinds, in the order of the data set."""
    return [name for name, kind in fields.items() if kind in kinds]


def input_field(fields: Fields) -> str:
    """The field that the network is given: the first that is no target, or the first of all."""
    return next((name for name, kind in fields.items() if kind not in TARGETS), next(iter(fields)))


def target_field(fields: Fields) -> str:
    """The field that is learned: the first of a kind of target; the input where there is none."""
    return next(iter(of_kind(fields, TARGETS)), input_field(fields))


def is_sequence(fields: Fields) -> bool:
    """Whether the input of a data set has steps."""
    return bool(fields) and fields[input_field(fields)] in SEQUENCES


def default_fields(task: str, image_size: Any) -> dict[str, str]:
    """The fields of a set that states none, by its task and the size of its images (None: a table)."""
    target = {"classification": "label", "multi_label": "labels"}.get(task, "value")
    first = "row" if image_size is None else "image"
    return {first: first, target: target}


def maps_of(data: Mapping[str, Any]) -> str:
    """What the maps of a data node hold, a word of `MAPS`: its key `maps`, or what follows from its other keys.

    Without that key, maps of a restoration hold images, those of a saliency and of one class alone values, and others
    classes.
    """
    if data.get("maps") in MAPS:
        return str(data["maps"])
    if data.get("task") == "restoration":
        return "images"
    return "values" if data.get("task") == "saliency" or data.get("num_classes") == 1 else "classes"


def in_words(kind: str, holds: str = "") -> str:
    """What messages call a kind of field; of maps also what they hold, where that is known."""
    return MAPS.get(holds, KINDS["map"]) if kind == "map" else KINDS.get(kind, kind)


def fields_of(data: Mapping[str, Any]) -> dict[str, str]:
    """The names of a data node's fields and their kinds; of a node that states none, what its task and size say."""
    stated = data.get("fields")
    if stated:
        return {str(name): str(kind) for name, kind in stated.items()}
    return default_fields(str(data.get("task")), data.get("image_size"))


def learns_map(keys: Mapping[str, Any]) -> bool:
    """Whether a run learns a map of each sample, by its configuration in dotted keys."""
    return any(name.startswith("data.fields.") and kind == "map" for name, kind in keys.items())
