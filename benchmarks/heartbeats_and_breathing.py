"""Heart beats, intervals and breathing against a truth that is known, in noise.

    python benchmarks/heartbeats_and_breathing.py [--seeds 5] [--minutes 15] [--snr 20 10 5] [--json FILE]

An ECG is drawn wave by wave (McSharry et al., IEEE TBME 50 (2003)) around beats that breathe and wander, 1 % of
them premature and wide with a pause behind; a pulse wave follows 0.28 s behind with its diastolic wave, half as high
after a premature beat. Breathing, whose rate wanders and changes from breath to breath and whose depth varies with a
sigh now and then, moves the belt, the cannula and the height of the R peaks and pulses. White and 1/f noise are added
at a signal-to-noise ratio of 20, 10 and 5 dB (power of the clean signal over that of the noise, at the rate recorded),
and to all sensors 12 bursts an hour of motion, three to ten times as large as the signal for 2 to 8 s. The recording
goes through `harmonize`, once with all sensors and once with the ECG or the pulse wave alone. Beats are judged within
50 ms, outside the bursts and, apart, inside them.

The baseline, in the same run, is neurokit2 on the same samples: its default chain (ecg_clean and ecg_peaks; ppg_clean
and ppg_findpeaks) for beats, and its correction of artefacts (signal_fixpeaks, method "Kubios": Lipponen & Tarvainen,
J Med Eng Technol 43 (2019)) before intervals, which it gives for all tokens. Each row is the median over the seeds, the
worst one in brackets.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sleep2vec.harmonization.heartbeats import beats_of_ecg, beats_of_ppg
from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.vocabulary.recording import Recording, Signal

TOLERANCE_S = 0.05
ECTOPIC_SHARE = 0.01
BURSTS_PER_HOUR = 12
# Wave of the ECG -> (height mV, delay s, width s).
NORMAL = ((0.12, -0.18, 0.025), (-0.12, -0.03, 0.009), (1.0, 0.0, 0.011), (-0.2, 0.03, 0.01), (0.3, 0.28, 0.045))
ECTOPIC = ((0.9, 0.0, 0.035), (-0.45, 0.09, 0.04), (-0.25, 0.32, 0.06))
# Waves of a pulse -> (height, delay s, width s); its delay is what parts it from the R peak.
PULSE_DELAY_S = 0.28
PULSE = ((1.0, PULSE_DELAY_S, 0.09), (0.35, 0.55, 0.09))
ROWS = (("ecg", (64.0, 100.0, 128.0, 256.0, 512.0)), ("ppg", (32.0, 64.0, 100.0, 256.0)))
Array = NDArray[np.float64]


class Truth:
    """Beats, breaths and when somebody moved, of `minutes` of sleep."""

    def __init__(self, seed: int, minutes: float) -> None:
        rng = np.random.default_rng(seed)
        self.seconds = 60 * minutes
        clock_s = np.arange(0, self.seconds, 0.05)
        walk = np.cumsum(rng.normal(0, 0.0006, len(clock_s)))
        self.clock_s = clock_s
        self.breath_hz, self.depth = self._breaths(
            np.random.default_rng((seed, 1)), np.clip(0.25 + walk - walk.mean(), 0.15, 0.4)
        )
        self.phase = np.cumsum(self.breath_hz) * 0.05
        self.beats_s, self.is_ectopic = self._beats(rng)
        n_bursts = round(BURSTS_PER_HOUR * minutes / 60)
        starts = np.sort(rng.uniform(10, self.seconds - 20, n_bursts))
        self.bursts_s = [(start, start + rng.uniform(2, 8), rng.uniform(3, 10)) for start in starts]

    def _breaths(self, rng: np.random.Generator, usual_hz: Array) -> tuple[Array, Array]:
        """Rate (4 % from breath to breath) and depth (25 %, and a sigh twice as deep after 2 % of breaths)."""
        breath = np.floor(np.cumsum(usual_hz) * 0.05).astype(int)
        n = breath[-1] + 1
        depths = np.exp(rng.normal(0, 0.25, n)) * np.where(rng.random(n) < 0.02, 2.0, 1.0)
        return usual_hz * (1 + 0.04 * rng.normal(size=n))[breath], depths[breath]

    def breath_at(self, times_s: Array) -> Array:
        """The breathing wave: a sine with a second harmonic (in is faster than out), as deep as the breath."""
        phase = 2 * np.pi * np.interp(times_s, self.clock_s, self.phase)
        return np.interp(times_s, self.clock_s, self.depth) * (np.sin(phase) + 0.2 * np.sin(2 * phase))

    def _beats(self, rng: np.random.Generator) -> tuple[Array, NDArray[np.bool_]]:
        times, ectopic, now = [], [], 1.0
        while now < self.seconds - 1:
            times.append(now)
            usual = (
                0.9
                + 0.05 * float(self.breath_at(np.array(now)))
                + 0.04 * np.sin(2 * np.pi * 0.1 * now)
                + rng.normal(0, 0.01)
            )
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
    heights = 1 + 0.12 * truth.breath_at(truth.beats_s)
    half = int(0.6 * rate_hz)
    for beat, ectopic, scale in zip(truth.beats_s, truth.is_ectopic, heights, strict=True):
        first = max(0, int(beat * rate_hz) - half)
        clock = np.arange(first, min(len(ecg), first + 2 * half)) / rate_hz
        for height, delay, width in ECTOPIC if ectopic else NORMAL:
            ecg[first : first + len(clock)] += scale * height * np.exp(-0.5 * ((clock - beat - delay) / width) ** 2)
    return ecg


def drawn_ppg(truth: Truth, rate_hz: float) -> Array:
    pulse = np.zeros(int(truth.seconds * rate_hz))
    heights = (1 + 0.12 * truth.breath_at(truth.beats_s)) * np.where(truth.is_ectopic, 0.5, 1.0)
    for beat, scale in zip(truth.beats_s, heights, strict=True):
        first = int(beat * rate_hz)
        clock = np.arange(first, min(len(pulse), first + int(1.3 * rate_hz))) / rate_hz
        for height, delay, width in PULSE:
            pulse[first : first + len(clock)] += scale * height * np.exp(-0.5 * ((clock - beat - delay) / width) ** 2)
    return pulse


def noise(rng: np.random.Generator, clean: Array, rate_hz: float, snr_db: float, truth: Truth) -> Array:
    """White and 1/f noise, half of the power each, at `snr_db`, and the bursts."""
    spectrum = np.fft.rfft(rng.normal(size=len(clean)))
    hz = np.fft.rfftfreq(len(clean), 1 / rate_hz)
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(hz, 0.5)), len(clean))
    mixed = rng.normal(size=len(clean)) + pink / pink.std()
    return mixed * clean.std() / mixed.std() * 10 ** (-snr_db / 20) + bursts(rng, clean, rate_hz, truth)


def bursts(rng: np.random.Generator, clean: Array, rate_hz: float, truth: Truth) -> Array:
    added = np.zeros(len(clean))
    for start, end, size in truth.bursts_s:
        first, last = int(start * rate_hz), int(end * rate_hz)
        walk = np.cumsum(rng.normal(size=last - first))
        walk -= np.linspace(walk[0], walk[-1], len(walk))
        shape = np.hanning(len(walk)) * (walk / (walk.std() or 1) + rng.normal(size=len(walk)) / 2)
        added[first:last] += size * clean.std() * shape
    return added


def breathing_of(truth: Truth, rate_hz: float, rng: np.random.Generator, snr_db: float) -> Array:
    wave = truth.breath_at(np.arange(int(truth.seconds * rate_hz)) / rate_hz)
    return wave + rng.normal(0, wave.std() * 10 ** (-snr_db / 20), len(wave)) + bursts(rng, wave, rate_hz, truth)


def recorded(truth: Truth, rate_hz: float, snr_db: float, seed: int, source: str = "ecg") -> tuple[Recording, Array]:
    rng = np.random.default_rng(seed)
    clean = drawn_ecg(truth, rate_hz) if source == "ecg" else drawn_ppg(truth, rate_hz)
    heart = clean + noise(rng, clean, rate_hz, snr_db, truth)
    label, unit = ("ECG", "mV") if source == "ecg" else ("Pleth", "")
    signals = (
        Signal.from_array(label, heart, rate_hz, unit, (-50, 50)),
        Signal.from_array("Abdomen", breathing_of(truth, 16, rng, snr_db), 16.0, "", (-50, 50)),
        Signal.from_array("Nasal Pressure", breathing_of(truth, 16, rng, snr_db), 16.0, "", (-50, 50)),
    )
    return Recording(signals, truth.seconds), heart


def beat_scores(found_s: Array, truth: Truth, inside_bursts: bool = False) -> dict[str, float]:
    """Sensitivity and positive predictive value outside (or inside) the bursts, one found beat for one true beat."""
    true_s = truth.beats_s[truth.in_burst(truth.beats_s) == inside_bursts]
    found_s = found_s[truth.in_burst(found_s) == inside_bursts]
    if len(true_s) == 0 or len(found_s) == 0:
        return {"sensitivity": float("nan") if len(true_s) == 0 else 0.0, "ppv": float("nan")}
    nearest = np.abs(found_s[:, None] - true_s[None, :]).argmin(axis=1)
    hits = len(set(nearest[np.abs(found_s - true_s[nearest]) <= TOLERANCE_S]))
    return {"sensitivity": hits / len(true_s), "ppv": hits / len(found_s)}


def interval_rms_ms(truth: Truth, samples_N: Array, valid_L: NDArray[np.bool_], delay_s: float = 0.0) -> float:
    clock = np.arange(len(samples_N)) / 4.0 - delay_s
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


def baseline(heart: Array, rate_hz: float, source: str) -> tuple[Array, Array]:
    """neurokit2's beats, and those after its correction of artefacts, s."""
    import neurokit2 as nk

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if source == "ecg":
            _, found = nk.ecg_peaks(nk.ecg_clean(heart, sampling_rate=int(rate_hz)), sampling_rate=int(rate_hz))
            peaks = found["ECG_R_Peaks"]
        else:
            found = nk.ppg_findpeaks(nk.ppg_clean(heart, sampling_rate=int(rate_hz)), sampling_rate=int(rate_hz))
            peaks = found["PPG_Peaks"]
        _, corrected = nk.signal_fixpeaks(peaks, sampling_rate=int(rate_hz), iterative=True, method="Kubios")
    return np.asarray(peaks) / rate_hz, np.unique(np.asarray(corrected, dtype=float)) / rate_hz


