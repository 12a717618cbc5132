"""What is computed from heart beats, watch readings and EEG, by the same code for real and simulated nights."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, median_filter, percentile_filter, uniform_filter1d
from scipy.signal import welch

RATE_HZ = 4
Floats = NDArray[np.float64]
BANDS_HZ = ((0.5, 2), (2, 4), (4, 8), (8, 12), (12, 16), (16, 30))
BAND_NAMES = ("slow", "delta", "theta", "alpha", "sigma", "beta")


def sound_intervals(times_s: Floats) -> tuple[Floats, Floats]:
    """Ends (K,) and lengths (K,) in s of intervals that look like sinus rhythm: within 20 % of their neighbours."""
    intervals_s = np.diff(times_s)
    usual = median_filter(intervals_s, 9, mode="nearest")
    good = (np.abs(intervals_s - usual) < 0.2 * usual) & (intervals_s > 0.3) & (intervals_s < 2.2)
    return times_s[1:][good], intervals_s[good]


def intervals_on_grid(times_s: Floats, n: int) -> Floats:
    """RR intervals (n,) in s at `RATE_HZ`, from 0 s on."""
    ends_s, intervals_s = sound_intervals(times_s)
    return np.interp(np.arange(n) / RATE_HZ, ends_s, intervals_s)


def _band(values_T: Floats, low_hz: float, high_hz: float) -> Floats:
    spectrum = np.fft.rfft(values_T - values_T.mean())
    hz = np.fft.rfftfreq(len(values_T), 1 / RATE_HZ)
    return np.fft.irfft(np.where((hz >= low_hz) & (hz < high_hz), spectrum, 0), len(values_T))


def _rms(values_T: Floats, seconds: float, step_s: int) -> Floats:
    """Rms in a window of `seconds` about the middle of each step, one value a step."""
    smooth = uniform_filter1d(values_T**2, int(seconds * RATE_HZ), mode="nearest")
    return np.sqrt(np.maximum(smooth[step_s * RATE_HZ // 2 :: step_s * RATE_HZ], 1e-12))


def variability(times_s: Floats, n_steps: int, step_s: int, window_s: float = 300.0) -> dict[str, Floats]:
    """Heart rate and its variability around each step (n_steps,): rate in bpm against the night's median, and natural
    logarithms of RMSSD, SDNN, and the amplitudes at 0.04-0.15 Hz (LF) and 0.15-0.4 Hz (HF), in ms."""
    rr_T = intervals_on_grid(times_s, n_steps * step_s * RATE_HZ)
    ends_s, intervals_s = sound_intervals(times_s)
    steps = np.diff(intervals_s, prepend=intervals_s[0])
    step_T = np.interp(np.arange(len(rr_T)) / RATE_HZ, ends_s, steps**2)
    rmssd = np.sqrt(uniform_filter1d(step_T, int(window_s * RATE_HZ), mode="nearest"))
    rate = 60 / uniform_filter1d(rr_T, step_s * RATE_HZ, mode="nearest")[step_s * RATE_HZ // 2 :: step_s * RATE_HZ]
    slow = rr_T - uniform_filter1d(rr_T, int(window_s * RATE_HZ), mode="nearest")
    return {
        "rate": rate - np.median(rate),
        "log RMSSD": np.log(1e3 * rmssd[step_s * RATE_HZ // 2 :: step_s * RATE_HZ] + 1),
        "log SDNN": np.log(1e3 * _rms(slow, window_s, step_s) + 1),
        "log LF": np.log(1e3 * _rms(_band(rr_T, 0.04, 0.15), window_s, step_s) + 1),
        "log HF": np.log(1e3 * _rms(_band(rr_T, 0.15, 0.4), window_s, step_s) + 1),
    }


def apnea_features(times_s: Floats, n_minutes: int) -> dict[str, Floats]:
    """Each (n_minutes,): cyclic variation (0.012-0.05 Hz) in size, share, regularity and shape; RMSSD, HF, level."""
    rr_T = np.log(intervals_on_grid(times_s, n_minutes * 60 * RATE_HZ))
    cyclic_T, lf_T, hf_T = _band(rr_T, 0.012, 0.05), _band(rr_T, 0.05, 0.15), _band(rr_T, 0.15, 0.4)
    wide_T = _band(rr_T, 0.003, 0.4)
    found: dict[str, Floats] = {}
    for minutes in (1, 3, 7):
        size = {name: np.log(_rms(x, 60 * minutes, 60)) for name, x in (("c", cyclic_T), ("l", lf_T), ("h", hf_T))}
        total = np.log(_rms(wide_T, 60 * minutes, 60))
        found |= {
            f"cyclic {minutes}": size["c"],
            f"cyclic share {minutes}": size["c"] - total,
            f"LF share {minutes}": size["l"] - total,
            f"HF share {minutes}": size["h"] - total,
            f"cyclic to LF {minutes}": size["c"] - size["l"],
        }
    for minutes in (3, 5):
        found |= {f"{name} {minutes}": x for name, x in _rhythm(_band(rr_T, 0.008, 0.1), n_minutes, minutes).items()}
    level = uniform_filter1d(rr_T, 180 * RATE_HZ, mode="nearest")[30 * RATE_HZ :: 60 * RATE_HZ]
    cubed = uniform_filter1d(cyclic_T**3, 300 * RATE_HZ, mode="nearest")[30 * RATE_HZ :: 60 * RATE_HZ]
    found["level"] = level - np.median(level)
    found["skewness"] = cubed / _rms(cyclic_T, 300, 60) ** 3
    for name in ("cyclic 3", "cyclic share 3", "HF share 3"):
        found[f"{name} against the night"] = found[name] - np.median(found[name])
    return found


def _rhythm(values_T: Floats, n_minutes: int, minutes: int) -> dict[str, Floats]:
    """How regular a swing of 20-80 s is in a window: its highest autocorrelation, the lag in s, and the share of the
    strongest line of its spectrum with its neighbours."""
    width = minutes * 60 * RATE_HZ
    padded = np.pad(values_T, width // 2, mode="reflect")
    starts = np.arange(n_minutes) * 60 * RATE_HZ + 30 * RATE_HZ
    windows = np.stack([padded[start : start + width] for start in starts]) * np.hanning(width)
    power = np.abs(np.fft.rfft(windows, 2 * width, axis=1)) ** 2
    correlation = np.fft.irfft(power, axis=1)
    correlation /= correlation[:, :1] * (np.correlate(np.hanning(width), np.hanning(width), "full")[width - 1] / width)
    lags = slice(20 * RATE_HZ, 80 * RATE_HZ)
    lines = power[:, : 2 * width // (10 * RATE_HZ)]
    strongest = lines.argmax(axis=1)
    near = np.stack(
        [lines[np.arange(n_minutes), np.clip(strongest + k, 0, lines.shape[1] - 1)] for k in (-2, -1, 0, 1, 2)]
    )
    return {
        "regularity": correlation[:, lags].max(axis=1),
        "lag": 20.0 + correlation[:, lags].argmax(axis=1) / RATE_HZ,
        "line": near.sum(axis=0) / lines.sum(axis=1),
    }


def watch_features(times_s: Floats, rate_bpm: Floats, n_epochs: int) -> dict[str, Floats]:
    """Each (n_epochs,): level, spread and surges of the shown rate over 1 to 20 minutes, against the night's own."""
    at_s = np.arange(n_epochs * 30) + 0.0
    rate_T = np.interp(at_s, times_s, rate_bpm)
    low, middle, high = np.percentile(rate_T, [10, 50, 90])
    own_T = (rate_T - middle) / max(high - low, 4.0)
    found: dict[str, Floats] = {"hours": at_s[15::30] / 3600}
    smooth = {s: gaussian_filter1d(own_T, s, mode="nearest") for s in (20, 60, 180, 600, 1800)}
    for seconds, smoothed_T in smooth.items():
        found[f"level {seconds}"] = smoothed_T[15::30]
    found["rise 60"], found["rise 180"] = (smooth[60] - smooth[600])[15::30], (smooth[180] - smooth[1800])[15::30]
    for seconds in (60, 150, 300, 600, 1200):
        mean_T = uniform_filter1d(rate_T, seconds, mode="nearest")
        spread = np.sqrt(np.maximum(uniform_filter1d(rate_T**2, seconds, mode="nearest") - mean_T**2, 0.01))
        log_spread = np.log(spread[15::30])
        found[f"spread {seconds}"] = log_spread
        found[f"spread {seconds} against the night"] = log_spread - np.median(log_spread)
    base_T = percentile_filter(rate_T[::5], 20, 61, mode="nearest").repeat(5)[: len(rate_T)]
    found["over base"] = (uniform_filter1d(rate_T, 60, mode="nearest") - base_T)[15::30]
    found["surge 120"] = (maximum_filter1d(rate_T, 121, mode="nearest") - base_T)[15::30]
    found["surge 600"] = (maximum_filter1d(rate_T, 601, mode="nearest") - base_T)[15::30]
    return found


