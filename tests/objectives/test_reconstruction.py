"""Reconstruction against its definition."""

import numpy as np
import pytest
import torch

from sleep2vec.objectives import reconstruction


def made(seed: int, *shapes: tuple[int, int]) -> list[torch.Tensor]:
    draw = np.random.default_rng(seed)
    return [torch.from_numpy(draw.standard_normal(shape)) for shape in shapes]


def test_it_is_the_mean_over_tokens_of_the_mean_square_of_their_features():
    shapes = ((3, 5), (2, 7))
    predicted, target = made(0, *shapes), made(1, *shapes)
    tokens = [np.mean((p - t) ** 2) for a, b in zip(predicted, target, strict=True) for p, t in zip(a.numpy(), b.numpy(), strict=True)]  # fmt: skip  # noqa: E501
    assert len(tokens) == 5
    assert reconstruction(predicted, target).item() == pytest.approx(np.mean(tokens), rel=1e-13)


def test_saying_the_mean_of_a_standardised_target_costs_one():
    """Statistics: the variance of 40,000 standard normal numbers, to 4 sigma."""
    target = made(2, (400, 100))
    zeros = [torch.zeros_like(target[0])]
    assert reconstruction(zeros, target).item() == pytest.approx(1.0, abs=4 * (2 / 40_000) ** 0.5)
    assert reconstruction(target, target).item() == 0.0


def test_shares_add_up():
    predicted, target = made(3, (6, 4)), made(4, (6, 4))
    whole = reconstruction(predicted, target).item()
    parts = [
        reconstruction([predicted[0][place]], [target[0][place]], torch.tensor(6)) for place in (slice(2), slice(2, 6))
    ]
    assert sum(part.item() for part in parts) == pytest.approx(whole, rel=1e-13)


def test_gradients_are_the_differences_of_the_loss():
    shapes = ((3, 4), (2, 3))
    inputs = [x.requires_grad_() for x in made(5, *shapes)]
    assert torch.autograd.gradcheck(lambda *guesses: reconstruction(guesses, made(6, *shapes)), inputs)


def test_without_a_hidden_token_the_loss_is_zero_and_so_is_its_gradient():
    guess = torch.zeros(0, 3, requires_grad=True)
    loss = reconstruction([guess], [torch.zeros(0, 3)])
    loss.backward()
    assert loss.item() == 0.0


def test_half_precision_guesses_are_compared_in_float32():
    predicted, target = made(7, (50, 20)), made(8, (50, 20))
    rounded = [x.bfloat16() for x in predicted]
    truth = reconstruction([x.double() for x in rounded], target).item()
    loss = reconstruction(rounded, [x.float() for x in target])
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(truth, rel=1e-6)