def plain_intervals(found_s: Array, n: int) -> Array:
    return np.interp(np.arange(n) / 4.0, (found_s[:-1] + found_s[1:]) / 2, np.diff(found_s))


def measured(source: str, rate_hz: float, snr_db: float, minutes: float, seed: int) -> dict[str, float]:
    truth = Truth(seed, minutes)
    delay_s = 0.0 if source == "ecg" else PULSE_DELAY_S
    recording, heart = recorded(truth, rate_hz, snr_db, seed, source)
    find = beats_of_ecg if source == "ecg" else beats_of_ppg
    began = time.process_time()
    found_s = find(heart.astype(np.float32), np.zeros(len(heart), dtype=bool), rate_hz).times_s - delay_s
    spent = time.process_time() - began
    began = time.process_time()
    theirs_s, corrected_s = baseline(heart, rate_hz, source)
    spent_theirs = time.process_time() - began
    inside = beat_scores(found_s, truth, inside_bursts=True)
    theirs = beat_scores(theirs_s - delay_s, truth)
    night = harmonize(recording)
    alone = harmonize(Recording(recording.signals[:1], recording.duration_s))
    n_tokens = int(truth.seconds // 30)
    nothing = np.zeros(n_tokens, dtype=bool)
    ibi_N = night.samples.get("ibi", np.zeros(120 * n_tokens)).astype(float)
    ibi_L = night.valid.get("ibi", nothing)
    row = {
        **beat_scores(found_s, truth),
        "sensitivity_in_bursts": inside["sensitivity"],
        "ppv_in_bursts": inside["ppv"],
        "ibi_rms_ms": interval_rms_ms(truth, ibi_N, ibi_L, delay_s),
        "ibi_valid_share": float(ibi_L.mean()),
        "baseline_sensitivity": theirs["sensitivity"],
        "baseline_ppv": theirs["ppv"],
        "baseline_ibi_rms_ms": interval_rms_ms(truth, plain_intervals(corrected_s, len(ibi_N)), ~nothing, delay_s),
        "baseline_ibi_same_tokens_rms_ms": interval_rms_ms(
            truth, plain_intervals(corrected_s, len(ibi_N)), ibi_L, delay_s
        ),
        "seconds": spent,
        "baseline_seconds": spent_theirs,
    }
    for name, made in (("", night), ("derived_", alone)):
        resp_L = made.valid.get("resp", nothing)
        resp_N = made.samples.get("resp", np.zeros(120 * n_tokens)).astype(float)
        median, high = breath_error_per_min(truth, resp_N, resp_L)
        row |= {
            f"{name}breath_error_per_min": median,
            f"{name}breath_error_95_per_min": high,
            f"{name}resp_valid_share": float(resp_L.mean()),
        }
    return row


# What is worse when it is smaller.
_SHARES = ("sensitivity", "ppv", "share")


def over_seeds(rows: list[dict[str, float]]) -> dict[str, float]:
    """Median and worst of each number."""
    summary = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        if np.isnan(values).all():
            summary[name] = summary[f"worst_{name}"] = float("nan")
            continue
        worst = np.nanmin if any(share in name for share in _SHARES) else np.nanmax
        summary[name], summary[f"worst_{name}"] = float(np.nanmedian(values)), float(worst(values))
    return summary


def line_of(row: dict[str, float]) -> str:
    def both(name: str, form: str) -> str:
        return f"{row[name]:{form}} ({row['worst_' + name]:{form}})"

    return (
        f"{row['snr_db']:4.0f} {row['source']:>4} {row['rate_hz']:4.0f} | {both('sensitivity', '.2%')}"
        f" {both('ppv', '.2%')} | {row['sensitivity_in_bursts']:.0%} {row['ppv_in_bursts']:.0%} |"
        f" {both('ibi_rms_ms', '.1f')} {both('ibi_valid_share', '.0%')} |"
        f" {row['breath_error_per_min']:.2f} {both('breath_error_95_per_min', '.2f')}"
        f" {both('resp_valid_share', '.0%')} | {row['derived_breath_error_per_min']:.2f}"
        f" {both('derived_breath_error_95_per_min', '.2f')} {both('derived_resp_valid_share', '.0%')} |"
        f" {both('baseline_sensitivity', '.1%')} {both('baseline_ppv', '.1%')} {both('baseline_ibi_rms_ms', '.0f')}"
        f" {row['baseline_ibi_same_tokens_rms_ms']:.0f} {row['baseline_ibi_rms_ms'] / row['ibi_rms_ms']:.1f}x"
        f" {row['baseline_seconds'] / row['seconds']:.0f}x"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("--snr", type=float, nargs="+", default=[20, 10, 5])
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    print(
        "median over seeds (worst); breathing: error/min median, 95 % (worst), valid tokens; neurokit2: sens., PPV, IBI"
        " RMS with Kubios' correction, on the tokens that we call valid, ratio of RMS, ratio of time\n"
        " SNR  from   Hz | sens. PPV | in bursts | IBI RMS ms, valid | breathing by sensors | by the heart | neurokit2"
    )
    rows = []
    for snr_db in chosen.snr:
        for source, rates in ROWS:
            for rate_hz in rates:
                seeds = range(chosen.seed, chosen.seed + chosen.seeds)
                runs = [measured(source, rate_hz, snr_db, chosen.minutes, seed) for seed in seeds]
                rows.append({"source": source, "rate_hz": rate_hz, "snr_db": snr_db, **over_seeds(runs)})
                print(line_of(rows[-1]), flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
