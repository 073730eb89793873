"""A look at a folder of photographs, against a plain loop that opens each header with Pillow.

    python benchmarks/bench_data.py [--images 100000] [--rounds 3]

Makes a folder of JPEGs of 32 x 24 pixels in ten classes, all different, and measures in turn, in one process and from
warm files: a loop over all files that reads format, mode, size and orientation with Pillow, and all that
`couloir data --json` does once torch is imported: the check, the folder's listing, the splits, all headers, the
channels' statistics from 2,000 photographs, and the search for doubles.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from couloir.config import resolvers
from couloir.inspect.dataset.facts import look_at
from couloir.inspect.dataset.sentence import sentence_of
from measure import write_report

ORIENTATION = 0x0112


def make_folder(root: Path, count: int) -> None:
    """`count` JPEGs in ten classes."""
    noise = np.random.default_rng(0).integers(256, size=(200, 24, 32, 3), dtype=np.uint8)
    for number in range(count):
        pixels = noise[number % len(noise)].copy()
        for bit in range(20):  # large enough marks that they survive the compression
            pixels[bit // 4 * 4 : bit // 4 * 4 + 4, bit % 4 * 8 : bit % 4 * 8 + 8] = 255 * (number >> bit & 1)
        folder = root / f"class_{number % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=60 + number % 30)
        (folder / f"{number:06}.jpg").write_bytes(stream.getvalue())


def plain_loop(root: Path) -> int:
    """What one writes by hand."""
    found = []
    for path in sorted(root.rglob("*.jpg")):
        with Image.open(path) as image:
            found.append((image.format, image.mode, image.size, image.getexif().get(ORIENTATION, 1)))
    return len(found)


def look(root: Path) -> dict[str, Any]:
    """What `couloir data` does."""
    resolvers.forget()  # each look is the first one
    return look_at(*sentence_of(["data=image_folder", f"data.root={root}", "data.image_size=32", "model=mlp"])).facts


def timed(work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Seconds that one waits and that the processor works, and what came of it."""
    began, worked = time.perf_counter(), time.process_time()
    result = work()
    return {"waited": time.perf_counter() - began, "worked": time.process_time() - worked}, result


def main() -> None:
    """Make the folder, and measure both sides in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    plain: list[dict[str, float]] = []
    looks: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "photographs"
        make_folder(root, asked.images)
        for _ in range(asked.rounds):
            seconds, count = timed(lambda: plain_loop(root))
            plain.append(seconds)
            seconds, facts = timed(lambda: look(root))
            looks.append(seconds)
            assert facts["samples"] == count == asked.images
            assert not any(facts["doubles"]["within"].values())
            for name, seconds in (("plain loop", plain[-1]), ("couloir data", looks[-1])):
                print(f"{name}: {seconds['waited']:.2f} s, of the processor {seconds['worked']:.2f} s", flush=True)
    ratios = {kind: _median(looks, kind) / _median(plain, kind) for kind in ("waited", "worked")}
    print(f"couloir data / plain loop, medians: {ratios['waited']:.2f}, of the processor {ratios['worked']:.2f}")
    write_report(__file__, {"images": asked.images, "plain_loop": plain, "couloir_data": looks, "ratios": ratios})


def _median(rounds: list[dict[str, float]], kind: str) -> float:
    return statistics.median(seconds[kind] for seconds in rounds)


if __name__ == "__main__":
    main()
