"""Simulated cohorts in the manner of the catalog's, read back by `ingest`, which knows nothing of the simulation.

The judges: the montages of the YAML files (which other tests hold against the facts), the truth of the simulated
nights, and the rules of ingest for names, scorings, ids and tables.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from sleep2vec.cohorts.catalog import cohort_of, known_cohorts
from sleep2vec.formats.reader import read
from sleep2vec.simulation.cohort_plan import PlannedNight, plan_nights
from sleep2vec.simulation.cohort_store import simulate_to_store
from sleep2vec.simulation.layouts import LAYOUTS, MONTAGE_COUNTS
from sleep2vec.simulation.montages import catalog_site
from sleep2vec.simulation.public_cohort import simulate_public_cohort, stages_written
from sleep2vec.simulation.simulated_night import simulate_night
from sleep2vec.store.ingest import ingest
from sleep2vec.store.manifest import read_description
from sleep2vec.store.reader import Store
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.night import is_simulated

CATALOG = sorted(known_cohorts() - {"generic"})
HOURS = 0.25
SEED = 5
# Cohorts whose tables tell no age or sex; dialects of scoring that have no events.
NO_PEOPLE = ("dod", "isruc", "ucddb")
NO_EVENTS = ("boas_events", "dreem_json", "isruc_text", "ucddb_text", "sleep_edf_hypnogram", "wsc_stg")
PLAIN_MISTAKE_YEARS = {"chat": 0.05, "ccshs": 0.05, "stages": 0.05, "cinc2026": 0.05, "nchsdb": 0.02}


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def montage_of(name: str, planned: PlannedNight):
    labels = [channel.label for channel in planned.place.channels]
    return next(m for m in cohort_of(name).file.montages if [c.label for c in m.channels] == labels)


def test_every_cohort_of_the_catalog_can_be_simulated():
    assert sorted(LAYOUTS) == CATALOG
    for name, counts in MONTAGE_COUNTS.items():
        assert len(counts) == len(cohort_of(name).file.montages)


@pytest.mark.parametrize("name", CATALOG)
def test_a_cohort_written_is_the_cohort_that_ingest_finds(name: str, tmp_path: Path):
    planned = simulate_public_cohort(tmp_path / "in", name, 2, SEED, HOURS)

    report = ingest(tmp_path / "in", tmp_path / "store", cohort=name)

    assert (report.failures, report.n_nights) == ((), 2)
    assert not [note for note in report.notes if "stays unknown" in note]
    store = Store(tmp_path / "store")
    described = [read_description(path) for path in sorted((tmp_path / "store" / "nights").glob("*.json"))]
    rows = {row.night_id: row for row in store.rows}
    of_file = {d["file"]: d for d in described}
    for night in planned:
        description = of_file[night.recording]
        row = rows[description["row"]["night_id"]]
        truth = simulate_night(night.seed, person=night.person, site=night.place, hours=HOURS, faults=night.faults)
        montage = montage_of(name, night)

        recorded = read(tmp_path / "in" / night.recording)
        written = [(c.label, c.rate_hz, c.unit or ("NU" if name == "cinc2018" else "")) for c in montage.channels]
        assert [(s.label, s.rate_hz, s.unit) for s in recorded.signals] == written
        found = {modality: tuple(story["channels"]) for modality, story in description["provenance"].items()}
        assert found == montage.gives
        assert all(store.valid(row.night_id, modality).mean() > 0.5 for modality in found)

        scored = [np.nan if stage is None else stage for stage in stages_written(truth, night)]
        np.testing.assert_array_equal(store.stages(row.night_id), scored)
        if night.scorings[0][0] not in NO_EVENTS:
            kinds = {"obstructive_apnea", "central_apnea", "mixed_apnea", "hypopnea", "arousal"}
            wanted = [e for e in truth.recording.events if e.kind in kinds]
            told = [(e["kind"], e["onset_s"]) for e in description["events"]]
            for event in wanted:
                assert any(kind == event.kind and abs(at - event.onset_s) <= 0.5 for kind, at in told), event

        assert row.subject_id == night.subject_id
        assert row.visit == night.visit
        assert row.family_id == night.family_id
        assert row.site == night.site
        assert is_simulated(row.cohort)
        if name in NO_PEOPLE:
            assert (row.age_years, row.sex) == (None, None)
        else:
            assert row.sex == night.person.sex
            mistake = PLAIN_MISTAKE_YEARS.get(name, 0.5)
            assert row.age_years == pytest.approx(min(night.person.age_years, 90), abs=mistake + 1e-6)


@pytest.mark.parametrize(("name", "workers"), [("sleep_edf", 2), ("cinc2018", 1)])
def test_the_same_arguments_give_the_same_bytes_whoever_works(name: str, workers: int, tmp_path: Path):
    simulate_public_cohort(tmp_path / "one", name, 2, 3, 0.25, workers=1, missing=True, faults=True)
    simulate_public_cohort(tmp_path / "again", name, 2, 3, 0.25, workers=workers, missing=True, faults=True)
    simulate_public_cohort(tmp_path / "other", name, 1, 4, 0.25)
    one, again, other = (digests(tmp_path / folder) for folder in ("one", "again", "other"))
    assert one == again
    assert sum(name.endswith((".edf", ".dat")) for name in other) >= 1
    assert not any(one[name] == other[name] for name in other if name in one and name.endswith((".edf", ".dat")))


def test_straight_to_a_store_is_what_the_files_give(tmp_path: Path):
    """Within what the file's 16 bits round: a step of SHHS's EEG here is 0.03 uV, and filters add little to it."""
    simulate_public_cohort(tmp_path / "in", "shhs1", 2, 7, 0.25)
    ingest(tmp_path / "in", tmp_path / "by_files", cohort="shhs1")
    assert simulate_to_store(tmp_path / "straight", 2, 7, 0.25, cohort="shhs1") == 2
    by_files, straight = Store(tmp_path / "by_files"), Store(tmp_path / "straight")
    told = ("night_id", "subject_id", "age_years", "sex", "cohort", "people", "visit", "site", "n_tokens")
    for one, other in zip(by_files.rows, straight.rows, strict=True):
        assert [getattr(one, name) for name in told] == [getattr(other, name) for name in told]
        night = one.night_id
        np.testing.assert_array_equal(by_files.stages(night), straight.stages(night))
        for modality, most in (("eeg", 0.15), ("spo2", 0.01), ("ibi", 0.02)):
            both_L = by_files.valid(night, modality) & straight.valid(night, modality)
            assert both_L.mean() > 0.5
            off = by_files.samples(night, modality) - straight.samples(night, modality)
            assert np.abs(off.reshape(len(both_L), -1)[both_L]).max() < most


def test_a_store_of_the_four_sites_goes_on_where_it_was(tmp_path: Path):
    simulate_to_store(tmp_path / "store", 2, 1, 0.25)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "store" / "nights").iterdir()}
    assert simulate_to_store(tmp_path / "store", 4, 1, 0.25) == 4
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "store" / "nights").iterdir()}
    assert before.items() <= after.items()
    assert {row.cohort for row in Store(tmp_path / "store").rows} == {"simulated"}
    assert {row.site for row in Store(tmp_path / "store").rows} == {"alpha", "beta", "gamma", "delta"}


def test_both_visits_of_shhs_are_the_same_people_some_years_apart():
    first, second = (
        {night.subject_id: night for night in plan_nights(name, n, 3, 8.0)}
        for name, n in (("shhs1", 60), ("shhs2", 30))
    )
    both = [(first[subject], night) for subject, night in second.items() if subject in first]
    assert len(both) == len(second)
    for one, other in both:
        assert one.person.sex == other.person.sex
        assert other.person.age_years - one.person.age_years == pytest.approx(5.2)
        assert one.person.alpha_gain == other.person.alpha_gain  # a trait that does not age
        assert one.seed != other.seed
    strangers = plan_nights("shhs1", 12, 4, 8.0)
    assert not {n.person.age_years for n in first.values()} & {night.person.age_years for night in strangers}


@pytest.mark.parametrize(("early", "late", "years"), [("shhs1", "shhs2", 5.2), ("mros1", "mros2", None)])
def test_who_has_died_does_not_come_again_and_nobody_dies_twice(early: str, late: str, years: float | None):
    first = {night.subject_id: night.person for night in plan_nights(early, 400, 0, 8.0)}
    second = {night.subject_id: night.person for night in plan_nights(late, 40, 0, 8.0)}
    assert set(second) < set(first)
    for subject, later in second.items():
        before, gap = first[subject].measures, later.age_years - first[subject].age_years
        assert years is None or gap == pytest.approx(years)
        assert later.measures["diagnosis.hypertension"] == before["diagnosis.hypertension"]
        died, died_later = before["event.death"], later.measures.get("event.death")
        if died:
            assert before["time_years.death"] > gap
            assert later.measures["time_years.death"] == pytest.approx(before["time_years.death"] - gap, abs=1e-3)
            assert died_later == 1


def test_the_shortcut_reaches_every_cohort_of_several_sites_and_no_other():
    """With the dial up, hypertension differs between sites by more than the sites' people do."""

    def spread(name: str, dial: float) -> float:
        sick: dict[str | None, list[float]] = {}
        for night in plan_nights(name, 160, 5, 8.0, shortcut=dial):
            sick.setdefault(night.site, []).append(night.person.measures["diagnosis.hypertension"])
        shares = [float(np.mean(values)) for values in sick.values()]
        return max(shares) - min(shares)

    for name in ("mesa", "stages", "hsp_bdsp"):
        assert spread(name, 1.0) > spread(name, 0.0) + 0.25, name
    with pytest.raises(UsageError, match="shhs1 has one site, and a shortcut needs two"):
        plan_nights("shhs1", 2, 5, 8.0, shortcut=0.5)


