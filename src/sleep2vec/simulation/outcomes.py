"""What becomes of people: diagnoses at the night and events in the years after it, from a stated causal graph.

The graph, an arrow from every cause to what it causes (`DIAGNOSES`, `EVENTS` hold the numbers):

    age, sex -> BMI -> apnea -> hypoxic burden -> hypertension, diabetes, atrial fibrillation, stroke, death
    age -> heart-rate variability -> hypertension, atrial fibrillation, death
    restlessness (sleep fragmentation) -> hypertension, diabetes, death
    BMI -> diabetes, hypertension, atrial fibrillation
    diabetes -> hypertension; diabetes, hypertension, atrial fibrillation -> stroke, death
    sex -> asthma (a control: nothing in a night tells it)
    atrial fibrillation -> the heart's rhythm in the night

Directions follow cohort studies (Peppard et al. 2000, N Engl J Med 342:1378: apnea and hypertension; Azarbarzin et al.
2019, Eur Heart J 40:1149: hypoxic burden and death; Gami et al. 2007, J Am Coll Cardiol 49:565: atrial fibrillation;
Tsuji et al. 1994, Circulation 90:878: heart-rate variability and death; Wallace et al. 2019, Sleep 42:zsz113:
fragmented sleep). The sizes are chosen, and larger than life, so that a few thousand simulated people can show them.
What a night can show is `SHOWN`. Atrial fibrillation is caused by no other diagnosis: if it were, the rhythm of the
heart would betray that one beyond its causes, and the oracle's figures would be no ceilings.

A site is no cause. The **shortcut dial** makes it look like one: `site_shift` moves the log odds and log hazards of
whole sites, through no body, so that a study can ask whether a model reads the person or the amplifier. Atrial
fibrillation is left alone: it shows in the heart, so that its shift would be no shortcut.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sleep2vec.simulation.noise import Rng
from sleep2vec.simulation.person import Person
from sleep2vec.vocabulary.errors import UsageError

# Log odds ratios, in causal order; "base" is the log odds of a woman of 50 with average everything.
DIAGNOSES: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "asthma": {"base": -2.3, "male": -0.3},
        "diabetes": {"base": -3.0, "decades": 0.30, "male": 0.20, "bmi": 0.70, "hypoxia": 0.35, "broken": 0.30},
        "hypertension": {
            "base": -1.2, "decades": 0.55, "male": 0.20, "bmi": 0.35, "hypoxia": 0.70, "variability": -0.70,
            "broken": 0.60, "diabetes": 0.70,
        },
        "atrial_fibrillation": {
            "base": -5.3, "decades": 0.75, "male": 0.40, "bmi": 0.25, "hypoxia": 0.60, "variability": -0.60,
        },
    }
)  # fmt: skip

# Log hazard ratios; "base" is the log of the hazard a year of that woman. In the years after the night the hazard
# grows with age as between people: Gompertz's law (1825), with the coefficient of "decades" a decade.
EVENTS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "stroke": {
            "base": -6.2, "decades": 0.75, "male": 0.15, "hypoxia": 0.60, "hypertension": 0.70, "diabetes": 0.40,
            "atrial_fibrillation": 1.20,
        },
        "death": {
            "base": -5.7, "decades": 0.90, "male": 0.40, "hypoxia": 0.60, "variability": -0.80, "broken": 0.60,
            "hypertension": 0.20, "diabetes": 0.60, "atrial_fibrillation": 0.60,
        },
    }
)  # fmt: skip

CAUSES = ("decades", "male", "bmi", "hypoxia", "variability", "broken")
"""Columns of `causes_of`; behind them come the diagnoses in the order of `DIAGNOSES`."""

SHOWN = ("hypoxia", "variability", "broken", "atrial_fibrillation")
"""Causes that the signals of a night show."""

_ENROLLED_YEARS = 4.0  # people come over this time, and all are followed until the same day
_FOLLOWED_YEARS = 12.0
_LOST_PER_YEAR = 0.02
_FULL_SHIFT = 2.5  # log odds (and half of it, log hazard) at either end of the row of sites when the dial is at 1


def causes_of(people: Sequence[Person]) -> NDArray[np.float64]:
    """The causes (P, C) that people bring to the night, in the order of `CAUSES`, and their diagnoses.

    ``decades`` of age from 50; ``male`` 0 or 1; ``bmi`` in steps of 5 kg/m2 from 26.5; ``hypoxia``: how far events
    and their depth are above 7 an hour of usual depth, ``variability``: of the heart rate, ``broken``: restless sleep,
    all three as natural logarithms. A diagnosis is 1 where `Person.measures` says so.
    """
    rows = [
        (
            (person.age_years - 50) / 10,
            float(person.sex == "male"),
            (person.bmi - 26.5) / 5,
            np.log1p(person.apnea_per_hour * person.desaturation_gain) - np.log1p(7.0),
            np.log(np.sqrt(person.rsa_gain * person.slow_heart_gain)),
            np.log(person.restlessness),
            *(person.measures.get(f"diagnosis.{name}", 0.0) for name in DIAGNOSES),
        )
        for person in people
    ]
    return np.array(rows)


def risk(effects: Mapping[str, float], causes_PC: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of base and causes for one diagnosis (log odds) or event (log hazard a year at the night), (P,)."""
    names = (*CAUSES, *DIAGNOSES)
    total: NDArray[np.float64] = effects["base"] + causes_PC @ np.array([effects.get(name, 0.0) for name in names])
    return total


