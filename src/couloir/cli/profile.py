"""`couloir profile [OVERRIDES]`: where the time of a training step goes, and the setting most worth changing."""

from __future__ import annotations

from pathlib import Path

from couloir.cli.answer import JSON, Answer
from couloir.cli.flags import Flag, take_flags
from couloir.errors import CouloirError

USAGE = """usage: couloir profile [--steps N] [--json] [OVERRIDES]

Take some training steps and say where their time goes: waiting for the batch, its way to the device, augmentation, the
forward of each module, loss, backward, optimizer, metrics, loggers and callbacks, and what is left over. Then try the
settings that may help most, in turn with the present one, and say what was measured. Leaves the table and a trace for
chrome://tracing or ui.perfetto.dev in outputs/profile/. Nothing is trained: a later `train` starts as ever.
  couloir profile model=resnet20 data=digits
  couloir profile --steps 50 data=image_folder data.root=photos augmentation=flip_crop

  --steps N    steps that are timed part by part, and as many without; left out: as many as take 1.5 seconds, 10 to 500
  --json       one JSON object on standard output, and no words"""

FLAGS = [Flag("--steps", None, "int >= 1")]


def main(arguments: list[str]) -> int:
    """Check the sentence, time its steps, and leave the record in `outputs/profile/<date>_<time>_<id>/`."""
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)  # noqa: T201
        return 0
    answer, words = Answer.taken(arguments)
    with answer:
        return _profile(words, ["couloir", "profile", *arguments], answer)


def _profile(words: list[str], command: list[str], answer: Answer) -> int:
    options, overrides = take_flags(words, FLAGS, also=(JSON,))

    from couloir.config.check import checked
    from couloir.config.resolvers import run_name
    from couloir.config.scaling import check_one_process
    from couloir.record.folder import RunFolder

    sentence = checked(overrides)
    check_one_process(sentence.cfg)
    if sentence.cfg.trainer.get("profiler") is not None:
        raise CouloirError(
            "`couloir profile` has clocks of its own, and trainer.profiler would slow down what they measure.",
            place=f"trainer.profiler={sentence.cfg.trainer.profiler}",
            next_step="leave trainer.profiler out; it is for `train`",
        )
    outputs = Path(sentence.cfg.output_dir)
    folder = RunFolder.create(outputs / "profile" / run_name(), outputs, latest=False)

    from couloir.inspect.profile.profile import profile
    from couloir.inspect.profile.told import facts

    with answer.about_probe(folder.path):
        answer.facts |= facts(profile(sentence, folder, options["--steps"], command))
    return 0
