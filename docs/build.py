"""Make the generated parts of the documentation: `docs/groups.md`, the README's table and picture, `docs/diagnosis.md`,
and the outputs that the README and `docs/curriculum.md` quote.

    make docs                      # all of it: minutes
    python docs/build.py groups    # from the configuration tree: docs/groups.md and the README's table

The table and the list follow from the configuration tree, the picture from a real run of the default sentence, the
diagnosis's pictures and measurements from the labelled runs of the tests.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from build_diagnosis import build as build_diagnosis
from build_outputs import build as build_outputs
from couloir.config import contract, tree

ROOT = Path(__file__).parents[1]
TABLE = re.compile(r"(<!-- groups -->\n).*?(<!-- /groups -->)", re.DOTALL)


def groups_table() -> str:
    """A row a group, for the README."""
    rows = [f"| `{group}` | {', '.join(f'`{name}`' for name in tree.choices(group))} |" for group in tree.groups()]
    return "\n".join(["| group | choices |", "|---|---|", *rows])


def groups_page() -> str:
    """Every choice in a sentence, with its source and its keys."""
    parts = ["# Groups and choices\n\nMade by `make docs` from the headers and comments of `conf/`."]
    for group in tree.groups():
        parts.append(f"## {group}")
        shared = _rows(contract.shared_keys(group))
        parts += [f"Every choice also has the keys of `conf/train.yaml`:\n\n{shared}"] if shared else []
        for name, path in tree.choices(group).items():
            source = next((line for line in tree.header(path) if line.startswith("Source:")), "")
            parts.append(f"### `{group}={name}`\n\n{tree.describe(path)} {source}")
            rows = _rows(contract.read_keys(path))
            parts += [rows] if rows else []
    return "\n\n".join(parts) + "\n"


def _rows(keys: list[contract.Key]) -> str:
    plain = [key for key in keys if not key.path.rpartition(".")[2].startswith("_") and key.default != {}]
    rows = [f"| `{key.path}` | `{_shown(key.default)}` | {key.contract} |" for key in plain]
    return "\n".join(["| key | default | accepts |", "|---|---|---|", *rows]) if rows else ""


def _shown(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def build_groups() -> None:
    """Write the list of groups, and the README's table of them."""
    (ROOT / "docs/groups.md").write_text(groups_page(), encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    readme = TABLE.sub(rf"\g<1>{groups_table()}\n\g<2>", readme)
    count = len(tree.choices("model"))
    readme = re.sub(r"(`couloir list model` shows its )\d+( choices)", rf"\g<1>{count}\g<2>", readme)
    (ROOT / "README.md").write_text(readme, encoding="utf-8")


def main() -> None:
    """Write the list, fill in the tables, and draw the pictures."""
    build_groups()
    if sys.argv[1:] == ["groups"]:
        return
    build_diagnosis()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([str(Path(sys.executable).with_name("train"))], cwd=folder, check=True)
        (ROOT / "docs/images").mkdir(exist_ok=True)
        shutil.copy(Path(folder) / "outputs/latest/curves.png", ROOT / "docs/images/curves.png")
    build_outputs()


if __name__ == "__main__":
    main()
