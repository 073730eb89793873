"""Every command that the documentation shows can be typed: it composes, and its parts fit together."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from archives import make_shards
from omegaconf import OmegaConf

import couloir
from build_outputs import MEASURED, Quote, masked, output, quotes, same_numbers_here, shown
from build_outputs import PAGES as QUOTING
from couloir.cli import board, data, explain, find_batch_size, find_lr, predict, profile, rerun, sample, summary
from couloir.cli.evaluate import OPENED
from couloir.cli.export import ENDINGS
from couloir.cli.export import OPENED as FOR_EXPORT
from couloir.cli.flags import take_flags, take_switches
from couloir.cli.main import VERBS, run
from couloir.compare import resume
from couloir.config.check import checked
from couloir.config.compose import check_sweep
from couloir.config.finished import amend, run_config
from couloir.data.table import Wanted, in_sentences, read_table
from couloir.inference import inputs
from couloir.inference.explain.words import chosen_methods
from couloir.inference.sampling.words import check_files, counted, overrides_among, place_for
from couloir.ragged import Ragged
from couloir.record.find import find_run
from finished_runs import FinishedRuns
from folders_of_masks import make_masks, make_recipes
from interruption import rows
from repeats import few

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    *(
        f"docs/{name}.md"
        for name in (
            "curriculum",
            "data",
            "diagnosis",
            "explaining",
            "generating",
            "images",
            "metrics",
            "recipes",
            "reports",
            "scale",
            "sequences",
            "using",
            "watching",
        )
    ),
]
# What a reader has and the suite makes: a table and a folder of photographs.
STAND_INS = {
    "photos": "{root}/photos", "houses.csv": "{root}/houses.csv", "FOLDER": "{root}/photos", "RUN": "{root}/run",
    "reviews.csv": "{root}/reviews.csv", "book.txt": "{root}/book.txt", "load.csv": "{root}/load.csv",
    "tinyshakespeare.txt": "{root}/book.txt", "rt_polarity.csv": "{root}/reviews.csv", "ETTh1.csv": "{root}/hours.csv",
    "shop.csv": "{root}/shop.csv", "table.csv": "{root}/shop.csv", "FILE.pth": "{root}/weights.pth",
    "mymodule.my_init": "torch.nn.Module.eval",
    "outputs/latest": "{root}/run", "packed": "{root}/packed",
    "outputs/latest/recipe.yaml": "{root}/recipe.yaml", "RUN/recipe.yaml": "{root}/recipe.yaml",
    "good": "{root}/recipe.yaml",
    "cells": "{root}/cells", "streets": "{root}/cells", "gazes": "{root}/cells", "slices": "{root}/slices",
    "faces": "{root}/photos", "slices30": "{root}/shared/membrane", "PennFudan": "{root}/shared/pedestrians",
}  # fmt: skip


def shop() -> str:
    """The table that docs/data.md speaks of."""
    rng = np.random.default_rng(0)
    n = 400
    city = rng.choice(["Bonn", "Lima", "Oslo", "Rome"], n)
    age, visits, member = rng.integers(18, 80, n), rng.integers(1, 30, n), rng.random(n) < 0.4
    joined = np.datetime64("2021-03-01") + rng.integers(0, 1000, n)
    price = 200 + 3 * age + 50 * (city == "Oslo") + 20 * member + 4 * visits + rng.normal(0, 5, n)
    late, returned = rng.random(n) < 0.1 + 0.3 * (city == "Lima"), rng.random(n) < age / 160
    rows = [
        f"{i + 1},customer {i * 7919 % 10007},{'' if i % 17 == 5 else age[i]},{city[i]},{'yes' if member[i] else 'no'},"
        f"{joined[i]},{visits[i]},{price[i]:.2f},{int(late[i])},{int(returned[i])}"
        for i in range(n)
    ]
    return "\n".join(["id,name,age,city,member,joined,visits,price,late,returned", *rows, ""])


def commands(pages: list[str]) -> list[str]:
    """The sentences that pages show, in alphabetical order."""
    found: list[str] = []
    for page in pages:
        text = (ROOT / page).read_text()
        blocks = re.findall(r"```\n(.*?)```", text, re.DOTALL)
        lines = [line.split("#")[0].strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
        lines += re.findall(r"`((?:train|couloir)(?: [^`]*)?)`", text)
        found += [line for line in lines if re.match(r"(train|couloir) \S", line)]
    # Placeholders of a grammar, the wrong ones, the reader's own model, and an extra are not for composing.
    left_out = (
        "model=timm", "experiment=first", "GROUP", "VERB", "...", "resnet5O", "=-1", "mynet", "data=moons model=lenet5",
        "target=name", "missing=refuse", "data=membrane model=resnet18", "data.image_size=570",
    )  # fmt: skip
    return sorted({line for line in found if not any(word in line for word in left_out)})


def in_turn() -> list[Any]:
    """All sentences. Of the curriculum alone, which shows nearly two hundred of a few forms, two of three are slow."""
    others = set(commands([page for page in PAGES if page != "docs/curriculum.md"]))
    alone = [line for line in commands(PAGES) if line not in others]
    return sorted(others) + few(alone[::3] + alone[1::3] + alone[2::3], len(alone[::3]))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    root = tmp_path_factory.mktemp("reader")
    (root / "houses.csv").write_text("size,price\n" + "\n".join(f"{n},{n * 1000.5}" for n in range(30)))
    (root / "shop.csv").write_text(shop())
    (root / "reviews.csv").write_text("text,label\n" + "\n".join(f"a film of row {n},{n % 2}" for n in range(30)))
    (root / "book.txt").write_text("To be, or not to be, that is the question. " * 90)
    days = np.datetime64("2020-01-01") + np.arange(900)
    (root / "load.csv").write_text("day,load\n" + "\n".join(f"{day},{n % 7}" for n, day in enumerate(days)))
    hours = np.datetime64("2016-07-01T00") + np.arange(14_400)
    (root / "hours.csv").write_text("date,OT\n" + "\n".join(f"{hour},{n % 24}" for n, hour in enumerate(hours)))
    (root / "weights.pth").touch()
    (root / "recipe.yaml").write_text("# @package _global_\n# A run.\nmodel:\n  dropout: 0.1\n")
    (root / "run/checkpoints").mkdir(parents=True)
    (root / "run/checkpoints/best.ckpt").touch()
    (root / "run/config.yaml").write_text(OmegaConf.to_yaml(couloir.compose([]).cfg, resolve=True))
    (root / "bin").mkdir()
    (root / "bin/sbatch").write_text("#!/bin/sh\n")  # a node of a cluster
    (root / "bin/sbatch").chmod(0o755)
    make_shards(root / "packed", 8, 4)
    make_masks(root / "cells", 4)
    for name in ("membrane", "pedestrians"):
        make_recipes(root / "shared" / name)
    make_masks(root / "slices", 4, values=(0, 1, 255))
    for name in ("ants", "bees"):
        (root / f"photos/train/{name}").mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (40, 30)).save(root / f"photos/train/{name}/{number}.png")
    return root


@pytest.mark.parametrize("command", in_turn())
def test_a_command_of_the_documentation_can_be_typed(
    command: str, reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(reader / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("COULOIR_DATA", str(reader / "shared"))
    words = shlex.split(command)
    assert words[0] == "train" or words[1] in VERBS
    if words[:2] == ["couloir", "list"]:
        return
    if words[:2] == ["couloir", "evaluate"]:
        amend(run_config(find_run(str(reader / "run"))), [word for word in words[2:] if "=" in word], OPENED)
        return
    if words[:2] == ["couloir", "predict"] and words[2:]:
        rest = [word for word in words[2:] if word not in predict.SWITCHES]
        options, rest = take_flags(rest, predict.FLAGS)
        assert options["--top"] is None or options["--top"] > 0
        assert len([word for word in rest if "=" not in word]) > 1
        amend(run_config(find_run(str(reader / "run"))), [word for word in rest if "=" in word], inputs.OPENED)
        return
    if words[:2] == ["couloir", "sample"] and words[2:]:
        mode, flags, named, rest = sample.divide(words[2:])
        check_files(mode, named[1:], named[0], "outputs")
        form = place_for(mode, flags["--output"], reader / "run", 0, flags["--class"])[1]
        counted(mode, flags["--count"], form, named[1:])
        amend(run_config(find_run(str(reader / "run"))), rest, sample.opened())
        return
    if words[:2] == ["couloir", "explain"] and words[2:] not in ([], ["--help"]):
        flags, rest = take_flags([word for word in words[2:] if word != "--json"], explain.TAKEN)
        named, rest = overrides_among(rest)
        assert chosen_methods(flags["--methods"], "row" if named[1:] == ["table.csv"] else "image")
        if named[0] in ("latest", "RUN"):
            amend(run_config(find_run(str(reader / "run"))), rest, explain.opened())
        else:
            assert any(word.startswith("model.weights=") for word in rest)
            checked(rest, reads_data=False)
        return
    if words[:2] == ["couloir", "export"]:
        photographs = couloir.compose(["data=image_folder", f"data.root={reader / 'photos'}"]).cfg
        amend(photographs, [word for word in words[2:] if "=" in word], FOR_EXPORT)
        assert len(words) == 2 or (words[3] == "--to" and words[4] in (*ENDINGS, "FORMAT"))
        return
    if words[:2] == ["couloir", "rerun"]:
        amend(
            couloir.compose([]).cfg, [word for word in words[2:] if "=" in word and "data." not in word], rerun.OPENED
        )
        return
    if words[:2] == ["couloir", "resume"]:
        amend(couloir.compose([]).cfg, [word for word in words[2:] if "=" in word], resume.OPENED)
        return
    if words[:2] == ["couloir", "diagnose"]:
        assert len(take_switches(words[2:], ("--json",))[1]) == 1
        return
    if words[:2] == ["couloir", "board"]:
        take_flags(words[2:], board.FLAGS)
        return
    if words[:2] == ["couloir", "report"]:
        assert len(words) > 2
        return
    if words[:2] == ["couloir", "init"]:
        assert words[2:] in (["mine"], ["--schema"], [])
        return
    if words[:2] == ["couloir", "recipe"]:
        assert len([word for word in words[2:] if "=" not in word]) in (1, 3)  # > FILE
        return
    if words[:2] == ["couloir", "diff"]:
        assert len([word for word in words[2:] if not word.startswith("-")]) == 2
        return
    overrides = [word for word in (words[2:] if words[0] == "couloir" else words[1:]) if word != "--help"]
    if words[1] == "summary":
        overrides = take_switches(overrides, summary.SWITCHES)[1]
    if words[1].startswith("find-"):
        overrides = [word for word in overrides if word != "--json"]
        _, overrides = take_flags(overrides, find_lr.FLAGS if words[1] == "find-lr" else find_batch_size.FLAGS)
    if words[1] == "data":
        _, overrides = take_flags([word for word in overrides if word not in ("--json", data.NO_PAGE)], data.FLAGS)
    if words[1] == "profile":
        _, overrides = take_flags([word for word in overrides if word != "--json"], profile.FLAGS)
    for name, path in STAND_INS.items():
        overrides = [re.sub(rf"={name}$", f"={path.format(root=reader)}", word) for word in overrides]
    overrides = [word for word in overrides if word not in ("--json", "--quiet", "--cfg", "job", "-sc", "install=bash")]
    if "-m" in overrides:
        overrides.remove("-m")
        check_sweep(overrides)
    else:
        couloir.compose(overrides)


README = (ROOT / "README.md").read_text()
WRONG = re.findall(r"^\$ train (.*)\n(error: (?:[^`\n].*\n)+)", README, re.MULTILINE)


@pytest.mark.parametrize(("words", "message"), WRONG, ids=[words for words, _ in WRONG])
def test_a_mistake_is_answered_as_the_readme_shows(
    words: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert len(WRONG) == 3
    assert run(["train", *shlex.split(words)]) == 2
    assert capsys.readouterr().err == message


DATA = (ROOT / "docs/data.md").read_text()
REFUSED = re.findall(r"^\$ train (.*)\n(error: (?:[^`\n].*\n)+)", DATA, re.MULTILINE)


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[words for words, _ in REFUSED])
def test_a_table_is_refused_as_its_page_shows(
    words: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shop.csv").write_text(shop())
    assert run(["train", *shlex.split(words)]) == 2
    assert capsys.readouterr().err == message


def test_the_columns_of_a_table_are_said_as_its_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shop.csv").write_text(shop())
    assert "\n".join(shop().splitlines()[:3]) in DATA
    wanted = Wanted.of({"path": "shop.csv", "target": "price", "ignore": ["late", "returned"]})
    assert "\n".join(in_sentences(read_table(wanted), wanted)) in DATA


def test_the_documentation_shows_enough_commands() -> None:
    assert len(commands(PAGES)) > 50


QUOTES = [quote for page in QUOTING for quote in quotes((ROOT / page).read_text())]
RUN_AGAIN = [quote for quote in QUOTES if not quote.date]
QUICK = [quote for quote in RUN_AGAIN if not quote.slow]
RUN_HERE = {
    quote.sentence
    for quote in [*[each for each in QUICK if each.trains][:1], *[each for each in QUICK if not each.trains][::3]]
}
"""One sentence that trains, and every third that tells of a network; the others are left to `make faults`."""
FAULTS = os.environ.get("COULOIR_ALL_FAULTS") == "1"


@pytest.mark.parametrize("quote", RUN_AGAIN, ids=lambda quote: quote.sentence)
def test_a_sentence_prints_what_the_page_quotes(quote: Quote) -> None:
    if not FAULTS and quote.sentence not in RUN_HERE:
        pytest.skip("`make faults` runs it")
    if quote.trains and not same_numbers_here():
        pytest.skip("another torch or processor rounds differently than the one that made the page")
    # Two threads on busy cores wait for each other at each step: here one sentence does, in `make faults` all.
    for threads in quote.threads if FAULTS or quote.sentence == "train data=line" else (1,):
        assert masked(shown(output(quote.sentence, threads), quote.shows)) == masked(quote.body), (
            f"with {threads} threads; `make docs` writes what the program prints into the page"
        )


def test_every_output_of_a_page_is_run_again_or_has_a_date() -> None:
    shown_blocks = re.findall(r"^\$ (?:train|couloir) .*", "".join((ROOT / page).read_text() for page in QUOTING), re.M)
    wrong = [f"$ train {words}" for words, _ in WRONG]
    assert len(shown_blocks) == len(QUOTES) + len(wrong)
    assert all(quote.body.strip() for quote in QUOTES)
    notes = [quote.note for quote in QUOTES if quote.note]
    assert all(re.fullmatch(rf"(one thread)?(, )?({MEASURED.pattern})?", note) for note in notes)
    assert sum(not quote.slow and not quote.date for quote in QUOTES) > 40


def test_seconds_and_names_of_runs_may_differ_from_the_page_and_numbers_may_not() -> None:
    line = "run: outputs/train/2026-11-29_12-07-27_a7af3a  (1.6 s, 9,534 samples/s)  loss 0.5"
    assert masked(line) == masked(
        line.replace("12-07-27_a7af3a", "13-00-01_ffde3a").replace("1.6 s, 9,534", "12.1 s, 8")
    )
    assert masked(line) != masked(line.replace("0.5", "0.6"))


HOUSE = (ROOT / "docs/architecture.md").read_text()


def python_of(page: str) -> list[str]:
    """The blocks of a page that are typed in Python."""
    blocks = re.findall(r"```python\n(import couloir\n.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert blocks
    return blocks


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    known: dict[str, object] = {}
    for block in python_of("README.md"):
        exec(block, known)
    assert [answer.label in known["predictor"].classes for answer in known["answers"]] == [True, True]  # type: ignore[attr-defined]
    assert len(python_of("README.md")[-1].splitlines()) <= 10


def test_the_python_of_the_page_about_sequences_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {}
    for block in python_of("docs/sequences.md"):
        exec(block, known)
    assert [len(answer.probabilities) for answer in (*known["answers"], known["one"])] == [10] * 3


def test_the_python_of_the_page_about_finished_runs_runs(
    finished: FinishedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished("photographs"), tmp_path / "outputs/latest")
    shutil.copy(finished.photographs() / "test/a/000.jpg", tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    for block in python_of("docs/using.md"):
        exec(block, {})


EXAMPLES = dict(re.findall(r"```(?:yaml|python)\n# (\S+\.(?:yaml|py))\n(.*?)```", HOUSE, re.DOTALL))
"""The files that the page shows, by the path in the first line of each."""


@pytest.fixture
def own_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with all files that docs/architecture.md shows."""
    for name, text in EXAMPLES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    own = [Path(name).stem for name in EXAMPLES if "/" not in name]
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in own:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("command", re.findall(r"^train .*", HOUSE, re.MULTILINE))
def test_a_reader_of_the_architecture_trains_with_what_the_page_adds(command: str, own_project: Path) -> None:
    words = shlex.split(command)
    assert run([*words, "data.subset=40", "logger=csv"] if "data=" not in command else [*words, "logger=csv"]) == 0
    choices = [word.partition("=") for word in words[1:] if re.fullmatch(r"[a-z]+=[a-z_]+", word)]
    assert all(f"conf/{group}/{choice}.yaml" in EXAMPLES for group, _, choice in choices)
    row = rows(own_project / "outputs/latest")[0]
    monitored = next((word.partition("monitor=")[2] for word in words if "monitor=" in word), "val/loss")
    parts = ["val/squared", "val/absolute", "val/mae"] if "task=" in command else []
    assert all(float(row[name]) > 0 for name in (monitored, *parts))


