"""The pulse wave as a modality: judged by simulated circulations whose beats are known."""

import numpy as np
import pytest

from sleep2vec.harmonization.beat_shape import Beats
from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.harmonization.quality import judge_pulse
from sleep2vec.simulation.simulated_night import simulate_night
from sleep2vec.vocabulary.recording import Recording, Signal

HOURS = 0.5


@pytest.fixture(scope="module")
def simulated():
    return simulate_night(11, site="alpha", hours=HOURS)


@pytest.fixture(scope="module")
def night(simulated):
    return harmonize(simulated.recording, modalities=("ppg", "ibi", "ecg"))


def with_pleth(simulated, change) -> Recording:
    """The recording with its pulse wave changed, and no ECG."""
    signals = []
    for signal in simulated.recording.signals:
        if signal.label == "Pleth":
            samples = change(np.array(signal.samples, dtype=np.float32))
            signals.append(Signal.from_array("Pleth", samples, signal.rate_hz, signal.unit))
        elif signal.label != "ECG II" and signal.label != "Pulse":
            signals.append(signal)
    return Recording(tuple(signals), simulated.recording.duration_s)


def test_a_pulse_wave_is_kept_at_128_hz_around_0_with_a_spread_of_1(night):
    assert night.samples["ppg"].shape == (night.n_tokens * 3840,)
    good = night.samples["ppg"].reshape(night.n_tokens, -1)[night.valid["ppg"]]
    assert np.median(good) == pytest.approx(0.0, abs=0.02)
    assert 1.4826 * np.median(np.abs(good - np.median(good))) == pytest.approx(1.0, rel=0.02)


def test_its_rhythm_is_that_of_the_heart(simulated, night):
    """The strongest frequency of a good token is the number of true beats in it, within two for nine of ten tokens."""
    beats_s, off = simulated.truth.beat_times_s, []
    for token in np.flatnonzero(night.valid["ppg"]):
        wave = night.samples["ppg"].reshape(night.n_tokens, -1)[token]
        power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 8 * len(wave))) ** 2
        hz = np.fft.rfftfreq(8 * len(wave), 1 / 128)
        band = (hz > 0.6) & (hz < 2.0)
        found = hz[band][power[band].argmax()] * 30
        true = np.count_nonzero((beats_s >= 30 * token) & (beats_s < 30 * token + 30))
        off.append(abs(found - true))
    assert np.quantile(off, 0.9) <= 2.0
    assert len(off) > 50


@pytest.mark.parametrize("kind", ["white", "brown", "dead"])
def test_a_probe_that_has_fallen_off_shows_no_pulse_and_takes_its_ibi_with_it(simulated, kind):
    """The last third of the night is noise of the wave's own size, or a constant."""

    def fallen(wave):
        n_lost, draw = len(wave) // 3, np.random.default_rng(3)
        noise = {"white": draw.normal, "brown": lambda size: draw.normal(size=size).cumsum()}.get(kind)
        lost = np.zeros(n_lost) if noise is None else noise(size=n_lost)
        wave[-n_lost:] = lost / (lost.std() or 1.0) * wave.std()
        return wave

    made = harmonize(with_pleth(simulated, fallen), modalities=("ppg", "ibi"))
    first_lost = made.n_tokens - made.n_tokens // 3
    assert made.provenance["ibi"].source == made.provenance["ppg"].source == "ppg"
    for name in ("ppg", "ibi"):
        assert made.valid[name][: first_lost - 1].mean() > 0.8
        assert made.valid[name][first_lost:].mean() <= 0.05


def test_a_token_is_good_from_half_of_it_between_beats_on():
    """Closed form: one beat a second, in so many seconds of each token."""
    shares = (0.0, 0.3, 0.45, 0.55, 0.8, 1.0)
    times_s = np.concatenate([30 * k + np.arange(0, 30 * share + 0.5) for k, share in enumerate(shares)])
    beats = Beats(times_s, np.ones_like(times_s), np.ones(len(times_s), dtype=bool))
    assert judge_pulse(beats, len(shares))["no pulse"].tolist() == [True, True, True, False, False, False]
