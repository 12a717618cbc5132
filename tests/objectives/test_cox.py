"""Proportional hazards, judged by statsmodels, lifelines, Efron's formula written out, gradcheck and counting laws."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import CoxPHFitter, NelsonAalenFitter
from statsmodels.duration.hazard_regression import PHReg

from sleep2vec.objectives import breslow_baseline, cox_loss, log_cumulative_hazard, survival_probability
from sleep2vec.vocabulary.errors import UsageError

NAN = float("nan")
SEEDS = st.integers(0, 1_000_000)


def cohort(seed, n=20, n_times=6, unknown=0.0):
    """Log hazards, times and events with ties of every kind."""
    generator = np.random.default_rng(seed)
    time, event = generator.integers(1, n_times + 1, n).astype(float), (generator.random(n) < 0.6).astype(float)
    time[generator.random(n) < unknown], event[generator.random(n) < unknown] = NAN, NAN
    return tuple(torch.from_numpy(column) for column in (generator.normal(size=n), time, event))


def plain_loss(log_hazard, time, event):
    """Efron's formula as it is written, one event after the other."""
    total, n_events = 0.0, 0
    for moment in sorted({t for t, e in zip(time, event, strict=True) if e == 1}):
        at_risk = sum(math.exp(h) for h, t in zip(log_hazard, time, strict=True) if t >= moment)
        having = [h for h, t, e in zip(log_hazard, time, event, strict=True) if t == moment and e == 1]
        for nth, h in enumerate(having):
            total += math.log(at_risk - nth / len(having) * sum(map(math.exp, having))) - h
        n_events += len(having)
    return total / n_events if n_events else 0.0


@settings(deadline=None)
@given(SEEDS, st.integers(2, 30))
def test_the_loss_is_efrons_partial_likelihood(seed, n):
    log_hazard, time, event = cohort(seed, n, unknown=0.1)
    known = ~(time.isnan() | event.isnan())
    ours = cox_loss(log_hazard, time, event).item()
    columns = log_hazard[known].numpy(), time[known].numpy(), event[known].numpy()
    assert ours == pytest.approx(plain_loss(*columns), rel=1e-10, abs=1e-12)
    if not columns[2].any():
        return
    model = PHReg(columns[1], columns[0][:, None], status=columns[2], ties="efron")
    assert ours == pytest.approx(-model.loglike(np.array([1.0])) / columns[2].sum(), rel=1e-9, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_the_gradient_is_that_of_the_loss(seed):
    log_hazard, time, event = cohort(seed, 9, n_times=3, unknown=0.1)
    assert torch.autograd.gradcheck(lambda h: cox_loss(h, time, event), log_hazard.requires_grad_(), atol=1e-7)


def test_minimising_it_gives_the_coefficients_of_lifelines():
    generator = np.random.default_rng(0)
    n = 200
    x = generator.normal(size=(n, 2))
    time = np.ceil(4 * generator.exponential(size=n) * np.exp(-x @ [0.8, -0.4]))
    lost = generator.integers(1, 15, n)
    seen, event = np.minimum(time, lost), (time <= lost).astype(float)
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "time": seen, "event": event})
    theirs = CoxPHFitter().fit(frame, "time", "event")
    x, seen, event = (torch.from_numpy(values) for values in (x, seen.astype(float), event))
    beta = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([beta], lr=0.5, max_iter=200, tolerance_grad=1e-10, tolerance_change=1e-14)

    def closure():
        solver.zero_grad()
        loss = cox_loss(x @ beta, seen, event)
        loss.backward()
        return loss

    solver.step(closure)
    np.testing.assert_allclose(beta.detach().numpy(), theirs.params_.to_numpy(), atol=1e-5)
    assert -cox_loss(x @ beta, seen, event).item() * event.sum().item() == pytest.approx(theirs.log_likelihood_)
    # lifelines tells the baseline of the average person; what a person may expect is the same.
    baseline = breslow_baseline(x @ beta, seen, event)
    asked = [1.0, 3.0, 8.0, 12.0]  # times of events: between them lifelines draws a line
    said = theirs.predict_survival_function(frame.iloc[:10], times=asked).to_numpy().T
    ours = survival_probability((x @ beta)[:10].detach(), baseline, torch.tensor(asked))
    np.testing.assert_allclose(ours.numpy(), said, atol=1e-5)


