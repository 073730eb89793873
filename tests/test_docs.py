"""Every command that the documentation shows can be typed: it composes, and its parts fit together."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import couloir
from couloir.cli import board, find_batch_size, find_lr, rerun
from couloir.cli.evaluate import OPENED
from couloir.cli.flags import take_flags, take_switches
from couloir.cli.main import VERBS
from couloir.compare import resume
from couloir.config.compose import check_sweep
from couloir.config.finished import amend, run_config
from couloir.record.find import find_run

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    *(f"docs/{name}.md" for name in ("curriculum", "diagnosis", "metrics", "recipes", "reports", "scale", "watching")),
]
# What a reader has and the suite makes: a table and a folder of photographs.
STAND_INS = {
    "photos": "{root}/photos", "houses.csv": "{root}/houses.csv", "FOLDER": "{root}/photos", "RUN": "{root}/run",
    "FILE.pth": "{root}/weights.pth", "mymodule.my_init": "torch.nn.Module.eval",
}  # fmt: skip


def commands() -> list[str]:
    found: list[str] = []
    for page in PAGES:
        text = (ROOT / page).read_text()
        blocks = re.findall(r"```\n(.*?)```", text, re.DOTALL)
        lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
        lines += re.findall(r"`((?:train|couloir)(?: [^`]*)?)`", text)
        found += [line for line in lines if re.match(r"(train|couloir) \S", line)]
    # Placeholders of a grammar, the wrong ones, and the reader's own model are not for composing.
    left_out = ("GROUP", "VERB", "...", "resnet5O", "=-1", "mynet", "data=moons model=lenet5")
    return sorted({line for line in found if not any(word in line for word in left_out)})


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    root = tmp_path_factory.mktemp("reader")
    (root / "houses.csv").write_text("size,price\n" + "\n".join(f"{n},{n * 1000.5}" for n in range(30)))
    (root / "weights.pth").touch()
    (root / "run/checkpoints").mkdir(parents=True)
    (root / "run/checkpoints/best.ckpt").touch()
    (root / "run/config.yaml").write_text(OmegaConf.to_yaml(couloir.compose([]).cfg, resolve=True))
    (root / "bin").mkdir()
    (root / "bin/sbatch").write_text("#!/bin/sh\n")  # a node of a cluster
    (root / "bin/sbatch").chmod(0o755)
    for name in ("ants", "bees"):
        (root / f"photos/train/{name}").mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (40, 30)).save(root / f"photos/train/{name}/{number}.png")
    return root


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_documentation_can_be_typed(
    command: str, reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(reader / "bin"), prepend=os.pathsep)
    words = shlex.split(command)
    assert words[0] == "train" or words[1] in VERBS
    if words[:2] == ["couloir", "list"]:
        return
    if words[:2] == ["couloir", "evaluate"]:
        amend(run_config(find_run(str(reader / "run"))), [word for word in words[2:] if "=" in word], OPENED)
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
    if words[:2] == ["couloir", "diff"]:
        assert len([word for word in words[2:] if not word.startswith("-")]) == 2
        return
    overrides = words[2:] if words[0] == "couloir" else words[1:]
    if words[1].startswith("find-"):
        _, overrides = take_flags(overrides, find_lr.FLAGS if words[1] == "find-lr" else find_batch_size.FLAGS)
    for name, path in STAND_INS.items():
        overrides = [re.sub(rf"={name}$", f"={path.format(root=reader)}", word) for word in overrides]
    overrides = [word for word in overrides if word not in ("--json", "--cfg", "job", "-sc", "install=bash")]
    if "-m" in overrides:
        overrides.remove("-m")
        check_sweep(overrides)
    else:
        couloir.compose(overrides)


def test_the_documentation_shows_enough_commands() -> None:
    assert len(commands()) > 50


def test_the_readme_lists_every_choice() -> None:
    from couloir.config import tree

    readme = (ROOT / "README.md").read_text()
    for group in tree.groups():
        for name in tree.choices(group):
            assert f"`{name}`" in readme, f"`make docs` has not been run since {group}={name} came"
