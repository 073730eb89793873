"""`couloir init [DIR]`: a project of the user's own, and `--schema`: what an editor needs to know its YAML files."""

from __future__ import annotations

from pathlib import Path

from couloir.cli.flags import take_switches
from couloir.errors import CouloirError, as_typed

USAGE = """usage: couloir init [FOLDER]
       couloir init --schema

A project of your own, in this folder or another: a network, a data set, an experiment, a test, a Makefile and a README.
Files that are there are never overwritten.
  couloir init mine        and then: cd mine; make train; make test

  --schema   in the folder of a project: JSON schemas of its YAML files in .couloir/schema/, with your own groups
             and choices, so that an editor completes keys, shows what they mean, and marks mistakes. Make them again
             after changes to ./conf. .vscode/settings.json is written, or its lines are printed where it is there."""


def main(arguments: list[str]) -> int:
    """Write a project, or the schemas of one.

    Raises:
        CouloirError: there are files already, or the folder cannot be written.
    """
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)  # noqa: T201
        return 0
    switches, words = take_switches(arguments, ("--schema",))
    if "--schema" in switches:
        return _schema(words)
    if len(words) > 1:
        raise CouloirError(f"couloir init takes one folder, not {len(words)}.", next_step=f"couloir init {words[0]}")
    name = words[0] if words else "."
    if "=" in name or not name.strip() or any(ord(sign) < 32 for sign in name):
        raise CouloirError(f"'{name}' is no name for a project's folder.", next_step="couloir init mine")
    return _project(name)


def _project(name: str) -> int:
    from couloir.init.project import make_project

    folder = Path(name).expanduser()
    files = make_project(folder)
    print("\n".join(str(folder / file) for file in files))  # noqa: T201
    cd = [] if name == "." else [as_typed(["cd", name])]
    print("next: " + ", ".join([*cd, "make train", "make test", "couloir init --schema for your editor"]))  # noqa: T201
    return 0


def _schema(words: list[str]) -> int:
    from couloir.init.schema import write_schemas

    if words:
        raise CouloirError(
            "couloir init --schema takes no folder: it is about the one that you are in.",
            next_step=f"{as_typed(['cd', words[0]])}, and then couloir init --schema",
        )
    print(write_schemas(Path()))  # noqa: T201
    return 0
