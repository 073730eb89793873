"""`couloir board [FOLDER]`: TensorBoard on the runs."""

from __future__ import annotations

from couloir.cli.flags import Flag, take_flags
from couloir.errors import CouloirError

USAGE = """usage: couloir board [FOLDER] [--port 6006] [--host localhost] [output_dir=FOLDER]

TensorBoard on all runs of outputs/, on those of a folder or a sweep, or on one run: scalars, HParams to compare them,
images. Runs that begin meanwhile turn up. Ctrl-C ends it.
  couloir board
  couloir board latest
  couloir board --host 0.0.0.0        to be reached from other machines

  --port N       the first port that is tried; the next free one is taken
  --host NAME    the address that it listens at

Exit 0 after Ctrl-C."""

FLAGS = [Flag("--port", 6006, "[1, 65535]"), Flag("--host", "localhost", takes="an address")]


def main(arguments: list[str]) -> int:
    """Serve until Ctrl-C.

    Raises:
        CouloirError: there is more than one folder, no run in it, no free port, or no such host.
    """
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)  # noqa: T201
        return 0
    flags, words = take_flags(arguments, FLAGS)

    from couloir.record.find import runs_and_overrides

    named, _, outputs = runs_and_overrides(words)
    if len(named) > 1:
        raise CouloirError(
            f"couloir board takes one folder, not {len(named)}.",
            next_step="couloir board FOLDER, the folder that holds the runs",
        )

    from couloir.logger.server import find_events, serve

    return serve(find_events(named[0] if named else None, outputs), flags["--host"], flags["--port"])
