"""`couloir data [OVERRIDES]`: what a data set holds, without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from couloir.cli.answer import JSON, Answer
from couloir.cli.flags import Flag, take_flags
from couloir.errors import CouloirError, display

if TYPE_CHECKING:
    from couloir.inspect.dataset.facts import Look

NO_PAGE, TO_SHARDS, SHARD_SIZE = "--no-page", "--to-shards", "--shard-size"
FLAGS = [
    Flag(TO_SHARDS, None, takes="a new folder"),
    Flag(SHARD_SIZE, 256, "float > 0"),
]  # fmt: skip
USAGE = """usage: couloir data [OVERRIDES] [--no-page] [--to-shards FOLDER] [--json]

Look at the data of a sentence, without training: how many samples, which classes, sizes and formats, what each column
of a table is, broken files, doubles, what was left out and why. What deserves attention comes first. Leaves data.html
in outputs/data/<date>_<time>_<id>/: samples as the network sees them, augmented, counts, distributions, correlations.
Photographs are not decoded, but for the few that are measured and shown.
  couloir data data=image_folder data.root=photos augmentation=flip_crop
  couloir data data=csv data.path=table.csv data.target=price --json
  couloir data data=image_folder data.root=photos --to-shards shards

  --no-page      no page, the terminal alone
  --to-shards FOLDER
                 write labelled images as tar shards, for data=shards, and look no further: the splits that the sentence
                 makes, files as they are, images in memory as PNG, the training samples shuffled by the seed
  --shard-size MB
                 after so many megabytes the next shard begins (256)
  --json         one JSON object on standard output, no words and no page"""


def main(arguments: list[str]) -> int:
    """Print the facts of the sentence's data, and leave its page."""
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)  # noqa: T201
        return 0
    flags, rest = take_flags([word for word in arguments if word not in (NO_PAGE, JSON)], FLAGS, also=(NO_PAGE, JSON))
    switches, words = {word for word in arguments if word in (NO_PAGE, JSON)}, rest
    with Answer.of(switches) as answer:
        if flags[TO_SHARDS] is not None:
            return _write(words, answer, Path(flags[TO_SHARDS]), flags[SHARD_SIZE], NO_PAGE in switches)
        if any(word.partition("=")[0] == SHARD_SIZE for word in arguments):
            raise CouloirError(f"{SHARD_SIZE} is for shards that are written.", next_step=f"add {TO_SHARDS} FOLDER")
        return _look(words, answer, NO_PAGE not in switches and not answer.as_json)


def _look(words: list[str], answer: Answer, draws: bool) -> int:
    from couloir.inspect.dataset.sentence import sentence_of

    sentence, refusal = sentence_of(words)

    from couloir.inspect.dataset.facts import look_at
    from couloir.inspect.dataset.terminal import told

    look = look_at(sentence, refusal)
    answer.facts |= look.facts

    from rich import get_console

    for part in told(look.facts):
        get_console().print(part, markup=False, highlight=False, soft_wrap=isinstance(part, str))
    if draws:
        print(f"page:    {_page(look, Path(sentence.cfg.output_dir))}")  # noqa: T201
    return 0


def _write(words: list[str], answer: Answer, folder: Path, megabytes: float, no_page: bool) -> int:
    """Write the sentence's images as shards."""
    if no_page:
        raise CouloirError(f"{TO_SHARDS} makes no page anyway.", next_step=f"leave {NO_PAGE} out")
    from couloir.config.check import checked
    from couloir.inspect.dataset.shards import check_images, write

    sentence = checked(words)
    check_images(sentence.cfg, folder)
    written = write(sentence, folder, megabytes)
    answer.facts |= {
        "folder": str(folder), "shards": written.shards, "samples": written.samples, "bytes": written.bytes,
    }  # fmt: skip
    for split, shards in written.shards.items():
        print(f"{split + ':':<7}{written.samples[split]:,} samples in {shards:,} shard{'s' * (shards > 1)}")  # noqa: T201
    print(f"shards: {display(folder)}  ({written.bytes / 1e6:,.1f} MB); train data=shards data.path={display(folder)}")  # noqa: T201
    return 0


def _page(look: Look, outputs: Path) -> str:
    """Write the page into a folder of its own.

    Raises:
        CouloirError: it cannot be written.
    """
    from couloir.config.resolvers import run_name
    from couloir.inspect.dataset.page import write_page

    file = outputs / "data" / run_name() / "data.html"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_page(look, file)
    except OSError as error:
        raise CouloirError(
            f"The page cannot be written: {error.strerror or error}.",
            place=str(error.filename or file),
            next_step=f"make that path writable, write elsewhere with output_dir=FOLDER, or leave it out: {NO_PAGE}",
        ) from error
    return display(file)
