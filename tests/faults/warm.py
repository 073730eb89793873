"""Runs many sentences, each in a child of one process that has torch loaded already: milliseconds instead of seconds.

Reads a JSON list of cases from standard input, `{"arguments": [...], "cwd": ..., "seconds": ...}`, and prints one JSON
line for each: its exit code (negative: the signal that ended it; null: it was killed after its time) and its output.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import sklearn.datasets
import torch

import couloir.cli.train
import couloir.inference.evaluation
import couloir.machine
import couloir.run.train
from couloir.cli.main import run
from couloir.config.compose import prepare_hydra

ROOM = 3 << 30
"""Bytes that a sentence may take, so that one that asks for terabytes is refused them at once on every machine."""


def child(arguments: list[str], cwd: str, output: int) -> None:
    code = 70
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(cwd)
        limit = couloir.machine._status("VmSize") + ROOM
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        code = run(arguments)
    except SystemExit as leaving:  # Hydra's own
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:  # noqa: BLE001  a child's last word
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def answer(case: dict[str, Any]) -> dict[str, Any]:
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:
        pid = os.fork()
        if pid == 0:
            child(case["arguments"], case["cwd"], output.fileno())
        code: int | None = None
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                break
            if time.monotonic() - began > case["seconds"]:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                break
            time.sleep(0.005)
        output.seek(0)
        text = output.read().decode(errors="replace")
    return {"code": code, "output": text[-4000:], "seconds": time.monotonic() - began}


def main() -> None:
    torch.set_num_threads(1)
    prepare_hydra()
    sklearn.datasets.load_digits()
    for case in json.load(sys.stdin):
        print(json.dumps(answer(case)), flush=True)


if __name__ == "__main__":
    Path.cwd()
    main()
