"""Growth: time a sample and peak memory as the data grows 1, 4 and 16 times.

    python benchmarks/bench_scaling.py [memory] [files]

`memory`: images that are kept as bytes, one epoch of a small network over 10,000, 40,000 and 160,000 of them. `files`:
JPEGs that are decoded batch by batch, 400, 1,600 and 6,400 of them. Memory is counted beyond the bytes of the kept
images themselves. The last line has the largest time and memory over the smallest: 1 is flat.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from measure import BIN, run, write_report

GROWTH = (1, 4, 16)
SIDE = 28


def measured(sentence: list[str], kept: float = 0.0) -> tuple[float, float]:
    """Microseconds a training sample, and peak MiB beyond what is `kept`, of one sentence."""
    with tempfile.TemporaryDirectory() as outputs:
        finished = run([str(BIN / "train"), *sentence, "trainer.max_epochs=2", f"output_dir={outputs}"])
        result = json.loads((Path(outputs) / "latest" / "result.json").read_text())
    return 1e6 / result["train/samples_per_second"], finished.peak_mib - kept


def memory(scale: int) -> tuple[float, float]:
    """A set that is kept in memory."""
    samples = 10_000 * scale
    sentence = ["model=mlp", "data=synthetic", f"data.samples={samples}", "data.channels=1", f"data.image_size={SIDE}"]
    return measured([*sentence, "data.batch_size=128"], kept=samples * SIDE**2 / 2**20)


def files(scale: int) -> tuple[float, float]:
    """A folder that is decoded as it is read."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_images(root, 400 * scale)
        sentence = ["model=convnet", "data=image_folder", f"data.root={root}", "data.memory_budget=0"]
        return measured([*sentence, "data.image_size=64", "data.batch_size=32"])


def write_images(root: Path, count: int) -> None:
    """Two classes of made-up photographs, smooth as photographs are."""
    rng = np.random.default_rng(0)
    for number in range(count):
        folder = root / ("bright" if number % 2 else "dark")
        folder.mkdir(exist_ok=True)
        coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=90)


def main() -> None:
    """Measure the kinds that are named, or both."""
    numbers = {}
    for kind in sys.argv[1:] or ["memory", "files"]:
        found = {scale: globals()[kind](scale) for scale in GROWTH}
        for scale, (microseconds, peak) in found.items():
            print(f"{kind:7} x{scale:<3} {microseconds:9.1f} us a sample  peak {peak:7.0f} MiB")
        times, peaks = zip(*found.values(), strict=True)
        numbers[kind] = {
            "growth": GROWTH,
            "microseconds_a_sample": times,
            "peak_mib": peaks,
            "time, largest / smallest": times[-1] / times[0],
            "memory, largest / smallest": peaks[-1] / peaks[0],
        }
    write_report(__file__, numbers)
    for kind, found in numbers.items():
        time, peak = found["time, largest / smallest"], found["memory, largest / smallest"]
        print(f"ratio: {kind}: time {time:.2f}, memory {peak:.2f}")


if __name__ == "__main__":
    main()
