"""Where a run comes from, what its curves say, and the commands that go on with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from couloir.artifacts.page import Cell, copyable, details, table, text
from couloir.errors import CouloirError, as_typed
from couloir.record.checkpoint import FOLDER
from couloir.report.evidence import RunRecord
from couloir.report.tables import heads

NAMED = ("torch", "pytorch-lightning", "torchmetrics", "numpy", "hydra-core")
"""Packages that are shown at once; the others are in a list that opens."""
OWN = ("folder", "command", "started", "ended")
"""What no two runs share."""
UNFINISHED = ("interrupted", "killed", "failed", "diverged", "pruned")


def diagnosis(record: RunRecord) -> tuple[str, str, str]:
    """What the curves of a run say: HTML, a sentence, and a class of `page.css`."""
    from couloir.diagnosis import diagnose
    from couloir.diagnosis.words import sentence

    try:
        found = diagnose(record.files)
    except CouloirError as error:
        return "", error.fact, ""
    rows = dict.fromkeys([*(row for finding in found.findings for row in finding.evidence), *found.evidence])
    cells = [[Cell(name, kind="key"), Cell(words)] for name, words in rows]
    evidence = details("the evidence", table(["", "measured"], cells, "evidence of the diagnosis")) if cells else ""
    if not found.findings:
        return evidence, found.in_words() or found.note, "calm" if found.healthy else ""
    parts = []
    for finding in found.findings:
        parts.append(f"<div><h3>{text(finding.title)}</h3><p>{text(_begun(finding.sentence))}</p>")
        for remedy in finding.remedies:
            parts.append(f"<p>{text(_begun(remedy.why))}</p>{copyable(sentence(record.typed, remedy.words))}")
        parts.append("</div>")
    return f'<div class="findings">{"".join(parts)}</div>{evidence}', found.note, "alarm"


def in_a_word(record: RunRecord) -> str:
    """The title of the gravest finding; `healthy`, or nothing where nothing can be said."""
    from couloir.diagnosis import diagnose

    try:
        found = diagnose(record.files)
    except CouloirError:
        return ""
    if found.findings:
        return str(found.findings[0].title)
    return "healthy" if found.healthy else ""


def _begun(sentence: str) -> str:
    """With a capital at the beginning."""
    return sentence[:1].upper() + sentence[1:]


def commands(records: Sequence[RunRecord]) -> str:
    """The commands that go on with one run, or compare several, each with a button that copies it."""
    told = _of_one(records[0]) if len(records) == 1 else _of_several(records)
    parts = (f"<div><p>{text(words)}</p>{copyable(command)}</div>" for words, command in told)
    return f'<div class="commands">{"".join(parts)}</div>'


def _of_one(record: RunRecord) -> list[tuple[str, str]]:
    path = record.path
    epochs = record.flat.get("trainer.max_epochs")
    saved = any((record.folder / FOLDER).glob("*.ckpt"))
    told = []
    if record.state in UNFINISHED:
        told.append(("Continue where it ended", f"couloir resume {path}"))
    elif record.state == "completed" and isinstance(epochs, int) and epochs > 0:
        told.append(("Train longer", f"couloir resume {path} trainer.max_epochs={2 * epochs}"))
    told.append(("Train it again and compare every number", f"couloir rerun {path}"))
    if saved:
        told.append(("Test its weights again", f"couloir evaluate {path}"))
    told.append(("Read its curves aloud", f"couloir diagnose {path}"))
    told.append(("Look at it in TensorBoard", "couloir board"))
    return told


def _of_several(records: Sequence[RunRecord]) -> list[tuple[str, str]]:
    paths = [record.path for record in records]
    told = [("What differs between the first two", f"couloir diff {paths[0]} {paths[1]}")]
    if all(any((record.folder / FOLDER).glob("*.ckpt")) for record in records):
        told.append(("Test the mean of their predictions", f"couloir evaluate {' '.join(paths)}"))
    told.append(("Make this page again", f"couloir report {' '.join(paths)}"))
    told.append(("Compare them in TensorBoard", "couloir board"))
    return told


def provenance(records: Sequence[RunRecord]) -> str:
    """Command, code, packages, machine and data of each run; empty where nothing is recorded."""
    told = [_facts(record) for record in records]
    names = list(dict.fromkeys(name for facts in told for name in facts))
    if not names:
        return ""
    rows = []
    for name in names:
        words = [facts.get(name, "") for facts in told]
        differs = len(set(words)) > 1 and name not in OWN
        cells = [Cell(value, kind="code long other" if differs else "code long") for value in words]
        rows.append([Cell(name, kind="key"), *cells])
    head = ["", *(heads(records) if len(records) > 1 else ["recorded"])]
    parts = [table(head, rows, "the origin of the runs")]
    packages = records[0].provenance.get("packages")
    if len(records) == 1 and isinstance(packages, dict) and packages:
        listed = ", ".join(f"{name} {version}" for name, version in packages.items())
        parts.append(details(f"all {len(packages)} packages", f"<p>{text(listed)}</p>"))
    return "".join(parts)


def _facts(record: RunRecord) -> dict[str, str]:
    origin = record.provenance
    status = record.status
    found: dict[str, str] = {}

    def tell(name: str, value: Any) -> None:
        if value not in (None, "", [], {}):
            found[name] = str(value)

    tell("folder", record.folder)
    command = origin.get("command")
    tell("command", as_typed(map(str, command)) if isinstance(command, list) else None)
    tell("started", status.get("started"))
    tell("ended", status.get("ended"))
    tell("seed", origin.get("seed"))
    tell("couloir", origin.get("couloir"))
    git = origin.get("git")
    if isinstance(git, dict):
        tell("git", f"{git.get('commit')}{', with changes (git.diff)' if git.get('dirty') else ''}")
    tell("python", origin.get("python"))
    packages = origin.get("packages")
    if isinstance(packages, dict):
        tell("packages", ", ".join(f"{name} {packages[name]}" for name in NAMED if name in packages))
    hardware = origin.get("hardware")
    if isinstance(hardware, dict):
        for name, value in hardware.items():
            tell(name.replace("_gib", ", GiB"), ", ".join(map(str, value)) if isinstance(value, list) else value)
    data = origin.get("data")
    if isinstance(data, dict):
        tell("data", data.get("fingerprint"))
        sizes = data.get("sizes")
        if isinstance(sizes, dict):
            tell("samples", ", ".join(f"{split} {size}" for split, size in sizes.items()))
        tell("unreadable samples", data.get("skipped") or None)
    resumed = origin.get("resumed")
    for place, entry in enumerate(resumed if isinstance(resumed, list) else [], start=1):
        if isinstance(entry, dict):
            changed = as_typed(map(str, entry.get("overrides") or []))
            start = entry.get("checkpoint") or "the beginning"
            tell(f"resumed ({place})", f"{entry.get('time', '')} from {start} {changed}".strip())
    return found
