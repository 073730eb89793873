"""The historic recipes do what their papers say, and each runs from the first step to the views of the test."""

from __future__ import annotations

import copy
import csv
import math
import os
import zipfile
from pathlib import Path
from typing import IO, Any

import pytest
import torch
from omegaconf import OmegaConf

import couloir
from couloir.config import tree
from couloir.config.compose import compose_sentence
from couloir.record.checkpoint import EMPTY
from networks import make_heads_small

PHOTOGRAPHS = [
    "alexnet_2012", "zfnet_2013", "googlenet_2014", "inception_v3_2015", "resnet50_2015", "xception_2016",
    "mobilenet_2017", "densenet121_2017",
]  # fmt: skip
SMALL = ["cifar10_94", "densenet_bc_cifar_2017", "keras_vgg_like", "lenet5_1998"]
IMAGES_OUT = {
    "digits_saliency": [],
    "unpooling_or_upsampling": [],
    "unet_membrane": ["data.root={data}/membrane"],
    "super_resolution_x2": ["data.root={data}/cifar10"],
    "pedestrians_segmentation": [
        "data.root={data}/pedestrians", "model.weights={data}/weights/squeezenet1_0-imagenet.pth",
    ],
}  # fmt: skip
MAKING = {
    "vae_mnist": ["data.root={data}/mnist"],
    "autoencoder_mnist": ["data.root={data}/mnist"],
    "denoising_mnist": ["data.root={data}/mnist"],
    "gan_mnist": ["data.root={data}/mnist"],
    "dcgan_cifar10": ["data.root={data}/cifar10"],
    "stacked_autoencoder": [],
}
OF_STEPS = {
    "digits_lstm": [],
    "reversed_transformer": [],
    "char_gpt": ["data.path={data}/text/tinyshakespeare.txt"],
    "char_lstm": ["data.path={data}/text/tinyshakespeare.txt"],
    "sentiment_cnn": ["data.path={data}/text/rt_polarity.csv"],
}
LECTURES = [
    "random_labels",
    "convolution_by_hand",
    "known_kernels",
    "descent_on_a_bowl",
    "mse_or_cross_entropy",
    "noise",
    "plain_or_residual",
    "moving_digits_c3d",
]
LECTURES_ON_MNIST = ["permuted_pixels", "batch_norm_steps", "zoo_costs", "adversarial_mnist"]
# `make recipes` runs the whole of scale=smoke; here two steps, and a batch of each of the other splits, do.
SHORT = [
    "data.subset=24",
    "data.batch_size=2",
    "trainer.limit_train_batches=2",
    "trainer.limit_val_batches=1",
    "trainer.limit_test_batches=1",
]
WHOLE = os.environ.get("COULOIR_WHOLE_RECIPES") == "1"
SLOW_UNLESS_WHOLE = () if WHOLE else pytest.mark.slow


