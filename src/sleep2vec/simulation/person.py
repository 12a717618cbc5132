"""The person: what stays the same all night and differs between people.

The spreads are wide on purpose. What a stage changes within a person (heart rate, band power, muscle tone) is
smaller than what people differ in, so that a stage can only be read by comparing with the rest of the night.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from sleep2vec.vocabulary.subject import Sex, Subject


@dataclass(frozen=True)
class Person:
    """One sleeper. Gains are factors around 1.

    Attributes:
        apnea_per_hour: Expected respiratory events per hour of sleep.
        aperiodic_slope: Exponent of the 1/f background of the EEG amplitude spectrum.
        chin_contrast: How much of the usual change of chin tone with the stage this person shows.
        heart_stage_gain: The same for heart rate. `heart_rate_bpm` is the mean over the night.
        rsa_gain, slow_heart_gain: Respiratory and slower (0.1 Hz and below) swings of the heart rate.
        circulation_delay_s: From a change of ventilation to its sight at the finger.
        electrode_noise_uv: Of one electrode on this skin, rms.
        atrial_fibrillation: All night; beats are irregular and do not swing with the breath.
        apnea_heart_gain: How much the heart slows in an apnea and runs after it.
        pulse_gain, pulse_delay_s: Of the pulse wave at the finger: its size, and how long after the R peak it starts.
        vessel_stiffness: 0 elastic (a clear dicrotic notch) to 1 stiff (none).
        bmi: Weight by height squared in kg/m2; it drives `apnea_per_hour`.
        measures: Diagnoses, events and times as `outcomes.draw_outcomes` gave them, named as `Subject.measures`.
    """

    age_years: float
    sex: Sex
    apnea_per_hour: float
    central_share: float
    subject_id: str | None = None
    eeg_gain: float = 1.0
    aperiodic_slope: float = 0.7
    slow_gain: float = 1.0
    theta_gain: float = 1.0
    alpha_hz: float = 10.0
    alpha_gain: float = 1.0
    spindle_hz: float = 13.2
    spindle_gain: float = 1.0
    spindle_per_min: float = 5.0
    beta_gain: float = 1.0
    eye_gain: float = 1.0
    blink_per_min: float = 12.0
    chin_tone_uv: float = 9.0
    chin_contrast: float = 1.0
    restlessness: float = 1.0
    heart_rate_bpm: float = 62.0
    heart_stage_gain: float = 1.0
    rsa_gain: float = 1.0
    slow_heart_gain: float = 1.0
    ecg_gain: float = 1.0
    t_wave_gain: float = 1.0
    ectopic_per_hour: float = 1.0
    breath_hz: float = 0.25
    breath_irregularity: float = 1.0
    thorax_share: float = 0.5
    spo2_percent: float = 96.0
    desaturation_gain: float = 1.0
    circulation_delay_s: float = 18.0
    electrode_noise_uv: float = 2.0
    atrial_fibrillation: bool = False
    apnea_heart_gain: float = 1.0
    pulse_gain: float = 1.0
    pulse_delay_s: float = 0.20
    vessel_stiffness: float = 0.5
    bmi: float = 26.0
    measures: Mapping[str, float] = field(default_factory=dict)

    @property
    def subject(self) -> Subject:
        """What a table of the cohort says of this person."""
        measures = {"bmi": round(self.bmi, 1), **self.measures}
        return Subject(self.subject_id, round(self.age_years, 1), self.sex, measures=measures)

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        *,
        age_mean_years: float = 52.0,
        age_sd_years: float = 15.0,
        female_share: float = 0.5,
        apnea_median_per_hour: float = 7.0,
        subject_id: str | None = None,
        age_range_years: tuple[float, float] = (5.0, 90.0),
    ) -> "Person":
        """Draw a person from a population of ages between 5 and 90.

        Age, sex and weight shape the traits in the direction that textbooks give: with age slow waves, spindles and
        respiratory sinus arrhythmia fade and alpha slows; men, the old and the heavy have more apnea. Children have
        large and slow EEG, a fast heart and breath and few apneas; they grow into adults in even steps until 18.
        Ages outside `age_range_years` are moved to its ends. Diagnoses are another matter: see `outcomes`.
        """
        age = float(np.clip(rng.normal(age_mean_years, age_sd_years), *age_range_years))
        sex: Sex = "female" if rng.random() < female_share else "male"
        decades = (age - 50) / 10
        child = float(np.clip((18 - age) / 13, 0, 1))  # 1 at 5, 0 from 18 on
        # Hearts and breaths slow down until adulthood (Fleming et al. 2011, Lancet 377:1011).
        youth = float(np.exp(-max(age - 5, 0) / 6))
        man = 1.0 if sex == "male" else 0.0

        def spread(median: float, sigma: float) -> float:
            return float(median * np.exp(sigma * rng.standard_normal()))

        apnea = spread(apnea_median_per_hour * np.exp(0.18 * decades + 0.7 * (man - 0.5) * (1 - child) - child), 0.78)
        drawn = cls(
            age_years=age,
            sex=sex,
            apnea_per_hour=apnea,
            central_share=float(rng.beta(0.6, 5.0)),
            subject_id=subject_id,
            eeg_gain=spread((1.0 - 0.12 * man) * (1 + 0.3 * child), 0.25),
            aperiodic_slope=float(np.clip(rng.normal(0.75 - 0.04 * decades, 0.12), 0.3, 1.2)),
            slow_gain=spread(np.exp(-0.13 * decades - 0.1 * man), 0.25),
            theta_gain=spread(np.exp(0.5 * child), 0.22),
            alpha_hz=float(np.clip(rng.normal(10.0 - 0.12 * decades - 2.3 * child, 0.8), 7.8 - child, 12.0)),
            alpha_gain=spread(0.9, 0.65),
            spindle_hz=float(np.clip(rng.normal(13.3 - 0.6 * child, 0.6), 11.5, 15.0)),
            spindle_gain=spread(np.exp(-0.08 * decades), 0.40),
            spindle_per_min=spread(5.0 * np.exp(-0.10 * decades - 0.5 * child), 0.45),
            beta_gain=spread(1.0, 0.33),
            eye_gain=spread(1.0, 0.40),
            blink_per_min=spread(10.0 * np.exp(-0.5 * child), 0.6),
            chin_tone_uv=spread(9.0, 0.50),
            chin_contrast=spread(0.95, 0.30),
            restlessness=spread(1.0, 0.4),
            heart_rate_bpm=float(np.clip(rng.normal(63.0 - 3.0 * man + 26.0 * youth, 8.5), 42 + 18 * child, 115)),
            heart_stage_gain=spread(1.0, 0.5),
            rsa_gain=spread(np.exp(-0.22 * max(decades, -3.5)), 0.32),
            slow_heart_gain=spread(np.exp(-0.08 * decades), 0.35),
            ecg_gain=spread(1.0, 0.35),
            t_wave_gain=spread(1.0, 0.35),
            ectopic_per_hour=spread(1.0 * np.exp(0.3 * decades), 1.3),
            breath_hz=float(np.clip(rng.normal(0.25 + 0.09 * youth, 0.035), 0.17, 0.45)),
            breath_irregularity=spread(1.0, 0.35),
            thorax_share=float(np.clip(rng.normal(0.5, 0.12), 0.2, 0.8)),
            spo2_percent=float(np.clip(rng.normal(96.2 - 0.35 * decades, 1.1), 91.0, 98.5)),
            desaturation_gain=spread(1.0, 0.4),
            circulation_delay_s=float(np.clip(rng.normal(17.0 + 0.6 * decades, 3.0), 10.0, 28.0)),
            electrode_noise_uv=spread(2.2, 0.45),
            apnea_heart_gain=spread(np.exp(-0.06 * decades), 0.40),
            pulse_gain=spread(1.0, 0.40),
            pulse_delay_s=float(np.clip(rng.normal(0.205 - 0.006 * decades, 0.015), 0.15, 0.26)),
            vessel_stiffness=float(np.clip(rng.normal(0.5 + 0.12 * decades, 0.12), 0.0, 1.0)),
        )
        # Peppard et al. 2000 (JAMA 284:3015): 10 % more weight, 32 % more events; that is 0.52 a standard deviation.
        heavier = float(rng.standard_normal())
        return replace(
            drawn,
            apnea_per_hour=float(np.clip(apnea * np.exp(0.52 * heavier), 0.3, 70.0)),
            bmi=float(np.clip((26.5 + 0.4 * min(decades, 1.5) - 10.5 * child) * np.exp(0.18 * heavier), 12.0, 60.0)),
        )
