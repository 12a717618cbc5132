"""A split may never put a person on two sides."""

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleep2vec.data.splits import SplitConfig, split_nights
from sleep2vec.store.manifest import ManifestRow
from sleep2vec.vocabulary.errors import UsageError


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
    split = split_nights(rows, config, i_know=None in people)
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
    before = split_nights(rows, config, i_know=None in people)
    known = [r for r in rows if r.subject_id is not None]
    more = rows + [row(f"new{i}", r.subject_id) for i, r in enumerate(known)]
    random.shuffle(more)
    after = split_nights(more, config, i_know=None in people)
    for side in ("train", "validation", "test"):
        assert set(getattr(before, side)) <= set(getattr(after, side))


def test_the_shares_are_of_all_people():
    """8:1:1 of 100 people is 80, 10 and 10."""
    split = split_nights(rows_of(range(100)), SplitConfig(validation=0.1, test=0.1))
    assert [len(side) for side in (split.train, split.validation, split.test)] == [80, 10, 10]
    split = split_nights(rows_of(range(10)), SplitConfig(validation=0.3, test=0.5))
    assert [len(side) for side in (split.train, split.validation, split.test)] == [2, 3, 5]


def test_a_share_of_nothing_takes_nobody_and_a_small_one_somebody():
    split = split_nights(rows_of(range(5)), SplitConfig(validation=0.01, test=0.0))
    assert [len(side) for side in (split.train, split.validation, split.test)] == [4, 1, 0]


def test_another_seed_draws_other_people():
    rows = rows_of(range(200))
    one, other = (set(split_nights(rows, SplitConfig(test=0.5, seed=seed)).test) for seed in (0, 1))
    assert 30 <= len(one & other) <= 70  # of 100, half are expected in both


def test_people_of_two_cohorts_with_one_number_are_two_people():
    rows = [row("a", "1", "shhs"), row("b", "1", "mesa"), row("c", "1", "shhs")]
    assert rows[0].person == rows[2].person != rows[1].person


def sides_of(split) -> dict[str, str]:
    return {night: side for side in ("train", "validation", "test") for night in getattr(split, side)}


families = st.lists(
    st.tuples(st.integers(0, 15), st.one_of(st.none(), st.integers(0, 4)), st.integers(0, 3)), max_size=40
)


@settings(deadline=None)
@given(families, st.sampled_from(["family", "site"]), st.integers(0, 5))
def test_no_person_and_no_family_is_ever_torn(people, by, seed):
    """Judge: a walk over all pairs of nights."""
    family_of = {person: family for person, family, _ in people}  # a person has one family
    rows = [
        row(f"n{i}", f"p{p}", family=None if family_of[p] is None else f"f{family_of[p]}", site=f"s{site}")
        for i, (p, _, site) in enumerate(people)
    ]
    side_of = sides_of(split_nights(rows, SplitConfig(validation=0.3, test=0.3, seed=seed, by=by)))
    assert side_of.keys() == {r.night_id for r in rows}
    for one in rows:
        for other in rows:
            same = one.subject_id == other.subject_id or (one.family_id and one.family_id == other.family_id)
            if same or (by == "site" and one.site == other.site):
                assert side_of[one.night_id] == side_of[other.night_id]


def test_visits_of_cohorts_that_share_their_people_stay_together():
    """SHHS 1 and 2 number the same people alike."""
    rows = [row(f"{cohort}-{i}", str(i), cohort, people="shhs1") for cohort in ("shhs1", "shhs2") for i in range(20)]
    side_of = sides_of(split_nights(rows, SplitConfig(validation=0.2, test=0.3)))
    assert all(side_of[f"shhs1-{i}"] == side_of[f"shhs2-{i}"] for i in range(20))


def test_a_leak_cannot_be_configured_without_saying_so():
    rows = [row(f"n{i}", f"p{i}", family=f"f{i // 2}") for i in range(40)]
    config = SplitConfig(by="person", test=0.5)
    with pytest.raises(UsageError, match=r"splitting by person puts \d+ families on two sides .* add --i-know"):
        split_nights(rows, config)
    assert len(split_nights(rows, config, i_know=True).test) == 20


