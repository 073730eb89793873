"""Nonsense at the prompt and in ./conf: a sentence trains, or says what is wrong; no traceback, no hang, exit 0 or 2.

All of it with COULOIR_ALL_FAULTS=1, a part of it without.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from couloir.config import contract, tree
from victims import Ended, Victims

WHOLE = os.environ.get("COULOIR_ALL_FAULTS") == "1"
SENTENCES, FILES, LARGE = (500, 200, 9) if WHOLE else (10, 8, 2)
MEMORY = 3 << 30
"""Bytes that a sentence may take, so that one that asks for terabytes is refused them at once on every machine."""
Case = tuple[list[str], Path]
"""The words after `train`, and where they are typed."""
BASE = ["trainer=debug", "trainer.accelerator=cpu", "logger=csv", "data.subset=100"]
GROUPS = {
    "model": ["lenet5", "mlp", "linear", "convnet", "perceptron", "polynomial", "densenet_cifar", "highway", "resnet9"],
    "data": ["digits", "moons", "line", "synthetic", "spirals", "csv", "image_folder", "mnist"],
    "optimizer": ["adam", "sgd", "momentum", "rmsprop"],
    "loss": ["cross_entropy", "mse", "nll", "kl"],
    "scheduler": ["none", "cosine", "step", "plateau", "one_cycle"],
    "augmentation": ["none", "flip_crop", "mixup", "cutout"],
    "initializer": ["default", "he_normal", "lsuv", "custom", "from_run"],
    "averaging": ["none", "ema", "swa"],
    "momentum_schedule": ["none", "linear"],
    "tta": ["none", "mirror"],
    "finetune": ["none", "head", "head_then_all", "last_n", "pattern"],
    "experiment": ["toy_mlp", "digits_lenet5"],
}
VALUES = [
    "", "null", "true", "0", "-1", "1", "2", "3.5", "1e400", "nan", "inf", "-inf", "1e-300", "1e30", "1000000000000",
    "99999999999999999999999999", "-99999999999999999999", "0.1", "[]", "[1]", "[1,2", "[0]", "[-3]", "[1e3]", "{}",
    "[1000000000000]", "[nan]", "[null]", "[[[[[[[[1]]]]]]]]", "{a:1}", "{a:{b:{c:[1,{d:2}]}}}", "'", '"', "''", "a b",
    "${seed}", "${nothing}", "${optimizer}", "${..}", "${.}", "${oc.env:HOME}", "${oc.env:NOPE}", "${data}",
    "${model.x", "${inspect:num_classes}", "${inspect:nope}", "${inspect:}", "${by_scale:1}", "${by_scale:1,2}",
    "${oc.decode:[}", "${couloir.run_name:}", "${oc.create:{_target_:os.system}}", "${hydra:run.dir}", "${now:%S}",
    "é", "日本語",
    "\u202e", "a" * 10_000, "[" * 200 + "]" * 200, "{a:" * 60 + "1" + "}" * 60, "x=y=z", "a,b", "1,2", "choice(1,2)",
    "range(1,3)", "glob(*)", "int(5)", "str(7)", "shuffle(1,2)", "tag(a,1)", "interval(0,1)", "$", "\\", "%", "%s",
    "\n", "\t", "\x07", "???", "???.x", "/", "../..", "/dev/null", "~", "#", "!", "@", "--x", "os.system",
    "torch.nn.Linear", "relu",
    "{_target_: os.system, command: touch appeared}", "{_target_: torch.hub.load}", "{_target_: torch.nn.Identity}",
    "[{_target_: subprocess.run, args: [touch, appeared]}]", "0x10", "1_000", "1e1_0", "on", "None", "cpu", "32-true",
]  # fmt: skip
PLAIN = ["1", "2", "3", "0.1", "0.5", "true", "null", "[4]", "[2,3]", "8", "relu", "none", "1e-3"]
"""Values that often fit."""
ROOT = [
    "seed", "deterministic", "scale", "overfit", "output_dir", "allow_targets", "optimizer.scale_lr",
    "trainer.precision", "trainer.gradient_clip_val", "callbacks.checkpoint.monitor", "callbacks.early_stopping",
    "hydra.run.dir",
    "trainer.limit_train_batches", "callbacks.x._target_", "nonsense", "model", "loss._target_",
]  # fmt: skip
ENDLESS = (
    "trainer.max_epochs",
    "trainer.check_val_every_n_epoch",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.threads",
)
"""Keys that may well ask for work without end, for more processes, or for more threads."""


def keys() -> dict[str, list[str]]:
    """The dotted keys of each choice, and some of them with the value that they have anyway."""
    found = {}
    for group, names in GROUPS.items():
        for name in names:
            file = tree.find(f"{group}/{name}")
            assert file is not None
            prefix = "" if group == "experiment" else f"{group}."
            entries = contract.read_keys(file)
            found[f"{group}={name}"] = [f"{prefix}{entry.path}" for entry in entries]
            found[f"{group}={name}"] += [
                f"{prefix}{entry.path}={entry.default}"
                for entry in entries
                if isinstance(entry.default, bool | int | float)
            ]
    return found


def overrides(rng: random.Random, known: dict[str, list[str]]) -> list[str]:
    """A sentence: some choices, and some keys with values that fit or not."""
    chosen = [f"{group}={rng.choice(names)}" for group, names in GROUPS.items() if rng.random() < 0.06]
    pool = [
        key for choice in [*chosen, "model=lenet5", "data=digits", "optimizer=adam"] for key in known[choice]
    ] + ROOT
    words = [*BASE, *chosen]
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        key, value = rng.choice(pool), rng.choice(VALUES)
        if key.partition("=")[0] in ENDLESS:
            continue
        if "=" in key:
            words.append(key)
            continue
        if rng.random() < 0.4:
            words.append(f"{key}={rng.choice(PLAIN)}")
            continue
        key = rng.choice(
            [key] * 25 + [key + ".x", key + "._target_", key[:-1], key.upper(), f"{key}@x", key.replace(".", "/")]
        )
        form = rng.choice(["{}={}"] * 20 + ["+{}={}", "++{}={}", "~{}", "~{}={}", "{}", "{}:={}", "={1}", "--{}={}"])
        words.append(form.format(key, value))
    if rng.random() < 0.05:
        words = ["-m", *words, rng.choice(["seed=1,2", "optimizer=sgd,adam", "seed=choice(3)", "seed=range(1,3)"])]
    if rng.random() < 0.05:
        words += rng.choice([["--cfg", "job"], ["--cfg", "job", "--resolve"], ["--info"], ["-p", "model"], ["--cfg"]])
    return words


def faults(cases: list[Case], found: list[Ended], folder: Path) -> list[str]:
    """What went wrong, case by case, in words."""
    assert len(found) == len(cases)
    wrong = []
    for (words, _), ended in zip(cases, found, strict=True):
        diverged = ended.code == 3 and "diverged" in ended.output.lower()
        well = ended.code in (0, 2) or diverged
        if not well or "Traceback" in ended.output or not ended.output.strip():
            told = " ".join(word if len(word) < 300 else word[:300] + "..." for word in words)
            wrong.append(f"exit {ended.code} ({ended.seconds:.1f} s): {told}\n{ended.output[-1500:]}")
    assert not list(folder.rglob("appeared")), "a configuration has run a command"
    return wrong


def sentences(folder: Path) -> list[Case]:
    rng, known, cases = random.Random(0), keys(), []
    for number in range(SENTENCES):
        cwd = folder / f"sentence_{number}"
        cwd.mkdir()
        cases.append((overrides(rng, known), cwd))
    return cases


def _flipped(text: bytes, rng: random.Random) -> bytes:
    content = bytearray(text)
    for _ in range(rng.choice([1, 3, 20])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def _without_lines(text: bytes, rng: random.Random) -> bytes:
    return b"\n".join(line for line in text.split(b"\n") if rng.random() > 0.2)


def _with_line(line: bytes) -> Callable[[bytes, random.Random], bytes]:
    def mutate(text: bytes, rng: random.Random) -> bytes:
        lines = text.split(b"\n")
        lines.insert(rng.randrange(len(lines) + 1), line)
        return b"\n".join(lines)

    return mutate


def _doubled(text: bytes, rng: random.Random) -> bytes:
    lines = text.split(b"\n")
    return b"\n".join([*lines, rng.choice(lines)])


LAUGHS = b"\n".join(
    [b"a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]".encode() for n in range(1, 12))]
)
MUTATIONS: list[Callable[[bytes, random.Random], bytes]] = [
    _flipped, _flipped, _flipped, _without_lines, _without_lines, _doubled,
    _with_line(b"\tx: 1"), _with_line(b"x: [1"), _with_line(b"x: !!python/object/apply:os.system ['touch appeared']"),
    _with_line(b"x: {_target_: os.system, command: touch appeared}"), _with_line(b"  x: 1"), _with_line(b"---"),
    _with_line(b"x: *nothing"), _with_line(b"<<: {lr: 1}"), _with_line(b"defaults: [x]"), _with_line(b"x: ${x}"),
    _with_line(b"? [a, b]\n: 1"), _with_line(b"1: 2"), _with_line(b"null: 2"), _with_line(b"2020-01-01: 1"),
    _with_line(b"# @package nowhere.at.all"), _with_line(b"\x00"), _with_line(b"x: 0o17"), _with_line(LAUGHS),
    lambda text, rng: text + b"\n" + LAUGHS,
    lambda text, rng: text.replace(b"\n", b"\r\n"),
    lambda text, rng: text.replace(b": ", b":", rng.choice([1, 100])),
    lambda text, rng: text.replace(b"  ", b"\t"),
    lambda text, rng: text.decode().encode("utf-16"),
    lambda text, rng: b"\xef\xbb\xbf" + text,
    lambda text, rng: text + "\n# gr\u00f6\u00dfe\n".encode("latin-1"),
    lambda text, rng: rng.randbytes(300),
    lambda text, rng: b"",
    lambda text, rng: b"# Only a comment.\n",
    lambda text, rng: b"[]",
    lambda text, rng: b"7",
    lambda text, rng: b"text",
    lambda text, rng: b"x: " + b"[" * 20_000,
    lambda text, rng: b"x: " + b"[" * 3000 + b"]" * 3000,
    lambda text, rng: b"{x: " * 500 + b"1" + b"}" * 500,
    lambda text, rng: b"a: &a [*a]",
    lambda text, rng: b"a: &a {b: *a}",
    lambda text, rng: b"x: " + b"1" * 100_000,
    lambda text, rng: text[: rng.randrange(len(text))],
]  # fmt: skip
MUTATED = [
    "model/lenet5", "data/digits", "optimizer/adam", "loss/cross_entropy", "trainer/default", "trainer/debug",
    "callbacks/default", "augmentation/none", "initializer/default", "scheduler/none", "logger/csv", "train",
]  # fmt: skip


def place_instead(file: Path, rng: random.Random) -> str:
    """Something else than a file."""
    kind = rng.choice(["folder", "dangling", "loop", "pipe", "elsewhere"])
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to({"dangling": "nowhere", "loop": file.name, "elsewhere": "/dev/zero"}[kind])
    return kind


def files(folder: Path) -> list[Case]:
    rng, cases = random.Random(1), []
    for number in range(FILES):
        cwd, config = folder / f"file_{number}", rng.choice(MUTATED)
        source, target = tree.packaged_conf() / f"{config}.yaml", cwd / f"conf/{config}.yaml"
        target.parent.mkdir(parents=True)
        if rng.random() < 0.06:
            place_instead(target, rng)
        else:
            target.write_bytes(rng.choice(MUTATIONS)(source.read_bytes(), rng))
        cases.append((BASE, cwd))
    return cases


TOO_LARGE = [
    ["model=mlp", "model.hidden=[1000000000000]"],
    ["model=mlp", "model.hidden=[1000000,1000000]"],
    ["model=densenet_cifar", "data=synthetic", "model.depth=1000000000000"],
    ["model=densenet_cifar", "data=synthetic", "model.growth_rate=1000000000000"],
    ["model=convnet", "model.M=1000000000000"],
    ["model=convnet", "model.K=1000000000000"],
    ["data=moons", "data.samples=1000000000000"],
    ["data=synthetic", "data.image_size=1000000"],
    ["data.num_classes=1000000000000"],
]


def too_large(folder: Path) -> list[Case]:
    return [([*BASE, *words], folder) for words in TOO_LARGE[:LARGE]]


@pytest.mark.slow
def test_any_words_and_any_files_in_conf_train_or_are_explained(tmp_path: Path, victims: Victims) -> None:
    cases = [*sentences(tmp_path), *files(tmp_path), *too_large(tmp_path)]
    found = [victims.run(["train", *words], cwd, memory=MEMORY) for words, cwd in cases]
    wrong = faults(cases, found, tmp_path)
    trained = sum(ended.code == 0 for ended in found)
    print(f"{len(cases)} cases: {trained} trained, {len(found) - trained - len(wrong)} explained, {len(wrong)} wrong")
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n\n" + "\n\n".join(wrong)
    assert trained >= len(cases) // 20, "too few of them train to show anything"
    assert all(ended.code == 2 for ended in found[-LARGE:])
