"""The published authors' own numbers (shared facts/dash_oracle.npz) against ours."""

import json

import numpy as np
import pytest
import torch
from plain_dash import plain_loss, plain_weights

from sleep2vec.objectives import dash_infonce, infonce, negative_weights, same_person

CASES = range(20)
COMPLETE = (0, 13)  # nobody's age or sex is missing
PARTLY_KNOWN = tuple(n for n in CASES if n not in (*COMPLETE, 16, 17, 18, 19))
ALT = {"age_scale_years": 10.0, "other_sex": 0.5, "same_site": 2.0, "other_site": 0.25, "floor": 1e-4}


@pytest.fixture(scope="module")
def oracle(shared):
    numbers = dict(np.load(shared / "facts" / "dash_oracle.npz", allow_pickle=False))
    return json.loads((shared / "facts" / "dash_oracle.json").read_text())["cases"], numbers


def case_of(oracle, number):
    facts, numbers = oracle
    prefix = f"s{number:02d}_"
    return facts[number], {k.removeprefix(prefix): torch.from_numpy(v) for k, v in numbers.items() if prefix in k}


def metadata(case):
    """The oracle's -1 is our NaN."""
    age, sex = (torch.where(case[name] == -1, torch.nan, case[name].double()) for name in ("age", "sex"))
    return age, sex, case["site"], case["path"]


def loss_and_gradients(loss, x, y):
    x, y = (v.detach().clone().requires_grad_() for v in (x, y))
    value = loss(x, y)
    value.backward()
    return value.item(), x.grad, y.grad


def relative(a, b):
    return float((a - b).norm() / b.norm())


def weighted(case, facts, dtype):
    def loss(x, y):
        return dash_infonce(
            x,
            y,
            weights=case["w"].to(dtype),
            same_night=case["h"].to(dtype),
            temperature=facts["temperature"],
            margin=facts["hard_scale"],
            positive_margin=facts["pos_margin"],
        )

    return loss_and_gradients(loss, case["x"].to(dtype), case["y"].to(dtype))


@pytest.mark.parametrize("number", CASES)
def test_with_the_authors_weights_the_loss_and_its_gradients_are_the_authors(oracle, number):
    facts, case = case_of(oracle, number)
    value, gx, gy = weighted(case, facts, torch.float64)
    assert value == pytest.approx(case["weighted_f64_loss"].item(), rel=1e-9)
    assert relative(gx, case["weighted_f64_gx"]) < 1e-6
    assert relative(gy, case["weighted_f64_gy"]) < 1e-6


@pytest.mark.parametrize("number", CASES)
def test_in_float32_the_loss_keeps_six_digits(oracle, number):
    facts, case = case_of(oracle, number)
    value, gx, gy = weighted(case, facts, torch.float32)
    assert value == pytest.approx(case["weighted_f64_loss"].item(), rel=2e-6)
    assert relative(gx.double(), case["weighted_f64_gx"]) < 1e-5
    assert relative(gy.double(), case["weighted_f64_gy"]) < 1e-5


@pytest.mark.parametrize("number", CASES)
def test_plain_infonce_is_the_authors(oracle, number):
    """Without any margin: the authors give their plain loss none, also in the cases where the weighted one has it."""
    facts, case = case_of(oracle, number)
    value, gx, gy = loss_and_gradients(
        lambda x, y: infonce(x, y, facts["temperature"]), case["x"].double(), case["y"].double()
    )
    assert value == pytest.approx(case["plain_f64_loss"].item(), rel=1e-9)
    assert relative(gx, case["plain_f64_gx"]) < 1e-6
    assert relative(gy, case["plain_f64_gy"]) < 1e-6


@pytest.mark.parametrize("number", CASES)
def test_pairs_of_one_night_are_the_authors(oracle, number):
    _, case = case_of(oracle, number)
    assert torch.equal(same_person(case["path"]).float(), case["h"])


@pytest.mark.parametrize("number", COMPLETE)
@pytest.mark.parametrize(("key", "constants"), [("w", {}), ("w_alt", ALT)])
def test_where_nothing_is_missing_the_suppressing_weights_are_the_authors(oracle, number, key, constants):
    """Off the diagonal, which the loss does not read. The authors divide by (sum / (count + floor)), we by the mean."""
    _, case = case_of(oracle, number)
    ours = negative_weights(*metadata(case), same_night="suppress", **constants)
    n_negatives = (case["h"] == 0).double().sum(dim=1, keepdim=True) - 1
    authors = case[key].double() * n_negatives / (n_negatives + constants.get("floor", 1e-6))
    off = ~torch.eye(len(ours), dtype=torch.bool)
    torch.testing.assert_close(ours[off], authors[off], rtol=1e-6, atol=1e-9)


