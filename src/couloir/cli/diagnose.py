"""`couloir diagnose RUN...`: what the curves of a run say."""

from __future__ import annotations

from couloir.cli.answer import JSON, Answer, diagnosis_facts
from couloir.cli.flags import take_switches
from couloir.errors import CouloirError

USAGE = """usage: couloir diagnose RUN... [--json] [output_dir=FOLDER]

What the curves of a run say: underfitting, overfitting, a rate that is too large, gradients that vanish, ..., or that
they look healthy; with the numbers that say so, and sentences to try. docs/diagnosis.md has the rules.
A run is a folder, its name, or `latest`; it may still be running.
  couloir diagnose latest
  couloir diagnose RUN_A RUN_B --json     the same for programs

Exit 0, whatever is found."""


def main(arguments: list[str]) -> int:
    """Print the diagnosis of each run.

    Raises:
        CouloirError: no run is named, there is no such run, or one of its files is torn.
    """
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)  # noqa: T201
        return 0
    switches, words = take_switches(arguments, (JSON,))
    with Answer.of(switches) as answer:
        return _diagnose(words, answer)


def _diagnose(words: list[str], answer: Answer) -> int:
    from couloir.diagnosis.words import in_full
    from couloir.record.find import find_run, runs_and_overrides

    named, overrides, outputs = runs_and_overrides(words)
    others = [word for word in overrides if not word.startswith("output_dir=")]
    if others:
        raise CouloirError(
            f"couloir diagnose takes no overrides such as {others[0]}.", next_step="couloir diagnose latest"
        )
    if not named:
        raise CouloirError("No run is named.", next_step="couloir diagnose latest, or the folder of a run")
    runs = [find_run(word, outputs) for word in named]
    if answer.as_json:
        answer.facts["runs"] = [{"run": str(run), **diagnosis_facts(run)} for run in runs]
    else:
        print("\n\n".join(in_full(run) for run in runs))  # noqa: T201
    return 0
