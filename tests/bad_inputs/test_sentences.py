"""Mistakes in the sentence: exit 2, one message, no traceback, before torch is imported where that is possible."""

from __future__ import annotations

import gzip
import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from PIL import Image

from couloir.cli.main import run
from couloir.errors import CouloirError
from folders_of_masks import make_masks
from waiting import LONGEST

Expect = Callable[..., None]
PROGRAM = """
import contextlib, io, json, os, sys
from couloir.cli.main import run
while line := sys.stdin.readline():
    words, directory = json.loads(line)
    os.chdir(directory)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        code = run(words)
    heavy = sorted({"torch", "pytorch_lightning", "sklearn"} & sys.modules.keys())
    print(json.dumps([code, said.getvalue(), heavy]), flush=True)
"""
Answer = Callable[[list[str], Path], tuple[int, str, list[str]]]


@pytest.fixture(scope="module")
def answer() -> Iterator[Answer]:
    """`couloir WORDS` in a process without torch: exit code, standard error, and what it has imported that is heavy."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    to, back = process.stdin, process.stdout

    def ask(words: list[str], directory: Path) -> tuple[int, str, list[str]]:
        print(json.dumps([words, str(directory)]), file=to, flush=True)
        code, message, heavy = json.loads(back.readline())
        return code, message, heavy

    yield ask
    to.close()
    assert process.wait(LONGEST) == 0


def sentence(words: list[str], directory: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """`couloir WORDS` in a directory of its own: exit code and standard error."""
    capsys.readouterr()
    with chdir(directory):
        code = run(words)
    return code, capsys.readouterr().err


@pytest.fixture
def expect_mistake(tmp_path: Path, answer: Answer, capsys: pytest.CaptureFixture[str]) -> Expect:
    """Checks that a sentence ends with exit 2 and one short message that holds every fragment.

    One that can be known before a run is told without torch, and leaves no run folder.
    """

    def expect(words: list[str], fragments: list[str], before_a_run: bool = True) -> None:
        if before_a_run:
            code, message, heavy = answer(["train", *words], tmp_path)
            assert not heavy, f"{heavy} imported"
        else:
            code, message = sentence(["train", *words], tmp_path, capsys)
        assert code == 2, message
        for fragment in fragments:
            assert fragment in message, message
        assert "Traceback" not in message
        assert message.count("\n") <= 4, message
        assert not list(tmp_path.glob("outputs/train/*")) or not before_a_run, "a mistake leaves no run folder"

    return expect


MISTAKES: list[tuple[list[str], list[str]]] = [
    (["-p", "model"], ["--package says how a configuration is printed", "--cfg job"]),
    (["--resolve"], ["--resolve says how a configuration is printed"]),
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
    (
        ["data=line", "loss=cross_entropy"],
        ["loss=cross_entropy needs classes", "and task=regression learns values to predict", "mse"],
    ),
    (
        ["loss=mae"],
        [
            "loss=mae needs values to predict",
            "and task=classification learns classes",
            "leave loss=mae out",
            "cross_entropy",
        ],
    ),
    (
        ["data=moons", "loss.class_weights=[1,2,3]"],
        ["loss.class_weights has 3 weights; the data has 2 classes", "cross_entropy.yaml, line", "=balanced"],
    ),
    (["loss.class_weights=even"], ["loss.class_weights takes a list, each item a number > 0 or one of balanced"]),
    (["data=moons", "loss.class_weights=[1,0]"], ["each item a number > 0"]),
    (["data=line", "loss.class_weights=balanced"], ["no key 'class_weights'", "it is a key of loss=bce"]),
    (["data.sampler=weighted"], ["data.sampler takes one of shuffled, balanced, not weighted"]),
    (["data=line", "data.sampler=balanced"], ["no key 'sampler'"]),
    (["data.permute_pixels=true", "tta=mirror"], ["tta=mirror cuts or turns images", "tta=none"]),
    (["data=moons", "data.permute_pixels=true"], ["no key 'permute_pixels'"]),
    (
        ["callbacks.noise.kind=additive"],
        ["says which noise there is, and there is none", "callbacks.noise.weights=0.1"],
    ),
    (["callbacks.noise.activations=0.1", "trainer.compile=true"], ["trainer.compile=true compiles the network"]),
    (
        ["data=mnist", "task=gan", "callbacks.noise.weights=0.1"],
        ["callbacks.noise.weights=0.1 changes the one step of a batch"],
    ),
    (["data.label_noise=1.5"], ["data.label_noise takes a number in [0, 1], not 1.5"]),
    (["data=line", "data.label_noise=0.5"], ["no key 'label_noise'"]),
    (["data=image_masks"], ["data=image_masks needs data.root", "image_masks.yaml, line"]),
    (["data=super_resolution", "data.factor=5"], ["data.factor takes one of 2, 3, 4, not 5"]),
    (["data=super_resolution", "data.image_size=31"], ["does not divide their sides", "data.image_size=32"]),
    (["data=digits_on_photographs", "data.target=mask"], ["did you mean data.target=masks"]),
    (["data=moons", "model=lenet5"], ["model=lenet5 needs images, and data=moons has rows of a table", "mlp"]),
    (["data=synthetic", "data.image_size=4", "model=lenet5"], ["too small for model=lenet5", "data.image_size"]),
    (["data=moons", "augmentation=flip_crop"], ["augmentation=flip_crop needs images"]),
    (
        ["augmentation=pca_color"],
        ["augmentation=pca_color needs images with channels=3, and data=digits has", "channels=1", "photometric"],
    ),
    (["data=mnist", "data.root=/nowhere/at/all"], ["/nowhere/at/all"]),
    (["data=cifar10", "data.root=/nowhere/at/all"], ["/nowhere/at/all"]),
    (["data=image_folder", "data.root=/nowhere/at/all"], ["/nowhere/at/all"]),
    (["model"], ["'model' is not of the form key=value"]),
    (["optimizer.lr=[1"], ["optimizer.lr"]),
    (["experiment=digits_lenet"], ["did you mean experiment=digits_lenet5"]),
    (["output_dir=/proc/nothing"], ["cannot be written", "output_dir="]),
    (["hydra.run.dir=/proc/nothing/run"], ["cannot be written"]),
    (["--nonsense"], ["--nonsense"]),
    (["--config-dir", "elsewhere"], ["There is no folder elsewhere"]),
    (["--config-dir"], ["--config-dir needs a folder"]),
    (["--config-name", "mine"], ["./conf/train.yaml", "experiment=NAME"]),
    (["--config-path=mine"], ["--config-dir FOLDER"]),
    (["--experimental-rerun", "x"], ["couloir rerun RUN"]),
    (["hydra.mode=MULTIRUN", "optimizer.lr=0.1,0.2"], ["hydra.mode asks for a sweep", "train -m optimizer.lr=0.1,0.2"]),
    (["-m", "hydra.mode=RUN", "seed=1,2"], ["hydra.mode would change nothing", "`train` one run"]),
    (["hydra.job.chdir=true"], ["hydra.job.chdir would change nothing", "the working directory stays"]),
    (["hydra.searchpath=[conf2]"], ["--config-dir FOLDER"]),
    (["hydra.run.dir="], ["names no folder", "hydra.run.dir=FOLDER"]),
    (["-sc", "foo"], ["train -sc install=bash"]),
    (["--shell-completion"], ["train -sc install=bash"]),
    (["hydra/job_logging=default"], ["would change nothing"]),
    (["-m", "hydra.run.dir=x", "seed=1,2"], ["hydra.sweep.dir=FOLDER"]),
    (["optimizer=sgd,adam"], ["names several values", "train -m"]),
    (["~scheduler"], ["has no scheduler", "scheduler=none"]),
    (["~callbacks.checkpoint"], ["callbacks.checkpoint"]),
    (["callbacks.checkpoint.monitor=val/acc"], ["val/acc is not a metric", "monitor=val/accuracy"]),
    (["-m", "optimizer=sgd,adamm"], ["'adamm'", "did you mean optimizer=adam"]),
]


@pytest.mark.parametrize(
    ("words", "fragments"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else None
)
def test_a_mistake_in_the_sentence_is_explained(
    words: list[str], fragments: list[str], tmp_path: Path, expect_mistake: Expect
) -> None:
    expect_mistake(words, fragments)


@pytest.mark.skipif(Path("/dev/nvidiactl").exists() or sys.platform == "darwin", reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_said(tmp_path: Path, expect_mistake: Expect) -> None:
    expect_mistake(["trainer=gpu"], ["shows no GPU", "leave trainer=gpu out", "trainer=cpu"])
    expect_mistake(["trainer=fsdp"], ["shows no GPU", "leave trainer=fsdp out", "trainer=cpu"])


def test_an_output_folder_that_is_a_file_is_said(tmp_path: Path, expect_mistake: Expect) -> None:
    (tmp_path / "outputs").write_text("in the way")
    expect_mistake([], ["cannot be written"])


def test_a_folder_that_holds_another_run_is_left_alone(tmp_path: Path, expect_mistake: Expect) -> None:
    run = tmp_path / "mine"
    run.mkdir()
    (run / "status.json").write_text('{"status": "completed"}')
    expect_mistake([f"hydra.run.dir={run}"], ["already holds a run"])
    assert (run / "status.json").read_text() == '{"status": "completed"}'


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (200, 30, 60)).save(path)


def test_an_empty_class_folder_is_named(tmp_path: Path, expect_mistake: Expect) -> None:
    picture(tmp_path / "photos/train/ants/1.png")
    (tmp_path / "photos/train/bees").mkdir()
    expect_mistake(["data=image_folder", "data.root=photos"], ["bees"])


def test_a_file_that_is_not_an_image_is_named(tmp_path: Path, expect_mistake: Expect) -> None:
    picture(tmp_path / "photos/train/ants/1.png")
    picture(tmp_path / "photos/train/bees/1.png")
    (tmp_path / "photos/train/bees/2.jpg").write_text("not a photograph")
    expect_mistake(["data=image_folder", "data.root=photos"], ["2.jpg"])


def test_an_image_that_breaks_off_is_named(tmp_path: Path, expect_mistake: Expect) -> None:
    for number in range(8):
        picture(tmp_path / f"photos/train/ants/{number}.png")
        picture(tmp_path / f"photos/train/bees/{number}.png")
    whole = (tmp_path / "photos/train/bees/7.png").read_bytes()
    (tmp_path / "photos/train/bees/7.png").write_bytes(whole[:40])
    words = ["data=image_folder", "data.root=photos", "data.image_size=16", "model=mlp"]
    expect_mistake(words, ["7.png"], before_a_run=False)


def mnist_files(root: Path, labels: bytes, cut: int = 0) -> None:
    root.mkdir(parents=True)
    for split in ("train", "t10k"):
        images = struct.pack(">HBBIII", 0, 8, 3, len(labels), 28, 28) + bytes(784 * len(labels))
        (root / f"{split}-images-idx3-ubyte").write_bytes(images[: len(images) - cut])
        packed = struct.pack(">HBBI", 0, 8, 1, len(labels)) + labels
        (root / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(packed))


def test_a_truncated_idx_file_is_named(tmp_path: Path, expect_mistake: Expect) -> None:
    mnist_files(tmp_path / "mnist", bytes(range(10)) * 4, cut=100)
    expect_mistake(["data=mnist", "data.root=mnist"], ["images-idx3-ubyte"])


def test_a_label_outside_of_the_classes_is_named(tmp_path: Path, expect_mistake: Expect) -> None:
    mnist_files(tmp_path / "mnist", bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12]) * 4)
    expect_mistake(["data=mnist", "data.root=mnist"], ["12"])


TABLES: list[tuple[str, list[str], list[str]]] = [
    ("x,y\n1,0\nabc,1\n3,0\n", ["data.target=y"], ["abc", "'x'", "table.csv"]),
    ("x,y\n1,0\n,1\n3,0\n", ["data.target=y", "data.missing=refuse"], ["'x'", "table.csv", "data.missing=impute"]),
    ("x,y\n1,0\n2,1\n", ["data.target=z"], ["'z'"]),
    ("", ["data.target=y"], ["table.csv"]),
    ("x,y\n" + "1,5\n2,0\n3,1\n" * 9, ["data.target=y", "data.num_classes=3"], ["5"]),
    ("x,y\n1\n2,1\n", ["data.target=y"], ["table.csv", "line 2"]),
]


@pytest.mark.parametrize(
    ("table", "words", "fragments"),
    TABLES,
    ids=["text in a column", "empty cell", "no target", "empty file", "label too large", "ragged"],
)
def test_a_table_that_cannot_be_learned_from_is_explained(
    table: str, words: list[str], fragments: list[str], tmp_path: Path, expect_mistake: Expect
) -> None:
    (tmp_path / "table.csv").write_text(table)
    expect_mistake(["data=csv", "data.path=table.csv", *words], fragments)


def test_a_table_that_is_not_there_is_said(tmp_path: Path, expect_mistake: Expect) -> None:
    expect_mistake(["data=csv", "data.path=gone.csv", "data.target=y"], ["gone.csv"])


def test_a_network_of_the_users_that_does_not_fit_is_explained(tmp_path: Path, expect_mistake: Expect) -> None:
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/wrong.yaml").write_text("# Wrong.\n_target_: wrong.Wrong\nwidth: 3  # int >= 1; units\n")
    (tmp_path / "wrong.py").write_text(
        "from torch import nn\n\n\nclass Wrong(nn.Sequential):\n"
        "    def __init__(self, width):\n        super().__init__(nn.Flatten(), nn.Linear(64, width))\n"
    )
    expect_mistake(["model=wrong", "model.width=0"], ["model.width takes an integer >= 1"])
    expect_mistake(["model=wrong"], ["(2, 3)", "(2, 10)"], before_a_run=False)
    expect_mistake(["model=wrong", "+model.hight=4"], ["hight"], before_a_run=False)


def test_a_target_that_does_not_exist_is_said(tmp_path: Path, expect_mistake: Expect) -> None:
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/gone.yaml").write_text("# Gone.\n_target_: gone.Net\n")
    expect_mistake(["model=gone"], ["gone.Net"], before_a_run=False)


def test_a_configuration_that_is_not_yaml_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/torn.yaml").write_text("# Torn.\n_target_: [x\nk: {\n")
    code, message = sentence(["train", "model=torn"], tmp_path, capsys)
    assert code == 2
    assert "YAML" in message


@pytest.mark.parametrize(
    "words", [["lsit"], ["list", "modle"], ["list", "model", "resnet5"], ["summary", "model=resnet5"]]
)
def test_the_other_verbs_explain_too(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, message = sentence(words, tmp_path, capsys)
    assert code == 2
    assert "did you mean" in message
    assert "Traceback" not in message


def test_the_traceback_is_shown_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COULOIR_TRACEBACK", "1")
    with pytest.raises(CouloirError):
        run(["train", "optimizer.lr=-1"])


def test_a_mask_of_another_size_and_one_without_an_image_are_named(expect_mistake: Expect, tmp_path: Path) -> None:
    make_masks(tmp_path / "cells")
    words = ["data=image_masks", "data.root=cells", "data.colours={a: 0, b: 255}"]
    Image.new("L", (9, 9)).save(tmp_path / "cells/masks/003.png")
    expect_mistake(words, ["003.png has 9 x 9 pixels, and its image 003.jpg 47 x 37", "data.on_error=skip"])
    (tmp_path / "cells/images/003.jpg").unlink()
    expect_mistake(words, ["1 mask has no image: masks/003.png", "data.on_error=skip"])
