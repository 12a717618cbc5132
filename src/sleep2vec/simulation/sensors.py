"""From bodies to channels: what the amplifiers and transducers of a site make of a night."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from sleep2vec.simulation.brain import RATE_HZ
from sleep2vec.simulation.breathing import RATE_HZ as BREATH_RATE_HZ
from sleep2vec.simulation.breathing import Breathing
from sleep2vec.simulation.electrodes import Scalp
from sleep2vec.simulation.heart import Heart, draw_ecg, pulse_rate
from sleep2vec.simulation.noise import GRID_HZ, Array, Rng, resample
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.sites import Channel, Site

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
    elif channel.source in ("flow", "thorax", "abdomen"):
        samples_N = _mechanical(rng, channel, site, body, n)
    else:
        samples_N = _electrical(rng, channel, site, body, n)
    low, high = channel.range
    return np.clip(samples_N, low, high)


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
    per_microvolt = _PER_MICROVOLT[channel.unit]
    gain = per_microvolt * np.exp(site.gain_error * rng.standard_normal())
    if channel.source == "ecg":
        # Drawn at the channel's own rate: the R peak is sharper than 128 Hz can hold.
        own_rate = channel.rate_hz != RATE_HZ
        clean = draw_ecg(body.person, body.heart, body.breathing, channel.rate_hz, n) if own_rate else body.ecg_mv_S
        rate_hz, noise_uv, hum_gain = channel.rate_hz, 8.0 * site.noise_gain, 4.0
        touched = 1e3 * clean
    elif channel.source == "chin":
        touched, rate_hz, noise_uv, hum_gain = body.chin_uv_S + 4.0 * body.ecg_mv_S, RATE_HZ, 0.8, 0.4
    else:
        plus, _, minus = channel.source.partition("-")
        touched = body.scalp.between(plus, minus) if minus else body.scalp.potential(plus)
        rate_hz, noise_uv, hum_gain = RATE_HZ, 1.2 * site.noise_gain, 1.0
    touched = touched + np.float32(noise_uv) * rng.standard_normal(len(touched), dtype=np.float32)
    touched += _hum(rng, len(touched), rate_hz, site.mains_hz, hum_gain * site.mains_uv)
    return resample(np.float32(gain) * _amplify(touched, rate_hz, channel.band_hz), rate_hz, channel.rate_hz, n)


def _hum(rng: Rng, n: int, rate_hz: float, mains_hz: float, size_uv: float) -> Array:
    """Mains hum (n,): one second repeated, since both rates are whole numbers; its size differs by electrode."""
    second = np.sin(2 * np.pi * (mains_hz * np.arange(int(rate_hz)) / rate_hz + rng.random()))
    size = size_uv * np.exp(0.7 * rng.standard_normal())
    return np.tile((size * second).astype(np.float32), n // int(rate_hz) + 1)[:n]


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
    return sosfilt(np.concatenate(sections), samples_N).astype(np.float32)
