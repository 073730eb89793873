"""`python -m couloir VERB ...`, the same as `couloir VERB ...`; torchrun starts it so."""

from __future__ import annotations

from couloir.cli.main import couloir_main

if __name__ == "__main__":
    couloir_main()
