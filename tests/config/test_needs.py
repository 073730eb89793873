"""The header line `# Needs:`: one grammar, read alike by the check and by what is settled."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

import couloir
from couloir.config import tree
from couloir.config.needs import KINDS, Field, fields_of, fitting, lacking, needs, told
from couloir.errors import CouloirError

IMAGES = {"fields": {"image": "image", "label": "label"}, "channels": 1, "image_size": 28, "num_classes": 10}
MASKS = {"fields": {"image": "image", "mask": "map"}, "channels": 3, "num_classes": 2, "task": "segmentation"}
TABLE = {"fields": {"row": "row", "value": "value"}, "channels": 4, "image_size": None, "num_classes": 1}


def file(tmp_path: Path, line: str) -> Path:
    path = tmp_path / "part.yaml"
    path.write_text(f"# A part. It needs images, in prose.\n# Source: none.\n{line}\n_target_: my.Part\ndepth: 2\n")
    return path


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("# Needs: image", [[Field("image", {})]]),
        ("# Needs: image(channels=3)", [[Field("image", {"channels": 3})]]),
        ("# Needs: image(square)", [[Field("image", {}, square=True)]]),
        ("# Needs: image(square, channels=1)", [[Field("image", {"channels": 1}, square=True)]]),
        ("# Needs: map", [[Field("map", {})]]),
        ("# Needs: map(classes)", [[Field("map", {}, holds="classes")]]),
        ("# Needs: map(values, num_classes=1)", [[Field("map", {"num_classes": 1}, holds="values")]]),
        ("# Needs: row or image", [[Field("row", {}), Field("image", {})]]),
        (
            "# Needs: image(channels=3, image_size=32), label or labels(num_classes=2)",
            [
                [Field("image", {"channels": 3, "image_size": 32})],
                [Field("label", {}), Field("labels", {"num_classes": 2})],
            ],
        ),
        ("# Needs: image where depth=3; image, map", [[Field("image", {})], [Field("map", {})]]),
        ("# Needs: row where depth=2; image, map", [[Field("row", {})]]),
        ("# Expects: images of at least 8x8 pixels", []),
        ("", []),
    ],
)
def test_a_line_is_read_as_its_grammar_says(line: str, read: list[list[Field]], tmp_path: Path) -> None:
    assert needs(file(tmp_path, line)) == read


@pytest.mark.parametrize(
    ("line", "said", "next_step"),
    [
        ("# Needs: images", "there is no kind of field 'images'", "did you mean image?"),
        ("# Needs: sound", "there is no kind of field 'sound'", "kinds: image, map, label"),
        ("# Needs:", "'' is no need", "write a kind of field"),
        ("# Needs: image,", "'' is no need", "write a kind of field"),
        ("# Needs: image of 3 channels", "'image of 3 channels' is no need", "write a kind of field"),
        ("# Needs: image(channels>2)", "'channels>2' is not KEY=NUMBER", "keys: channels, image_size, num_classes"),
        ("# Needs: image(colours=3)", "'colours=3' is not KEY=NUMBER", "keys: channels"),
        ("# Needs: map(square)", "'square' is not KEY=NUMBER", "classes, values, images, or keys: channels"),
        ("# Needs: image(classes)", "'classes' is not KEY=NUMBER", "square, or keys: channels"),
        ("# Needs: image()", "'' is not KEY=NUMBER", "keys: channels"),
        ("# Needs: image where deph=2; map", "'where deph=2' names no key", "did you mean where depth=2?"),
        ("# Needs: image where depth; map", "'where depth' names no key", "did you mean where depth=VALUE?"),
        ("# Needs: image; maps", "there is no kind of field 'maps'", "did you mean map?"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused_with_its_place(
    line: str, said: str, next_step: str, tmp_path: Path
) -> None:
    with pytest.raises(CouloirError) as caught:
        needs(file(tmp_path, line))
    assert said in caught.value.fact
    assert str(caught.value.place).endswith("part.yaml, line 3")
    assert next_step in str(caught.value.next_step)


def test_a_users_own_line_is_refused_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("conf/model").mkdir(parents=True)
    Path("conf/model/mine.yaml").write_text("# Mine.\n# Needs: picture\n_target_: pictured.Net\n")
    Path("pictured.py").write_text("class Net: ...\n")
    with pytest.raises(CouloirError, match="no kind of field 'picture'") as caught:
        couloir.compose(["model=mine"])
    assert caught.value.place == "conf/model/mine.yaml, line 2"


@pytest.mark.parametrize(
    ("line", "data", "answer"),
    [
        ("# Needs: image", IMAGES, None),
        ("# Needs: image", TABLE, ("images", "rows of a table and values to predict")),
        ("# Needs: row or image", IMAGES, None),
        ("# Needs: row or image", TABLE, None),
        ("# Needs: image(channels=1), label", IMAGES, None),
        (
            "# Needs: image(channels=3)",
            IMAGES,
            ("images with channels=3", "images and classes with channels=1"),
        ),
        ("# Needs: image(square)", IMAGES, None),
        ("# Needs: image(square)", TABLE, ("images", "rows of a table and values to predict")),
        ("# Needs: image(square, image_size=28)", IMAGES | {"image_size": [28, 28]}, None),
        (
            "# Needs: image(square, channels=1)",
            IMAGES | {"image_size": [28, 20]},
            ("square images with channels=1", "images and classes with channels=1, image_size=[28,20]"),
        ),
        ("# Needs: image, labels or map", IMAGES, ("several labels a sample or maps", "images and classes")),
        ("# Needs: map", MASKS, None),
        ("# Needs: map(classes)", MASKS, None),
        ("# Needs: map(classes)", MASKS | {"num_classes": 1, "task": None, "maps": "classes"}, None),
        ("# Needs: label or map(values)", MASKS, ("classes or maps of values", "images and maps of classes")),
        ("# Needs: map(values)", MASKS | {"task": "restoration"}, ("maps of values", "images and images to restore")),
        ("# Needs: map(values) or map(images)", MASKS | {"task": "restoration"}, None),
        ("# Needs: map(values)", MASKS | {"task": "saliency"}, None),
        ("# Needs: map(values)", MASKS | {"maps": "values"}, None),
        ("# Needs: map(values)", MASKS | {"num_classes": 1, "task": None}, None),
        ("", TABLE, None),
    ],
)
def test_what_the_data_lacks_is_said_in_words(
    line: str, data: dict[str, object], answer: tuple[str, str] | None, tmp_path: Path
) -> None:
    assert lacking(file(tmp_path, line), data) == answer


def test_data_that_states_no_fields_has_those_of_its_task_and_size() -> None:
    assert fields_of({"task": "classification", "image_size": 8}) == {"image": "image", "label": "label"}
    assert fields_of({"task": "regression", "image_size": None}) == {"row": "row", "value": "value"}
    assert fields_of({"task": "multi_label"}) == {"row": "row", "labels": "labels"}
    assert fields_of(IMAGES) == IMAGES["fields"]


def test_the_choices_that_fit_are_those_that_lack_nothing() -> None:
    assert fitting("model", TABLE) == ["linear", "mlp", "perceptron", "polynomial"]
    assert fitting("loss", TABLE) == ["charbonnier", "ead", "huber", "mae", "mlnet", "mse", "msle"]
    assert {"pca_color", "alexnet", "vgg"}.isdisjoint(fitting("augmentation", IMAGES))
    assert "photometric" in fitting("augmentation", IMAGES)


@pytest.mark.parametrize("group", ["model", "loss", "augmentation", "tta"])
def test_every_packaged_need_can_be_read_and_is_met_by_some_data(group: str) -> None:
    for name, path in tree.choices(group).items():
        assert needs(path) or name in ("none", "mixup", "noise"), name
        assert all(field.kind in KINDS for need in needs(path) for field in need)


MAPS = {"fields": {"image": "image", "mask": "map"}, "channels": 3, "image_size": 64, "num_classes": 2}


def test_a_network_for_rows_does_not_fit_data_of_maps_and_the_other_way_round() -> None:
    assert {"unet"} <= set(fitting("model", MAPS))
    assert {"vgg16", "linear", "resnet18"}.isdisjoint(fitting("model", MAPS))
    assert "unet" not in fitting("model", IMAGES)
    assert lacking(tree.choices("model")["unet"], IMAGES) == ("maps", "images and classes")


def test_where_a_key_decides_its_value_in_the_sentence_counts(tmp_path: Path) -> None:
    part = file(tmp_path, "# Needs: image where depth=2; image, map")
    assert lacking(part, IMAGES) is None
    assert lacking(part, IMAGES, {"depth": 2}) is None
    assert lacking(part, IMAGES, {"depth": 3}) == ("maps", "images and classes")
    assert lacking(part, MAPS, {"depth": 3}) is None


@pytest.mark.parametrize(
    ("learned", "fields"),
    [("label", {"image": "image", "label": "label"}), ("map", {"image": "image", "mask": "map"})],
)
def test_a_network_goes_by_the_target_that_the_task_learns(learned: str, fields: dict[str, str]) -> None:
    data = {"fields": {"image": "image", "mask": "map", "label": "label"}}
    cfg = OmegaConf.create({"data": data, "task": {"needs": [learned]}})
    assert told("model", cfg)["fields"] == fields
    assert told("augmentation", cfg)["fields"] == data["fields"]
    cfg.task.needs = []  # a task that rebuilds its inputs, say
    assert told("model", cfg)["fields"] == data["fields"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=vgg16"], r"model=vgg16 gives a row of numbers for an image, and task=segmentation learns maps\."),
        (["loss=mse"], r"values or images to restore, and task=segmentation learns maps of classes"),
        (
            ["data.task=saliency", "data.num_classes=1", "loss=dice"],
            r"loss=dice needs maps of classes, and task=saliency learns maps of v",
        ),
        (
            ["+data.maps=values", "task=segmentation"],
            r"needs maps of classes, and data=maps has images and maps of values",
        ),
        (
            ["callbacks.loss_surfaces.draw=true", "model=unet"],
            r"losses of maps of values, and task=segmentation learns",
        ),
        (
            ["callbacks.samples.count=9", "model=unet"],
            r"callbacks.samples.count=9 is about what a network makes, and task=segmentation makes neither",
        ),
        (
            ["callbacks.samples.tokens=9", "model=unet"],
            r"tokens=9 is about what a network makes, and task=segmentation",
        ),
        (
            ["loss=unet_cross_entropy", "loss.background=2", "model=unet"],
            r"loss.background=2 is no class: the data has 2",
        ),
        (["metric=f1", "model=unet"], r"metric=f1 does not fit the task of the data: segmentation"),
        (["model=unet", "model.padding=none"], r"Images of 64 pixels do not fit a U-Net of depth 4 without padding"),
    ],
)
def test_a_network_or_a_loss_that_does_not_fit_maps_is_refused_before_the_run(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("conf/data").mkdir(parents=True)
    facts = "task: segmentation\nfields: {x: image, y: map}\nchannels: 3\nimage_size: 64\nnum_classes: 2\n"
    Path("conf/data/maps.yaml").write_text(f"# Maps.\n# Source: none.\n_target_: mapped.Data\n{facts}")
    Path("mapped.py").write_text("class Data: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CouloirError, match=said):
        couloir.compose(["data=maps", *words])
