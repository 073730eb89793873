"""Real `train` and `couloir` processes that start in a moment, and that can be struck while they run.

A process that imports torch, Lightning and Couloir takes five seconds before it trains. Here one process imports them
and forks itself for every run; it has trained nothing and has no threads, so that its children are what a fresh
interpreter would be. `Victims` talks to it from the tests; as a program, this file is that process.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import importlib
import json
import multiprocessing.connection
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

TESTS = Path(__file__).parent
PATIENCE = 900.0
"""Seconds after which a process counts as hanging."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
WARM = (
    "couloir.cli.main", "couloir.cli.train", "couloir.cli.resume", "couloir.run.train", "couloir.compare.resume",
    "couloir.sweep.trial",
    "couloir.data.digits", "couloir.data.images", "couloir.model.lenet", "couloir.averaging.running",
    "couloir.scheduler.plateau", "couloir.augmentation.mixing", "couloir.data.windows",
    "pytorch_lightning.loggers", "sklearn.datasets", "torch.utils.tensorboard", "matplotlib.pyplot",
    "hydra._internal.config_loader_impl", "faults.places",
)  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        code: its exit code, or minus the signal that killed it.
        output: what it printed.
        seconds: how long it went on after the place where it was to be struck.
        hung: whether it had to be killed because it did not end.
    """

    code: int
    output: str
    seconds: float
    hung: bool


class Victim:
    """A running process, which waits at the place where it is to be struck, if it has come to it.

    Attributes:
        reached: whether it has; otherwise it has ended.
        group: its process group.
    """

    def __init__(self, victims: Victims, reply: dict[str, Any], output: Path) -> None:
        self._victims, self._output = victims, output
        self.reached, self.group = bool(reply["reached"]), int(reply["pid"])

    def finish(self, *signals: int, whole_group: bool = False, after: float = 0.0, held: bool = False) -> Ended:
        """Let it go on, strike it, and wait for its end.

        Args:
            signals: what it is sent, one after the other, each once the last was received.
            whole_group: send them to its worker processes as well, as a terminal does.
            after: seconds to let it run on before.
            held: send the signals while it waits, and let it go on only then.
        """
        request = {"signals": signals, "whole_group": whole_group, "after": after, "held": held}
        reply = self._victims.ask(request)
        return Ended(reply["code"], self._output.read_text(), reply["seconds"], reply["hung"])


class Running:
    """A process that goes on while the test looks at what it does.

    Attributes:
        pid: its number; it leads a process group of its own, as in a terminal.
    """

    def __init__(self, victims: Victims, pid: int) -> None:
        self._victims, self.pid = victims, pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, or minus the signal that killed it; None as long as it is at work."""
        if self._code is None:
            self._code = cast("int | None", self._victims.ask({"poll": self.pid})["code"])
        return self._code

    def wait(self) -> int:
        """The same, once it has ended."""
        limit = time.monotonic() + PATIENCE
        while (code := self.poll()) is None:
            assert time.monotonic() < limit, "it hangs"
            time.sleep(0.01)
        return code

    def kill(self) -> None:
        """SIGKILL, for it alone."""
        os.kill(self.pid, signal.SIGKILL)


class Victims:
    """The process that forks them.

    Args:
        folder: where their output is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0
        path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._warm = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": path, "COLUMNS": "200"},
        )

    def close(self) -> None:
        """End it."""
        assert self._warm.stdin is not None
        self._warm.stdin.close()
        self._warm.wait(PATIENCE)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send it a request, and wait for its reply."""
        assert self._warm.stdin is not None
        assert self._warm.stdout is not None
        print(json.dumps(request), file=self._warm.stdin, flush=True)
        reply: dict[str, Any] = json.loads(self._warm.stdout.readline())
        return reply

    def start(
        self,
        arguments: list[str],
        cwd: Path,
        place: str | None = None,
        number: int = 1,
        counts: Path | None = None,
        memory: int | None = None,
    ) -> Victim:
        """Start a process, and wait until it has come to a place or has ended.

        Args:
            arguments: of the command `couloir`.
            cwd: where it runs.
            place: one of `faults.places`; None: it is not to be struck.
            number: the how manieth time it comes there.
            counts: a file for the number of times that it has come to each place.
            memory: bytes that it may take beside what it begins with.
        """
        self._count += 1
        output = self.folder / f"{self._count:04}.txt"
        request = {"arguments": arguments, "cwd": str(cwd), "output": str(output), "place": place, "number": number}
        reply = self.ask({**request, "counts": None if counts is None else str(counts), "memory": memory})
        return Victim(self, reply, output)

    def run(self, arguments: list[str], cwd: Path, memory: int | None = None) -> Ended:
        """Let a process run to its end.

        Args:
            arguments: of the command `couloir`.
            cwd: where it runs.
            memory: bytes that it may take beside what it begins with.
        """
        return self.start(arguments, cwd, memory=memory).finish()

    def begin(self, arguments: list[str], cwd: Path, output: Path) -> Running:
        """Start a process, and let it go on.

        Args:
            arguments: of the command `couloir`.
            cwd: where it runs.
            output: the file that what it prints is added to.
        """
        request = {"arguments": arguments, "cwd": str(cwd), "output": str(output), "goes_on": True}
        return Running(self, self.ask(request)["pid"])


