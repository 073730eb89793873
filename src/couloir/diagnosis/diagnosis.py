"""From a run's folder to what is to be said of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from couloir.diagnosis.curve import Curve
from couloir.diagnosis.finding import TITLES, Evidence, Finding, number, quoted
from couloir.diagnosis.generative import evidence_of_players, read_samples, too_young
from couloir.diagnosis.gradients import CAUSES, waiting_for_data
from couloir.diagnosis.loss_curves import halted_short, read_curves
from couloir.diagnosis.reading import Reading, read_run
from couloir.diagnosis.remedies import remedies
from couloir.diagnosis.view import FEWEST, View
from couloir.record.run_files import RunFiles
from couloir.record.status import has_trained

UNFINISHED = {
    "interrupted": "was interrupted",
    "running": "has not ended",
    "failed": "failed",
    "pruned": "was ended, since other trials were better",
}
"""Status -> what became of a run that does not say by its last epoch how long it should have been."""
UNTRAINED = {
    "interrupted": "The run was stopped before its first step. `couloir resume {name}` begins it anew.",
    "running": "The run has not trained a step yet.",
    "failed": "The run ended before its first step, so there is nothing to diagnose or to go on with. "
    "Mend what it says, and train anew.",
}
"""Status -> what is said of a run that has not trained."""
DATA_AT_FAULT = "batch are NaN or infinite"
"""What the error of a diverged run says where not the network is to blame."""
FAILING = (
    None, "rate_too_large", "underfitting", "halted_early", "unrepresentative_training", "unrepresentative_validation",
)  # fmt: skip
"""What gradients that vanish, explode or are zero may look like in the loss curves; None: like nothing."""


@dataclass(frozen=True)
class Diagnosis:
    """What a run's curves say.

    Attributes:
        findings: the gravest first; empty when nothing is found.
        note: why little or nothing can be said, such as too few epochs; else "".
        evidence: the numbers that every diagnosis shows.
        summary: the run in half a sentence.
    """

    findings: tuple[Finding, ...] = ()
    note: str = ""
    evidence: Evidence = ()
    summary: str = ""

    @property
    def healthy(self) -> bool:
        """Whether the curves were long enough to be read, and nothing was found."""
        return not self.findings and bool(self.summary)

    def in_words(self) -> str:
        """One or two sentences with one override to try, for the end of `train`."""
        if not self.findings:
            said = f"Looks healthy. {self.summary}" if self.healthy else ""
            return " ".join(part for part in (said, self.note) if part)
        first, *others = self.findings
        also = f" Also: {', '.join(finding.title.lower() for finding in others)}." if others else ""
        remedy = f" Try {first.remedies[0].typed}." if first.remedies else ""
        return f"{first.title}: {first.sentence}{remedy}{also}"

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "healthy": self.healthy,
            "in_words": self.in_words(),
            "note": self.note,
            "findings": [
                {
                    "case": finding.case,
                    "title": finding.title,
                    "sentence": finding.sentence,
                    "evidence": dict(finding.evidence),
                    "remedies": [{"words": remedy.words, "why": remedy.why} for remedy in finding.remedies],
                }
                for finding in self.findings
            ],
            "evidence": dict(self.evidence),
        }


def diagnose(run: Path | RunFiles) -> Diagnosis:
    """Read what a run has left: `metrics.csv`, and where there are any its configuration, status and signals.

    Args:
        run: its folder, or what has been read of it already.

    Raises:
        CouloirError: one of its files is torn.
    """
    return diagnose_reading(read_run(run))


def diagnose_reading(reading: Reading) -> Diagnosis:
    """The diagnosis of a run's evidence.

    Args:
        reading: the evidence.
    """
    train, val = reading.train, reading.val
    alone = reading.has_players  # no loss of theirs is a measure
    view = View(reading, train, val) if train is not None and val is not None and not alone else None
    evidence = evidence_of_players(reading) if alone else () if view is None else view.evidence()
    found: list[tuple[str, str, Evidence]] = []
    note, young = _unfinished(reading), ""
    broken = reading.status.get("status") == "diverged" or reading.broken_epoch is not None
    if broken:
        diverged = _diverged(reading)
        found += [] if diverged is None else [diverged]
        note = "" if found else "The data holds values that are NaN or infinite, so that the loss became so."
    elif alone:
        found += [each for each in read_samples(reading) if each[0] != "halted_early" or not note]
        if reading.epochs < FEWEST and not found:
            note = note or _too_few(reading.epochs, "epoch")
        young = "" if found or note else too_young(reading)
        note = note or young
    elif view is None:
        note = note or _nothing_to_read(train, reading)
        found += [*_without_validation(train, reading), *read_samples(reading)]
    elif not view.readable:
        short = None if note else halted_short(view)
        rare = len(view.val) < FEWEST <= len(view.train)
        what, count = ("validation", len(view.val)) if rare else ("epoch", len(view.train))
        found += read_samples(reading)
        found += [] if short is None else [("halted_early", short, ())]
        note = note or ("" if found else _too_few(count, what, reading.warm_up))
    else:
        found += [*read_samples(reading), *_of_curves(view, note)]
    waiting = waiting_for_data(reading)
    found += [] if waiting is None else [("waiting_for_data", *waiting)]
    found.sort(key=lambda entry: list(TITLES).index(entry[0]))
    findings = tuple(
        Finding(case, sentence, (*own, *evidence), remedies(case, reading)) for case, sentence, own in found
    )
    readable = reading.epochs >= FEWEST and not young if alone else view is not None and view.readable
    summary = _summary(reading) if readable and not broken else ""
    return Diagnosis(findings, note, evidence, summary)


def _of_curves(view: View, unfinished: str) -> list[tuple[str, str, Evidence]]:
    """The curves' cases; where the network does not learn and its gradients say why, that instead."""
    found = read_curves(view)
    case = None if found is None else found[0]
    failing = case == "rate_too_large" or view.high("train")
    # What learned at first was thrown off: that its units are dead then, is a consequence.
    thrown = case == "rate_too_large" and view.thrown_off
    # Weights that are pulled to zero, and units that are dropped, have such gradients.
    held = view.settings.much_decay or view.settings.much_dropout
    if (
        failing
        and not thrown
        and not held
        and (case in FAILING or not view.learned)
        and (cause := _cause(view.reading)) is not None
    ):
        return [cause]
    if found is None or (unfinished and case == "halted_early"):
        return []
    return [(*found, ())]


