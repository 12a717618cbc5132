"""A number that an evaluation found, with its interval and with whom it was found."""

from dataclasses import dataclass

from sleep2vec.metrics.bootstrap import Interval


@dataclass(frozen=True)
class Figure:
    """One line of a table.

    Attributes:
        what: The metric in the field's words, with its unit and its rule where it has one (``"kappa"``,
            ``"AHI error (1A), events/h"``).
        estimate: None where undefined.
        low, high: Ends of the 95 % interval by resampling people, None where undefined.
        n_nights, n_people: On whom it rests.
        task: Which task, ``"staging"``.
        outcome: Which of the task's outcomes (``"hypertension"``); empty where it has one.
        group: Of which people (``"sex: female"``); empty for all.
        sensors: From which modalities, with ``+``; empty for all that were there.
    """

    what: str
    estimate: float | None
    low: float | None
    high: float | None
    n_nights: int
    n_people: int
    task: str = ""
    outcome: str = ""
    group: str = ""
    sensors: str = ""


def figure_of(what: str, interval: Interval, n_nights: int, *, task: str = "", outcome: str = "") -> Figure:
    """A line from an interval."""
    return Figure(
        what, interval.estimate, interval.low, interval.high, n_nights, interval.n_people, task=task, outcome=outcome
    )
