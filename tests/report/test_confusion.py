"""What the page says of the confusion matrix, against scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score

from couloir.record.tested import Confusion
from couloir.report.confusion import per_class


def test_the_page_says_how_well_classes_are_recognised_where_each_counts_the_same() -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice(3, p=[0.8, 0.15, 0.05], size=200)
    said = np.where(rng.random(200) < 0.6, truth, rng.integers(0, 3, 200))
    _, note = per_class(Confusion(["a", "b", "c"], confusion_matrix(truth, said).tolist()))
    balanced, macro = balanced_accuracy_score(truth, said), f1_score(truth, said, average="macro")
    assert note.endswith(f"balanced accuracy {balanced:.4f}, macro F1 {macro:.4f}.")


def test_a_class_without_samples_has_no_part_in_the_means() -> None:
    _, note = per_class(Confusion(["a", "b", "c"], [[3, 1, 0], [1, 3, 0], [0, 0, 0]]))
    assert note.endswith("balanced accuracy 0.7500, macro F1 0.7500.")
    _, note = per_class(Confusion(["a"], [[0]]))
    assert note.endswith("first.")