def site_shift(site: str, sites: Sequence[str], dial: float) -> float:
    """What the shortcut dial adds to every log odds of the people of a site (half of it to log hazards).

    Sites are spread evenly from -2.5 to 2.5 times the dial in the order given: with two sites and the dial at 1, half
    of the people have a disease (base log odds 0) at 8 % of one site and 92 % of the other.

    Args:
        site: One of `sites`.
        sites: All sites of the study.
        dial: 0 (site tells nothing that people do not) to 1.

    Raises:
        UsageError: the dial is out of reach, or the site is none of them.
    """
    if not 0 <= dial <= 1:
        raise UsageError(f"a shortcut dial of {dial:g}; give 0 (site tells nothing) to 1.")
    if site not in sites:
        raise UsageError(f"site {site!r} is none of the study's sites {', '.join(sites)}.")
    if len(sites) == 1:
        return 0.0
    return _FULL_SHIFT * dial * (2 * list(sites).index(site) / (len(sites) - 1) - 1)


def draw_outcomes(rng: Rng, person: Person, shift: float = 0.0) -> Person:
    """The person with diagnoses, events and times in `measures`, and the traits that diagnoses bring.

    Every diagnosis and event uses up its own random numbers whatever the causes are: with the same `rng`, a changed
    cause changes what it causes and nothing else.

    Args:
        rng: Randomness.
        person: Measures it has already are replaced where they have the same name.
        shift: From `site_shift`.
    """
    luck = rng.random(len(DIAGNOSES) + len(EVENTS) + 2)
    causes_1C = causes_of([replace(person, measures={})])
    measures: dict[str, float] = {}
    for place, (name, effects) in enumerate(DIAGNOSES.items()):
        log_odds = float(risk(effects, causes_1C)[0]) + (0.0 if name in SHOWN else shift)
        sick = float(luck[place] < 1 / (1 + np.exp(-log_odds)))
        causes_1C[0, len(CAUSES) + place] = sick
        measures[f"diagnosis.{name}"] = sick
    enrolled, lost = luck[-2:]
    last_seen = min(_FOLLOWED_YEARS - _ENROLLED_YEARS * enrolled, -np.log1p(-lost) / _LOST_PER_YEAR)
    times = {
        name: time_to_event(float(risk(effects, causes_1C)[0]) + shift / 2, effects["decades"], luck[place])
        for place, (name, effects) in enumerate(EVENTS.items(), start=len(DIAGNOSES))
    }
    # Who is dead can have no stroke any more.
    last_seen = min(last_seen, times["death"])
    for name, years in times.items():
        measures[f"event.{name}"] = float(years <= last_seen)
        measures[f"time_years.{name}"] = round(float(min(years, last_seen)), 4)
    return replace(
        person,
        measures={**person.measures, **measures},
        atrial_fibrillation=measures["diagnosis.atrial_fibrillation"] == 1.0,
    )


def time_to_event(log_hazard: float, per_decade: float, luck: float) -> float:
    """Years until an event under Gompertz's law, by inversion of its survival function.

    Args:
        log_hazard: Log of the hazard a year at the night.
        per_decade: By how much the log hazard grows in ten years.
        luck: Uniform on 0..1: the share of such people to whom it has happened by then.
    """
    growth = per_decade / 10
    return float(np.log1p(-growth * np.log1p(-luck) * np.exp(-log_hazard)) / growth)
