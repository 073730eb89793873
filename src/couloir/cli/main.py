"""The console scripts `train` and `couloir`: which verb, and what leaves the process."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

from couloir.cli.answer import UNKNOWN_NEXT, known
from couloir.errors import CouloirError, Interrupted, did_you_mean
from couloir.lazy_imports import SWITCH, defer, is_to_blame
from couloir.machine import print_any_character

CONFIG_DIR = ("--config-dir", "-cd")
SENTENCES = ("train", "data", "summary", "find-lr", "find-batch-size", "profile")
"""Verbs that take a sentence; others take a run, or nothing of a sentence."""
VERSION = ("-V", "--version")
VERBS = {
    "train": "compose a sentence, check it, train, test, and write the run folder",
    "init": "a project of your own: a network, a data set, an experiment, tests; schemas for your editor",
    "list": "the config groups, or the choices of one group",
    "resume": "go on with a run that was interrupted, to the bit",
    "evaluate": "the test split again: a run's best checkpoint, several views of each image, several runs together",
    "predict": "what a finished run says of new files: photographs, folders, tables, arrays; several runs together",
    "sample": "pictures that a finished VAE, GAN or autoencoder makes; its codes, rows between them, a film",
    "explain": "what a network looks at, what its layers see, what fools it, and whether that means anything: a page",
    "export": "a run's network as a file: safetensors, torch.export, ONNX; or a page about it",
    "rerun": "a run once more in a new folder, and whether it comes out the same to the last bit",
    "recipe": "a finished run as an experiment file, whose result is the same",
    "diff": "what differs between two runs: configuration, environment, data, results",
    "data": "what a data set holds: counts, sizes, columns, broken and doubled files; a page of samples and charts",
    "find-lr": "a learning rate for a sentence: a range test, its picture, a suggestion",
    "find-batch-size": "the largest batch that fits into memory, and the fastest",
    "profile": "where the time of a training step goes, and the setting most worth changing, tried and measured",
    "summary": "the layers of a network: output shapes, parameters, multiply-adds, memory",
    "board": "TensorBoard on the runs, to watch and to compare them",
    "report": "a page with curves, comparison and diagnosis of one run or several, or an index of all",
    "diagnose": "what a run's curves say: over- and underfitting, rates too large, ...; the evidence, and what to try",
}
"""Verb -> what it does; each is the function `main(arguments) -> exit code` of `couloir.cli.VERB`, with an underscore
for a dash.
"""


def train_main() -> None:
    """The console script `train`: the same as `couloir train`."""
    sys.exit(run(["train", *sys.argv[1:]]))


def couloir_main() -> None:
    """The console script `couloir`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one verb; this is the process boundary, where every exception becomes an exit code.

    Args:
        arguments: the verb and what follows it.

    Returns:
        0 done, 2 the user's input, 3 diverged, 130 after Ctrl-C, 143 after SIGTERM, 1 anything else.
    """
    show_traceback = os.environ.get("COULOIR_TRACEBACK") == "1"
    print_any_character()
    # Where torch's compiler is asked for it comes first, as ever: loaded late, it cannot export a recurrent network.
    if arguments[:1] != ["export"] and not any("compile" in word for word in arguments):
        defer()
    try:
        _look_around(arguments)
        return _dispatch(arguments)
    except CouloirError as error:
        if show_traceback:
            raise
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except Interrupted as interruption:
        return interruption.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader went away (`couloir list | head`); silence Python's own complaint at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # the process boundary
        if is_to_blame(error):
            return _with_plain_imports(arguments, error)
        if show_traceback:
            raise
        if (told := known(error)) is not None:
            print(f"error: {told}", file=sys.stderr)  # noqa: T201
            return told.exit_code
        print(f"error: {type(error).__name__}: {error}\n  next:  {UNKNOWN_NEXT}", file=sys.stderr)  # noqa: T201
        return 1


def _with_plain_imports(arguments: list[str], error: Exception) -> int:
    """The same words in a process that puts no import off: a version of a library has come that it does not suit."""
    import subprocess

    print(f"warning: {error}; once more with {SWITCH}=1, which saves this try", file=sys.stderr)  # noqa: T201
    command = [sys.executable, "-m", "couloir", *arguments]
    return subprocess.run(command, env=os.environ | {SWITCH: "1"}, check=False).returncode


def _look_around(arguments: list[str]) -> None:
    """Make the user's own modules importable, `_target_: mynet.MyNet`, and refuse names that no file can hold.

    Raises:
        CouloirError: the working directory is gone, or its name or a word is not text in UTF-8.
    """
    try:
        here = str(Path.cwd())
    except FileNotFoundError as error:
        raise CouloirError(
            "The working directory does not exist any more.", next_step="cd to a folder that does, and type it again"
        ) from error
    for word, what in [(here, "The name of the working directory"), *((word, "A word") for word in arguments)]:
        shown = word.encode(errors="backslashreplace").decode()
        if shown != word:
            step = "rename the folder or file, or make a link to it with a name in UTF-8"
            if sys.getfilesystemencoding() != "utf-8":
                step = "set PYTHONUTF8=1 or LC_ALL=C.UTF-8: this system is told that all names are " + (
                    sys.getfilesystemencoding()
                )
            raise CouloirError(f"{what} is not text in UTF-8, and the files of a run are: {shown}", next_step=step)
    if here not in sys.path:
        sys.path.insert(0, here)


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_usage())  # noqa: T201
        return 0
    if any(word in VERSION for word in arguments):
        from couloir.version import __version__

        print(f"couloir {__version__}")  # noqa: T201
        return 0
    verb, *rest = _own_folder(arguments)
    if verb not in VERBS:
        hint = did_you_mean(verb, VERBS, form="couloir {}")
        if verb.startswith("-") and rest and rest[0] in VERBS:
            hint = f"flags follow the verb: couloir {' '.join([rest[0], verb])} ..."
        raise CouloirError(
            f"There is no verb '{verb}'.", place=f"verbs: {', '.join(VERBS)}", next_step=hint or "couloir --help"
        )
    return int(importlib.import_module(f"couloir.cli.{verb.replace('-', '_')}").main(rest))


def _own_folder(arguments: list[str]) -> list[str]:
    """Search the folder of `--config-dir` first; the other arguments, with a word for it where a sentence follows.

    Raises:
        CouloirError: the flag names no folder.
    """
    from couloir.config import tree

    tree.name_own(None)
    rest, words = list(arguments), [word.partition("=")[0] for word in arguments]
    place = next((number for number, word in enumerate(words) if word in CONFIG_DIR), None)
    if place is None:
        return rest
    flag, equals, folder = rest.pop(place).partition("=")
    if not equals:
        folder = rest.pop(place) if place < len(rest) else ""
    if not folder:
        raise CouloirError(f"{flag} needs a folder.", next_step=f"{flag} FOLDER")
    tree.name_own(folder)
    return [*rest, *tree.own_word()] if rest and rest[0] in SENTENCES else rest


def _usage() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}} {text}" for verb, text in VERBS.items())
    return (
        "usage: couloir VERB [ARGUMENTS]     `couloir VERB --help` says more\n\n"
        f"{verbs}\n\n"
        "`train ...` is short for `couloir train ...`."
    )
