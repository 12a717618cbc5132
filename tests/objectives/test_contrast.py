"""DASH-InfoNCE and InfoNCE against closed forms, symmetries and a slow restatement."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_dash import plain_loss, plain_same_person, plain_weights

from sleep2vec.objectives import TemporalNegatives, dash_infonce, infonce, negative_weights, same_person
from sleep2vec.objectives.temporal_negatives import draw_moments

B, L, D = 6, 7, 8
SETTINGS = {"temperature": 0.2, "margin": 0.1}
NAN = float("nan")


def tokens(seed: int, n: int = B, n_tokens: int = L, width: int = D) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.randn(2, n, n_tokens, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


def people(n: int = B):
    """Ages, sexes, sites, nights; two windows of one night; some unknown."""
    age = torch.tensor([30.0, 30.0, 71.0, NAN, 45.5, 62.0])[:n]
    sex = torch.tensor([0.0, 0.0, 1.0, 1.0, NAN, 0.0])[:n]
    site = torch.tensor([0.0, 0.0, 1.0, 1.0, 0.0, NAN])[:n]
    night = torch.tensor([0.0, 0.0, 1.0, 2.0, 3.0, 4.0])[:n]
    return age.double(), sex.double(), site.double(), night.double()


# --- closed forms -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 8, 64])
def test_embeddings_that_say_nothing_cost_log_n(n):
    """Algebra: the positive is one guess among n."""
    same = torch.ones(n, 3, 16, dtype=torch.float64)
    assert infonce(same, same, 0.1).item() == pytest.approx(math.log(n), rel=1e-12)
    assert dash_infonce(same, same, **SETTINGS).item() == pytest.approx(math.log(n), rel=1e-12)


@pytest.mark.parametrize("n", [2, 8])
def test_weights_that_average_one_leave_log_n(n):
    """Algebra: with equal similarities the total weight of the negatives is all that counts, and it is n - 1."""
    same = torch.ones(n, 3, 16, dtype=torch.float64)
    code = torch.arange(n).double()
    weights = negative_weights(20 + 7 * code, code % 2, code % 3, code)
    assert infonce(same, same).item() == pytest.approx(math.log(n), rel=1e-12)
    assert dash_infonce(same, same, weights=weights, **SETTINGS).item() == pytest.approx(math.log(n), rel=1e-12)


@pytest.mark.parametrize("temperature", [0.07, 0.5, 1.0])
def test_orthogonal_pairs_have_a_closed_form(temperature):
    n, pairs = 8, torch.eye(8, dtype=torch.float64)[:, None]
    expected = math.log1p((n - 1) * math.exp(-1 / temperature))
    assert infonce(pairs, pairs, temperature).item() == pytest.approx(expected, rel=1e-12)


def test_a_positive_margin_has_a_closed_form():
    n, pairs = 8, torch.eye(8, dtype=torch.float64)[:, None]
    expected = math.log1p((n - 1) * math.exp(-1.05 / 0.2))
    assert infonce(pairs, pairs, 0.2, positive_margin=0.05).item() == pytest.approx(expected, rel=1e-12)


def test_opposite_pairs_of_two_have_a_closed_form():
    """Algebra: two anchors, the positive at -1 and the negative at +1."""
    first = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    assert infonce(first, -first, 0.5).item() == pytest.approx(math.log1p(math.exp(2 / 0.5)), rel=1e-12)


def test_equal_metadata_give_infonce_exactly():
    first, second = tokens(1)
    weights = negative_weights(torch.full((B,), 40.0), torch.ones(B), torch.ones(B), torch.arange(B))
    dash = dash_infonce(first, second, weights=weights, temperature=0.2, margin=0.1)
    assert dash.item() == pytest.approx(infonce(first, second, 0.2).item(), rel=1e-14)


def test_nothing_known_gives_infonce_and_the_margin_on_pairs_of_one_person():
    first, second = tokens(2)
    unknown, night = torch.full((B,), NAN), torch.tensor([0, 0, 1, 2, 2, 3])
    weights = negative_weights(unknown, unknown, unknown, night)
    torch.testing.assert_close(weights, torch.ones(B, B, dtype=torch.float64), rtol=1e-14, atol=0)
    h = same_person(night)
    dash = dash_infonce(first, second, weights=weights, same_night=h, temperature=0.2, margin=0.1).item()
    assert dash_infonce(first, second, weights=weights, same_night=h, temperature=0.2, margin=0.0).item() == (
        pytest.approx(infonce(first, second, 0.2).item(), rel=1e-14)
    )
    plain = plain_loss(first.numpy(), second.numpy(), np.ones((B, B)), h.numpy(), **SETTINGS)
    assert dash == pytest.approx(plain, rel=1e-12)
    assert dash < infonce(first, second, 0.2).item()  # the margin only weakens negatives


def test_windows_alone_are_tokens_of_length_one():
    first, second = tokens(3, n_tokens=1)
    assert infonce(first[:, 0], second[:, 0]).item() == infonce(first, second).item()


# --- weights ----------------------------------------------------------------------------------------------------


def test_the_weight_of_two_people_has_a_closed_form():
    """Three windows: the row's two raw weights, divided by their mean."""
    night = torch.arange(3)
    age, sex, site = torch.tensor([40.0, 60.0, 40.0]), torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    raw = np.array([math.exp(-1) * 0.8 * 1.3 + 1e-6, 1.0 * 1.0 * 0.8 + 1e-6])
    np.testing.assert_allclose(negative_weights(age, sex, site, night)[0, 1:], raw / raw.mean(), rtol=1e-13)


