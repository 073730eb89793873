"""The door from the command line to a sweep, a new one or one that goes on: Hydra's multirun, without its own way of
reporting what goes wrong. Nothing here imports torch.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf

from couloir.config import tree
from couloir.config.compose import check_sweep, prepare_hydra
from couloir.config.made_for import brought
from couloir.errors import CouloirError, did_you_mean, in_quotes
from couloir.record.find import find_run, outputs_of, past_latest
from couloir.record.folder import LATEST
from couloir.record.sweep import FILE, SweepFacts, read_facts
from couloir.sweep.trials import SweepEnd

OPEN = (
    "sweep.n_trials", "sweep.workers", "sweep.isolation", "sweep.max_failures", "hydra/launcher", "output_dir",
    "allow_targets",
)  # fmt: skip
"""What may be another when a sweep goes on, besides the keys of the launcher."""
OF_RUNS = ("model.weights", "initializer.run")
"""Keys whose value may name a run."""


def multirun(words: list[str], command: list[str]) -> SweepEnd:
    """Make the sweep that some words ask for, through the sweeper and the launcher that they name.

    Args:
        words: what was typed after `-m`.
        command: the whole command line, for the record.

    Returns:
        the exit code and the sweep's folder.

    Raises:
        CouloirError: it cannot be done as it was typed.
    """
    check_sweep(words)
    words = past_latest_run([*words, *brought(words)])
    prepare_hydra()  # what composed the words for their check has set Hydra back to what it was before
    typed, sys.argv = sys.argv, command
    try:
        with initialize_config_dir(str(tree.packaged_conf()), version_base="1.3", job_name=tree.ROOT_CONFIG):
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            end = hydra.multirun(tree.ROOT_CONFIG, launched, words)
            assert isinstance(end, SweepEnd), "the sweeper of Couloir is the only one that a file may name"
            return end
    except ConfigCompositionException as error:
        # Each run would have the key, of a part that follows from other words; Hydra composes them once without these.
        raise CouloirError(
            f"A sweep composes its words before a part follows from them: {str(error).partition(chr(10))[0]}",
            next_step="name the part as well: task=..., loss=... or model=...",
        ) from error
    finally:
        sys.argv = typed


def past_latest_run(words: list[str]) -> list[str]:
    """The words with the run that `latest` leads to in its place: each run of the sweep makes another one the latest.

    Raises:
        CouloirError: there is no run that `latest` leads to.
    """
    outputs, fixed = outputs_of(words), []
    for word in words:
        key, _, value = word.partition("=")
        if key.lstrip("+") in OF_RUNS and LATEST in value:
            each = (str(find_run(part, outputs)) if part == LATEST else past_latest(part) for part in value.split(","))
            word = f"{key}={','.join(in_quotes(part) for part in each)}"
        fixed.append(word)
    return fixed


def go_on_with(folder: Path, overrides: list[str], command: list[str]) -> SweepEnd:
    """Finish what is missing of a sweep.

    Args:
        folder: of the sweep.
        overrides: what is to be another from now on.
        command: the whole command line.

    Returns:
        the exit code and the sweep's folder.

    Raises:
        CouloirError: a process is at work on it, its file cannot be read, or what is to change is settled.
    """
    from couloir.sweep.sweep import alive  # only here: a launcher's worker needs none of it

    facts = read_facts(folder)
    assert facts is not None, "a strict reader raises"
    for override in overrides:
        key = override.lstrip("+").partition("=")[0]
        if key not in OPEN and not key.startswith("hydra.launcher."):
            hint = did_you_mean(key, OPEN, form="{}=...")
            raise CouloirError(
                f"'{key}' cannot change after a sweep has started.",
                next_step=hint or f"a sweep can continue with another {', '.join(OPEN[:4])}",
            )
    if alive(folder):
        raise CouloirError(
            f"The sweep {folder.name} is still running.",
            place=str(folder),
            next_step="wait for it or stop it; with sweep.storage, the same `train -m` command joins the study",
        )
    directory = Path(facts.directory)
    if directory.is_dir():
        os.chdir(directory)  # its own `./conf`, modules and relative paths are those of where it was typed
    keys = {override.partition("=")[0] for override in overrides}
    words = [word for word in facts.words if word.partition("=")[0] not in keys]
    words = [word for word in words if not word.lstrip("+").startswith(("hydra.sweep.dir=", "sweep.name="))]
    asked = [override for override in overrides if not override.startswith("output_dir=")]
    words = [*words, *asked, *_objectives(facts, words)]
    return multirun([*words, f"sweep.name={facts.study}", f"hydra.sweep.dir={in_quotes(str(folder))}"], command)


def begun(words: list[str]) -> Path | None:
    """The newest sweep of the very same words that is not finished, and that no process is at work on: what
    `auto_resume=true` goes on with.

    Args:
        words: what was typed after `-m`.
    """
    from couloir.sweep.sweep import FINISHED, alive  # only here: a launcher's worker needs none of it

    outputs = outputs_of(words)
    for file in sorted(Path(outputs).glob(f"sweep/*/{FILE}"), reverse=True):
        folder = file.parent
        facts = read_facts(folder, strict=False)
        same = facts is not None and sorted(facts.words) == sorted(words)
        if same and not alive(folder) and not (folder / FINISHED).exists():  # which says that nothing is left to do
            return folder.resolve()
    return None


def _objectives(facts: SweepFacts, words: list[str]) -> list[str]:
    """The words that keep the objectives of a sweep of an older version, which may have chosen others."""
    if facts.format is not None or not facts.objectives or any("sweep.objective=" in word for word in words):
        return []
    return [
        f"sweep.objective=[{','.join(facts.objectives)}]", f"sweep.direction=[{','.join(facts.objectives.values())}]"
    ]  # fmt: skip


def launched(_: DictConfig) -> int:
    """What a launcher of Hydra's calls for one job, on whatever machine: the run, in a process of its own.

    Returns:
        the exit code of that process.
    """
    from couloir.sweep.engine.launcher import run_alone

    node = HydraConfig.get()
    overrides = OmegaConf.to_container(node.overrides.task, resolve=False)
    assert isinstance(overrides, list)
    return run_alone(Path(str(node.runtime.output_dir)), [str(word) for word in overrides])
