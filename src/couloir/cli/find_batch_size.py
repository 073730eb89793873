"""`couloir find-batch-size [OVERRIDES]`: the largest batch that fits into memory, and the fastest."""

from __future__ import annotations

from pathlib import Path

from couloir.cli.answer import JSON, Answer
from couloir.cli.flags import Flag, take_flags
from couloir.errors import CouloirError

USAGE = """usage: couloir find-batch-size [--min 8] [--max N] [--steps 10] [--json] [OVERRIDES]

Take a few training steps at batches of --min, twice as many, and so on, until one does not fit into the memory or the
training split ends. Says the largest that fits and the fastest, the smallest within 5% of the most samples a second;
leaves a picture and the numbers in outputs/find-batch-size/. A later `train` starts from the same weights as ever.
  couloir find-batch-size model=resnet18 data=cifar10
  couloir find-batch-size --max 512 trainer=cpu

  --min N      the first batch size
  --max N      the last one; left out: the training split
  --steps N    steps at each; the first two only warm up
  --json       one JSON object on standard output, and no words"""

FLAGS = [Flag("--min", 8, "int >= 1"), Flag("--max", None, "int >= 1"), Flag("--steps", 10, "int >= 3")]


def main(arguments: list[str]) -> int:
    """Check the sentence, try the sizes, and leave them in `outputs/find-batch-size/<date>_<time>_<id>/`."""
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)  # noqa: T201
        return 0
    answer, words = Answer.taken(arguments)
    with answer:
        return _find(words, ["couloir", "find-batch-size", *arguments], answer)


def _find(words: list[str], command: list[str], answer: Answer) -> int:
    options, overrides = take_flags(words, FLAGS, also=(JSON,))
    first, last, steps = options["--min"], options["--max"], options["--steps"]
    if last is not None and first > last:
        raise CouloirError(f"--min {first} is above --max {last}.", next_step=f"--min {last}, or a larger --max")

    from couloir.config.check import checked
    from couloir.config.resolvers import run_name
    from couloir.config.scaling import check_one_process
    from couloir.record.folder import RunFolder

    sentence = checked(overrides)
    check_one_process(sentence.cfg)
    if sentence.cfg.data.get("batch_size") is None:
        raise CouloirError(f"data={sentence.choices.get('data')} has no key batch_size, so there is nothing to find.")
    outputs = Path(sentence.cfg.output_dir)
    folder = RunFolder.create(outputs / "find-batch-size" / run_name(), outputs, latest=False)

    from couloir.inspect.find_batch_size import find_batch_size

    with answer.about_probe(folder.path):
        tried = find_batch_size(sentence, folder, first, last, steps, command)
        answer.facts["tried"] = [
            {
                "batch_size": entry.batch_size, "samples_per_second": entry.samples_per_second,
                "memory_bytes": entry.memory, "problem": entry.problem or None,
            }
            for entry in tried
        ]  # fmt: skip
    return 0
