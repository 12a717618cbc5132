"""Percentile intervals said plainly: draw people, gather their nights, compute anew."""

import math

import numpy as np


def plain_interval(statistic, nights, people, n_resamples, seed=0):
    """(low, high) of `statistic(nights)` when people, in the order they first come, are drawn with replacement."""
    names = list(dict.fromkeys(people))
    if len(names) < 2:
        return None, None
    values = []
    for drawn in np.random.default_rng(seed).integers(len(names), size=(n_resamples, len(names))):
        gathered = []
        for number in drawn:
            gathered += [night for night, person in zip(nights, people, strict=True) if person == names[number]]
        value = statistic(gathered)
        if value is not None and not math.isnan(value):
            values.append(value)
    return tuple(float(np.quantile(values, share)) for share in (0.025, 0.975)) if values else (None, None)


def assert_is(line, statistic, nights, people, n_resamples, seed=0, abs_=1e-9):
    """The figure `line` is `statistic` of the nights, with its interval, on so many nights and people."""
    low, high = plain_interval(statistic, nights, people, n_resamples, seed)
    estimate = statistic(nights) if len(nights) else None
    estimate = None if estimate is None or math.isnan(estimate) else estimate
    for ours, theirs in ((line.estimate, estimate), (line.low, low), (line.high, high)):
        assert (ours is None) == (theirs is None), (line, estimate, low, high)
        assert ours is None or abs(ours - theirs) <= abs_ * max(1.0, abs(theirs)), (line, estimate, low, high)
    assert (line.n_nights, line.n_people) == (len(nights), len(set(people)))
