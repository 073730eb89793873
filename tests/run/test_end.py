"""The end of a run is short: what only some runs need is not imported by all."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import couloir
from waiting import LONGEST

HOME = Path(couloir.__file__).parent
HEAVY = {"matplotlib", "plotly", "scipy", "sklearn", "pandas", "optuna"}


def imported(module: str) -> Iterator[str]:
    """What a module imports as it is imported itself; nothing where there is no such module."""
    place = HOME.parent.joinpath(*module.split("."))
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    source = file.read_text(encoding="utf-8") if file.is_file() else ""
    for node in ast.parse(source).body:  # not within functions or `if TYPE_CHECKING`
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)  # of which some are modules


def test_what_every_run_imports_asks_for_no_library_that_only_some_pictures_need() -> None:
    callbacks = [f"couloir.callbacks.{file.stem}" for file in (HOME / "callbacks").glob("*.py")]
    known: set[str] = set()
    ways = {name: name for name in ("couloir.run.train", *callbacks)}
    heavy: list[str] = []
    while ways:
        module, way = ways.popitem()
        known.add(module)
        for name in imported(module):
            if name.partition(".")[0] in HEAVY:
                heavy.append(f"{way} > {name}")
            elif name.startswith("couloir.") and (found := name) not in known:
                ways[found] = f"{way} > {found}"
    assert len(known) > 100
    assert heavy == [], "import it in the function that draws"


@pytest.mark.slow
def test_a_run_on_the_digits_ends_without_them(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom couloir.cli.main import run\nassert run(['train', 'trainer=debug', '--quiet']) == 0\n"
        f"print(sorted({HEAVY | {'sympy'}} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=LONGEST, check=True
    )
    assert (tmp_path / "outputs/latest/curves.png").stat().st_size > 0
    assert set(ast.literal_eval(done.stdout.splitlines()[-1])) <= {"scipy", "sklearn"}, "which reads the digits"