def test_the_verb_of_the_architecture_prints_the_columns_of_a_run(
    own_project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (command,) = re.findall(r"^couloir .*", HOUSE, re.MULTILINE)
    _, verb, *words = shlex.split(command)
    spec = importlib.util.spec_from_file_location(f"couloir.cli.{verb}", own_project / f"src/couloir/cli/{verb}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, f"couloir.cli.{verb}", module)
    monkeypatch.setitem(VERBS, verb, "for this test")
    assert run([verb, *words]) == 0
    assert capsys.readouterr().out.split() == ["val/loss", "val/mae", "val/rmse", "val/r2", "val/mape"]


def test_the_augmentation_of_the_architecture_turns_map_and_boxes_with_their_image(own_project: Path) -> None:
    augmentation = importlib.import_module("upside_down").UpsideDown(share=1.0)
    image = torch.arange(12.0).view(1, 1, 4, 3)
    boxes = Ragged(torch.tensor([[0.0, 0.0, 1.0, 3.0, 7.0]]), torch.tensor([1]))
    turned = augmentation({"image": image, "map": image[:, 0].long(), "boxes": boxes})
    assert torch.equal(turned["image"], image.flip(2))
    assert torch.equal(turned["map"], image[:, 0].long().flip(1))
    assert turned["boxes"].values.tolist() == [[0, 1, 1, 4, 7]]


def test_the_architecture_names_modules_that_there_are() -> None:
    shown = re.findall(r"`([a-z_]+(?:/[a-z_]+)*\.py)`", HOUSE)
    assert len(shown) > 40
    places = (ROOT, ROOT / "src/couloir", ROOT / "src/couloir/config")
    assert [name for name in shown if not any((place / name).is_file() for place in places)] == []


def test_the_readme_lists_every_choice() -> None:
    from couloir.config import tree

    for group in tree.groups():
        for name in tree.choices(group):
            assert f"`{name}`" in README, f"`make docs` has not been run since {group}={name} came"
