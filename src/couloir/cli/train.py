"""`train [OVERRIDES]`: the sentence, from the prompt to the run folder."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from couloir.cli.answer import JSON, QUIET, Answer
from couloir.config import tree
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.compare.resume import Unfinished
    from couloir.config.compose import Sentence
    from couloir.sweep.trials import SweepEnd

USAGE = """usage: train [GROUP=CHOICE ...] [KEY=VALUE ...]

  train                                        LeNet-5 on the embedded digits
  train model=resnet50 optimizer=adam          choose a group's part
  train optimizer.lr=0.01 trainer.max_epochs=5   change a key
  train -m optimizer=sgd,adam optimizer.lr=0.1,0.01   one run for each combination

  --cfg job           print the configuration instead of training (--resolve fills in the references)
  -m, --multirun      sweep over comma-separated values
  --config-dir FOLDER   your own YAML files, searched before ./conf
  --json              one JSON object on standard output, and no words
  --quiet             no words but warnings and errors
  -sc install=bash    tab completion: eval "$(train -sc install=bash)"; zsh and fish likewise
  --hydra-help        Hydra's own flags
  --version           the version of Couloir

groups and choices (`couloir list GROUP` describes them, `couloir list GROUP CHOICE` shows the keys):
"""

HYDRA_FLAGS = {
    "--cfg", "-c", "--multirun", "-m", "--shell-completion", "-sc", "--info", "-i", "--hydra-help", "--package", "-p",
    "--resolve",
}  # fmt: skip
COMPLETION, SHELLS = ("install", "uninstall", "query"), ("bash", "zsh", "fish")
"""What may be asked of completion."""
SWEEPING = {"-m", "--multirun"}
INSTEAD = {
    "--config-name": "./conf/train.yaml, which takes the place of Couloir's, or a recipe: experiment=NAME",
    "--config-path": "--config-dir FOLDER, which is searched before ./conf",
    "--experimental-rerun": "couloir rerun RUN",
}
INSTEAD |= {"-cn": INSTEAD["--config-name"], "-cp": INSTEAD["--config-path"]}
"""Flags of Hydra that would compose from elsewhere, and what there is instead."""
SILENCE = 10.0
"""Seconds that torchrun's other processes wait for the first to say what is wrong."""


def main(arguments: list[str]) -> int:
    """Train one sentence, or hand a multirun and Hydra's own questions to Hydra."""
    if "-h" in arguments or "--help" in arguments:
        from couloir.cli.list import groups_text

        print(USAGE + groups_text())  # noqa: T201
        return 0
    elsewhere = next((flag for argument in arguments if (flag := argument.split("=")[0]) in INSTEAD), None)
    if elsewhere is not None:
        raise CouloirError(f"train does not take {elsewhere}.", next_step=INSTEAD[elsewhere])
    words = _without_answer(arguments)
    with Answer.of(arguments) as answer:
        if any(word.split("=")[0] in HYDRA_FLAGS for word in words):
            return _through_hydra(words, ["train", *arguments], answer)
        return _train(words, ["train", *arguments], answer)


def _without_answer(arguments: list[str]) -> list[str]:
    """The words without `--json` and `--quiet`.

    Raises:
        CouloirError: one of these flags has a value or is misspelt, or the words ask Hydra something that it answers.
    """
    words = [word for word in arguments if word not in (JSON, QUIET)]
    for place, word in enumerate(words):
        name, equals, _ = word.partition("=")
        if equals and name in (JSON, QUIET):
            raise CouloirError(f"{name} takes no value.", next_step=f"{name} alone, or leave it out")
        if name.startswith("-") and name not in HYDRA_FLAGS:
            from couloir.config.compose import mistake_in

            raise mistake_in([*(before for before in words[:place] if "=" in before), *words[place:]])
    asked = next((word for word in words if word.split("=")[0] in HYDRA_FLAGS - SWEEPING), None)
    if asked is not None and len(words) < len(arguments):
        flags = " and ".join(word for word in (JSON, QUIET) if word in arguments)
        raise CouloirError(f"{flags} is about training, and {asked} trains nothing.", next_step=f"leave {flags} out")
    return words


def _train(words: list[str], command: list[str], answer: Answer) -> int:
    from couloir.config.check import checked
    from couloir.config.world import launched
    from couloir.record.folder import RunFolder

    given = launched()
    if given is not None and not given.leads:
        answer.as_json = False  # the first process answers
    try:
        sentence = checked(words)
        if given is not None and not given.leads:
            from couloir.run.train import train_along

            train_along()
            return 0
    except CouloirError:
        if given is not None and not given.leads:
            # What goes for all processes, the first one says; torchrun ends the others as soon as it has ended.
            time.sleep(SILENCE)
        raise
    if sentence.cfg.auto_resume and (run := _begun(sentence)) is not None:
        from couloir.compare.resume import go_on

        with answer.about_run(run.path, resumed=True):
            go_on(run, command)
        return 0
    folder = RunFolder.create(sentence.run_dir, Path(sentence.cfg.output_dir))  # before torch: it may not be writable

    from couloir.run.train import train_sentence

    with answer.about_run(folder.path):
        train_sentence(sentence, folder, command)
    return 0


def _begun(sentence: Sentence) -> Unfinished | None:
    """The unfinished run of the same words that `auto_resume` goes on with."""
    from couloir.compare.resume import same_sentence, unfinished

    run = same_sentence(sentence.overrides, Path(sentence.cfg.output_dir))
    trusted = [word for word in sentence.overrides if word.lstrip("+").startswith("allow_targets=")]
    return None if run is None else unfinished(run, trusted)


