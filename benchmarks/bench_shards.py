"""Growth of data=shards: index, restart, first batch, time a sample and peak memory with 10,000 to 1,000,000 samples.

    python benchmarks/bench_shards.py [--samples 10000 100000 1000000] [--folder FOLDER]

The samples are JPEGs of 16 x 16 pixels that all differ, 10,000 in a shard: 2 kB each in the archives, so that a million
take 2 GB of disk. Each set has 1,000 samples to validate and 1,000 to test on. The order of an epoch is that of the
whole set; with 1,000,000 samples an epoch ends after 300 batches of 128, as with 100,000. All is done in one process
(data.workers=0), so that its peak is that of everything. The last lines have the largest over the smallest: 1 is flat.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import simplejpeg

from measure import BIN, last_json, run, write_report

SAMPLES = (10_000, 100_000, 1_000_000)
A_SHARD = 10_000
CLASSES = 10
SIDE = 16
BATCH, BATCHES = 128, 300
BLOCK = 512


def member(name: str, content: bytes) -> bytes:
    """A member of a ustar archive: tarfile's own headers take three times as long."""
    header = bytearray(BLOCK)
    header[: len(name)] = name.encode()
    header[100:156] = b"0000644\0" + b"0000000\0" * 2 + f"{len(content):011o}\0".encode() + b"00000000000\0" + b" " * 8
    header[156:157], header[257:265] = b"0", b"ustar\00000"
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header) + content + bytes(-len(content) % BLOCK)


def write(folder: Path, split: str, count: int, first: int) -> None:
    """Shards of one split: pictures whose brightness is that of their class, each with a corner of its own."""
    rng = np.random.default_rng(first)
    for number, start in enumerate(range(0, count, A_SHARD)):
        with (folder / f"{split}-{number:06}.tar").open("wb") as stream:
            for sample in range(start, min(count, start + A_SHARD)):
                label = int(rng.integers(CLASSES))
                pixels = np.full((SIDE, SIDE, 3), 20 * label + 20, np.uint8)
                pixels[:8, :8] = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                picture = simplejpeg.encode_jpeg(pixels, quality=85)
                stream.write(
                    member(f"{first + sample:09}.jpg", picture) + member(f"{first + sample:09}.cls", b"%d" % label)
                )
            stream.write(bytes(2 * BLOCK))


def phases(folder: Path) -> None:
    """In a process of its own: index, index again, make the data ready, and hand out a first batch; prints JSON."""
    from couloir.data.shards.dataset import listed, shards
    from couloir.machine import peak_memory

    keys = {"path": str(folder)}
    seconds = {}

    def timed(name: str, began: float) -> float:
        seconds[name] = time.perf_counter() - began
        return time.perf_counter()

    began = time.perf_counter()
    _, found = listed(keys)
    began = timed("index", began)
    listed(keys)
    timed("index again", began)
    rows = len(found["train"])
    bytes_each = sum(file.stat().st_size for file in folder.glob("train-*.index")) / rows
    indexed = peak_memory() / 2**20
    import torch  # noqa: F401  not a part of what is measured

    from couloir.data.samples import Samples  # noqa: F401

    began = time.perf_counter()
    data = shards(
        str(folder), task="classification", channels=3, image_size=SIDE, num_classes=CLASSES, batch_size=BATCH,
        workers=0, mean=[0.5] * 3, std=[0.2] * 3,
    )  # fmt: skip
    data.setup()
    loader = data.train_dataloader()
    began = timed("set up", began)
    next(iter(loader))
    began = timed("first batch", began)
    again = data.train_dataloader()
    again.load_state_dict({"epoch": 7, "position": max(0, len(again) - 3)})
    next(iter(again))
    began = timed("first batch of a resumed epoch", began)
    data.fingerprint()
    timed("fingerprint", began)
    print(
        json.dumps(
            {"samples": rows, "seconds": seconds, "index bytes a sample": bytes_each, "peak of indexing, MiB": indexed}
        )
    )


def measured(root: Path, samples: int) -> dict[str, object]:
    """One size: its phases, and a training."""
    folder = root / str(samples)
    folder.mkdir()
    began = time.perf_counter()
    for split, count, first in (("train", samples, 0), ("val", 1000, 10**8), ("test", 1000, 2 * 10**8)):
        write(folder, split, count, first)
    print(f"{samples:9,} samples written in {time.perf_counter() - began:.0f} s", flush=True)
    found = last_json(run([sys.executable, __file__, "--phases", str(folder)]).output)
    found["peak of phases, MiB"] = run([sys.executable, __file__, "--phases", str(folder)]).peak_mib
    words = [
        "model=mlp", "model.hidden=[32]", "data=shards", f"data.path={folder}", f"data.image_size={SIDE}",
        "data.workers=0", f"data.batch_size={BATCH}", "trainer.max_epochs=2", "trainer.threads=1",
        f"trainer.limit_train_batches={BATCHES}", f"output_dir={root}",
    ]  # fmt: skip
    finished = run([str(BIN / "train"), *words])
    result = json.loads((root / "latest" / "result.json").read_text())
    found["microseconds a sample"] = 1e6 / result["train/samples_per_second"]
    found["CPU microseconds a sample, start included"] = (
        1e6 * finished.cpu_seconds / (2 * min(samples, BATCHES * BATCH))
    )
    found["peak, MiB"] = finished.peak_mib
    return found


def main() -> None:
    """Measure all sizes, one after the other."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--samples", type=int, nargs="+", default=list(SAMPLES))
    asked.add_argument("--folder", help="where the shards are written for the time being; left out: that of the system")
    asked.add_argument("--phases", help=argparse.SUPPRESS)
    chosen = asked.parse_args()
    if chosen.phases:
        phases(Path(chosen.phases))
        return
    numbers = {}
    for samples in chosen.samples:
        with tempfile.TemporaryDirectory(dir=chosen.folder) as root:
            found = numbers[samples] = measured(Path(root), samples)
        told = ", ".join(f"{name} {value:.2f} s" for name, value in found["seconds"].items())  # type: ignore[attr-defined]
        print(f"{samples:9,} {found['microseconds a sample']:7.1f} us a sample  peak {found['peak, MiB']:6.0f} MiB  "
              f"CPU {found['CPU microseconds a sample, start included']:.0f} us a sample with the start")  # fmt: skip
        print(f"          {told}", flush=True)
    write_report(__file__, {"sizes": numbers})
    first, last = numbers[chosen.samples[0]], numbers[chosen.samples[-1]]
    for name in ("microseconds a sample", "peak, MiB"):
        print(f"ratio: {name}: {last[name] / first[name]:.2f}")  # type: ignore[operator]


if __name__ == "__main__":
    main()