def test_diagnoses_come_through_the_tables_of_apples(tmp_path: Path):
    planned = simulate_public_cohort(tmp_path / "in", "apples", 3, SEED, HOURS)
    ingest(tmp_path / "in", tmp_path / "store", cohort="apples")
    told = {row.subject_id: row.measures for row in Store(tmp_path / "store").rows}
    for night in planned:
        assert told[night.subject_id]["diagnosis.hypertension"] == night.person.measures["diagnosis.hypertension"]


def test_people_come_again_and_in_families_as_in_their_cohorts():
    cfs = plan_nights("cfs", 300, 1, 8.0)
    sizes = np.unique([night.family_id for night in cfs], return_counts=True)[1]
    assert sizes.mean() == pytest.approx(LAYOUTS["cfs"][0].family_mean, abs=0.5)
    assert sizes.max() > 4
    chat = plan_nights("chat", 300, 1, 8.0)
    assert {night.visit for night in chat} == {"baseline", "followup"}
    followed = len(chat) / len({night.subject_id for night in chat}) - 1
    assert followed == pytest.approx(0.88, abs=0.06)
    edf = plan_nights("sleep_edf", 60, 1, 8.0)
    assert len({night.subject_id for night in edf}) == 30
    assert len({night.recording for night in edf}) == 60


