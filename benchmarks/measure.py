"""What the benchmarks share: running a command and reading its peak memory, the machine in words, the report."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
PACKAGES = ("torch", "pytorch-lightning", "hydra-core", "numpy")


@dataclass
class Finished:
    """A command that has run.

    Attributes:
        output: what it printed.
        peak_mib: the largest resident set of its process, MiB.
        cpu_seconds: user and system.
    """

    output: str
    peak_mib: float
    cpu_seconds: float


def run(command: list[str], directory: Path | None = None, **variables: str) -> Finished:
    """Run a command to its end, with these environment variables; compiled modules are kept, as at a user's prompt.

    Raises:
        RuntimeError: it failed; the message has the end of its output.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{text[-2000:]}")
    kibibyte = 1024 if sys.platform == "linux" else 1  # macOS counts bytes
    return Finished(text, usage.ru_maxrss * kibibyte / 2**20, usage.ru_utime + usage.ru_stime)


def last_json(text: str) -> dict[str, Any]:
    """The last line of an output that is a JSON object."""
    line = next(line for line in reversed(text.splitlines()) if line.startswith("{"))
    found: dict[str, Any] = json.loads(line)
    return found


def machine() -> dict[str, Any]:
    """The machine and the versions that a number depends on."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def _processor() -> str:
    try:
        return re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8")).group(1)
    except (OSError, AttributeError):
        return platform.processor() or platform.machine()


def write_report(script: str, numbers: dict[str, Any]) -> None:
    """Write the numbers and the machine beside a script, as JSON."""
    report = {"machine": machine(), **numbers}
    Path(script).with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
