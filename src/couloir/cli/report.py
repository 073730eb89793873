"""`couloir report RUN...`: a page with curves, comparison and diagnosis; of a folder of runs, an index."""

from __future__ import annotations

from pathlib import Path

from couloir.cli.answer import JSON, Answer
from couloir.errors import CouloirError

USAGE = """usage: couloir report RUN... [--out FILE] [--json] [output_dir=FOLDER]

Write one HTML file that needs no network, and print its path. A run is a folder, its name, or `latest`.
  couloir report latest                 into the run's folder: report.html
  couloir report RUN RUN RUN            several runs, compared: outputs/report/<date>_<time>_<id>/report.html
  couloir report SWEEP                  the sweep's report.html again
  couloir report outputs/               an index of all runs below a folder: index.html there
  couloir report latest --out a.html    elsewhere"""


def main(arguments: list[str]) -> int:
    """Write the report, and print where it is.

    Raises:
        CouloirError: no run is named, a word names none, or the file cannot be written.
    """
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)  # noqa: T201
        return 0
    answer, words = Answer.taken(arguments)
    with answer:
        return _report(words, answer)


def _report(arguments: list[str], answer: Answer) -> int:
    from couloir.cli.flags import Flag, take_flags
    from couloir.errors import did_you_mean, display
    from couloir.record.find import runs_and_overrides

    flags, rest = take_flags(arguments, [Flag("--out", None, takes="a path")], also=(JSON,))
    out = flags["--out"]
    words, overrides, outputs = runs_and_overrides(rest)
    for override in overrides:
        if not override.startswith("output_dir="):
            hint = did_you_mean(override.partition("=")[0], ["output_dir"], form="{}=FOLDER")
            raise CouloirError(
                f"couloir report takes runs, not '{override}'.", next_step=hint or "couloir report latest"
            )
    if not words:
        raise CouloirError("No run is named.", next_step="couloir report latest, or couloir report outputs/")
    try:
        file = _write(words, outputs, None if out is None else Path(out))
    except OSError as error:
        raise CouloirError(
            f"The report cannot be written: {error.strerror or error}.",
            place=str(error.filename or out or ""),
            next_step="make that path writable, or write to another file: --out FILE",
        ) from error
    answer.facts["file"] = str(file.resolve())
    print(display(file))  # noqa: T201
    return 0


def _write(words: list[str], outputs: str, out: Path | None) -> Path:
    from couloir.config.resolvers import run_name
    from couloir.record.configuration import FILE
    from couloir.record.find import find_run, find_sweep

    if len(words) == 1 and not (Path(words[0]) / FILE).is_file():
        sweep = find_sweep(words[0], outputs)
        if sweep is not None:
            from couloir.sweep.load import load_sweep
            from couloir.sweep.report import write_report as write_sweep

            return write_sweep(load_sweep(sweep), _into(out, "report.html"))
        folder = Path(words[0])
        if folder.is_dir():
            from couloir.report.index import write_index

            return write_index(folder, _into(out, "index.html") or folder / "index.html")
    from couloir.report.run import write_report

    runs = list(dict.fromkeys(find_run(word, outputs) for word in words))
    usual = runs[0] / "report.html" if len(runs) == 1 else Path(outputs) / "report" / run_name() / "report.html"
    return write_report(runs, _into(out, "report.html") or usual)


def _into(out: Path | None, name: str) -> Path | None:
    """The file that `--out` means: a folder that is there gets a file of the usual name."""
    return out / name if out is not None and out.is_dir() else out