def _cause(reading: Reading) -> tuple[str, str, Evidence] | None:
    answers = ((case, rule(reading)) for case, rule in CAUSES.items())
    return next(((case, *answer) for case, answer in answers if answer is not None), None)


def _diverged(reading: Reading) -> tuple[str, str, Evidence] | None:
    error = " ".join(str(reading.status.get("error") or "").splitlines()[:1])
    if DATA_AT_FAULT in error:
        return None
    epoch = reading.broken_epoch or reading.epochs + 1
    said = error or f"The training loss is not finite any more in epoch {epoch}."
    said = said[0].lower() + said[1:]
    evidence = (("end", f"diverged in epoch {epoch}"),)
    cause = _cause(reading)
    if cause is not None and cause[0] == "exploding_gradients":
        return cause[0], f"{cause[1]} Then {said}", (*cause[2], *evidence)
    return "rate_too_large", said, evidence


def _without_validation(train: Curve | None, reading: Reading) -> list[tuple[str, str, Evidence]]:
    """What the training loss alone can say: that it rises."""
    if train is None or len(train) < FEWEST:
        return []
    found = read_curves(View(reading, train, train))
    return [] if found is None else [(*found, ())]


def _unfinished(reading: Reading) -> str:
    status, planned = str(reading.status.get("status")), reading.key("trainer.max_epochs")
    if status in UNTRAINED and not reading.rows and not has_trained(reading.status):
        error = " ".join(str(reading.status.get("error") or "").splitlines()[:1]).rpartition("CouloirError: ")[2]
        return UNTRAINED[status].format(name=reading.name) + (f" It ended with: {error}" if error else "")
    if status not in UNFINISHED or (status == "running" and reading.epochs == planned):
        return ""
    of, how = f" of {planned}" if planned else "", UNFINISHED[status]
    goes_on = f" `couloir resume {reading.name}` goes on with it." if status in ("interrupted", "failed") else ""
    return f"The run {how}, with {reading.epochs}{of} epochs done.{goes_on}"


def _too_few(count: int, what: str, warm_up: int = 0) -> str:
    few = f"{count} {what}s are" if count > 1 else f"One {what} is"
    after = f" after the {warm_up} of the warm-up" if warm_up else ""
    return f"{few} too few{after} to say anything; four are needed."


def _nothing_to_read(train: Curve | None, reading: Reading) -> str:
    """Why there are no two losses to compare."""
    if train is not None:
        return "There is no validation loss to compare with."
    if reading.warm_up and reading.epochs:
        return f"The run ended within the {reading.warm_up} epochs of its warm-up, in which its loss is not yet itself."
    return "No epoch was completed."


def _summary(reading: Reading) -> str:
    """The healthy case in words: the last epoch, and the best one where that is another."""
    best = reading.best
    named = {"train/loss": "training loss", "val/loss": "validation loss"}
    if reading.has_players:
        named = {f"train/{name}": f"loss of the {name}" for name in ("generator", "discriminator")}
    measure = reading.measure("val")
    val = reading.val
    if measure is not None and (val is None or reading.has_players or measure[1].values[-1] != val.values[-1]):
        named[f"val/{measure[0].name}"] = f"validation {measure[0].label}"
    newest = reading.rows[-1]["epoch"]
    last = [(name, curve.newest) for column, name in named.items() if (curve := reading.curve(column)) is not None]
    said = ", ".join(
        f"{name} {number(point.value) if point.epoch == newest else quoted(point)}" for name, point in last
    )
    if best is None or best["epoch"] == newest:
        which = "" if best is None else f", which is the best by {reading.monitor}"
        return f"Last epoch ({newest:.0f}){which}: {said}."
    there = ", ".join(f"{name} {number(best[column])}" for column, name in named.items() if column in best)
    return f"Last epoch ({newest:.0f}): {said}. Best epoch by {reading.monitor} ({best['epoch']:g}): {there}."