def test_two_nights_of_one_person_are_no_negatives_but_two_unknown_people_are():
    night, subject = torch.arange(4), torch.tensor([5.0, 5.0, NAN, NAN])
    expected = torch.zeros(4, 4, dtype=torch.bool)
    expected[0, 1] = expected[1, 0] = True
    assert torch.equal(same_person(night, subject), expected)
    assert not same_person(night).any()


def test_a_row_without_negatives_has_weight_one_everywhere():
    one_night = torch.zeros(5)
    for mode in ("margin", "suppress"):
        weights = negative_weights(torch.arange(5) * 10.0, torch.ones(5), torch.ones(5), one_night, same_night=mode)
        assert torch.equal(weights, torch.ones(5, 5, dtype=torch.float64))


def test_an_unknown_choice_of_same_night_is_refused():
    with pytest.raises(ValueError, match="choose 'margin' or 'suppress'"):
        negative_weights(*people(), same_night="hide")


codes = st.one_of(st.just(NAN), st.integers(0, 2).map(float))


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(
        st.tuples(st.one_of(st.just(NAN), st.floats(1, 100)), codes, codes, st.integers(0, 5), codes),
        min_size=1,
        max_size=8,
    ),
    suppress=st.booleans(),
)
def test_weights_are_the_slow_restatement_and_rows_average_one(rows, suppress):
    age, sex, site, night, subject = (torch.tensor(column, dtype=torch.float64) for column in zip(*rows, strict=True))
    mode = "suppress" if suppress else "margin"
    ours = negative_weights(age, sex, site, night, subject=subject, same_night=mode).numpy()
    h = plain_same_person(night.tolist(), subject.tolist())
    plain = plain_weights(age.tolist(), sex.tolist(), site.tolist(), h, suppress=suppress)
    np.testing.assert_allclose(ours, plain, rtol=1e-12)
    for i, row in enumerate(ours):
        negatives = [row[j] for j in range(len(row)) if j != i and not h[i, j]]
        assert not negatives or np.mean(negatives) == pytest.approx(1.0, rel=1e-12)


# --- symmetries -------------------------------------------------------------------------------------------------


