"""A diagnosis that is what a test says it is."""

from __future__ import annotations

from dataclasses import dataclass

import pytest


@dataclass
class Remedy:
    words: str
    why: str


@dataclass
class Finding:
    case: str
    title: str
    sentence: str
    evidence: tuple[tuple[str, str], ...]
    remedies: tuple[Remedy, ...]


@dataclass
class Diagnosis:
    findings: tuple[Finding, ...] = ()
    evidence: tuple[tuple[str, str], ...] = ()
    healthy: bool = True
    note: str = ""

    def in_words(self) -> str:
        return "Looks healthy."


@pytest.fixture(autouse=True)
def diagnosis(monkeypatch: pytest.MonkeyPatch) -> dict[str, Diagnosis]:
    """What `diagnose` answers, by the run's name; the others are healthy."""
    answers: dict[str, Diagnosis] = {}
    monkeypatch.setattr("couloir.diagnosis.diagnose", lambda run: answers.get(run.name, Diagnosis()))
    return answers


@pytest.fixture
def overfitting() -> Diagnosis:
    """A diagnosis with a finding."""
    remedy = Remedy("model.dropout=0.5 augmentation=affine", "It asks less of single units.")
    finding = Finding("overfitting", "Overfitting", "It rises from 0.2 to 0.4.", (("best epoch", "8"),), (remedy,))
    return Diagnosis((finding,), (("best epoch", "8"), ("gap", "0.2")), healthy=False)
