"""What the tests of faults share: runs that nobody strikes, and the table of what was promised and kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from faults.runs import WholeOf, whole_runs
from victims import Victims

pytest.register_assert_rewrite("interruption")  # so that it says what differs


@pytest.fixture(scope="session")
def whole(victims: Victims, tmp_path_factory: pytest.TempPathFactory) -> WholeOf:
    """The run of a configuration that nobody strikes, by its name."""
    return whole_runs(victims, tmp_path_factory.mktemp("whole"))


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """A row a promise: how often it was put to the test here, and how often it was kept.

    A test says by `record_property("fault", words)` what it did, once for each time; without that its name does.
    """
    table: dict[str, list[int]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            if report.when != "call" or Path(report.fspath).parts[-2:-1] != ("faults",):
                continue
            said = [str(value) for name, value in report.user_properties if name == "fault"]
            name = report.location[2].partition("[")[0].removeprefix("test_").replace("_", " ")
            kept = table.setdefault(said[0] if said else name, [0, 0])
            kept[0] += max(len(said), 1)
            kept[1] += max(len(said), 1) if outcome == "passed" else 0
    if table:
        terminalreporter.section("faults")
        terminalreporter.write_line("| what was done, and must hold | times | held |")
        terminalreporter.write_line("|---|---:|---:|")
        for words, (times, held) in table.items():
            terminalreporter.write_line(f"| {words} | {times} | {held} |")
