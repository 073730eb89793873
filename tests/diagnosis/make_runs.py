"""Make the real runs of `tests/diagnosis/runs` again: sentences whose case is true by how they are built.

    python tests/diagnosis/make_runs.py [NAME ...]

COULOIR_DATA names the folder of MNIST and CIFAR-10. Of each run metrics.csv, config.yaml, overrides.yaml, status.json and,
where there is one, signals.csv are kept, and its label in label.json. `seen` are the runs that were looked at while the rules
were written; the others were made afterwards and only measured.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

RUNS = Path(__file__).parent / "runs"
KEPT = ("metrics.csv", "config.yaml", "overrides.yaml", "status.json", "signals.csv")
FOLDER = "data=image_folder data.channels=1 data.image_size=8 data.workers=0"
SIGNALS = "callbacks.signals.every_n_epochs=1"


@dataclass(frozen=True)
class Made:
    """A run: its sentence, the cases that are true of it, why they are, and whether it was seen before measuring."""

    words: str
    cases: tuple[str, ...]
    because: str
    seen: bool = False


HEALTHY: tuple[str, ...] = ()
TABLE: dict[str, Made] = {
    "healthy_lenet5": Made("trainer.max_epochs=20", HEALTHY, "the default sentence", seen=True),
    "healthy_moons": Made("data=moons trainer.max_epochs=15", HEALTHY, "the toy set's defaults", seen=True),
    "healthy_line": Made("data=line trainer.max_epochs=20", HEALTHY, "a line through points around a line", seen=True),
    "healthy_mixup": Made(
        "augmentation=mixup augmentation.alpha=1.0 trainer.max_epochs=20", HEALTHY,
        "mixed targets raise the training loss, which is no leak", seen=True,
    ),
    "healthy_one_cycle": Made(
        "scheduler=one_cycle optimizer=momentum scheduler.max_lr=0.1 trainer.max_epochs=20", HEALTHY, "a schedule that ends",
        seen=True,
    ),
    "healthy_early_stopping": Made(
        "trainer.max_epochs=100 callbacks.early_stopping.patience=4", HEALTHY, "stopped when it no longer improved", seen=True
    ),
    "healthy_mlp_dropout": Made(
        "model=mlp model.hidden=[128,128] model.dropout=0.5 trainer.max_epochs=30", HEALTHY,
        "dropout raises the training loss, which is no leak",
    ),
    "healthy_circles": Made("data=circles trainer.max_epochs=15", HEALTHY, "the toy set's defaults"),
    "healthy_blobs": Made("data=blobs trainer.max_epochs=10", HEALTHY, "the toy set's defaults"),
    "healthy_polynomial": Made("data=polynomial trainer.max_epochs=30", HEALTHY, "a cubic through points around a cubic"),
    "healthy_spirals": Made("data=spirals trainer.max_epochs=40", HEALTHY, "a network that is large enough, time enough"),
    "healthy_mnist": Made(
        "data=mnist data.subset=6000 trainer.max_epochs=10", HEALTHY, "LeNet-5 on its own data"
    ),
    "healthy_mnist_cosine": Made(
        "data=mnist data.subset=4000 optimizer=momentum optimizer.lr=0.02 scheduler=cosine trainer.max_epochs=12", HEALTHY,
        "a schedule that ends",
    ),
    "healthy_shift": Made(
        "augmentation=shift augmentation.pixels=1 trainer.max_epochs=40", HEALTHY, "harder images in training are no leak"
    ),
    "healthy_steps": Made(
        "model=mlp optimizer=momentum optimizer.lr=0.02 scheduler=multistep trainer.max_epochs=20 optimizer.weight_decay=0.001",
        HEALTHY, "a rate that falls in steps",
    ),
    "healthy_small_batches": Made(
        "data=moons data.samples=4000 data.batch_size=4 data.noise=0.2 trainer.max_epochs=12", HEALTHY, "noisy gradients"
    ),
    "healthy_ema": Made("averaging=ema optimizer=adamw trainer.max_epochs=25", HEALTHY, "the mean of the weights is measured"),
    "underfitting_spirals_linear": Made(
        "data=spirals model=linear trainer.max_epochs=20", ("underfitting",), "no straight line separates spirals", seen=True
    ),
    "underfitting_decay": Made(
        "optimizer.weight_decay=3.0 trainer.max_epochs=15", ("underfitting",), "weights held at zero", seen=True
    ),
    "underfitting_circles_linear": Made(
        "data=circles model=linear trainer.max_epochs=12", ("underfitting",), "no straight line separates circles"
    ),
    "underfitting_spirals_narrow": Made(
        "data=spirals data.turns=2 model.hidden=[2] trainer.max_epochs=40", ("underfitting",), "two hidden units"
    ),
    "underfitting_spirals_sgd": Made(
        "data=spirals data.turns=3 model=linear optimizer=sgd optimizer.lr=0.01 trainer.max_epochs=30", ("underfitting",),
        "no straight line separates spirals",
    ),
    "underfitting_polynomial": Made(
        "data=polynomial data.coefficients=[0,0,3] model=linear trainer.max_epochs=25 optimizer=adam optimizer.lr=0.01",
        ("underfitting",), "no straight line follows a parabola",
    ),
    "halted_early_lenet5": Made(
        "optimizer=sgd optimizer.lr=0.01 trainer.max_epochs=8", ("halted_early",), "a small rate, few epochs", seen=True
    ),
    "halted_early_mlp": Made(
        "model=mlp optimizer.lr=0.0002 trainer.max_epochs=8", ("halted_early",), "a small rate, few epochs", seen=True
    ),
    "halted_early_mnist": Made(
        "data=mnist data.subset=3000 optimizer=sgd optimizer.lr=0.01 trainer.max_epochs=6", ("halted_early",),
        "a small rate, few epochs",
    ),
    "halted_early_moons": Made(
        "data=moons optimizer=sgd optimizer.lr=0.01 trainer.max_epochs=6", ("halted_early",), "a small rate, few epochs"
    ),
    "halted_early_spirals": Made(
        "data=spirals optimizer.lr=0.001 trainer.max_epochs=10", ("halted_early",), "a quarter of the epochs that it takes"
    ),
    "halted_early_linear": Made(
        "model=linear optimizer=sgd optimizer.lr=0.001 trainer.max_epochs=20", ("halted_early",), "a small rate"
    ),
    "overfitting_moons": Made(
        "data=moons data.samples=200 data.noise=0.5 model.hidden=[256,256] trainer.max_epochs=80", ("overfitting",),
        "130 noisy points, 67,000 weights", seen=True,
    ),
    "overfitting_cifar10": Made(
        "data=cifar10 data.subset=600 model=mlp model.hidden=[256,256] trainer.max_epochs=25 optimizer.lr=0.001",
        ("overfitting",), "500 photographs, 850,000 weights", seen=True,
    ),
    "overfitting_circles": Made(
        "data=circles data.samples=200 data.noise=0.35 data.val_fraction=0.3 model.hidden=[256,256] trainer.max_epochs=60", ("overfitting",),
        "noisy points, 67,000 weights",
    ),
    "overfitting_random": Made(
        "data=synthetic data.samples=600 data.image_size=8 data.val_fraction=0.3 model=mlp model.hidden=[256] trainer.max_epochs=30",
        ("overfitting",), "labels that nothing follows from, learned by heart",
    ),
    "overfitting_cifar10_lenet5": Made(
        "data=cifar10 data.subset=1500 data.val_fraction=0.2 model.dropout=0 trainer.max_epochs=40", ("overfitting",),
        "1,200 photographs, a rate for 50,000",
    ),
    "overfitting_polynomial": Made(
        "data=polynomial data.samples=60 data.noise=0.5 data.val_fraction=0.4 model=mlp model.hidden=[256,256] trainer.max_epochs=150",
        ("overfitting",), "30 noisy points, 66,000 weights",
    ),
    "memorisation_cifar10": Made(
        "data=cifar10 data.subset=600 model=mlp model.hidden=[256] optimizer=sgd optimizer.lr=0.01 trainer.max_epochs=80 data.batch_size=64",
        ("memorisation",), "540 photographs, 790,000 weights, small steps that end before the validation loss rises", seen=True,
    ),
    "memorisation_cifar10_wide": Made(
        "data=cifar10 data.subset=1000 data.val_fraction=0.3 model=mlp model.hidden=[1024] optimizer=sgd optimizer.lr=0.02 "
        "trainer.max_epochs=60", ("memorisation",), "700 photographs, three million weights, small steps",
    ),
    "memorisation_cifar10_deep": Made(
        "data=cifar10 data.subset=800 data.val_fraction=0.4 model=mlp model.hidden=[256,256] optimizer=momentum optimizer.lr=0.002 "
        "trainer.max_epochs=50 data.batch_size=64", ("memorisation",), "480 photographs, 850,000 weights, small steps",
    ),
    "memorisation_random": Made(
        "data=synthetic data.samples=800 data.image_size=8 data.val_fraction=0.4 model=mlp model.hidden=[256] optimizer=sgd "
        "optimizer.lr=0.02 trainer.max_epochs=60", ("memorisation",), "labels that nothing follows from, small steps",
    ),
    "unrepresentative_training_digits": Made(
        "data.subset=120 data.val_fraction=0.5 model=mlp model.hidden=[512] optimizer=sgd optimizer.lr=0.05 data.batch_size=16 "
        "trainer.max_epochs=60", ("unrepresentative_training",), "60 digits stand for all", seen=True,
    ),
    "unrepresentative_training_mnist": Made(
        "data=mnist data.subset=200 data.val_fraction=0.5 model=mlp model.hidden=[512] optimizer=sgd optimizer.lr=0.02 "
        "data.batch_size=16 trainer.max_epochs=60", ("unrepresentative_training",), "100 digits stand for all",
    ),
    "unrepresentative_training_noise": Made(
        f"{FOLDER} data.root=noisy_validation model=mlp optimizer=sgd optimizer.lr=0.05 optimizer.weight_decay=0.01 trainer.max_epochs=30",
        ("unrepresentative_training",), "trained on clean digits, validated on noisy ones", seen=True,
    ),
    "unrepresentative_training_dark": Made(
        f"{FOLDER} data.root=dark_validation model=mlp optimizer=sgd optimizer.lr=0.05 optimizer.weight_decay=0.01 trainer.max_epochs=30",
        ("unrepresentative_training",), "trained on bright digits, validated on dark ones",
    ),
    "unrepresentative_training_shifted": Made(
        f"{FOLDER} data.root=shifted_validation model=linear optimizer=sgd optimizer.lr=0.02 optimizer.weight_decay=0.01 trainer.max_epochs=30",
        ("unrepresentative_training",), "trained on centred digits, validated on a half of them shifted by a pixel",
    ),
    "unrepresentative_validation_moons": Made(
        "data=moons data.samples=2000 data.val_fraction=0.005 data.noise=0.4 optimizer.lr=0.02 trainer.max_epochs=40",
        ("unrepresentative_validation",), "nine validation samples of two classes that overlap", seen=True,
    ),
    "unrepresentative_validation_digits": Made(
        "data.val_fraction=0.01 model=mlp optimizer=momentum data.batch_size=8 optimizer.lr=0.02 model.dropout=0.5 "
        "augmentation=noise trainer.max_epochs=30", ("unrepresentative_validation",), "sixteen validation samples", seen=True,
    ),
    "unrepresentative_validation_circles": Made(
        "data=circles data.samples=2000 data.val_fraction=0.005 data.noise=0.3 optimizer.lr=0.02 trainer.max_epochs=40",
        ("unrepresentative_validation",), "nine validation samples of two classes that overlap",
    ),
    "unrepresentative_validation_spirals": Made(
        "data=spirals data.samples=2000 data.val_fraction=0.005 data.noise=0.08 optimizer.lr=0.02 trainer.max_epochs=60",
        ("unrepresentative_validation",), "nine validation samples of three classes that overlap",
    ),
    "unrepresentative_validation_mixed": Made(
        "data=moons data.samples=3000 data.val_fraction=0.004 data.noise=0.6 data.seed=7 optimizer=rmsprop optimizer.lr=0.01 "
        "trainer.max_epochs=30", ("unrepresentative_validation",), "ten validation samples of two classes that overlap",
    ),
    "unrepresentative_validation_line": Made(
        "data=polynomial data.samples=600 data.val_fraction=0.01 data.noise=0.5 model=mlp optimizer.lr=0.02 trainer.max_epochs=40",
        ("unrepresentative_validation",), "five validation samples",
    ),
    "rate_too_large_lenet5": Made("optimizer.lr=0.1 trainer.max_epochs=15", ("rate_too_large",), "fifty times the default", seen=True),
    "rate_too_large_momentum": Made(
        "model=mlp optimizer=momentum optimizer.lr=3 trainer.max_epochs=15", ("rate_too_large",), "sixty times the default", seen=True
    ),
    "rate_too_large_rmsprop": Made(
        "model=mlp optimizer=rmsprop optimizer.lr=0.3 trainer.max_epochs=15", ("rate_too_large",), "300 times the default"
    ),
    "rate_too_large_moons": Made(
        "data=moons optimizer=nesterov optimizer.lr=1.5 trainer.max_epochs=15", ("rate_too_large",), "thirty times the default"
    ),
    "rate_too_large_mnist": Made(
        "data=mnist data.subset=3000 optimizer=momentum optimizer.lr=0.5 optimizer.momentum=0.97 trainer.max_epochs=10",
        ("rate_too_large",), "ten times the default, and a momentum that adds 33 steps up",
    ),
    "rate_too_large_diverged": Made(
        "data=line optimizer=sgd optimizer.lr=5 trainer.max_epochs=10", ("rate_too_large",), "the loss becomes infinite"
    ),
    "vanishing_sigmoid": Made(
        f"model=mlp model.hidden={[32] * 12} model.activation=sigmoid trainer.max_epochs=8 optimizer=sgd {SIGNALS}",
        ("vanishing_gradients",), "twelve sigmoids, each of which divides the gradient by four or more", seen=True,
    ),
    "vanishing_sigmoid_30": Made(
        f"data=circles model=mlp model.hidden={[16] * 30} model.activation=sigmoid trainer.max_epochs=8 {SIGNALS}",
        ("vanishing_gradients",), "thirty sigmoids",
    ),
    "vanishing_small_weights": Made(
        f"model=mlp model.hidden={[64] * 15} model.activation=tanh initializer=normal initializer.std=0.05 optimizer=sgd "
        f"trainer.max_epochs=8 {SIGNALS}", ("vanishing_gradients",), "weights that halve the signal in each of fifteen layers",
    ),
    "exploding_wide_weights": Made(
        f"model=mlp model.hidden={[64] * 12} model.activation=leaky_relu initializer=normal initializer.std=0.6 optimizer=sgd "
        f"optimizer.lr=1e-12 trainer.max_epochs=8 {SIGNALS}", ("exploding_gradients",), "each layer multiplies the signal by three",
        seen=True,
    ),
    "exploding_tanh": Made(
        f"model=mlp model.hidden={[64] * 20} model.activation=tanh initializer=normal initializer.std=1.0 optimizer=sgd "
        f"optimizer.lr=1e-5 trainer.max_epochs=8 {SIGNALS}", ("exploding_gradients",), "wide weights in twenty layers",
    ),
    "exploding_relu": Made(
        f"data=moons model=mlp model.hidden={[64] * 14} initializer=normal initializer.std=0.5 optimizer=sgd "
        f"optimizer.lr=1e-12 trainer.max_epochs=8 {SIGNALS}", ("exploding_gradients",), "each layer multiplies the signal by three",
    ),
    "dead_zeros": Made(
        f"model=mlp initializer=zeros trainer.max_epochs=8 {SIGNALS}", ("dead_units",), "nothing passes zero weights", seen=True
    ),
    "dead_negative": Made(
        f"data=circles initializer=constant initializer.value=-0.5 trainer.max_epochs=8 {SIGNALS}", ("dead_units",),
        "negative weights on what the first rectifiers leave",
    ),
    "dead_zeros_deep": Made(
        f"data=spirals model.hidden=[64,64,64] initializer=zeros trainer.max_epochs=8 {SIGNALS}", ("dead_units",),
        "nothing passes zero weights",
    ),
    "leak_noisy_training": Made(
        f"{FOLDER} data.root=noisy_training model=linear trainer.max_epochs=20 optimizer=sgd optimizer.lr=0.05", ("leak_suspected",),
        "trained on digits in noise, validated on clean ones", seen=True,
    ),
    "leak_wrong_labels": Made(
        f"{FOLDER} data.root=wrong_labels model=mlp trainer.max_epochs=15 optimizer=sgd optimizer.lr=0.1", ("leak_suspected",),
        "half of the training labels are wrong, those of validation right",
    ),
    "leak_easy_validation": Made(
        f"{FOLDER} data.root=easy_validation model=linear trainer.max_epochs=20 optimizer=sgd optimizer.lr=0.05", ("leak_suspected",),
        "validated on a few shapes that the training set holds as well, many times",
    ),
}  # fmt: skip


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


def make(name: str, made: Made) -> None:
    """Train one sentence and keep its small files."""
    import couloir
    from couloir.errors import Diverged

    words = [*made.words.replace(", ", ",").split(), "trainer=cpu", "logger=csv"]
    shutil.rmtree("outputs", ignore_errors=True)
    try:
        couloir.train(couloir.compose(words))
    except Diverged as error:
        print(f"{name}: {error.fact}")
    run, kept = Path("outputs/latest").resolve(), RUNS / name
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for file in KEPT:
        if (run / file).is_file():
            shutil.copy(run / file, kept / file)
    (kept / "overrides.yaml").write_text("".join(f"- {word}\n" for word in words))
    label = {"cases": list(made.cases), "because": made.because, "seen": made.seen}
    (kept / "label.json").write_text(json.dumps(label, indent=2) + "\n")


def main() -> None:
    """Make the runs that are named, or all."""
    names = sys.argv[1:] or list(TABLE)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_folders(Path())
        for name in names:
            try:
                make(name, TABLE[name])
                print("made", name, flush=True)
            except Exception as error:
                print("FAILED", name, error, flush=True)


if __name__ == "__main__":
    main()
