"""A split may never put a person on two sides."""

from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from sleep2vec.data.splits import SplitConfig, split_by_person
from sleep2vec.store.manifest import ManifestRow


def row(
    night_id: str,
    subject: str | None,
    cohort: str | None = "c",
    people: str | None = None,
    family: str | None = None,
    site: str | None = None,
) -> ManifestRow:
    start = datetime(2024, 1, 1)
    who = {"night_id": night_id, "subject_id": subject, "cohort": cohort, "people": people, "family_id": family}
    said = {"visit": None, "site": site, "age_years": None, "sex": None, "measures": {}, "start": start}
    kept = {"source": "s", "source_fingerprint": "f", "checksum": "k", "provenance_hash": "p", "signals": {}}
    return ManifestRow(**who, **said, grid_start_s=0.0, n_tokens=100, n_scored_tokens=0, events={}, **kept)


def rows_of(subjects):
    return [row(f"n{i:03d}", None if s is None else f"p{s}") for i, s in enumerate(subjects)]


subjects = st.lists(st.one_of(st.none(), st.integers(0, 12)), min_size=1, max_size=60)
configs = st.builds(SplitConfig, validation=st.floats(0, 0.99), test=st.floats(0, 0.99), seed=st.integers(0, 9))


@settings(deadline=None)
@given(subjects, configs)
def test_every_night_is_on_one_side_and_every_person_too(people, config):
    rows = rows_of(people)
    split = split_by_person(rows, config)
    sides = (split.train, split.validation, split.test)
    assert sorted(night for side in sides for night in side) == sorted(r.night_id for r in rows)
    person_of = {r.night_id: r.person for r in rows}
    persons = [{person_of[night] for night in side} for side in sides]
    assert sum(map(len, persons)) == len(set(person_of.values()))
    assert persons[0]  # somebody is left to learn from


@settings(deadline=None)
@given(subjects, configs, st.randoms())
def test_the_order_of_the_rows_and_new_nights_of_the_same_people_change_no_ones_side(people, config, random):
    rows = rows_of(people)
    before = split_by_person(rows, config)
    known = [r for r in rows if r.subject_id is not None]
    more = rows + [row(f"new{i}", r.subject_id) for i, r in enumerate(known)]
    random.shuffle(more)
    after = split_by_person(more, config)
    for side in ("train", "validation", "test"):
        assert set(getattr(before, side)) <= set(getattr(after, side))


def test_the_shares_are_of_all_people():
    """8:1:1 of 100 people is 80, 10 and 10."""
    split = split_by_person(rows_of(range(100)), SplitConfig(validation=0.1, test=0.1))
    assert [len(side) for side in (split.train, split.validation, split.test)] == [80, 10, 10]
    split = split_by_person(rows_of(range(10)), SplitConfig(validation=0.3, test=0.5))
    assert [len(side) for side in (split.train, split.validation, split.test)] == [2, 3, 5]


def test_a_share_of_nothing_takes_nobody_and_a_small_one_somebody():
    split = split_by_person(rows_of(range(5)), SplitConfig(validation=0.01, test=0.0))
    assert [len(side) for side in (split.train, split.validation, split.test)] == [4, 1, 0]


def test_another_seed_draws_other_people():
    rows = rows_of(range(200))
    one, other = (set(split_by_person(rows, SplitConfig(test=0.5, seed=seed)).test) for seed in (0, 1))
    assert 30 <= len(one & other) <= 70  # of 100, half are expected in both


def test_people_of_two_cohorts_with_one_number_are_two_people():
    rows = [row("a", "1", "shhs"), row("b", "1", "mesa"), row("c", "1", "shhs")]
    assert rows[0].person == rows[2].person != rows[1].person
