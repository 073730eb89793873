"""`couloir sample RUN`: pictures that a finished autoencoder, VAE or GAN makes, the codes that they are made of, and
text that a language model writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from couloir.cli.answer import JSON, Answer
from couloir.cli.flags import Flag, take_flags
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.config.finished import Opened

USAGE = """usage: couloir sample RUN [--count N] [--seed N] [--class NAME] [--output FILE.png|FOLDER|FILE.npy] [--json]
       couloir sample RUN --interpolate [FILE FILE ...]
       couloir sample RUN --reconstruct FILE...
       couloir sample RUN --latent
       couloir sample RUN --walk
       couloir sample RUN [--prompt TEXT] [--temperature T] [--top-k K] [--top-p P] [--tokens N] [--count N] [--seed N]

Pictures that a run of task=vae, gan or reconstruction makes. A run is a folder, its name, or `latest`; or one of its
checkpoints. The pictures go to RUN/samples/ unless --output names another place.
  couloir sample latest                            64 samples as one picture
  couloir sample latest --count 10000 --output FILE.npy      as numbers from 0 to 1, float32 (N, C, H, W)
  couloir sample latest --count 100 --output FOLDER          each a picture of its own
  couloir sample latest --class 7                  of a conditional GAN: one class; without it all of them in turn
  couloir sample latest --interpolate              rows of ten pictures, from one code to another
  couloir sample latest --interpolate a.png b.png  the same between the codes of files
  couloir sample latest --reconstruct a.png b.png  files, and below them what the network rebuilds; the error of each
  couloir sample latest --latent                   the codes of the test split: pictures, codes.csv, codes.npy
  couloir sample latest --walk                     an animated picture that passes through some codes in a loop

Text that a run of task=next_token writes: the prompt and what follows. It is printed, and kept in RUN/samples/.
  couloir sample latest --prompt "ROMEO:" --temperature 0.8 --top-p 0.95

  --count N       samples (64); rows of --interpolate (8); frames of --walk (60); texts (1)
  --seed N        which codes are drawn (0); the same seed gives the same samples, whatever --count is
  --output PLACE  FILE.png is one picture, FOLDER has one for each sample, FILE.npy has numbers; of --walk FILE.gif or
                  FILE.png, which is animated as well; of --latent a folder; of texts FILE.txt or FOLDER
  --prompt TEXT   the text that is continued; left out or empty: one begins behind a line break, which is not printed
  --temperature T what scores are divided by before a token is drawn (1); 0: the likeliest token each time
  --top-k K       draw among the K likeliest tokens
  --top-p P       draw among the likeliest tokens that together have the probability P; with --top-k of those
  --tokens N      tokens that follow the prompt (500)
Keys: trainer.accelerator, output_dir, data.root and others that say where the data is, for --latent"""
MODES = ("--interpolate", "--reconstruct", "--latent", "--walk")
SWITCHES = (JSON, *MODES)
TAKEN = [
    Flag("--count", None, "int >= 1"),
    Flag("--seed", None, "int >= 0"),
    Flag("--class", None, takes="the name of a CLASS"),
    Flag("--output", None, takes="a FILE"),
    Flag("--temperature", None, "float >= 0"),
    Flag("--top-k", None, "int >= 1"),
    Flag("--top-p", None, "(0, 1]"),
    Flag("--tokens", None, "int >= 1"),
]
PROMPT = "--prompt"
"""It takes any text, also one that is empty or begins with a dash."""


def main(arguments: list[str]) -> int:
    """Make the pictures and print where they are, or write the text and print it."""
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)  # noqa: T201
        return 0
    answer, arguments = Answer.taken(arguments)
    with answer:
        return _sample(arguments, answer)


def divide(arguments: list[str]) -> tuple[str, dict[str, Any], list[str], list[str]]:
    """What is asked for, the values of the flags, the words that name the run and files, and the overrides.

    Raises:
        CouloirError: two things are asked for, a flag is not there or has no value, or no run is named.
    """
    from couloir.inference.sampling.words import SAMPLES, overrides_among

    prompt, arguments = _prompt(arguments)
    modes = [word for word in dict.fromkeys(arguments) if word in MODES]
    if len(modes) > 1:
        raise CouloirError(f"{modes[0]} and {modes[1]} are two kinds of pictures.", next_step="ask for one at a time")
    mode = modes[0].removeprefix("--") if modes else SAMPLES
    flags, rest = take_flags([word for word in arguments if word not in MODES], TAKEN, also=(PROMPT, *SWITCHES))
    flags[PROMPT] = prompt
    named, overrides = overrides_among(rest)
    if not named:
        raise CouloirError("No run is named.", next_step="couloir sample latest")
    return mode, flags, named, overrides


def _prompt(arguments: list[str]) -> tuple[str | None, list[str]]:
    """The text behind `--prompt`, None where there is none, and all other words.

    Raises:
        CouloirError: the flag has no value.
    """
    found: str | None = None
    others: list[str] = []
    rest = iter(arguments)
    for word in rest:
        name, equals, value = word.partition("=")
        if name != PROMPT:
            others.append(word)
            continue
        found = value if equals else next(rest, None)
        if found is None:
            raise CouloirError("--prompt needs a text.", next_step=f"{PROMPT} 'Once upon a time'")
    return found, others


def _sample(arguments: list[str], answer: Answer) -> int:
    from couloir.config.finished import asked_runs
    from couloir.inference.inputs import check_arrays, check_kinds, find_inputs
    from couloir.inference.sampling import text_words
    from couloir.inference.sampling import words as asked
    from couloir.record.find import outputs_of

    mode, flags, (word, *files), overrides = divide(arguments)
    runs, folders, cfgs = asked_runs([word], outputs_of(overrides), overrides, opened())
    run, folder, cfg = runs[0], folders[0], cfgs[0]
    if text_words.writes_text(cfg):
        written = text_words.wanted_text(flags, asked.FLAGS.get(mode, ""), files, run, outputs_of(overrides))
        asked.check_place(written.output, written.form, own=flags["--output"] is None)

        from couloir.inference.sampling.texts import write_texts

        answer.facts |= write_texts(cfg, run, written)
        return 0
    asked.check_task(cfg, folder)
    text_words.refuse_text_flags(flags, folder)
    asked.check_files(mode, files, word, outputs_of(overrides))
    asked.check_mode(cfg, folder, mode, flags["--class"], files)
    asked.check_drawn(mode, files, flags["--seed"], flags["--class"])
    seed = flags["--seed"] or 0
    place, form = asked.place_for(mode, flags["--output"], run, seed, flags["--class"], files)
    count = asked.counted(mode, flags["--count"], form, files)
    found = find_inputs(files) if files else None
    if found is not None:
        check_kinds(found, cfg, folder)
        check_arrays(found, cfg, folder)
    asked.check_place(place, form, own=flags["--output"] is None)
    wanted = asked.Wanted(mode, count, seed, flags["--class"], place, form)

    from couloir.inference.sampling.sampling import sample

    answer.facts |= sample(cfg, run, wanted, found)
    return 0


def opened() -> Opened:
    """What may be changed of a run that makes pictures: where its data is, and where it computes."""
    from couloir.cli.evaluate import OPENED
    from couloir.config.finished import Opened

    return Opened(
        keys=("data.", "trainer.accelerator", "trainer.limit_test_batches", "output_dir", "allow_targets"),
        closed=OPENED.closed,
        why=OPENED.why,
        takes="couloir sample takes trainer.accelerator, data.root, data.batch_size and other keys of the data",
    )
