"""What is fitted on validation people, judged by scipy, scikit-learn and brute force."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from made_scorings import answered, made_row, made_scoring
from scipy.optimize import minimize
from scipy.special import expit, softmax
from sklearn.metrics import cohen_kappa_score, f1_score, log_loss, roc_auc_score

from sleep2vec.tasks.custom import CustomConfig
from sleep2vec.tasks.events import LEAST_IOU, THRESHOLDS
from sleep2vec.tasks.registry import tasks_of
from sleep2vec.vocabulary.events import Event

TASKS = tasks_of(
    ["staging", "respiratory", "arousal", "age", "sex", "diagnosis"],
    [CustomConfig(name="smoker", column="smoking", kind="classification")],
)
L = 40


def sklearns_temperature(codes, logits):
    """The minimum of scikit-learn's log loss along the temperature, as scipy's simplex finds it."""
    squash = expit if logits.ndim == 1 else (lambda x: softmax(x, axis=1))
    classes = range(2 if logits.ndim == 1 else logits.shape[1])
    found = minimize(
        lambda t: log_loss(codes, squash(logits / np.exp(t[0])), labels=classes), [0.0], method="Nelder-Mead"
    )
    return float(np.exp(found.x[0]))


def staged(n=12, boast=3.0, seed=0):
    """Logits that are right two times of three, and too sure of it."""
    draw, found = np.random.default_rng(seed), []
    for i in range(n):
        stages = draw.integers(0, 5, L).astype(float)
        logits = draw.standard_normal((L, 5))
        logits[np.arange(L), stages.astype(int)] += 1.6
        stages[draw.random(L) < 0.15] = np.nan
        logits[draw.random(L) < 0.15] = np.nan
        found.append(answered(made_scoring(made_row(f"n{i}", L), stages), boast * logits))
    return found


def sides(answers, task):
    label = np.concatenate([answer.label(task) for answer in answers]).astype(float)
    logits = np.concatenate([answer.output for answer in answers]).astype(float)
    both = np.isfinite(label) & np.isfinite(logits).all(axis=1)
    return label[both].astype(int), logits[both]


def test_the_temperature_of_stages_is_sklearns_and_the_limit_bears_just_the_risk():
    answers = staged()
    task = TASKS["staging"].model_copy(update={"risk": 0.2}).fitted(answers)
    codes, logits = sides(answers, task)
    assert task.temperature == pytest.approx(sklearns_temperature(codes, logits), rel=1e-3)
    assert task.temperature > 2
    told = softmax(logits / task.temperature, axis=1)
    sure, wrong = told.max(axis=1), told.argmax(axis=1) != codes
    assert wrong.mean() > 0.2
    assert wrong[sure >= task.least_confidence].mean() <= 0.2
    lower = [limit for limit in np.unique(sure) if limit < task.least_confidence]
    assert all(wrong[sure >= limit].mean() > 0.2 for limit in lower)


def test_a_risk_that_no_limit_reaches_has_none():
    answers = [answered(made_scoring(made_row("n", L), np.zeros(L)), np.tile([0.0, 9.0, 0, 0, 0], (L, 1)))]
    assert TASKS["staging"].fitted(answers).least_confidence is None


def test_numbers_of_stages_are_sklearns():
    answers = staged()
    codes, logits = sides(answers, TASKS["staging"])
    told, numbers = logits.argmax(axis=1), TASKS["staging"].scores(answers)
    assert numbers["kappa"] == pytest.approx(cohen_kappa_score(codes, told))
    assert numbers["macro_f1"] == pytest.approx(f1_score(codes, told, average="macro"))
    assert numbers["accuracy"] == pytest.approx((codes == told).mean())


def of_nights(n=80, seed=0):
    """Answers about people of whom a quarter are unknown; the log odds are four times too large."""
    draw, rows = np.random.default_rng(seed), []
    for i in range(n):
        known = draw.random(4) < 0.75
        measures = {"diagnosis.copd": float(draw.random() < 0.4)} if known[0] else {}
        measures |= {"diagnosis.apnea": float(draw.random() < 0.5)} if known[1] else {}
        measures |= {"smoking": float(draw.integers(0, 3))} if known[2] else {}
        rows.append(
            made_row(f"n{i}", 2, 30 + 40 * draw.random(), "male" if draw.random() < 0.5 else "female", measures)
        )
    return [made_scoring(row) for row in rows], draw


@pytest.mark.parametrize("name", ["sex", "diagnosis", "smoker"])
def test_the_temperature_of_nights_is_sklearns(name):
    scorings, draw = of_nights()
    task, answers, pairs = TASKS[name].prepared(scorings), [], []
    for scoring in scorings:
        label, noise = task.values(scoring.row), draw.standard_normal(task.n_outputs)
        if name == "smoker":
            output = 4 * (noise + 1.2 * (np.arange(3) == np.nan_to_num(label[0], nan=-1)))
            pairs += [(int(label[0]), output)] if np.isfinite(label[0]) else []
        else:
            output = 4 * (noise + np.nan_to_num(2 * label - 1))
            pairs += [(int(y), x) for y, x in zip(label, output, strict=True) if np.isfinite(y)]
        answers.append(answered(scoring, output))
    codes, logits = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    assert task.fitted(answers).temperature == pytest.approx(sklearns_temperature(codes, logits), rel=1e-3)
    assert task.fitted(answers[:10]) == task  # so few tell too little
    if name == "diagnosis":
        numbers = task.scores(answers)
        for k, outcome in enumerate(task.outcomes):
            known = [(a.label(task)[k], a.output[k]) for a in answers if np.isfinite(a.label(task)[k])]
            assert numbers[f"auroc_{outcome}"] == pytest.approx(roc_auc_score(*zip(*known, strict=True)))
        assert numbers["auroc"] == pytest.approx(np.mean([numbers[f"auroc_{o}"] for o in task.outcomes]))


def test_the_error_of_a_number_is_the_root_of_the_mean_square_in_its_unit():
    scorings, draw = of_nights()
    task = TASKS["age"].prepared(scorings)
    ages = np.array([s.row.age_years for s in scorings])
    assert (task.centre, task.spread) == pytest.approx((ages.mean(), ages.std()), rel=1e-6)
    said = ages + 5 * draw.standard_normal(len(ages)) + 2
    answers = [answered(s, [(x - task.centre) / task.spread]) for s, x in zip(scorings, said, strict=True)]
    assert task.fitted(answers).error == pytest.approx(np.sqrt(((said - ages) ** 2).mean()), rel=1e-5)
    numbers = task.scores(answers)
    assert numbers["mae"] == pytest.approx(np.abs(said - ages).mean(), rel=1e-5)
    assert numbers["r"] == pytest.approx(np.corrcoef(said, ages)[0, 1], rel=1e-5)
    assert task.fitted(answers[:19]).error is None


# --- thresholds of events ---------------------------------------------------------------------------------------------


def noisy_events(kind, shortest, seed=0, n=6):
    """Nights with events far from each other, and log odds that follow them loosely: some at a third, some spurious."""
    draw, found = np.random.default_rng(seed), []
    for _ in range(n):
        onsets = np.arange(20, 30 * L - 60, 70) + draw.integers(0, 25, len(range(20, 30 * L - 60, 70)))
        events = [Event(kind, float(o), float(draw.integers(shortest, 30))) for o in onsets if draw.random() < 0.8]
        odds = np.full(30 * L, -3.0)
        for event in events:
            place = slice(int(event.onset_s) + draw.integers(-3, 4), int(event.end_s) + draw.integers(-3, 4))
            odds[place] = draw.normal(0.6, 0.7)
        for _ in range(12):
            start = draw.integers(0, 30 * L - 40)
            stretch = slice(start, start + draw.integers(8, 25))
            odds[stretch] = np.maximum(odds[stretch], draw.normal(-1.2, 0.5))
        odds[draw.integers(0, 30 * L - 30) :][:30] = np.nan
        found.append((events, odds))
    return found


def plain_events(above: Sequence[float], threshold, shortest, gap=3):
    """Runs of seconds at a threshold or above, joined over gaps that were seen."""
    spans, second = [], 0
    while second < len(above):
        if above[second] >= threshold:
            stop = second
            while stop < len(above) and above[stop] >= threshold:
                stop += 1
            between = above[spans[-1][1] : second] if spans else []
            if spans and len(between) <= gap and not np.isnan(between).any():
                spans[-1][1] = stop
            else:
                spans.append([second, stop])
            second = stop
        second += 1
    return [(a, b) for a, b in spans if b - a >= shortest]


def plain_f1(nights, threshold, shortest, offset):
    """Each span goes with the one scored event that it shares most with, if that is enough; events lie far apart."""
    n_true = n_told = n_both = 0
    for events, told in nights:
        spans = [(a + offset, b + offset) for a, b in plain_events(told, threshold, shortest)]
        pairs = np.zeros((len(events), len(spans)))
        for e, event in enumerate(events):
            for s, (a, b) in enumerate(spans):
                shared = max(0.0, min(event.end_s, b) - max(event.onset_s, a))
                pairs[e, s] = shared / (event.duration_s + (b - a) - shared) >= LEAST_IOU - 1e-9
        n_both += sum(pairs.any(axis=1)) if (pairs.sum(axis=0) <= 1).all() else _matched(pairs)
        n_true, n_told = n_true + len(events), n_told + len(spans)
    return 2 * n_both / max(n_true + n_told, 1)


def _matched(pairs):
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    return int((maximum_bipartite_matching(csr_matrix(pairs)) >= 0).sum())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("name", "kind", "shortest"), [("arousal", "arousal", 3), ("respiratory", "hypopnea", 10)])
def test_the_threshold_is_the_first_of_those_with_the_best_f1_of_events(name, kind, shortest, seed):
    """All thresholds by brute force, decoded and matched by plain loops; nights of other scorers do not count."""
    task, nights = TASKS[name], noisy_events(kind, shortest, seed)
    answers, plain = [], []
    for i, (events, odds) in enumerate(nights):
        scoring = made_scoring(
            made_row(f"n{i}", L, grid_start_s=100.0), np.ones(L),
            [Event(e.kind, e.onset_s + 100.0, e.duration_s) for e in events], (name,),
        )  # fmt: skip
        output = odds[:, None] if name == "arousal" else np.stack([np.zeros_like(odds), *[odds - 9] * 3, odds], axis=1)
        answers.append(answered(scoring, output))
        told = expit(answers[-1].output[:, 0].astype(float)) if name == "arousal" else (
            1 - softmax(answers[-1].output.astype(float), axis=1)[:, 0]
        )  # fmt: skip
        plain.append((scoring.events, told))
    stranger = answered(made_scoring(made_row("x", L)), np.full((30 * L, task.n_outputs), 9.0))
    scores = [plain_f1(plain, threshold, shortest, 100.0) for threshold in THRESHOLDS]
    fitted = task.fitted([*answers, stranger])
    assert max(scores) > scores[0]
    assert fitted.threshold == THRESHOLDS[int(np.argmax(scores))]
    assert fitted.scores([*answers, stranger])["event_f1"] == pytest.approx(max(scores))
    label = np.concatenate([a.label(task) for a in answers]) > 0
    said = np.concatenate([told for _, told in plain])
    seen = np.isfinite(said)
    assert fitted.scores(answers)["auroc"] == pytest.approx(roc_auc_score(label[seen], said[seen]))


def test_of_equally_good_thresholds_the_lowest_is_taken():
    """One event, certain: every threshold finds it."""
    odds = np.full((30 * L, 1), -9.0)
    odds[50:60] = 9.0
    scoring = made_scoring(made_row("n", L), np.ones(L), [Event("arousal", 50.0, 10.0)], ("arousal",))
    assert TASKS["arousal"].fitted([answered(scoring, odds)]).threshold == THRESHOLDS[0]


def test_nights_of_scorers_who_wrote_no_such_events_do_not_decide():
    """A sure event and a doubtful one ask for a low threshold; doubts of a night that nobody judged are none."""
    odds = np.full((30 * L, 1), -9.0)
    odds[50:60], odds[200:210] = 9.0, 0.1
    events = [Event("arousal", 50.0, 10.0), Event("arousal", 200.0, 10.0)]
    judged = answered(made_scoring(made_row("n", L), np.ones(L), events, ("arousal",)), odds)
    doubts = np.where(np.arange(30 * L)[:, None] % 30 < 10, 0.1, -9.0)
    stranger = answered(made_scoring(made_row("x", L), np.ones(L), (), ("respiratory",)), doubts)
    assert TASKS["arousal"].fitted([judged, stranger]).threshold == THRESHOLDS[0]
    assert TASKS["arousal"].fitted([judged, stranger]).scores([judged, stranger])["event_f1"] == 1.0


def test_without_any_scored_event_the_threshold_stays():
    scoring = made_scoring(made_row("n", L), np.ones(L), (), ("arousal",))
    assert TASKS["arousal"].fitted([answered(scoring, np.full((30 * L, 1), 2.0))]) == TASKS["arousal"]


def test_an_untyped_apnea_costs_minus_the_log_of_the_three_types_together():
    """In float64, by scipy; the second beside it is a hypopnea, the third unknown."""
    draw = np.random.default_rng(0)
    output, label = draw.standard_normal((1, 30, 5)), np.full((1, 30), np.nan, dtype=np.float32)
    label[0, :2] = 5, 4
    told = softmax(output[0], axis=1)
    found = TASKS["respiratory"].loss(torch.tensor(output), torch.from_numpy(label), torch.ones(1, 1, dtype=torch.bool))
    assert found.item() == pytest.approx(-(np.log(told[0, 1:4].sum()) + np.log(told[1, 4])) / 2, rel=1e-9)
