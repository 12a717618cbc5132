"""What a step does, against the same written out plainly; and how it may be computed."""

import math
import sys
from pathlib import Path

import pytest
import torch
from contrast_of_shares import OPTIMIZER, Contrast, contrast_work, plain_loss, run_config, whole_batch
from safetensors.torch import load_file
from torch import nn
from torch.utils.checkpoint import checkpoint

from sleep2vec.training.logging import read_log
from sleep2vec.training.precision import computes_in_bfloat16
from sleep2vec.training.runner import train
from sleep2vec.training.work import HOW_NOT_WHAT, RunConfig
from sleep2vec.training.world import World
from sleep2vec.vocabulary.errors import ModelError


def by_hand(steps: int, accumulate: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], list[float]]:
    """AdamW, clipping and averaging from their formulas, every parameter for itself."""
    torch.manual_seed(3)
    module = Contrast()
    names = dict(module.named_parameters())
    average = {name: value.clone() for name, value in names.items()}
    memory = {name: [torch.zeros_like(p), torch.zeros_like(p), 0] for name, p in names.items()}
    norms = []
    for step in range(steps):
        losses = []
        for place in range(step * accumulate, (step + 1) * accumulate):
            door = "odd" if place % 3 == 2 else "even"
            losses.append(plain_loss(*(module(door, x_BS) for x_BS in whole_batch(place))))
        gradients = torch.autograd.grad(sum(losses) / accumulate, list(names.values()), allow_unused=True)
        norm = math.sqrt(sum(float(g.double().square().sum()) for g in gradients if g is not None))
        norms.append(norm)
        # 3 % of 3 steps are no warm-up: half a cosine from 1 to 0.1.
        rate = OPTIMIZER.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / (steps - 1))))
        with torch.no_grad():
            for (name, parameter), gradient in zip(names.items(), gradients, strict=True):
                if gradient is not None:
                    gradient = gradient * min(1.0, OPTIMIZER.clip_norm / norm)
                    own_rate = rate * (0.5 if name.startswith("layers") else 1.0)
                    first, second, n = memory[name]
                    n += 1
                    first = 0.9 * first + 0.1 * gradient
                    second = 0.95 * second + 0.05 * gradient.square()
                    memory[name] = [first, second, n]
                    if parameter.dim() >= 2:
                        parameter.mul_(1 - own_rate * OPTIMIZER.weight_decay)
                    parameter -= own_rate * (first / (1 - 0.9**n)) / ((second / (1 - 0.95**n)).sqrt() + 1e-8)
                decay = min((1 + step) / (10 + step), 0.6 + 0.4 * step / steps)
                average[name] = decay * average[name] + (1 - decay) * parameter
    return names, average, norms


@pytest.mark.parametrize("accumulate", [1, 3])
def test_steps_are_what_their_formulas_say(tmp_path, accumulate):
    """Decoupled decay on matrices alone, moments per parameter and only of steps that used it, clipped before."""
    work = contrast_work(World())
    averaged = train(work, run_config(accumulate=accumulate), OPTIMIZER, tmp_path, "x")
    learned, average, norms = by_hand(3, accumulate)
    for name, value in work.module.named_parameters():
        torch.testing.assert_close(value, learned[name], atol=2e-6, rtol=1e-5)
    for name, value in averaged.named_parameters():
        torch.testing.assert_close(value, average[name], atol=2e-6, rtol=1e-5)
    log = {(step, name): value for step, name, value in read_log(tmp_path)}
    assert [log[step, "train/gradient_norm"] for step in (1, 2, 3)] == pytest.approx(norms, rel=1e-5)
    rates = [0.01 * share for share in (1.0, 0.55, 0.1)]
    assert [log[step, "train/learning_rate"] for step in (1, 2, 3)] == pytest.approx(rates, rel=1e-6)


def test_the_loss_of_a_step_is_the_mean_of_its_batches_and_of_each_kind(tmp_path):
    frozen = OPTIMIZER.model_copy(update={"learning_rate": 1e-30})
    train(contrast_work(World()), run_config(steps=1, accumulate=3), frozen, tmp_path, "x")
    torch.manual_seed(3)
    module = Contrast()
    losses = [
        float(plain_loss(*(module("odd" if place == 2 else "even", x_BS) for x_BS in whole_batch(place))).detach())
        for place in range(3)
    ]
    log = {name: value for _, name, value in read_log(tmp_path)}
    assert log["train/loss"] == pytest.approx(sum(losses) / 3, rel=1e-6)
    assert log["train/loss_even"] == pytest.approx(sum(losses[:2]) / 2, rel=1e-6)
    assert log["train/loss_odd"] == pytest.approx(losses[2], rel=1e-6)


