"""A diagnosis in full, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from couloir.config.launch import RUN_DIR
from couloir.diagnosis.diagnosis import Diagnosis, diagnose_reading
from couloir.diagnosis.finding import Evidence, Finding
from couloir.diagnosis.given_up import given_up_by
from couloir.diagnosis.reading import read_run
from couloir.errors import as_typed
from couloir.log import rendered


def in_full(run: Path) -> str:
    """What is found in a run, the evidence, and sentences to try.

    Args:
        run: its folder.

    Raises:
        CouloirError: one of its files is torn.
    """
    reading = read_run(run)
    diagnosis = diagnose_reading(reading)
    parts = [str(run)]
    if not diagnosis.findings:
        parts.append(diagnosis.in_words())
    for finding in diagnosis.findings:
        parts.append(f"{finding.title}: {finding.sentence}")
        parts += _to_try(finding, reading.words)
    if diagnosis.findings and diagnosis.note:
        parts.append(diagnosis.note)
    if said := given_up_by(run):
        parts.append(said)
    return "\n\n".join([*parts, *_table(diagnosis)])


def sentence(words: Sequence[str], remedy: str) -> str:
    """The run's own words with a remedy among them, ready for a shell.

    Args:
        words: what the user typed.
        remedy: overrides, with a space between two; they take the place of the run's own of the same key.
    """
    return as_typed(["train", *changed(words, remedy)])


def changed(words: Sequence[str], remedy: str) -> list[str]:
    """The run's own words with a remedy among them, one item a word; without its folder, which holds a run by now.

    Args:
        words: what the user typed.
        remedy: overrides, with a space between two; a new choice of a group takes the place of the old one's keys too.
    """
    keys = {word.lstrip("+").partition("=")[0] for word in remedy.split(" ")} | {RUN_DIR}
    groups = tuple(f"{key}." for key in keys if "." not in key)
    own = [(word, word.lstrip("+~").partition("=")[0]) for word in words]
    return [*(word for word, key in own if key not in keys and not key.startswith(groups)), *remedy.split(" ")]


def _to_try(finding: Finding, words: Sequence[str] | None) -> list[str]:
    if not finding.remedies:
        return []
    typed = [sentence(words, remedy.words) if words is not None else remedy.words for remedy in finding.remedies]
    lines = [f"  {one}\n      {remedy.why}" for one, remedy in zip(typed, finding.remedies, strict=True)]
    return ["\n".join(["try:", *lines])]


def _table(diagnosis: Diagnosis) -> list[str]:
    rows: Evidence = tuple(dict.fromkeys(row for finding in diagnosis.findings for row in finding.evidence))
    rows = rows or diagnosis.evidence
    if not rows:
        return []
    table = Table("evidence", "")
    for name, text in rows:
        table.add_row(name, text)
    return [rendered(table)]
