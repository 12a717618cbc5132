"""What moves in an adaptation, how fast, and which pairs are drawn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_nights import made_night, store_of

from sleep2vec.data.pairs import PairConfig, PairSource
from sleep2vec.data.window import WindowReader
from sleep2vec.model.encoder import ModelConfig
from sleep2vec.tasks.adaptation import (
    AdaptationConfig,
    let_learn,
    new_pairs_first,
    rates_of,
    widened,
)
from sleep2vec.tasks.calibration import calibrate
from sleep2vec.tasks.pretraining import Aligner, AlignmentConfig, alignment_work
from sleep2vec.training.optimizer import OptimizerConfig
from sleep2vec.training.runner import RunConfig, train

OLD, NEW = ("airflow", "belt", "spo2"), ("actigraphy",)
RATE = 1e-3


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return store_of(
        tmp_path_factory.mktemp("adapt") / "store", [made_night(f"n{i}", i, 24, OLD + NEW) for i in range(6)]
    )


def pretrained() -> Aligner:
    torch.manual_seed(3)
    return Aligner(ModelConfig(modalities=OLD, dropout=0.1))


def adapted(store, folder, steps, new_pairs=(1.0,), rates=None, frozen=True):
    """`pretrained` after some steps, and before them."""
    torch.manual_seed(0)
    module = widened(pretrained(), NEW, AlignmentConfig())
    reader = WindowReader(store)
    nights = [row.night_id for row in store.rows]
    calibrate(module.encoder, reader, nights, 0, NEW)
    let_learn(module, NEW if frozen else None)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    batches = new_pairs_first(PairConfig(batch_windows=4, window_tokens=8), NEW, new_pairs)
    source = PairSource(reader, nights, OLD + NEW, batches, 1, n_steps=steps)
    run = RunConfig(steps=steps, seed=2, device="cpu")
    work = alignment_work(module, source, None, AlignmentConfig(), run, rates or {})
    optimizer = OptimizerConfig(learning_rate=RATE, warmup_share=0.0, clip_norm=1e9)
    averaged = train(work, run, optimizer, folder, "f")
    return module, before, averaged


def is_new(name: str) -> bool:
    return name.startswith("encoder.tokenizers.actigraphy.")


def test_the_first_stage_leaves_every_old_number_as_it_was_to_the_bit(store, tmp_path):
    """Parameters and buffers, of the module and of its average; the tokenizer of the new sensor moves."""
    old = pretrained().state_dict()
    module, before, averaged = adapted(store, tmp_path, 7)
    for after in (module.state_dict(), averaged.state_dict()):
        assert all(torch.equal(after[name], value) for name, value in old.items())
        moved = [name for name, value in after.items() if not torch.equal(value, before[name])]
        assert moved
        assert all(map(is_new, moved))
        assert {name for name, _ in module.named_parameters() if is_new(name)} == set(moved)


def test_what_the_model_makes_of_old_sensors_is_the_same_after_the_first_stage(store, tmp_path):
    source = PairSource(WindowReader(store), ["n0", "n1", "n2"], OLD, PairConfig(batch_windows=3, window_tokens=9), 5)
    batch = source.batch(0)
    _, _, averaged = adapted(store, tmp_path, 7)
    with torch.no_grad():
        before, after = pretrained().eval()(batch), averaged(batch)
    for expected, found in zip(before, after, strict=True):
        assert torch.equal(expected[0], found[0])
        assert torch.equal(expected[1], found[1])


def test_the_second_stage_moves_each_part_by_its_factor(store, tmp_path):
    """Closed form of AdamW's first step: the decay, then the rate times the gradient's sign where it is not tiny."""
    config = AdaptationConfig()
    module, before, _ = adapted(store, tmp_path, 1, rates=rates_of(NEW, config), frozen=False)
    expected = {"": 0.1, "encoder.backbone": 0.1, "encoder.tokenizers.": 0.1, "encoder.cls_D": 0.5, "projection.": 0.5}
    expected |= {"encoder.mask_D": 0.5, "encoder.tokenizers.actigraphy.": 1.0}
    seen = set()
    for name, parameter in module.named_parameters():
        prefix = max((p for p in expected if name.startswith(p)), key=len)
        if parameter.grad is None:  # a tokenizer that the batch did not ask
            assert torch.equal(parameter, before[name])
            continue
        rate, gradient = RATE * expected[prefix], parameter.grad
        decay = 1 - rate * 0.01 if parameter.dim() >= 2 else 1.0
        wanted = before[name] * decay - rate * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(parameter.detach(), wanted, rtol=0, atol=2e-3 * rate + 1e-7)
        if gradient.abs().max() > 1e-6:
            step = (parameter.detach() - before[name] * decay).abs().max()
            assert step == pytest.approx(rate, rel=0.02)
            seen.add(prefix)
    assert {"encoder.backbone", "projection.", "encoder.cls_D", "encoder.tokenizers.actigraphy."} <= seen


def test_the_rates_and_the_schedule_are_the_methods():
    """method.md, section 5: encoder 0.1, shared 0.5, new 1.0; new pairs 1.0, 0.7, then 0."""
    config = AdaptationConfig()
    assert (config.encoder_rate, config.shared_rate, config.new_rate) == (0.1, 0.5, 1.0)
    assert config.new_pairs == (1.0, 0.7, 0.0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=4), st.integers(1, 30))
def test_pairs_follow_the_schedule(store, shares, n_steps):
    """Law of total probability: so large a share among the new sensor's pairs, the rest among all pairs alike."""
    config = new_pairs_first(PairConfig(batch_windows=4, window_tokens=8), NEW, shares)
    source = PairSource(WindowReader(store), ["n0", "n1"], OLD + NEW, config, 0, n_steps=n_steps)
    is_new = np.array(["actigraphy" in pair for pair in source.pairs])
    for step in range(n_steps):
        share = shares[min(int(len(shares) * step / n_steps + 1e-9), len(shares) - 1)]
        found = source.probabilities(step)
        assert found[is_new].sum() == pytest.approx(share + (1 - share) * is_new.mean())
        assert found[~is_new].sum() == pytest.approx((1 - share) * (~is_new).mean())


def test_what_else_serves_the_new_sensor_alone_learns_with_it_too():
    """A decoder of the reconstruction, by its name."""
    objective = AlignmentConfig(objective="reconstruction")
    wide = widened(Aligner(ModelConfig(modalities=OLD), objective), NEW, objective)
    let_learn(wide, NEW)
    learning = {name.rsplit(".actigraphy.")[0] for name, p in wide.named_parameters() if p.requires_grad}
    assert learning == {"encoder.tokenizers", "decoders"}
    let_learn(wide, None)
    assert all(parameter.requires_grad for parameter in wide.parameters())
