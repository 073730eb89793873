"""Images and masks in folders: each mask goes with its image, or the run ends with the names of the files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from couloir.config import tree
from couloir.config.fields import IGNORED, SIZE
from couloir.data.image_masks import count, image_masks, inspect
from couloir.data.pairing import list_pairs
from couloir.data.samples import Samples
from couloir.errors import CouloirError
from folders_of_masks import make_masks, mask_of

KEYS: dict[str, Any] = {
    "images": None, "masks": None, "maps": "classes", "colours": {"a": 0, "b": 255}, "ignore_index": None,
    "memory_budget": 1.0, "resize": None, "windows": "anywhere", "cache": False, "cache_size": 1.0, "cache_dir": None,
    "on_error": "raise", "group_pattern": None, "test_pattern": None, "max_pixels": 10**6, "background": "white",
    "bits": None, "task": "segmentation", "fields": {"image": "image", "mask": "map"}, "channels": 3, "image_size": 24,
    "num_classes": 2, "batch_size": 4,
}  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COULOIR_CACHE", str(tmp_path / "cache"))


def samples_of(root: Path, **keys: Any) -> Samples:
    samples = image_masks(root=str(root), **{**KEYS, **keys})
    samples.setup()
    return samples


@pytest.mark.parametrize(
    "folders", [["{what}"], ["train/{what}", "test/{what}"], ["{what}/train", "{what}/test"], ["Set/{what}"]]
)
def test_images_and_masks_are_found_wherever_they_usually_are(folders: list[str], tmp_path: Path) -> None:
    for place in folders:
        make_masks(tmp_path / "root", 3, folders=place)
    paired = list_pairs(tmp_path / "root")
    assert list(paired.splits) == ["train", "test"][: len(folders)]
    for pairs in paired.splits.values():
        assert [(image.name, mask.name) for image, mask in pairs] == [(f"00{n}.jpg", f"00{n}.png") for n in range(3)]


def test_a_mask_may_end_in_a_word_and_its_folder_may_have_another_name(tmp_path: Path) -> None:
    make_masks(tmp_path, 3)
    (tmp_path / "masks").rename(tmp_path / "SegmentationClass")
    (tmp_path / "images").rename(tmp_path / "imgs")
    for mask in list((tmp_path / "SegmentationClass").iterdir()):
        mask.rename(mask.with_stem(f"{mask.stem}_mask"))
    (tmp_path / "imgs/Thumbs.db").touch()
    paired = list_pairs(tmp_path)
    assert [mask.name for _, mask in paired.splits["train"]] == ["000_mask.png", "001_mask.png", "002_mask.png"]
    assert [Path(entry.file).name for entry in paired.left_out] == ["Thumbs.db"]
    (tmp_path / "labels").mkdir()
    with pytest.raises(CouloirError, match=r"data\.masks=SegmentationClass, or data\.masks=labels"):
        list_pairs(tmp_path)
    assert list_pairs(tmp_path, masks="SegmentationClass").splits == paired.splits


def test_the_folders_of_nnunet_and_mmsegmentation_are_known(tmp_path: Path) -> None:
    for images, masks in (("imagesTr", "labelsTr"), ("img_dir", "ann_dir")):
        root = make_masks(tmp_path / images, 3)
        (root / "images").rename(root / images)
        (root / "masks").rename(root / masks)
        for image in list((root / images).iterdir()):
            image.rename(image.with_stem(f"{image.stem}_0000" if images == "imagesTr" else image.stem))
        assert [mask.name for _, mask in list_pairs(root).splits["train"]] == ["000.png", "001.png", "002.png"]
    (tmp_path / "img_dir/img_dir").rename(tmp_path / "img_dir/slices")
    with pytest.raises(CouloirError) as caught:
        list_pairs(tmp_path / "img_dir")
    assert "data.images=slices" in str(caught.value), "not the folder of the masks"


def test_each_window_has_the_mask_of_its_own_place(tmp_path: Path) -> None:
    """The masks are made of the images: where they go apart, a pixel does not match."""
    make_masks(tmp_path, 9)
    for image in (tmp_path / "images").iterdir():
        mask = Image.open(tmp_path / f"masks/{image.stem}.png")
        mask.convert("RGB").save(image.with_suffix(".png"))
        image.unlink()
    for budget, cache in ((1.0, False), (0.0, False), (0.0, True)):
        samples = samples_of(tmp_path, standardize=False, memory_budget=budget, cache=cache)
        for split, loader in (("train", samples.train_dataloader()), ("test", samples.test_dataloader())):
            for batch in loader:
                inside = batch["mask"] != IGNORED
                assert torch.equal(batch["image"][:, 0][inside] > 0.5, batch["mask"][inside] == 1)
                assert batch["image"].shape[1:] == (3, 24, 24) or split == "test"
        samples.teardown("fit")


def test_whole_images_of_unequal_sizes_are_validated_on(tmp_path: Path) -> None:
    samples = samples_of(make_masks(tmp_path), test_pattern=r"00[0-3]\.jpg$")
    (batch,) = samples.test_dataloader()
    assert batch[SIZE].tolist() == [[37, 47], [32, 40], [32, 40], [37, 47]]
    for number, (mask, (height, width)) in enumerate(zip(batch["mask"], batch[SIZE].tolist(), strict=True)):
        assert np.array_equal(mask[:height, :width] * 255, mask_of(width, height, number))
        assert (mask[height:] == IGNORED).all()
        assert (mask[:, width:] == IGNORED).all()
    assert samples.sizes() == {"train": 5, "val": 1, "test": 4}
    counted = samples.class_counts()
    assert counted is not None
    assert len(counted[0]) == 2


def test_groups_stay_together_and_are_counted_for_folds(tmp_path: Path) -> None:
    make_masks(tmp_path, 12)
    pattern = r"/(\d\d)"  # 000 to 009, and 010 and 011
    keys = {"root": str(tmp_path), "group_pattern": pattern, "_target_": "couloir.data.image_masks.image_masks"}
    assert count(keys) == (12, 2)
    samples = samples_of(tmp_path, group_pattern=r"/0(\d\d)", folds="leave_one_group_out", fold=3)
    assert [samples.splits["test"].source.paths[place].name for place in samples.splits["test"].indices] == ["003.jpg"]
    with pytest.raises(CouloirError, match="no group in the name of a file"):
        count({**keys, "group_pattern": "x(y)"})


def test_maps_of_values_are_a_saliency_set(tmp_path: Path) -> None:
    make_masks(tmp_path, 8, values=(0, 51, 255))
    (tmp_path / "masks").rename(tmp_path / "maps")
    facts = inspect("image_masks", {"root": str(tmp_path), "maps": "values"})
    assert facts == {
        "task": "saliency", "fields": {"image": "image", "saliency": "map"}, "num_classes": 1, "classes": [],
        "channels": 3, "colours": None,
    }  # fmt: skip
    samples = samples_of(tmp_path, maps="values", colours=None, num_classes=1, task="saliency", fields=facts["fields"])
    batch = next(iter(samples.train_dataloader()))
    assert batch["saliency"].shape == (4, 1, 24, 24)
    assert batch["saliency"].unique().tolist() == pytest.approx([0, 0.2, 1])


def test_maps_that_are_all_black_are_refused(tmp_path: Path) -> None:
    make_masks(tmp_path, 8, values=(0, 1))
    with pytest.raises(CouloirError, match="All 8 maps are black"):
        inspect("image_masks", {"root": str(tmp_path), "maps": "values"})


def test_what_nobody_states_is_read_from_the_files(tmp_path: Path) -> None:
    make_masks(tmp_path, 4, values=(0, 1, 2))
    facts = inspect("image_masks", {"root": str(tmp_path)})
    assert facts["classes"] == ["0", "1", "2"]
    assert facts["colours"] == {"0": 0, "1": 1, "2": 2}
    assert (facts["num_classes"], facts["channels"], facts["task"]) == (3, 3, "segmentation")
    for image in (tmp_path / "images").iterdir():
        Image.open(image).convert("L").save(image)
    stated = inspect("image_masks", {"root": str(tmp_path), "num_classes": 5, "ignore_index": 255})
    assert (stated["channels"], stated["classes"]) == (1, ["0", "1", "2", "3", "4"])


def without_folder(root: Path) -> None:
    shutil.rmtree(root / "masks")


def empty_folder(root: Path) -> None:
    for mask in (root / "masks").iterdir():
        mask.unlink()


def with_outlines(root: Path) -> None:
    empty_folder(root)
    (root / "masks/000.json").touch()


def without_mask(root: Path) -> None:
    (root / "masks/001.png").unlink()
    (root / "masks/003.png").unlink()


def without_image(root: Path) -> None:
    (root / "images/001.jpg").unlink()


def no_names_in_common(root: Path) -> None:
    for mask in list((root / "masks").iterdir()):
        mask.rename(mask.with_stem(f"x{mask.stem}"))


def another_size(root: Path) -> None:
    Image.fromarray(mask_of(9, 9, 0)).save(root / "masks/001.png")
    Image.fromarray(mask_of(9, 9, 0)).save(root / "masks/002.png")


def stored_turned(root: Path) -> None:
    image = Image.open(root / "images/001.jpg")
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(root / "images/001.jpg", exif=exif)


def single(root: Path) -> None:
    for file in [*(root / "images").iterdir(), *(root / "masks").iterdir()]:
        if file.stem != "001":
            file.unlink()


def another_value(root: Path) -> None:
    Image.fromarray(mask_of(40, 32, 0, (0, 7))).save(root / "masks/001.png")


def torn(root: Path) -> None:
    (root / "masks/001.png").write_bytes((root / "masks/001.png").read_bytes()[:60])


def smeared(root: Path) -> None:
    mask = Image.open(root / "masks/001.png").convert("L")
    (root / "masks/001.png").unlink()
    mask.save(root / "masks/001.jpg", quality=50)


def two_masks(root: Path) -> None:
    shutil.copy(root / "masks/001.png", root / "masks/001_mask.png")


def of_16_bits(root: Path) -> None:
    mask = np.arange(40 * 32, dtype=np.uint16).reshape(32, 40) * 40
    Image.fromarray(mask).save(root / "masks/001.png")


def only_a_test(root: Path) -> None:
    for what in ("images", "masks"):
        (root / "test").mkdir(exist_ok=True)
        (root / what).rename(root / f"test/{what}")


MISTAKES = [
    (without_folder, "has no folder masks; there is images", None),
    (empty_folder, "The folder of the masks,", None),
    (with_outlines, "holds only files such as 000.json", None),
    (without_mask, "2 images have no mask: images/001.jpg, images/003.jpg", 2),
    (without_image, "1 mask has no image: masks/001.png", 1),
    (no_names_in_common, "has its mask in", None),
    (another_size, "its image 001.jpg 40 x 32; 2 of 10 masks that were looked at are wrong, also 002.png", 2),
    (stored_turned, "40 x 32 pixels, and its image 001.jpg 32 x 40, turned as its EXIF says", 1),
    (single, "There is 1 image, too few to train, validate and test on", None),
    (another_value, "001.png has the value 7, which is in no class", 1),
    (torn, "001.png cannot be decoded", 1),
    (smeared, "001.jpg is a JPEG, which changes values along edges", 1),
    (two_masks, "001.png and 001_mask.png are two masks", None),
    (of_16_bits, "001.png has the value", 1),
    (only_a_test, "no images to train on", None),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "says", "skipped"), MISTAKES, ids=lambda value: getattr(value, "__name__", ""))
def test_what_does_not_fit_is_named_before_training_or_left_out(
    spoil: Callable[[Path], None], says: str, skipped: int | None, tmp_path: Path
) -> None:
    spoil(make_masks(tmp_path / "root"))
    keys = {"root": str(tmp_path / "root"), "colours": KEYS["colours"]}
    with pytest.raises(CouloirError) as caught:
        inspect("image_masks", keys)
    assert says in str(caught.value)
    assert caught.value.next_step
    if skipped is None:
        return
    assert inspect("image_masks", {**keys, "on_error": "skip"})["num_classes"] == 2
    samples = samples_of(tmp_path / "root", on_error="skip")
    assert len(samples.skipped) == skipped
    assert sum(samples.sizes().values()) == 10 - skipped
    clean = samples_of(tmp_path / "root", on_error="skip", memory_budget=0)
    assert samples.fingerprint() == clean.fingerprint()


def test_a_mask_that_few_look_at_is_named_when_the_set_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("couloir.data.image_masks.TRIED", 2)
    another_value(make_masks(tmp_path))
    assert inspect("image_masks", {"root": str(tmp_path), "colours": KEYS["colours"]})["num_classes"] == 2
    with pytest.raises(CouloirError, match=r"001\.png has the value 7"):
        samples_of(tmp_path)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"root": None}, "add data.root=FOLDER"),
        ({"root": "nowhere"}, "is not a folder"),
        ({"num_classes": 3}, "There are 2 classes, not 3: a, b"),
        ({"maps": "values"}, "data.maps=values has none"),
        ({"maps": "saliency"}, "data.maps takes one of classes, values, not saliency"),
        ({"colours": "red"}, "takes names of classes and their values"),
        ({"images": "photos"}, "has no folder photos; there are images, masks"),
        ({"test_pattern": "("}, "no regular expression"),
        ({"test_pattern": "x"}, "finds none of the 10 images, such as images/000.jpg"),
        ({"colours": None, "num_classes": 1}, "2 to 255 classes, not 1"),
    ],
)
def test_keys_that_fit_no_folder_are_refused(keys: dict[str, Any], says: str, tmp_path: Path) -> None:
    make_masks(tmp_path)
    with pytest.raises(CouloirError) as caught:
        inspect("image_masks", {"root": str(tmp_path), "colours": KEYS["colours"], **keys})
    assert says in str(caught.value)


def test_the_slices_and_the_pedestrians_are_split_as_their_recipes_say(couloir_data: Path) -> None:
    for name, sizes in (("membrane", (25, 5)), ("pedestrians", (136, 34))):
        data = OmegaConf.load(tree.choices("data")[name])
        paired = list_pairs(couloir_data / name, test=data.test_pattern)
        assert (len(paired.splits["train"]), len(paired.splits["test"])) == sizes
        assert inspect(name, {"root": str(couloir_data / name), "colours": dict(data.colours)})["num_classes"] == 2
    assert [image.stem for image, _ in list_pairs(couloir_data / "membrane", test=r"2[5-9]\.png$").splits["test"]] == [
        "25", "26", "27", "28", "29",
    ]  # fmt: skip
