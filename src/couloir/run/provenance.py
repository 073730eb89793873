"""Where a run comes from: command, code, packages, machine, data."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from couloir import __version__
from couloir.run.folder import RunFolder


def write_provenance(folder: RunFolder, command: list[str], seed: int, data: dict[str, Any]) -> None:
    """Write `provenance.json`, and `git.diff` when the working tree differs from its commit.

    Args:
        folder: the run's folder.
        command: the words of the command line.
        seed: the run's seed.
        data: the data's description: fingerprint, sizes, classes, mean and deviation.
    """
    git, diff = git_state(Path.cwd())
    if diff:
        folder.write_text("git.diff", diff)
    folder.write_json(
        "provenance.json",
        {
            "command": command,
            "working_directory": str(Path.cwd()),
            "couloir": __version__,
            "git": git,
            "python": sys.version.split()[0],
            "packages": packages(),
            "hardware": hardware(),
            "seed": seed,
            "data": data,
        },
    )


def git_state(directory: Path) -> tuple[dict[str, Any] | None, str]:
    """The commit of the directory's checkout, whether it is dirty, and its diff; (None, "") outside of git."""
    commit = _git(directory, "rev-parse", "HEAD")
    if not commit:
        return None, ""
    status = _git(directory, "status", "--porcelain")
    changed = [line[3:] for line in status.splitlines()]
    diff = _git(directory, "diff", "HEAD") if changed else ""
    return {"commit": commit.strip(), "dirty": bool(changed), "changed": changed}, diff


def _git(directory: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=directory, capture_output=True, text=True, timeout=20, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def packages() -> dict[str, str]:
    """Every installed distribution and its version."""
    found = {dist.metadata["Name"]: dist.version for dist in importlib.metadata.distributions()}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def hardware() -> dict[str, Any]:
    """Processor, cores, threads, memory in GiB, and GPUs."""
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": _memory_gib(),
        "gpus": gpus,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
