"""Heart beats, intervals and breathing against a truth that is known, in noise.

    python benchmarks/heartbeats_and_breathing.py [--minutes 60] [--json FILE]

An ECG is drawn wave by wave (McSharry et al., IEEE TBME 50 (2003)) around beats that breathe and wander, 1 % of
them premature and wide with a pause behind; breathing moves the belt, the cannula and the height of the R peaks. White
and 1/f noise are added at a signal-to-noise ratio of 20, 10 and 5 dB (power of the clean ECG over power of the noise,
at the recording's rate), and 12 bursts an hour of motion, three to ten times as large as the ECG for 2 to 8 s. The
recording goes through `harmonize`; beats are judged outside the bursts, within 50 ms. The baseline, in the same run, is
neurokit2's default chain (ecg_clean, ecg_peaks) on the same samples, without validity.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sleep2vec.harmonization.heartbeats import beats_of_ecg
from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.vocabulary.recording import Recording, Signal

TOLERANCE_S = 0.05
ECTOPIC_SHARE = 0.01
BURSTS_PER_HOUR = 12
# Wave of the ECG -> (height mV, delay s, width s).
NORMAL = ((0.12, -0.18, 0.025), (-0.12, -0.03, 0.009), (1.0, 0.0, 0.011), (-0.2, 0.03, 0.01), (0.3, 0.28, 0.045))
ECTOPIC = ((0.9, 0.0, 0.035), (-0.45, 0.09, 0.04), (-0.25, 0.32, 0.06))
Array = NDArray[np.float64]


class Truth:
    """Beats, breaths and when somebody moved, of `minutes` of sleep."""

    def __init__(self, seed: int, minutes: float) -> None:
        rng = np.random.default_rng(seed)
        self.seconds = 60 * minutes
        clock_s = np.arange(0, self.seconds, 0.05)
        walk = np.cumsum(rng.normal(0, 0.0006, len(clock_s)))
        self.breath_hz = np.clip(0.25 + walk - walk.mean(), 0.15, 0.4)
        self.phase = np.cumsum(self.breath_hz) * 0.05
        self.clock_s = clock_s
        self.beats_s, self.is_ectopic = self._beats(rng)
        n_bursts = round(BURSTS_PER_HOUR * minutes / 60)
        starts = np.sort(rng.uniform(10, self.seconds - 20, n_bursts))
        self.bursts_s = [(start, start + rng.uniform(2, 8), rng.uniform(3, 10)) for start in starts]

    def _beats(self, rng: np.random.Generator) -> tuple[Array, NDArray[np.bool_]]:
        times, ectopic, now = [], [], 1.0
        while now < self.seconds - 1:
            times.append(now)
            breath = np.interp(now, self.clock_s, self.phase)
            usual = 0.9 + 0.05 * np.sin(2 * np.pi * breath) + 0.04 * np.sin(2 * np.pi * 0.1 * now) + rng.normal(0, 0.01)
            early = rng.random() < ECTOPIC_SHARE and not (ectopic and ectopic[-1])
            ectopic.append(False)
            if early:  # a premature beat, and the pause that makes up for it
                times.append(now + 0.6 * usual)
                ectopic.append(True)
                now += usual
            now += usual
        return np.array(times), np.array(ectopic)

    def in_burst(self, times_s: Array, margin_s: float = 0.3) -> NDArray[np.bool_]:
        inside = np.zeros(len(times_s), dtype=bool)
        for start, end, _ in self.bursts_s:
            inside |= (times_s > start - margin_s) & (times_s < end + margin_s)
        return inside

    def intervals_at(self, times_s: Array) -> Array:
        """Sinus intervals at their middles, linear between; those that touch an ectopic beat are left out."""
        sinus = ~(self.is_ectopic[:-1] | self.is_ectopic[1:])
        middles = (self.beats_s[:-1] + self.beats_s[1:]) / 2
        return np.interp(times_s, middles[sinus], np.diff(self.beats_s)[sinus])


def drawn_ecg(truth: Truth, rate_hz: float) -> Array:
    ecg = np.zeros(int(truth.seconds * rate_hz))
    heights = 1 + 0.12 * np.sin(2 * np.pi * np.interp(truth.beats_s, truth.clock_s, truth.phase))
    half = int(0.6 * rate_hz)
    for beat, ectopic, scale in zip(truth.beats_s, truth.is_ectopic, heights, strict=True):
        first = max(0, int(beat * rate_hz) - half)
        clock = np.arange(first, min(len(ecg), first + 2 * half)) / rate_hz
        for height, delay, width in ECTOPIC if ectopic else NORMAL:
            ecg[first : first + len(clock)] += scale * height * np.exp(-0.5 * ((clock - beat - delay) / width) ** 2)
    return ecg


def noise(rng: np.random.Generator, clean: Array, rate_hz: float, snr_db: float, truth: Truth) -> Array:
    """White and 1/f noise, half of the power each, at `snr_db`, and the bursts."""
    spectrum = np.fft.rfft(rng.normal(size=len(clean)))
    hz = np.fft.rfftfreq(len(clean), 1 / rate_hz)
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(hz, 0.5)), len(clean))
    mixed = rng.normal(size=len(clean)) + pink / pink.std()
    added = mixed * clean.std() / mixed.std() * 10 ** (-snr_db / 20)
    for start, end, size in truth.bursts_s:
        first, last = int(start * rate_hz), int(end * rate_hz)
        walk = np.cumsum(rng.normal(size=last - first))
        walk -= np.linspace(walk[0], walk[-1], len(walk))
        shape = np.hanning(len(walk)) * (walk / (walk.std() or 1) + rng.normal(size=len(walk)) / 2)
        added[first:last] += size * clean.std() * shape
    return added


def breathing_of(truth: Truth, rate_hz: float, rng: np.random.Generator, snr_db: float) -> Array:
    clock = np.arange(int(truth.seconds * rate_hz)) / rate_hz
    wave = np.sin(2 * np.pi * np.interp(clock, truth.clock_s, truth.phase))
    return wave + rng.normal(0, wave.std() * 10 ** (-snr_db / 20), len(wave))


def recorded(truth: Truth, rate_hz: float, snr_db: float, seed: int) -> tuple[Recording, Array]:
    rng = np.random.default_rng(seed)
    clean = drawn_ecg(truth, rate_hz)
    ecg = clean + noise(rng, clean, rate_hz, snr_db, truth)
    signals = (
        Signal.from_array("ECG", ecg, rate_hz, "mV", (-50, 50)),
        Signal.from_array("Abdomen", breathing_of(truth, 16, rng, snr_db), 16.0, "", (-50, 50)),
        Signal.from_array("Nasal Pressure", breathing_of(truth, 16, rng, snr_db), 16.0, "", (-50, 50)),
    )
    return Recording(signals, truth.seconds), ecg


def beat_scores(found_s: Array, truth: Truth) -> dict[str, float]:
    """Sensitivity and positive predictive value outside the bursts, one found beat for one true beat."""
    true_s = truth.beats_s[~truth.in_burst(truth.beats_s)]
    found_s = found_s[~truth.in_burst(found_s)]
    nearest = np.abs(found_s[:, None] - true_s[None, :]).argmin(axis=1) if len(found_s) else np.zeros(0, int)
    close = np.abs(found_s - true_s[nearest]) <= TOLERANCE_S if len(found_s) else np.zeros(0, bool)
    hits = len(set(nearest[close]))
    return {"sensitivity": hits / len(true_s), "ppv": hits / max(1, len(found_s))}


def interval_rms_ms(truth: Truth, samples_N: Array, valid_L: NDArray[np.bool_]) -> float:
    clock = np.arange(len(samples_N)) / 4.0
    good = np.repeat(valid_L, 120)
    error = samples_N[good] - truth.intervals_at(clock[good])
    return 1e3 * float(np.sqrt(np.mean(error**2))) if good.any() else float("nan")


def breath_error_per_min(truth: Truth, samples_N: Array, valid_L: NDArray[np.bool_]) -> tuple[float, float]:
    """Median and 95th centile, over valid tokens, of the error of the rate; judged in the token with its neighbours."""
    errors = []
    for token in np.flatnonzero(valid_L):
        first, last = max(0, token - 1) * 120, (token + 2) * 120
        piece = samples_N[first:last] - samples_N[first:last].mean()
        spectrum = np.abs(np.fft.rfft(piece * np.hanning(len(piece)), 8192))
        hz = np.fft.rfftfreq(8192, 0.25)
        band = (hz > 0.08) & (hz < 0.7)
        inside = (truth.clock_s >= first / 4) & (truth.clock_s < min(last, len(samples_N)) / 4)
        errors.append(60 * abs(hz[band][spectrum[band].argmax()] - truth.breath_hz[inside].mean()))
    return (float(np.median(errors)), float(np.percentile(errors, 95))) if errors else (float("nan"),) * 2


def baseline_beats(ecg: Array, rate_hz: float) -> Array:
    import neurokit2 as nk

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clean = nk.ecg_clean(ecg, sampling_rate=int(rate_hz))
        _, found = nk.ecg_peaks(clean, sampling_rate=int(rate_hz))
    return np.asarray(found["ECG_R_Peaks"]) / rate_hz


def plain_intervals(found_s: Array, n: int) -> Array:
    return np.interp(np.arange(n) / 4.0, (found_s[:-1] + found_s[1:]) / 2, np.diff(found_s))


def measured(rate_hz: float, snr_db: float, minutes: float, seed: int) -> dict[str, float]:
    truth = Truth(seed, minutes)
    recording, ecg = recorded(truth, rate_hz, snr_db, seed)
    began = time.process_time()
    night = harmonize(recording)
    spent = time.process_time() - began
    found_s = beats_of_ecg(ecg.astype(np.float32), np.zeros(len(ecg), dtype=bool), rate_hz).times_s
    began = time.process_time()
    theirs_s = baseline_beats(ecg, rate_hz)
    spent_theirs = time.process_time() - began
    ibi_N, ibi_L = night.samples["ibi"].astype(float), night.valid["ibi"]
    median, worst = breath_error_per_min(truth, night.samples["resp"].astype(float), night.valid["resp"])
    theirs = beat_scores(theirs_s, truth)
    everywhere = np.ones(len(ibi_L), dtype=bool)
    ecg_only = harmonize(Recording(recording.signals[:1], recording.duration_s))
    derived, derived_worst = float("nan"), float("nan")
    if "resp" in ecg_only.samples:
        derived, derived_worst = breath_error_per_min(
            truth, ecg_only.samples["resp"].astype(float), ecg_only.valid["resp"]
        )
    return {
        "rate_hz": rate_hz,
        "snr_db": snr_db,
        **beat_scores(found_s, truth),
        "ibi_rms_ms": interval_rms_ms(truth, ibi_N, ibi_L),
        "ibi_valid_share": float(ibi_L.mean()),
        "breath_error_per_min": median,
        "breath_error_95_per_min": worst,
        "resp_valid_share": float(night.valid["resp"].mean()),
        "ecg_breath_error_per_min": derived,
        "ecg_breath_error_95_per_min": derived_worst,
        "ecg_resp_valid_share": float(ecg_only.valid["resp"].mean()) if "resp" in ecg_only.valid else 0.0,
        "baseline_sensitivity": theirs["sensitivity"],
        "baseline_ppv": theirs["ppv"],
        "baseline_ibi_rms_ms": interval_rms_ms(truth, plain_intervals(theirs_s, len(ibi_N)), everywhere),
        "seconds": spent,
        "baseline_seconds": spent_theirs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    rows = [
        measured(rate_hz, snr_db, chosen.minutes, chosen.seed)
        for snr_db in (20, 10, 5)
        for rate_hz in (100.0, 128.0, 256.0, 512.0)
    ]
    print(
        "            beats within 50 ms     IBI on valid tokens   breathing, error/min (95 %, valid)  | neurokit2\n"
        " SNR   Hz       sens.       PPV       RMS ms   valid    sensors            from ECG | sens.  PPV  ms  x"
    )
    for row in rows:
        print(
            f"{row['snr_db']:4.0f} {row['rate_hz']:5.0f} {row['sensitivity']:10.2%} {row['ppv']:10.2%}"
            f" {row['ibi_rms_ms']:12.1f} {row['ibi_valid_share']:7.0%}"
            f" {row['breath_error_per_min']:8.2f} ({row['breath_error_95_per_min']:.2f}, {row['resp_valid_share']:.0%})"
            f" {row['ecg_breath_error_per_min']:6.2f} ({row['ecg_breath_error_95_per_min']:.2f},"
            f" {row['ecg_resp_valid_share']:.0%}) |"
            f" {row['baseline_sensitivity']:6.1%} {row['baseline_ppv']:6.1%} {row['baseline_ibi_rms_ms']:5.0f}"
            f" {row['baseline_ibi_rms_ms'] / row['ibi_rms_ms']:5.1f}"
        )
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
