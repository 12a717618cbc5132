"""Which nights are told to be far from those that taught, judged by the physics of a wrong unit, gain and spectrum."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_nights import made_night, store_of
from safetensors.torch import load, save
from scipy.signal import lfilter

from sleep2vec.data.window import View, WindowReader, view_of_night
from sleep2vec.model.encoder import Encoder, ModelConfig
from sleep2vec.model.tokenizers import SpectralTokenizer
from sleep2vec.tasks.familiarity import Familiarity, character, familiarity
from sleep2vec.vocabulary.modalities import MODALITIES

NAMES = ("eeg", "airflow", "spo2")
N = 16


def slept(seed, name="night", colour=0.9, gain=None):
    """EEG and airflow of a falling spectrum, as noise through one pole gives; levels and colours differ a little."""
    draw, samples = np.random.default_rng([seed, 7]), {}
    for modality in ("eeg", "airflow"):
        pole = np.clip(colour + 0.01 * draw.standard_normal(), 0, 0.98)
        noise = lfilter([1], [1, -pole], draw.standard_normal(N * MODALITIES[modality].samples_per_token))
        samples[modality] = (noise / noise.std()).reshape(N, -1) * (1 + 0.05 * draw.standard_normal())
    samples["spo2"] = 95 + 0.4 * draw.standard_normal() + 0.6 * draw.standard_normal((N, 120))
    night = made_night(name, seed, N, NAMES, 0.9, samples=samples)
    stories = {m: replace(story, centre=0.0, spread=1.0) for m, story in night.provenance.items()}
    for modality, factor in (gain or {}).items():
        night.samples[modality] *= np.float32(factor)
    return replace(night, provenance=stories)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("familiar") / "store"
    return store_of(folder, [slept(i, f"n{i:02d}") for i in range(24)] + [made_night("bare", 1, N, ("airflow",))])


@pytest.fixture(scope="module")
def usual(store):
    ids = [f"n{i:02d}" for i in range(24)]
    return familiarity(WindowReader(store), (*NAMES, "belt"), ids[:14], ids[14:])


def told(usual, night, names=NAMES):
    return usual.warnings({name: view_of_night(night, name, 0, N) for name in names})


def test_other_nights_of_the_same_kind_are_seldom_far(usual):
    """Beyond the farthest of ten alike lies the eleventh in one of eleven; a quarter more is borne."""
    sentences = [sentence for seed in range(300, 330) for sentence in told(usual, slept(seed))]
    assert len(sentences) <= 3 * 30 / 11


@pytest.mark.parametrize(
    ("modality", "strange"),
    [
        ("spo2", {"gain": {"spo2": 0.01}}),  # a fraction, not percent
        ("spo2", {"gain": {"spo2": 1000.0}}),
        ("eeg", {"gain": {"eeg": 1000.0}}),  # mV taken for uV, by the constants of another channel
        ("eeg", {"gain": {"eeg": 0.001}}),
        ("airflow", {"gain": {"airflow": 1000.0}}),
    ],
)
def test_a_wrong_unit_is_far_in_that_modality_alone(usual, modality, strange):
    (sentence,) = told(usual, slept(200, **strange))
    assert sentence.startswith(f"{modality} is unlike the nights that the model learned from (at a distance of ")
    assert "check its unit, channel and filters" in sentence


def test_another_spectrum_of_the_same_size_is_far(usual):
    """White where what was learned from is red: in both modalities whose spectrum changed, at the same variance."""
    sentences = told(usual, slept(201, colour=0.0))
    assert [sentence.split()[0] for sentence in sentences] == ["eeg", "airflow"]


def test_a_night_of_the_same_kind_turned_upside_down_is_not_far(usual):
    """Electrodes may be: no band and no level of a night-scaled signal knows its sign."""
    assert told(usual, slept(202, gain={"eeg": -1.0, "airflow": -1.0})) == []


def test_centre_spread_and_limit_are_those_of_numpy(usual, store):
    reader = WindowReader(store)

    def plain(modality, night_id):
        table, row = MODALITIES[modality], store.row(night_id).signals[modality]
        centre, spread = (row.centre, row.spread) if table.night_scaled else (table.centre, table.spread)
        samples = np.clip((store.samples(night_id, modality) - centre) / spread, -20, 20).astype(np.float32)
        tokens = torch.from_numpy(samples[store.valid(night_id, modality)])
        return SpectralTokenizer(table, 1, 0.0).front_end(tokens).double().mean(dim=0).numpy()

    assert reader.store is store
    for name in NAMES:
        taught = np.stack([plain(name, f"n{i:02d}") for i in range(14)])
        others = np.stack([plain(name, f"n{i:02d}") for i in range(14, 24)])
        centre, spread = taught.mean(axis=0), np.maximum(taught.std(axis=0, ddof=1), 0.02)
        np.testing.assert_allclose(usual.centre_F[name], centre, rtol=0, atol=1e-4)
        np.testing.assert_allclose(usual.spread_F[name], spread, rtol=0, atol=1e-4)
        farthest = max(np.sqrt((((other - centre) / spread) ** 2).mean()) for other in others)
        assert usual.limit[name] == pytest.approx(1.25 * farthest, rel=1e-2)


def test_what_too_few_nights_have_is_not_judged(usual, store):
    assert set(usual.limit) == set(NAMES)  # nobody has a belt
    assert usual.distance("belt", torch.zeros(3)) is None
    few = familiarity(WindowReader(store), ("airflow", "spo2"), [f"n{i:02d}" for i in range(7)] + ["bare"], [])
    assert set(few.limit) == {"airflow"}  # eight have airflow, seven SpO2
    assert Familiarity({}, {}, {}).warnings({"eeg": view_of_night(slept(1), "eeg", 0, N)}) == []


def test_with_few_others_the_taught_nights_say_how_far_is_far(store):
    ids = [f"n{i:02d}" for i in range(14)]
    reader = WindowReader(store)
    alone, some = (familiarity(reader, ("spo2",), ids, others) for others in ([], [f"n{i:02d}" for i in range(14, 21)]))
    assert alone.limit == some.limit


def test_invalid_tokens_are_no_part_of_a_nights_character(usual):
    night = slept(100)
    view = view_of_night(night, "spo2", 0, N)
    view.valid_BL[:, [2, 7, 8]] = False
    spoiled = View(torch.where(view.valid_BL[..., None], view.values_BLS, 1e9), view.valid_BL)
    assert torch.equal(character("spo2", spoiled), character("spo2", view))
    nothing = View(spoiled.values_BLS, torch.zeros_like(view.valid_BL))
    assert usual.warnings({"spo2": nothing}) == []


def test_features_that_a_spectral_tokenizer_kept_tell_the_same(usual, store, tmp_path):
    encoder = Encoder(ModelConfig(modalities=NAMES))
    ids = [f"n{i:02d}" for i in range(24)]
    kept = familiarity(WindowReader(store, encoder.front_end, tmp_path), NAMES, ids[:14], ids[14:])
    for name in NAMES:
        assert torch.equal(kept.centre_F[name], usual.centre_F[name])
        assert kept.limit[name] == usual.limit[name]


def test_through_a_file_it_is_the_same_bit_for_bit(usual):
    back = Familiarity.from_tensors({**load(save(usual.tensors())), "heads.staging.weight": torch.zeros(2)})
    assert back.limit == usual.limit
    for name in NAMES:
        assert torch.equal(back.centre_F[name], usual.centre_F[name])
        assert torch.equal(back.spread_F[name], usual.spread_F[name])
    assert told(back, slept(201, colour=0.0)) == told(usual, slept(201, colour=0.0))