def alive(groups: list[int]) -> list[int]:
    """The processes that still belong to some process groups; those that only wait to be fetched do not count."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = file.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has just ended
            continue
        if int(group) in groups and state != "Z":
            found.append(int(file.parent.name))
    return found


def _serve() -> None:
    # scikit-learn imports pandas where it is installed, and pandas pyarrow, which starts threads.
    sys.modules["pyarrow"] = None  # type: ignore[assignment]
    for name in WARM:
        importlib.import_module(name)
    assert len(os.listdir("/proc/self/task")) == 1, "a process with threads must not fork"  # noqa: PTH208
    gc.freeze()  # so that the children need not copy what they never change
    if sys.version_info < (3, 14):
        _share_a_fork_server()
    while line := sys.stdin.readline():
        request = json.loads(line)
        if "poll" in request:
            _reply({"code": _until(request["poll"], 0.0)})
        elif request.get("goes_on"):
            pid = os.fork()
            if pid == 0:
                _become(request)
            _reply({"pid": pid})
        else:
            _attend(request)


def _share_a_fork_server() -> None:
    """Fork the server from which sweeps fork their trials: a sweep would start one that imports torch anew."""
    server: Any = multiprocessing.forkserver._forkserver  # type: ignore[attr-defined]
    multiprocessing.resource_tracker.ensure_running()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(multiprocessing.connection.arbitrary_address("AF_UNIX"))  # type: ignore[attr-defined]
    listener.listen()
    over, alive = os.pipe()  # the server ends once nobody holds the second end
    if os.fork() == 0:
        os.close(alive)
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        multiprocessing.forkserver.main(listener.detach(), over, [])
    os.close(over)
    server._forkserver_address, server._forkserver_alive_fd = listener.getsockname(), alive
    server.ensure_running = lambda: None
    listener.close()


def _attend(request: dict[str, Any]) -> None:
    """Fork one process, and follow it to its end."""
    reached, told = os.pipe()
    waiting, release = os.pipe()
    pid = os.fork()
    if pid == 0:
        for end in (reached, release):
            os.close(end)
        _become(request, told, waiting)
    os.close(told)
    os.close(waiting)
    status = _until(pid, PATIENCE, reached)
    _reply({"pid": pid, "reached": status is None})
    order = json.loads(sys.stdin.readline())
    code, hung, began = status, False, time.monotonic()
    if code is None:
        if not order["held"]:
            os.write(release, b".")
        time.sleep(order["after"])
        code = _until(pid, 0.0)
        for index, number in enumerate(order["signals"]):
            if code is None:
                if index:
                    _wait_for(Path(request["output"]), "again to stop at once")
                (os.killpg if order["whole_group"] else os.kill)(pid, number)
        if order["held"] and code is None:
            with contextlib.suppress(BrokenPipeError):  # a signal may have ended it already
                os.write(release, b".")
        code = _until(pid, PATIENCE) if code is None else code
        hung = code is None
        if code is None:
            os.kill(pid, signal.SIGABRT)  # its threads say where they are
            time.sleep(2)
            os.killpg(pid, signal.SIGKILL)
            code = _until(pid, PATIENCE)
    for end in (reached, release):
        os.close(end)
    _reply({"code": code, "hung": hung, "seconds": time.monotonic() - began})


def _until(pid: int, seconds: float, reached: int | None = None) -> int | None:
    """The exit code of a process; None where it has reached its place, or the time is over, before."""
    limit = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if reached is not None and select.select([reached], [], [], 0.01)[0] and os.read(reached, 1):
            return None
        if time.monotonic() >= limit:
            return None
        if reached is None:
            time.sleep(0.005)


def _wait_for(output: Path, words: str) -> None:
    limit = time.monotonic() + PATIENCE
    while words not in output.read_text() and time.monotonic() < limit:
        time.sleep(0.005)


def _reply(reply: dict[str, Any]) -> None:
    print(json.dumps(reply), flush=True)


def _become(request: dict[str, Any], reached: int = -1, going_on: int = -1) -> None:
    """Be the command line, from here to the end of the process."""
    from couloir.cli.main import run
    from faults.places import Places

    os.setsid()
    if request.get("memory"):
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + request["memory"],) * 2)
    os.chdir(request["cwd"])
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, stream in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, stream)
    faulthandler.enable()
    places = Places(request.get("place"), request.get("number", 1), reached, going_on)
    counts = request.get("counts")
    with places.watched(None if counts is None else Path(counts)):
        code = run(request["arguments"])
    atexit._run_exitfuncs()  # ends worker processes, as the interpreter does
    sys.stdout.flush()
    os._exit(code)  # without taking every module apart, which takes longer than the run


if __name__ == "__main__":
    _serve()
