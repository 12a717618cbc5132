"""Severity: the cut-offs as they are printed, and agreement as scikit-learn has it."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from sleep2vec.metrics.severity import SEVERITIES, severity, severity_agreement
from sleep2vec.vocabulary.errors import UsageError


@pytest.mark.parametrize(
    ("population", "per_hour", "named"),
    [
        *(("adults", *case) for case in ((0, "none"), (4.9, "none"), (5, "mild"), (14.9, "mild"), (15, "moderate"))),
        *(("adults", *case) for case in ((29.9, "moderate"), (30, "severe"), (120, "severe"), (None, None))),
        *(("children", *case) for case in ((0.9, "none"), (1, "mild"), (5, "moderate"), (10, "severe"))),
    ],
)
def test_cutoffs(population, per_hour, named):
    assert severity(per_hour, population) == named


def test_agreement_is_scikit_learns_and_unknown_nights_count_nowhere():
    rng = np.random.default_rng(0)
    true = rng.gamma(1.0, 15.0, 200)
    predicted = np.clip(true + rng.normal(0, 6, 200), 0, None)
    by_hand = [np.digitize(side, [5, 15, 30]) for side in (true, predicted)]
    judged = severity_agreement([*true, None, 7.0], [*predicted, 3.0, None])
    assert judged.n_epochs == 200
    assert judged.kappa == pytest.approx(cohen_kappa_score(*by_hand))
    assert judged.confusion_CC.shape == (len(SEVERITIES),) * 2


@pytest.mark.parametrize("per_hour", [-0.1, float("nan")])
def test_says_what_is_wrong(per_hour):
    with pytest.raises(UsageError, match="no number of events per hour"):
        severity(per_hour)
