"""How well a linear reader finds something in frozen embeddings.

Letters: N samples, D features, M views of the same samples (modalities), C classes. Classes and people are named by
whole numbers. The reader is scikit-learn's (logistic regression, ridge) on standardised features, with one penalty for
all runs, so that runs compare. The same people never teach and judge, but for `reidentification`, whose
question is the person. What cannot be asked (one site, too few people) is None.

References:
    Alain & Bengio (2017), Understanding intermediate layers using linear classifier probes.
    Brodersen et al. (2010), The balanced accuracy and its posterior distribution.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sleep2vec.metrics.agreement import agreement_of, confusion_matrix
from sleep2vec.metrics.bootstrap import Interval, bootstrap_interval
from sleep2vec.vocabulary.errors import UsageError

Features = NDArray[np.floating]
Codes = NDArray[np.integer]
Reader = Callable[[Features], Features]
"""(N, D) standardised features -> (N,) classes or numbers."""

PENALTY = 100.0
"""Of squared weights beside the summed loss, on standardised features: as if N / D were high though it is not."""
MOST_ITERATIONS = 300
FEWEST_PEOPLE = 2
"""A class of fewer people cannot teach and judge at once; it is left out."""
_N_RESAMPLES = 200


@dataclass(frozen=True)
class Probe:
    """What a linear reader found.

    Attributes:
        score: Mean over the views, with its interval by people.
        by_view: (M,) the score of each view alone; None where it cannot be asked.
        chance: What a reader that knows nothing gets.
        n_classes: Classes asked for; 0 for a number.
    """

    score: Interval
    by_view: tuple[float | None, ...]
    chance: float
    n_classes: int


def class_probe(
    views: Sequence[Features], classes_N: Codes, people_N: Codes, n_folds: int = 5, seed: int = 0
) -> Probe | None:
    """Balanced accuracy of a logistic reader of a class that belongs to people (site, sex).

    Cross-validated, people whole on one side.

    Args:
        views: M times (N, D); rows of NaN are samples that the view lacks.
        classes_N: class of each sample.
        people_N: whose it is.
        n_folds: at most; no more than the rarest class has people.
        seed: of the folds.

    Returns:
        None with fewer than two classes of `FEWEST_PEOPLE` people each.
    """
    _check(views, classes_N, people_N)
    folds_N, classes = person_folds(classes_N, people_N, n_folds, seed)
    if len(classes) < 2:
        return None
    codes_N = np.searchsorted(classes, classes_N)
    told = [_out_of_fold(x_ND, codes_N, folds_N, _even_logistic) for x_ND in views]
    counts = _counts(told, codes_N, people_N, folds_N >= 0, len(classes))
    return _probe(counts, balanced_accuracy, 1 / len(classes), len(classes))


def stage_probe(
    views: Sequence[Features], stages_N: Codes, people_N: Codes, n_classes: int, n_folds: int = 3, seed: int = 0
) -> Probe | None:
    """Cohen's kappa of a logistic reader of sleep stages of tokens; people whole on one side.

    Args as in `class_probe`; stages are 0 .. n_classes - 1. None with fewer than two people.
    """
    _check(views, stages_N, people_N)
    folds_N = _dealt(people_N, np.zeros_like(people_N), n_folds, seed)
    if folds_N.max(initial=-1) < 1:
        return None
    told = [_out_of_fold(x_ND, stages_N, folds_N, _logistic) for x_ND in views]
    counts = _counts(told, stages_N, people_N, folds_N >= 0, n_classes)
    return _probe(counts, lambda confusion_CC: agreement_of(confusion_CC).kappa, 0.0, n_classes)


def number_probe(
    views: Sequence[Features], numbers_N: Features, people_N: Codes, n_folds: int = 5, seed: int = 0
) -> tuple[Probe, Probe] | None:
    """R squared and mean absolute error of a ridge reader of a number that belongs to people (age).

    Cross-validated, people whole on one side; R squared is against the mean of all samples (so it can be below 0), and
    the chance of the error is that of saying their median.

    Returns:
        None with fewer than four people, or where all have the same number.
    """
    _check(views, numbers_N, people_N)
    if len(np.unique(people_N)) < 4 or np.ptp(numbers_N) == 0:
        return None
    folds_N = _dealt(people_N, np.zeros_like(people_N), n_folds, seed)
    told = [_out_of_fold(x_ND, numbers_N, folds_N, _ridge) for x_ND in views]
    people, index_N = np.unique(people_N, return_inverse=True)
    pairs = [[(numbers_N[rows], said_N[rows]) for said_N in told] for rows in _rows_of(index_N, len(people))]

    def score_of(judge: Callable[[Features, Features], float | None]) -> Probe:
        def of_view(view: int) -> Callable[[Sequence[list[tuple[Features, Features]]]], float | None]:
            def statistic(items: Sequence[list[tuple[Features, Features]]]) -> float | None:
                true, said = (np.concatenate([item[view][side] for item in items]) for side in (0, 1))
                known = ~np.isnan(said)
                return judge(true[known], said[known]) if known.any() else None

            return statistic

        by_view = tuple(of_view(view)(pairs) for view in range(len(views)))
        score = bootstrap_interval(
            lambda items: _mean([of_view(view)(items) for view in range(len(views))]),
            pairs,
            n_resamples=_N_RESAMPLES,
        )
        return Probe(score, by_view, 0.0, 0)

    error = score_of(lambda true, said: float(np.abs(true - said).mean()))
    median_error = float(np.abs(numbers_N - np.median(numbers_N)).mean())
    return score_of(r_squared), Probe(error.score, error.by_view, median_error, 0)


def reidentification(views: Sequence[Features], people_N: Codes, moments_N: Codes) -> Probe | None:
    """Balanced accuracy with which a logistic reader knows people again at another moment.

    A reader is taught on all samples of one moment and judged on those of the other, and the other way round: samples
    that lie side by side are never on both sides.

    Args:
        views: M times (N, D); rows of NaN are samples that the view lacks.
        people_N: whose sample it is; only people with samples of both moments take part.
        moments_N: 0 or 1, for example the first and the last part of the night, or the first and second night.

    Returns:
        None with fewer than two people.
    """
    _check(views, people_N, moments_N)
    both = set(people_N[moments_N == 0].tolist()) & set(people_N[moments_N == 1].tolist())
    people = np.array(sorted(both), dtype=people_N.dtype)
    if len(people) < 2:
        return None
    folds_N = np.where(np.isin(people_N, people), moments_N, -1)
    told = [_out_of_fold(x_ND, people_N, folds_N, _even_logistic) for x_ND in views]
    recalls = [[_recall(said_N, people_N, folds_N, person) for said_N in told] for person in people]

    def statistic(items: Sequence[list[float]]) -> float | None:
        return _mean([_mean_known([item[view] for item in items]) for view in range(len(views))])

    by_view = tuple(_mean_known([item[view] for item in recalls]) for view in range(len(views)))
    score = bootstrap_interval(statistic, recalls, n_resamples=_N_RESAMPLES)
    return Probe(score, by_view, 1 / len(people), len(people))


def person_folds(classes_N: Codes, people_N: Codes, n_folds: int, seed: int) -> tuple[Codes, Codes]:
    """A fold for each sample, every person whole in one and every class in all; -1 where its class has too few people.

    Returns:
        (N,) folds, and the classes that take part, in order. A person of several classes counts for the commonest.
    """
    class_of = {person: _commonest(classes_N[people_N == person]) for person in np.unique(people_N).tolist()}
    owner_N = np.array([class_of[person] for person in people_N.tolist()], dtype=np.int64)
    n_people = {code: sum(of == code for of in class_of.values()) for code in set(class_of.values())}
    kept = np.array(sorted(code for code, n in n_people.items() if n >= FEWEST_PEOPLE), dtype=np.int64)
    counted_N = np.isin(classes_N, kept) & np.isin(owner_N, kept)
    fewest = min((n_people[int(code)] for code in kept), default=0)
    folds_N = np.full(len(classes_N), -1, dtype=np.int64)
    folds_N[counted_N] = _dealt(people_N[counted_N], owner_N[counted_N], min(n_folds, fewest), seed)
    return folds_N, kept


def balanced_accuracy(confusion_CC: NDArray[np.int64]) -> float | None:
    """Mean over the classes that occur of the share that was recognised; None without any."""
    totals_C = confusion_CC.sum(axis=1)
    occurs = totals_C > 0
    return float((np.diag(confusion_CC)[occurs] / totals_C[occurs]).mean()) if occurs.any() else None


def r_squared(true_N: Features, said_N: Features) -> float | None:
    """1 - squared error / variance; None where the truth does not vary."""
    variance = float(np.square(true_N - true_N.mean()).sum())
    return None if variance == 0 else 1 - float(np.square(true_N - said_N).sum()) / variance


def _dealt(people_N: Codes, classes_N: Codes, n_folds: int, seed: int) -> Codes:
    """Folds dealt like cards, people of one class after another, in a random order."""
    people, first = np.unique(people_N, return_index=True)
    order = np.random.default_rng(seed).permutation(len(people))
    order = order[np.argsort(classes_N[first][order], kind="stable")]
    fold_of = np.empty(len(people), dtype=np.int64)
    fold_of[order] = np.arange(len(people)) % max(1, min(n_folds, len(people)))
    return fold_of[np.searchsorted(people, people_N)]


def _out_of_fold(
    x_ND: Features,
    target_N: NDArray[np.generic],
    folds_N: Codes,
    taught_on: Callable[[Features, NDArray[np.generic]], Reader],
) -> Features:
    """What a reader taught on the other folds says of each sample; NaN where nobody can say."""
    said_N = np.full(len(x_ND), np.nan)
    usable_N = (folds_N >= 0) & np.isfinite(x_ND).all(axis=1)
    for fold in np.unique(folds_N[usable_N]):
        taught, asked = usable_N & (folds_N != fold), usable_N & (folds_N == fold)
        if taught.any():
            centre_D, scale_D = x_ND[taught].mean(axis=0), x_ND[taught].std(axis=0)
            scale_D = np.where(scale_D > 1e-6 * np.abs(centre_D) + 1e-12, scale_D, np.inf)  # constant: tells nothing
            reader = taught_on((x_ND[taught] - centre_D) / scale_D, target_N[taught])
            said_N[asked] = reader((x_ND[asked] - centre_D) / scale_D)
    return said_N


def _logistic(x_ND: Features, classes_N: NDArray[np.generic], class_weight: str | None = None) -> Reader:
    if len(np.unique(classes_N)) < 2:
        return lambda asked_ND: np.full(len(asked_ND), classes_N[0], dtype=float)
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    reader = LogisticRegression(C=1 / PENALTY, class_weight=class_weight, max_iter=MOST_ITERATIONS, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the bound on the cost is meant
        reader.fit(x_ND, classes_N)
    return lambda asked_ND: reader.predict(asked_ND).astype(float)


def _even_logistic(x_ND: Features, classes_N: NDArray[np.generic]) -> Reader:
    """Every class weighs the same, as in balanced accuracy, which judges it."""
    return _logistic(x_ND, classes_N, "balanced")


def _ridge(x_ND: Features, numbers_N: NDArray[np.generic]) -> Reader:
    from sklearn.linear_model import Ridge

    reader = Ridge(alpha=PENALTY).fit(x_ND, numbers_N)
    return lambda asked_ND: np.asarray(reader.predict(asked_ND), dtype=float)


def _counts(
    told: Sequence[Features], codes_N: Codes, people_N: Codes, counted_N: NDArray[np.bool_], n_classes: int
) -> list[NDArray[np.int64]]:
    """For each person (M, C, C) counts."""
    people, index_N = np.unique(people_N[counted_N], return_inverse=True)
    rows = np.flatnonzero(counted_N)
    return [
        np.stack([confusion_matrix(codes_N[of], said_N[of], n_classes) for said_N in told])
        for of in (rows[own] for own in _rows_of(index_N, len(people)))
    ]


def _probe(
    counts: Sequence[NDArray[np.int64]],
    judge: Callable[[NDArray[np.int64]], float | None],
    chance: float,
    n_classes: int,
) -> Probe:
    def statistic(items: Sequence[NDArray[np.int64]]) -> float | None:
        return _mean([judge(confusion_CC) for confusion_CC in np.sum(items, axis=0)])

    by_view = tuple(judge(confusion_CC) for confusion_CC in np.sum(counts, axis=0))
    return Probe(bootstrap_interval(statistic, counts, n_resamples=_N_RESAMPLES), by_view, chance, n_classes)


def _recall(said_N: Features, people_N: Codes, folds_N: Codes, person: int) -> float:
    own = (people_N == person) & (folds_N >= 0) & ~np.isnan(said_N)
    return float((said_N[own] == person).mean()) if own.any() else float("nan")


def _rows_of(index_N: NDArray[np.integer], n: int) -> list[NDArray[np.integer]]:
    return [np.flatnonzero(index_N == place) for place in range(n)]


def _commonest(codes: Codes) -> int:
    values, counts = np.unique(codes, return_counts=True)
    return int(values[counts.argmax()])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _mean_known(values: Sequence[float]) -> float | None:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else None


def _check(views: Sequence[Features], *columns: NDArray[np.generic]) -> None:
    n = len(columns[0])
    if not views or any(len(part) != n for part in (*views, *columns)):
        raise UsageError(
            f"a probe needs views and columns of the same samples, got {[len(part) for part in (*views, *columns)]}."
        )
