"""Section 4 of method.md restated: one anchor, one candidate, one line of the formula at a time.

Slow, and written from the formula, not from the package. Unknown metadata are NaN.
"""

import math
from collections.abc import Sequence

import numpy as np


def plain_same_person(night: Sequence[float], subject: Sequence[float] | None = None) -> np.ndarray:
    """h: two different windows of one night, or of one known person."""
    n = len(night)
    h = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            known = subject is not None and not math.isnan(subject[i]) and not math.isnan(subject[j])
            person = known and subject[i] == subject[j]
            h[i, j] = i != j and (night[i] == night[j] or person)
    return h


def plain_weights(
    age,
    sex,
    site,
    h,
    *,
    suppress: bool = False,
    sigma: float = 20.0,
    other_sex: float = 0.8,
    same_site: float = 1.3,
    other_site: float = 0.8,
    floor: float = 1e-6,
) -> np.ndarray:
    """Rows average 1 over the negatives; a missing factor is the row's mean of it over the known negatives, else 1."""
    factors = (
        lambda i, j: math.exp(-abs(age[i] - age[j]) / sigma),
        lambda i, j: _by_equality(sex[i], sex[j], 1.0, other_sex),
        lambda i, j: _by_equality(site[i], site[j], same_site, other_site),
    )
    n = len(age)
    w = np.ones((n, n))
    for i in range(n):
        negatives = [j for j in range(n) if j != i and not h[i, j]]
        raw = {j: 1.0 for j in range(n) if j != i}
        for factor in factors:
            known = [factor(i, j) for j in negatives if not math.isnan(factor(i, j))]
            neutral = sum(known) / len(known) if known else 1.0
            for j in raw:
                raw[j] *= neutral if math.isnan(factor(i, j)) else factor(i, j)
        for j in raw:
            raw[j] += floor
            if suppress and h[i, j]:
                raw[j] = floor
        if not negatives:
            continue  # a row without negatives keeps 1 everywhere
        mean = sum(raw[j] for j in negatives) / len(negatives)
        for j in raw:
            w[i, j] = 1.0 if h[i, j] and not suppress else raw[j] / mean
    return w


def plain_loss(
    first,
    second,
    w,
    h,
    *,
    temperature: float,
    margin: float,
    positive_margin: float = 0.0,
    valid=None,
    temporal_share: float | None = None,
    exclusion: int = 0,
    drawn=None,
) -> float:
    """The mean over valid anchors and both directions.

    With `temporal_share`, moments of the own window are negatives too: those of `drawn` (window, anchor, moment), or
    all that are allowed.
    """
    n, n_tokens = first.shape[:2]
    valid = np.ones((n, n_tokens), dtype=bool) if valid is None else valid
    losses = []
    for anchors, others in ((first, second), (second, first)):
        for i in range(n):
            for t in range(n_tokens):
                if not valid[i, t]:
                    continue
                own = math.exp((_cosine(anchors[i, t], others[i, t]) + positive_margin) / temperature)
                total, people = own, 0.0
                for j in range(n):
                    if j == i or not valid[j, t]:
                        continue
                    s = _cosine(anchors[i, t], others[j, t])
                    total += w[i, j] * math.exp((s - margin * h[i, j]) / temperature)
                    people += 0.0 if h[i, j] else w[i, j]
                if temporal_share is not None:
                    moments = [u for u in range(n_tokens) if abs(u - t) > exclusion and valid[i, u]]
                    if drawn is not None:
                        moments = [u for u in moments if drawn[i, t, u]]
                    for u in moments:
                        each = temporal_share * people / len(moments)
                        total += each * math.exp(_cosine(anchors[i, t], others[i, u]) / temperature)
                losses.append(-math.log(own / total))
    return sum(losses) / len(losses) if losses else 0.0


def plain_leave_one_out(views, w, h, *, temperature: float, margin: float, valid) -> float:
    """Each modality's tokens and the mean of the other valid ones' unit vectors, contrasted; over all that count."""
    total, count = 0.0, 0
    n, n_tokens, width = views[0].shape
    for m in range(len(views)):
        others, counted = np.zeros((n, n_tokens, width)), np.zeros((n, n_tokens), dtype=bool)
        for i in range(n):
            for t in range(n_tokens):
                there = [k for k in range(len(views)) if k != m and valid[k][i, t]]
                counted[i, t] = bool(there) and valid[m][i, t]
                for k in there:
                    length = math.sqrt(np.dot(views[k][i, t], views[k][i, t]))
                    others[i, t] += views[k][i, t] / length / len(there)
        here = int(counted.sum())
        total += here * plain_loss(views[m], others, w, h, temperature=temperature, margin=margin, valid=counted)
        count += here
    return total / count if count else 0.0


def _by_equality(a: float, b: float, same: float, other: float) -> float:
    if math.isnan(a) or math.isnan(b):
        return math.nan
    return same if a == b else other


def _cosine(a, b) -> float:
    return float(np.dot(a, b) / math.sqrt(np.dot(a, a) * np.dot(b, b)))
