"""`couloir resume RUN [OVERRIDES]`: an interrupted run goes on, in the same folder, to the bit."""

from __future__ import annotations

import os

from couloir.cli.answer import JSON, QUIET, Answer
from couloir.cli.flags import take_switches
from couloir.errors import CouloirError, as_typed

USAGE = """usage: couloir resume RUN|SWEEP [--json] [--quiet] [KEY=VALUE ...]

Go on with a run that was interrupted or killed, or has failed or diverged, in its folder, as if it had never stopped.
A run is a folder, its name, or `latest`.
  couloir resume latest
  couloir resume RUN trainer.max_epochs=40       train longer, also a run that is finished
  couloir resume RUN optimizer.lr=0.001          a diverged run, from its last checkpoint, with a smaller rate

Finish what is missing of a sweep: trials that were stopped or killed go on, those that failed or diverged stay so.
  couloir resume SWEEP
  couloir resume SWEEP sweep.n_trials=100        more trials, also of a sweep that is finished

  --json     one JSON object on standard output, and no words
  --quiet    no words but warnings and errors"""


def main(arguments: list[str]) -> int:
    """Find the run or the sweep, and train what remains of it."""
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)  # noqa: T201
        return 0
    switches, words = take_switches(arguments, (JSON, QUIET))
    with Answer.of(switches) as answer:
        return _resume(words, ["couloir", "resume", *arguments], answer)


def _resume(arguments: list[str], command: list[str], answer: Answer) -> int:
    from couloir.compare.resume import go_on, unfinished
    from couloir.config.world import launched
    from couloir.record.find import find_run, find_sweep, runs_and_overrides

    words, overrides, outputs = runs_and_overrides(arguments)
    if len(words) != 1:
        fact = f"couloir resume takes one run, not {len(words)}." if words else "No run is named."
        raise CouloirError(fact, next_step="couloir resume latest, or the folder of a run")
    sweep = find_sweep(words[0], outputs)
    if sweep is not None:
        from couloir.sweep.multirun import go_on_with

        return answer.about_sweep(go_on_with(sweep, overrides, command))
    path = find_run(words[0], outputs)
    run = unfinished(path, [word for word in overrides if not word.startswith("output_dir=")])
    if run is None:
        shown = os.path.relpath(path)
        with answer.about_run(path):
            longer = f"couloir resume {as_typed([shown])} trainer.max_epochs=... trains it longer"
            print(f"{shown} is finished.\n  next:  {longer}")  # noqa: T201
        return 0
    given = launched()
    if given is not None and not given.leads:
        answer.as_json = False  # the first process answers
        from couloir.run.train import train_along

        train_along()
        return 0
    with answer.about_run(path, resumed=True):
        go_on(run, command)
    return 0
