"""Pair-first batches: what every batch promises."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_nights import SLOW, made_night, store_of
from scipy.stats import chisquare

from sleep2vec.data.nights import NightReader, NightSource
from sleep2vec.data.pairs import PairConfig, PairSource
from sleep2vec.data.scoring import ScoringReader
from sleep2vec.data.window import WindowReader
from sleep2vec.training.world import World
from sleep2vec.vocabulary.errors import StoreError
from sleep2vec.vocabulary.subject import Subject

N, TOKENS = 24, 120


def modalities_of(i: int):
    """Every third night lacks SpO2, every fourth the belt."""
    return [name for name in SLOW if not (name == "spo2" and i % 3 == 0) and not (name == "belt" and i % 4 == 0)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    nights = [made_night(f"n{i:02d}", i, TOKENS, modalities_of(i)) for i in range(N)]
    nights.append(made_night("poor", 99, TOKENS, SLOW, valid_share=0.1))
    return store_of(tmp_path_factory.mktemp("pairs") / "store", nights)


class Recorder(WindowReader):
    """Remembers which windows were asked for."""

    def view(self, windows, modality, n_tokens):
        self.windows = list(windows)
        return super().view(windows, modality, n_tokens)


def source(store, seed=0, **settings):
    config = PairConfig(**({"batch_windows": 16, "window_tokens": 20} | settings))
    reader = Recorder(store)
    return PairSource(reader, [row.night_id for row in store.rows], SLOW, config, seed), reader


def same(a, b):
    views = [(x.values_BLS, y.values_BLS) for x, y in ((a.first, b.first), (a.second, b.second))]
    return a.pair == b.pair and all(x.shape == y.shape and torch.equal(x, y) for x, y in views)


def test_a_batch_is_a_function_of_seed_and_step(store):
    """Two sources, asked in another order, meet the same batches; another seed or step meets others."""
    one, other = source(store)[0], source(store)[0]
    first = [one.batch(step) for step in range(5)]
    again = {step: other.batch(step) for step in (4, 2, 0, 3, 1)}
    assert all(same(batch, again[step]) for step, batch in enumerate(first))
    assert not any(same(a, b) for i, a in enumerate(first) for b in first[:i])
    assert not same(source(store, seed=1)[0].batch(0), first[0])


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(2, 40), st.integers(1, 200), st.floats(0, 1), st.integers(0, 1000))
def test_windows_fit_their_night_do_not_overlap_and_hold_both_modalities(
    store, seed, batch_windows, window_tokens, share, step
):
    made, reader = source(store, seed, batch_windows=batch_windows, window_tokens=window_tokens, same_night_share=share)
    batch = made.batch(step)
    windows = reader.windows
    assert 1 <= len(windows) == len(batch.first.valid_BL) <= batch_windows
    taken = set()
    for b, window in enumerate(windows):
        row = store.row(window.night_id)
        assert window.first >= 0
        assert window.first + window.n_tokens <= row.n_tokens
        places = {(window.night_id, t) for t in range(window.first, window.first + window.n_tokens)}
        assert not places & taken
        taken |= places
        assert set(batch.pair) <= set(row.signals)
        for name, view in zip(batch.pair, (batch.first, batch.second), strict=True):
            truth = store.valid(window.night_id, name, window.first, window.n_tokens)
            assert view.valid_BL[b, : window.n_tokens].tolist() == truth.tolist()
    nights = torch.tensor([sorted({w.night_id for w in windows}).index(w.night_id) for w in windows])
    known = batch.metadata.night
    assert torch.equal(nights[:, None] == nights[None], known[:, None] == known[None])


@pytest.mark.parametrize(("share", "joining"), [(0.0, 0), (0.125, 1), (0.25, 2), (0.5, 4)])
def test_the_share_of_windows_that_join_a_night(store, share, joining):
    """8 windows, at least 12 nights for every pair: exactly the share joins a night that is already there."""
    made, reader = source(store, batch_windows=8, same_night_share=share)
    for step in range(20):
        made.batch(step)
        assert len(reader.windows) - len({w.night_id for w in reader.windows}) == joining


def test_a_night_that_is_hardly_valid_is_not_used(store):
    made, _ = source(store)
    assert all("poor" not in made.nights_of(pair) for pair in made.pairs)


def test_pairs_are_drawn_uniformly_but_for_derivatives(store):
    """Statistics: belt and airflow may be the source of resp, so two of six pairs weigh a tenth (4 sigma)."""
    made, _ = source(store, batch_windows=2, window_tokens=1)
    counts = Counter(made.batch(step).pair for step in range(600))
    weight = {pair: 0.1 if "resp" in pair and ("belt" in pair or "airflow" in pair) else 1.0 for pair in made.pairs}
    assert len(weight) == 6
    for pair, w in weight.items():
        p = w / sum(weight.values())
        assert abs(counts[pair] - 600 * p) < 4 * (600 * p * (1 - p)) ** 0.5


def test_one_night_of_a_pair_is_not_enough_and_says_so(store, tmp_path):
    with pytest.raises(StoreError, match=r"no two of the modalities .* are good at once in nights of two people among"):
        PairSource(WindowReader(store), ["n01"], SLOW, PairConfig(), 0)


def test_two_nights_of_one_person_are_no_contrast(tmp_path):
    """There would be no negative but the person itself."""
    of = Subject("p", 40.0, "female")
    both = store_of(tmp_path / "one", [made_night(f"n{i}", i, 20, SLOW, 1.0, of) for i in range(2)])
    with pytest.raises(StoreError, match=r"are good at once in nights of two people among the 2 nights chosen"):
        PairSource(WindowReader(both), ["n0", "n1"], SLOW, PairConfig(), 0)


# --- several processes, several cohorts -------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 7), st.integers(0, 1000), st.integers(2, 40))
def test_the_processes_shares_are_the_batch_of_one(tmp_store, n_processes, step, batch_windows):
    """Side by side they are the same bytes; nights of two lengths, so that a share has to be padded to the whole batch.

    Each process reads only its own windows, and all know the metadata of all.
    """
    config = {"batch_windows": batch_windows, "window_tokens": 30, "same_night_share": 0.25}
    whole = source(tmp_store, **config)[0].batch(step)
    parts = []
    for rank in range(n_processes):
        reader = Recorder(tmp_store)
        ids = [row.night_id for row in tmp_store.rows]
        share = World(rank, n_processes).share
        part = PairSource(reader, ids, SLOW, PairConfig(**config), 0, share=share).batch(step)
        assert len(reader.windows) == len(part.first.valid_BL)
        assert part.modalities == whole.modalities
        for name in ("age", "sex", "site", "night", "subject"):
            told, known = (getattr(batch.metadata, name) for batch in (part, whole))
            assert torch.equal(told.nan_to_num(-1), known.nan_to_num(-1))
        assert torch.equal(whole.first.values_BLS[part.rows], part.first.values_BLS)
        parts.append(part)
    for place in (0, 1):
        for what in ("values_BLS", "valid_BL"):
            joined = torch.cat([getattr(part.views[place], what) for part in parts])
            assert torch.equal(joined, getattr(whole.views[place], what))


@pytest.fixture(scope="module")
def tmp_store(tmp_path_factory):
    nights = [made_night(f"s{i:02d}", i, 12 if i % 3 else 90, SLOW) for i in range(14)]
    return store_of(tmp_path_factory.mktemp("shares") / "store", nights)


@pytest.mark.parametrize("balance", ["nights", "cohorts", "sites"])
def test_people_are_balanced_as_the_recipe_says(tmp_path, balance):
    """40 nights of one cohort with one site, 10 of another with two: the first person of 1,200 batches (chi-square)."""
    groups = {"big/x": 40, "small/x": 8, "small/y": 2}
    nights = [
        replace(made_night(f"{name.replace('/', '-')}-{i}", i, 2, ("spo2", "airflow")), cohort=name[:-2], site=name[-1])
        for name, n in groups.items()
        for i in range(n)
    ]
    store = store_of(tmp_path / "store", nights)
    drawn, _ = source(store, balance=balance, batch_windows=2, window_tokens=1, same_night_share=0.0)
    counts = Counter(drawn.draw(step).windows[0].night_id.rsplit("-", 1)[0].replace("-", "/") for step in range(1200))
    promised = {
        "nights": {name: n / 50 for name, n in groups.items()},
        "cohorts": {"big/x": 1 / 2, "small/x": 0.4, "small/y": 0.1},
        "sites": dict.fromkeys(groups, 1 / 3),
    }[balance]
    assert chisquare([counts[name] for name in groups], [1200 * promised[name] for name in groups]).pvalue > 1e-3


# --- whole nights -----------------------------------------------------------------------------------------------


def night_source(store, ids, batch_windows, window_tokens, seed):
    reader = NightReader(WindowReader(store), SLOW, ScoringReader(store))
    return NightSource(reader, ids, batch_windows, window_tokens, seed)


def test_nights_are_all_seen_before_any_comes_again(store):
    ids = [f"n{i:02d}" for i in range(10)]
    made = night_source(store, ids, 4, 30, seed=3)
    seen = [night for step in range(10) for night in made.batch(step).night_ids]
    for start in range(0, 40, 10):
        assert sorted(seen[start : start + 10]) == ids
    assert seen[:10] != seen[10:20]
    again = night_source(store, ids, 4, 30, seed=3).batch(7)
    batch = made.batch(7)
    assert again.night_ids == batch.night_ids
    assert all(torch.equal(again.views[name].values_BLS, batch.views[name].values_BLS) for name in SLOW)


def test_sensors_are_named_where_the_night_has_them(store):
    batch = night_source(store, ["n00", "n01"], 2, 10, seed=0).batch(0)
    sensors = dict(zip(batch.night_ids, batch.sensors_BM, strict=True))
    assert sensors["n01"] == ("airflow", "belt", "spo2", "belt")  # the respiration was made from the belt
    assert sensors["n00"] == ("airflow", "", "", "belt")


def test_a_person_with_two_nights_is_one_person(tmp_path):
    """Method, section 5: but for the share that joins a night already drawn, windows are of different people."""
    nights = [
        made_night(f"p{i}-{visit}", 2 * i + visit, TOKENS, subject=Subject(subject_id=f"p{i}"))
        for i in range(12)
        for visit in (0, 1)
    ]
    drawn, reader = source(store_of(tmp_path / "store", nights), batch_windows=10, same_night_share=0.2)
    for step in range(20):
        drawn.batch(step)
        fresh, joining = reader.windows[:8], reader.windows[8:]
        assert len({window.night_id[:-2] for window in fresh}) == 8
        assert {window.night_id for window in joining} <= {window.night_id for window in fresh}