def test_a_site_is_held_out_whole():
    rows = [row(f"n{i}", f"p{i}", site="basel" if i % 4 == 0 else "lyon") for i in range(40)]
    split = split_nights(rows, SplitConfig(test_sites=("basel",)))
    assert set(split.test) == {f"n{i}" for i in range(0, 40, 4)}
    assert set(split_nights(rows, SplitConfig(test_sites=("c/basel",))).test) == set(split.test)
    with pytest.raises(UsageError, match="the store has no site bern; it has c/basel, c/lyon"):
        split_nights(rows, SplitConfig(test_sites=("bern",)))


def test_a_published_split_is_followed_to_the_letter(tmp_path):
    rows = [row(f"night{i}", f"P{i}") for i in range(6)]
    table = tmp_path / "split.csv"
    table.write_text("subject_id,split\np0,train\nP1,val\nP2,test\nP3,Training\n")
    expected = {"night0": "train", "night1": "validation", "night2": "test", "night3": "train"}
    assert sides_of(split_nights(rows, SplitConfig(file=table))) == expected  # 4 and 5 are not named: not used
    listed = tmp_path / "split.json"
    listed.write_text('{"train": ["night0", "night3"], "val": ["night1"], "test": ["night2"]}')
    assert sides_of(split_nights(rows, SplitConfig(file=listed))) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("id,part\nP1,train\n", "needs a column 'split' and one of night_id, subject_id"),
        ("id,split\nP1,holdout\n", "puts P1 into 'holdout'; expected one of train, validation, test"),
        ("id,split\nP1,train\nP1,test\n", "puts P1 into train and into test; keep one"),
        ("id,split\nQ1,train\n", "names 1 ids, and none of them is a night or a person of the store"),
        ("id,split\nn1,train\nn2,test\n", r"puts 1 people on two sides \(c/p1\)"),
    ],
)
def test_a_wrong_split_file_says_so(tmp_path, text, sentence):
    path = tmp_path / "split.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=sentence):
        split_nights([row("n1", "P1"), row("n2", "P1"), row("n3", "P2")], SplitConfig(file=path))


def test_nights_of_unknown_people_may_not_stand_on_two_sides():
    rows = [row(f"n{i}", None) for i in range(10)]
    with pytest.raises(
        UsageError, match=r"10 nights have no subject_id \(n0, n1, n2 \.\.\.\) and stand on several sides"
    ):
        split_nights(rows, SplitConfig(validation=0.3, test=0.3))
    assert len(split_nights(rows, SplitConfig(validation=0.3, test=0.3), i_know=True).test) == 3
    assert len(split_nights(rows, SplitConfig(validation=0, test=0)).train) == 10


def test_one_person_however_the_id_is_spelled():
    rows = [row("a", "P1"), row("b", "p1"), row("c", "01"), row("d", "1"), row("e", "2")]
    assert [r.person for r in rows] == ["c/p1", "c/p1", "c/1", "c/1", "c/2"]


def test_a_published_subject_id_of_two_cohorts_is_refused(tmp_path, caplog):
    path = tmp_path / "split.csv"
    rows = [row("a", "1", "one"), row("b", "2", "one"), row("c", "1", "two"), row("d", "3", "two")]
    path.write_text("subject_id,split\n1,test\n2,train\n")
    with pytest.raises(UsageError, match=r"names 1, which is a person of several cohorts \(one/1, two/1\)"):
        split_nights(rows, SplitConfig(file=path))
    path.write_text("subject_id,split\none/1,test\n2,train\n9,train\n")
    split = split_nights(rows, SplitConfig(file=path))
    assert (split.train, split.test) == (("b",), ("a",))
    assert "names 1 id(s) that the store does not hold (9)" in caplog.text
    assert "does not name 2 night(s) of the store" in caplog.text


def test_each_site_that_is_not_there_is_named():
    rows = [row("a", "1", site="x"), row("b", "2", site="y")]
    with pytest.raises(UsageError, match=r"the store has no site z; it has c/x, c/y"):
        split_nights(rows, SplitConfig(test_sites=("x", "z")))
