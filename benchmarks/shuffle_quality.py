"""How well a block-wise order mixes: ImageNet-22k on paper, with the order and the tables that training uses.

    python benchmarks/shuffle_quality.py

No picture is read. A table of 14.2 million samples is written as `data=shards` writes it (400 MB for the time being),
so that restart, memory and orders are those of the real set: classes of 650 images, sorted in the shards, or shuffled.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from couloir.data.shards.arrays import write_arrays
from couloir.data.shards.index import ROW
from couloir.data.shards.rows import _mapped
from couloir.machine import peak_memory, resident_memory

SAMPLES, CLASSES = 14_197_122, 21_841
A_SHARD = 2_500
BATCH = 64 * 64
"""Samples of a step: 64 GPUs, 64 each."""
DRAWN = 40
"""Batches from all over an epoch whose classes are counted."""


def table(file: Path, labels: np.ndarray) -> list[str]:
    """Write the table of the whole set; the names of its shards."""
    starts = np.append(np.arange(0, SAMPLES, A_SHARD), SAMPLES)
    rows = np.zeros(A_SHARD, ROW)
    rows["size"], rows["offset"] = 110_000, np.arange(A_SHARD) * 111_616 + 512

    def parts() -> Any:
        for begin, end in itertools.pairwise(starts):
            part = rows[: end - begin].copy()
            part["mark"] = np.arange(begin, end)
            yield part

    facts = {"classes": None, "labels": CLASSES, "faults": [], "faulty": 0, "others": {}, "named": None}
    names = np.zeros(len(starts), np.int64)
    write_arrays(file, facts, {
        "starts": (np.int64, len(starts), [starts]), "name_starts": (np.int64, len(starts), [names]),
        "table": (ROW, SAMPLES, parts()), "labels": (np.int32, SAMPLES, [labels]), "names": (np.uint8, 0, []),
    })  # fmt: skip
    return [f"/nowhere/train-{number:06}.tar" for number in range(len(starts) - 1)]


def distinct(order: Any, labels: np.ndarray, batch: int) -> float:
    """The mean number of classes in a batch."""
    epoch = order.epoch(0)
    places = np.linspace(0, SAMPLES - batch, DRAWN).astype(int)
    return float(np.mean([len(np.unique(labels[epoch.take(at, at + batch).numpy()])) for at in places]))


def expected(block: int, window: int, batch: int) -> float:
    """How many blocks of a window a batch has samples of, which in sorted shards are of about as many classes.

    A batch draws `batch` of the `block * window` samples without replacement; that it has none of a block's is
    hypergeometric.
    """
    from scipy.stats import hypergeom

    return float(window * (1 - hypergeom.pmf(0, block * window, block, batch)))


def main() -> None:
    """Write the table, measure what a restart does with it, and count classes."""
    import torch

    from couloir.config.world import World
    from couloir.data.decode import Reading
    from couloir.data.division import Division
    from couloir.data.shards.reading import Disk
    from couloir.data.shards.source import ShardSource
    from couloir.data.source import Loaded

    torch.set_num_threads(1)
    labels = (np.arange(SAMPLES) * CLASSES // SAMPLES).astype(np.int32)
    mixed = np.random.default_rng(0).permutation(labels)
    with tempfile.TemporaryDirectory() as root:
        file = Path(root) / "paper.rows"
        shards = table(file, labels)
        print(f"{len(shards):,} shards, table {file.stat().st_size / 1e6:,.0f} MB without names")
        before, began = resident_memory(), time.perf_counter()
        rows = _mapped(shards, file)
        source = ShardSource(rows, Disk(), 224, 256, Reading(3), 64, 256)
        loaded = Loaded(source, by_number=True)
        splits, _ = Division(False, True, 0, 0.01, 0.01, None, None, None).splits(loaded)
        split = splits["train"]
        order = source.orders(split.indices, 0, World(0, 64, 0, 8))
        order.epoch(0).take(0, BATCH)
        seconds = time.perf_counter() - began
        print(f"table opened, divided, first batch chosen: {seconds:.2f} s, "
              f"{(peak_memory() - before) / 2**20:,.0f} MiB at most")  # fmt: skip
        began = time.perf_counter()
        order.epoch(1).take(8_000_000, 8_000_000 + BATCH)
        print(f"a batch in the middle of another epoch: {1e3 * (time.perf_counter() - began):.0f} ms")
        whole = np.arange(SAMPLES)
        for name, classes in (("sorted", labels), ("shuffled", mixed)):
            full = CLASSES * (1 - (1 - 1 / CLASSES) ** BATCH)
            for block, window in ((64, 256), (16, 1024), (8, 2048), (1, 16_384)):
                from couloir.data.shards.order import BlockOrder, block_bounds

                found = distinct(BlockOrder(block_bounds(rows.starts, block, whole), window, 0), classes, BATCH)
                blocks = f", from {expected(block, window, BATCH):,.0f} blocks of a window" if name == "sorted" else ""
                print(f"{name:9} block={block:<3} window={window:<6} {found:7,.0f} classes in a batch{blocks}; "
                      f"full shuffle {full:,.0f}", flush=True)  # fmt: skip
    print(json.dumps({"python": sys.version.split()[0], "numpy": np.__version__}))


if __name__ == "__main__":
    main()