def band_powers(eeg_LS: Floats, rate_hz: float) -> dict[str, Floats]:
    """Natural logarithm of each band's share of the power at 0.5-30 Hz, and of that power against its median, (L,)."""
    hz, power_LF = welch(eeg_LS, rate_hz, nperseg=int(4 * rate_hz), axis=1)
    sums = np.stack([power_LF[:, (hz >= low) & (hz < high)].sum(axis=1) for low, high in BANDS_HZ], axis=1) + 1e-9
    total = np.log(sums.sum(axis=1))
    shares = {name: np.log(sums[:, i]) - total for i, name in enumerate(BAND_NAMES)}
    return shares | {"total": total - np.median(total)}


def staging_features(eeg_LS: Floats, rate_hz: float) -> dict[str, Floats]:
    """Band powers of a whole night, against its own median and spread, alone and smoothed over 2.5 and 7.5 min."""
    found: dict[str, Floats] = {}
    for name, values_L in band_powers(eeg_LS, rate_hz).items():
        low, middle, high = np.percentile(values_L, [10, 50, 90])
        own_L = (values_L - middle) / max(high - low, 0.1)
        found |= {name: values_L, f"{name} own": own_L}
        found |= {f"{name} own {n}": uniform_filter1d(own_L, n, mode="nearest") for n in (5, 15)}
    return found
