"""From bodies to channels: what the amplifiers and transducers of a site make of a night."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

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
    if channel.source == "spo2":
        shown_S = np.round(body.spo2_G[::GRID_HZ] / site.spo2_step) * site.spo2_step
        samples_N = np.repeat(shown_S.astype(np.float32), int(channel.rate_hz))
    elif channel.source == "pulse":
        samples_N = np.repeat(pulse_rate(body.heart, body.duration_s), int(channel.rate_hz))
    elif channel.source in ("ppg", "wrist"):
        samples_N = _wearable(rng, channel, body, n)
    elif channel.source in ("flow", "thorax", "abdomen"):
        samples_N = _mechanical(rng, channel, site, body, n)
    else:
        samples_N = _electrical(rng, channel, site, body, n)
    low, high = channel.range
    return np.clip(samples_N, low, high, out=samples_N)


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
    wave_S = {
        "flow": body.breathing.flow_S,
        "thorax": body.breathing.thorax_S,
        "abdomen": body.breathing.abdomen_S,
    }[channel.source]
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
        plus, _, minus = channel.source.partition("-")
        touched_S = body.scalp.between(plus, minus) if minus else body.scalp.potential(plus).copy()
        noise_uv, hum_gain = 0.0, 1.0  # electrodes bring their own noise
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
