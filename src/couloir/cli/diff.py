"""`couloir diff RUN_A RUN_B`: what differs between two runs."""

from __future__ import annotations

from couloir.cli.answer import JSON, Answer
from couloir.cli.flags import take_switches
from couloir.errors import CouloirError

USAGE = """usage: couloir diff RUN_A RUN_B [--json] [output_dir=FOLDER]

What differs between two runs: configuration, environment, data, status, results, and the first epoch that does.
A run is a folder, its name, or `latest`; unfinished ones are compared as far as they came.
  couloir diff RUN latest
  couloir diff RUN_A RUN_B --json     the same for programs

Exit 0, whether anything differs or not."""


def main(arguments: list[str]) -> int:
    """Print what differs.

    Raises:
        CouloirError: there are not two runs, or their configurations cannot be read.
    """
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)  # noqa: T201
        return 0
    switches, words = take_switches(arguments, (JSON,))
    with Answer.of(switches) as answer:
        return _diff(words, answer)


def _diff(words: list[str], answer: Answer) -> int:
    from couloir.compare.diff import as_tables, diff_runs
    from couloir.record.find import find_run, outputs_of

    outputs = outputs_of(words)
    named = [word for word in words if not word.startswith("output_dir=")]
    if len(named) != 2:
        raise CouloirError(
            f"couloir diff takes two runs, not {len(named)}.", next_step="couloir diff RUN latest, or two folders"
        )
    one, other = (find_run(word, outputs) for word in named)
    diff = diff_runs(one, other)
    answer.facts |= {"a": str(one), "b": str(other), **diff.as_json()}
    print(as_tables(diff, one, other))  # noqa: T201
    return 0
