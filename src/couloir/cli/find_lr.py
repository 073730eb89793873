"""`couloir find-lr [OVERRIDES]`: a learning rate for a sentence, from a range test."""

from __future__ import annotations

from pathlib import Path

from couloir.cli.answer import JSON, Answer
from couloir.cli.flags import Flag, take_flags
from couloir.errors import CouloirError

USAGE = """usage: couloir find-lr [--min 1e-6] [--max 10] [--steps 100] [--json] [OVERRIDES]

Train the sentence for a few steps, whose rate grows from --min to --max by the same factor each time, and watch the
loss. Suggests the rate at which it falls fastest; leaves find_lr.png and the numbers in outputs/find-lr/. A later
`train` starts from the same weights as without it. The schedule of the sentence is off, augmentation is on.
  couloir find-lr model=resnet18 data=cifar10 optimizer=momentum
  couloir find-lr --max 1 data.batch_size=256       another range, another batch

  --min RATE     the first rate
  --max RATE     the last rate; the test ends before it once the loss explodes
  --steps N      steps from the one to the other
  --json         one JSON object on standard output, and no words"""

FLAGS = [Flag("--min", 1e-6, "> 0"), Flag("--max", 10.0, "(0, 1e6]"), Flag("--steps", 100, "int >= 10")]


def main(arguments: list[str]) -> int:
    """Check the sentence, run the test, and leave it in `outputs/find-lr/<date>_<time>_<id>/`."""
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)  # noqa: T201
        return 0
    answer, words = Answer.taken(arguments)
    with answer:
        return _find(words, ["couloir", "find-lr", *arguments], answer)


def _find(words: list[str], command: list[str], answer: Answer) -> int:
    options, overrides = take_flags(words, FLAGS, also=(JSON,))
    low, high, steps = options["--min"], options["--max"], options["--steps"]
    if low >= high:
        raise CouloirError(f"--min {low:g} is not below --max {high:g}.", next_step="--min 1e-6 --max 10")

    from couloir.config.check import checked
    from couloir.config.resolvers import run_name
    from couloir.config.scaling import check_one_process
    from couloir.record.folder import RunFolder

    sentence = checked(overrides)
    check_one_process(sentence.cfg)
    if sentence.cfg.optimizer.get("lr") is None:
        raise CouloirError(
            f"optimizer={sentence.choices.get('optimizer')} has no key lr, so there is nothing to find.",
            next_step="`couloir list optimizer` shows those that have one",
        )
    outputs = Path(sentence.cfg.output_dir)
    folder = RunFolder.create(outputs / "find-lr" / run_name(), outputs, latest=False)

    from couloir.inspect.find_lr import find_lr

    with answer.about_probe(folder.path):
        find_lr(sentence, folder, low, high, steps, command)
    return 0
