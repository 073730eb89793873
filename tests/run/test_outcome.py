"""What a run says at its end."""

from pathlib import Path

from couloir.errors import as_typed
from couloir.record.folder import RunFolder
from couloir.run.outcome import closing_table


def test_commands_to_type_have_a_folder_with_spaces_in_quotes(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "my runs")
    told = closing_table({"val/loss": 0.5, "seconds": 1.0}, folder)
    typed = as_typed([str(folder.path)])
    assert typed != str(folder.path)
    assert f"couloir report {typed}\n" in told
    assert told.endswith(f"couloir evaluate {typed}")
