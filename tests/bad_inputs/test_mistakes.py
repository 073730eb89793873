"""Mistakes in the sentence: exit 2, one message, no traceback, before torch is imported where that is possible."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from waiting import LONGEST

BEFORE_TORCH, AFTER_TORCH = True, False

PROGRAM = """
import sys
from couloir.cli.main import run
code = run(sys.argv[1:])
print("torch imported:", "torch" in sys.modules)
sys.exit(code)
"""


def sentence(words: list[str], directory: Path) -> tuple[int, str, bool]:
    """Run `couloir WORDS` in a directory of its own: exit code, standard error, whether torch was imported."""
    environment = {**os.environ, "COULOIR_TRACEBACK": "0"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LONGEST,
    )
    return done.returncode, done.stderr, "torch imported: True" in done.stdout


def expect_mistake(words: list[str], directory: Path, fragments: list[str], before_torch: bool = BEFORE_TORCH) -> None:
    """The sentence ends with exit 2 and one short message that holds every fragment."""
    code, message, torch_imported = sentence(["train", *words], directory)
    assert code == 2, message
    for fragment in fragments:
        assert fragment in message, message
    assert "Traceback" not in message
    assert message.count("\n") <= 4, message
    if before_torch:
        assert not torch_imported, "the mistake was known before torch was needed"
    assert not list(directory.glob("outputs/train/*")) or not before_torch, "a mistake leaves no run folder"


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (["modle=resnet50"], ["'modle'", "model=resnet50"]),
        (["model=resnet5O"], ["no model called 'resnet5O'", "did you mean model=resnet50", "train.yaml, line"]),
        (["optimizer=addam"], ["'addam'", "did you mean optimizer=adam", "choices: "]),
        (["model=mlp", "model.hiden=[3]"], ["no key 'hiden'", "did you mean model.hidden=[3]", "mlp.yaml, line"]),
        (["optimizer.lrr=0.1"], ["no key 'lrr'", "did you mean optimizer.lr=0.1"]),
        (["model=lenet5", "model.growth_rate=3"], ["no key 'growth_rate'"]),
        (["sede=3"], ["'sede'", "seed=3"]),
        (["lr=0.1"], ["'lr'", "optimizer.lr=0.1"]),
        (["optimizer.lr=fast"], ["optimizer.lr takes a number > 0, not fast", "adam.yaml, line"]),
        (["optimizer.lr=-1"], ["optimizer.lr takes a number > 0, not -1"]),
        (["data.batch_size=2.5"], ["data.batch_size takes an integer"]),
        (["data.batch_size=0"], ["data.batch_size takes an integer >= 1"]),
        (["optimizer=momentum", "optimizer.momentum=1.5"], ["optimizer.momentum takes a number in [0, 1)"]),
        (["trainer.max_epochs=many"], ["trainer.max_epochs takes an integer >= 1"]),
        (["model=mlp", "model.activation=rellu"], ["model.activation takes one of", "relu"]),
        (["seed=x"], ["seed takes an integer"]),
        (["data=csv"], ["data.path", "data.target", "add data.path=..."]),
        (["data=line", "loss=cross_entropy"], ["loss=cross_entropy does not fit data=line", "mse"]),
        (["loss=mse"], ["loss=mse does not fit data=digits", "cross_entropy"]),
        (["data=moons", "model=lenet5"], ["model=lenet5 needs images", "model=mlp"]),
        (["data=synthetic", "data.image_size=4", "model=lenet5"], ["too small for model=lenet5", "data.image_size"]),
        (["data=moons", "augmentation=flip_crop"], ["augmentation=flip_crop needs images"]),
        (["augmentation=pca_color"], ["augmentation=pca_color changes colours, and data=digits has 1 channels"]),
        (["data=mnist", "data.root=/nowhere/at/all"], ["/nowhere/at/all"]),
        (["data=cifar10", "data.root=/nowhere/at/all"], ["/nowhere/at/all"]),
        (["data=image_folder", "data.root=/nowhere/at/all"], ["/nowhere/at/all"]),
        (["model"], ["'model' is not of the form key=value"]),
        (["optimizer.lr=[1"], ["optimizer.lr"]),
        (["experiment=digits_lenet"], ["did you mean experiment=digits_lenet5"]),
        (["output_dir=/proc/nothing"], ["cannot be written", "output_dir="]),
        (["hydra.run.dir=/proc/nothing/run"], ["cannot be written"]),
        (["--nonsense"], ["--nonsense"]),
        (["--config-dir", "elsewhere"], ["--config-dir", "./conf"]),
        (["optimizer=sgd,adam"], ["names several values", "train -m"]),
        (["~scheduler"], ["has no scheduler", "scheduler=none"]),
        (["~callbacks.checkpoint"], ["callbacks.checkpoint"]),
        (["callbacks.checkpoint.monitor=val/acc"], ["val/acc is not a metric", "monitor=val/accuracy"]),
        (["-m", "optimizer=sgd,adamm"], ["'adamm'", "did you mean optimizer=adam"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_in_the_sentence_is_explained(words: list[str], fragments: list[str], tmp_path: Path) -> None:
    expect_mistake(words, tmp_path, fragments)


@pytest.mark.skipif(Path("/dev/nvidiactl").exists() or sys.platform == "darwin", reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_said(tmp_path: Path) -> None:
    expect_mistake(["trainer=gpu"], tmp_path, ["shows no GPU", "trainer=cpu"])


def test_an_output_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("in the way")
    code, message, torch_imported = sentence(["train"], tmp_path)
    assert code == 2
    assert "cannot be written" in message
    assert not torch_imported


def test_a_folder_that_holds_another_run_is_left_alone(tmp_path: Path) -> None:
    run = tmp_path / "mine"
    run.mkdir()
    (run / "status.json").write_text('{"status": "completed"}')
    expect_mistake([f"hydra.run.dir={run}"], tmp_path, ["already holds a run"])
    assert (run / "status.json").read_text() == '{"status": "completed"}'


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (200, 30, 60)).save(path)


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "photos/train/ants/1.png")
    (tmp_path / "photos/train/bees").mkdir()
    expect_mistake(["data=image_folder", "data.root=photos"], tmp_path, ["bees"])


def test_a_file_that_is_not_an_image_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "photos/train/ants/1.png")
    picture(tmp_path / "photos/train/bees/1.png")
    (tmp_path / "photos/train/bees/2.jpg").write_text("not a photograph")
    expect_mistake(["data=image_folder", "data.root=photos"], tmp_path, ["2.jpg"])


def test_an_image_that_breaks_off_is_named(tmp_path: Path) -> None:
    for number in range(8):
        picture(tmp_path / f"photos/train/ants/{number}.png")
        picture(tmp_path / f"photos/train/bees/{number}.png")
    whole = (tmp_path / "photos/train/bees/7.png").read_bytes()
    (tmp_path / "photos/train/bees/7.png").write_bytes(whole[:40])
    words = ["data=image_folder", "data.root=photos", "data.image_size=16", "model=mlp"]
    expect_mistake(words, tmp_path, ["7.png"], before_torch=AFTER_TORCH)


def mnist_files(root: Path, labels: bytes, cut: int = 0) -> None:
    root.mkdir(parents=True)
    for split in ("train", "t10k"):
        images = struct.pack(">HBBIII", 0, 8, 3, len(labels), 28, 28) + bytes(784 * len(labels))
        (root / f"{split}-images-idx3-ubyte").write_bytes(images[: len(images) - cut])
        packed = struct.pack(">HBBI", 0, 8, 1, len(labels)) + labels
        (root / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(packed))


def test_a_truncated_idx_file_is_named(tmp_path: Path) -> None:
    mnist_files(tmp_path / "mnist", bytes(range(10)) * 4, cut=100)
    expect_mistake(["data=mnist", "data.root=mnist"], tmp_path, ["images-idx3-ubyte"])


def test_a_label_outside_of_the_classes_is_named(tmp_path: Path) -> None:
    mnist_files(tmp_path / "mnist", bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12]) * 4)
    expect_mistake(["data=mnist", "data.root=mnist"], tmp_path, ["12"])


@pytest.mark.parametrize(
    ("table", "words", "fragments"),
    [
        ("x,y\n1,0\nabc,1\n3,0\n", ["data.target=y"], ["abc", "'x'", "table.csv"]),
        ("x,y\n1,0\n,1\n3,0\n", ["data.target=y"], ["'x'", "table.csv"]),
        ("x,y\n1,0\n2,1\n", ["data.target=z"], ["'z'"]),
        ("", ["data.target=y"], ["table.csv"]),
        ("x,y\n" + "1,5\n2,0\n3,1\n" * 9, ["data.target=y", "data.num_classes=3"], ["5"]),
        ("x,y\n1\n2,1\n", ["data.target=y"], ["table.csv", "line 2"]),
    ],
    ids=["text in a column", "empty cell", "no target", "empty file", "label too large", "ragged"],
)
def test_a_table_that_cannot_be_learned_from_is_explained(
    table: str, words: list[str], fragments: list[str], tmp_path: Path
) -> None:
    (tmp_path / "table.csv").write_text(table)
    expect_mistake(["data=csv", "data.path=table.csv", *words], tmp_path, fragments)


def test_a_table_that_is_not_there_is_said(tmp_path: Path) -> None:
    expect_mistake(["data=csv", "data.path=gone.csv", "data.target=y"], tmp_path, ["gone.csv"])


def test_a_network_of_the_users_that_does_not_fit_is_explained(tmp_path: Path) -> None:
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/wrong.yaml").write_text("# Wrong.\n_target_: wrong.Wrong\nwidth: 3  # int >= 1; units\n")
    (tmp_path / "wrong.py").write_text(
        "from torch import nn\n\n\nclass Wrong(nn.Sequential):\n"
        "    def __init__(self, width):\n        super().__init__(nn.Flatten(), nn.Linear(64, width))\n"
    )
    expect_mistake(["model=wrong", "model.width=0"], tmp_path, ["model.width takes an integer >= 1"])
    expect_mistake(["model=wrong"], tmp_path, ["(2, 3)", "(2, 10)"], before_torch=AFTER_TORCH)
    expect_mistake(["model=wrong", "+model.hight=4"], tmp_path, ["hight"], before_torch=AFTER_TORCH)


def test_a_target_that_does_not_exist_is_said(tmp_path: Path) -> None:
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/gone.yaml").write_text("# Gone.\n_target_: gone.Net\n")
    expect_mistake(["model=gone"], tmp_path, ["gone.Net"], before_torch=AFTER_TORCH)


def test_a_configuration_that_is_not_yaml_is_said(tmp_path: Path) -> None:
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/torn.yaml").write_text("# Torn.\n_target_: [x\nk: {\n")
    code, message, _ = sentence(["train", "model=torn"], tmp_path)
    assert code == 2
    assert "YAML" in message


@pytest.mark.parametrize(
    "words", [["lsit"], ["list", "modle"], ["list", "model", "resnet5"], ["summary", "model=resnet5"]]
)
def test_the_other_verbs_explain_too(words: list[str], tmp_path: Path) -> None:
    code, message, _ = sentence(words, tmp_path)
    assert code == 2
    assert "did you mean" in message
    assert "Traceback" not in message


def test_the_traceback_is_shown_on_request(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "train", "optimizer.lr=-1"],
        cwd=tmp_path,
        env={**os.environ, "COULOIR_TRACEBACK": "1"},
        capture_output=True,
        text=True,
        timeout=LONGEST,
    )
    assert "Traceback" in done.stderr