# --- numbers and memory --------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="the judge is Linux's list of the processor's instructions")
def test_auto_is_bfloat16_where_the_processor_multiplies_it():
    flags = Path("/proc/cpuinfo").read_text().split()
    able = "avx512_bf16" in flags or "amx_bf16" in flags
    assert computes_in_bfloat16("auto", torch.device("cpu")) is able
    assert computes_in_bfloat16("bfloat16", torch.device("cpu"))
    assert not computes_in_bfloat16("float32", torch.device("cpu"))


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_layers_compute_in_the_precision_and_weights_stay_float32(tmp_path, precision, dtype):
    work = contrast_work(World())
    seen = set()
    work.module.layers[0].narrow.register_forward_hook(lambda module, given, out: seen.add(out.dtype))
    average = train(work, run_config(precision=precision), OPTIMIZER, tmp_path, "x")
    assert seen == {dtype}
    assert {p.dtype for p in (*work.module.parameters(), *average.parameters())} == {torch.float32}


class Forgetful(Contrast):
    checkpointing = False

    def forward(self, door, x_BS):
        z_BD = self.doors[door](self.scale * x_BS) + self.offset
        for layer in self.layers:

            def step(z_BD, layer=layer):
                return self.dropout(layer(z_BD))

            z_BD = z_BD + (checkpoint(step, z_BD, use_reentrant=False) if self.checkpointing else step(z_BD))
        return z_BD


def forgetful_run(folder, forgets):
    work = contrast_work(World())
    torch.manual_seed(3)
    module = Forgetful(dropout=0.3)
    calls = []
    module.layers[1].register_forward_hook(lambda *_: calls.append(1))
    object.__setattr__(work, "module", module)
    average = train(work, run_config(checkpoint_activations=forgets), OPTIMIZER, folder, "x")
    return len(calls), average.state_dict()


def test_forgetting_activations_computes_them_twice_and_changes_nothing(tmp_path):
    (n_kept, kept), (n_forgotten, forgotten) = (forgetful_run(tmp_path / str(on), on) for on in (False, True))
    assert n_forgotten == 2 * n_kept
    assert all(torch.equal(kept[name], forgotten[name]) for name in kept)


def test_a_module_that_cannot_forget_says_so(tmp_path):
    with pytest.raises(ModelError, match="checkpoint_activations: Contrast has no part that can forget"):
        train(contrast_work(World()), run_config(checkpoint_activations=True), OPTIMIZER, tmp_path, "x")


# --- compilation -----------------------------------------------------------------------------------------------------


# What torch's compiler warns of in its own code.
OF_THE_COMPILER = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning")


@pytest.mark.slow
@OF_THE_COMPILER
def test_a_compiled_run_learns_the_same_under_the_same_names_and_goes_on_uncompiled(tmp_path):
    plain = train(contrast_work(World()), run_config(), OPTIMIZER, tmp_path / "plain", "x")
    train(contrast_work(World()), run_config(steps=3, compile=True), OPTIMIZER, tmp_path / "compiled", "x")
    (state,) = (tmp_path / "compiled").glob("state-*")
    for name in ("model", "average"):
        assert load_file(state / f"{name}.safetensors").keys() == plain.state_dict().keys()  # no _orig_mod.
    average = train(contrast_work(World()), run_config(), OPTIMIZER, tmp_path / "compiled", "x")  # does no step again
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(average.state_dict()[name], value, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@OF_THE_COMPILER
def test_a_compiler_that_fails_is_told_in_a_sentence(tmp_path, monkeypatch):
    """A backend that gives up stands for a machine without a C++ compiler."""

    def fails(self, **_):
        def give_up(graph, inputs):
            raise RuntimeError("no C++ compiler here\nand a long story")

        self._compiled_call_impl = torch.compile(self._call_impl, backend=give_up)

    monkeypatch.setattr(nn.Module, "compile", fails)
    with pytest.raises(
        ModelError, match=r"^torch.compile failed \(.*no C\+\+ compiler here\); set run.compile: false.$"
    ):
        train(contrast_work(World()), run_config(compile=True), OPTIMIZER, tmp_path, "x")


def test_only_what_a_run_learns_binds_it_to_its_recipe():
    """Whoever moves a run to another machine may change how it computes; every field is one or the other."""
    binding = {"steps", "seed", "accumulate", "ema_decay", "precision"}
    assert set(RunConfig.model_fields) == binding | HOW_NOT_WHAT
    assert not binding & HOW_NOT_WHAT
