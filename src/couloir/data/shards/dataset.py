"""Photographs in tar shards, as WebDataset writes them: `KEY.jpg` and `KEY.cls` beside each other, by an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from couloir.config.image_size import ImageSize
from couloir.data.classes import check_choice, chosen_classes
from couloir.data.images import check_crop, colour, reading_of
from couloir.data.shards.naming import is_remote, name_of, shards_of
from couloir.data.shards.reading import Disk
from couloir.data.shards.remote import TRIES, Remote, check_url
from couloir.data.shards.rows import Rows, rows_of
from couloir.data.skipped import Skipped
from couloir.errors import CouloirError
from couloir.machine import cache_folder

if TYPE_CHECKING:
    from couloir.data.samples import Samples


def shards(
    path: str | None = None,
    train: str | list[str] | None = None,
    val: str | list[str] | None = None,
    test: str | list[str] | None = None,
    block: int = 64,
    window: int = 256,
    resize: ImageSize | None = None,
    cache_size: float = 50.0,
    cache_dir: str | None = None,
    tries: int = 6,
    on_error: str = "raise",
    max_pixels: int | None = None,
    background: str | list[int] = "white",
    bits: int | None = None,
    classes: Sequence[str | int] | None = None,
    **keys: Any,
) -> Samples:
    """The shards as `Samples`.

    Args:
        path: a folder with `train-*.tar`, perhaps `val-*.tar` and `test-*.tar`.
        train: instead of it, the training shards: a pattern such as `train-{000000..000146}.tar`, or several.
        val: those of the validation; None: a part of the training samples.
        test: those of the test; None: a part of the training samples.
        block: samples that lie beside each other and stay together when blocks are put into an order.
        window: blocks whose samples are mixed.
        resize: pixels that the shorter side of each photograph is scaled to; None: the images' size.
        cache_size: GiB that blocks of shards on servers may take on this machine.
        cache_dir: the folder of the caches, where these are, and indices; None: `$COULOIR_CACHE` or
            `~/.cache/couloir`.
        tries: how often a server is asked before it is given up.
        on_error: `raise`, or `skip`: what a sample that cannot be used does; or `count`: what the index cannot use is
            left out, and no picture is decoded to see whether it can be.
        max_pixels: photographs of more pixels are refused.
        background: the colour that shows where a photograph is transparent.
        bits: bits that greys of more than 8 bits use; None: as many as each file says.
        classes: the classes that take part, by name or number; None: all.
        keys: those of `couloir.data.samples.Samples`.
    """
    from couloir.data.cache import GIB
    from couloir.data.samples import Samples
    from couloir.data.shards.blocks import Blocks
    from couloir.data.shards.source import ShardFrames, ShardSource
    from couloir.data.shards.undecodable import without_undecodable
    from couloir.data.source import Loaded

    reading = reading_of(
        {"channels": keys["channels"], "max_pixels": max_pixels, "background": background, "bits": bits}
    )
    stated = {
        "path": path, "train": train, "val": val, "test": test, "cache_dir": cache_dir, "on_error": on_error,
        "tries": tries, "block": block, "window": window, "cache_size": cache_size, "sampler": keys.get("sampler"),
    }  # fmt: skip

    def load() -> Loaded:
        store, found = listed(stated)
        image_size = keys["image_size"]

        def blocks(rows: Rows) -> Blocks | None:
            return None if isinstance(store, Disk) else Blocks(
                rows, store, block, cache_folder(cache_dir), cache_size * GIB
            )  # fmt: skip

        names, skipped = class_names(found["train"]), left_out(found)
        if on_error == "skip":
            for split, rows in found.items():
                frames = ShardFrames(rows, store, resize or image_size, reading, blocks(rows))
                found[split], broken = without_undecodable(rows, frames, split, names, cache_folder(cache_dir))
                skipped += broken
        sources = {
            split: ShardSource(rows, store, image_size, resize or image_size, reading, block, window, blocks(rows))
            for split, rows in found.items()
        }
        loaded = Loaded(sources["train"], sources.get("val"), sources.get("test"), names)
        loaded.skipped = skipped
        loaded.by_number = True
        return loaded

    return Samples(load, classes=classes, **keys)


def listed(keys: Mapping[str, Any]) -> tuple[Disk | Remote, dict[str, Rows]]:
    """What reads the shards, and the samples of each split that there is.

    Raises:
        CouloirError: a shard cannot be used.
    """
    caches, skip = cache_folder(keys.get("cache_dir")), keys.get("on_error") in ("skip", "count")
    places = shards_of(keys)
    store = _store(places, keys)
    found: dict[str, Rows] = {}
    for split, shards in places.items():
        found[split] = rows_of(shards, store, caches, skip, found.get("train"))
    if store.remote:
        _check_room(found["train"], keys)
    return store, found


def _store(places: Mapping[str, list[str]], keys: Mapping[str, Any]) -> Disk | Remote:
    """What reads the shards of all splits.

    Raises:
        CouloirError: some are on a server, and some on a disk; a URL has a password; the samples are drawn from all
            over shards on a server.
    """
    shards = [shard for each in places.values() for shard in each]
    remote = [shard for shard in shards if is_remote(shard)]
    if not remote:
        return Disk()
    if len(remote) < len(shards):
        local = next(shard for shard in shards if not is_remote(shard))
        raise CouloirError(
            f"Some shards are on a server, such as {name_of(remote[0])}, and some on a disk, such as {name_of(local)}.",
            next_step="put all of them in one place",
        )
    for shard in remote:
        check_url(shard)
    if keys.get("sampler") == "balanced":
        raise CouloirError(
            "data.sampler=balanced draws samples from all over the shards, and a server is read block by block.",
            next_step="leave it out (loss.class_weights=balanced weighs the classes), or copy the shards to a disk",
        )
    return Remote(keys.get("tries") or TRIES)


def _check_room(rows: Rows, keys: Mapping[str, Any]) -> None:
    """Whether the blocks of two windows fit into the cache: those in use, and those to come."""
    last = rows.place(len(rows) - 1)
    each = (last[1] + last[2]) / max(1, len(rows) - int(rows.starts[-2]))  # of the last shard, with what stands between
    block, window = keys.get("block") or 1, keys.get("window") or 1
    needed = 2 * each * min(block * window, len(rows))
    limit = float(keys.get("cache_size") or 0) * 2**30
    if needed > limit:
        raise CouloirError(
            f"Two windows of data.window={window} blocks take about {needed / 2**30:.3g} GiB on this machine, and "
            f"data.cache_size allows {limit / 2**30:g}.",
            next_step=f"data.cache_size={needed / 2**30 * 1.2:.3g}, or a smaller data.window",
        )


def class_names(rows: Rows) -> list[str]:
    """The names of the classes; numbers where they have none."""
    return rows.classes or [str(label) for label in range(rows.num_labels)]


def left_out(found: Mapping[str, Rows]) -> list[Skipped]:
    """What of all shards is used for no sample."""
    return [entry for split, rows in found.items() for entry in rows.skipped(split)]


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Index the shards that are not indexed yet, and count the classes.

    Raises:
        CouloirError: no shards, a shard that cannot be used, or another number of classes than stated.
    """
    check_crop(keys)
    colour(keys.get("background", "white"))
    _, found = listed(keys)
    names = class_names(found["train"])
    stated = keys.get("num_classes")
    chosen = check_choice(keys, names)
    if keys.get("classes") is None and isinstance(stated, int) and stated < len(names):
        raise CouloirError(
            f"The labels of the shards are those of {len(names)} classes, and data.num_classes is {stated}.",
            place=found["train"].shards[0],
            next_step="leave data.num_classes out: Couloir counts them",
        )
    if len(chosen) < 2:
        raise CouloirError(
            f"All samples are of one class, '{names[0]}': a classifier needs two or more.",
            place=found["train"].shards[0],
            next_step="add shards with other labels",
        )
    return {
        "task": "classification", "fields": {"image": "image", "label": "label"}, "num_classes": len(chosen),
        "classes": chosen,
    }  # fmt: skip


def count(keys: Mapping[str, Any]) -> tuple[int, int | None]:
    """How many samples folds are made of; there are no groups.

    Raises:
        CouloirError: a shard cannot be used.
    """
    rows = listed(keys)[1]["train"]
    if keys.get("classes") is None:
        return len(rows), None
    names = class_names(rows)
    labels = [names.index(name) for name in chosen_classes(keys["classes"], names)]
    import numpy as np

    return int(np.isin(rows.labels, labels).sum()), None
