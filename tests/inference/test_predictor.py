"""What the model is asked and what it answers: every token once, nothing where nothing was read."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_nights import made_night
from untrained_models import SEEN, of_staging, untrained_model, untrained_stager

from sleep2vec.inference import predictor
from sleep2vec.inference.predictor import Model, load, window_places
from sleep2vec.model.encoder import MAX_TOKENS, ModelConfig
from sleep2vec.model.sleep_model import Answers, SleepModel, SleepModelConfig
from sleep2vec.tasks.age import Age
from sleep2vec.tasks.familiarity import Familiarity
from sleep2vec.tasks.finetuned import Finetuned
from sleep2vec.vocabulary.errors import ModelError, NoUsableChannelError, UnknownModalityError, UsageError

CONFIG = {"training_data": {"finetuning": SEEN}}
SENSORS = ("spo2", "ibi", "resp")


class TokenByToken(torch.nn.Module):
    """A model that sees nothing but the token itself, so that no window can make a difference."""

    modalities = SENSORS

    def forward(self, views, seconds=None, first_B=None):
        names = [name for name in SENSORS if name in views]
        values_BML = torch.stack([views[name].values_BLS.mean(-1) for name in names], 1)
        valid_BML = torch.stack([views[name].valid_BL for name in names], 1)
        sum_BL = (values_BML * valid_BML).sum(1)
        weights_BML = torch.zeros(1, len(SENSORS), sum_BL.shape[1])
        share_BML = valid_BML / valid_BML.sum(1, keepdim=True).clamp(min=1)
        for m, name in enumerate(names):
            weights_BML[:, SENSORS.index(name)] = share_BML[:, m]
        logits_BLC = sum_BL[..., None] * torch.tensor([1.0, -1.0, 2.0, -2.0, 0.5])
        features_BLD = sum_BL[..., None].expand(-1, -1, 6)
        outputs = {"staging": logits_BLC}
        return Answers(outputs, weights_BML, valid_BML.any(1), features_BLD, features_BLD.mean(1), None)


class WindowByWindow(TokenByToken):
    """A model that says one thing throughout a window, and the opposite in the next: the worst there can be."""

    n_windows = 0

    def forward(self, views, seconds=None, first_B=None):
        answers = super().forward(views)
        self.n_windows += 1
        logits_BLC = torch.zeros_like(answers.outputs["staging"])
        logits_BLC[..., self.n_windows % 2] = 30.0
        return replace(answers, outputs={"staging": logits_BLC})


@given(n_tokens=st.integers(1, 6000), longest=st.integers(2, 2000), data=st.data())
def test_windows_cover_every_token_and_share_the_overlap(n_tokens: int, longest: int, data):
    overlap = data.draw(st.integers(0, longest - 1))
    places = window_places(n_tokens, longest, overlap)
    assert places[0][0] == 0
    assert sum(places[-1]) == n_tokens
    assert all(0 < length <= longest for _, length in places)
    for (first, length), (following, _) in pairwise(places):
        assert first < following <= first + length - overlap
    if n_tokens <= longest:
        assert len(places) == 1


def shortened(monkeypatch, longest: int, overlap: int) -> None:
    monkeypatch.setattr(predictor, "OVERLAP_TOKENS", overlap)
    monkeypatch.setattr(predictor, "window_places", lambda n_tokens: window_places(n_tokens, longest, overlap))


@pytest.mark.parametrize(("longest", "overlap"), [(40, 10), (33, 20), (99, 1), (20, 0), (21, 20)])
def test_stitching_does_not_show_where_the_windows_do_not_matter(monkeypatch, longest: int, overlap: int):
    night = made_night("n", 4, n_tokens=100, modalities=SENSORS, valid_share=0.6)
    model = Model("m", CONFIG, of_staging(TokenByToken()))
    whole = model.predict(night)
    shortened(monkeypatch, longest, overlap)
    stitched = model.predict(night)
    for name in ("probabilities", "sensor_weights", "embeddings", "stages"):
        np.testing.assert_allclose(getattr(stitched, name), getattr(whole, name), atol=1e-5)


@pytest.mark.parametrize(
    ("n_tokens", "longest", "overlap"), [(150, 80, 20), (500, 80, 20), (100, 99, 20), (99, 60, 40)]
)
def test_opposite_windows_are_faded_into_each_other(monkeypatch, n_tokens: int, longest: int, overlap: int):
    """The weight moves over the overlap in equal steps: never by more than one of them from a token to the next."""
    night = made_night("n", 4, n_tokens=n_tokens, modalities=SENSORS, valid_share=1.0)
    shortened(monkeypatch, longest, overlap)
    probabilities_LC = Model("m", CONFIG, of_staging(WindowByWindow())).predict(night).probabilities
    np.testing.assert_allclose(probabilities_LC[:, :2].sum(axis=1), 1, atol=1e-5)
    assert np.abs(np.diff(probabilities_LC[:, 0])).max() <= 1 / (overlap + 1) + 1e-5
    n_alone = min(longest - overlap, window_places(n_tokens, longest, overlap)[1][0])
    np.testing.assert_allclose(probabilities_LC[:n_alone, 1], 1, atol=1e-5)


def test_a_night_longer_than_the_model_sees_at_once_is_answered_throughout():
    """14 h with the real thing: every token that has a sensor has five probabilities that add up to 1."""
    night = made_night("long", 3, n_tokens=MAX_TOKENS + 150, modalities=("ibi",), valid_share=0.95)
    result = Model("m", CONFIG, of_staging(untrained_stager(("ibi",)))).predict(night)
    heard_L = night.valid["ibi"]
    assert np.isfinite(result.probabilities).all(axis=1).tolist() == heard_L.tolist()
    np.testing.assert_allclose(result.probabilities[heard_L].sum(axis=1), 1, atol=1e-5)
    assert (result.probabilities[heard_L] >= 0).all()


@pytest.fixture(scope="module")
def stager():
    return untrained_stager(SENSORS)


def test_it_abstains_where_no_sensor_is_good(stager):
    night = made_night("n", 8, n_tokens=30, modalities=SENSORS, valid_share=1.0)
    for valid_L in night.valid.values():
        valid_L[10:14] = False
    night.valid["ibi"][20:] = False
    result = Model("m", CONFIG, of_staging(stager)).predict(night)
    silent_L = np.isin(np.arange(30), range(10, 14))
    for values in (result.stages, result.probabilities[:, 2], result.embeddings[:, 0]):
        assert np.isnan(values).tolist() == silent_L.tolist()
    for scheme in (5, 4, 3):
        assert [word is None for word in result.words_of(scheme)] == silent_L.tolist()
    np.testing.assert_allclose(result.sensor_weights.sum(axis=1), np.where(silent_L, 0, 1), atol=1e-6)
    assert (result.sensor_weights[20:, SENSORS.index("ibi")] == 0).all()
    assert (result.sensor_weights[~silent_L][:, SENSORS.index("spo2")] > 0).all()
    assert any("no sensor was good for 2 min (4 epochs): the model abstains there" in w for w in result.warnings)
    assert result.statistics.unscored_min == 2.0


def test_what_lies_in_invalid_tokens_changes_nothing(stager):
    night, other = (made_night("n", 8, n_tokens=30, modalities=SENSORS, valid_share=0.5) for _ in range(2))
    for name, samples_T in other.samples.items():
        samples_T.reshape(30, -1)[~other.valid[name]] = np.nan
    first, second = (Model("m", CONFIG, of_staging(stager)).predict(which) for which in (night, other))
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    np.testing.assert_array_equal(first.embeddings, second.embeddings)


def test_a_night_without_one_good_token_gets_no_answer_but_a_warning(stager):
    night = made_night("n", 8, n_tokens=6, modalities=SENSORS, valid_share=0.0)
    result = Model("m", CONFIG, of_staging(stager)).predict(night)
    assert np.isnan(result.stages).all()
    assert (result.sensor_weights == 0).all()
    assert result.statistics.total_sleep_min == 0
    assert "no sensor was good for 3 min (6 epochs)" in " ".join(result.warnings)


def person_model() -> Model:
    torch.manual_seed(0)
    age = Age(centre=50.0, spread=10.0)
    encoder = ModelConfig(size="tiny", modalities=SENSORS)
    module = SleepModel(SleepModelConfig(encoder=encoder, heads={"age": age.head})).eval()
    return Model("m", CONFIG, Finetuned(module, {"age": age}, Familiarity({}, {}, {})))


def test_nothing_is_said_of_a_person_of_whom_nothing_was_read():
    model = person_model()
    silent = model.predict(made_night("n", 8, n_tokens=6, modalities=SENSORS, valid_share=0.0))
    assert silent.outcomes == ()
    (outcome,) = model.predict(made_night("n", 8, n_tokens=6, modalities=SENSORS, valid_share=1.0)).outcomes
    assert (outcome.title, outcome.unit) == ("age", "years")
    assert np.isfinite(outcome.value)


def test_a_window_without_one_good_token_says_nothing_of_the_person(monkeypatch):
    """What is said of the night is what its first window alone says: the second one has no good token."""
    model = person_model()
    night = made_night("n", 8, n_tokens=40, modalities=SENSORS, valid_share=1.0)
    for valid_L in night.valid.values():
        valid_L[15:] = False
    shortened(monkeypatch, 20, 0)
    (said,) = model.predict(night).outcomes
    first = replace(
        night,
        n_tokens=20,
        samples={name: values.reshape(40, -1)[:20].ravel() for name, values in night.samples.items()},
        valid={name: valid_L[:20] for name, valid_L in night.valid.items()},
    )
    assert said.value == pytest.approx(model.predict(first).outcomes[0].value, rel=1e-5)


def test_fewer_classes_are_sums_of_the_five(stager):
    """AASM: Light is N1 + N2, Deep is N3; NREM is all three."""
    night = made_night("n", 8, n_tokens=200, modalities=SENSORS, valid_share=0.8)
    result = Model("m", CONFIG, of_staging(stager)).predict(night)
    assert len(np.unique(result.stages[np.isfinite(result.stages)])) > 1
    for token, (w, n1, n2, n3, r) in enumerate(result.probabilities.astype(float)):
        if np.isnan(w):
            continue
        for scheme, sums in (
            (4, {"W": w, "Light": n1 + n2, "Deep": n3, "R": r}),
            (3, {"W": w, "NREM": n1 + n2 + n3, "R": r}),
        ):
            assert sums[result.words_of(scheme)[token]] == pytest.approx(max(sums.values()), abs=1e-6)


def test_only_the_named_sensors_are_read(stager):
    """With the others replaced by noise the answer is the same; with the named one replaced it is not."""
    model = Model("m", CONFIG, of_staging(stager))
    night, other = (made_night("n", seed, n_tokens=20, modalities=SENSORS, valid_share=1.0) for seed in (1, 2))
    mixed = replace(night, samples={**other.samples, "ibi": night.samples["ibi"]})
    alone = model.predict(night, tasks=["staging"], modalities=["ibi"])
    assert alone.modalities == ("ibi",)
    np.testing.assert_array_equal(model.predict(mixed, modalities=["ibi"]).probabilities, alone.probabilities)
    assert not np.allclose(
        model.predict(mixed, modalities=["resp"]).probabilities, model.predict(night, modalities=["resp"]).probabilities
    )
    assert not np.allclose(model.predict(night).probabilities, alone.probabilities)


def test_requests_that_cannot_be_met_are_told(stager):
    model = Model("m", CONFIG, of_staging(stager))
    night = made_night("n", 1, n_tokens=5, modalities=("spo2", "belt"))
    with pytest.raises(UsageError, match="unknown task 'apnea'; this model does: staging"):
        model.predict(night, tasks=["staging", "apnea"])
    with pytest.raises(UnknownModalityError, match=r"unknown modality 'ibbi'.*did you mean 'ibi'"):
        model.predict(night, modalities=["ibbi"])
    with pytest.raises(
        NoUsableChannelError, match=r"n has none of the modalities asked for \(ibi: not in this recording\)"
    ):
        model.predict(night, modalities=["ibi"])
    with pytest.raises(NoUsableChannelError, match="it has spo2, belt"):
        model.predict(night, modalities=["belt"])  # the night has it, the model does not read it
    told = model.predict(night, modalities=["spo2", "belt", "ibi"]).warnings
    assert any(warning.startswith("belt was not used: the model does not read it") for warning in told)
    assert any(warning.startswith("ibi was not used") for warning in told)


def complaint(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load(folder)
    return str(caught.value)


def test_folders_that_are_no_model_are_told_apart(tmp_path: Path):
    assert "is not a folder; a model is a folder with model.safetensors and config.json" in complaint(tmp_path / "none")
    assert "it lacks model.safetensors and config.json" in complaint(tmp_path)
    folder = untrained_model(tmp_path / "m", SENSORS)
    assert load(folder).modalities == SENSORS
    config, weights = (folder / "config.json").read_text(), (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-5])
    assert "model.safetensors is damaged" in complaint(folder)
    (folder / "model.safetensors").unlink()
    assert "is no model: it lacks model.safetensors; name the folder that `sleep2vec pretrain`" in complaint(folder)
    (folder / "model.safetensors").write_bytes(weights)
    for damage in ("", "[]", "{}", "{", config.replace("tiny", "minute"), config.replace('"model"', '"mod"')):
        (folder / "config.json").write_text(damage)
        assert "config.json is damaged" in complaint(folder), damage[:20]
    (folder / "config.json").write_text(config.replace('"training_data"', '"training"'))
    assert "config.json is damaged" in complaint(folder)
    (folder / "config.json").write_text(config.replace('"tiny"', '"small"'))
    assert "do not fit its config; copy the model again" in complaint(folder)
    (folder / "config.json").write_text(json.dumps(json.loads(config) | {"format": 9}))
    assert "has model format 9, this sleep2vec reads format 1" in complaint(folder)


def test_a_pretrained_model_answers_no_question(tmp_path: Path):
    told = complaint(untrained_model(tmp_path / "m", SENSORS, kind="pretrained"))
    assert "of kind 'pretrained', which answers no question here; fine-tune it first with `sleep2vec finetune`" in told


@pytest.mark.parametrize(
    ("stages", "simulated"),
    [({"finetuning": SEEN}, True), ({"pretraining": SEEN, "finetuning": SEEN | {"simulated_only": False}}, False)],
)
def test_simulated_weights_say_so(tmp_path: Path, stages: dict, simulated: bool):
    model = load(untrained_model(tmp_path / "m", SENSORS, training_data=stages))
    assert model.predict(made_night("n", 1, n_tokens=3, modalities=SENSORS)).simulated_weights is simulated
