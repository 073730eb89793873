"""`couloir export RUN --to FORMAT`: a run's network as a file that other programs use, or a page about the run."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from couloir.cli.answer import JSON, Answer
from couloir.cli.flags import Flag, take_flags
from couloir.config.finished import Opened
from couloir.errors import CouloirError, did_you_mean, display
from couloir.record.files import check_writable

USAGE = """usage: couloir export RUN --to FORMAT [--with-preprocessing] [--output FILE] [--force] [--json] [KEY=VALUE]

Write the best checkpoint of a run as a file for other programs, and FILE.json with what they must know of it.
A run is a folder, its name, or `latest`; or one of its checkpoints.
  couloir export latest --to safetensors      the weights, under the network's own names
  couloir export latest --to torch            the network as a program of torch.export: torch.export.load(FILE)
  couloir export latest --to onnx             the same as ONNX; needs pip install 'couloir[export]'
  couloir export latest --to card             a page in Markdown: data, numbers, curves, limits, command

  --with-preprocessing    pixels or rows in, the task's answer out: probabilities, or values in the data's units
  --output FILE           where to; the default is RUN/export/MODEL.ENDING
  --force                 overwrite what is there
  data.root=FOLDER        where the data is now, and other keys of it

A program for sequences takes those of any length, where the network does; those of a batch are of one length.
Of a GAN a program is the generator: codes in, and labels where it is conditional; images from 0 to 1 out.
A program is checked on samples of the validation split, in batches of several sizes: where its answers differ from the
run's by more than 1e-4 of their range, no file is left."""

ENDINGS = {"safetensors": ".safetensors", "torch": ".pt2", "onnx": ".onnx", "card": ".md"}
"""Format -> how the names of its files end."""
PREPROCESSING, FORCE = "--with-preprocessing", "--force"
SWITCHES = (JSON, PREPROCESSING, FORCE)
LONGEST = 110
"""Characters of an explanation that the console shows; longer ones stand in the file beside."""
FOLDER = "export"
"""Where exports go, in the run's folder."""
NEEDED = ("onnx", "onnxscript", "onnxruntime")
"""What ONNX takes: the extra `export`."""

OPENED = Opened(
    keys=("data.", "output_dir", "allow_targets"),
    closed=(
        "data._target_",
        "data.task",
        "data.fields",
        "data.channels",
        "data.image_size",
        "data.resize",
        "data.num_classes",
        "data.classes",
        "data.maps",
        "data.target",
        "data.by_digit",
        "data.factor",
        "data.mean",
        "data.std",
        "data.standardize",
        "data.target_scaling",
    ),
    why="cannot change after training",
    takes="couloir export takes data.root, data.batch_size and other keys that say where the data is",
)


def main(arguments: list[str]) -> int:
    """Export, and print where the file is and how far its answers are from the run's."""
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)  # noqa: T201
        return 0
    switches = {word for word in arguments if word in SWITCHES}
    with Answer.of(switches) as answer:
        return _export([word for word in arguments if word not in switches], switches, answer)


def _export(words: list[str], switches: set[str], answer: Answer) -> int:
    from couloir.config.finished import asked_runs
    from couloir.config.metrics import GAN, task_of
    from couloir.record.find import runs_and_overrides

    flags, rest = take_flags(
        words, [Flag("--to", None, takes="a FORMAT"), Flag("--output", None, takes="a FILE")], also=SWITCHES
    )
    to = _format(flags["--to"])
    named, overrides, outputs = runs_and_overrides(rest)
    if len(named) != 1:
        fact = "No run is named." if not named else f"One run is exported at a time, not {len(named)}."
        raise CouloirError(fact, next_step=f"couloir export latest --to {to}")
    (run,), (folder,), (cfg,) = asked_runs(named, outputs, overrides, OPENED)
    _check_installed(to)
    if PREPROCESSING in switches and to in ("safetensors", "card"):
        raise CouloirError(
            f"--to {to} writes no program, so nothing can be prepared in it.",
            next_step=f"leave {PREPROCESSING} out, or take --to onnx or --to torch",
        )
    if PREPROCESSING in switches and task_of(cfg) == GAN:
        raise CouloirError(
            f"The program of a GAN takes codes and gives pixels from 0 to 1, so {PREPROCESSING} says nothing.",
            next_step=f"leave {PREPROCESSING} out",
        )
    file = _place(flags["--output"], folder, str(cfg.model.get("_target_", "model")).rpartition(".")[2], to)
    beside = file.with_name(f"{file.stem}-curves.png" if to == "card" else f"{file.name}.json")
    _check_free(file, beside, FORCE in switches)

    if to == "card":
        from couloir.report.card import write_card

        picture = write_card(folder, run if run.is_file() else None, file)
        answer.facts |= {"file": str(file), "format": to}
        print(display(file) + (f"  (with {picture.name})" if picture is not None else ""))  # noqa: T201
        return 0
    from couloir.inference.export.exporting import export_graph, export_weights

    if to == "safetensors":
        facts = export_weights(cfg, run, file)
    else:
        facts = export_graph(cfg, run, to, file, PREPROCESSING in switches)
    answer.facts |= {"file": str(file), **facts}
    if cfg.get("tta") is not None and to != "safetensors":
        print("views:  the run looks at several of each image, the program at the image as it is")  # noqa: T201
    print("\n".join(_in_words(file, facts)))  # noqa: T201
    return 0


