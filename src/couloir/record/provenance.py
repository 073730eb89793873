"""Where a run comes from: command, code, packages, machine, data. Only `devices` imports torch."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from couloir.machine import cores, total_memory
from couloir.record.files import read_json
from couloir.record.folder import RunFolder
from couloir.version import __version__

FILE = "provenance.json"


def write_provenance(
    folder: RunFolder,
    command: list[str],
    seed: int,
    data: dict[str, Any],
    weights: dict[str, str] | None = None,
    classifier: dict[str, str] | None = None,
) -> None:
    """Write `provenance.json`, and `git.diff` when the working tree differs from its commit.

    Args:
        folder: the run's folder.
        command: the words of the command line.
        seed: the run's seed.
        data: the data's description: fingerprint, sizes, classes, mean and deviation.
        weights: what the network begins with, if anything: its name, its file and its hash.
        classifier: what made samples are measured by, if it is a run's: its file and its hash.
    """
    here, diff = environment()
    if diff:
        folder.write_text("git.diff", diff)
    here["hardware"] |= devices()
    files = {"weights": weights, "classifier": classifier}
    there = {name: file for name, file in files.items() if file is not None}
    folder.write_json(FILE, {"command": command, **here, "seed": seed, "data": data, **there})


def add_resumption(folder: RunFolder, then: dict[str, Any], told: dict[str, Any]) -> None:
    """Add to the provenance how the run goes on.

    Args:
        folder: the run's folder.
        then: its provenance so far.
        told: the command, the time, the checkpoint, what is changed, and what is not as it was.
    """
    folder.write_json(FILE, {**then, "resumed": [*then.get("resumed", []), told]})


def read_provenance(run: Path, strict: bool = True) -> dict[str, Any]:
    """A run's `provenance.json`; empty where it has none, since it failed before its data was read.

    Raises:
        CouloirError: the file is torn; only where strict.
    """
    content = read_json(run / FILE, strict)
    git = content.get("git")
    if isinstance(git, dict) and "diff" not in git:  # of a run before version 0.2
        diff = run / "git.diff"
        git["diff"] = diff_hash(diff.read_text(encoding="utf-8", errors="replace")) if diff.is_file() else None
    return content


def environment() -> tuple[dict[str, Any], str]:
    """What can be said of code, packages and machine before torch is imported, and the diff of the working tree."""
    git, diff = git_state(Path.cwd())
    return {
        "working_directory": str(Path.cwd()),
        "couloir": __version__,
        "source": source(),
        "git": git,
        "python": sys.version.split()[0],
        "packages": packages(),
        "hardware": machine(),
    }, diff


@cache
def source() -> str:
    """`sha256:` and the hash over Couloir's own modules, as they were when this process asked first: a version says
    little about a checkout that is worked on.
    """
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(package).as_posix()} {len(content)}\n".encode() + content)
    return f"sha256:{digest.hexdigest()}"


def git_state(directory: Path) -> tuple[dict[str, Any] | None, str]:
    """The commit of the directory's checkout, whether it is dirty, a hash of its diff, and the diff.

    (None, "") outside of git.
    """
    commit = _git(directory, "rev-parse", "HEAD")
    if not commit:
        return None, ""
    status = _git(directory, "status", "--porcelain")
    changed = [line[3:] for line in status.splitlines()]
    diff = _git(directory, "diff", "HEAD") if changed else ""
    return {"commit": commit.strip(), "dirty": bool(changed), "changed": changed, "diff": diff_hash(diff)}, diff


def diff_hash(diff: str) -> str | None:
    """`sha256:` and the hash of a diff; None of an empty one."""
    return f"sha256:{hashlib.sha256(diff.encode()).hexdigest()}" if diff else None


def _git(directory: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=directory,
            capture_output=True,
            encoding="utf-8",
            timeout=20,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


@cache
def packages() -> dict[str, str]:
    """Every installed distribution and its version, as they were when this process or the one it was forked from asked
    first.
    """
    import importlib.metadata  # and Python's email, which a sentence can be checked without

    read = [dist.metadata for dist in importlib.metadata.distributions()]  # each asking reads and parses its file
    found = {metadata["Name"]: metadata["Version"] for metadata in read}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def machine() -> dict[str, Any]:
    """Processor, cores, and memory in GiB."""
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(total_memory() / 2**30, 1) or None,
    }


def devices() -> dict[str, Any]:
    """The CPU threads that an operation takes unless `trainer.threads` says otherwise, and the GPUs."""
    import torch

    return {
        "threads": torch.get_num_threads() if "OMP_NUM_THREADS" in os.environ else cores(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
