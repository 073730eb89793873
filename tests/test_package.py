"""What `pip install .` brings: a wheel with the configuration tree, and `train` that runs from any directory."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from waiting import LONGEST

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_whole_configuration_tree(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "conf").rglob("*.yaml"):
        assert f"couloir/conf/{path.relative_to(ROOT / 'conf').as_posix()}" in names
    for path in (ROOT / "src/couloir").rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            assert f"couloir/{path.relative_to(ROOT / 'src/couloir').as_posix()}" in names
    assert {"couloir/py.typed", "couloir/artifacts/page.css", "couloir/artifacts/page.js"} <= names
    assert not [name for name in names if name.startswith(("tests/", "conf/"))]


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages of an environment in which the wheel is installed; its Python is `python_of`."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, symlinks=True)
    program = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(in_it([environment / "bin/python", "-c", program], environment).strip())
    zipfile.ZipFile(wheel).extractall(site)
    # The dependencies of this interpreter, without its editable install of Couloir.
    (site / "dependencies.pth").write_text(next(path for path in sys.path if path.endswith("site-packages")))
    return site


def python_of(site: Path) -> Path:
    return site.parents[2] / "bin/python"


def in_it(words: list[str | Path], work: Path) -> str:
    """What a process prints that ends with 0."""
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHON")}
    done = subprocess.run(words, cwd=work, env=clean, capture_output=True, text=True, timeout=LONGEST)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_train_from_the_wheel_runs_in_any_directory(site: Path, tmp_path: Path) -> None:
    program = "import sys, couloir; from couloir.cli.main import train_main; print(couloir.__file__); train_main()"
    said = in_it([python_of(site), "-c", program, "trainer=debug"], tmp_path)
    assert str(site) in said, "the wheel was used, not the checkout"
    assert (tmp_path / "outputs/latest/result.json").exists()


@pytest.mark.slow
def test_a_project_made_by_the_wheel_trains_and_passes_its_tests(site: Path, tmp_path: Path) -> None:
    in_it([python_of(site), "-m", "couloir", "init", "a b"], tmp_path)
    project = tmp_path / "a b"
    assert "epoch 10/10" in in_it(["make", "train"], project)
    assert (project / "outputs/latest/result.json").exists()
    in_it(["make", "test"], project)
    assert not (project / ".venv").exists(), "the environment that made it is used"


def test_versions_are_pinned_and_agree() -> None:
    import tomllib

    import couloir

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == couloir.__version__
    lines = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    old = {"python_version": "3.11"}
    pins = {line.name: str(line.specifier) for line in lines if line.marker is None or line.marker.evaluate(old)}
    assert pins["torch"] == "==2.13.0"
    names = {entry.split(">")[0].split("=")[0].split("<")[0].strip() for entry in project["dependencies"]}
    assert names <= {name.lower() for name in pins}, "every dependency is pinned"


def test_every_package_that_is_installed_is_imported_by_couloir_and_says_what_it_is_for() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    dependencies = tomllib.loads(text)["project"]["dependencies"]
    imported = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            imported |= {name.split(".")[0] for name in names}
            if isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(str(node.module).split(".")[0])
    bring = packages_distributions()
    used = {name.lower().replace("_", "-") for module in imported for name in bring.get(module, [])}
    assert {re.split("[<>=]", dependency)[0] for dependency in dependencies} <= used
    for dependency in dependencies:
        assert re.search(rf'"{re.escape(dependency)}", # \w.{{5,}}', text), dependency
