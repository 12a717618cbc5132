"""Is the task neither trivial nor impossible? scikit-learn judges, on people it has never seen."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import welch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sleep2vec.simulation.simulated_night import SimulatedNight, simulate_night
from sleep2vec.simulation.sites import SITES

BANDS_HZ = ((0.5, 2), (2, 4), (4, 8), (8, 12), (12, 15), (16, 30), (30, 45))
Features = dict[str, np.ndarray]


def log_bands(x_LS: np.ndarray, rate_hz: float, bands: tuple[tuple[float, float], ...]) -> np.ndarray:
    hz, power_LF = welch(x_LS, rate_hz, nperseg=int(4 * rate_hz), axis=1)
    return np.log(np.stack([power_LF[:, (hz >= a) & (hz < b)].sum(axis=1) for a, b in bands], axis=1) + 1e-12)


def features(night: SimulatedNight) -> Features:
    signals = {s.label: s for s in night.recording.signals}

    def epochs(label: str) -> np.ndarray:
        return signals[label].samples.reshape(len(night.truth.stages_L), -1)

    beats = night.truth.beat_times_s
    grid_s = np.arange(len(night.truth.stages_L) * 120) / 4
    ibi = np.interp(grid_s, beats[1:], np.diff(beats)).reshape(-1, 120)
    belt = epochs("Abdomen")[:, ::4]
    power = np.abs(np.fft.rfft((belt - belt.mean(axis=1, keepdims=True)) * np.hanning(120), axis=1)[:, 3:18]) ** 2
    return {
        "eeg": log_bands(epochs("C4-M1"), 128, BANDS_HZ),
        "eog": log_bands(epochs("E1-M2"), 128, ((0.25, 0.75), (0.75, 2), (2, 5), (5, 12))),
        "emg": log_bands(epochs("Chin1-Chin2"), 128, ((10, 30), (30, 60))),
        "heart rate": 60 / ibi.mean(axis=1, keepdims=True),
        "ibi+resp": np.column_stack(
            [
                ibi.mean(axis=1),
                np.log(ibi.std(axis=1)),
                log_bands(ibi - ibi.mean(axis=1, keepdims=True), 4, ((0.03, 0.15), (0.15, 0.45))),
                power.max(axis=1) / power.sum(axis=1),
                (power * np.arange(3, 18)).sum(axis=1) / power.sum(axis=1),
                np.log(belt.std(axis=1)),
            ]
        ),
    }


def in_context(x_LF: np.ndarray, reach: int) -> np.ndarray:
    """Each epoch beside its neighbours, after the night's own median and spread are removed."""
    own = (x_LF - np.median(x_LF, axis=0)) / x_LF.std(axis=0)
    padded = np.pad(own, ((reach, reach), (0, 0)), mode="edge")
    return np.concatenate([padded[i : i + len(own)] for i in range(2 * reach + 1)], axis=1)


@pytest.fixture(scope="module")
def people() -> tuple[list[Features], list[np.ndarray]]:
    needed = tuple(c for c in SITES["alpha"].channels if c.label in ("C4-M1", "E1-M2", "Chin1-Chin2", "Abdomen"))
    nights = [
        simulate_night(1000 + seed, site=replace(SITES["alpha"], channels=needed), hours=2.5) for seed in range(8)
    ]
    return [features(night) for night in nights], [night.truth.stages_L.astype(int) for night in nights]


def kappa(x: list[np.ndarray], y: list[np.ndarray]) -> float:
    """Four folds by person."""
    predicted = [np.zeros(0)] * len(x)
    for fold in range(4):
        rest = [i for i in range(len(x)) if i % 4 != fold]
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200, tol=1e-3))
        model.fit(np.concatenate([x[i] for i in rest]), np.concatenate([y[i] for i in rest]))
        for i in range(fold, len(x), 4):
            predicted[i] = model.predict(x[i])
    return float(cohen_kappa_score(np.concatenate(y), np.concatenate(predicted)))


def test_stages_can_be_read_but_not_from_one_trivial_number(people: tuple[list[Features], list[np.ndarray]]):
    """Wanted over many people: 0.45-0.75 from EEG band powers, 0.15-0.45 from IBI and RESP. With eight: wider."""
    found, y = people

    def of(*names: str, reach: int | None = None) -> float:
        joined = [np.concatenate([f[name] for name in names], axis=1) for f in found]
        return kappa(joined if reach is None else [in_context(x, reach) for x in joined], y)

    plain = {name: of(name) for name in ("eeg", "heart rate", "ibi+resp")}
    assert 0.35 < plain["eeg"] < 0.78, plain
    assert 0.08 < plain["ibi+resp"] < 0.48, plain
    assert plain["heart rate"] < 0.10, plain
    # What neighbours and other sensors know must be worth something, and even all of it must not be perfect.
    alone, heart_alone = of("eeg", reach=0), of("ibi+resp", reach=0)
    assert alone > plain["eeg"] + 0.05
    assert of("eeg", reach=4) > alone + 0.02
    assert of("ibi+resp", reach=4) > heart_alone + 0.05
    assert of("eeg", "eog", "emg", reach=0) > alone + 0.01
    assert of("eeg", "eog", "emg", "ibi+resp", reach=4) < 0.90


def test_no_single_feature_gives_a_stage_away(people: tuple[list[Features], list[np.ndarray]]):
    """For each feature and stage, people pooled: the best threshold must leave doubt (area under the ROC curve)."""
    from sklearn.metrics import roc_auc_score

    found, y = people
    stages = np.concatenate(y)
    for name in found[0]:
        pooled = np.concatenate([f[name] for f in found])
        for column in pooled.T:
            for stage in range(5):
                area = roc_auc_score(stages == stage, column)
                assert max(area, 1 - area) < 0.97, (name, stage, area)
