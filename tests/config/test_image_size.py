"""One key says how large images are: a number, or `[height, width]`."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from couloir.cli.main import run
from couloir.config.check import checked
from couloir.config.image_size import covered_size, covering, enlarged, in_words, sample_shape, side_of, size_of, typed
from couloir.errors import CouloirError


@pytest.mark.parametrize("given", [[32, 48], (32, 48), OmegaConf.create([32, 48])])
def test_a_list_is_height_and_width_and_a_number_both(given: Any) -> None:
    assert size_of(given) == (32, 48)
    assert size_of(224) == (224, 224)
    assert sample_shape(3, given) == (3, 32, 48)
    assert sample_shape(4, None) == (4,)
    assert (in_words(given), typed(given), in_words(8), typed([8, 8])) == ("32x48", "[32,48]", "8", "8")


@pytest.mark.parametrize("given", [[32], [1, 2, 3], [0, 4], [2.0, 4], [True, 4], 0, -3, 1.5, True, None, "32", "", []])
def test_what_is_no_size_is_refused(given: Any) -> None:
    with pytest.raises(CouloirError, match=r"a number of pixels, or \[height, width\], not"):
        size_of(given)


def test_two_numbers_and_a_cross_are_understood_and_refused() -> None:
    with pytest.raises(CouloirError) as raised:
        size_of("32x48")
    assert raised.value.next_step == "did you mean data.image_size=[32,48]? The height comes first"


def test_a_square_stays_a_number() -> None:
    assert enlarged(224, 8 / 7) == 256
    assert enlarged([224, 224], 8 / 7) == 256
    assert enlarged([210, 280], 8 / 7) == [240, 320]
    assert covering(256, [200, 300]) == [256, 300]
    assert covering([10, 40], [40, 10]) == 40
    assert side_of([7, 7], "lenet5") == 7
    with pytest.raises(CouloirError, match="model=lenet5 needs square images, not 7x8"):
        side_of([7, 8], "lenet5")


@pytest.mark.parametrize(
    ("height", "width", "size", "covered"),
    [
        (375, 500, (224, 224), (224, 299)),  # the shorter side
        (500, 375, (224, 224), (299, 224)),
        (100, 200, (50, 50), (50, 100)),
        (100, 200, (20, 60), (30, 60)),  # the width decides: 60/200 > 20/100
        (100, 200, (60, 20), (60, 120)),
        (60, 40, (90, 30), (90, 60)),  # enlarged where it must be
    ],
)
def test_a_photograph_just_covers_what_is_asked_for(
    height: int, width: int, size: tuple[int, int], covered: tuple[int, int]
) -> None:
    assert covered_size(height, width, size) == covered


def test_lengths_in_proportion_have_both_sides() -> None:
    words = ["data=imagenet", "data.root=nowhere", "model=resnet18", "data.num_classes=2"]
    assert checked([*words, "data.image_size=299"], reads_data=False).cfg.data.resize == 342
    assert checked([*words, "data.image_size=[112,224]"], reads_data=False).cfg.data.resize == [128, 256]


def test_a_recipe_may_have_rectangles_at_both_scales() -> None:
    words = ["data=synthetic", "model=resnet20", "data.image_size=${by_scale:[96,128],[16,24]}"]
    assert checked(words).cfg.model.image_size == [96, 128]
    assert checked([*words, "scale=smoke"]).cfg.model.image_size == [16, 24]


@pytest.mark.parametrize(
    ("words", "fact", "next_step"),
    [
        ("model=convnet data.image_size=[32]", "takes an integer >= 1 or two of them as [height, width], "
         "not [32].", "did you mean data.image_size=32?"),
        ("model=convnet data.image_size=[32,0]", "not [32,0].", "the default is"),
        ("model=convnet data.image_size=[32,48,3]", "not [32,48,3].", "the default is"),
        ("model=convnet data.image_size=[32,1.5]", "not [32,1.5].", "the default is"),
        ("model=convnet data.image_size=32x48", "not the text '32x48'.", "did you mean data.image_size=[32,48]?"),
        ("model=vgg11 data.image_size=[20,48]", "too small for model=vgg11: 20x48 pixels", "use larger images"),
        ("model=vgg11 data.image_size=[48,20]", "too small for model=vgg11: 48x20 pixels", "use larger images"),
        ("data.image_size=[32,48]", "model=lenet5 needs square images, and data=synthetic has images and classes with "
         "image_size=[32,48].", "take one of: alexnet"),
        ("model=lenet5_1998 data.image_size=[32,33]", "model=lenet5_1998 needs square images", "leave model"),
    ],
)  # fmt: skip
def test_a_wrong_size_ends_before_torch(
    words: str, fact: str, next_step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "data=synthetic", *words.split()]) == 2
    said = capsys.readouterr().err
    assert fact in said
    assert f"next:  {next_step}" in said or next_step in said


def test_a_square_in_a_list_is_a_square() -> None:
    assert checked(["data=synthetic", "data.image_size=[32,32]"]).cfg.model.image_size == [32, 32]
