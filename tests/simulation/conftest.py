from dataclasses import replace

import numpy as np
import pytest

from sleep2vec.simulation.person import Person
from sleep2vec.simulation.simulated_night import SimulatedNight, simulate_night
from sleep2vec.simulation.sites import SITES


@pytest.fixture(scope="session")
def apnea_night() -> SimulatedNight:
    """Five hours of somebody with many events of every kind."""
    drawn = Person.draw(np.random.default_rng(4), subject_id="test")
    person = replace(drawn, apnea_per_hour=35.0, central_share=0.4, rsa_gain=1.2, ectopic_per_hour=1.0)
    return simulate_night(18, person=person, site="alpha", hours=5)


@pytest.fixture(scope="session")
def half_hours() -> dict[str, SimulatedNight]:
    """Half an hour of the same seed at every site."""
    return {name: simulate_night(5, site=name, hours=0.5) for name in SITES}