def _through_hydra(words: list[str], command: list[str], answer: Answer) -> int:
    """`--cfg`, `-m`, completion and the like: Hydra's own command line over the same tree."""
    import hydra

    from couloir.config.compose import check_sweep, prepare_hydra
    from couloir.config.hydra_private import arguments_parser
    from couloir.config.world import launched

    known, after = arguments_parser().parse_known_args(words)  # argparse leaves what follows on a=1 -m
    for word in after:
        if word.startswith("-"):
            raise CouloirError(f"There is no flag '{word}'.", next_step="`train --help` lists them")
    for flag, used in (("--package", known.package), ("--resolve", known.resolve)):
        if used and not known.cfg:
            raise CouloirError(
                f"{flag} says how a configuration is printed, and nothing asks to print one.",
                next_step=f"add --cfg job, or leave {flag} out",
            )
    overrides = [*known.overrides, *after]
    if known.multirun and known.cfg:
        raise CouloirError("--cfg prints one configuration, and -m asks for several.", next_step="leave -m out")
    if known.cfg == "job" and not known.package and not known.multirun:
        return _print_config(overrides, resolve=bool(known.resolve))
    if known.multirun and launched() is not None:
        raise CouloirError(
            "A sweep (-m) cannot run under torchrun.",
            next_step="`train -m trainer=ddp ...` without torchrun: each job starts its own processes",
        )
    if known.multirun and not (known.cfg or known.info or known.shell_completion or known.hydra_help):
        return answer.about_sweep(_sweep(overrides, command))
    asked = [word.partition("=") for word in overrides]
    if known.shell_completion and not any(key in COMPLETION and shell in SHELLS for key, _, shell in asked):
        raise CouloirError(
            "-sc says for which shell, and what is to be done.",
            next_step='eval "$(train -sc install=bash)", or zsh, or fish',
        )
    if known.shell_completion and (listed := _of_a_list(os.environ.get("COMP_LINE", ""))):
        print("\n".join(listed))  # noqa: T201
        return 0
    if known.shell_completion:
        _search_as(os.environ.get("COMP_LINE", ""))
    prepare_hydra()
    if known.shell_completion:
        line = os.environ.get("COMP_LINE", "")  # Hydra does not know these flags
        os.environ["COMP_LINE"] = re.sub(rf"\s({JSON}|{QUIET})(?=\s)", "", line)
    else:
        check_sweep(overrides)
    sys.argv = [*(word for word in command if word not in overrides), *overrides]
    hydra.main(version_base="1.3", config_path=str(tree.packaged_conf()), config_name=tree.ROOT_CONFIG)(_no_job)()
    return 0


def _search_as(line: str) -> None:
    """Search the folder first that an unfinished command line names."""
    found = re.search(r"(?:--config-dir|-cd)[ =](\S+)|\bconfig_dir=(\S+)", line)
    if found is not None and (folder := Path(found[1] or found[2]).expanduser()).is_dir():
        tree.name_own(folder)


def _of_a_list(line: str) -> list[str]:
    """What may stand for a last word that Hydra does not complete: a flag of Couloir's own, an unfinished list,
    `metric=[f1,au`, and the path of an experiment file.
    """
    last = line.rpartition(" ")[2]
    if last.startswith("--"):
        return [flag for flag in (JSON, QUIET, "--multirun", "--cfg", "--help") if flag.startswith(last)]
    if last.startswith("experiment=") and (files := _experiment_files(last.partition("=")[2])):
        return files
    found = re.search(r"(?:^|\s)(metric=\[([\w,]*,)?)(\w*)$", line)
    if found is None:
        return []
    named = (found[2] or "").split(",")
    return [found[1] + name for name in tree.choices("metric") if name.startswith(found[3]) and name not in named]


def _experiment_files(begun: str) -> list[str]:
    """The folders and YAML files that an unfinished path may become; none where it is the beginning of a name."""
    if not re.search(r"[/\\.]", begun):
        return []
    above, name = os.path.split(begun)
    try:
        there = sorted(Path(above or ".").iterdir())
    except OSError:
        return []
    fits = [path for path in there if path.name.startswith(name) and (name.startswith(".") or path.name[0] != ".")]
    words = [f"experiment={os.path.join(above, path.name)}" for path in fits]  # noqa: PTH118  as it was begun
    return [
        f"{word}{os.sep if path.is_dir() else ''}"
        for word, path in zip(words, fits, strict=True)
        if path.is_dir() or path.suffix in tree.ENDINGS
    ]


def _sweep(words: list[str], command: list[str]) -> SweepEnd:
    """A multirun; with `auto_resume=true` what is left of one with the very same words."""
    from couloir.sweep.multirun import begun, go_on_with, multirun

    folder = begun(words) if "auto_resume=true" in words else None
    return multirun(_past_latest(words), command) if folder is None else go_on_with(folder, [], command)


def _past_latest(words: list[str]) -> list[str]:
    """The words with the run or sweep in place of `latest` in `experiment=outputs/latest/recipe.yaml`: with the first
    step of the first trial, `latest` is this sweep.
    """
    from couloir.errors import display
    from couloir.record.find import past_latest

    fixed = []
    for word in words:
        key, _, value = word.partition("=")
        if key == tree.EXPERIMENT and not set(value) & set("'\"[("):
            value = ",".join(
                display(Path(path)) if (path := past_latest(each)) != each else each for each in value.split(",")
            )
            word = f"{key}={value}"
        fixed.append(word)
    return fixed


def _no_job(_: object) -> None:
    """Hydra's own questions train nothing."""


def _print_config(overrides: list[str], resolve: bool) -> int:
    from omegaconf import OmegaConf

    from couloir.config.compose import compose_sentence
    from couloir.config.settle import settle_parts

    cfg = settle_parts(compose_sentence(overrides)).cfg
    print(OmegaConf.to_yaml(cfg, resolve=resolve), end="")  # noqa: T201
    return 0
