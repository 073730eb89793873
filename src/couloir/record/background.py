"""Work for the disk that a run does not wait for: the next epoch trains while a file is flushed and gets its name."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor


class Background:
    """Does pieces of work one after the other, in the order in which they came, in one thread.

    What has been handed over is not done yet. Whoever says that it is, or works on the same files, waits first. After a
    failure the next pieces are done all the same: each stands for itself.
    """

    def __init__(self) -> None:
        self._pending: list[Future[None]] = []
        self._executor: ThreadPoolExecutor | None = None
        self._thread: int | None = None

    def do(self, work: Callable[[], None]) -> Future[None]:
        """Hand over a piece of work; where no thread can be started, it is done at once.

        Raises:
            BaseException: of `check`.
        """
        from concurrent.futures import Future, ThreadPoolExecutor  # which a sentence is checked without

        self.check()
        try:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(1, "record", self._begin)
            given = self._executor.submit(work)
        except RuntimeError:  # no room for a thread, or the interpreter is about to end
            work()
            given = Future()
            given.set_result(None)
        self._pending.append(given)
        return given

    def _begin(self) -> None:
        self._thread = threading.get_ident()

    def check(self) -> None:
        """Say it where a piece has failed.

        Raises:
            BaseException: what the first piece raised that failed; it is raised once.
        """
        done = [each for each in self._pending if each.done()]
        self._pending = [each for each in self._pending if each not in done]
        failures = [error for each in done if (error := each.exception()) is not None]
        if failures:
            raise failures[0]

    def wait(self) -> None:
        """Until all of it is done.

        Raises:
            BaseException: of `check`.
        """
        if self._pending and threading.get_ident() != self._thread:  # a piece of work may write a file as others do
            from concurrent.futures import wait

            wait(self._pending)
            self.check()

    def close(self) -> None:
        """End the thread, once all is done; it begins anew with the next piece."""
        if self._executor is not None:
            self._executor.shutdown()
            self._executor, self._thread = None, None
