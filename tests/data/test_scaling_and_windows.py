"""From a store to tensors: the numbers of the night, once they went through the door."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_nights import made_night, store_of

from sleep2vec.data.metadata import metadata_of
from sleep2vec.data.scaling import LIMIT, gain_and_bias, scale_integers, scaled
from sleep2vec.data.window import View, Window, WindowReader, view_of_night
from sleep2vec.model.encoder import Encoder, ModelConfig
from sleep2vec.store.manifest import SignalConstants
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.subject import Subject

NIGHTS = [
    made_night("n0", 0, 40, ("spo2", "resp"), subject=Subject("p", 40.0, "female")),
    made_night("n1", 1, 25, ("spo2", "resp"), subject=Subject("p", None, "female"), site=None),
    made_night("n2", 2, 30, ("spo2",), subject=Subject(None, 71.5, None), stages=np.arange(30) % 5 * np.float32(1)),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return store_of(tmp_path_factory.mktemp("data") / "store", NIGHTS)


# --- scaling ----------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(list(MODALITIES)), st.floats(-1e3, 1e3), st.floats(0.3, 1e3), st.integers(0, 99))
def test_scaling_is_the_door_of_the_method(name, centre, spread, seed):
    """method.md 2: SpO2, IBI, actigraphy by fixed constants, the others by the night's own; clipped; not in place."""
    samples = (centre + 8 * spread * np.random.default_rng(seed).standard_normal((2, 50))).astype(np.float32)
    before = samples.copy()
    result = scaled(samples, name, centre, spread)
    fixed = {"spo2": (95.0, 3.0), "ibi": (0.9, 0.15), "actigraphy": (0.0, 0.02)}
    used_centre, used_spread = fixed.get(name, (centre, spread))
    expected = np.clip((samples.astype(np.float64) - used_centre) / used_spread, -LIMIT, LIMIT)
    np.testing.assert_allclose(result, expected, atol=1e-3)
    assert np.array_equal(samples, before)


def test_a_night_without_spread_is_not_divided_by_zero():
    assert np.array_equal(scaled(np.full((1, 3), 4.0, np.float32), "eeg", 4.0, 0.0), np.zeros((1, 3)))


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(list(MODALITIES)),
    st.floats(1e-6, 10),
    st.floats(-1e3, 1e3),
    st.floats(-1e3, 1e3),
    st.just(0.0) | st.floats(1e-3, 1e3),
    st.integers(0, 99),
)
def test_the_stores_integers_are_scaled_as_its_samples(name, scale, offset, centre, spread, seed):
    """One gain and one bias, on the host or on the device: the judge is the definition, in float64."""
    constants = SignalConstants(1.0, scale, offset, centre, spread, "", "")
    integers_LS = np.random.default_rng(seed).integers(-32767, 32768, (3, 50)).astype("<i2")
    integers_LS[0, :2] = -32767, 32767
    table = MODALITIES[name]
    used = (centre, spread or 1.0) if table.night_scaled else (table.centre, table.spread)
    expected_LS = np.clip((integers_LS * np.float64(scale) + offset - used[0]) / used[1], -LIMIT, LIMIT)
    # float32 knows the terms to 6e-8 of their size.
    tolerance = 3e-7 * (32767 * scale + abs(offset) + abs(used[0])) / used[1] + 1e-6
    gain, bias = gain_and_bias(name, constants)
    here_LS = np.empty(integers_LS.shape, dtype=np.float32)
    scale_integers(integers_LS, gain, bias, here_LS)
    np.testing.assert_allclose(here_LS, expected_LS, rtol=0, atol=tolerance)
    valid_BL = torch.tensor([[True, False, True]])
    there = View(torch.from_numpy(integers_LS)[None], valid_BL, scaling_B2=torch.tensor([[gain, bias]]))
    moved_BLS = there.to(torch.device("cpu")).values_BLS.numpy()
    np.testing.assert_allclose(moved_BLS[0, ::2], expected_LS[::2], rtol=0, atol=tolerance)
    assert not moved_BLS[0, 1].any()


# --- windows ----------------------------------------------------------------------------------------------------


