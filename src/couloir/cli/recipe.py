"""`couloir recipe RUN`: a finished run as an experiment file, whose result is the same."""

from __future__ import annotations

import sys

from couloir.cli.answer import JSON, Answer
from couloir.cli.flags import take_switches
from couloir.errors import CouloirError

USAGE = """usage: couloir recipe RUN [--json] [output_dir=FOLDER]

The words of a finished run as an experiment file, with its numbers; trained again, its result is the same.
A run is a folder, its name, or `latest`.
  couloir recipe latest > conf/experiment/good.yaml     and then: train experiment=good
  train experiment=outputs/latest/recipe.yaml           the file that each run has of itself, from its start on
  couloir recipe RUN --json                             the same for programs

Paths in it are those that were typed: relative ones begin in the working directory."""


def main(arguments: list[str]) -> int:
    """Print the file.

    Raises:
        CouloirError: there is no such run, it is not finished, or no experiment file can say what it was.
    """
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)  # noqa: T201
        return 0
    switches, words = take_switches(arguments, (JSON,))
    with Answer.of(switches) as answer:
        return _recipe(words, answer)


def _recipe(words: list[str], answer: Answer) -> int:
    from couloir.compare.recipe import recipe_file
    from couloir.record.find import find_run, runs_and_overrides

    named, overrides, outputs = runs_and_overrides(words)
    other = next((word for word in overrides if not word.startswith("output_dir=")), None)
    if other is not None:
        raise CouloirError(
            f"couloir recipe takes a run as it was, not '{other}'.",
            next_step=f"train experiment=NAME {other}, once the recipe is in conf/experiment/NAME.yaml",
        )
    if len(named) != 1:
        fact = f"couloir recipe takes one run, not {len(named)}." if named else "No run is named."
        raise CouloirError(fact, next_step="couloir recipe latest, or the folder of a run")
    run = find_run(named[0], outputs)
    text, notes = recipe_file(run)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)  # noqa: T201
    answer.facts |= {"run": str(run), "recipe": text, "notes": notes}
    print(text, end="")  # noqa: T201
    return 0
