"""Is the task neither trivial nor impossible? scikit-learn judges, on people it has never seen.

The features and the folds are those of `benchmarks/simulation_bands.py`, which has the whole table. Nobody tuned the
simulator on these people.
"""

import numpy as np
import pytest

from simulation_bands import Features, kappa_of, people

Found = tuple[list[Features], list[np.ndarray]]


@pytest.fixture(scope="module")
def strangers() -> Found:
    return people(range(31000, 31012), hours=3)


def test_stages_can_be_read_but_not_from_one_trivial_number(strangers: Found):
    """The bounds of the project, people never seen: 0.45-0.75 from EEG band powers, 0.15-0.45 from IBI and RESP."""

    def of(*names: str, reach: int | None = None) -> float:
        return kappa_of(*strangers, names, reach)

    plain = {name: of(name) for name in ("eeg", "heart rate", "ibi+resp")}
    assert 0.45 < plain["eeg"] < 0.75, plain
    assert 0.15 < of("ibi+resp", reach=0) < 0.45
    assert 0.10 < plain["ibi+resp"] < 0.45, plain
    assert plain["heart rate"] < 0.10, plain
    # What neighbours and other sensors know must be worth something, and even all of it must not be perfect.
    alone, heart_alone = of("eeg", reach=0), of("ibi+resp", reach=0)
    assert alone > plain["eeg"] + 0.05
    assert of("eeg", reach=4) > alone + 0.02
    assert of("ibi+resp", reach=4) > heart_alone + 0.05
    assert of("eeg", "eog", "emg", reach=0) > alone + 0.01
    assert of("eeg", "eog", "emg", "ibi+resp", reach=4) < 0.90


def test_no_single_feature_gives_a_stage_away(strangers: Found):
    """For each feature and stage, people pooled: the best threshold must leave doubt (area under the ROC curve)."""
    from sklearn.metrics import roc_auc_score

    found, y = strangers
    stages = np.concatenate(y)
    for name in found[0]:
        pooled = np.concatenate([f[name] for f in found])
        for column in pooled.T:
            for stage in range(5):
                area = roc_auc_score(stages == stage, column)
                assert max(area, 1 - area) < 0.97, (name, stage, area)