def _format(stated: Any) -> str:
    """The format that was asked for."""
    if stated is None:
        raise CouloirError("No format is named.", place=f"formats: {', '.join(ENDINGS)}", next_step="--to onnx")
    if stated not in ENDINGS:
        known = next((name for name, ending in ENDINGS.items() if ending == f".{stated.lstrip('.')}"), stated)
        hint = f"--to {known}" if known in ENDINGS else did_you_mean(stated, ENDINGS, form="--to {}")
        raise CouloirError(
            f"There is no format '{stated}'.", place=f"formats: {', '.join(ENDINGS)}", next_step=hint or "--to onnx"
        )
    return str(stated)


def _check_installed(to: str) -> None:
    missing = [name for name in NEEDED if find_spec(name) is None] if to == "onnx" else []
    if missing:
        raise CouloirError(
            f"--to onnx needs the package{'s' * (len(missing) > 1)} {', '.join(missing)}.",
            next_step="pip install 'couloir[export]'",
        )


def _place(stated: str | None, run: Path, model: str, to: str) -> Path:
    """Where the file goes; its folder is made."""
    name = "README.md" if to == "card" else f"{model}{ENDINGS[to]}"
    file = run / FOLDER / name if stated is None else Path(stated).expanduser()
    if stated is not None and (file.is_dir() or stated.endswith(("/", "\\"))):
        file = file / name
    if file.suffix != ENDINGS[to]:
        raise CouloirError(
            f"The name of a file for --to {to} ends in {ENDINGS[to]}, not {file.suffix or 'nothing'}.",
            place=f"--output {stated}",
            next_step=f"--output {file.with_suffix(ENDINGS[to])}",
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CouloirError(
            f"{file.parent} cannot be made: {error.strerror}.",
            place=str(error.filename),
            next_step="--output FILE names a place that can be written to",
        ) from error
    check_writable(file)
    return file


def _check_free(file: Path, beside: Path, force: bool) -> None:
    """Overwrite nothing unless that is asked for."""
    there = [path for path in (file, beside) if path.exists()]
    if there and not force:
        raise CouloirError(
            f"{display(there[0])} exists already.",
            next_step="--force overwrites it; --output FILE names another place",
        )


def _in_words(file: Path, facts: dict[str, Any]) -> list[str]:
    size = _bytes(file.stat().st_size)
    if "tensors" in facts:
        return [
            f"{display(file)}  ({size}; what the weights are of: {file.name}.json)",
            f"checked: {facts['tensors']} tensors, {facts['parameters']:,} parameters, the same to the bit",
            f"taken back by: model.weights={display(file)}",
        ]
    lines = [f"{display(file)}  ({size}; what it takes and gives: {file.name}.json)"]
    for what in ("input", "labels", "output"):
        if what not in facts:
            continue
        told = facts[what]
        shape = ", ".join(map(str, told["shape"]))
        meaning = f": {told['what']}" if len(told["what"]) <= LONGEST else ""
        lines.append(f"{what + ':':8}{told['name']}, {told['dtype']} ({shape}){meaning}")
    told = facts["agreement"]
    kind = "drawn code" if facts["input"]["name"] == "codes" else "validation sample"
    samples = f"{told['samples']} {kind}{'s' * (told['samples'] > 1)}"
    sizes = ", ".join(map(str, told["batch_sizes"]))
    lines.append(
        f"checked: {samples}, in batches of {sizes}; "
        f"largest difference {told['largest_difference']:.2g}, limit {told['limit']:.2g}"
    )
    return lines


def _bytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"
