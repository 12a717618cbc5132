"""What is known of nights: events go through a store and back, labels of a window are a slice of the night's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_nights import SLOW, made_night, store_of

from sleep2vec.data.nights import NightReader, NightSource
from sleep2vec.data.scoring import ScoringReader
from sleep2vec.data.window import Window, WindowReader
from sleep2vec.store.reader import Store
from sleep2vec.tasks.registry import tasks_of
from sleep2vec.vocabulary.errors import StoreError
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.subject import Subject

TASKS = tasks_of(["staging", "respiratory", "arousal", "desaturation", "age", "sex"])
LENGTHS = {"long": 40, "short": 7, "unscored": 12, "cycling": 20}
EVENTS = {
    "long": (
        Event("obstructive_apnea", 20.0, 25.5), Event("arousal", 44.0, 6.0), Event("apnea", 61.2, 12.0, "Apnée, §"),
        Event("desaturation", 70.0, 40.0), Event(None, 100.0, 3.0, "lights?"), Event("hypopnea", 599.0, 0.0),
        Event("hypopnea", 900.25, 31.0), Event("central_apnea", 1200.0, 14.0),
    ),
    "short": (Event("arousal", 35.0, 5.0), Event("hypopnea", 100.0, 20.0), Event("desaturation", 110.0, 30.0)),
    "unscored": (),
    "cycling": (Event("mixed_apnea", 50.0, 15.0), Event("desaturation", 70.0, 20.0)),
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    nights = []
    for place, (name, n) in enumerate(LENGTHS.items()):
        stages = None if name == "unscored" else np.where(np.arange(n) % 7 == 3, np.nan, np.arange(float(n)) % 5)
        subject = Subject(subject_id=name, age_years=30.0 + place, sex="male" if place else "female")
        made = made_night(name, place, n, SLOW, subject=subject, stages=stages)
        cohort = "no-arousals" if name == "cycling" else "made"
        nights.append(replace(made, events=EVENTS[name], cohort=cohort, grid_start_s=12.5))
    return store_of(tmp_path_factory.mktemp("scorings") / "store", nights)


def test_events_come_back_as_they_were_scored(store):
    """As another reader of the same folder sees them, too; the manifest counts those of a known kind."""
    for name, events in EVENTS.items():
        assert store.events(name) == events
        assert Store(store.path).events(name) == events
        for kind in ("arousal", "hypopnea", "desaturation", "mixed_apnea"):
            assert store.row(name).events.get(kind, 0) == sum(event.kind == kind for event in events)
    with pytest.raises(StoreError, match="has no night 'nobody'"):
        store.events("nobody")


def test_a_damaged_description_is_not_read_as_events(store, tmp_path):
    night = replace(made_night("n", 0, 5, SLOW), events=EVENTS["short"])
    spoiled = store_of(tmp_path / "store", [night])
    (path,) = (tmp_path / "store" / "nights").glob("*.json")
    path.write_text(path.read_text().replace("hypopnea", "hypopmea"))
    with pytest.raises(StoreError, match="is damaged"):
        spoiled.events("n")


@given(name=st.sampled_from(sorted(LENGTHS)), ends=st.tuples(st.integers(0, 40), st.integers(0, 40)))
@settings(max_examples=60, deadline=None)
def test_labels_of_a_window_are_the_slice_of_those_of_the_night(store, name, ends):
    scoring, n = ScoringReader(store).of(name), LENGTHS[name]
    first, stop = sorted((min(ends[0], n), min(ends[1], n)))
    for task in TASKS.values():
        whole, part = task.label(scoring, 0, n), task.label(scoring, first, stop - first)
        per_token = {"token": 1, "second": 30, "night": None}[task.resolution]
        place = slice(None) if per_token is None else slice(first * per_token, stop * per_token)
        np.testing.assert_array_equal(part, whole[place])


def test_labels_by_hand(store):
    scoring = ScoringReader(store).of("short")  # token 0 begins 12.5 s into the recording
    roused = TASKS["arousal"].label(scoring, 0, 7)
    assert np.flatnonzero(roused == 1).tolist() == [22, 23, 24, 25, 26]  # 35 to 40 s
    assert np.isnan(roused[90:120]).all()  # token 3 was not scored
    breathing = TASKS["respiratory"].label(scoring, 0, 7)
    assert np.flatnonzero(breathing == 4).tolist() == list(range(87, 107))  # of the unscored token, those in an event
    assert np.isnan(breathing[107:120]).all()
    assert (breathing[120:] == 0).all()


def test_what_a_cohort_does_not_score_is_unknown_there(store):
    """Nobody of that cohort ever wrote an arousal, nor did anybody write anything of the unscored night."""
    scorings = ScoringReader(store)
    cycling, unscored, short = (scorings.of(name) for name in ("cycling", "unscored", "short"))
    assert np.isnan(TASKS["arousal"].label(cycling, 0, 20)).all()
    assert np.nansum(TASKS["desaturation"].label(cycling, 0, 20)) == 20
    for name in ("respiratory", "arousal", "desaturation"):
        assert np.isnan(TASKS[name].label(unscored, 0, 12)).all()
        assert not TASKS[name].knows(store.row("unscored"), scorings)
        assert TASKS[name].knows(store.row("short"), scorings)
    assert short.answered == {"respiratory", "arousal", "desaturation"}
    assert cycling.answered == {"respiratory", "desaturation"}
    assert not TASKS["arousal"].knows(store.row("cycling"), scorings)
    assert not TASKS["staging"].knows(store.row("unscored"), scorings)


def test_where_events_were_scored_and_stages_were_not_every_second_was_looked_at(tmp_path):
    """Not so where some tokens were scored and others were not."""
    for stages, unknown in ((None, False), (np.array([np.nan, 1, 1, 1, 1, 1, 1]), True)):
        night = replace(made_night("n", 0, 7, SLOW, stages=stages), events=EVENTS["short"])
        scoring = ScoringReader(store_of(tmp_path / str(unknown), [night])).of("n")
        label = TASKS["desaturation"].label(scoring, 0, 7)
        assert np.isnan(label[:30]).all() == unknown
        assert np.flatnonzero(label == 1).tolist() == list(range(110, 140))
        assert np.isfinite(label[30:]).all()


def test_kept_scorings_are_those_read_and_only_so_many_are_kept(store):
    reader = ScoringReader(store, kept=1)
    first = reader.of("long")
    assert reader.of("long") is first
    reader.of("short")
    again = reader.of("long")
    assert again is not first
    assert again.events == first.events
    np.testing.assert_array_equal(again.stages_L, first.stages_L)


def reader_of(store):
    return NightReader(WindowReader(store), SLOW, ScoringReader(store), TASKS)


@given(
    places=st.lists(
        st.sampled_from(sorted(LENGTHS)).flatmap(
            lambda name: st.tuples(st.just(name), st.integers(0, LENGTHS[name] - 1), st.integers(1, LENGTHS[name]))
        ),
        min_size=1, max_size=3,
    )
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_a_batch_holds_the_windows_labels_and_nan_beyond_them(store, places):
    windows = [Window(name, first, min(n, LENGTHS[name] - first)) for name, first, n in places]
    reader, longest = reader_of(store), max(window.n_tokens for window in windows)
    batch = reader.batch_of(windows)
    assert batch.first_B.tolist() == [window.first for window in windows]
    assert batch.night_ids == tuple(window.night_id for window in windows)
    for name, task in TASKS.items():
        per_token = {"token": 1, "second": 30}.get(task.resolution)
        for b, window in enumerate(windows):
            scoring = reader.scorings.of(window.night_id)
            label, n = task.label(scoring, window.first, window.n_tokens), batch.labels[name].shape[1]
            np.testing.assert_array_equal(batch.labels[name][b, : len(label)], label)
            if per_token is None:
                assert n == len(label)
            else:
                assert n == per_token * longest
                assert torch.isnan(batch.labels[name][b, len(label) :]).all()
    for view in batch.views.values():
        for b, window in enumerate(windows):
            assert not view.valid_BL[b, window.n_tokens :].any()


def test_a_source_draws_windows_within_nights_each_night_once_a_round(store):
    """A function of seed and step: two sources agree, another seed differs."""
    names = sorted(LENGTHS)
    sources = [NightSource(reader_of(store), names, 2, 9, seed) for seed in (0, 0, 1)]
    batches = [[source.batch(step) for step in range(4)] for source in sources]
    for pair in zip(*batches[:2], strict=True):
        assert pair[0].night_ids == pair[1].night_ids
        assert torch.equal(pair[0].first_B, pair[1].first_B)
    assert [b.first_B.tolist() for b in batches[0]] != [b.first_B.tolist() for b in batches[2]]
    seen = [name for batch in batches[0] for name in batch.night_ids]
    assert sorted(seen[:4]) == sorted(seen[4:]) == names
    for batch in batches[0]:
        for name, first in zip(batch.night_ids, batch.first_B.tolist(), strict=True):
            assert 0 <= first <= LENGTHS[name] - min(9, LENGTHS[name])
