"""The page shows the worst answers of a run that translates, and says how many are exact."""

from __future__ import annotations

from pathlib import Path

from couloir.report.run import write_report
from couloir.report.translations import translations
from finished_runs import FinishedRuns

HEAD = "sample,source,truth,prediction,nats_per_token\n"


def test_the_least_probable_of_the_wrong_answers_come_first_and_right_ones_last(tmp_path: Path) -> None:
    wrong = "".join(f"{number},ab{number},b,a{number},{number / 10}\n" for number in range(30))
    right = "".join(f"{number},cd,dc,dc,0.01\n" for number in range(30, 40))
    (tmp_path / "predictions.csv").write_text(HEAD + right + wrong)
    found = translations(tmp_path)
    assert found is not None
    html, note = found
    assert note.startswith("10 of the 40 answers are exact")
    assert "; the last 5 are right" in note
    assert 'class="code long"' in html, "a long answer does not run into the next column"
    shown = [html.index(f">ab{number}<") for number in range(29, 9, -1)]
    assert shown == sorted(shown), "the worst first"
    assert ">ab9<" not in html
    assert html.count(">cd<") == 5
    assert html.index(">cd<") > max(shown)


def test_a_run_without_a_right_answer_does_not_speak_of_right_ones(tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").write_text(HEAD + "0,ab,b,a,1.5\n")
    found = translations(tmp_path)
    assert found is not None
    assert "are right" not in found[1]


def test_other_predictions_are_no_translations(tmp_path: Path) -> None:
    assert translations(tmp_path) is None
    (tmp_path / "predictions.csv").write_text("sample,truth,prediction\n0,a,a\n")
    assert translations(tmp_path) is None


def test_the_page_of_a_run_has_its_answers(finished: FinishedRuns, tmp_path: Path) -> None:
    page = write_report([finished("translation")], tmp_path / "page.html").read_text()
    assert "Answers" in page
    assert "of the 4 answers are exact" in page
