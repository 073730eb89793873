"""A user's own function by its dotted path, and each way in which the path can be wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

from couloir.errors import CouloirError
from couloir.initializer.custom import custom

SOURCE = """
from torch import nn

seven = 7

def my_init(net):
    for parameter in net.parameters():
        nn.init.constant_(parameter, 0.25)

def fails(net):
    raise KeyError("the user's own")
"""


@pytest.fixture(autouse=True)
def _users_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "users_init.py").write_text(SOURCE)
    (tmp_path / "users_broken.py").write_text("import a_package_that_is_not_there\n")
    package = tmp_path / "users_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "inner.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    names = ("users_init", "users_broken", "users_package", "users_package.inner")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("path", ["users_init.my_init", "users_package.inner.my_init"])
def test_the_users_function_sets_the_network_in_place(path: str) -> None:
    net = nn.Linear(2, 2)
    assert custom(net, function=path) is None
    assert net.weight.tolist() == [[0.25, 0.25], [0.25, 0.25]]
    assert net.bias.tolist() == [0.25, 0.25]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("users_initt.my_init", "users_initt"),
        ("users_package.outer.my_init", "users_package.outer"),
        ("users_broken.my_init", "a_package_that_is_not_there"),
        ("users_init.my_initt", "my_initt"),
        ("users_init.seven", "7"),
        ("my_init", "dotted path"),
        (".my_init", "dotted path"),
        ("..users_init.my_init", "dotted path"),
        ("users_init.", "dotted path"),
        ("users_init:my_init", "dotted path"),
        ("", "dotted path"),
    ],
)
def test_a_path_that_leads_nowhere_is_a_sentence_with_the_next_step(path: str, words: str) -> None:
    with pytest.raises(CouloirError) as error:
        custom(nn.Linear(2, 2), function=path)
    assert words in error.value.fact
    assert error.value.place == f"initializer.function={path}"
    assert error.value.next_step


def test_an_error_in_the_users_function_is_shown_as_it_is() -> None:
    with pytest.raises(KeyError, match="the user's own"):
        custom(nn.Linear(2, 2), function="users_init.fails")
