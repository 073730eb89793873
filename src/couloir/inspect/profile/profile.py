"""Where the time of a sentence's steps goes, and which setting is most worth changing: measured, not guessed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from rich import get_console
from torch import nn

from couloir.config.compose import Sentence
from couloir.errors import display
from couloir.inspect.probe import Probe, probing
from couloir.inspect.profile.account import Account, account, trace
from couloir.inspect.profile.candidates import Facts, candidates
from couloir.inspect.profile.steps import Found, Setting, writes_files
from couloir.inspect.profile.told import Profile, advice, in_words, numbers, rows_of
from couloir.inspect.profile.tries import Bench, measure, quietest, try_out
from couloir.log import on_a_terminal, say
from couloir.machine import cores
from couloir.record.folder import RunFolder
from couloir.record.result import write_result
from couloir.trainer.build import on_gpu
from couloir.trainer.execution import missing_compiler

TRACED = 20
"""Steps in the trace."""


def profile(sentence: Sentence, folder: RunFolder, steps: int | None, command: list[str]) -> Profile:
    """Measure, try, say, and write `profile.csv`, `trace.json` and `result.json`.

    Args:
        sentence: a checked sentence.
        folder: where the record goes.
        steps: steps that are measured part by part; None: as many as take about a second or two.
        command: what was typed.

    Raises:
        CouloirError: the parts do not go together.
    """
    with probing(folder, sentence, command) as stop, tempfile.TemporaryDirectory() as scratch, telling() as tell:
        bench = Bench(Path(scratch), [stop], tell)
        setting = Setting.of(Probe.of(sentence.cfg))
        say.info("%s", _opening(sentence, setting))
        calm, measured = measure(setting, steps, bench)
        kept = [(each.marks, each.spans) for each in quietest(measured)]
        found = account(kept, measured[0].kinds)
        whole = Profile.of(found, quietest(calm), sum(len(each.durations) for each in measured))
        folder.write_text("profile.csv", rows_of(found))
        folder.write_text("trace.json", trace(kept, measured[0].kinds, TRACED))
        write_result(folder, numbers(whole))
        say.info("%s", in_words(whole))
        chosen = candidates(_facts(setting, found, whole.found))
        whole = replace(whole, tried=try_out(sentence, setting, chosen, whole.plain, bench))
        write_result(folder, numbers(whole))
        say.info("%s", f"{advice(whole, sentence.overrides)}\ntrace:   {display(folder.path / 'trace.json')}")
    return whole


@contextmanager
def telling() -> Iterator[Callable[[str], None]]:
    """On a terminal, a line that says how far the work is."""
    if not on_a_terminal():
        yield lambda text: None
        return
    with get_console().status("profile") as shown:
        yield lambda text: shown.update(f"profile: {text}")


def _opening(sentence: Sentence, setting: Setting) -> str:
    words = " ".join(f"{group}={sentence.choices[group]}" for group in ("model", "data", "optimizer"))
    left_out = [name for name in sentence.cfg.logger or () if not writes_files(sentence.cfg.logger[name])]
    note = f"; without logger={','.join(left_out)}, which would tell a server of a run" if left_out else ""
    batches = f", batches of {setting.data.batch_size}" if setting.data.batch_size else ""
    return f"{words}{batches}: timing steps, as they are and part by part{note}"


def _facts(setting: Setting, account: Account, found: Found) -> Facts:
    keys: Any = OmegaConf.to_container(setting.cfg, resolve=True)
    gpu = on_gpu(str(setting.cfg.trainer.get("accelerator")))
    return Facts(
        share=account.share,
        seconds=account.seconds,
        keys=keys,
        samples=setting.data.sizes()["train"],
        threads=found.threads,
        cores=cores(),
        gpu=gpu,
        convolutions=any(isinstance(each, nn.Conv2d | nn.ConvTranspose2d) for each in setting.module.net.modules()),
        fusible=found.fusible,
        compiles=missing_compiler(torch.device("cuda" if gpu else "cpu")) is None,
    )
