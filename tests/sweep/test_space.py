"""The search space: what is typed and what files say, under which conditions, and in which order a grid goes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from couloir.config import tree
from couloir.errors import CouloirError
from couloir.sweep.space import Grid, Numbers, Parameter, Setting, as_words, read_space, without_plus


def parameter(word: str, **files: Any) -> Parameter:
    """The only one."""
    (found,) = read_space([word] if word else [], files).parameters
    return found


def grid(*words: str, **known: str) -> list[Setting]:
    """All settings in order."""
    settings = Grid(read_space(words, {}), lambda key: known.get(key, ""))
    return [settings[number] for number in range(len(settings))]


@pytest.fixture
def loader() -> Iterator[ConfigLoader]:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(tree.packaged_conf()), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("optimizer=sgd,adam", ("sgd", "adam")),
        ("optimizer=choice(sgd,adam)", ("sgd", "adam")),
        ("optimizer.lr=0.1,1e-3", ("0.1", "0.001")),
        ("model.hidden=[64],[64,32]", ("[64]", "[64,32]")),
        ("model.activation='relu','a, b'", ("'relu'", "'a, b'")),
        ("data.subset=null,100", ("null", "100")),
        ("model.batch_norm=true,false", ("true", "false")),
        ("optimizer=sgd,adam,sgd", ("sgd", "adam")),
        ("optimizer=sort(sgd,adam)", ("adam", "sgd")),
    ],
)
def test_a_list_is_tried_as_it_was_typed(word: str, values: tuple[str, ...]) -> None:
    found = parameter(word)
    assert found.values == values
    assert found.numbers is None


@pytest.mark.parametrize(
    ("word", "values", "numbers"),
    [
        ("model.depth=range(1,4)", ("1", "2", "3"), Numbers(1, 3, 1, integer=True)),
        ("model.depth=range(4)", ("0", "1", "2", "3"), Numbers(0, 3, 1, integer=True)),
        ("model.depth=range(2,10,3)", ("2", "5", "8"), Numbers(2, 8, 3, integer=True)),
        ("model.depth=range(10,1,-3)", ("10", "7", "4"), Numbers(4, 10, 3, integer=True)),
        ("model.dropout=range(0,1,0.25)", ("0.0", "0.25", "0.5", "0.75"), Numbers(0, 0.75, 0.25)),
        ("model.dropout=range(0,0.8,0.2)", ("0.0", "0.2", "0.4", "0.6000000000000001"), Numbers(0, 0.6, 0.2)),
        ("model.depth=tag(log, range(1,5))", ("1", "2", "3", "4"), Numbers(1, 4, None, integer=True, log=True)),
        ("model.depth=range(1,2)", ("1",), None),
    ],
)
def test_a_range_ends_before_its_stop_for_the_grid_and_for_every_sampler(
    word: str, values: tuple[str, ...], numbers: Numbers | None
) -> None:
    found = parameter(word)
    assert [float(value) for value in found.values] == [float(value) for value in values]
    assert found.numbers == numbers


@pytest.mark.parametrize(
    ("word", "numbers"),
    [
        ("optimizer.lr=interval(0.1,1)", Numbers(0.1, 1)),
        ("optimizer.lr=interval(1,10)", Numbers(1, 10)),
        ("optimizer.lr=tag(log, interval(1e-4,1e-1))", Numbers(1e-4, 1e-1, log=True)),
        ("model.width=int(interval(1,10))", Numbers(1, 10, 1, integer=True)),
        ("model.width=tag(log, int(interval(1,1000)))", Numbers(1, 1000, None, integer=True, log=True)),
    ],
)
def test_an_interval_is_what_its_words_say(word: str, numbers: Numbers) -> None:
    found = parameter(word)
    assert (found.values, found.numbers) == ((), numbers)


def test_a_condition_is_read_beside_log_and_holds_for_each_of_its_values() -> None:
    found = parameter('optimizer.momentum=tag(log, "optimizer=sgd|nesterov", interval(0.1,0.99))')
    assert found.numbers is not None
    assert found.numbers.log
    assert found.applies({"optimizer": "nesterov"}, lambda _: "")
    assert not found.applies({"optimizer": "adam"}, lambda _: "")
    assert found.applies({"model": "mlp"}, {"optimizer": "sgd"}.__getitem__), "the sentence's own choice counts"
    assert found.applies({"+optimizer": "sgd"}, lambda _: ""), "a key that was typed with a plus counts"


def test_several_conditions_must_all_hold() -> None:
    found = parameter('optimizer.lr=tag("optimizer=sgd", "model=mlp", interval(0,1))')
    assert found.applies({"optimizer": "sgd", "model": "mlp"}, lambda _: "")
    assert not found.applies({"optimizer": "sgd", "model": "linear"}, lambda _: "")


def test_a_key_is_chosen_after_those_that_its_conditions_look_at() -> None:
    words = ['a=tag("b=1", choice(1,2))', 'b=tag("c=1", choice(1,2))', "c=1,2", "d=1,2"]
    assert [found.key for found in read_space(words, {}).parameters] == ["c", "b", "a", "d"]


def test_a_pattern_stands_for_the_groups_choices(loader: ConfigLoader) -> None:
    (found,) = read_space(["model=glob(resnet*)"], {}, loader).parameters
    assert found.values == tuple(name for name in sorted(tree.choices("model")) if name.startswith("resnet"))
    assert len(found.values) > 3
    (found,) = read_space(["model=glob(resnet*,exclude=resnet1*)"], {}, loader).parameters
    assert "resnet20" in found.values
    assert "resnet18" not in found.values


def test_a_shuffle_is_the_same_each_time_and_another_with_another_seed() -> None:
    word = "seed=shuffle(range(30))"
    (once,), (again,), (other,) = (read_space([word], {}, seed=seed).parameters for seed in (1, 1, 2))
    assert once.values == again.values
    assert once.values != other.values
    assert sorted(map(int, once.values)) == list(range(30))
    assert list(map(int, once.values)) != list(range(30))


@pytest.mark.parametrize(
    ("value", "values"),
    [
        (["sgd", "adam"], ("sgd", "adam")),
        ("sgd,adam", ("sgd", "adam")),
        ("choice(sgd,adam)", ("sgd", "adam")),
        ([0.1, 1], ("0.1", "1")),
        ([True, False], ("true", "false")),
        ([[64, 32], [16]], ("[64,32]", "[16]")),
        ([[True, None], []], ("[True,null]", "[]")),
        ([None, 3], ("null", "3")),
    ],
)
def test_a_files_list_is_what_would_be_typed(value: Any, values: tuple[str, ...]) -> None:
    assert parameter("", key=value).values == values


@pytest.mark.parametrize(("value", "word"), [(3, "key=3"), (0.5, "key=0.5"), (True, "key=true"), ("sgd", "key=sgd")])
def test_a_files_single_value_is_the_same_in_every_trial(value: Any, word: str) -> None:
    space = read_space(["model=mlp"], {"key": value})
    assert sorted(space.words) == sorted(["model=mlp", word])
    assert space.parameters == []


def test_what_is_typed_beats_the_file() -> None:
    files = {"optimizer": "sgd,adam", "optimizer.lr": "tag(log, interval(1e-4,1))", "model.depth": None}
    space = read_space(["optimizer.lr=0.1,0.2", "optimizer=adam"], files)
    assert space.words == ["optimizer=adam"]
    assert [(found.key, found.values) for found in space.parameters] == [("optimizer.lr", ("0.1", "0.2"))]
    assert read_space(["+optimizer=adam"], files).keys == ["optimizer.lr"], "with a plus as well"


def test_an_added_key_keeps_its_plus_in_the_sentence_and_loses_it_in_tables() -> None:
    space = read_space(["+note=a,b"], {})
    assert space.keys == ["note"]
    (first, _) = grid("+note=a,b")
    assert as_words(first) == ["+note=a"]
    assert without_plus(first) == {"note": "a"}


@pytest.mark.parametrize(
    ("words", "files", "sentence"),
    [
        (["lr=0.1,1", "lr=2,3"], {}, r"'lr' is swept twice"),
        (["lr=0.1,1", "+lr=2,3"], {}, r"'lr' is swept twice"),
        (['a=tag("b=1", choice(1,2))', 'b=tag("a=1", choice(1,2))'], {}, r"conditions of a, b refer to each other"),
        (['a=tag("a=1", choice(1,2))'], {}, r"conditions of a refer to each other"),
        (["lr=interval(1,0.1)"], {}, r"the first number must be smaller"),
        (["lr=interval(1,1)"], {}, r"the first number must be smaller"),
        (["lr=tag(log, interval(0,1))"], {}, r"start above 0"),
        (["lr=tag(logarithm, interval(0.1,1))"], {}, r"'logarithm' is not log and not a condition on 'lr'"),
        (['lr=tag("optimizer=", interval(0.1,1))'], {}, r"'optimizer=' is not log and not a condition"),
        (["depth=range(3,1)"], {}, r"names no value"),
        ([], {"lr": "interval(1,"}, r"space of 'lr' cannot be read: interval\(1,"),
        ([], {"lr": []}, r"space of 'lr' cannot be read|names no value"),
        ([], {"lr": {"low": 1, "height": 2}}, r"space of 'lr' cannot be read"),
    ],
)
def test_a_space_that_cannot_be_is_answered_in_a_sentence(
    words: list[str], files: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(CouloirError, match=sentence):
        read_space(words, files)


def test_a_grid_has_hydras_order() -> None:
    words = ["optimizer=sgd,adam", "seed=range(3)", "optimizer.lr=0.1,0.01", "model.hidden=[8],[8,8]"]
    batches = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(words), None)
    assert [as_words(setting) for setting in grid(*words)] == batches[0]
    assert len(batches[0]) == 24


def test_a_grid_of_a_million_points_is_not_written_out() -> None:
    settings = Grid(read_space([f"{key}=range(10)" for key in "abcdef"], {}), lambda _: "")
    assert len(settings) == 10**6
    assert list(settings[123456].values()) == ["1", "2", "3", "4", "5", "6"]
    assert list(settings[0].values()) == ["0"] * 6
    assert list(settings[10**6 - 1].values()) == ["9"] * 6
    assert not any(isinstance(kept, list) and len(kept) > 10 for kept in vars(settings).values())
    with pytest.raises(IndexError):
        settings[10**6]


def test_under_conditions_a_grid_has_no_setting_twice() -> None:
    momentum = 'optimizer.momentum=tag("optimizer=momentum|nesterov", choice(0.5,0.9))'
    assert grid("optimizer=sgd,momentum,nesterov", momentum, "seed=1,2") == [
        {"optimizer": "sgd", "seed": "1"},
        {"optimizer": "sgd", "seed": "2"},
        *(
            {"optimizer": name, "optimizer.momentum": value, "seed": seed}
            for name in ("momentum", "nesterov")
            for value in ("0.5", "0.9")
            for seed in ("1", "2")
        ),
    ]
    assert grid(momentum, optimizer="sgd") == [{}]
    assert len(grid(momentum, optimizer="nesterov")) == 2


def test_a_grid_over_an_interval_is_refused_with_the_way_out() -> None:
    with pytest.raises(CouloirError, match=re.escape("'optimizer.lr' is an interval")) as refusal:
        grid("optimizer=sgd,adam", "optimizer.lr=interval(0.1,1)")
    assert "sweep=tpe" in str(refusal.value)