def test_a_window_holds_the_nights_own_samples_where_valid_and_zero_elsewhere(store):
    windows = [Window("n0", 7, 20), Window("n1", 0, 25)]
    view = WindowReader(store).view(windows, "resp", 30)
    for b, (window, night) in enumerate(zip(windows, NIGHTS[:2], strict=True)):
        place = slice(window.first, window.first + window.n_tokens)
        valid = night.valid["resp"][place]
        story = night.provenance["resp"]
        truth = (night.samples["resp"].reshape(night.n_tokens, 120)[place] - story.centre) / story.spread
        assert np.array_equal(view.valid_BL[b, : window.n_tokens], valid)
        assert not view.valid_BL[b, window.n_tokens :].any()
        # The store keeps 16 bits of a range of about 20 scaled units.
        np.testing.assert_allclose(view.values_BLS[b, : window.n_tokens][valid], truth[valid], atol=20 / 65534)
        assert not view.values_BLS[b][~view.valid_BL[b]].any()


def test_a_night_in_memory_gives_what_its_store_gives(store):
    """The same window, once through the file and once not."""
    for name in ("spo2", "resp"):
        read = WindowReader(store).view([Window("n0", 5, 12)], name, 12)
        direct = view_of_night(NIGHTS[0], name, 5, 12)
        assert torch.equal(read.valid_BL, direct.valid_BL)
        torch.testing.assert_close(read.values_BLS, direct.values_BLS, rtol=0, atol=1e-3)


def test_integers_for_a_device_become_the_same_view(store):
    windows = [Window("n0", 7, 20), Window("n2", 0, 30), Window("n1", 3, 22)]
    for name in ("spo2", "resp"):
        here = WindowReader(store).view(windows, name, 30)
        sent = WindowReader(store, as_integers=True).view(windows, name, 30)
        assert sent.values_BLS.dtype == torch.int16
        there = sent.to(torch.device("cpu"))
        assert torch.equal(here.valid_BL, there.valid_BL)
        torch.testing.assert_close(here.values_BLS, there.values_BLS, rtol=0, atol=1e-5)
        some = torch.tensor([2, 0])
        assert torch.equal(sent.rows(some).to(torch.device("cpu")).values_BLS, there.values_BLS[some])


def test_a_night_without_the_modality_is_invalid_throughout(store):
    view = WindowReader(store).view([Window("n2", 0, 10), Window("n0", 0, 10)], "resp", 10)
    assert not view.valid_BL[0].any()
    assert not view.values_BLS[0].any()
    assert view.valid_BL[1].any()


def test_kept_features_are_the_front_end_of_the_samples(store):
    """One reader computes features of whole nights once, the other reads samples: the model sees the same."""
    torch.manual_seed(0)
    encoder = Encoder(ModelConfig(modalities=("spo2", "resp"))).eval()
    samples, features = WindowReader(store), WindowReader(store, encoder.front_end)
    windows = [Window("n0", 3, 14), Window("n1", 11, 14), Window("n2", 0, 14)]
    for _ in range(2):  # the second time from memory
        for name in ("spo2", "resp"):
            raw, kept = samples.view(windows, name, 16), features.view(windows, name, 16)
            assert kept.are_features
            assert torch.equal(raw.valid_BL, kept.valid_BL)
            with torch.no_grad():
                (a,), (b,) = encoder([(name, raw)]), encoder([(name, kept)])
            torch.testing.assert_close(a.tokens_BLD, b.tokens_BLD, rtol=0, atol=1e-5)
            torch.testing.assert_close(a.window_BD, b.window_BD, rtol=0, atol=1e-5)


def test_stages_are_the_scorers_and_unknown_where_nobody_scored(store):
    stages = WindowReader(store).stages([Window("n2", 4, 8), Window("n0", 0, 8)], 10)
    assert stages[0, :8].tolist() == [(4 + i) % 5 for i in range(8)]
    assert stages[0, 8:].isnan().all()
    assert stages[1].isnan().all()


# --- metadata ---------------------------------------------------------------------------------------------------


def test_unknown_metadata_are_nan_and_equal_ones_have_equal_codes(store):
    known = metadata_of([store.row(name) for name in ("n0", "n1", "n2", "n0")])
    assert known.age.tolist()[0::2] == [40.0, 71.5]
    assert known.age.isnan().tolist() == [False, True, False, False]
    assert known.sex.isnan().tolist() == [False, False, True, False]
    assert known.sex[0] == known.sex[1]
    assert known.site.isnan().tolist() == [False, True, False, False]
    assert known.site[0] == known.site[2]
    assert known.subject.isnan().tolist() == [False, False, True, False]
    assert known.subject[0] == known.subject[1]
    assert known.night[0] == known.night[3]
    assert len(set(known.night.tolist())) == 3
