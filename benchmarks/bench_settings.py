"""What each execution setting is worth: `train` as it is, against `train` with one setting changed.

    python benchmarks/bench_settings.py [mlp] [lenet5] [resnet20]

All forms in turn, several rounds, each run a process of its own; the ratio is the speed as it is over the speed with
the setting changed, so that more than 1 means that the default is the faster choice. MNIST and CIFAR-10 are taken from
the folder that COULOIR_DATA names, random images of their size where it is not set.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from measure import BIN, run, write_report

ROUNDS = 3
CHANGES = {
    "channels_last": "trainer.channels_last=false",
    "fused optimizer": "trainer.fused=false",
    "short steps": "trainer.short_steps=false",
    "no compilation": "trainer.compile=true",
    "float32": "trainer.precision=bf16-mixed",
}
"""Setting -> how it is turned off, or on where the default is off."""


def sentences() -> dict[str, list[str]]:
    """Network -> the sentence."""
    real = "COULOIR_DATA" in os.environ
    grey = ["data=mnist"] if real else ["data=synthetic", "data.samples=76126", "data.channels=1", "data.image_size=28"]
    colour = ["data=cifar10"] if real else ["data=synthetic", "data.samples=4000", "data.image_size=32"]
    return {
        "mlp": ["model=mlp", "model.hidden=[64,128,64]", *grey, "trainer.max_epochs=4"],
        "lenet5": ["model=lenet5", *grey, "data.subset=20000", "trainer.max_epochs=4"],
        "resnet20": ["model=resnet20", *colour, "data.subset=3000", "trainer.max_epochs=3"],
    }


def speed(sentence: list[str]) -> float:
    """Samples a second of the median epoch after the first."""
    with tempfile.TemporaryDirectory() as outputs:
        run([str(BIN / "train"), *sentence, "data.batch_size=128", f"output_dir={outputs}"])
        result = json.loads((Path(outputs) / "latest" / "result.json").read_text())
    return float(result["train/samples_per_second"])


def main() -> None:
    """Measure the named networks, or all, and print the ratios."""
    numbers = {}
    for name in sys.argv[1:] or sentences():
        sentence = sentences()[name]
        forms = {"as it is": sentence, **{label: [*sentence, change] for label, change in CHANGES.items()}}
        rates: dict[str, list[float]] = {label: [] for label in forms}
        for _ in range(ROUNDS):
            for label, words in forms.items():
                rates[label].append(speed(words))
        medians = {label: statistics.median(found) for label, found in rates.items()}
        numbers[name] = {"samples_per_second": medians}
        print(f"{name}: {medians['as it is']:,.0f} samples/s")
        for label in CHANGES:
            ratio = numbers[name][f"ratio: {label}"] = medians["as it is"] / medians[label]
            print(f"ratio: {name}: as it is / {CHANGES[label]} = {ratio:.2f}")
    write_report(__file__, numbers)


if __name__ == "__main__":
    main()
