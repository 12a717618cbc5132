"""Sleep statistics, judged by the AASM's formulas worked by hand, by YASA's documented example and by a slow walk."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleep2vec.metrics.sleep_statistics import sleep_statistics
from sleep2vec.vocabulary.errors import UsageError

W, N1, N2, N3, R = range(5)
HYPNOGRAMS = st.lists(st.sampled_from([W, N1, N2, N3, R, np.nan]), min_size=1, max_size=80).map(np.array)


def test_the_example_of_yasas_documentation():
    """yasa.sleep_statistics documents this hypnogram and these numbers (its codes happen to be ours).

    YASA counts latencies from the start of the record and WASO within the sleep period only; the AASM counts the
    latency of R from sleep onset (7.0 - 1.0 min) and WASO up to lights on (the two last epochs, 1 min). YASA's
    documented SE of that version divides by the sleep period; the AASM's by the time in bed: 8 of 10 min.
    """
    hypnogram = [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 2, 3, 3, 4, 4, 4, 4, 0, 0]
    ours = sleep_statistics(hypnogram)
    assert (ours.time_in_bed_min, ours.total_sleep_min, ours.sleep_period_min) == (10.0, 8.0, 8.0)
    assert (ours.n1_min, ours.n2_min, ours.n3_min, ours.rem_min) == (1.5, 2.0, 2.5, 2.0)
    assert (ours.n1_percent, ours.n2_percent, ours.n3_percent, ours.rem_percent) == (18.75, 25.0, 31.25, 25.0)
    assert (ours.sleep_latency_min, ours.rem_latency_min) == (1.0, 6.0)
    assert (ours.waso_min, ours.sleep_efficiency_percent) == (1.0, 80.0)
    assert (ours.n_awakenings, ours.n_stage_shifts) == (0, 5)


def test_a_night_worked_by_hand_with_lights_within_tokens():
    """Recording 00:00-05:00 min, grid from 10 s; lights off at 55 s, on at 235 s: 3 min in bed.

    Tokens begin at 10, 40, 70, 100, 130, 160, 190, 220 s. In bed: 15 s of the second, all of the next five,
    15 s of the eighth.
    """
    stages = [N2, W, N1, W, R, np.nan, N2, W]
    ours = sleep_statistics(stages, lights_off_s=55.0, lights_on_s=235.0, grid_start_s=10.0)
    assert ours.time_in_bed_min == 3.0
    assert ours.total_sleep_min == 1.5
    assert ours.wake_min == 1.0  # 15 + 30 + 15 s
    assert ours.unscored_min == 0.5
    assert ours.sleep_latency_min == 0.25  # 55 to 70 s
    assert ours.rem_latency_min == 1.0  # 70 to 130 s
    assert ours.waso_min == 0.75  # 30 s at 100 s, 15 s at 220 s
    assert ours.sleep_period_min == 2.5  # 70 to 220 s
    assert ours.sleep_efficiency_percent == 50.0
    assert (ours.n_awakenings, ours.n_stage_shifts) == (1, 3)  # N1-W, W-R, R-(gap)-N2


def test_lights_off_within_the_first_epoch_of_sleep_is_a_latency_of_zero():
    ours = sleep_statistics([N2, N2], lights_off_s=10.0)
    assert (ours.sleep_latency_min, ours.total_sleep_min, ours.time_in_bed_min) == (0.0, 50 / 60, 50 / 60)


def test_what_a_night_does_not_define_is_none():
    awake = sleep_statistics([W] * 10)
    assert (awake.sleep_latency_min, awake.rem_latency_min, awake.waso_min, awake.sleep_period_min) == (None,) * 4
    assert (awake.n1_percent, awake.rem_percent) == (None, None)
    assert (awake.total_sleep_min, awake.sleep_efficiency_percent, awake.n_awakenings) == (0.0, 0.0, 0)
    unscored = sleep_statistics([np.nan] * 10)
    assert (unscored.sleep_efficiency_percent, unscored.unscored_min) == (None, 5.0)
    no_rem = sleep_statistics([W, N1, N2])
    assert (no_rem.rem_latency_min, no_rem.rem_percent) == (None, 0.0)
    assert sleep_statistics([]).sleep_efficiency_percent is None


@given(HYPNOGRAMS, st.floats(0, 600), st.floats(0, 3000))
def test_time_in_bed_is_the_sum_of_its_parts(stages, off_s, length_s):
    """AASM: WASO = TRT - SL - TST when all is scored; always: wake + sleep + unscored = time in bed."""
    ours = sleep_statistics(stages, lights_off_s=off_s, lights_on_s=off_s + length_s)
    assert ours.wake_min + ours.total_sleep_min + ours.unscored_min == pytest.approx(ours.time_in_bed_min, abs=1e-9)
    whole = sleep_statistics(np.nan_to_num(stages))
    if whole.waso_min is not None:
        expected = whole.time_in_bed_min - whole.sleep_latency_min - whole.total_sleep_min
        assert whole.waso_min == pytest.approx(expected, abs=1e-9)
        assert whole.n1_percent + whole.n2_percent + whole.n3_percent + whole.rem_percent == pytest.approx(100)


@given(HYPNOGRAMS)
def test_counts_agree_with_a_walk_through_the_night(stages):
    """A person counting on paper: walk from the first to the last sleep, look back at the last scored epoch."""
    asleep = [i for i, stage in enumerate(stages) if stage in (N1, N2, N3, R)]
    shifts = awakenings = 0
    if asleep:
        last = stages[asleep[0]]
        for stage in stages[asleep[0] : asleep[-1] + 1]:
            if not np.isnan(stage) and stage != last:
                shifts += 1
                awakenings += stage == W
                last = stage
    ours = sleep_statistics(stages)
    assert (ours.n_awakenings, ours.n_stage_shifts) == (awakenings, shifts)


@given(HYPNOGRAMS, st.integers(1, 40), st.integers(1, 40))
def test_epochs_outside_the_lights_change_nothing(stages, before, after):
    rng = np.random.default_rng(before)
    padded = np.concatenate([rng.integers(0, 5, before), stages, rng.integers(0, 5, after)])
    inside = sleep_statistics(padded, lights_off_s=before * 30.0, lights_on_s=(before + len(stages)) * 30.0)
    assert inside == sleep_statistics(stages)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"stages_L": [0, 5]}, "5 is no sleep stage"),
        ({"stages_L": [0, -1]}, "-1 is no sleep stage"),
        ({"stages_L": [[0, 1]]}, "one number a token"),
        ({"stages_L": [0, 1], "lights_off_s": 60.0, "lights_on_s": 30.0}, "before lights off"),
    ],
)
def test_says_what_is_wrong(arguments, sentence):
    with pytest.raises(UsageError, match=sentence):
        sleep_statistics(**arguments)
