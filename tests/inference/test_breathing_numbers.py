"""Breathing and oxygen of a made night: by hand where a hand can count, by the metrics called one by one elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
from made_nights import made_night

from sleep2vec.inference.breathing import breathing_of
from sleep2vec.metrics.breathing_indices import breathing_indices
from sleep2vec.metrics.desaturations import find_desaturations
from sleep2vec.metrics.hypoxia import hypoxic_burden
from sleep2vec.vocabulary.events import Event

L, START_S = 240, 100.0  # two hours, the first token begins after 100 s
FALLS_S = (1200, 1500, 1800, 4000)
"""Where the saturation begins to fall: three times by 5 %, the last time by 3 %."""


def night():
    t = np.arange(120 * L) / 4
    spo2 = np.full(len(t), 96.0)
    for fall_s, depth in zip(FALLS_S, (5, 5, 5, 3), strict=True):
        spo2 -= depth * np.interp(t, [fall_s, fall_s + 20, fall_s + 30, fall_s + 40], [0, 1, 1, 0])
    spo2[4 * 6000 : 4 * 6300] = 85.0  # five minutes in which the person was awake
    spo2[4 * 2400 : 4 * 2490] = 88.0  # a minute and a half of sleep below 90
    made = made_night("n", 0, L, ("spo2",), 2.0, samples={"spo2": spo2.reshape(L, 120)})
    return replace(made, grid_start_s=START_S)


def stages():
    """Asleep for 180 of 240 tokens, an hour and a half; the last half hour is awake."""
    codes = np.full(L, 2.0, dtype=np.float32)
    codes[100:120], codes[180:] = 4.0, 0.0
    return codes


APNEAS = tuple(Event("obstructive_apnea", START_S + fall_s - 15, 20.0) for fall_s in FALLS_S[:2])
HYPOPNEAS = (
    Event("hypopnea", START_S + FALLS_S[2] - 20, 25.0),  # 5 %
    Event("hypopnea", START_S + FALLS_S[3] - 20, 25.0),  # 3 %
    Event("hypopnea", START_S + 3200.0, 20.0),  # no fall, an arousal
    Event("hypopnea", START_S + 3500.0, 20.0),  # neither; REM lies from 3,000 to 3,600 s
    Event("hypopnea", START_S + 6500.0, 20.0),  # awake
)
FOUND = tuple(sorted((*APNEAS, *HYPOPNEAS), key=lambda event: event.onset_s))
AROUSALS = (
    Event("arousal", START_S + 3218.0, 5.0),
    Event("arousal", START_S + 4800.0, 4.0),
    Event("arousal", START_S + 6600.0, 4.0),  # awake
)


def test_events_per_hour_are_those_counted_by_hand():
    told = breathing_of(night(), stages(), FOUND, AROUSALS, with_oximeter=True)
    rules = {index.rule: index for index in told.indices}
    assert {index.hypnogram for index in told.indices} == {"predicted"}
    assert rules["as scored"].ahi == pytest.approx(6 / 1.5)
    assert rules["1A"].ahi == pytest.approx(5 / 1.5)  # falls of 3 % or an arousal
    assert rules["1B"].ahi == pytest.approx(3 / 1.5)  # falls of 4 %
    assert rules["as scored"].oai == pytest.approx(2 / 1.5)
    assert rules["as scored"].ahi_rem == pytest.approx(2 * 6)  # two in ten minutes
    assert rules["as scored"].sleep_hours == 1.5
    assert told.arousal_index == pytest.approx(2 / 1.5)
    assert told.oxygen.odi3 == pytest.approx(5 / 1.5)  # four falls, and the minute and a half at 88 %
    assert told.oxygen.odi4 == pytest.approx(4 / 1.5)
    slept_s = 180 * 30
    assert told.oxygen.below_90_percent == pytest.approx(100 * 90 / slept_s)


def test_numbers_are_those_of_the_metrics_called_by_hand():
    made, codes = night(), stages()
    valid = np.ones(120 * L, dtype=bool)
    falls = find_desaturations(made.samples["spo2"], valid, rate_hz=4, start_s=START_S)
    told = breathing_of(made, codes, FOUND, AROUSALS, with_oximeter=True)
    for index in told.indices:
        assert index == breathing_indices(
            FOUND, codes, rule=index.rule, hypnogram="predicted", desaturations=falls, arousals=AROUSALS,
            spo2_valid_L=np.ones(L, dtype=bool), grid_start_s=START_S,
        )  # fmt: skip
    burden = hypoxic_burden(FOUND, made.samples["spo2"], codes, valid, rate_hz=4, grid_start_s=START_S)
    assert told.oxygen.hypoxic_burden == burden.percent_min_per_hour > 0


def test_the_saturation_of_invalid_tokens_is_not_read():
    made, codes = night(), stages()
    valid = made.valid["spo2"].copy()
    valid[80:83] = False  # where it was at 88 %
    spoiled = made.samples["spo2"].copy()
    spoiled.reshape(L, 120)[80:83] = 0.0
    blind = replace(made, valid={"spo2": valid}, samples={"spo2": spoiled})
    told = breathing_of(blind, codes, FOUND, AROUSALS, with_oximeter=True)
    assert told.oxygen.below_90_percent == 0.0
    assert told.oxygen.odi3 == pytest.approx(4 * 3600 / (177 * 30))  # of the sleep in which falls could be seen


@pytest.mark.parametrize("without", ["asked not to", "none there"])
def test_without_an_oximeter_hypopneas_are_counted_as_found_and_of_oxygen_nothing_is_said(without):
    made = night() if without == "asked not to" else made_night("n", 0, L, ("airflow",), 2.0)
    made = replace(made, grid_start_s=START_S)
    told = breathing_of(made, stages(), FOUND, AROUSALS, with_oximeter=without == "none there")
    assert [(index.rule, index.ahi) for index in told.indices] == [("as scored", pytest.approx(4.0))]
    assert told.oxygen is None


def test_what_was_not_looked_for_is_not_counted():
    """Nothing found is an AHI of 0, nobody looked is none at all; awake all night there is no hour to divide by."""
    nobody = breathing_of(night(), stages(), None, None, with_oximeter=True)
    assert (nobody.indices, nobody.arousal_index, nobody.oxygen.hypoxic_burden) == ((), None, None)
    assert nobody.oxygen.odi3 == pytest.approx(5 / 1.5)
    nothing = breathing_of(night(), stages(), (), (), with_oximeter=True)
    assert [index.ahi for index in nothing.indices] == [0.0, 0.0, 0.0]
    assert (nothing.arousal_index, nothing.oxygen.hypoxic_burden) == (0.0, 0.0)
    awake = breathing_of(night(), np.zeros(L, dtype=np.float32), FOUND, AROUSALS, with_oximeter=True)
    assert {index.ahi for index in awake.indices} == {None}
    assert (awake.arousal_index, awake.oxygen.odi3, awake.oxygen.below_90_percent) == (None, None, None)
    unknown = breathing_of(night(), np.full(L, np.nan, dtype=np.float32), FOUND, AROUSALS, with_oximeter=True)
    assert (unknown.arousal_index, unknown.oxygen.odi4) == (None, None)


def test_arousals_that_were_not_looked_for_make_no_hypopnea_count():
    told = breathing_of(night(), stages(), FOUND, None, with_oximeter=True)
    assert {index.rule: index.ahi for index in told.indices}["1A"] == pytest.approx(4 / 1.5)
    assert told.arousal_index is None


@pytest.mark.parametrize(
    ("age_years", "named"), [(None, "none"), (45.0, "none"), (18.0, "none"), (17.9, "mild"), (6.0, "mild")]
)
def test_four_events_an_hour_are_mild_in_a_child_and_none_in_an_adult(age_years, named):
    """Cut-offs at 5 in adults and at 1 in children, below 18 years; of unknown age: adults."""
    of_age = replace(night(), subject=replace(night().subject, age_years=age_years))
    told = breathing_of(of_age, stages(), FOUND, AROUSALS, with_oximeter=False)
    assert told.indices[0].ahi == pytest.approx(4.0)
    assert told.indices[0].severity == named
