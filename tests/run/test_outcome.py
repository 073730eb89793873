"""What a run says at its end."""

import errno
from pathlib import Path

import pytest

from couloir.errors import CouloirError, as_typed
from couloir.record.folder import RunFolder
from couloir.run.outcome import as_lost_folder, closing_table


def test_commands_to_type_have_a_folder_with_spaces_in_quotes(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "my runs")
    told = closing_table({"val/loss": 0.5, "seconds": 1.0}, folder)
    typed = as_typed([str(folder.path)])
    assert typed != str(folder.path)
    assert f"couloir report {typed}\n" in told
    assert told.endswith(f"couloir evaluate {typed}")


@pytest.mark.parametrize(
    ("number", "told"), [(errno.ENOSPC, "the disk is full"), (errno.EFBIG, "the file is larger than the disk")]
)
def test_a_disk_that_does_not_take_a_checkpoint_is_named_with_the_line_that_resumes(
    number: int, told: str, tmp_path: Path
) -> None:
    lost = as_lost_folder(OSError(number, "of the system"), RunFolder(tmp_path))
    assert lost is not None
    assert told in str(lost)
    assert "couloir resume" in str(lost)


def test_a_full_disk_elsewhere_is_not_taken_for_that_of_the_run(tmp_path: Path) -> None:
    folder, full = RunFolder(tmp_path), OSError(errno.ENOSPC, "No space left on device")
    assert as_lost_folder(full, folder) is not None
    named = CouloirError("A block cannot be kept.")
    named.__cause__ = full
    assert as_lost_folder(named, folder) is None
