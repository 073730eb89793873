"""The files of one run, each read once, when it is first asked for. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from couloir.errors import CouloirError
from couloir.record.configuration import dotted, read_configuration, read_overrides
from couloir.record.metrics import Row, read_metrics
from couloir.record.provenance import read_provenance
from couloir.record.result import read_numbers
from couloir.record.signals import LayerSignal, read_signals
from couloir.record.status import read_status

T = TypeVar("T")


@dataclass(frozen=True)
class RunFiles:
    """What a run folder holds.

    Attributes:
        folder: the run folder.
        strict: whether a torn file is an error; otherwise it is as if it were not there, or as much of it is read as
            can be.
        torn: what was said of each file that could not be read, by the name of what was asked for.
    """

    folder: Path
    strict: bool = True
    torn: dict[str, CouloirError] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @cached_property
    def status(self) -> dict[str, Any]:
        """`status.json`."""
        return self._read("status", read_status)

    @cached_property
    def config(self) -> dict[str, Any] | None:
        """`config.yaml` in plain values."""
        return self._read("config", read_configuration)

    @cached_property
    def flat(self) -> dict[str, Any]:
        """`config.yaml` by dotted keys; a list is one value."""
        return dotted(self.config or {})

    @cached_property
    def words(self) -> list[str] | None:
        """`overrides.yaml`: what the user typed."""
        return self._read("words", read_overrides)

    @cached_property
    def rows(self) -> list[Row]:
        """`metrics.csv` as numbers, without empty cells."""
        return self._read("rows", read_metrics)

    @cached_property
    def numbers(self) -> dict[str, float]:
        """The numbers of `result.json`."""
        return self._read("numbers", read_numbers)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """`provenance.json`."""
        return self._read("provenance", read_provenance)

    @cached_property
    def signals(self) -> list[LayerSignal]:
        """`signals.csv`."""
        return self._read("signals", read_signals)

    def refuse_torn(self, *names: str) -> None:
        """Raise what was said of one of these files, if it could not be read.

        Raises:
            CouloirError: one of them is torn.
        """
        for name in names:
            getattr(self, name)
            if name in self.torn:
                raise self.torn[name]

    def _read(self, name: str, read: Callable[[Path, bool], T]) -> T:
        try:
            return read(self.folder, True)
        except CouloirError as error:
            if self.strict:
                raise
            self.torn[name] = error
            return read(self.folder, False)