@settings(deadline=None)
@given(SEEDS, st.sampled_from([-5000.0, 300.0, 5000.0]))
def test_large_hazards_change_nothing(seed, offset):
    """Only differences count; exp(300) is no float32, exp(5000) no float64."""
    log_hazard, time, event = cohort(seed)
    plain = cox_loss(log_hazard, time, event).item()
    assert cox_loss(log_hazard + offset, time, event).item() == pytest.approx(plain, rel=1e-9, abs=1e-9)
    shifted = (log_hazard.float() + offset).requires_grad_()
    loss = cox_loss(shifted, time, event)
    loss.backward()
    exact = shifted.detach().double().requires_grad_()
    cox_loss(exact, time, event).backward()
    assert loss.item() == pytest.approx(cox_loss(exact, time, event).item(), rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(shifted.grad.numpy(), exact.grad.numpy(), atol=1e-6)
    assert abs(shifted.grad.sum().item()) < 1e-6  # the loss does not change along the offset


def test_hazards_that_differ_by_thousands_have_the_loss_of_their_order():
    """Alone at risk is who has the largest; the wrong order costs the difference."""
    hazard = torch.tensor([4000.0, 0.0, -4000.0], dtype=torch.float64, requires_grad=True)
    right, wrong = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([3.0, 2.0, 1.0])
    assert cox_loss(hazard, right, torch.ones(3)).item() == 0.0
    loss = cox_loss(hazard, wrong, torch.ones(3))
    loss.backward()
    assert loss.item() == pytest.approx((8000 + 4000) / 3)
    assert hazard.grad.tolist() == pytest.approx([2 / 3, -1 / 3, -1 / 3])


def test_who_knows_nothing_pays_the_logarithm_of_the_risk_sets():
    """Equal hazards, no ties: the mean of log n, log(n - 1), .., log 1."""
    n = 30
    ours = cox_loss(torch.zeros(n, dtype=torch.float64), torch.randperm(n).double(), torch.ones(n))
    assert ours.item() == pytest.approx(math.lgamma(n + 1) / n, rel=1e-12)
    # All at one time: Efron's set shrinks by one person a term, to the same product.
    tied = cox_loss(torch.zeros(n, dtype=torch.float64), torch.ones(n), torch.ones(n))
    assert tied.item() == pytest.approx(math.lgamma(n + 1) / n, rel=1e-12)


@pytest.mark.parametrize("events", [[0.0, 0.0, NAN], [NAN, NAN, NAN]])
def test_without_an_event_there_is_nothing_to_learn(events):
    hazard = torch.tensor([1.0, math.inf, NAN], requires_grad=True)
    loss = cox_loss(hazard, torch.tensor([1.0, 2.0, 3.0]), torch.tensor(events))
    loss.backward()
    assert (loss.item(), hazard.grad.tolist()) == (0.0, [0.0, 0.0, 0.0])


def test_an_unknown_row_counts_nowhere_and_gets_no_gradient():
    hazard = torch.tensor([0.3, -0.2, NAN, 8.0], dtype=torch.float64, requires_grad=True)
    time, event = torch.tensor([1.0, 2.0, NAN, 3.0]), torch.tensor([1.0, 1.0, 1.0, NAN])
    loss = cox_loss(hazard, time, event)
    loss.backward()
    assert loss.item() == pytest.approx(plain_loss([0.3, -0.2], [1, 2], [1, 1]))
    assert hazard.grad[2:].tolist() == [0.0, 0.0]
    assert hazard.grad[:2].abs().min() > 0


def test_half_precision_is_computed_in_float32():
    log_hazard, time, event = cohort(4)
    rounded = log_hazard.bfloat16()
    ours = cox_loss(rounded, time.float(), event.bool())
    assert ours.dtype == torch.float32
    assert ours.item() == pytest.approx(cox_loss(rounded.double(), time, event).item(), rel=1e-5)


@settings(deadline=None)
@given(SEEDS)
def test_without_a_model_the_baseline_is_nelson_and_aalens(seed):
    _, time, event = cohort(seed, unknown=0.1)
    known = ~(time.isnan() | event.isnan())
    baseline = breslow_baseline(torch.zeros_like(time), time, event)
    asked = np.array([0.0, 1.0, 2.5, 4.0, 6.0])
    asked = asked[asked <= time[known].max().item()]
    fitter = NelsonAalenFitter(nelson_aalen_smoothing=False).fit(time[known].numpy(), event[known].numpy())
    theirs = fitter.cumulative_hazard_at_times(asked).to_numpy()
    np.testing.assert_allclose(log_cumulative_hazard(baseline, torch.tensor(asked)).exp().numpy(), theirs, atol=1e-12)


@settings(deadline=None)
@given(SEEDS, st.sampled_from([0.0, 900.0, -900.0]))
def test_the_hazards_of_all_add_up_to_their_events(seed, offset):
    """Breslow's law, at every size of hazard: what is foretold of all together is what happened."""
    log_hazard, time, event = cohort(seed, 25)
    log_hazard = log_hazard * 3 + offset
    foretold = log_hazard + log_cumulative_hazard(breslow_baseline(log_hazard, time, event), time)
    assert foretold.exp().sum().item() == pytest.approx(event.sum().item(), rel=1e-9)
    stated = survival_probability(log_hazard, breslow_baseline(log_hazard, time, event), time)
    np.testing.assert_allclose(stated.diagonal().log(), -foretold.exp(), rtol=1e-6, atol=1e-12)


def test_a_baseline_is_told_in_float64_whatever_the_model_computes_in():
    """The law of the totals, to twelve digits, from a model in float32 that is still being taught."""
    log_hazard, time, event = cohort(5, 200)
    log_hazard, time = log_hazard.float().requires_grad_(), time.float()
    baseline = breslow_baseline(log_hazard, time, event)
    assert not baseline.log_hazard_K.requires_grad
    foretold = (log_hazard.detach().double() + log_cumulative_hazard(baseline, time)).exp().sum()
    assert foretold.item() == pytest.approx(event.sum().item(), rel=1e-12)


def test_nothing_is_foretold_beyond_the_last_look():
    baseline = breslow_baseline(torch.zeros(3), torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 0.0, 0.0]))
    stated = survival_probability(torch.tensor([0.0, 100.0]), baseline, torch.tensor([0.5, 1.0, 4.0, 4.1, NAN]))
    expected = math.exp(-1 / 3)
    np.testing.assert_allclose(stated, [[1, expected, expected, NAN, NAN], [1, 0, 0, NAN, NAN]], atol=1e-12)
    nobody = breslow_baseline(torch.zeros(2), torch.tensor([1.0, 2.0]), torch.zeros(2))
    np.testing.assert_array_equal(survival_probability(torch.ones(1), nobody, torch.tensor([2.0, 3.0])), [[1, NAN]])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: cox_loss(torch.zeros(3), torch.ones(2), torch.ones(3)), r"got shapes \(3,\), \(2,\) and \(3,\)"),
        (lambda: cox_loss(torch.zeros(2, 1), torch.ones(2, 1), torch.ones(2, 1)), "for each person"),
        (lambda: cox_loss(torch.zeros(2), torch.ones(2), torch.tensor([1.0, -1.0])), "an event is -1"),
        (lambda: breslow_baseline(torch.zeros(1), torch.tensor([NAN]), torch.ones(1)), "there are none"),
    ],
)
def test_says_what_is_wrong(call, sentence):
    with pytest.raises(UsageError, match=sentence):
        call()
