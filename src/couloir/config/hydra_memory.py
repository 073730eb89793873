"""What Hydra has read and merged before in this process, so that the next composition need not do it again.

`couloir.config.hydra_private.remember_files` fills it. A content is kept pickled: to read that takes half the time of a
copy, and what one composition changes no other sees.
"""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hydra.core.default_element import ResultDefault
from hydra.plugins.config_source import ConfigResult

Kept = TypeVar("Kept")


class Memory(Generic[Kept]):
    """Values by what they were made of; at most so many, those that were asked for last."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, Kept] = OrderedDict()

    def get(self, key: Hashable) -> Kept | None:
        """The value of a key; None where there is none."""
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def keep(self, key: Hashable, value: Kept) -> None:
        """Keep a value; the one that nobody asked for the longest goes where there are too many."""
        self._values[key] = value
        if len(self._values) > self._size:
            self._values.popitem(last=False)


@dataclass(frozen=True)
class File:
    """A file as Hydra read it.

    Attributes:
        content: its values, pickled.
        result: what Hydra says of it besides.
        held: what the file's version holds the address of, so that no other object gets it.
    """

    content: bytes
    result: ConfigResult
    held: Any


class Loaded(ConfigResult):
    """What Hydra gets of a file; the values are made where they are first asked for, mostly never."""

    def __init__(self, file: File, version: Hashable) -> None:
        told = file.result
        self.provider, self.path, self.header = told.provider, told.path, dict(told.header)
        self.defaults_list, self.is_schema_source = told.defaults_list, told.is_schema_source
        self.version = version
        self._content: bytes | None = file.content
        self._config: Any = None

    @property
    def config(self) -> Any:
        """The values, to look at."""
        if self._config is None and self._content is not None:
            self._config = unpickled(self._content)
        return self._config

    @config.setter
    def config(self, config: Any) -> None:
        self._config, self._content = config, None

    def own(self) -> Any:
        """The values, for one who moves them elsewhere: another object each time."""
        if self._content is None:
            return copy.deepcopy(self._config)
        config, self._config = self.config, None
        return config


@dataclass
class Beginning(ResultDefault):
    """Stands, in a list of what is to be merged, for its first entries, which were merged before."""

    content: bytes = b""


def pickled(config: Any) -> bytes | None:
    """A configuration as bytes; None for one of a class that cannot be found by its name, within a function say."""
    try:
        return pickle.dumps(config, pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None


def unpickled(content: bytes) -> Any:
    """A new configuration of bytes that `pickled` made."""
    return pickle.loads(content)
