"""A clock that writes down what is going on: spans that nest, on the host or on a GPU's own time.

A GPU works behind the host: the moment at which an operation returns says little. There a moment is an event in the
stream of work, whose time is when the device reaches it. So a part takes as long as the device is kept by it, and what
the host does meanwhile takes no time; where the device waits for the host, the wait belongs to what the host does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch

from couloir.inspect.profile.account import Span

Moment = Any
"""Seconds, or an event of a GPU."""


class Clock:
    """Marks and spans of a round of steps.

    Args:
        device: what the steps run on.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self.on_gpu = device is not None and device.type == "cuda"
        self.now: Callable[[], Moment] = self._event if self.on_gpu else time.perf_counter
        self.runs = False
        """Whether spans are written down."""
        self.marks: list[Moment] = []
        """When the steps began, and when the last one ended."""
        self._spans: list[list[Any]] = []
        self._open: list[int] = []
        self._thread = threading.get_ident()

    @staticmethod
    def _event() -> Moment:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def start(self) -> None:
        """Begin to write down, with the first step."""
        self._spans, self._open, self.marks = [], [], []
        self.runs = True

    def mark(self) -> None:
        """A step begins, or the last one is over."""
        self.marks.append(self.now())

    def stop(self) -> None:
        """The last step is over."""
        self.mark()
        for number in self._open:
            self._spans[number][4] = self.marks[-1]
        self._open, self.runs = [], False

    def begin(self, part: str, name: str) -> None:
        """A span begins; those of other threads (autograd's on a GPU) belong to what waits for them."""
        if self.runs and threading.get_ident() == self._thread:
            parent = self._open[-1] if self._open else -1
            self._open.append(len(self._spans))
            self._spans.append([part, name, parent, self.now(), None])

    def end(self, part: str, name: str) -> None:
        """The innermost open span of this part and name ends, and with it what was left open within it."""
        if not self.runs or threading.get_ident() != self._thread:
            return
        for place in range(len(self._open) - 1, -1, -1):
            span = self._spans[self._open[place]]
            if span[0] == part and span[1] == name:
                moment = self.now()
                for number in self._open[place:]:
                    self._spans[number][4] = moment
                del self._open[place:]
                return

    def is_in(self, part: str) -> bool:
        """Whether a span of a part is open."""
        return any(self._spans[number][0] == part for number in self._open)

    def add(self, part: str, name: str, since: Moment) -> None:
        """A span that is known only at its end."""
        self._spans.append([part, name, self._open[-1] if self._open else -1, since, self.now()])

    @contextmanager
    def span(self, part: str, name: str = "") -> Iterator[None]:
        """A block as a span."""
        self.begin(part, name)
        try:
            yield
        finally:
            self.end(part, name)

    def timed(self, function: Callable[..., Any], part: str, name: str = "") -> Callable[..., Any]:
        """A function whose calls are spans."""

        @wraps(function)
        def call(*arguments: Any, **keys: Any) -> Any:
            self.begin(part, name)
            try:
                return function(*arguments, **keys)
            finally:
                self.end(part, name)

        return call

    def read(self) -> tuple[list[float], list[Span]]:
        """Marks and spans in seconds; a GPU is waited for."""
        if not self.on_gpu:
            return list(self.marks), [Span(*span) for span in self._spans]
        torch.cuda.synchronize()
        first = self.marks[0]

        def seconds(moment: Any) -> float:
            return float(first.elapsed_time(moment)) / 1e3

        return [seconds(mark) for mark in self.marks], [
            Span(part, name, parent, seconds(begin), seconds(end)) for part, name, parent, begin, end in self._spans
        ]
