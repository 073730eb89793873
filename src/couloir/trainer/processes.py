"""The processes of a run: how many, how they start, find each other, and end.

The first process composes and checks the sentence, owns the run folder, and hands the resolved configuration to the
others, so that there is one configuration, one folder and one set of time stamps. It starts the others itself, unless a
launcher such as torchrun has done so. Nothing of this is left in `os.environ`, for a later run of the same process.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import IO

import torch
import torch.distributed as dist
from omegaconf import DictConfig, OmegaConf
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]  # public, if undeclared

from couloir.config.world import ALONE, World, chosen_devices, launched
from couloir.errors import CouloirError, ProcessLost
from couloir.log import note
from couloir.machine import signal_name
from couloir.record.folder import RunFolder
from couloir.trainer.build import on_gpu

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others: as long as the first may need to download or to write."""
LAST_SECONDS = 15.0
"""How long the others may take to end after the first, and a lost one to write down why."""
UNUSED = "find_unused_parameters"
"""What torch's complaint about weights without a gradient names."""
LAST_LINES = 8
"""Lines of a lost process that are quoted."""


def place(cfg: DictConfig) -> World:
    """This process's place in the run that a configuration asks for, seen from the first process of each machine.

    Raises:
        CouloirError: there are not so many GPUs, or a launcher has started another number of processes.
    """
    given, nodes = launched(), int(cfg.trainer.get("num_nodes", 1))
    local = _processes_here(cfg, given)
    if given is not None:
        if (given.local_size, given.size) != (local, local * nodes):
            raise CouloirError(
                f"torchrun has started {given.size} processes, {given.local_size} on this machine; the sentence asks "
                f"for {local * nodes}, {local} on each machine.",
                place="trainer.devices x trainer.num_nodes",
                next_step="add trainer=ddp, whose trainer.devices=auto takes torchrun's number, and trainer.num_nodes",
            )
        return given
    if nodes > 1:
        raise CouloirError(
            f"trainer.num_nodes={nodes} needs torchrun on each of the machines.",
            next_step=f"torchrun --nnodes={nodes} --nproc_per_node={local} --rdzv_backend=c10d "
            "--rdzv_endpoint=FIRST_MACHINE:29500 -m couloir train ...",
        )
    return ALONE if local == 1 else World(rank=0, size=local, local_rank=0, local_size=local)


def _processes_here(cfg: DictConfig, given: World | None) -> int:
    devices, gpus = cfg.trainer.devices, on_gpu(str(cfg.trainer.accelerator))
    if str(devices) in ("auto", "-1"):
        if given is not None:
            return given.local_size
        if not gpus and cfg.trainer.get("strategy", "auto") != "auto":
            raise CouloirError(
                "This machine has no GPUs for several processes.",
                next_step="trainer.devices=2 starts two processes on the CPU",
            )
        return torch.cuda.device_count() if gpus else 1
    chosen = chosen_devices(devices)
    local = _number(str(devices)) if chosen is None else len(chosen)
    if local == 0:
        raise CouloirError("trainer.devices names no device.", next_step="trainer.devices=1")
    if gpus and 1 < local > torch.cuda.device_count():
        raise CouloirError(
            f"trainer.devices asks for {local} processes, and there are {torch.cuda.device_count()} GPUs; two that "
            "share one would wait for each other.",
            next_step=f"trainer.devices={torch.cuda.device_count()}, or trainer.accelerator=cpu",
        )
    return local


def _number(devices: str) -> int:
    if not devices.isdigit() or int(devices) < 1:
        raise CouloirError(
            f"trainer.devices takes a number of devices, a list of them, or auto, not {devices}.",
            next_step="trainer.devices=2",
        )
    return int(devices)