def whole_loss(first, second, known, valid=None, temporal=None):
    weights = negative_weights(*known)
    h = same_person(known[3])
    return dash_infonce(first, second, weights=weights, same_night=h, valid=valid, temporal=temporal, **SETTINGS)


ALL_DRAWN = TemporalNegatives(n_drawn=100, exclusion_tokens=1, share=1.0)


@pytest.mark.parametrize("temporal", [None, ALL_DRAWN])
def test_the_order_of_the_batch_does_not_matter(temporal):
    first, second = tokens(4)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    straight = whole_loss(first, second, people(), temporal=temporal)
    shuffled = whole_loss(first[order], second[order], tuple(v[order] for v in people()), temporal=temporal)
    assert shuffled.item() == pytest.approx(straight.item(), rel=1e-13)


@pytest.mark.parametrize("temporal", [None, ALL_DRAWN])
def test_no_modality_comes_first(temporal):
    first, second = tokens(5)
    one = whole_loss(first, second, people(), temporal=temporal).item()
    assert whole_loss(second, first, people(), temporal=temporal).item() == pytest.approx(one, rel=1e-13)


def test_only_directions_count():
    """Cosine similarity: scaling a token by any positive number changes nothing."""
    first, second = tokens(6)
    stretch = torch.rand(B, L, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 9 + 0.1
    one = infonce(first, second).item()
    assert infonce(first * stretch, second / stretch).item() == pytest.approx(one, rel=1e-13)


# --- validity ---------------------------------------------------------------------------------------------------


def some_valid(seed: int = 0) -> torch.Tensor:
    valid = torch.rand(B, L, generator=torch.Generator().manual_seed(seed)) < 0.7
    valid[2] = False  # a window that holds nothing
    valid[:, 3] = False  # a moment that nobody holds
    return valid


@pytest.mark.parametrize("garbage", [NAN, math.inf, 1e300, 0.0])
@pytest.mark.parametrize("temporal", [None, ALL_DRAWN])
def test_invalid_tokens_change_neither_the_loss_nor_any_gradient(garbage, temporal):
    first, second = tokens(7)
    valid = some_valid()

    def run(x, y):
        x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
        loss = whole_loss(x, y, people(), valid, temporal)
        loss.backward()
        return loss.detach(), x.grad, y.grad

    clean = run(first, second)
    spoiled = run(*(torch.where(valid[..., None], x, garbage) for x in (first, second)))
    for a, b in zip(clean, spoiled, strict=True):
        assert torch.equal(a, b)
    assert not clean[1][~valid].any()  # invalid tokens get no gradient


@pytest.mark.parametrize("temporal", [None, ALL_DRAWN])
def test_padding_and_empty_windows_change_nothing(temporal):
    first, second = tokens(8)
    valid = some_valid(1)
    one = whole_loss(first, second, people(), valid, temporal).item()
    padded = [torch.nn.functional.pad(x, (0, 0, 0, 5), value=NAN) for x in (first, second)]
    longer = whole_loss(*padded, people(), torch.nn.functional.pad(valid, (0, 5)), temporal).item()
    assert longer == pytest.approx(one, rel=1e-13)
    # A window without a valid token takes part in the rows' average weight, so only equal weights may leave it out.
    kept = valid.any(dim=1)
    without = dash_infonce(first[kept], second[kept], valid=valid[kept], temporal=temporal, **SETTINGS)
    with_it = dash_infonce(first, second, valid=valid, temporal=temporal, **SETTINGS)
    assert with_it.item() == pytest.approx(without.item(), rel=1e-13)


@pytest.mark.parametrize("temporal", [None, ALL_DRAWN])
def test_without_a_valid_token_the_loss_is_zero_and_so_is_its_gradient(temporal):
    first, second = (x.requires_grad_() for x in tokens(9))
    loss = dash_infonce(first, second, valid=torch.zeros(B, L, dtype=torch.bool), temporal=temporal, **SETTINGS)
    loss.backward()
    assert loss.item() == 0.0
    assert not first.grad.any()
    assert not second.grad.any()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_the_loss_is_the_slow_restatement(seed, data):
    n, n_tokens = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    first, second = tokens(seed, n, n_tokens, 4)
    valid = torch.tensor(data.draw(st.lists(st.booleans(), min_size=n * n_tokens, max_size=n * n_tokens)))
    valid = valid.reshape(n, n_tokens)
    night = torch.tensor(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    weights, h = negative_weights(people(n)[0], *people(n)[1:3], night), same_person(night)
    share, exclusion = data.draw(st.sampled_from([None, 0.5, 1.0, 2.0])), data.draw(st.integers(0, 3))
    constants = {"temperature": 0.3, "margin": 0.15, "positive_margin": 0.05}
    ours = dash_infonce(
        first,
        second,
        weights=weights,
        same_night=h,
        valid=valid,
        temporal=None if share is None else TemporalNegatives(99, exclusion, share),
        **constants,
    )
    plain = plain_loss(
        *(x.numpy() for x in (first, second, weights, h)),
        valid=valid.numpy(),
        temporal_share=share,
        exclusion=exclusion,
        **constants,
    )
    assert ours.item() == pytest.approx(plain, rel=1e-11, abs=1e-12)


# --- temporal negatives -----------------------------------------------------------------------------------------


def test_temporal_negatives_weigh_as_much_as_the_other_people():
    """Algebra: all similarities equal, so each anchor's loss is log(1 + (B - 1) + share (B - 1)), however many drawn.

    Moments within the exclusion zone are left out; every anchor here still has some.
    """
    same = torch.ones(B, 40, 4, dtype=torch.float64)
    for share in (0.5, 1.0, 3.0):
        for n_drawn in (1, 5, 32, 100):
            temporal = TemporalNegatives(n_drawn, 10, share)
            loss = dash_infonce(same, same, temporal=temporal, **SETTINGS).item()
            assert loss == pytest.approx(math.log(B + share * (B - 1)), rel=1e-12)


def test_pairs_of_one_person_do_not_add_to_the_temporal_weight():
    """Algebra: of B - 1 others, one is the anchor's own night (weight exp(-margin / temperature)); B - 2 are people."""
    same, night = torch.ones(4, 40, 4, dtype=torch.float64), torch.tensor([0, 0, 1, 1])
    loss = dash_infonce(same, same, same_night=same_person(night), temporal=TemporalNegatives(9, 10, 1.0), **SETTINGS)
    assert loss.item() == pytest.approx(math.log(1 + 2 + math.exp(-0.1 / 0.2) + 2), rel=1e-12)


def test_a_lone_window_has_nothing_to_be_told_from():
    """No other people: nothing weighs, temporal negatives included (their weight is a multiple of nothing)."""
    first, second = (x.requires_grad_() for x in tokens(10, n=1, n_tokens=30))
    loss = dash_infonce(first, second, temporal=TemporalNegatives(), **SETTINGS)
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-12)
    assert first.grad.abs().max() < 1e-12


def test_a_window_shorter_than_the_exclusion_zone_has_no_temporal_negatives():
    first, second = tokens(11)
    far = TemporalNegatives(32, exclusion_tokens=L, share=1.0)
    assert dash_infonce(first, second, temporal=far, **SETTINGS).item() == pytest.approx(
        dash_infonce(first, second, **SETTINGS).item(), rel=1e-14
    )


@pytest.mark.parametrize("n_drawn", [3, 8, 1000])
def test_only_valid_moments_outside_the_exclusion_zone_are_drawn(n_drawn):
    """An anchor that moves changes the gradient of exactly those moments that share a sum with it."""
    n_tokens, anchor, exclusion = 30, 12, 4
    first, second = tokens(12, n=3, n_tokens=n_tokens)
    valid = torch.ones(3, n_tokens, dtype=torch.bool)
    valid[0] = torch.rand(n_tokens, generator=torch.Generator().manual_seed(5)) < 0.6
    valid[0, anchor] = True
    moved = first.clone()
    moved[0, anchor] += torch.randn(D, dtype=torch.float64, generator=torch.Generator().manual_seed(6))

    def gradient_of_second(first):
        candidates = second.clone().requires_grad_()
        temporal, generator = TemporalNegatives(n_drawn, exclusion, 1.0), torch.Generator().manual_seed(1)
        dash_infonce(first, candidates, valid=valid, temporal=temporal, generator=generator, **SETTINGS).backward()
        return candidates.grad

    mixed = gradient_of_second(moved) - gradient_of_second(first)
    drawn = mixed[0].abs().amax(dim=-1) > 0
    # The backward direction draws for itself: a candidate may also appear because *it* drew the anchor. It obeys the
    # same zone, so together they can only be allowed moments, and at least min(n_drawn, allowed) of them.
    distance = (torch.arange(n_tokens) - anchor).abs()
    allowed = valid[0] & (distance > exclusion)
    drawn[anchor] = False
    assert not (drawn & ~allowed).any()
    assert drawn.sum() >= min(n_drawn, int(allowed.sum()))
    assert not mixed[1:, distance > 0].any()  # other people's other moments never


def test_the_draw_is_uniform_and_repeats_with_its_generator():
    """Statistics: every allowed moment comes up equally often (4 sigma of a binomial)."""
    valid, temporal = torch.ones(500, 20, dtype=torch.bool), TemporalNegatives(4, 3, 1.0)
    drawn = draw_moments(valid, temporal, torch.Generator().manual_seed(0))
    assert torch.equal(drawn, draw_moments(valid, temporal, torch.Generator().manual_seed(0)))
    far = (torch.arange(20)[:, None] - torch.arange(20)[None]).abs() > 3
    assert (drawn.sum(dim=-1) == 4).all()
    share = drawn.double().mean(dim=0)
    expected = torch.where(far, 4 / far.sum(dim=1, keepdim=True), 0.0)
    assert ((share - expected).abs() <= 4 * (expected * (1 - expected) / 500).sqrt()).all()


# --- numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temporal", [None, ALL_DRAWN])
def test_gradients_are_the_differences_of_the_loss(temporal):
    """torch's gradcheck: finite differences in float64."""
    first, second = (x.requires_grad_() for x in tokens(13, 4, 4, 3))
    known, valid = tuple(v[:4] for v in people()), some_valid()[:4, :4]
    assert torch.autograd.gradcheck(lambda x, y: whole_loss(x, y, known, valid, temporal), (first, second))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_tokens_are_contrasted_in_float32_also_under_autocast(dtype):
    """The judge is the same rounded tokens contrasted in float64; 16-bit similarities would be off by 1e-3."""
    first, second = (x.to(dtype) for x in tokens(14, 16, 8, 64))
    truth = infonce(first.double(), second.double(), 0.05).item()
    loss = infonce(first, second, 0.05)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(truth, rel=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = dash_infonce(first, second, temperature=0.05, temporal=ALL_DRAWN)
    expected = dash_infonce(first.double(), second.double(), temperature=0.05, temporal=ALL_DRAWN).item()
    assert under_autocast.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_generator_stays_on_the_cpu_and_the_loss_is_the_same():
    """The training loop seeds one generator on the CPU, whatever the device; few moments drawn, so it is used."""
    first, second = tokens(15, n_tokens=40)
    few = TemporalNegatives(n_drawn=5, exclusion_tokens=3)
    values = []
    for device in ("cpu", "cuda"):
        known = tuple(v.to(device) for v in people())
        values.append(
            dash_infonce(
                first.to(device),
                second.to(device),
                weights=negative_weights(*known),
                same_night=same_person(known[3]),
                temporal=few,
                generator=torch.Generator().manual_seed(0),
                **SETTINGS,
            ).item()
        )
    assert values[1] == pytest.approx(values[0], rel=1e-10)
