"""From bodies to channels: what the amplifiers and transducers of a site make of a night."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from sleep2vec.simulation.accessories import ACCESSORIES
from sleep2vec.simulation.brain import RATE_HZ
from sleep2vec.simulation.breathing import RATE_HZ as BREATH_RATE_HZ
from sleep2vec.simulation.breathing import Breathing
from sleep2vec.simulation.electrodes import Scalp
from sleep2vec.simulation.heart import Heart, pulse_rate
from sleep2vec.simulation.noise import GRID_HZ, Array, Rng, resample
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.pulse_wave import RATE_HZ as PULSE_RATE_HZ
from sleep2vec.simulation.pulse_wave import draw_pulse_wave
from sleep2vec.simulation.sites import Channel, Site
from sleep2vec.simulation.wrist import RATE_HZ as WRIST_RATE_HZ
from sleep2vec.simulation.wrist import shake

# One unit of the body's signal in the unit of the channel.
_PER_MICROVOLT = {"uV": 1.0, "mV": 1e-3, "V": 1e-6}
# Single electrodes on the chin and the chest: share of the signal between two of them, and uV of ECG a mV for a chin.
_CHIN_PADS = {"chin1": (0.5, 6.0), "chin2": (-0.5, 2.0), "chin3": (-0.3, 4.0)}
_ECG_PADS = {"ecg1": 0.5, "ecg2": -0.5, "ecg3": -0.35}


@dataclass(frozen=True)
class Body:
    """Everything that a sensor may touch: the organs of one person during one night, on a clock of 30 s epochs."""

    person: Person
    scalp: Scalp
    chin_uv_S: Array
    ecg_mv_S: Array
    heart: Heart
    breathing: Breathing
    spo2_G: NDArray[np.float64]
    mixture_G5: NDArray[np.float64]
    arousal_G: NDArray[np.float64]
    movement_G: NDArray[np.float64]

    @property
    def duration_s(self) -> int:
        return len(self.spo2_G) // GRID_HZ


def record_channel(rng: Rng, channel: Channel, site: Site, body: Body) -> Array:
    """One channel (duration * rate,) float32 in its unit, within the converter's range."""
    n = round(body.duration_s * channel.rate_hz)
    ppm = site.clock_ppm.get(channel.box, 0.0)
    if channel.source == "spo2":
        samples_N = _held(_shown_saturation(body.spo2_G, site), 1.0, channel.rate_hz, n, ppm)
    elif channel.source == "pulse":
        samples_N = _held(pulse_rate(body.heart, body.duration_s), 1.0, channel.rate_hz, n, ppm)
    elif channel.source in ("ppg", "wrist"):
        samples_N = _drifting(_wearable(rng, channel, body, n), ppm)
    elif channel.source in ("flow", "thermistor", "thorax", "abdomen", "sum"):
        samples_N = _drifting(_mechanical(rng, channel, site, body, n), ppm)
    elif channel.source in ACCESSORIES:
        samples_N = _accessory(rng, channel, site, body, n, ppm)
    else:
        samples_N = _drifting(_electrical(rng, channel, site, body, n), ppm)
    low, high = channel.range
    return np.clip(samples_N, low, high, out=samples_N)


def _shown_saturation(spo2_G: NDArray[np.float64], site: Site) -> Array:
    """What the oximeter shows each second, (duration,): a running mean of what was, late, in steps."""
    reach, late = round(site.spo2_averaging_s * GRID_HZ), round(site.spo2_delay_s * GRID_HZ)
    if reach > 1:
        summed = np.cumsum(np.concatenate([np.full(reach, spo2_G[0]), spo2_G]))
        spo2_G = (summed[reach:] - summed[:-reach]) / reach
    if late:
        spo2_G = np.concatenate([np.full(late, spo2_G[0]), spo2_G[:-late]])
    return (np.round(spo2_G[::GRID_HZ] / site.spo2_step) * site.spo2_step).astype(np.float32)


def _held(values_T: Array, from_hz: float, rate_hz: float, n: int, ppm: float) -> Array:
    """Numbers of a display, sampled again by holding the last; the display's clock is `ppm` fast."""
    seconds_N = np.arange(n) / rate_hz / (1 + ppm * 1e-6)
    return values_T[np.minimum((seconds_N * from_hz).astype(np.int64), len(values_T) - 1)]


def _drifting(samples_N: Array, ppm: float) -> Array:
    """A wave as a box whose clock is `ppm` fast takes it: its k-th sample comes k / (1 + ppm / 1e6) periods in."""
    if not ppm:
        return samples_N
    places_N = np.arange(len(samples_N)) / (1 + ppm * 1e-6)
    return np.interp(places_N, np.arange(len(samples_N)), samples_N).astype(np.float32)


def _accessory(rng: Rng, channel: Channel, site: Site, body: Body, n: int, ppm: float) -> Array:
    accessory = ACCESSORIES[channel.source]
    wave_T, from_hz = accessory.draw(rng, body)
    if accessory.measures == "microvolts":
        wave_T = wave_T * np.float32(_PER_MICROVOLT.get(channel.unit, channel.reach / 120))
    elif accessory.measures == "nothing known":
        wave_T = wave_T * np.float32(channel.reach / 6 * np.exp(site.gain_error * rng.standard_normal()))
    if accessory.is_stepwise:
        return _held(wave_T, from_hz, channel.rate_hz, n, ppm)
    return _drifting(resample(wave_T, from_hz, channel.rate_hz, n), ppm)


