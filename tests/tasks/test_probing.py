"""Probes of an encoder, on nights made so that what can be read from them is known."""

import logging
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_nights import made_night, store_of

from sleep2vec.data.window import WindowReader
from sleep2vec.model.encoder import Encoder, ModelConfig
from sleep2vec.tasks.pretraining import Aligner
from sleep2vec.tasks.probing import ProbeConfig, Probing, embed, probe_windows
from sleep2vec.vocabulary.subject import Subject

NAMES = ("airflow", "belt")
CONFIG = ProbeConfig(window_tokens=10, stage_tokens=400)


@pytest.fixture(scope="module")
def one_row(tmp_path_factory):
    return store_of(tmp_path_factory.mktemp("one") / "store", [made_night("n", 0, 12, NAMES)]).rows[0]


def store_with(folder, gain_of, n_people=16, n_nights=2, n_tokens=50):
    """Noise; the belt's size is what `gain_of` (person, stage of the token) says, the airflow tells nothing."""
    nights = []
    for person in range(n_people):
        for visit in range(n_nights):
            draw = np.random.default_rng([person, visit])
            stages = draw.integers(0, 5, n_tokens).astype(np.float32)
            gain_L = np.array([gain_of(person, stage) for stage in stages])
            samples = {"belt": draw.standard_normal((n_tokens, 120)) * gain_L[:, None]}
            who = Subject(f"p{person}", 20.0 + 3 * person, "male" if person % 3 else "female")
            site = f"site{person % 2}"
            name = f"p{person}-{visit}"
            nights.append(made_night(name, 7 * person + visit, n_tokens, NAMES, 0.95, who, site, stages, samples))
    return store_of(folder, nights)


def probed(store, config=CONFIG):
    torch.manual_seed(0)
    module = Aligner(ModelConfig(modalities=NAMES, dropout=0.0)).eval()
    return Probing(WindowReader(store), [row.night_id for row in store.rows], module.encoder, config)(module)


def test_a_site_written_into_one_sensor_is_found_there_and_nowhere_else(tmp_path):
    """The second site's belt has three times the gain: read from the belt, not from the airflow, not as a stage."""
    numbers = probed(store_with(tmp_path / "store", lambda person, stage: 1 + 2 * (person % 2)))
    assert numbers["probes/site_mean_belt"] > 0.95
    assert numbers["probes/site_mean_airflow"] < 0.75
    assert numbers["probes/site_mean"] == pytest.approx(
        (numbers["probes/site_mean_belt"] + numbers["probes/site_mean_airflow"]) / 2
    )
    assert numbers["probes/site_chance"] == 0.5
    assert numbers["probes/stage_token"] < 0.15
    assert numbers["probes/age_mean_belt"] < 0.5


def test_a_person_written_into_a_sensor_is_known_again_in_the_other_half_and_the_other_night(tmp_path):
    """Chance with 8 people is 1/8, and the airflow tells no more than that."""
    store = store_with(tmp_path / "store", lambda person, stage: 1.5**person, n_people=8)
    numbers = probed(store)
    assert numbers["probes/person_within_chance"] == numbers["probes/person_across_chance"] == 1 / 8
    for target in ("person_within", "person_across"):
        assert numbers[f"probes/{target}_mean_belt"] > 0.6
        assert numbers[f"probes/{target}_mean_airflow"] < 0.4
    assert numbers["probes/age_mean_belt"] > 0.5  # age rises with the person's number


def test_stages_written_into_a_sensor_are_read_from_tokens_of_others(tmp_path):
    numbers = probed(store_with(tmp_path / "store", lambda person, stage: 2.0**stage))
    assert numbers["probes/stage_token_belt"] > 0.6
    assert numbers["probes/stage_token_airflow"] < 0.15
    assert numbers["probes/stage_token"] > 0.4
    assert numbers["probes/stage_token_low"] <= numbers["probes/stage_token"] <= numbers["probes/stage_token_high"]
    # Nobody has learned anything yet: the encoder is the one it began as.
    for name in ("stage_token", "site_mean", "age_mean", "person_across_cls"):
        assert numbers[f"untrained/{name}"] == numbers[f"probes/{name}"]


def test_the_reference_is_the_encoder_before_its_first_step_and_stays_it(tmp_path):
    store = store_with(tmp_path / "store", lambda person, stage: 2.0**stage, n_people=6)
    torch.manual_seed(0)
    module = Aligner(ModelConfig(modalities=NAMES, dropout=0.0)).eval()
    probing = Probing(WindowReader(store), [row.night_id for row in store.rows], module.encoder, CONFIG)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    broken = probing(module)
    again = probing(module)
    assert broken == again
    assert broken["untrained/stage_token_belt"] > 0.5
    assert broken["probes/stage_token_belt"] < 0.05


