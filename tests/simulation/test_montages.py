"""Every laboratory records the same body: what a cohort's channels give is what another site's give."""

from functools import cache

import numpy as np
import pytest

from sleep2vec.harmonization.pipeline import harmonize
from sleep2vec.simulation.montages import catalog_site
from sleep2vec.simulation.simulated_night import draw_person, simulate_night
from sleep2vec.simulation.sites import SITES, Site
from sleep2vec.vocabulary.night import Night

HOURS = 0.4


@cache
def person():
    return draw_person(np.random.default_rng(8), SITES["alpha"], "one")


def harmonised(site: Site, cohort: str | None) -> Night:
    night = simulate_night(21, person=person(), site=site, hours=HOURS)
    return harmonize(night.recording, night_id="n", cohort=cohort)


@cache
def at_alpha() -> Night:
    return harmonised(SITES["alpha"], None)


def loudness(samples: np.ndarray) -> np.ndarray:
    """Log rms by token."""
    tokens_LS = samples.reshape(round(HOURS * 120), -1)
    return np.log(tokens_LS.std(axis=1))


@pytest.mark.parametrize(
    ("cohort", "montage"),
    [("shhs1", 0), ("mros1", 0), ("mesa", 0), ("cfs", 1), ("chat", 0), ("nchsdb", 2), ("isruc", 0), ("stages", 2)],
)
def test_a_cohort_records_the_body_that_another_site_records(cohort: str, montage: int):
    """C4-M1, the chin, lead II, the belly and the finger are the same places everywhere (oximeters average unalike)."""
    here, there = harmonised(catalog_site(cohort, montage), cohort), at_alpha()
    for modality, least in (("eeg", 0.9), ("ecg", 0.9), ("belt", 0.9), ("spo2", 0.75)):
        assert abs(np.corrcoef(here.samples[modality], there.samples[modality])[0, 1]) > least, modality
    assert np.corrcoef(loudness(here.samples["emg"]), loudness(there.samples["emg"]))[0, 1] > 0.9
    both = here.valid["ibi"] & there.valid["ibi"]
    assert both.mean() > 0.6
    off = (here.samples["ibi"] - there.samples["ibi"]).reshape(len(both), -1)[both]
    assert np.median(np.abs(off)) < 0.01
