"""Nights whose truth is known: a person sleeps, sensors of a site record, things go wrong on request."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sleep2vec.simulation.person import Person
    from sleep2vec.simulation.simulated_night import SimulatedNight
    from sleep2vec.simulation.sites import Site


def night(seed: int, person: "Person | None" = None, site: "str | Site" = "alpha", **more: Any) -> "SimulatedNight":
    """One night; see `simulated_night.simulate_night`, which also takes ``hours`` and ``faults``."""
    from sleep2vec.simulation.simulated_night import simulate_night

    return simulate_night(seed, person=person, site=site, **more)
