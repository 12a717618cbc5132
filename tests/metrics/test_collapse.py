"""Collapse: embeddings made to collapse in a known way, and healthy ones, through the numbers that a run logs."""

import numpy as np
import pytest

from sleep2vec.metrics.collapse import LEAST_RANK, LEAST_SPREAD, Collapse, Shape, diagnosed
from sleep2vec.metrics.embedding_geometry import uniform_uniformity
from sleep2vec.tasks.pretraining_validation import MOST_EMBEDDINGS, shape_of

DRAW = np.random.default_rng(0)
HEALTHY = DRAW.standard_normal((500, 128)) * np.geomspace(1, 0.1, 128) + 0.3
RANK_3 = DRAW.standard_normal((500, 3)) @ DRAW.standard_normal((3, 128))
ONE_POINT = DRAW.standard_normal(128) + 0.02 * DRAW.standard_normal((500, 128))
CONSTANT = np.tile(DRAW.standard_normal(128).astype(np.float32), (500, 1))


def shapes(**parts):
    return {name: shape_of(x) for name, x in parts.items()}


def test_a_healthy_model_is_not_complained_of():
    found = diagnosed(shapes(eeg=HEALTHY, ibi=HEALTHY[::-1]), 0.3, 0.03)
    assert (found.collapse, found.sentence) == (Collapse.NONE, None)


@pytest.mark.parametrize("x", [ONE_POINT, CONSTANT])
def test_one_point_is_a_total_collapse_and_no_dimensional_one(x):
    """Noise around the point has every direction: rank alone would call it healthy."""
    found = diagnosed(shapes(eeg=x, ibi=x), 0.03, 0.03)
    assert found.collapse == Collapse.TOTAL
    assert found.sentence.startswith("total collapse of every modality: all embeddings are nearly the same point")
    assert "dimensional" not in found.sentence
    assert "(top-1 0.030, chance 0.030)" in found.sentence


def test_three_directions_are_a_dimensional_collapse_and_no_total_one():
    shape = shape_of(RANK_3)
    assert shape.rank == pytest.approx(3, abs=0.3)
    found = diagnosed({"eeg": shape_of(HEALTHY), "ibi": shape}, 0.3, 0.03)
    assert found.collapse == Collapse.DIMENSIONAL
    assert found.sentence.startswith(
        f"dimensional collapse of ibi: the embeddings differ, but in {shape.rank:.1f} of 128"
    )
    assert "total" not in found.sentence


def test_one_modality_may_collapse_and_the_gravest_finding_counts():
    found = diagnosed(shapes(eeg=HEALTHY, ibi=CONSTANT, spo2=RANK_3), 0.3, 0.03)
    assert found.collapse == Collapse.TOTAL
    assert "total collapse of ibi:" in found.sentence
    assert "dimensional collapse of spo2:" in found.sentence


def test_retrieval_at_chance_is_said_alone():
    found = diagnosed(shapes(eeg=HEALTHY), 0.034, 0.03)
    assert found.collapse == Collapse.CHANCE
    assert found.sentence.startswith("simultaneous signals find each other no better than chance")
    assert diagnosed(shapes(eeg=HEALTHY), 0.06, 0.03).collapse == Collapse.NONE


def test_a_narrow_space_and_few_embeddings_are_not_blamed_for_their_size():
    """12 dimensions cannot have a rank of 8 in practice, nor can 6 embeddings."""
    assert diagnosed(shapes(eeg=HEALTHY[:, :12]), 0.3, 0.03).collapse == Collapse.NONE
    assert diagnosed(shapes(eeg=HEALTHY[:6]), 0.3, 0.03).collapse == Collapse.NONE
    assert diagnosed(shapes(eeg=RANK_3[:, :16] * (1, *[0.01] * 15)), 0.3, 0.03).collapse == Collapse.DIMENSIONAL


def test_unknown_says_nothing():
    nothing = shape_of(HEALTHY[:0])
    assert diagnosed({"eeg": nothing}, float("nan"), float("nan")) == diagnosed({}, 0.3, 0.03)


def test_the_thresholds_mean_what_they_are_said_to_mean():
    """0.01 of variance is a mean similarity of 0.99, a uniformity of -4 times it; 8 even directions reach -3.1."""
    assert uniform_uniformity(8) == pytest.approx(-3.1, abs=0.05)
    assert uniform_uniformity(3) == pytest.approx(-2.1, abs=0.05)
    assert uniform_uniformity(128) == pytest.approx(-3.9, abs=0.05)
    point = DRAW.standard_normal(64)
    near = point + 0.1 * DRAW.standard_normal((2000, 64))
    shape = shape_of(near)
    assert shape.spread == pytest.approx(LEAST_SPREAD, rel=0.5)
    assert shape.uniformity == pytest.approx(-4 * shape.spread, rel=0.05)
    assert LEAST_RANK == 8


def test_a_large_modality_is_judged_by_a_part_that_agrees_with_the_whole():
    x = np.random.default_rng(5).standard_normal((20_000, 32)) * np.geomspace(1, 0.2, 32)
    part, whole = shape_of(x), shape_of(x[:: len(x) // MOST_EMBEDDINGS + 1])
    assert part.uniformity == pytest.approx(whole.uniformity, abs=0.02)
    assert part.rank == pytest.approx(whole.rank, rel=0.02)
    assert Shape(part.spread, part.uniformity, part.rank, 32) == part