def test_the_cases_cover_what_they_are_said_to(oracle):
    complete = [n for n in CASES if not any(v.isnan().any() for v in metadata(case_of(oracle, n)[1])[:2])]
    assert tuple(complete) == COMPLETE


@pytest.mark.parametrize("number", PARTLY_KNOWN)
def test_where_metadata_are_missing_our_weights_differ_because_unknown_is_neutral(oracle, number):
    """The authors give a pair of unknown age or sex the similarity 0, so its weight is all but nothing (`floor`).

    Ours takes the row's mean of the factor over the known pairs: a person without metadata is as good a negative as
    the average one. So the authors hide unknown people from everybody, and we do not.
    """
    _, case = case_of(oracle, number)
    age, sex, *_ = known = metadata(case)
    ours, unknown_B = negative_weights(*known, same_night="suppress"), age.isnan() | sex.isnan()
    negative_BB = (case["h"] == 0) & ~torch.eye(len(age), dtype=torch.bool)
    of_unknown_BB = negative_BB & (unknown_B[:, None] | unknown_B[None, :])
    # Rows in which some pairs are known and some are not: there the two disagree.
    mixed_B = of_unknown_BB.any(dim=1) & (negative_BB & ~of_unknown_BB).any(dim=1)
    assert mixed_B.any()
    assert case["w"][of_unknown_BB & mixed_B[:, None]].max() < 1e-4
    assert ours[of_unknown_BB & mixed_B[:, None]].min() > 0.1


@pytest.mark.parametrize("number", [16, 17])
def test_where_one_factor_is_missing_for_all_ours_still_uses_the_others(oracle, number):
    """All ages, or all sexes, unknown: the authors' product is 0 for everybody, so nothing is told apart any more."""
    _, case = case_of(oracle, number)
    negative_BB = (case["h"] == 0) & ~torch.eye(len(case["w"]), dtype=torch.bool)
    np.testing.assert_allclose(case["w"][negative_BB], 1.0, atol=1e-5)
    assert negative_weights(*metadata(case))[negative_BB].std() > 0.1


@pytest.mark.parametrize("number", [18, 19])
def test_where_nothing_can_be_compared_both_weigh_all_alike(oracle, number):
    """18: one night only. 19: nothing known, one site."""
    _, case = case_of(oracle, number)
    negative_BB = (case["h"] == 0) & ~torch.eye(len(case["w"]), dtype=torch.bool)
    ours = negative_weights(*metadata(case), same_night="suppress")
    np.testing.assert_allclose(ours[negative_BB], case["w"][negative_BB], rtol=1e-5)


@pytest.mark.parametrize("number", CASES)
@pytest.mark.parametrize("suppress", [False, True])
@pytest.mark.parametrize("constants", [{}, ALT])
def test_our_weights_are_the_formula_of_the_method(oracle, number, suppress, constants):
    _, case = case_of(oracle, number)
    ours = negative_weights(*metadata(case), same_night="suppress" if suppress else "margin", **constants)
    names = {"age_scale_years": "sigma"}
    plain = plain_weights(
        *(v.double().tolist() for v in metadata(case)[:3]),
        case["h"].numpy(),
        suppress=suppress,
        **{names.get(name, name): value for name, value in constants.items()},
    )
    np.testing.assert_allclose(ours.numpy(), plain, rtol=1e-12, atol=0)


@pytest.mark.parametrize("number", CASES)
def test_the_slow_restatement_is_itself_the_authors(oracle, number):
    """The reference of the other tests is checked by somebody else's numbers, too."""
    facts, case = case_of(oracle, number)
    plain = plain_loss(
        *(case[name].double().numpy() for name in ("x", "y", "w", "h")),
        temperature=facts["temperature"],
        margin=facts["hard_scale"],
        positive_margin=facts["pos_margin"],
    )
    assert plain == pytest.approx(case["weighted_f64_loss"].item(), rel=1e-9)
