"""Features on disk: whatever happens to the files, a window holds what the front end says of it."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_nights import made_night, store_of

from sleep2vec.data.features import FOLDER, FeatureCache
from sleep2vec.data.scaling import gain_and_bias, scale_integers
from sleep2vec.data.window import Window, WindowReader
from sleep2vec.model.encoder import Encoder, ModelConfig
from sleep2vec.store.manifest import write_manifest
from sleep2vec.store.reader import Store
from sleep2vec.store.verify import damaged_nights
from sleep2vec.store.writer import write_night
from sleep2vec.vocabulary.errors import StoreError

TOKENS = 12
MODALITIES = ("spo2", "resp")
NIGHTS = [made_night(f"n{i}", i, TOKENS, MODALITIES) for i in range(4)]
IDS = [night.night_id for night in NIGHTS]


@pytest.fixture
def store(tmp_path):
    return store_of(tmp_path / "store", NIGHTS)


@pytest.fixture(scope="module")
def front_end():
    torch.manual_seed(0)
    return Encoder(ModelConfig(modalities=MODALITIES)).front_end


def truth(store, front_end, window, modality):
    return front_end(modality, WindowReader(store).view([window], modality, window.n_tokens).values_BLS[0])


def never(modality, samples):
    """Knows what it would do with a probe, and is never asked for more."""
    assert len(samples) < TOKENS, "computed again"
    return samples[:, :3] + 1


def sums(modality, samples):
    return samples[:, :3] + 1


def scaled_night(store):
    """Also of tokens that are not valid, which a view hides."""
    integers_LS = store.integers("n0", "resp")
    samples_LS = np.empty(integers_LS.shape, dtype=np.float32)
    scale_integers(integers_LS, *gain_and_bias("resp", store.row("n0").signals["resp"]), samples_LS)
    return torch.from_numpy(samples_LS)


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_the_cache_equals_the_front_end(store, front_end):
    """The judge is the front end on the samples of the window, for tokens that are valid."""
    cache = FeatureCache(store, front_end)
    for name in MODALITIES:
        for window in (Window("n0", 0, TOKENS), Window("n1", 5, 4), Window("n3", TOKENS - 1, 1)):
            valid = torch.from_numpy(store.valid(window.night_id, name, window.first, window.n_tokens))
            kept = torch.from_numpy(cache.window(window.night_id, name, window.first, window.n_tokens))
            # A front end takes its sums in another order when it is given other tokens beside one.
            torch.testing.assert_close(kept[valid], truth(store, front_end, window, name)[valid], rtol=1e-5, atol=1e-5)


def test_a_second_run_computes_nothing_and_meets_the_same_bytes(store):
    assert FeatureCache(store, sums).prepare(IDS, MODALITIES, workers=2) == len(IDS) * len(MODALITIES)
    second = FeatureCache(store, never)
    assert second.prepare(IDS, MODALITIES) == 0
    for night in IDS:
        for name in MODALITIES:
            samples = WindowReader(store).view([Window(night, 2, 7)], name, 7)
            expected = torch.where(samples.valid_BL[0][:, None], sums(name, samples.values_BLS[0]), 0)
            kept = torch.from_numpy(second.window(night, name, 2, 7))
            assert torch.equal(torch.where(samples.valid_BL[0][:, None], kept, 0), expected)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_damaged_or_half_written_file_is_made_again(tmp_path_factory, data):
    """One flipped bit anywhere, any length of the file, or no file at all."""
    store = store_of(tmp_path_factory.mktemp("damage") / "store", NIGHTS[:1])
    expected = FeatureCache(store, sums).window("n0", "resp", 0, TOKENS)
    (path,) = files(store.path / FOLDER)
    whole = path.read_bytes()
    damage = data.draw(st.sampled_from(["flip", "cut", "grow", "remove"]))
    place = data.draw(st.integers(0, len(whole) - 1))
    if damage == "flip":
        byte = whole[place] ^ (1 << data.draw(st.integers(0, 7)))
        path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
    elif damage == "remove":
        path.unlink()
    else:
        path.write_bytes(whole[:place] if damage == "cut" else whole + whole[: place + 1])
    assert np.array_equal(FeatureCache(store, sums).window("n0", "resp", 0, TOKENS), expected)
    assert path.read_bytes() == whole
    assert files(store.path / FOLDER) == [path]


def test_a_folder_that_is_emptied_during_a_run_is_filled_again(store):
    cache = FeatureCache(store, sums)
    before = cache.window("n0", "resp", 1, 5)
    for path in files(store.path / FOLDER):
        path.unlink()
    assert np.array_equal(cache.window("n0", "resp", 1, 5), before)


def test_another_front_end_or_another_night_has_another_file(store, front_end):
    """What was kept of a front end with other constants, or of a night with other signals or scaling, is not used."""
    FeatureCache(store, sums).prepare(IDS, MODALITIES)
    for other in (lambda m, x: x[:, :3] + 1.01, lambda m, x: x[:, :4] + 1, lambda m, x: x[:, :3].abs() + 1):
        kept = FeatureCache(store, other).window("n0", "resp", 0, TOKENS)
        assert np.array_equal(kept, other("resp", scaled_night(store)))
    changed = replace(NIGHTS[0], provenance={m: replace(p, centre=9.0) for m, p in NIGHTS[0].provenance.items()})
    write_night(store.path, changed)
    write_manifest(store.path)
    again = Store(store.path)
    expected = sums("resp", scaled_night(again))
    assert np.array_equal(FeatureCache(again, sums).window("n0", "resp", 0, TOKENS), expected)


def test_the_store_is_as_whole_as_before(store, front_end):
    """`sleep2vec inspect --verify` looks at nights, and features are none."""
    FeatureCache(store, front_end).prepare(IDS, MODALITIES)
    assert list(damaged_nights(store.path)) == []
    assert [row.night_id for row in Store(store.path).rows] == IDS


def test_a_front_end_that_changes_nothing_is_not_kept(store):
    view = WindowReader(store, lambda modality, samples: samples).view([Window("n0", 0, 5)], "resp", 5)
    assert not view.are_features
    assert torch.equal(view.values_BLS, WindowReader(store).view([Window("n0", 0, 5)], "resp", 5).values_BLS)
    assert not (store.path / FOLDER).exists()


def test_a_place_that_cannot_be_written_is_told(store, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"features cannot be kept in .*file.*feature_folder"):
        FeatureCache(store, sums, tmp_path / "file").window("n0", "resp", 0, 1)


def test_several_runs_fill_one_folder_at_once(store, tmp_path):
    folder = tmp_path / "shared"
    runs = [FeatureCache(store, sums, folder) for _ in range(4)]
    threads = [threading.Thread(target=run.prepare, args=(IDS, MODALITIES, 2)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(files(folder)) == len(IDS) * len(MODALITIES)
    assert FeatureCache(store, never, folder).prepare(IDS, MODALITIES) == 0
    assert not (store.path / FOLDER).exists()
