"""`couloir data [OVERRIDES]`: what a data set holds, without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from couloir.cli.answer import JSON, Answer
from couloir.cli.flags import take_switches

if TYPE_CHECKING:
    from couloir.inspect.dataset.facts import Look

NO_PAGE = "--no-page"
USAGE = """usage: couloir data [OVERRIDES] [--no-page] [--json]

Look at the data of a sentence, without training: how many samples, which classes, sizes and formats, what each column
of a table is, broken files, doubles, what was left out and why. What deserves attention comes first. Leaves data.html
in outputs/data/<date>_<time>_<id>/: samples as the network sees them, augmented, counts, distributions, correlations.
Photographs are not decoded, but for the few that are measured and shown.
  couloir data data=image_folder data.root=photos augmentation=flip_crop
  couloir data data=csv data.path=table.csv data.target=price --json

  --no-page      no page, the terminal alone
  --json         one JSON object on standard output, no words and no page"""


def main(arguments: list[str]) -> int:
    """Print the facts of the sentence's data, and leave its page."""
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)  # noqa: T201
        return 0
    switches, words = take_switches(arguments, (NO_PAGE, JSON))
    with Answer.of(switches) as answer:
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


def _page(look: Look, outputs: Path) -> str:
    """Write the page into a folder of its own.

    Raises:
        CouloirError: it cannot be written.
    """
    from couloir.config.resolvers import run_name
    from couloir.errors import CouloirError, display
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