def _wearable(rng: Rng, channel: Channel, body: Body, n: int) -> Array:
    """A pulse wave, whose gain says nothing, or the acceleration of a wrist in g."""
    if channel.source == "wrist":
        moved_S = shake(rng, body.person, body.mixture_G5, body.breathing, body.movement_G)
        return resample(moved_S, WRIST_RATE_HZ, channel.rate_hz, n)
    pulse_S = draw_pulse_wave(rng, body.person, body.heart, body.breathing, body.arousal_G, body.movement_G)
    pulse_S *= np.float32(channel.reach / 6)
    return resample(_amplify(pulse_S, PULSE_RATE_HZ, channel.band_hz), PULSE_RATE_HZ, channel.rate_hz, n)


def _mechanical(rng: Rng, channel: Channel, site: Site, body: Body, n: int) -> Array:
    """Airflow or a belt: its gain says nothing, only a sixth of the range is a usual breath."""
    breathing = body.breathing
    match channel.source:
        case "flow":
            wave_S = breathing.flow_S
        case "thermistor":
            # It feels warmth, which saturates where the pressure of a cannula still grows.
            wave_S = np.sign(breathing.flow_S) * np.sqrt(np.abs(breathing.flow_S))
        case "sum":
            wave_S = breathing.thorax_S + breathing.abdomen_S
        case _:
            wave_S = breathing.thorax_S if channel.source == "thorax" else breathing.abdomen_S
    if channel.source == "flow" and site.flow_delay_s:
        wave_S = np.roll(wave_S, round(site.flow_delay_s * BREATH_RATE_HZ))
    gain = channel.reach / 6 * np.exp(site.loose_gain * 0.6 * rng.standard_normal())
    noisy_S = gain * (wave_S + 0.02 * rng.standard_normal(len(wave_S), dtype=np.float32))
    filtered_S = _amplify(noisy_S.astype(np.float32), BREATH_RATE_HZ, channel.band_hz)
    return resample(filtered_S, BREATH_RATE_HZ, channel.rate_hz, n)


def _electrical(rng: Rng, channel: Channel, site: Site, body: Body, n: int) -> Array:
    if channel.source == "ecg":
        # Its waves are smooth enough for 128 Hz (their spectrum has fallen to 0.3 % at 64 Hz) and keep their places.
        touched_S, noise_uv, hum_gain = 1e3 * body.ecg_mv_S, 8.0, 4.0
    elif channel.source == "chin":
        touched_S, noise_uv, hum_gain = body.chin_uv_S + np.float32(4.0) * body.ecg_mv_S, 0.8, 0.4
    else:
        plus, *minus = channel.electrodes
        touched_S = _potential(body, plus) - _potential(body, minus[0]) if minus else _potential(body, plus).copy()
        pads = [name for name in channel.electrodes if name in _CHIN_PADS or name in _ECG_PADS]
        noise_uv, hum_gain = 0.8 * len(pads), 1.0  # electrodes of the head bring their own noise
    if noise_uv:
        noise_S = rng.standard_normal(len(touched_S), dtype=np.float32)
        noise_S *= np.float32(noise_uv * site.noise_gain)
        touched_S += noise_S
    # One second of hum for all: both rates are whole numbers. Its size differs by channel.
    second = np.sin(2 * np.pi * (site.mains_hz * np.arange(RATE_HZ) / RATE_HZ + rng.random()))
    hum_uv = hum_gain * site.mains_uv * np.exp(0.7 * rng.standard_normal())
    touched_S.reshape(-1, RATE_HZ)[:] += (hum_uv * second).astype(np.float32)
    samples_N = resample(_amplify(touched_S, RATE_HZ, channel.band_hz), RATE_HZ, channel.rate_hz, n)
    samples_N *= np.float32(_PER_MICROVOLT[channel.unit] * np.exp(site.gain_error * rng.standard_normal()))
    return samples_N


def _potential(body: Body, place: str) -> Array:
    """What an electrode there feels, (S,) in uV, against an ideal reference."""
    if place in _CHIN_PADS:
        share, ecg_uv_per_mv = _CHIN_PADS[place]
        return np.float32(share) * body.chin_uv_S + np.float32(ecg_uv_per_mv) * body.ecg_mv_S
    if place in _ECG_PADS:
        return np.float32(1e3 * _ECG_PADS[place]) * body.ecg_mv_S
    return body.scalp.potential(place)


def _amplify(samples_N: Array, rate_hz: float, band_hz: tuple[float | None, float | None]) -> Array:
    """First-order high pass and second-order low pass, causal like an amplifier's; (N,) float32."""
    low, high = band_hz
    sections = []
    if low is not None:
        sections.append(butter(1, low, "highpass", fs=rate_hz, output="sos"))
    if high is not None and high < 0.45 * rate_hz:
        sections.append(butter(2, high, "lowpass", fs=rate_hz, output="sos"))
    if not sections:
        return samples_N
    filtered_N: Array = sosfilt(np.concatenate(sections).astype(np.float32), samples_N)
    return filtered_N