def test_people_are_those_that_the_cohorts_describe():
    """MrOS: men of 65 and more; SOF: women; CHAT: 5 to 9.9 years; CCSHS: 16 to 19 (the studies' own criteria)."""

    def people(name: str) -> tuple[np.ndarray, set[str]]:
        nights = plan_nights(name, 60, 2, 8.0)
        return np.array([night.person.age_years for night in nights]), {night.person.sex for night in nights}

    ages, sexes = people("mros1")
    assert (ages.min() >= 65, sexes) == (True, {"male"})
    ages, sexes = people("sof")
    assert (ages.min() >= 65, sexes) == (True, {"female"})
    ages, sexes = people("chat")
    assert ages.min() >= 5
    assert ages.max() < 9.9 + 0.7
    assert sexes == {"male", "female"}
    ages, _ = people("ccshs")
    assert (ages.min() >= 16, ages.max() <= 19) == (True, True)


def test_the_mark_says_what_the_files_are_and_whom_they_hide(tmp_path: Path):
    planned = simulate_public_cohort(tmp_path, "dod", 1, 3, 0.25)
    told = json.loads((tmp_path / "SIMULATED.json").read_text())
    assert "Nobody slept them" in told["what"]
    assert told["nights"][0]["file"] == planned[0].recording
    assert told["nights"][0]["age_years"] == pytest.approx(planned[0].person.age_years, abs=0.01)
    header = (tmp_path / planned[0].recording).read_bytes()[:184]
    assert b"sleep2vec_simulate" in header
    assert planned[0].person.sex.encode() not in header


def test_what_cannot_be_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="cohort 'omega' cannot be simulated; choose from apples, boas"):
        simulate_public_cohort(tmp_path, "omega", 1, 1)
    with pytest.raises(UsageError, match="0 nights were asked for"):
        simulate_public_cohort(tmp_path, "mesa", 0, 1)
    with pytest.raises(UsageError, match="have room for 99 people"):
        plan_nights("sleep_edf", 250, 1, 8.0)
    with pytest.raises(UsageError, match="has 2 montages, counted from 0; not 2"):
        catalog_site("cfs", 2)
    with pytest.raises(UsageError, match="the catalog has no cohort 'omega'"):
        catalog_site("omega")
