"""`couloir rerun RUN [OVERRIDES]`: a run once more in a new folder, and whether it came out the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from couloir.cli.answer import JSON, QUIET, Answer, run_facts
from couloir.cli.flags import take_switches
from couloir.config.finished import Opened
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.config.compose import Sentence

USAGE = """usage: couloir rerun RUN [--strict] [--json] [--quiet] [KEY=VALUE ...]

Train the configuration of a run again, in a folder of its own, and compare every number of it with the run's:
the epochs, the losses of single steps, the results, the weights, bit for bit.
A run is a folder, its name, or `latest`.
  couloir rerun latest
  couloir rerun RUN data.root=FOLDER     the data has moved; data.path, data.workers, trainer.threads and
                                         output_dir may be changed as well
  couloir rerun RUN --strict             refuse where code, packages or machine are not what they were
  couloir rerun RUN --json               one JSON object on standard output, and no words; --quiet: neither

Other data is refused (exit 2); other code, packages or hardware are named. Exit 0: identical; 1: something differs."""

OPENED = Opened(
    keys=(
        "output_dir",
        "data.root",
        "data.path",
        "data.train",
        "data.val",
        "data.test",
        "data.tries",
        "data.workers",
        "trainer.threads",
        "allow_targets",
    ),
    why="would change the run that is repeated",
    takes="couloir rerun takes data.root, data.path, data.workers, trainer.threads and output_dir",
)


def main(arguments: list[str]) -> int:
    """Repeat a run, and say whether it is identical.

    Raises:
        CouloirError: there is no such run, its records are torn, its data is not what it was.
    """
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)  # noqa: T201
        return 0
    switches, words = take_switches(arguments, ("--strict", JSON, QUIET))
    with Answer.of(switches) as answer:
        return _rerun(words, "--strict" in switches, ["couloir", "rerun", *arguments], answer)


def _rerun(words: list[str], strict: bool, command: list[str], answer: Answer) -> int:
    from couloir.config.resolvers import run_name
    from couloir.config.world import launched
    from couloir.record.files import read_json
    from couloir.record.find import find_run, runs_and_overrides
    from couloir.record.folder import RunFolder
    from couloir.record.metrics import read_metrics
    from couloir.record.provenance import read_provenance
    from couloir.record.result import read_result
    from couloir.record.status import read_status

    named, overrides, outputs = runs_and_overrides(words)
    if len(named) != 1:
        fact = f"couloir rerun takes one run, not {len(named)}." if named else "No run is named."
        raise CouloirError(fact, next_step="couloir rerun latest, or the folder of a run")
    run = find_run(named[0], outputs)
    sentence, added = _sentence(run, overrides)
    given = launched()
    if given is not None and not given.leads:
        answer.as_json = False  # the first process answers
        from couloir.run.train import train_along

        train_along()
        return 0
    for read in (read_provenance, read_metrics, read_result, read_status):
        read(run)  # what is torn is said before hours of training
    if strict:
        _refuse_early(run, sentence)
    collected = Path(sentence.cfg.output_dir)
    folder = RunFolder.create(collected / "rerun" / run_name(), collected)

    from couloir.compare.rerun import rerun

    try:
        return rerun(sentence, run, folder, command, strict, added)
    finally:
        answer.facts |= {**run_facts(folder.path), "rerun": read_json(folder.path / "rerun.json", strict=False)}


def _sentence(run: Path, overrides: list[str]) -> tuple[Sentence, list[str]]:
    """The run's configuration as a sentence that may be trained, and what to say of it."""
    from couloir.config.check import check
    from couloir.config.compose import Sentence, prepare_hydra
    from couloir.config.finished import amend, completed, run_config
    from couloir.config.targets import roots_of
    from couloir.record.configuration import read_overrides

    prepare_hydra()
    cfg, added = completed(run_config(run, roots_of(overrides)))
    cfg = amend(cfg, overrides, OPENED)
    sentence = Sentence(cfg, {}, [], [*(read_overrides(run) or []), *overrides], run)
    check(sentence)
    new = ", ".join(f"{key}={value}" for key, value in added.items())
    return sentence, [f"the run was made before these keys existed; they take their defaults: {new}"] if added else []


def _refuse_early(run: Path, sentence: Sentence) -> None:
    """What differs can mostly be said before torch is imported."""
    from couloir.record.differences import differences, own_packages, refuse
    from couloir.record.provenance import environment, read_provenance

    refuse(differences(read_provenance(run), environment()[0], also=own_packages(sentence.cfg)), run, strict=True)
