"""Recordings as a cohort hands them out: its labels, rates, units and references, around a simulated quarter hour.

Electrodes are written against one far reference that carries hum and drift: what is not re-referenced as the cohort
documents is spoilt, and found out.
"""

import re
from dataclasses import replace
from functools import lru_cache

import numpy as np
from scipy.signal import resample_poly

from sleep2vec.cohorts.schema import ChannelOfCohort, Montage
from sleep2vec.simulation.simulated_night import SimulatedNight, draw_person, simulate_night
from sleep2vec.simulation.sites import SITES, Channel
from sleep2vec.vocabulary.recording import Recording, Signal

RATE_HZ = 256
_ELECTRODES = ("C4", "C3", "F4", "O2", "M1", "M2", "E1", "E2")
_BODY = (
    *(Channel(name, "eeg", name, RATE_HZ, "uV", 5000, (0.1, 100)) for name in _ELECTRODES),
    Channel("chin", "emg", "chin", RATE_HZ, "uV", 500, (10, None)),
    Channel("ecg", "ecg", "ecg", RATE_HZ, "uV", 5000, (0.3, 70)),
    Channel("flow", "airflow", "flow", 32, "", 10, (0.05, None)),
    Channel("thorax", "thorax", "thorax", 32, "", 10, (0.05, None)),
    Channel("abdomen", "belt", "abdomen", 32, "", 10, (0.05, None)),
    Channel("spo2", "spo2", "spo2", 1, "%", 100),
    Channel("pulse", "pulse", "pulse", 1, "bpm", 250),
)
# Where the simulator has no such place on the head, its neighbour stands in.
_NEIGHBOUR = {"F3": "F4", "FZ": "F4", "FPZ": "F4", "FP1": "F4", "FP2": "F4", "O1": "O2", "OZ": "O2", "PZ": "O2"}
_NEIGHBOUR |= {
    "CZ": "C4",
    "P3": "C3",
    "P4": "C4",
    "T3": "M1",
    "T4": "M2",
    "A1": "M1",
    "A2": "M2",
    "F7": "E1",
    "F8": "E2",
}
_NEIGHBOUR |= {"LOC": "E1", "ROC": "E2", "AF7": "E1", "AF8": "E2"}
_ELECTRODE = re.compile(
    r"(?<![A-Z])(FPZ|FP1|FP2|AF7|AF8|LOC|ROC|[FCOPT][34Z]|[FO][12]|[MAE][12]|F[78]|[CO]Z)(?![A-Z0-9])"
)
_MICROVOLTS = {"uv": 1.0, "µv": 1.0, "mv": 1e-3, "v": 1e-6}


@lru_cache
def body_of(seed: int) -> SimulatedNight:
    """A quarter of an hour of one person, each sensor against an ideal reference."""
    site = replace(SITES["alpha"], channels=_BODY, mains_uv=0.3, loose_gain=0.0, apnea_median_per_hour=30.0)
    # A heart fast enough for the breath to show in its beats.
    person = replace(draw_person(np.random.default_rng(seed), site, f"body-{seed}"), heart_rate_bpm=66.0)
    return simulate_night(seed, person=person, site=site, hours=0.25)


def recording_of(montage: Montage, seed: int) -> Recording:
    """The quarter of an hour as this montage records it, without its scoring."""
    night = body_of(seed)
    base = {signal.label: signal.samples.astype(float) for signal in night.recording.signals}
    rng = np.random.default_rng(seed)
    t_T = np.arange(len(base["C4"])) / RATE_HZ
    far_T = 60 * np.sin(2 * np.pi * 60 * t_T) + 40 * np.sin(2 * np.pi * 0.9 * t_T)
    signals = tuple(_signal(channel, base, far_T, night, rng) for channel in montage.channels)
    return replace(night.recording, signals=signals, stages=(), events=())


def _signal(
    channel: ChannelOfCohort,
    base: dict[str, np.ndarray],
    far_T: np.ndarray,
    night: SimulatedNight,
    rng: np.random.Generator,
) -> Signal:
    samples_T, rate_hz = _felt(channel, base, far_T, night, rng)
    at_rate_T = _at_rate(samples_T, rate_hz, channel.rate_hz, night.recording.duration_s)
    factor = 1.0
    if channel.kind in ("eeg", "eog", "chin", "ecg", "reference", "emg_leg"):
        factor = _MICROVOLTS.get(channel.unit.strip().lower(), 1.0)
    at_rate_T = at_rate_T * factor
    reach = max(1.25 * float(np.abs(at_rate_T).max()), 1e-6)
    return Signal.from_array(channel.label, at_rate_T, channel.rate_hz, channel.unit, (-reach, reach))


