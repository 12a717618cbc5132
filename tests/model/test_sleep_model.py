"""One model: any subset of sensors, and a head for each task: of tokens, of seconds, of nights."""

import pytest
import torch

from sleep2vec.data.window import View
from sleep2vec.model.encoder import ModelConfig
from sleep2vec.model.heads import HeadShape
from sleep2vec.model.sleep_model import SleepModel, SleepModelConfig

NAMES = ("airflow", "spo2", "resp")
L = 10
TOKENS = {"staging": HeadShape(resolution="token", n_outputs=5)}
ALL = TOKENS | {
    "arousal": HeadShape(resolution="second", n_outputs=2),
    "age": HeadShape(resolution="night", n_outputs=3),
}
FIRST = torch.tensor([0, 30, 7, 480])


def model(heads=ALL, names=NAMES):
    """Nothing is at the 0 where learning begins, so that all parts are heard."""
    torch.manual_seed(0)
    config = SleepModelConfig(encoder=ModelConfig(modalities=names, dropout=0.0), heads=heads)
    made = SleepModel(config).double().eval()
    with torch.no_grad():
        for fusion in (made.fusion, *((made.seconds.fusion,) if made.seconds else ())):
            fusion.modality_MD.normal_()
            fusion.preference_M.normal_()
        made.clock.body[-1].weight.normal_()
    return made


@pytest.fixture(scope="module", params=[TOKENS, ALL], ids=["stages", "all"])
def made(request):
    return model(request.param)


def views(seed=0, n=4, n_tokens=L):
    draw = torch.Generator().manual_seed(seed)
    made = {}
    for name in NAMES:
        valid = torch.rand(n, n_tokens, generator=draw) < 0.7
        made[name] = View(torch.randn(n, n_tokens, 120, generator=draw, dtype=torch.float64), valid)
    made["airflow"].valid_BL[1] = False  # window 1 has no airflow
    for view in made.values():
        view.valid_BL[2] = False  # window 2 has nothing
    return made


def parts(answers):
    nights = () if answers.nights_BH is None else (answers.nights_BH,)
    rest = (answers.weights_BML, answers.readable_BL, answers.fused_BLH, answers.windows_BD)
    return (*answers.outputs.values(), *rest, *nights)


def assert_alike(a, b, atol=1e-12):
    assert a.outputs.keys() == b.outputs.keys()
    for x, y in zip(parts(a), parts(b), strict=True):
        torch.testing.assert_close(x.double(), y.double(), rtol=0, atol=atol)


@torch.no_grad()
def test_each_head_answers_about_what_it_says_it_does():
    answers = model()(views())
    assert {name: tuple(output.shape) for name, output in answers.outputs.items()} == {
        "staging": (4, L, 5),
        "arousal": (4, 30 * L, 2),
        "age": (4, 3),
    }
    assert answers.nights_BH.shape == (4, 128)
    assert model(TOKENS)(views()).nights_BH is None
    # All are heard: no two tokens, seconds or windows that hold something say the same.
    for output in answers.outputs.values():
        said = output[[0, 1, 3]].flatten(0, -2)
        assert len(torch.unique(said.round(decimals=9), dim=0)) > 0.9 * len(said)


