"""What the words of `couloir sample` ask of a run that writes text. Nothing here imports torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from couloir.config.metrics import NEXT_TOKEN, task_of
from couloir.errors import CouloirError
from couloir.inference.sampling.words import FOLDER, LARGEST_SEED, PLACE, TXT
from couloir.record.find import CHECKPOINT, names_run

FLAGS = ("--prompt", "--temperature", "--top-k", "--top-p", "--tokens")
"""What is said of texts alone."""
TOKENS = 500
"""Tokens of a text where nobody says how many."""
MOST_TOKENS = 1_000_000
"""Tokens of a text at most: half an hour of a small network."""


@dataclass(frozen=True)
class WantedText:
    """What is asked for.

    Attributes:
        prompt: the text that is continued; empty: a text begins behind a line break.
        tokens: that follow it.
        count: texts.
        seed: what the draws follow from.
        temperature: what scores are divided by; 0: the likeliest token each time.
        top_k: tokens that are drawn among at most; None: all.
        top_p: probability of the likeliest tokens that are drawn among; None: all.
        output: the file or folder.
        form: how the name of the output ends, `TXT` or `FOLDER`.
    """

    prompt: str
    tokens: int
    count: int
    seed: int
    temperature: float
    top_k: int | None
    top_p: float | None
    output: Path
    form: str


def writes_text(cfg: Any) -> bool:
    """Whether a run predicts what comes next, so that it can write."""
    return task_of(cfg) == NEXT_TOKEN


def refuse_text_flags(flags: Mapping[str, Any], run: Path) -> None:
    """Refuse what is said of texts where a run makes no text.

    Raises:
        CouloirError: it is said.
    """
    for flag in FLAGS:
        if flags[flag] is not None:
            raise CouloirError(
                f"{flag} is of a text, and the run {run.name} writes none.",
                next_step=f"leave {flag} out, or name a run of task=next_token",
            )


def wanted_text(flags: Mapping[str, Any], mode: str, files: Sequence[str], run: Path, outputs: str) -> WantedText:
    """What flags ask of a run that writes text.

    Args:
        flags: their values by name, None where nothing is said.
        mode: the flag that asks for a kind of picture, such as `--latent`; empty: none does.
        files: the words behind the run.
        run: its folder, or the one of its checkpoints that is named.
        outputs: the folder that collects the runs.

    Raises:
        CouloirError: something is asked that is of pictures alone, or that says nothing.
    """
    name = (run.parents[1] if run.suffix == CHECKPOINT else run).name
    for flag in ([mode] if mode else []) + (["--class"] if flags["--class"] is not None else []):
        raise CouloirError(
            f"{flag} is of pictures, and the run {name} has task={NEXT_TOKEN}, which writes text.",
            next_step=f"couloir sample {name} --prompt TEXT",
        )
    if files:
        if names_run(files[0], outputs):
            raise CouloirError("One run writes at a time.", next_step=f"couloir sample {files[0]}")
        raise CouloirError(
            f"'{files[0]}' stands behind the run, and a run that writes text takes no files.",
            next_step=f"--prompt '{files[0]}' is the text that is continued; --output says where texts go",
        )
    given, temperature = flags["--seed"], flags["--temperature"]
    if temperature == 0:
        for flag in ("--top-k", "--top-p", "--seed", "--count"):
            if flags[flag] is not None and (flag != "--count" or flags[flag] > 1):
                raise CouloirError(
                    f"--temperature 0 takes the likeliest token each time and draws nothing, so {flag} says nothing.",
                    next_step=f"leave {flag} out, or --temperature 0.8",
                )
    if given is not None and given > LARGEST_SEED:
        raise CouloirError(f"--seed takes an integer up to {LARGEST_SEED}, not {given}.", next_step="--seed 0")
    tokens = flags["--tokens"] or TOKENS
    if tokens > MOST_TOKENS:
        raise CouloirError(
            f"--tokens takes at most {MOST_TOKENS:,}, not {tokens:,}.", next_step="--count writes more texts"
        )
    asked = {
        "prompt": flags["--prompt"] or "", "tokens": tokens, "count": flags["--count"] or 1, "seed": given or 0,
        "temperature": 1.0 if temperature is None else float(temperature), "top_k": flags["--top-k"],
        "top_p": flags["--top-p"],
    }  # fmt: skip
    output, form = _place(flags["--output"], run, asked)
    return WantedText(**asked, output=output, form=form)


def _place(stated: str | None, run: Path, asked: Mapping[str, Any]) -> tuple[Path, str]:
    """Where texts go, and how its name ends.

    In the run's folder a name has the seed and six digits of all that was asked: the same words write the same file.

    Raises:
        CouloirError: the name does not say what is to be written.
    """
    if stated is None:
        folder, of = (run.parents[1], f"_{run.stem}") if run.suffix == CHECKPOINT else (run, "")
        digits = hashlib.sha256(repr(sorted(asked.items())).encode()).hexdigest()[:6]
        return folder / PLACE / f"text_seed{asked['seed']}_{digits}{of}{TXT}", TXT
    place = Path(stated).expanduser()
    form = FOLDER if place.is_dir() or stated.endswith(("/", os.sep)) else place.suffix.lower()
    if form not in (TXT, FOLDER):
        raise CouloirError(
            f"--output {stated} ends in {form}, and texts go to FILE{TXT} or FOLDER.",
            next_step=f"--output {place.with_suffix(TXT)}",
        )
    return place, form