@pytest.fixture(autouse=True)
def few_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a gigabyte of fully-connected weights becomes little, and checkpoints stay in memory; but for the whole."""
    if WHOLE:
        return
    make_heads_small(monkeypatch)
    kept: list[dict[str, Any]] = []

    def save(content: dict[str, Any], stream: IO[bytes]) -> None:
        kept.append({**content, "state_dict": copy.deepcopy(content["state_dict"])})
        stream.write(f"{len(kept) - 1} ".encode() + EMPTY)

    monkeypatch.setattr(torch, "save", save)
    monkeypatch.setattr(torch, "load", lambda file, **_: kept[int(Path(file).read_bytes().partition(b" ")[0])])


@pytest.fixture(scope="module")
def photographs(couloir_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    with zipfile.ZipFile(couloir_data / "hymenoptera/hymenoptera.zip") as archive:
        archive.extractall(folder)
    return folder / "hymenoptera"


def smoke(words: list[str], outputs: Path) -> couloir.RunResult:
    extra = ["scale=smoke", "trainer=cpu", *([] if WHOLE else SHORT), f"output_dir={outputs}"]
    return couloir.train(couloir.compose([*words, *extra]))


def assert_went_through(result: couloir.RunResult, players: int = 1) -> None:
    """It has learned for its steps, from a loss that is a number to one that is, and was tested."""
    assert result.status == "completed"
    with (result.dir / "metrics.csv").open(newline="") as stream:
        last = list(csv.DictReader(stream))[-1]
    assert WHOLE or int(last["step"]) == 2 * players * int(last["epoch"])
    assert math.isfinite(float(last["train/loss"]))
    assert math.isfinite(result.metrics["test/loss"])


@pytest.mark.parametrize(
    "name", [*PHOTOGRAPHS[:1], *(pytest.param(name, marks=SLOW_UNLESS_WHOLE) for name in PHOTOGRAPHS[1:])]
)
def test_a_recipe_for_photographs_runs_to_its_end(name: str, photographs: Path, tmp_path: Path) -> None:
    result = smoke([f"experiment={name}", f"data.root={photographs}"], tmp_path)
    assert_went_through(result)
    views = OmegaConf.load(tree.choices("experiment")[name]).defaults
    assert ("tta/accuracy" in result.metrics) == any("override /tta" in entry for entry in views)


@pytest.mark.parametrize("name", [*SMALL[:1], *(pytest.param(name, marks=SLOW_UNLESS_WHOLE) for name in SMALL[1:])])
def test_a_recipe_for_small_images_runs_to_its_end(name: str, couloir_data: Path, tmp_path: Path) -> None:
    data = "mnist" if name == "lenet5_1998" else "cifar10"
    assert_went_through(smoke([f"experiment={name}", f"data.root={couloir_data / data}"], tmp_path))


@pytest.mark.parametrize(
    "name",
    ["unet_membrane", *(pytest.param(name, marks=SLOW_UNLESS_WHOLE) for name in IMAGES_OUT if name != "unet_membrane")],
)
def test_a_recipe_for_images_out_runs_to_its_end(name: str, couloir_data: Path, tmp_path: Path) -> None:
    words = [word.format(data=couloir_data) for word in IMAGES_OUT[name]]
    assert_went_through(smoke([f"experiment={name}", *words], tmp_path))


@pytest.mark.parametrize(
    "name", ["vae_mnist", *(pytest.param(name, marks=SLOW_UNLESS_WHOLE) for name in MAKING if name != "vae_mnist")]
)
def test_a_recipe_that_makes_things_runs_to_its_end(name: str, couloir_data: Path, tmp_path: Path) -> None:
    words = [word.format(data=couloir_data) for word in MAKING[name]]
    assert_went_through(smoke([f"experiment={name}", *words], tmp_path), players=1 + ("gan" in name))


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW_UNLESS_WHOLE) for name in OF_STEPS])
def test_a_recipe_for_sequences_runs_to_its_end(name: str, couloir_data: Path, tmp_path: Path) -> None:
    words = [word.format(data=couloir_data) for word in OF_STEPS[name]]
    assert_went_through(smoke([f"experiment={name}", *words], tmp_path))


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW_UNLESS_WHOLE) for name in LECTURES])
def test_an_example_of_a_lecture_runs_to_its_end(name: str, tmp_path: Path) -> None:
    assert_went_through(smoke([f"experiment={name}"], tmp_path))


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW_UNLESS_WHOLE) for name in LECTURES_ON_MNIST])
def test_an_example_of_a_lecture_on_mnist_runs_to_its_end(name: str, couloir_data: Path, tmp_path: Path) -> None:
    assert_went_through(smoke([f"experiment={name}", f"data.root={couloir_data / 'mnist'}"], tmp_path))


def test_a_recipe_for_a_series_runs_to_its_end(couloir_data: Path, tmp_path: Path) -> None:
    result = smoke(["experiment=etth1", f"data.path={couloir_data / 'series/ETTh1.csv'}"], tmp_path)
    assert_went_through(result)
    assert {"naive/mse", "seasonal_naive/mase"} <= result.metrics.keys()


@pytest.mark.parametrize(
    "name", ["sweep_digits", "sweep_optimizers", pytest.param("checkerboard", marks=SLOW_UNLESS_WHOLE)]
)
def test_a_recipe_for_a_sweep_is_one_run_without_m(name: str, tmp_path: Path) -> None:
    assert_went_through(smoke([f"experiment={name}"], tmp_path))


@pytest.mark.skipif(not WHOLE and os.environ.get("COULOIR_ALL_FAULTS") != "1", reason="slow: make recipes, make faults")
def test_vgg16_begins_with_what_vgg11_has_learned(photographs: Path, tmp_path: Path) -> None:
    words = [f"data.root={photographs}"]
    first = smoke(["experiment=vgg11_2014", *words], tmp_path)
    try:
        assert_went_through(first)
        assert_went_through(smoke(["experiment=vgg16_2014", "initializer.run=latest", *words], tmp_path))
    finally:
        for checkpoint in tmp_path.rglob("*.ckpt"):  # two gigabytes, in the whole
            checkpoint.unlink()


PAGE = (Path(__file__).parents[2] / "docs/recipes.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip().strip("`") for cell in line.split("|")[1:-1]]
    for line in PAGE.partition("## Lecture, paper and recipe")[2].partition("\n## ")[0].splitlines()
    if line.startswith("| `")
]
"""Recipe, key, the lecture's value, the paper's, the recipe's, and why they differ."""
NOT_NAMED = "–"


def value(cell: str) -> Any:
    return OmegaConf.create(f"cell: {cell}").cell


@pytest.mark.parametrize("name", sorted({row[0] for row in ROWS}))
def test_a_recipe_has_the_values_that_lecture_and_paper_give_or_the_page_says_why_not(name: str) -> None:
    words = ["initializer.run=x"] if name == "vgg16_2014" else []
    root = [] if name == "relu_vs_tanh" else ["data.root=x"]
    sentence = compose_sentence([f"experiment={name}", *root, *words])
    for recipe, key, lecture, paper, here, why in ROWS:
        if recipe == name:
            found = sentence.choices.get(key, OmegaConf.select(sentence.cfg, key))
            assert found == value(here), key
            given = {cell for cell in (lecture, paper) if cell != NOT_NAMED}
            assert why or given <= {here}, f"{key} differs, and docs/recipes.md does not say why"


def test_every_historic_recipe_stands_beside_its_lecture_and_paper() -> None:
    historic = {name for name in tree.choices("experiment") if name.rpartition("_")[2].isdecimal()}
    assert historic | {"keras_vgg_like", "relu_vs_tanh"} == {row[0] for row in ROWS}
    assert sum(row[2] != NOT_NAMED for row in ROWS) > 60


def test_a_smoke_form_is_small_and_the_full_form_is_not() -> None:
    full = compose_sentence(["experiment=alexnet_2012", "data.root=x"]).cfg
    small = compose_sentence(["experiment=alexnet_2012", "data.root=x", "scale=smoke"]).cfg
    assert (full.data.image_size, full.data.subset, full.trainer.max_epochs) == (224, None, 90)
    assert (small.data.image_size, small.data.subset, small.trainer.max_epochs) == (64, 160, 1)
    assert (
        compose_sentence(["experiment=alexnet_2012", "data.root=x", "scale=smoke", "data.subset=9"]).cfg.data.subset
        == 9
    )
