"""Every choice of every group: it composes, instantiates, and says what it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from archives import make_shards
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

import couloir
from couloir.config import contract, tree
from couloir.config.check import check_sweep_values
from couloir.config.compose import SWEEP_GROUPS, compose_sentence, compose_sweep
from couloir.config.made_for import tasks_of
from couloir.config.needs import lacking, needs
from couloir.config.unread import PLAIN
from couloir.metric.chosen import build_metrics
from couloir.task.task import Task
from folders_of_masks import make_recipes
from networks import networks_of_maps, packaged_networks
from videos import make_videos

CHOICES = [(group, name) for group in tree.groups() for name in tree.choices(group)]
FILES = [tree.choices(group)[name] for group, name in CHOICES]
# What only the user can know.
NEEDED = {
    "data=csv": ["data.path={root}/table.csv", "data.target=y"],
    "data=text_file": ["data.path={root}/text.txt"],
    "experiment=char_gpt": ["data.path={root}/text.txt"],
    "data=text_csv": ["data.path={root}/texts.csv"],
    "data=frames": ["data.root={root}/videos", "data.frames=8", "data.short=repeat", "data.image_size=8"],
    "experiment=sentiment_cnn": ["data.path={root}/texts.csv"],
    "data=npz": ["data.path={root}/table.csv"],
    "data=parquet": ["data.path={root}/table.csv", "data.target=y"],
    "data=sequences_csv": ["data.path={root}/groups.csv", "data.group=a", "data.target=y"],
    "data=series_csv": ["data.path={root}/series.csv", "data.length=4", "data.horizon=2"],
    "data=image_folder": ["data.root={root}/photos"],
    "data=pictures": ["data.root={root}/photos"],
    "data=imagenet": ["data.root={root}/photos"],
    "data=shards": ["data.path={root}/shards"],
    "data=image_masks": ["data.root={root}/cells"],
    "data=membrane": ["data.root={root}/cells"],
    "data=pedestrians": ["data.root={root}/cells"],
    "initializer=custom": ["initializer.function=torch.nn.Module.eval"],
    "momentum_schedule=linear": ["optimizer=momentum"],
    "momentum_schedule=sutskever": ["optimizer=nesterov"],
    "initializer=from_run": ["initializer.run={root}/run"],
    "experiment=etth1": ["data.path={root}/hours.csv"],
    "experiment=vgg16_2014": ["initializer.run={root}/run"],
    "experiment=char_lstm": ["data.path={root}/text.txt"],
    "experiment=hymenoptera_head": ["data.root={root}/photos", "model.weights=null"],
    "experiment=cifar10_transfer": ["data.root={root}/photos"],
    "experiment=pedestrians_segmentation": ["model.weights=null"],
    "finetune=pattern": ["finetune.frozen=[c1]"],
    "model=timm": ["model.name=resnet10t"],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    root = tmp_path_factory.mktemp("files")
    (root / "run/checkpoints").mkdir(parents=True)
    (root / "run/checkpoints/best.ckpt").touch()
    (root / "run/config.yaml").write_text("model: {}")
    (root / "table.csv").write_text("a,b,y\n" + "\n".join(f"{n},{n * 2},{n % 3}" for n in range(30)))
    (root / "text.txt").write_text("To be, or not to be, that is the question. " * 90)
    (root / "texts.csv").write_text("t,y\n" + "\n".join(f"a text of row {n},{n % 3}" for n in range(30)))
    (root / "series.csv").write_text("day,y\n" + "\n".join(f"2000-01-{n:02},{n % 7}" for n in range(1, 32)))
    (root / "groups.csv").write_text("a,b,y\n" + "\n".join(f"{n // 3},{n},{n // 3 % 2}" for n in range(30)))
    (root / "hours.csv").write_text("y\n" + "1.5\n" * 14_400)
    (root / "conf/data").mkdir(parents=True)
    for holds, classes in (("classes", 3), ("values", 1)):
        facts = f"fields: {{x: image, y: map}}\nmaps: {holds}\nchannels: 1\nimage_size: 32\nnum_classes: {classes}\n"
        (root / f"conf/data/{holds}.yaml").write_text(f"# Maps.\n_target_: torch.utils.data.Dataset\n{facts}")
    for name in ("ants", "bees"):
        (root / f"photos/train/{name}").mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (40, 30), (number * 9, 80, 90)).save(root / f"photos/train/{name}/{number}.png")
    make_shards(root / "shards", 12)
    make_recipes(root / "cells")
    make_videos(root / "videos")
    return root


def of_steps(name: str) -> list[str]:
    """The data of a network over steps; none for other networks."""
    kinds = {field.kind for need in needs(tree.choices("model")[name]) for field in need}
    if "target_tokens" in kinds:
        return ["data=reversed"]
    if "future" in kinds and "video" not in kinds:
        return ["data=sine_series"]
    if {"tokens", "label"} <= kinds:
        return ["data=description_sentences"]
    sets = {"series": "digits_rows", "tokens": "descriptions", "video": "moving_digits"}
    return next(([f"data={data}"] for kind, data in sets.items() if kind in kinds), [])


def words_for(group: str, name: str, files: Path) -> list[str]:
    extra = [word.format(root=files) for word in NEEDED.get(f"{group}={name}", [])]
    if group == "experiment" and "override /data: imagenet" in tree.choices(group)[name].read_text():
        extra.append(f"data.root={files / 'photos'}")
    if group == "experiment" and re.search("override /data: (membrane|ped)", tree.choices(group)[name].read_text()):
        extra.append(f"data.root={files / 'cells'}")
    data = ["data=cifar10"] if group in ("model", "augmentation") else []
    if group == "model":
        data = of_steps(name) or data
    smallest = (
        re.search(r"# int >= (\d+) or \[height, width\]; pixels", tree.choices("model")[name].read_text())
        if group == "model"
        else None
    )
    if smallest and int(smallest[1]) > 32:
        data += [f"data.image_size={smallest[1]}"]
    if group == "model" and name in networks_of_maps():
        restores = "map(images)" in tree.choices("model")[name].read_text()
        if restores and "super_resolution" not in tree.choices("data"):
            pytest.skip("no data set is restored")
        data = ["data=super_resolution" if restores else "data=digits_on_photographs"]
    if group == "model" and not set(tasks_of(name)) <= tree.choices("task").keys():
        pytest.skip("the task that it is made for is not there")
    stated = re.search(r"^task: (\w+)$", tree.choices(group)[name].read_text(), re.M) if group == "data" else None
    if stated and stated[1] not in tree.choices("task"):
        pytest.skip(f"the task {stated[1]} is not there")
    if group == "loss" and lacking(tree.choices("loss")[name], {"fields": {"label": "label"}}):
        data = ["data=line"]
    maps = re.search(r"# Needs: map\((\w+)\)", tree.choices("loss")[name].read_text()) if group == "loss" else None
    if maps:
        data = [f"config_dir={files / 'conf'}", f"data={maps[1]}", "model=unet"]
    if group == "metric" and "tasks: [regression]" in tree.choices("metric")[name].read_text():
        data = ["data=line"]
    return [*data, f"{group}={name}", *extra]


def passengers() -> dict[str, list[tuple[str, str]]]:
    """model -> choices of other groups that go along in its sentence: they go with every model, and with each other."""
    models = [name for name in packaged_networks() if ("model", name) not in BY_THEMSELVES and not of_steps(name)]
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in models}
    for group in ("initializer", "optimizer", "scheduler", "metric", "augmentation", "averaging", "tta", "logger"):
        names = [name for name in tree.choices(group) if (group, name) not in BY_THEMSELVES]
        if group == "metric":
            texts = {name: tree.choices(group)[name].read_text() for name in names}
            others = ("regression", "multi_label", "vae")  # what these models learn is a class
            names = [name for name in names if not any(task in texts[name] for task in others)]
        for model, name in zip(models, names, strict=False):
            found[model].append((group, name))
    return found


BY_THEMSELVES = {
    ("model", "timm"), ("initializer", "custom"), ("initializer", "from_run"), ("logger", "wandb"),
    ("logger", "mlflow"), ("optimizer", "sdlm"),
}  # fmt: skip
"""What needs words of its own, or a package that may be missing."""
ALONG = passengers()
ALONE = [choice for choice in CHOICES if choice not in {each for along in ALONG.values() for each in along}]


@pytest.mark.parametrize(("group", "name"), ALONE, ids=[f"{group}={name}" for group, name in ALONE])
def test_every_choice_composes_and_instantiates(group: str, name: str, files: Path) -> None:
    if group == "trainer" and name in ("gpu", "fsdp"):
        cfg = compose_sentence([f"{group}={name}"]).cfg
        assert cfg.trainer.accelerator == "gpu"
        return
    if group in SWEEP_GROUPS:
        sweep = compose_sweep([f"{group}={name}"])
        check_sweep_values(sweep)
        node = sweep.cfg[group]
        assert (instantiate(node if group == "pruner" else node.sampler) is None) == (name in ("none", "grid"))
        return
    if group == "logger" and name in ("wandb", "mlflow"):
        pytest.importorskip(name, reason=f"couloir[{name}] is not installed")
    if (group, name) == ("model", "timm"):
        pytest.importorskip(name, reason="couloir[timm] is not installed; tests/model/test_timm.py has a stand-in")
    if group == "task":  # a partial over network, loss and data
        task = instantiate(compose_sentence([f"task={name}"]).cfg.task)
        assert issubclass(task.func, Task)
        return
    if group == "metric" and name.startswith("label_"):  # no data set that is packaged has several labels a sample
        cfg = compose_sentence([f"metric={name}", "task=multi_label"]).cfg
        assert list(build_metrics(cfg)) == [name]
        return
    if group == "metric" and name == "samples":  # for tasks that make some; the keys are no metrics
        cfg = compose_sentence([f"metric={name}", "task=gan"]).cfg
        assert list(build_metrics(cfg)) == [key for key in cfg.metric if key not in ("features", "count")]
        assert not build_metrics(cfg, "train")
        return
    along = ALONG.get(name, []) if group == "model" else []
    cfg = couloir.compose([*words_for(group, name, files), *(f"{other}={choice}" for other, choice in along)]).cfg
    for part, choice in [(group, name), *along]:
        instantiates(part, choice, cfg, files)


def instantiates(group: str, name: str, cfg: DictConfig, files: Path) -> None:
    node = cfg.get(group)
    if group == "metric":
        assert list(build_metrics(cfg)) == list(node)
    elif group in ("callbacks", "logger"):
        for part in (node[name] for name in node if name not in PLAIN.get(group, ())):
            instantiate(part, _convert_="all", **({"save_dir": str(files)} if group == "logger" else {}))
    elif group in ("experiment", "model"):
        with torch.device("meta"):  # tests/model gives them weights
            instantiate(cfg.model, _convert_="all")
    else:
        built = instantiate(node, _convert_="all")
        optional = ("scheduler", "momentum_schedule", "averaging", "tta", "finetune")
        assert (built is None) == (name == "none" and group in optional)


def test_every_choice_says_what_it_is_and_where_it_comes_from() -> None:
    wrong = []
    for group, name in CHOICES:
        path = tree.choices(group)[name]
        description = tree.describe(path)  # one sentence, for `couloir list`
        if not description.endswith((".", "?")) or not 10 < len(description) < 130:
            wrong.append(f"{group}={name}: {description}")
        if not any(line.startswith("Source:") for line in tree.header(path)):
            wrong.append(f"{group}={name} has no line Source:")
    assert wrong == []


def test_every_default_keeps_its_own_contract() -> None:
    wrong = []
    for path in FILES:
        for key in contract.read_keys(path):
            reference = isinstance(key.default, str) and ("${" in key.default or key.default == "???")
            if not reference and (accepted := contract.violation(key, key.default)) is not None:
                wrong.append(f"{path}, line {key.line}: {key.path} takes {accepted}")
    assert wrong == []


def test_a_comment_that_looks_like_a_contract_is_one() -> None:
    prose = []
    for path in FILES:
        lines = path.read_text().splitlines()
        for key in contract.read_keys(path):
            comment = lines[key.line - 1].partition(" #")[2].strip()
            if (
                re.match(r"(int|float|str|bool|list|one of|null)\b|[<>\[(]", comment)
                and ";" in comment
                and not key.contract
            ):
                prose.append(f"{path}, line {key.line} reads like a contract and is prose to the checker: {comment}")
    assert prose == []


def test_groups_are_the_folders_of_the_source() -> None:
    package = Path(couloir.__file__).parent
    for group in set(tree.groups()) - {"experiment", "logger", "sweep"}:
        assert (package / group).is_dir(), group


def test_config_keys_are_plain_after_resolving() -> None:
    container = OmegaConf.to_container(couloir.compose([]).cfg, resolve=True)

    def plain(value: object) -> bool:
        if isinstance(value, dict):
            return all(isinstance(key, str) and plain(entry) for key, entry in value.items())
        if isinstance(value, list):
            return all(plain(entry) for entry in value)
        return value is None or isinstance(value, bool | int | float | str)

    assert plain(container)