def _felt(
    channel: ChannelOfCohort,
    base: dict[str, np.ndarray],
    far_T: np.ndarray,
    night: SimulatedNight,
    rng: np.random.Generator,
) -> tuple[np.ndarray, float]:
    """Samples in uV (or the sensor's unit) and their rate."""
    n = len(far_T)
    match channel.kind:
        case "eeg" | "eog" | "reference":
            return _electrode(channel, base, far_T), RATE_HZ
        case "chin":
            return base["chin"] + (far_T if _is_one_of_several(channel.label) else 0) + rng.normal(0, 3, n), RATE_HZ
        case "ecg":
            return _ecg(channel.label, base["ecg"], far_T), RATE_HZ
        case "airflow" | "nasal_pressure" | "thermistor":
            return base["flow"], 32
        case "thorax" | "abdomen":
            return base[channel.kind], 32
        case "spo2":
            return base["spo2"], 1
        case "heart_rate":
            return base["pulse"], 1
        case "ppg":
            return _pulse_wave(night.truth.beat_times_s, n) + rng.normal(0, 1, n), RATE_HZ
        case "emg_leg" | "emg_other":
            return rng.normal(0, 5, n), RATE_HZ
        case _:  # position, flags, snore, light ...
            return np.repeat(rng.integers(0, 4, n // (RATE_HZ * 60) + 1), RATE_HZ * 60)[:n].astype(float), RATE_HZ


def _electrode(channel: ChannelOfCohort, base: dict[str, np.ndarray], far_T: np.ndarray) -> np.ndarray:
    found = [_NEIGHBOUR.get(name, name) for name in _ELECTRODE.findall(channel.label.upper().replace("_", "-"))]
    right = re.search(r"\br|roc|\(r\)|right", channel.label.lower())
    plus = found[0] if found else {"eog": "E2" if right else "E1", "reference": "M1"}.get(channel.kind, "C4")
    if len(found) > 1:
        return base[plus] - base[found[1]] if plus != found[1] else base[plus]
    if found:
        return base[plus] + far_T
    return base[plus] - base["M2" if plus in ("E1", "E2") else "M1"]  # the label hides its reference


def _is_one_of_several(label: str) -> bool:
    return bool(re.search(r"[1-3lr]\s*$|^[lr][ _]?chin|_[lrc]$|(left|right|l|r) ?chin", label.strip().lower())) and (
        "-" not in label
    )


def _ecg(label: str, ecg_T: np.ndarray, far_T: np.ndarray) -> np.ndarray:
    """One lead of two where the label ends in a side or a number and names no pair."""
    place = re.sub(r"eeg|e[ck]g|[^a-z0-9]", "", label.lower())
    if place not in ("l", "r", "la", "ra", "1", "2", "3", "left", "right"):
        return ecg_T
    return (-0.5 if place in ("r", "ra", "2", "3", "right") else 0.5) * ecg_T + far_T


def _pulse_wave(beats_s: np.ndarray, n: int) -> np.ndarray:
    """A bump 0.25 s after every beat, falling off over 0.3 s, the plain shape of a photoplethysmogram."""
    wave_T = np.zeros(n)
    shape = np.arange(int(0.6 * RATE_HZ)) / RATE_HZ
    shape = np.exp(-(((shape - 0.2) / 0.09) ** 2)) + 0.35 * np.exp(-(((shape - 0.42) / 0.09) ** 2))
    for beat_s in beats_s:
        first = int((beat_s + 0.1) * RATE_HZ)
        piece = shape[: max(0, n - first)]
        wave_T[first : first + len(piece)] += piece
    return 100 * wave_T


def _at_rate(samples_T: np.ndarray, rate_hz: float, wanted_hz: float, duration_s: float) -> np.ndarray:
    n = round(duration_s * wanted_hz)
    if wanted_hz == rate_hz:
        return samples_T[:n]
    if rate_hz <= 1:  # an oximeter holds its last number
        return samples_T[np.minimum((np.arange(n) * rate_hz / wanted_hz).astype(int), len(samples_T) - 1)]
    if wanted_hz < 5 and rate_hz > 5 and len(np.unique(samples_T[:RATE_HZ])) == 1:
        return samples_T[(np.arange(n) * rate_hz / wanted_hz).astype(int)]
    up, down = (round(wanted_hz), round(rate_hz)) if wanted_hz >= 1 else (1, round(rate_hz / wanted_hz))
    made_T = resample_poly(samples_T, up, down)
    return np.pad(made_T, (0, max(0, n - len(made_T))), mode="edge")[:n]
