"""Tables: reading a large CSV file of numbers into columns, against pandas' read_csv.

    python benchmarks/bench_table.py [--rows 1000000] [--columns 20] [--rounds 3]

Writes tables of normal random numbers and reads each with Couloir (`read_cells`), with pandas (`read_csv`) and with the
reader that Couloir had before (`csv.reader` and `float`, cell by cell, rewritten here), in turn, each in a process of
its own, from warm files. Seconds are medians, without the imports. Memory is what a process has at most, without what
it has before it reads, in multiples of the table in float32 and in float64. The JSON beside this file holds the same
numbers.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from couloir.data.cells import read_cells
from couloir.data.tabular.plain import one_thread
from measure import last_json, run, write_report

FORMS = {
    "6 significant digits": "%.6g",
    "all digits of a float64": "%.17g",
    "6 significant digits, and a category": "%.6g",
    "6 significant digits, a tenth of them missing": "%.6g",
}
PART = 20_000


def write_table(file: Path, form: str, rows: int, columns: int) -> None:
    """A table of normal random numbers, with a header."""
    draw = np.random.default_rng(0)
    names = [f"x{number}" for number in range(columns)]
    category, gaps = "category" in form, "missing" in form
    with file.open("w", encoding="utf-8") as stream:
        stream.write(",".join([*names[: columns - category], *(["kind"] if category else [])]) + "\n")
        for start in range(0, rows, PART):
            values = draw.standard_normal((min(PART, rows - start), columns - category))
            lines = [[FORMS[form] % value for value in row] for row in values.tolist()]
            for row in lines:
                if category:
                    row.append(("red", "green", "blue")[draw.integers(3)])
                if gaps:
                    row[draw.integers(columns)] = row[draw.integers(columns)] = ""  # a tenth, rarely less
            stream.write("".join(",".join(row) + "\n" for row in lines))


def ours(file: Path) -> Callable[[], Any]:
    """Couloir: columns of float64, and the texts of a category."""
    return lambda: read_cells(str(file))


def pandas(file: Path) -> Callable[[], Any]:
    """pandas: a frame of float64, and of texts."""
    import pandas as pd

    return lambda: pd.read_csv(file)


def before(file: Path) -> Callable[[], Any]:
    """The reader that there was before: all rows as lists of texts, then a matrix of float32."""

    def read() -> Any:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.reader(stream))
        features = np.empty((len(rows) - 1, len(rows[0])), dtype=np.float32)
        for number, row in enumerate(rows[1:]):
            features[number] = [float(cell) for cell in row]
        return features

    return read


SIDES: dict[str, Callable[[Path], Callable[[], Any]]] = {"couloir": ours, "pandas": pandas, "before": before}


def read_once(side: str, file: Path) -> None:
    """In a process of its own: read, and print the seconds and the memory."""
    read = SIDES[side](file)
    if side == "couloir":  # what SciPy's reader imports is an import, as pandas is
        with one_thread():
            pass
    start_memory, start, start_cpu = _peak(), time.perf_counter(), time.process_time()
    kept = read()
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    print(json.dumps({"seconds": seconds, "cpu": cpu, "mib": _peak() - start_memory, "kept": type(kept).__name__}))


def _peak() -> float:
    """The largest resident set of this process, MiB; on Linux `ru_maxrss` would count that of its parent too."""
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    import resource  # absent on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Measure the sides in turn, several times over, and print the medians and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        read_once(arguments.read[0], Path(arguments.read[1]))
        return
    rows, columns = arguments.rows, arguments.columns
    table = rows * columns * 4 / 2**20
    sides = [side for side in SIDES if side != "pandas" or importlib.util.find_spec("pandas")]
    report: dict[str, Any] = {}
    for form in FORMS:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "table.csv"
            write_table(file, form, rows, columns)
            file.read_bytes()
            found: dict[str, list[dict[str, Any]]] = {}
            for round_number in range(arguments.rounds):
                for side in sides:
                    if side == "before" and (round_number or "," in form):  # it takes long, and knows numbers alone
                        continue
                    command = [sys.executable, __file__, "--read", side, str(file)]
                    found.setdefault(side, []).append(last_json(run(command).output))
            size = file.stat().st_size / 2**20
        report[form] = {"file_mib": size}
        print(f"{form}: {rows:,} x {columns}, {size:,.0f} MiB")
        for side, values in found.items():
            middle = {key: statistics.median(value[key] for value in values) for key in ("seconds", "cpu", "mib")}
            report[form][side] = middle
            print(
                f"  {middle['seconds']:7.2f} s, {middle['cpu']:7.2f} s of a core, {middle['mib']:7,.0f} MiB"
                f" ({middle['mib'] / table:.1f} x float32, {middle['mib'] / table / 2:.1f} x float64)  {side}"
            )
        for other in ("pandas", "before"):
            if other in found:
                ratio = report[form]["couloir"]["seconds"] / report[form][other]["seconds"]
                cpu = report[form]["couloir"]["cpu"] / report[form][other]["cpu"]
                report[form][f"couloir / {other}"] = {"seconds": ratio, "cpu": cpu}
                print(f"  ratio: couloir / {other} = {ratio:.2f} (seconds of a core: {cpu:.2f})")
    write_report(__file__, {"rows": rows, "columns": columns, "tables": report})


if __name__ == "__main__":
    main()