def test_what_cannot_be_asked_is_left_out(tmp_path):
    nights = [made_night(f"n{i}", i, 40, NAMES, site="only") for i in range(6)]  # nobody's age, sex, stages; one site
    numbers = probed(store_of(tmp_path / "store", nights))
    targets = {name.split("/")[1].split("_")[0] for name in numbers}
    assert targets == {"person"}
    assert not any("across" in name for name in numbers)  # one night each
    assert probed(store_of(tmp_path / "short", [made_night("n", 0, 12, NAMES)])) == {}


def test_windows_are_few_do_not_overlap_and_halves_are_apart(tmp_path):
    store = store_with(tmp_path / "store", lambda person, stage: 1.0, n_people=9, n_nights=3)
    config = ProbeConfig(people=5, windows_per_night=5, window_tokens=7)
    windows = probe_windows(store.rows, config)
    assert len({placed.row.person for placed in windows}) == 5
    assert len(windows) == 5 * 2 * 5
    for night in {placed.row.night_id for placed in windows}:
        own = sorted((w for w in windows if w.row.night_id == night), key=lambda w: w.window.first)
        assert [w.part for w in own] == [0, 0, -1, 1, 1]
        assert all(a.window.first + 7 <= b.window.first for a, b in pairwise(own))
        assert own[-1].window.first + 7 == store.row(night).n_tokens
    assert probe_windows(store.rows, config) == windows


@settings(deadline=None)
@given(n_tokens=st.integers(1, 400), per_night=st.integers(2, 9), length=st.integers(1, 60))
def test_the_parts_that_judge_each_other_are_a_window_apart(one_row, n_tokens, per_night, length):
    """Sensors drift: of windows side by side a reader would know the hour, not the person."""
    config = ProbeConfig(windows_per_night=per_night, window_tokens=length)
    windows = probe_windows([replace(one_row, n_tokens=n_tokens)], config)
    assert bool(windows) == (n_tokens >= 3 * length)
    assert len(windows) <= per_night
    places = sorted((placed.window.first, placed.part) for placed in windows)
    assert all(first >= 0 and first + length <= n_tokens for first, _ in places)
    assert all(a + length <= b for (a, _), (b, _) in pairwise(places))
    early, late = ([first for first, part in places if part == of] for of in (0, 1))
    assert len(early) == len(late)
    if windows:
        assert max(early) + 2 * length <= min(late)


def test_an_age_that_a_table_has_as_nan_is_unknown_and_what_is_not_probed_is_told(tmp_path, caplog):
    store = store_with(tmp_path / "store", lambda person, stage: 1.0, n_people=8, n_nights=1)
    store.rows = [replace(row, age_years=float("nan")) for row in store.rows]
    store._row_of = {row.night_id: row for row in store.rows}
    numbers = probed(store)
    assert not any("/age_" in name for name in numbers)
    (told,) = (record.getMessage() for record in caplog.records if "not probed" in record.getMessage())
    assert "age" in told
    assert "person_across" in told


def test_nights_too_short_to_probe_are_told(tmp_path, caplog):
    assert probed(store_of(tmp_path / "short", [made_night("n", 0, 12, NAMES)])) == {}
    assert "is as long as three windows of" in caplog.text


@torch.no_grad()
def test_embeddings_are_those_of_each_window_alone(tmp_path):
    """One window at a time, by hand; invalid tokens are neither averaged nor probed."""
    store = store_with(tmp_path / "store", lambda person, stage: 1.0, n_people=3)
    torch.manual_seed(0)
    encoder, reader = Encoder(ModelConfig(modalities=NAMES, dropout=0.0)).eval(), WindowReader(store)
    windows = probe_windows(store.rows, CONFIG)
    found = embed(encoder, reader, windows, CONFIG)
    for n in (0, 7, len(windows) - 1):
        view = reader.view([windows[n].window], "belt", 10)
        (alone,) = encoder([("belt", view)])
        valid = view.valid_BL[0]
        assert found.windows["mean"][1, n] == pytest.approx(alone.tokens_BLD[0, valid].mean(0).numpy(), abs=1e-5)
        assert found.windows["cls"][1, n] == pytest.approx(alone.window_BD[0].numpy(), abs=1e-5)
        own = np.flatnonzero(found.owner_T == n)
        assert len(own) == 10
        stages = store.stages(windows[n].row.night_id, windows[n].window.first, 10)
        assert found.stages_T[own].tolist() == stages.tolist()
        assert np.isnan(found.tokens_MTD[1, own]).all(axis=1).tolist() == (~valid).tolist()
        assert found.tokens_MTD[1, own][valid.numpy()] == pytest.approx(alone.tokens_BLD[0, valid].numpy(), abs=1e-5)


def test_without_scikit_learn_nothing_is_probed_and_it_is_said(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        assert probed(store_with(tmp_path / "store", lambda person, stage: 1.0, n_people=4, n_nights=1)) == {}
    assert "probes need scikit-learn" in caplog.text
