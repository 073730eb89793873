"""Make the real runs of `tests/diagnosis/runs` again, from the sentences of `runs.yaml`.

    python tests/diagnosis/make_runs.py [NAME ...]

COULOIR_DATA names the folder of MNIST and CIFAR-10. Of each run the small files are kept that a diagnosis reads.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import yaml

HERE = Path(__file__).parent
RUNS = HERE / "runs"
KEPT = ("metrics.csv", "config.yaml", "status.json", "signals.csv")


def make_folders(root: Path) -> None:
    """Folders of the embedded digits, of which training and validation are not alike."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    random = np.random.default_rng(0)
    order = random.permutation(len(digits.target))
    images, labels = digits.images[order] / 16, digits.target[order]
    splits = {"train": slice(0, 1000), "val": slice(1000, 1400), "test": slice(1400, 1797)}

    def write(name: str, change: dict[str, object], mislabel: float = 0.0) -> None:
        for split, part in splits.items():
            x, y = images[part], labels[part].copy()
            x = change[split](x, y) if split in change else x  # type: ignore[operator]
            if split == "train" and mislabel:
                wrong = random.random(len(y)) < mislabel
                y[wrong] = random.integers(0, 10, wrong.sum())
            for number, (image, label) in enumerate(zip(x, y, strict=True)):
                file = root / name / split / str(label) / f"{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray((np.clip(image, 0, 1) * 255).astype(np.uint8)).save(file)

    def noise(size: float) -> object:
        return lambda x, y: x + random.normal(0, size, x.shape)

    def shifted(x: object, y: object) -> object:
        moved = np.roll(x, 1, axis=2)  # type: ignore[call-overload]
        return np.where((random.random(len(moved)) < 0.5)[:, None, None], moved, x)

    def copies(x: object, y: object) -> object:
        first = [images[splits["train"]][labels[splits["train"]] == label][0] for label in y]  # type: ignore[union-attr]
        return np.stack(first)

    write("noisy_validation", {"val": noise(0.35)})
    write("dark_validation", {"val": lambda x, y: 0.35 * x})
    write("shifted_validation", {"val": shifted})
    write("noisy_training", {"train": noise(0.6)})
    write("wrong_labels", {}, mislabel=0.5)
    write("easy_validation", {"train": noise(0.5), "val": copies})
    write("mostly_wrong_labels", {}, mislabel=0.6)
    write("noisier_training", {"train": noise(0.7)})
    write("partly_inverted", {"val": lambda x, y: np.where((random.random(len(x)) < 0.2)[:, None, None], 1 - x, x)})


def make(name: str, words: list[str]) -> None:
    """Train one sentence and keep its small files."""
    import couloir
    from couloir.errors import Diverged

    shutil.rmtree("outputs", ignore_errors=True)
    try:
        couloir.train(couloir.compose(words))
    except Diverged as error:
        print(f"{name}: {error.fact}")
    run, kept = Path("outputs/latest").resolve(), RUNS / name
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    makes = any(word in ("task=vae", "task=gan") for word in words)
    for file in (*KEPT, *(["result.json"] if makes else [])):
        if (run / file).is_file():
            shutil.copy(run / file, kept / file)
    (kept / "overrides.yaml").write_text("".join(f"- {word}\n" for word in words))


def main() -> None:
    """Make the runs that are named, or all."""
    table = yaml.safe_load((HERE / "runs.yaml").read_text())
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_folders(Path())
        for name in sys.argv[1:] or table:
            make(name, [*table[name]["words"].split(), "trainer=cpu", "logger=csv"])
            print("made", name, flush=True)


if __name__ == "__main__":
    main()
