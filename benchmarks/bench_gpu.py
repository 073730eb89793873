"""On a GPU: ResNet-50 against the reference loop, the share of the GPU's matrix rate, and CIFAR-10 to 94%.

    python benchmarks/bench_gpu.py [synthetic] [real] [cifar10]

`synthetic`: `train model=resnet50 data=synthetic` against `plain_resnet50.py`, bf16, without compilation, in turn.
`real`: the same network over a folder of photographs, decoded and from the cache; needs IMAGES, a folder of classes.
`cifar10`: `train experiment=cifar10_94` with five seeds: mean accuracy and seconds; needs COULOIR_DATA. Without a GPU
nothing is measured, and the numbers in docs/performance.md stay empty.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from measure import BIN, last_json, run, write_report

BATCH, ROUNDS, SEEDS = 256, 3, 5
MULTIPLY_ADDS = 4.09e9
"""Of ResNet-50 forward for one image of 224x224; a step is three times that, and an operation is half of one."""


def matrix_rate(side: int = 8192, repeats: int = 20) -> float:
    """The rate at which the GPU multiplies bf16 matrices, operations a second."""
    a, b = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(repeats):
        a @ b
    torch.cuda.synchronize()
    return repeats * 2 * side**3 / (time.perf_counter() - began)


def trained(*words: str) -> dict[str, Any]:
    """The result of a sentence."""
    with tempfile.TemporaryDirectory() as outputs:
        run([str(BIN / "train"), *words, f"output_dir={outputs}"])
        result: dict[str, Any] = json.loads((Path(outputs) / "latest" / "result.json").read_text())
    return result


def synthetic() -> dict[str, Any]:
    """ResNet-50 over random images, both sides in turn."""
    words = ["model=resnet50", "data=synthetic", "data.samples=20000", "data.image_size=224", "data.num_classes=1000"]
    words += [f"data.batch_size={BATCH}", "optimizer=momentum", "trainer.max_epochs=3", "trainer.limit_val_batches=1"]
    plain = [sys.executable, str(Path(__file__).with_name("plain_resnet50.py")), "--batch-size", str(BATCH)]
    sides: dict[str, list[float]] = {"train": [], "plain": []}
    for _ in range(ROUNDS):
        sides["plain"].append(float(last_json(run(plain).output)["images_per_second"]))
        sides["train"].append(trained(*words, "trainer.limit_test_batches=1")["train/samples_per_second"])
    speed = {side: statistics.median(rates) for side, rates in sides.items()}
    rate = matrix_rate()
    return {
        "images_per_second": speed,
        "bf16_operations_per_second": rate,
        "share_of_matrix_rate": speed["train"] * 6 * MULTIPLY_ADDS / rate,
        "ratio: train / plain": speed["train"] / speed["plain"],
    }


def real() -> dict[str, Any]:
    """ResNet-50 over photographs, from the files and from the cache."""
    root = os.environ.get("IMAGES")
    if root is None:
        return {"left out": "IMAGES names no folder of photographs"}
    words = [
        "model=resnet50",
        "data=imagenet",
        f"data.root={root}",
        f"data.batch_size={BATCH}",
        "augmentation=imagenet",
    ]
    words += ["optimizer=momentum", "trainer.max_epochs=2", "data.memory_budget=0"]
    decoded = trained(*words)["train/samples_per_second"]
    cached = trained(*words, "data.cache=true")["train/samples_per_second"]
    return {"images_per_second": {"decoded": decoded, "cached": cached}, "ratio: cached / decoded": cached / decoded}


def cifar10() -> dict[str, Any]:
    """Accuracy and seconds of the recipe for CIFAR-10 over five seeds."""
    if "COULOIR_DATA" not in os.environ:
        return {"left out": "COULOIR_DATA is not set"}
    results = [trained("experiment=cifar10_94", f"seed={seed}") for seed in range(SEEDS)]
    accuracy = statistics.mean(result["tta/accuracy"] for result in results)
    seconds = statistics.mean(result["seconds"] for result in results)
    return {"accuracy": accuracy, "seconds": seconds, "ratio: accuracy / 0.94": accuracy / 0.94}


def main() -> None:
    """Measure what is named, or all of it."""
    if not torch.cuda.is_available():
        print("no GPU: nothing was measured")
        return
    numbers: dict[str, Any] = {"gpu": torch.cuda.get_device_name()}
    for part in sys.argv[1:] or ["synthetic", "real", "cifar10"]:
        numbers[part] = globals()[part]()
        print(part, json.dumps(numbers[part], indent=2))
    write_report(__file__, numbers)
    for part, found in numbers.items():
        for name, value in found.items() if isinstance(found, dict) else ():
            if name.startswith("ratio"):
                print(f"{name} ({part}) = {value:.2f}")


if __name__ == "__main__":
    main()
