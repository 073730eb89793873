"""`couloir explain RUN|OVERRIDES [INPUT...]`: what a network looks at, what its layers see, what fools it: a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from couloir.cli.answer import JSON, Answer
from couloir.cli.flags import Flag, take_flags
from couloir.inference.explain.words import GROUPS, METHODS

if TYPE_CHECKING:
    from couloir.config.finished import Opened

HEAD = """usage: couloir explain RUN [INPUT...] [--methods NAMES] [--layer NAME] [--class NAME] [--json] [KEY=VALUE ...]
       couloir explain OVERRIDES model.weights=FILE [INPUT...] ...

What a finished run answers, what it goes by, and whether the pictures of that mean anything: one page, with a picture
and the numbers (.npy) of each map beside it, in outputs/explain/<date>_<time>_<id>/. A run is a folder, its name, or
`latest`; or one of its checkpoints. No run is needed where a sentence names a network, its weights and the data.
Inputs are photographs, folders, patterns, tables, texts, arrays; without any, samples of the run's own test split.
  couloir explain latest                                    four test samples
  couloir explain latest photo.jpg --methods default,fgsm   the default methods, and a change that fools the network
  couloir explain latest photos/ --methods where --layer features.10,features.12 --class bee
  couloir explain data=imagenet model=squeezenet model.weights=imagenet photo.jpg

  --methods NAMES  methods and sections, with commas between; `default`, `all`
  --layer NAMES    layers as `couloir summary` names them; left out: each method chooses
  --class NAME     the class or output that is explained; left out: the likeliest of each sample
  --unit N         the map or unit of the layer; left out: the strongest
  --count N        test samples that are explained where no inputs are named (4)
  --split NAME     train, val or test: what methods that need many samples look through (val)
  --most N         samples of it at most; left out: up to 1,000, fewer for large networks
  --epsilon E      the size of a change that fools, 0.03 or 8/255; left out: as each method says
  --against RUN    a run whose labels were random, for the method random_labels
  --seed N         what noise and draws follow from (0)
  --output FOLDER  instead of outputs/explain/...
Keys of a run: data.root and others that say where its data is, trainer.accelerator, output_dir

Methods by section; * are used where none are named:
"""
TAKEN = [
    Flag("--methods", None, takes="the NAMES of methods"),
    Flag("--layer", None, takes="the NAME of a layer"),
    Flag("--class", None, takes="the name of a CLASS"),
    Flag("--unit", None, "int >= 0"),
    Flag("--count", None, "int >= 1"),
    Flag("--split", None, takes="the name of a split: val"),
    Flag("--most", None, "int >= 2"),
    Flag("--epsilon", None, takes="a number: 8/255"),
    Flag("--against", None, takes="a RUN"),
    Flag("--seed", 0, "int >= 0"),
    Flag("--output", None, takes="a FOLDER"),
]


def main(arguments: list[str]) -> int:
    """Write the page, and print where it is and what was answered."""
    if "-h" in arguments or "--help" in arguments:
        print(HEAD + _methods())  # noqa: T201
        return 0
    answer, rest = Answer.taken(arguments)
    with answer:
        flags, words = take_flags(rest, TAKEN, also=(JSON,))
        return _explain(words, flags, answer, arguments)


def _methods() -> str:
    lines = []
    for group, title in GROUPS.items():
        lines.append(f"  {group}: {title}")
        for name, method in METHODS.items():
            if method.group == group:
                lines.append(f"    {name + ' *' * method.default:<22} {method.told}")
    return "\n".join(lines)


def _explain(words: list[str], flags: dict[str, Any], answer: Answer, typed: list[str]) -> int:
    from couloir.errors import as_typed
    from couloir.inference.explain import asked
    from couloir.inference.inputs import (
        check_arrays,
        check_kinds,
        check_tables,
        find_inputs,
        in_folders,
    )

    explained = asked.explained(words, opened())
    cfg = explained.cfg
    asked.check_task(cfg, explained.name)
    wanted = asked.wanted(flags, explained)
    found = find_inputs(explained.inputs, looked_for=in_folders(cfg)) if explained.inputs else None
    if found is not None:
        check_kinds(found, cfg, explained.folder)
        check_arrays(found, cfg, explained.folder)
        check_tables(found, cfg, explained.folder)
    asked.check_shown(explained, flags)
    asked.check_place(wanted.output, own=flags["--output"] is None)

    from couloir.inference.explain.explaining import explain

    answer.facts |= explain(explained, wanted, found, as_typed(["couloir", "explain", *typed]))
    return 0


def opened() -> Opened:
    """What may be changed of a run that is explained: where its data is, and where it computes."""
    from couloir.cli.evaluate import OPENED
    from couloir.config.finished import Opened

    return Opened(
        keys=("data.", "trainer.accelerator", "output_dir", "allow_targets"),
        closed=OPENED.closed,
        why=OPENED.why,
        takes="couloir explain takes trainer.accelerator, data.root, data.batch_size and other keys of the data",
    )
