"""What all tests share: the folder of real data, where there is one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def couloir_data() -> Path:
    """The folder with MNIST, CIFAR-10 and photographs; tests that need it are skipped where COULOIR_DATA is not set."""
    folder = os.environ.get("COULOIR_DATA")
    if not folder:
        pytest.skip("COULOIR_DATA is not set: it names the folder with mnist/, cifar10/ and hymenoptera/")
    return Path(folder)
