"""Before learning, every feature is centred and scaled on the training nights."""

import numpy as np
import pytest
import torch
from made_nights import SLOW, made_night, store_of

from sleep2vec.data.window import Window, WindowReader
from sleep2vec.model.encoder import Encoder, ModelConfig
from sleep2vec.model.rhythms import RhythmPath, rhythms_of
from sleep2vec.model.seconds import SecondPath, second_features
from sleep2vec.model.sleep_model import SleepModel, SleepModelConfig
from sleep2vec.tasks.calibration import calibrate, calibrate_fusion, calibrate_rhythms, calibrate_seconds
from sleep2vec.tasks.staging import Staging
from sleep2vec.vocabulary.modalities import parse_modalities

NAMES = ("ibi", "spo2", "resp")
NAMES_IN_ORDER = parse_modalities(NAMES)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    nights = [made_night(f"n{i}", i, 30, ("spo2", "resp"), valid_share=0.7) for i in range(5)]
    nights.append(made_night("other", 9, 30, ("spo2", "resp"), samples={"resp": np.full((30, 120), 9.0)}))
    return store_of(tmp_path_factory.mktemp("calibration") / "store", nights)


@pytest.mark.parametrize("kept", [False, True])
def test_valid_tokens_of_the_training_nights_have_mean_0_and_spread_1(store, kept):
    """Nights of 30 tokens are taken whole, so the judge can gather the same tokens from the store by itself."""
    torch.manual_seed(0)
    encoder = Encoder(ModelConfig(modalities=NAMES))
    ids = [f"n{i}" for i in range(5)]
    calibrate(encoder, WindowReader(store, encoder.front_end if kept else None), ids, seed=3)
    for name in ("spo2", "resp"):
        view = WindowReader(store).view([Window(night_id, 0, 30) for night_id in ids], name, 30)
        tokenizer = encoder.tokenizer(name)
        features = tokenizer.front_end(view.values_BLS[view.valid_BL])
        scaled = ((features - tokenizer.centre_F) / tokenizer.spread_F).double()
        assert len(scaled) < 150  # the invalid ones are not among them
        torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(scaled.shape[1]).double(), atol=2e-5, rtol=0)
        torch.testing.assert_close(scaled.std(dim=0), torch.ones(scaled.shape[1]).double(), atol=2e-4, rtol=0)


def test_a_modality_that_no_night_holds_is_left_alone(store):
    encoder = Encoder(ModelConfig(modalities=NAMES))
    calibrate(encoder, WindowReader(store), ["n0", "n1"], seed=0)
    assert not encoder.tokenizer("ibi").centre_F.any()
    assert torch.equal(encoder.tokenizer("ibi").spread_F, torch.ones_like(encoder.tokenizer("ibi").spread_F))


def test_calibration_repeats_and_reads_the_training_nights_only(store):
    """A night of a constant would drag the centre along if it were read."""
    constants = []
    for ids in (["n0", "n1", "n2"], ["n0", "n1", "n2"], ["n0", "n1", "n2", "other"]):
        torch.manual_seed(0)
        encoder = Encoder(ModelConfig(modalities=NAMES))
        calibrate(encoder, WindowReader(store), ids, seed=1)
        constants.append(encoder.tokenizer("resp").centre_F.clone())
    assert torch.equal(constants[0], constants[1])
    assert (constants[0] - constants[2]).abs().max() > 0.5


@torch.no_grad()
def test_the_fusion_meets_what_the_encoder_tells_of_the_training_nights_whitened(tmp_path):
    """Mean 0 in every direction; variance 1 in the largest, less where next to nothing is told: judged by numpy."""
    torch.manual_seed(0)
    heads = {"staging": Staging().head}
    stager = SleepModel(SleepModelConfig(encoder=ModelConfig(modalities=NAMES), heads=heads))
    ids = [f"n{i}" for i in range(5)]
    # More tokens than features: 210 and 128.
    reader = WindowReader(store_of(tmp_path / "store", [made_night(n, i, 60, SLOW, 0.7) for i, n in enumerate(ids)]))
    calibrate(stager.encoder, reader, ids, seed=3)
    calibrate_fusion(stager.fusion, stager.encoder, reader, ids, seed=3)
    for name in ("spo2", "resp"):
        view = reader.view([Window(night_id, 0, 60) for night_id in ids], name, 60)
        features = stager.encoder([(name, view)])[0].tokens_BLD
        m = NAMES_IN_ORDER.index(name)
        told = stager.fusion.maps(features[:, None].expand(-1, 3, -1, -1))[:, m][view.valid_BL].double().numpy()
        np.testing.assert_allclose(told.mean(axis=0), 0.0, atol=1e-3)
        variances = np.linalg.eigvalsh(np.cov(told.T, bias=True))
        assert variances[-1] == pytest.approx(1 / 1.01, rel=1e-2)
        assert variances[0] > -1e-6
        assert (variances > 0.5).sum() > (np.linalg.eigvalsh(np.cov(features[view.valid_BL].numpy().T)) > 0.5).sum()
    m = NAMES_IN_ORDER.index("ibi")  # which no night holds
    assert torch.equal(stager.fusion.maps.map_MDD[m], torch.eye(stager.encoder.width))


@pytest.mark.parametrize("kept", [False, True])
def test_valid_seconds_of_the_training_nights_have_mean_0_and_spread_1(store, kept):
    """Slow signals are samples, so that the judge's features of a second are four of them."""
    path = SecondPath(NAMES, 16)
    ids = [f"n{i}" for i in range(5)]
    calibrate_seconds(path, WindowReader(store, second_features if kept else None), ids, seed=3)
    for name in ("spo2", "resp"):
        view = WindowReader(store).view([Window(night_id, 0, 30) for night_id in ids], name, 30)
        reader = path.reader(name)
        seconds_NF = view.values_BLS[view.valid_BL].reshape(-1, 4)
        scaled_NF = ((seconds_NF - reader.centre_F) / reader.spread_F).double()
        torch.testing.assert_close(scaled_NF.mean(dim=0), torch.zeros(4).double(), atol=2e-5, rtol=0)
        torch.testing.assert_close(scaled_NF.std(dim=0), torch.ones(4).double(), atol=2e-4, rtol=0)
    assert not path.reader("ibi").centre_F.any()  # which no night holds
    assert torch.equal(path.reader("ibi").spread_F, torch.ones_like(path.reader("ibi").spread_F))


def test_known_measures_of_slow_rhythms_have_mean_0_and_spread_1(store):
    """Of whole nights, as they are learned from; a modality that no night holds is left alone."""
    path = RhythmPath(NAMES_IN_ORDER, 8, 0.0)
    ids = [f"n{i}" for i in range(5)]
    calibrate_rhythms(path, WindowReader(store), ids, seed=3, window_tokens=40)
    view = WindowReader(store).view([Window(night_id, 0, 30) for night_id in ids], "resp", 30)
    reader = path.reader("resp")
    told = (rhythms_of("resp", view)[view.valid_BL] - reader.centre_F) / reader.spread_F
    np.testing.assert_allclose(np.nanmean(told.double().numpy(), axis=0), 0, atol=2e-3)
    spread = np.nanstd(told.double().numpy(), axis=0)
    np.testing.assert_allclose(spread[reader.spread_F > 1.001e-3], 1, atol=2e-3)
    assert not path.reader("ibi").centre_F.any()