@torch.no_grad()
def test_a_window_is_answered_alike_alone_and_among_windows_with_other_sensors(made):
    given = views()
    together = made(given, first_B=FIRST)
    for b in range(4):
        alone = made({name: view.rows(torch.tensor([b])) for name, view in given.items()}, first_B=FIRST[b : b + 1])
        for x, y in zip(parts(together), parts(alone), strict=True):
            torch.testing.assert_close(x[b].double(), y[0].double(), rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("subset", [("airflow",), ("resp", "spo2"), ("airflow", "resp")])
def test_an_invalid_modality_is_the_same_as_an_absent_one(made, subset):
    """The subset alone, and the subset beside modalities that are garbage and invalid: bit for bit."""
    given = views(1)
    alone = made({name: given[name] for name in subset})
    spoiled = {
        name: view
        if name in subset
        else View(torch.full_like(view.values_BLS, float("nan")), torch.zeros_like(view.valid_BL))
        for name, view in given.items()
    }
    for x, y in zip(parts(alone), parts(made(spoiled)), strict=True):
        assert torch.equal(x, y)


@torch.no_grad()
@pytest.mark.parametrize("subset", [("airflow",), ("resp", "spo2"), ("airflow", "resp")])
def test_features_answer_any_subset_as_if_the_others_had_not_been_there(made, subset):
    """What is told once and answered from for all 511 subsets is what each of them alone would be answered."""
    given = views(1)
    kept = torch.tensor([name in subset for name in made.modalities])
    from_all = made.answer(made.features(given).only(kept[None, :, None]))
    assert_alike(from_all, made({name: given[name] for name in subset}))


@torch.no_grad()
def test_a_head_that_is_asked_alone_says_the_same_and_what_only_others_read_is_not_computed(made):
    features = made.features(views(1))
    whole = made.answer(features)
    for name, head in made.config.heads.items():
        alone = made.answer(features, [name])
        assert list(alone.outputs) == [name]
        assert torch.equal(alone.outputs[name], whole.outputs[name])
        assert (alone.nights_BH is None) == (head.resolution != "night")
    made.seconds, path = None, made.seconds  # a head of tokens does not miss it
    token = next(name for name, head in made.config.heads.items() if head.resolution == "token")
    assert torch.equal(made.answer(features, [token]).outputs[token], whole.outputs[token])
    made.seconds = path


@torch.no_grad()
def test_garbage_in_invalid_tokens_changes_not_one_bit(made):
    given = views(2)
    for garbage in (float("nan"), 1e30):
        spoiled = {
            name: View(torch.where(view.valid_BL[..., None], view.values_BLS, garbage), view.valid_BL)
            for name, view in given.items()
        }
        for x, y in zip(parts(made(given)), parts(made(spoiled)), strict=True):
            assert torch.equal(x, y)


@torch.no_grad()
def test_longer_padding_changes_nothing(made):
    given = views(3)
    padded = {
        name: View(
            torch.nn.functional.pad(view.values_BLS, (0, 0, 0, 6), value=float("nan")),
            torch.nn.functional.pad(view.valid_BL, (0, 6)),
        )
        for name, view in given.items()
    }
    short, longer = made(given, first_B=FIRST), made(padded, first_B=FIRST)
    # What is not readable is abstained from: its logits mean nothing.
    readable = short.readable_BL
    for name, head in made.config.heads.items():
        a, b, counted = short.outputs[name], longer.outputs[name], readable
        if head.resolution == "night":
            counted = torch.ones(4, dtype=torch.bool)  # also of a window that holds nothing
        elif head.resolution == "second":
            counted = readable.repeat_interleave(30, dim=1)
        cut = b if head.resolution == "night" else b[:, : a.shape[1]]
        torch.testing.assert_close(cut[counted], a[counted], rtol=0, atol=1e-12)
    torch.testing.assert_close(longer.weights_BML[..., :L], short.weights_BML, rtol=0, atol=1e-12)
    torch.testing.assert_close(longer.fused_BLH[:, :L], short.fused_BLH, rtol=0, atol=1e-12)
    torch.testing.assert_close(longer.windows_BD, short.windows_BD, rtol=0, atol=1e-12)
    if short.nights_BH is not None:
        torch.testing.assert_close(longer.nights_BH, short.nights_BH, rtol=0, atol=1e-12)
    assert not longer.readable_BL[:, L:].any()
    assert not longer.weights_BML[..., L:].any()


@torch.no_grad()
def test_the_order_of_the_views_does_not_matter(made):
    given = views(4)
    assert_alike(made(given), made({name: given[name] for name in reversed(NAMES)}), atol=0)


@torch.no_grad()
def test_tokens_without_a_sensor_are_abstained_from(made):
    given = views(5)
    answers = made(given)
    anything = torch.stack([view.valid_BL for view in given.values()]).any(dim=0)
    assert torch.equal(answers.readable_BL, anything)
    torch.testing.assert_close(answers.weights_BML.sum(dim=1), anything.double(), rtol=0, atol=1e-12)
    assert not answers.readable_BL[2].any()
    assert not answers.windows_BD[2].any()
    assert all(part.isfinite().all() for part in parts(answers))


@torch.no_grad()
def test_when_in_the_night_it_is_matters_and_at_its_start_by_default(made):
    given = views(6)
    assert_alike(made(given), made(given, first_B=torch.zeros(4)), atol=0)
    for name, later in made(given, first_B=torch.full((4,), 480)).outputs.items():
        assert (later - made(given).outputs[name])[0].abs().max() > 1e-4
