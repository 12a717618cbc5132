"""Groups of a cohort, judged by counting and by the figures of the nights chosen by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleep2vec.evaluation.outcome_figures import MeasuredNight, number_figures
from sleep2vec.evaluation.subgroups import by_group, subgroups
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.vocabulary.errors import UsageError


def row(age=None, sex=None, site=None, cohort="c", night_id="n"):
    return ManifestRow(
        night_id=night_id, subject_id=None, cohort=cohort, people=None, family_id=None, visit=None, site=site,
        age_years=age, sex=sex, measures={}, start=None, grid_start_s=0.0, n_tokens=1, n_scored_tokens=1, events={},
        source="", source_fingerprint="", checksum="", provenance_hash="", signals={},
    )  # fmt: skip


def members(groups):
    return {name: np.flatnonzero(mask).tolist() for name, mask in groups.items()}


def test_groups_by_hand():
    rows = [
        row(17.9, "female", "1"),
        row(18.0, "male", "2"),
        row(39.99, "male", "1", cohort="d"),
        row(60.0, None, None),
        row(91.0, "female", "1"),
        row(None, "female", "1"),
    ]
    # 4 an hour is mild in a child (from 1) and nothing in an adult; just 5 and just 30 belong above.
    found = members(subgroups(rows, [4.0, 4.0, 5.0, 30.0, float("nan"), None]))
    assert found == {
        "age: under 18": [0],
        "age: 18-39": [1, 2],
        "age: 60-79": [3],
        "age: 80 and over": [4],
        "age: unknown": [5],
        "sex: female": [0, 4, 5],
        "sex: male": [1, 2],
        "sex: unknown": [3],
        "site: c 1": [0, 4, 5],
        "site: c 2": [1],
        "site: d 1": [2],
        "site: unknown": [3],
        "apnea: none": [1],
        "apnea: mild": [0, 2],
        "apnea: severe": [3],
        "apnea: unknown": [4, 5],
    }
    assert list(found)[:5] == ["age: under 18", "age: 18-39", "age: 60-79", "age: 80 and over", "age: unknown"]
    assert not any(name.startswith("apnea") for name in subgroups(rows))
    with pytest.raises(UsageError, match="6 nights need as many indices, got 1"):
        subgroups(rows, [1.0])


@given(
    st.lists(
        st.builds(
            row,
            st.none() | st.floats(0, 120),
            st.sampled_from([None, "female", "male"]),
            st.sampled_from([None, "1", "unknown"]),
            st.sampled_from([None, "c"]),
        ),
        max_size=12,
    )
)
def test_each_night_is_in_one_group_of_every_kind(rows):
    groups = subgroups(rows, [None] * len(rows))
    for kind in ("age", "sex", "site", "apnea"):
        of_kind = [mask for name, mask in groups.items() if name.startswith(f"{kind}:")]
        np.testing.assert_array_equal(np.sum([np.zeros(len(rows)), *of_kind], axis=0), np.ones(len(rows)))
        assert all(mask.any() for mask in of_kind)


def test_figures_of_a_group_are_those_of_its_nights_and_few_people_have_no_interval():
    draw = np.random.default_rng(0)
    nights = [MeasuredNight(f"p{i}", *draw.normal(50, 10, 2)) for i in range(12)]
    nights += [replace(nights[0], predicted=1.0)]  # a second night of a person makes no fifth one
    masks = {
        "sex: female": np.arange(13) < 7,
        "sex: male": np.isin(np.arange(13), (0, 8, 9, 10, 12)),
        "none": np.zeros(13, bool),
    }
    lines = by_group(lambda group: number_figures(group, n_resamples=20), nights, masks)
    of_women, of_men, of_nobody = (lines[8 * i : 8 * (i + 1)] for i in range(3))
    assert of_women == [replace(line, group="sex: female") for line in number_figures(nights[:7], n_resamples=20)]
    assert all(line.low is not None and line.n_people == 7 for line in of_women)
    alone = number_figures([nights[i] for i in (0, 8, 9, 10, 12)], n_resamples=20)
    assert alone[0].low is not None
    assert of_men == [replace(line, group="sex: male", low=None, high=None) for line in alone]
    assert all((line.estimate, line.n_people, line.group) == (None, 0, "none") for line in of_nobody)
    with pytest.raises(UsageError, match=r"the group 'a' is of \(3,\) nights, and there are 13"):
        by_group(number_figures, nights, {"a": np.ones(3, dtype=bool)})