@contextmanager
def together(cfg: DictConfig, folder: RunFolder, checkpoint: Path | None = None) -> Iterator[World]:
    """The processes of a run, up and connected for the length of the block; called by the first of them.

    Args:
        cfg: the configuration; what it refers to is resolved for the others.
        folder: the run's folder.
        checkpoint: what the run goes on from, if it does.

    Raises:
        CouloirError: the configuration asks for processes that cannot be.
        ProcessLost: one of them ended before its time.
    """
    world = place(cfg)
    if world.size == 1:
        yield world
        return
    start = None if checkpoint is None else str(checkpoint)
    job = json.dumps({"folder": str(folder.path), "config": OmegaConf.to_yaml(cfg, resolve=True), "checkpoint": start})
    if launched() is not None:
        store = _given_store(world)
        store.set("job", job)
        with _connected(cfg, world, store):
            yield world
        return
    store, port = _own_store()
    store.set("job", job)
    children = Children(folder, world, port)
    try:
        with _threads_shared(world):
            children.start()
            while not all(store.check([f"ready/{rank}"]) for rank in range(1, world.size)):
                children.check()
                time.sleep(0.05)
            with _connected(cfg, world, store):
                yield world
        children.finish()
    except BaseException as error:
        if UNUSED in str(error):
            raise _unused_weights() from error
        if _is_broken_line(error):
            children.check(LAST_SECONDS)
        raise
    finally:
        children.end()


@contextmanager
def follow() -> Iterator[tuple[World, DictConfig, RunFolder, Path | None]]:
    """The counterpart of `together` in all processes but the first: place, configuration, folder and checkpoint come
    from there.
    """
    world = launched()
    assert world is not None, "a launcher, or the first process, says which process this is"
    store = _given_store(world)
    job = json.loads(store.get("job"))
    cfg = OmegaConf.create(job["config"])
    assert isinstance(cfg, DictConfig)
    store.set(f"ready/{world.rank}", "")
    with _connected(cfg, world, store):
        yield world, cfg, RunFolder(Path(job["folder"])), job["checkpoint"] and Path(job["checkpoint"])


@contextmanager
def first_here_first(world: World) -> Iterator[None]:
    """Lets the first process of each machine through the block before the others, which find its work done."""
    if world.size > 1 and world.local_rank > 0:
        dist.barrier()
    yield
    if world.size > 1 and world.local_rank == 0:
        dist.barrier()


@contextmanager
def _connected(cfg: DictConfig, world: World, store: Store) -> Iterator[None]:
    # With GPUs there are two lines: the processes agree on the CPU, without waiting for what the GPU has to do.
    gpus = on_gpu(str(cfg.trainer.accelerator))
    if gpus:
        devices = chosen_devices(cfg.trainer.devices)
        torch.cuda.set_device(world.local_rank if devices is None else devices[world.local_rank])
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if gpus else "gloo",
        store=PrefixStore("group", store),
        rank=world.rank,
        world_size=world.size,
        timeout=PATIENCE,
    )
    try:
        yield
    finally:
        with suppress(RuntimeError):  # a line that broke cannot be closed
            dist.destroy_process_group()


