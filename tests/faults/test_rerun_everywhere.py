"""A run that is made again is the same to the last bit: every family of networks, every data set, every choice of every
other group, with and without worker processes, and within a multirun.

The whole runs with COULOIR_ALL_FAULTS=1 (`make faults`), a few of each otherwise.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archives import make_shards
from PIL import Image
from scipy.io import savemat

import couloir
from couloir.cli.main import run as command
from couloir.config import tree
from couloir.config.needs import fitting
from folders_of_masks import make_masks
from photographs import make_photographs
from waiting import LONGEST

WHOLE = os.environ.get("COULOIR_ALL_FAULTS") == "1"
BRIEF = ["deterministic=true", "trainer=cpu", "trainer.max_epochs=2", "trainer.log_every_n_steps=1"]
"""Two epochs: the second begins with the state that the first leaves."""
COLOUR = ["data=synthetic", "data.samples=64", "data.batch_size=12"]
FAMILIES = {
    "alexnet": (63, "alexnet_2012"),
    "convnet": (32, "convnet"),
    "densenet": (16, "densenet_cifar model.depth=10 model.dropout=0.2"),
    "fractalnet": (32, "fractalnet"),
    "googlenet": (31, "googlenet"),
    "highway": (16, "highway"),
    "hog": (16, "hog_linear"),
    "inception": (75, "inception_v3"),
    "kernels": (16, "kernels"),
    "lenet": (28, "lenet5 model.dropout=0.2"),
    "lenet_1": (28, "lenet1 model.original=true"),
    "lenet_1998": (28, "lenet5_1998"),
    "linear": (8, "linear"),
    "mlp": (8, "mlp model.dropout=0.3"),
    "mobilenet": (32, "mobilenet_v2"),
    "network_in_network": (32, "network_in_network"),
    "preact_resnet": (16, "wide_resnet model.depth=10 model.width=1 model.dropout=0.3"),
    "resnet": (32, "resnet18"),
    "resnet9": (32, "resnet9"),
    "resnet_cifar": (16, "resnet20"),
    "squeezenet": (32, "squeezenet"),
    "vgg": (32, "vgg11"),
    "xception": (32, "xception"),
    "zfnet": (63, "zfnet"),
}
"""Family -> side of the images and a choice of the family, small, with dropout where it has some."""
OF_MAPS = {
    "encoder_decoder": "encoder_decoder model.encoder=squeezenet data=digits_on_photographs",
    "saliency_net": "saliency_net model.width=0.06 model.prior=learned data=digits_on_photographs data.target=saliency",
    "deeplab": "deeplabv3_resnet50 data=digits_on_photographs data.image_size=32",
    "super_resolution": "espcn model.depth=1 data=super_resolution data.images=digits",
    "convnet": "convnet model.decoder=unpool model.dropout=0.2 data=digits_on_photographs",
    "fcn": "fcn8s model.width=0.1 data=digits_on_photographs",
    "segnet": "segnet model.depth=2 model.width=4 data=digits_on_photographs",
    "unet": "unet model.depth=2 model.width=4 data=digits_on_photographs",
}
"""Family whose answer is an image -> a choice of the family, small, and the data."""
OF_TASKS = {
    "autoencoder": "conv_autoencoder model.width=4 model.batch_norm=true task=reconstruction task.corruption=gaussian",
    "vae": "conv_vae model.width=4 task=vae",
    "gan": "dcgan model.width=4 model.spectral_norm=true task=gan task.conditional=true",
}
"""Family that is made for a task of its own -> a choice of the family, small, and the task."""
DATA = {
    "digits": "data=digits data.subset=90 augmentation=mixup",
    "moons": "data=moons data.subset=90",
    "circles": "data=circles data.subset=90 data.label_noise=0.4",
    "blobs": "data=blobs data.subset=90",
    "spirals": "data=spirals data.subset=90",
    "line": "data=line",
    "by_hand": "data=by_hand data.samples=40",
    "polynomial": "data=polynomial",
    "synthetic": "data=synthetic data.samples=90 data.permute_pixels=true augmentation=flip_crop",
    "csv": "data=csv data.path={root}/table.csv data.target=kind augmentation=mixup",
    "csv of numbered classes": "data=csv data.path={root}/table.csv data.target=number data.ignore=[kind]",
    "csv regression": "data=csv data.path={root}/table.csv data.target=y data.ignore=[kind]",
    "csv of all kinds of columns": "data=csv data.path={root}/kinds.csv data.target=kind model.embedding=3",
    "iris fold": "data=iris data.folds=4 data.fold=1 data.sampler=balanced loss.class_weights=balanced",
    "linnerud": "data=linnerud",
    "npz": "data=npz data.path={root}/arrays.npz",
    "image_folder": "data=image_folder data.root={root}/photos data.image_size=32",
    "pictures": "data=pictures data.root={root}/photos data.image_size=32",
    "image_folder windows": "data=image_folder data.root={root}/photos data.image_size=32 augmentation=imagenet",
    "image_folder files": "data=image_folder data.root={root}/photos data.image_size=32 data.memory_budget=0 "
    "augmentation=inception",
    "imagenet": "data=imagenet data.root={root}/photos data.image_size=32 data.num_classes=2 data.memory_budget=0 "
    "augmentation=alexnet",
    "shards": "data=shards data.path={root}/shards data.image_size=16 data.block=4 data.window=3 augmentation=imagenet",
    "image_masks": "data=image_masks data.root={root}/masks data.image_size=24",
    "image_masks files": "data=image_masks data.root={root}/masks data.image_size=24 data.memory_budget=0 "
    "data.test_pattern=00",
    "digits_on_photographs": "data=digits_on_photographs data.samples=60 data.image_size=24 data.target=saliency",
    "super_resolution": "data=super_resolution data.images=folder data.root={root}/photos data.image_size=24",
    "noisy": "data=noisy data.images=digits data.subset=60 data.kind=poisson",
    "mnist": "data=mnist data.root={data}/mnist data.subset=90 augmentation=affine",
    "svhn": "data=svhn data.root={root}/svhn data.extra=true",
    "cifar10": "data=cifar10 data.root={data}/cifar10 data.subset=90 augmentation=cutmix",
}
SEQUENCES = {
    "descriptions": "data=descriptions data.carry_state=true model=lstm model.width=8 model.dropout=0.2",
    "python_reference": "data=python_reference data.length=20 model=gpt model.width=8 model.layers=1 model.heads=2 "
    "model.dropout=0.2",
    "text_file": "data=text_file data.path={root}/text.txt data.length=20 model=wavenet model.width=4 "
    "model.max_dilation=2",
    "digits_rows": "data=digits_rows model=gru model.width=8 model.bidirectional=true loss.label_smoothing=0.1",
    "text_csv": "data=text_csv data.path={root}/texts.csv model=transformer_encoder model.width=8 model.layers=1",
    "description_sentences": "data=description_sentences model=conv1d",
    "reference_sentences": "data=reference_sentences model=text_cnn",
    "frames": "data=frames data.root={root}/videos data.frames=4 data.image_size=8 model=conv3d",
    "sine_series": "data=sine_series model=dlinear",
    "series_csv": "data=series_csv data.path={root}/table.csv data.target=[p,q] data.ignore=[kind] data.length=8 "
    "data.horizon=2 model=linear_forecast",
    "sequences_csv": "data=sequences_csv data.path={root}/groups.csv data.group=id data.target=kind model=lstm "
    "model.width=4",
    "reversed": "data=reversed model=transformer model.width=8 model.layers=1 model.heads=2 model.dropout=0.2",
    "moving_digits": "data=moving_digits data.count=60 model=conv3d",
}
"""Data set whose samples have steps -> it, and a small network over steps: together one of each module."""
QUICK = {("csv of numbered classes", 0), ("image_folder files", 2)}
OTHERS = (
    "augmentation", "averaging", "finetune", "initializer", "loss", "momentum_schedule", "optimizer", "scheduler",
    "tta",
)  # fmt: skip
NOT_ALONE = {"finetune=greedy", "initializer=custom", "initializer=from_run", "trainer=gpu", "trainer=fsdp"}


def cases(names: Any) -> list[tuple[str, int]]:
    """Names and numbers of workers."""
    return [(name, workers) for name in names for workers in (0, 2) if WHOLE or (name, workers) in QUICK]


def rerun(run: Path, outputs: Path, *words: str) -> dict[str, Any]:
    """The verdict of a rerun that must succeed."""
    assert command(["rerun", str(run), f"output_dir={outputs}", *words]) == 0
    newest = max((outputs / "rerun").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    verdict: dict[str, Any] = json.loads((newest / "rerun.json").read_text())
    return verdict


def assert_repeats(words: list[str], outputs: Path, *again: str) -> None:
    run = couloir.train(couloir.compose([*BRIEF, *words, f"output_dir={outputs}"])).dir
    verdict = rerun(run, outputs, *again)
    assert verdict["verdict"] == "identical", verdict
    # A recipe may keep the last checkpoint alone.
    kept = {f"checkpoints/{file.name}" for file in (run / "checkpoints").glob("*t.ckpt")}
    assert "checkpoints/last.ckpt" in kept
    assert set(verdict["compared"]) == {"status.json", "metrics.csv", "tensorboard", "result.json", *kept}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    make_photographs(root / "photos", train=24, other=8)
    make_masks(root / "masks", 24)
    make_shards(root / "shards", 30, 20)
    rows = [f"{i % 7},{(i * i) % 11 / 3},{'ab'[i % 2]},{3 * (i % 3) + 1},{i / 9 + (i % 5)}" for i in range(80)]
    steps = [f"s{number},{'ab'[number % 2]},{step}" for number in range(12) for step in range(3 + number % 4)]
    (root / "groups.csv").write_text("id,kind,x\n" + "\n".join(steps))
    (root / "table.csv").write_text("p,q,kind,number,y\n" + "\n".join(rows))
    kinds = [f"{i / 7 if i % 9 else ''},{'xyz'[i % 3]},2024-01-{i % 28 + 1:02},{'ab'[i % 2]}" for i in range(80)]
    (root / "kinds.csv").write_text("p,letter,day,kind\n" + "\n".join(kinds))
    (root / "svhn").mkdir()
    for place, part in enumerate(("train", "extra", "test")):
        digits = np.arange(40, dtype=np.uint8)[:, None] % 10 + 1
        pixels = np.random.default_rng(place).integers(256, size=(32, 32, 3, 40), dtype=np.uint8)
        savemat(root / f"svhn/{part}_32x32.mat", {"X": pixels, "y": digits})
    (root / "text.txt").write_text("To be, or not to be, that is the question. " * 60)
    texts = [f"{'good fine' if i % 3 else 'bad poor'} film number {i % 7},{i % 3 > 0}" for i in range(60)]
    (root / "texts.csv").write_text("text,kind\n" + "\n".join(texts))
    for place in range(24):
        video = root / f"videos/{'ab'[place % 2]}/v{place}"
        video.mkdir(parents=True)
        for frame in range(4):
            Image.new("RGB", (8, 8), (place * 9, frame * 60, 90 * (place % 2))).save(video / f"f{frame}.png")
    np.savez(root / "arrays.npz", x=np.arange(320.0).reshape(80, 4) % 17, y=np.arange(80) % 3)
    return root


def test_every_family_of_networks_is_among_those_repeated() -> None:
    targets = [path.read_text().partition("_target_: couloir.model.")[2] for path in tree.choices("model").values()]
    families = {target.partition(".")[0] for target in targets if target}
    assert families - {"timm", "sequence"} == {*FAMILIES, *OF_MAPS, *OF_TASKS}, (
        "the networks of an extra are tested with what stands in for it"
    )
    modules = {target.split(".")[1] for target in targets if target.startswith("sequence.")}
    chosen = {re.search(r"model=(\w+)", words)[1] for words in SEQUENCES.values()}  # type: ignore[index]
    files = [tree.choices("model")[name].read_text() for name in chosen]
    repeated = {text.partition("model.sequence.")[2].partition(".")[0] for text in files}
    assert modules == repeated


def test_every_data_set_is_among_those_repeated() -> None:
    named = {words.split()[0].removeprefix("data=") for words in [*DATA.values(), *SEQUENCES.values()]}
    same_code = {"cifar100", "fashion_mnist", "wine", "breast_cancer", "diabetes", "parquet"}
    same_code |= {"membrane", "pedestrians", "sums"}
    assert set(tree.choices("data")) - named == same_code, "read by the code of others"


@pytest.mark.parametrize(("family", "workers"), cases(FAMILIES))
def test_a_network_learns_the_same_again(family: str, workers: int, tmp_path: Path) -> None:
    side, words = FAMILIES[family]
    choice = [f"model={words.split()[0]}", *words.split()[1:]]
    mixed = ["augmentation=mixup", f"data.image_size={side}", f"data.workers={workers}"]
    assert_repeats([*COLOUR, *choice, *mixed], tmp_path)


@pytest.mark.parametrize(("family", "workers"), cases(OF_MAPS))
def test_a_network_of_maps_learns_the_same_again(family: str, workers: int, tmp_path: Path) -> None:
    words = f"model={OF_MAPS[family]} data.subset=24 data.batch_size=8 data.workers={workers}"
    assert_repeats(words.split(), tmp_path)


@pytest.mark.parametrize(("family", "workers"), cases(OF_TASKS))
def test_a_network_of_a_task_of_its_own_learns_the_same_again(family: str, workers: int, tmp_path: Path) -> None:
    words = f"model={OF_TASKS[family]} data.image_size=16 data.num_classes=4 data.workers={workers}"
    assert_repeats([*COLOUR, *words.split()], tmp_path)


@pytest.mark.parametrize("name", [name for name in SEQUENCES if WHOLE or name == "descriptions"])
def test_a_network_over_steps_learns_the_same_again(name: str, sets: Path, tmp_path: Path) -> None:
    words = f"{SEQUENCES[name].format(root=sets)} data.subset=24 data.batch_size=8"
    assert_repeats(words.split(), tmp_path)


@pytest.mark.parametrize(("name", "workers"), cases(DATA))
def test_a_data_set_is_read_the_same_again(name: str, workers: int, sets: Path, tmp_path: Path, request: Any) -> None:
    data = request.getfixturevalue("couloir_data") if "{data}" in DATA[name] else None
    words = DATA[name].format(root=sets, data=data).split()
    images = any(word in DATA[name] for word in ("image", "cifar", "svhn", "synthetic", "shards"))
    net = ["model=convnet", "model.dropout=0.2"] if images else []
    if any(word in DATA[name] for word in ("masks", "on_photographs")):
        net = ["model=unet", "model.depth=1", "model.width=4"]
    if any(word in DATA[name] for word in ("super_resolution", "noisy", "pictures")):
        net = []
    assert_repeats([*words, *net, "data.batch_size=12", f"data.workers={workers}"], tmp_path)


@pytest.mark.skipif(not WHOLE, reason="COULOIR_ALL_FAULTS=1 moves the data as well")
@pytest.mark.parametrize("name", ["image_folder files", "image_folder windows"])
def test_the_number_of_workers_and_the_place_of_the_data_change_no_number(
    name: str, sets: Path, tmp_path: Path
) -> None:
    words = [*DATA[name].format(root=sets).split(), "model=mlp", "data.batch_size=12", "data.workers=1"]
    (tmp_path / "moved").symlink_to(sets / "photos")
    assert_repeats(words, tmp_path, f"data.root={tmp_path / 'moved'}", "data.workers=0")


@pytest.mark.skipif(not WHOLE, reason="COULOIR_ALL_FAULTS=1 repeats every choice of every group")
@pytest.mark.parametrize(
    "choice",
    [f"{group}={name}" for group in OTHERS for name in tree.choices(group) if f"{group}={name}" not in NOT_ALONE],
)
def test_any_choice_is_made_the_same_again(choice: str, tmp_path: Path) -> None:
    group, _, name = choice.partition("=")
    words = ["data=synthetic", "data.samples=64", "data.batch_size=12", "model=convnet", "data.num_classes=4"]
    if group == "loss" and name not in fitting("loss", {"fields": {"label": "label"}}):
        words = ["data=line", "data.target_scaling=unit"]
        if name not in fitting("loss", {"fields": {"value": "value"}}):
            target = "saliency" if name == "ssim" else "masks"
            words = [*DATA["digits_on_photographs"].split()[:3], f"data.target={target}", "model=unet", "model.depth=2"]
    if group == "loss" and name == "lenet_map":
        words = ["data=digits", "data.subset=64", "model=lenet5_1998"]
    if choice == "momentum_schedule=linear" or choice == "momentum_schedule=sutskever":
        words.append("optimizer=nesterov")
    if group == "averaging" and name == "swa":
        words.append("averaging.start=1")
    if choice == "scheduler=plateau":
        words.append("scheduler.patience=0")
    if choice == "finetune=pattern":
        words.append("finetune.frozen=[0]")
    if choice == "tta=dense":
        words.append("tta.margin=1.0")
    assert_repeats([*words, choice], tmp_path)


@pytest.mark.skipif(not WHOLE, reason="COULOIR_ALL_FAULTS=1 repeats every recipe")
@pytest.mark.parametrize("name", tree.choices("experiment"))
def test_a_recipe_is_made_the_same_again(name: str, sets: Path, couloir_data: Path, tmp_path: Path) -> None:
    text = tree.choices("experiment")[name].read_text()
    words = [f"experiment={name}", "scale=smoke", "data.subset=24", "trainer.limit_train_batches=2"]
    words += ["model.weights=null"] * ("weights: imagenet" in text)  # which would have to be downloaded
    if "/finetune: greedy" in text:  # until the network is whole
        words += ["finetune.epochs_per_layer=1", "trainer.max_epochs=8"]
    roots = {
        "image_folder": sets / "photos",
        "imagenet": sets / "photos",
        "mnist": couloir_data / "mnist",
        "cifar10": couloir_data / "cifar10",
    }
    words += [f"data.root={root}" for data, root in roots.items() if f"/data: {data}\n" in text]
    words += [f"data.path={sets / 'text.txt'}"] * ("/data: text_file\n" in text)
    if "override /initializer: from_run" in text:
        first = ["experiment=vgg11_2014", *words[1:]]
        words += [f"initializer.run={couloir.train(couloir.compose([*first, f'output_dir={tmp_path}'])).dir}"]
    try:
        assert_repeats(words, tmp_path)
    finally:
        for checkpoint in tmp_path.rglob("*.ckpt"):  # gigabytes
            checkpoint.unlink()


@pytest.mark.skipif(not WHOLE, reason="COULOIR_ALL_FAULTS=1 makes a multirun in a process of its own")
def test_jobs_of_a_multirun_are_repeated_alone_and_in_another_process(sets: Path, tmp_path: Path) -> None:
    words = [*BRIEF, f"data.root={sets / 'photos'}", "data=image_folder", "data.image_size=32", "data.batch_size=12"]
    words += ["data.workers=0,2", "augmentation=imagenet,photometric", "model=convnet", "model.dropout=0.2"]
    for seed in ("1", "2"):  # of the hashes of words, and so of the order of sets
        subprocess.run(
            [sys.executable, "-m", "couloir", "train", "-m", *words],
            cwd=tmp_path, env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True, timeout=LONGEST,
        )  # fmt: skip
    jobs = sorted(path.parent for path in tmp_path.glob("outputs/sweep/*/*/config.yaml"))
    assert len(jobs) == 8
    for job in jobs:
        assert rerun(job, tmp_path / "outputs")["verdict"] == "identical"
