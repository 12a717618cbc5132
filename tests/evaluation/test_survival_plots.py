"""Curves by thirds of risk, judged by lifelines."""

import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from made_rows import made_row

from sleep2vec.evaluation.survival_plots import survival_plots
from sleep2vec.tasks.survival import SurvivalConfig, fit_survival


def test_curves_are_those_of_the_people_in_each_third_of_the_training_peoples_risk():
    draw = np.random.default_rng(0)
    feature = draw.normal(size=(900, 2))
    years, censored = draw.exponential(np.exp(-feature[:, 0])), draw.exponential(2.0, 900)
    seen, event = np.ceil(100 * np.minimum(years, censored)) / 100, (years <= censored).astype(float)
    rows = [made_row(f"n{i}", death=(event[i], seen[i])) for i in range(900)]
    model = fit_survival(feature[:600], rows[:600], SurvivalConfig(penalties=(0.01, 0.1), folds=3))
    (plot,) = survival_plots(model, feature[600:], rows[600:], models=("embedding",))
    assert plot.title == "death by risk from embedding"
    assert [group.name for group in plot.groups] == ["low risk", "middle risk", "high risk"]
    # The truth is one feature, so that thirds of risk are thirds of it, as the training people have it.
    third = np.searchsorted(np.quantile(feature[:600, 0], [1 / 3, 2 / 3]), feature[600:, 0])
    for place, group in enumerate(plot.groups):
        assert group.n_people == pytest.approx((third == place).sum(), abs=12)
        assert (group.years_K[0], group.survival_K[0], group.low_K[0], group.high_K[0]) == (0, 1, 1, 1)
    at_one = [group.survival_K[np.searchsorted(group.years_K, 1.0, side="right") - 1] for group in plot.groups]
    truth = [
        KaplanMeierFitter().fit(seen[600:][third == place], event[600:][third == place]).predict(1.0)
        for place in range(3)
    ]
    assert at_one == pytest.approx(truth, abs=0.04)
    assert at_one[0] > at_one[1] + 0.1 > at_one[2] + 0.2
    assert sum(group.n_events for group in plot.groups) == event[600:].sum()


def test_a_third_without_people_is_left_out():
    draw = np.random.default_rng(1)
    feature = draw.normal(size=(200, 1))
    seen = draw.exponential(np.exp(-feature[:, 0]))
    rows = [made_row(f"n{i}", death=(1.0, float(seen[i]))) for i in range(200)]
    model = fit_survival(feature, rows, SurvivalConfig(penalties=(0.1,), folds=3))
    high = np.flatnonzero(feature[:, 0] > 1)
    plots = survival_plots(model, feature[high], [rows[i] for i in high])
    assert [plot.title for plot in plots][1:] == [
        "death by risk from embedding",
        "death by risk from embedding, age and sex",
    ]
    assert [group.name for group in plots[1].groups] == ["high risk"]