def _own_store() -> tuple[Store, int]:
    """A blackboard for processes of this machine only, at a port that nobody else can take meanwhile."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    port = listening.getsockname()[1]
    store = TCPStore(
        "127.0.0.1", port, None, True, PATIENCE, wait_for_workers=False, master_listen_fd=listening.detach()
    )
    return store, port


def _given_store(world: World) -> Store:
    """The blackboard at the address in the environment: torchrun's, that of the first process, or, where a launcher
    has none, one that the first process opens there.
    """
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    opens = world.leads and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    store = TCPStore(address, port, None, opens, PATIENCE, wait_for_workers=False)
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return store
    # torchrun starts all processes again when one fails, and a process may train twice: neither reads old notes.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    attempts = PrefixStore(f"couloir/{attempt}", store)
    return PrefixStore(str(attempts.add(f"runs/{world.rank}", 1)), attempts)


@contextmanager
def _threads_shared(world: World) -> Iterator[None]:
    """Each process of a machine takes its part of the processor's cores, unless the user has said how many."""
    before = torch.get_num_threads()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, before // world.local_size))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _is_broken_line(error: BaseException) -> bool:
    """Whether an exception says that another process no longer answers."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError)
        and any(word in str(error).lower() for word in ("gloo", "nccl", "process group"))
    )


def _unused_weights() -> CouloirError:
    return CouloirError(
        "Some of the network's weights were not used in a step, and the processes wait for their gradients.",
        next_step="trainer.find_unused_parameters=true, for networks that drop paths, such as FractalNet",
    )


class Children:
    """The processes that the first one starts on its machine. They end when it ends, however it does.

    Args:
        folder: the run's folder.
        world: the first process's place.
        port: where the first process can be reached.
        command: what they run.
        patience: seconds that the first process has to notice that one is lost before it is ended from outside.
    """

    def __init__(
        self,
        folder: RunFolder,
        world: World,
        port: int,
        command: tuple[str, ...] = (sys.executable, "-m", "couloir.run.rank"),
        patience: float = 60.0,
    ) -> None:
        self.folder, self.world, self.port = folder, world, port
        self.command, self.patience = command, patience
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.outputs: dict[int, IO[bytes]] = {}
        self._over = threading.Event()

    def start(self) -> None:
        """Start them all."""
        for rank in range(1, self.world.size):
            place = World(rank, self.world.size, local_rank=rank, local_size=self.world.local_size)
            own = {name: value for name, value in os.environ.items() if not name.startswith("TORCHELASTIC_")}
            environment = {**own, **place.environment("127.0.0.1", self.port)}
            environment.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
            # A user's own modules are found where this process finds them.
            environment["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
            self.outputs[rank] = tempfile.TemporaryFile()  # noqa: SIM115  closed by `end`
            # Their input is a pipe from this process, and ends with it: that is how they notice (`run.rank`).
            self.processes[rank] = subprocess.Popen(
                self.command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=self.outputs[rank],
                stderr=subprocess.STDOUT,
            )
        threading.Thread(target=self._watch, daemon=True).start()

    def check(self, patience: float = 0.0) -> None:
        """Say which of them has ended before its time.

        Args:
            patience: seconds to wait for one to end.

        Raises:
            ProcessLost: one has.
            CouloirError: and it is known why.
        """
        until = time.monotonic() + patience
        while True:
            for rank, process in self.processes.items():
                if process.poll():
                    raise self._lost(rank, process.returncode)
            if time.monotonic() >= until:
                return
            time.sleep(0.05)

    def _lost(self, rank: int, code: int) -> CouloirError:
        output = self.outputs[rank]
        output.seek(0)
        lines = output.read().decode(errors="replace").strip().splitlines()
        if any(UNUSED in line for line in lines):
            return _unused_weights()
        note.info("process %d said:\n%s", rank, "\n".join(lines))
        how = f"was ended by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        said = "\n         ".join(lines[-LAST_LINES:])
        return ProcessLost(
            f"Process {rank} of {self.world.size} {how} before the run ended.",
            place=said or f"process {rank}, without output",
            next_step=f"its full output is in {self.folder.path / 'train.log'}",
        )

    def _watch(self) -> None:
        """End this process where it waits in vain for one that is lost, as NCCL's processes may; gloo's notice."""
        while not self._over.wait(0.2):
            try:
                self.check()
            except CouloirError as lost:
                if self._over.wait(self.patience):
                    return
                self.folder.write_status("failed", error=f"{type(lost).__name__}: {lost}")
                print(f"error: {lost}", file=sys.stderr, flush=True)  # noqa: T201  the main thread cannot
                os._exit(lost.exit_code)

    def finish(self) -> None:
        """Wait until they have ended by themselves, as they do when the run is over."""
        for process in self.processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(LAST_SECONDS)

    def end(self) -> None:
        """End those that are left."""
        self._over.set()
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        for output in self.outputs.values():
            output.close()
