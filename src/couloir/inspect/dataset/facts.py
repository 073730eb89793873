"""The facts of a sentence's data, as plain values: what `couloir data` prints, draws, and answers with `--json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import seed_everything
from torch import Tensor

from couloir.config.compose import Sentence
from couloir.config.image_size import ImageSize
from couloir.data.doubles import Doubles, same_files, same_rows
from couloir.data.health import row_hashes
from couloir.data.samples import Samples
from couloir.data.shards.source import ShardSource, same_images
from couloir.data.skipped import Skipped, how_many
from couloir.data.source import name_in
from couloir.data.standardise import measured
from couloir.errors import CouloirError
from couloir.inspect.dataset import targets
from couloir.inspect.dataset.attention import attention
from couloir.inspect.dataset.columns import Seen, Target, columns_of, compared, determines, target_of, with_target
from couloir.inspect.dataset.map_counts import maps
from couloir.inspect.dataset.photographs import Headers
from couloir.inspect.dataset.pixels import Pixels
from couloir.inspect.dataset.series import series
from couloir.inspect.dataset.texts import texts
from couloir.ragged import length
from couloir.run.assemble import load_data

HEADERS = 20_000
"""Photographs in shards whose headers are read."""
LISTED = 100
"""Broken files, samples left out and groups of doubles that are listed; all are counted."""
DEFAULTS: dict[str, Any] = {
    "samples": None, "splits": {}, "classes": None, "maps": None, "values": None, "images": None, "photographs": None,
    "series": None, "texts": None, "columns": None, "correlations": None, "notes": [],
    "doubles": {"within": {}, "across": [], "contradicting": 0, "examples": [], "complete": False},
    "broken": {"number": 0, "files": []}, "left_out": {"number": 0, "samples": []}, "other_files": [],
    "first_batch": None,
}  # fmt: skip
"""What stands where nothing is known."""


@dataclass
class Look:
    """A data set that was looked at: its facts, and what the page draws besides.

    Attributes:
        sentence: a checked sentence.
        data: the data, set up.
        facts: plain values.
        columns: of a table.
        target: what a table's columns are compared with.
        pixels: of images.
        headers: of photographs.
    """

    sentence: Sentence
    data: Any
    facts: dict[str, Any] = field(default_factory=dict)
    columns: list[Seen] = field(default_factory=list)
    target: Target | None = None
    pixels: Pixels | None = None
    headers: Headers | None = None


def look_at(sentence: Sentence, refusal: CouloirError | None = None) -> Look:
    """Read the data of a sentence and find out what there is to know; photographs are not decoded, but for a few.

    Args:
        sentence: a checked sentence.
        refusal: why training would refuse the data, where it would.

    Raises:
        CouloirError: the data cannot be read.
    """
    cfg = spared(sentence.cfg, refusal is not None)
    seed_everything(cfg.seed, workers=True, verbose=False)
    data = load_data(cfg, reports=False)
    found = Look(sentence, data)
    found.facts = {
        "data": sentence.choices.get("data"),
        "task": cfg.data.get("task"),
        "fields": dict(data.fields),
        "attention": [],
        **DEFAULTS,
        "refused": None if refusal is None else _told(refusal),
    }
    if isinstance(data, Samples):
        _samples(found, data, cfg)
    else:
        _plain(found, data)
    found.facts["attention"] = attention(found.facts, _keys(sentence.cfg))
    return found


def spared(cfg: DictConfig, refused: bool = False) -> DictConfig:
    """The configuration for one look: no photograph is decoded ahead of it."""
    sparing = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
    assert isinstance(sparing, DictConfig)
    if "max_pixels" in cfg.data:  # photographs
        sparing.data.workers = 0
        if "memory_budget" in cfg.data:
            sparing.data.memory_budget = 0.0
        elif cfg.data.on_error == "skip":
            sparing.data.on_error = "count"  # of shards: a look decodes nothing ahead
        if "cache" in cfg.data:
            sparing.data.cache = False
        if (
            refused and "memory_budget" in cfg.data and "maps" not in cfg.data
        ):  # what is broken is found by the headers; of masks it is left out
            sparing.data.on_error = "raise"
        if cfg.data.mean is None or cfg.data.std is None:
            sparing.data.standardize = False
    return sparing


def _keys(cfg: DictConfig) -> set[str]:
    groups = ("data", "loss")
    return {f"{group}.{key}" for group in groups if OmegaConf.is_dict(cfg.get(group)) for key in cfg[group]}


def _absolute(file: str | Path) -> str:
    return str(file) if "://" in str(file) else str(Path(file).absolute())


def _told(error: CouloirError) -> dict[str, Any]:
    return {"message": error.fact, "where": error.place, "next": error.next_step}


def _samples(found: Look, data: Samples, cfg: DictConfig) -> None:
    facts = found.facts
    train = data.splits["train"]
    own = {name: name != "train" and split.source is not train.source for name, split in data.splits.items()}
    facts["samples"] = sum(data.sizes().values())
    facts["splits"] = {name: {"samples": size, "own": own[name]} for name, size in data.sizes().items()}
    samples = [each for each in data.skipped if not each.kind or each.line is not None]
    facts["notes"], facts["other_files"] = list(data.notes), _other_files(data.skipped)
    facts["maps"] = maps(data)
    facts["classes"], facts["values"] = targets.classes(data, facts["maps"]), targets.values(data)
    facts["left_out"] = {"number": how_many(samples), "samples": [
        {"split": each.split or None, "file": _absolute(each.file), "line": each.line, "class": each.label or None,
         "reason": each.reason, "by": each.by} for each in samples[:LISTED]
    ]}  # fmt: skip
    kind = data.fields[data.input]
    if kind == "image":
        found.pixels = Pixels.of(data)
        facts["images"] = found.pixels.facts()
    paths = {name: [split.source.paths[at] for at in split.indices.tolist()] for name, split in data.splits.items()
             if split.source.paths}  # fmt: skip
    if len(paths) == len(data.splits) and kind != "video":
        _photographs(found, data, paths, cfg.data.get("resize") or cfg.data.image_size)
        assert found.headers is not None
        doubles = same_files(paths, found.headers.bytes)
    elif isinstance(train.source, ShardSource):
        _in_shards(found, data, cfg.data.get("resize") or cfg.data.image_size)
        doubles = same_images(data.splits)
    else:
        doubles = same_rows({name: list(row_hashes(split)) for name, split in data.splits.items()})
    facts["doubles"] = _doubles(data, doubles)
    facts["series"] = series(data)
    facts["texts"] = texts(data)
    if kind == "row":
        found.columns, found.target = columns_of(data), target_of(data)
        facts["columns"] = [_column(column, found.target) for column in found.columns]
        facts["correlations"] = compared(found.columns, found.target)


def _other_files(skipped: Sequence[Skipped]) -> list[dict[str, Any]]:
    """What is in a folder and taken for no sample, by kind."""
    kinds: dict[str, list[Skipped]] = {}
    for entry in skipped:
        if entry.kind and entry.line is None:
            kinds.setdefault(entry.kind, []).append(entry)
    return [
        {"kind": kind, "number": how_many(entries), "example": _absolute(entries[0].file)}
        for kind, entries in kinds.items()
    ]


def _column(column: Seen, target: Target | None) -> dict[str, Any]:
    told = column.facts()
    told["with_target"] = None if target is None else with_target(column, target)
    told["determines_target"] = target is not None and determines(column, target)
    return told


def _photographs(found: Look, data: Samples, paths: dict[str, list[Path]], covered: ImageSize) -> None:
    found.headers = Headers.of(paths)
    _headers(found, data, covered)


def _in_shards(found: Look, data: Samples, covered: ImageSize) -> None:
    """Photographs in shards: the headers of all, or of many that are evenly spaced."""
    total = sum(data.sizes().values())
    chosen = {
        name: np.unique(np.linspace(0, size - 1, max(1, min(size, HEADERS * size // total))).astype(int)).tolist()
        for name, size in data.sizes().items()
    }
    source = data.splits["train"].source
    if isinstance(source, ShardSource) and source.store.remote:
        chosen = {name: measured(split).tolist() for name, split in data.splits.items()}

    def content(name: str, number: int) -> bytes:
        split = data.splits[name]
        found: bytes = split.source.content(int(split.indices[number]))  # type: ignore[attr-defined]
        return found

    found.headers = Headers.within(chosen, content)
    looked = sum(map(len, chosen.values()))
    if looked < total:
        found.facts["notes"].append(f"the headers of {looked:,} of {total:,} photographs were looked at, evenly spaced")
    _headers(found, data, covered)


def _headers(found: Look, data: Samples, covered: ImageSize) -> None:
    assert found.headers is not None
    whole = found.facts["maps"] is not None and found.sentence.cfg.data.get("resize") is None
    found.facts["photographs"] = {**found.headers.facts(covered), "whole": whole}
    reasons = dict(found.headers.reasons)
    if found.pixels is not None:
        reasons = {("train", number): reason for number, reason in found.pixels.broken.items()} | reasons
    files = []
    for (split, number), reason in sorted(reasons.items()):
        name = targets.name_of(data, data.splits[split].targets[number])
        files.append({"split": split, "class": name, "file": _file(data, split, number), "reason": reason})
    found.facts["broken"] = {"number": len(files), "files": files[:LISTED]}


def _file(data: Samples, split: str, number: int) -> str | None:
    """Where a sample comes from, if it has a file or stands in a shard."""
    source, index = data.splits[split].source, int(data.splits[split].indices[number])
    name = name_in(source, index)
    return _absolute(name) if source.paths else name or None


def _doubles(data: Samples, doubles: Doubles) -> dict[str, Any]:
    splits = list(data.splits)
    pairs = [("train", "val"), ("train", "test"), ("val", "test")]
    whole = data.planes or data.degrade is not None  # their targets are no more than numbers
    images = data.fields[data.input] == "image" and data.target != data.input and not whole
    return {
        "within": {split: doubles.within(split) for split in splits},
        "across": [{"in": one, "of": other, "samples": doubles.across(one, other)} for one, other in pairs
                   if one in splits and other in splits],
        "contradicting": doubles.contradicting({name: split.targets for name, split in data.splits.items()})
        if images else 0,
        "examples": [
            [{"split": split, "number": number, "file": _file(data, split, number)}
             for split, number in group] for group in doubles.groups[:LISTED]
        ],
        "complete": doubles.complete,
    }  # fmt: skip


def _plain(found: Look, data: Any) -> None:
    """What a data module of the user's own tells: sizes where its sets have a length, and its first batch."""
    sizes = data.sizes()
    found.facts["splits"] = {name: {"samples": size or None, "own": True} for name, size in sizes.items()}
    found.facts["samples"] = sum(sizes.values()) if all(sizes.values()) else None
    batch = data.example_batch()
    found.facts["first_batch"] = {"samples": length(batch), "fields": {
        name: {"kind": data.fields.get(name), **_field(value)} for name, value in batch.items()
    }}  # fmt: skip


def _field(value: Any) -> dict[str, Any]:
    if not isinstance(value, Tensor):
        return {"shape": None, "type": type(value).__name__, "min": None, "max": None}
    numbers = value.detach().cpu().double().numpy()
    there = numbers[np.isfinite(numbers)]
    bounds = (float(there.min()), float(there.max())) if there.size else (None, None)
    return {
        "shape": list(value.shape), "type": str(value.dtype).removeprefix("torch."), "min": bounds[0], "max": bounds[1],
    }  # fmt: skip
