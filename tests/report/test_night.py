"""The page of a night, judged by the standard library's HTML parser."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from page_reader import Reader, read_html
from sklearn.metrics import cohen_kappa_score

from sleep2vec.metrics.sleep_statistics import sleep_statistics
from sleep2vec.report.night import NightPage, night_html
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.modalities import MODALITIES
from sleep2vec.vocabulary.night import Provenance

HOSTILE = "<script>alert(1)</script>\"'&\x00\x1b\udcff\u202e<img src=http://evil.example/x onerror=y>"
FETCHES = {"src", "href", "xlink:href", "srcset", "action", "data", "poster", "background", "formaction"}


def read(page: NightPage) -> Reader:
    return read_html(night_html(page))


def page_of(n_tokens: int, modalities=tuple(MODALITIES), seed: int = 0, **changes) -> NightPage:
    rng = np.random.default_rng(seed)
    valid_LM = rng.random((n_tokens, len(modalities))) > 0.1
    abstained_L = ~valid_LM.any(axis=1)
    probabilities_LC = rng.dirichlet(np.ones(5), size=n_tokens)
    weights_LM = rng.random(valid_LM.shape) * valid_LM
    weights_LM /= np.maximum(weights_LM.sum(axis=1, keepdims=True), 1e-9)
    stages_L = probabilities_LC.argmax(axis=1).astype(np.float32)
    stages_L[abstained_L] = np.nan
    probabilities_LC[abstained_L] = np.nan
    page = NightPage(
        title="night one",
        source="night.edf",
        model_name="tiny",
        simulated_weights=True,
        modalities=modalities,
        stages_L=stages_L,
        probabilities_LC=probabilities_LC,
        weights_LM=weights_LM,
        valid_LM=valid_LM,
        statistics=sleep_statistics(stages_L),
        start=datetime(2024, 3, 4, 22, 41, 7),
    )
    return replace(page, **changes)


def nothing_known(n_tokens: int) -> NightPage:
    stages_L = np.full(n_tokens, np.nan)
    return page_of(
        n_tokens,
        ("eeg",),
        stages_L=stages_L,
        probabilities_LC=np.full((n_tokens, 5), np.nan),
        weights_LM=np.zeros((n_tokens, 1)),
        valid_LM=np.zeros((n_tokens, 1), dtype=bool),
        statistics=sleep_statistics(stages_L),
    )


def with_reference(page: NightPage) -> NightPage:
    reference_L = np.random.default_rng(9).integers(0, 5, len(page.stages_L)).astype(np.float32)
    reference_L[: len(reference_L) // 2] = page.stages_L[: len(reference_L) // 2]
    return replace(page, reference_L=reference_L, reference_statistics=sleep_statistics(reference_L))


@pytest.mark.parametrize(
    "page",
    [
        page_of(960),
        with_reference(page_of(960)),
        page_of(1),
        page_of(1, ("ibi",)),
        nothing_known(120),
        with_reference(nothing_known(120)),
        page_of(2880, ("ibi", "resp"), start=None, grid_start_s=45.0),
        page_of(100, ("eeg",), lights_off_s=-50.0, lights_on_s=99999.0),
        page_of(100, reference_L=np.full(100, np.nan)),
        page_of(60, (), weights_LM=np.zeros((60, 0)), valid_LM=np.zeros((60, 0), dtype=bool)),
    ],
    ids=["8h", "reference", "1 token", "1 sensor", "abstained", "abstained+ref", "24h", "lights", "empty ref", "none"],
)
@pytest.mark.filterwarnings("error")
def test_every_night_gives_a_closed_page_that_fetches_nothing(page):
    """Self-contained: no tag or style can make a browser ask a network, and the page's own policy forbids it."""
    reader = read(page)
    for tag, attributes in reader.tags:
        assert tag not in {"script", "link", "img", "iframe", "object", "embed", "base", "form", "image", "use"}
        assert not FETCHES & {name.lower() for name in attributes}
        assert not any(name.lower().startswith("on") for name in attributes)
        assert all("nan" not in (value or "") for value in attributes.values())
    html = night_html(page)
    assert "://" not in html
    assert "@import" not in html
    assert all(piece.startswith("#unknown)") for piece in html.split("url(")[1:])
    policy = [attributes["content"] for tag, attributes in reader.tags if attributes.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert "nan" not in reader.text.lower().split()


def test_an_eight_hour_night_of_nine_sensors_stays_small():
    """The worst case for run-length encoding: every token differs from its neighbour in everything."""
    assert len(night_html(with_reference(page_of(960))).encode()) < 500_000


def test_hostile_labels_stay_words():
    page = page_of(
        20,
        ("eeg", HOSTILE),
        title=HOSTILE,
        source=HOSTILE,
        model_name=HOSTILE,
        warnings=(HOSTILE,),
        provenance={HOSTILE: Provenance((HOSTILE,), HOSTILE, "eeg", (HOSTILE,), 0.0, 1.0)},
        absent={HOSTILE: HOSTILE},
        versions={HOSTILE: HOSTILE},
    )
    reader, calm = read(page), read(page_of(20, ("eeg", "ibi")))
    assert not {tag for tag, _ in reader.tags} - {tag for tag, _ in calm.tags} - {"li", "br", "ul", "tr", "td", "small"}
    assert all(
        name in {"class", "style", "role", "data-valid", "data-modality", "data-invalid"}
        for tag, attributes in reader.tags
        for name, value in attributes.items()
        if value and "evil" in value
    )
    # What no page can show is shown as the replacement character; the rest arrives letter by letter.
    visible = "<script>alert(1)</script>\"'&\ufffd\ufffd\ufffd\ufffd<img src=http://evil.example/x onerror=y>"
    assert reader.text.count(visible) >= 9


def test_each_warning_and_mark_is_on_the_page():
    warnings = ("The ECG fell off at 03:00.", "Its unit was taken as uV.", "Beyond the training data.")
    text = read(page_of(30, warnings=warnings)).text
    assert all(warning in text for warning in warnings)
    assert "Weights trained on simulated data only" in text
    assert "Research use, not for diagnosis" in text
    real = read(page_of(30, simulated_weights=False)).text
    assert "simulated" not in real
    assert "Before you believe this page" not in real


def test_the_agreement_on_the_page_is_scikit_learns():
    page = with_reference(page_of(960))
    both = ~np.isnan(page.stages_L) & ~np.isnan(page.reference_L)
    kappa = cohen_kappa_score(page.reference_L[both].astype(int), page.stages_L[both].astype(int))
    text = read(page).text
    assert f"{kappa:.2f} Cohen's kappa" in text
    assert f"{both.sum()} epochs both scored" in text
    assert "Agreement" not in read(replace(page, reference_L=None, reference_statistics=None)).text


def test_absent_and_used_sensors_are_explained():
    story = Provenance(("C4", "M1"), "C4-M1 is preferred.", "eeg", ("from V to uV", "0.3-35 Hz"), 0.0, 1.0)
    text = read(page_of(30, ("eeg",), provenance={"eeg": story}, absent={"emg": "a 1 Hz envelope is no EMG"})).text
    assert "EEG C4, M1 C4-M1 is preferred. from V to uV; 0.3-35 Hz" in text
    assert "chin EMG absent a 1 Hz envelope is no EMG" in text


def test_abstentions_are_told_with_their_times():
    """Tokens 10 .. 13 of a night that began at 22:41:07: 22:46:07 to 22:48:07, two minutes."""
    page = page_of(100, ("eeg",), valid_LM=np.ones((100, 1), dtype=bool))
    stages_L, probabilities_LC = np.zeros(100), np.tile([1.0, 0, 0, 0, 0], (100, 1))
    stages_L[10:14] = np.nan
    probabilities_LC[10:14] = np.nan
    text = read(replace(page, stages_L=stages_L, probabilities_LC=probabilities_LC)).text
    assert "In 4 epochs no sensor was valid, and the model gave no stage: 22:46:07 to 22:48:07 (2.0 min)." in text
    assert "probability of 100 % on average" in text


def test_what_nobody_scored_is_not_called_wake_or_zero():
    text = read(nothing_known(120)).text
    assert "Total sleep –" in text
    assert "Sleep efficiency –" in text


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"weights_LM": np.zeros((5, 1))}, "weights_LM is"),
        ({"reference_L": np.zeros(3)}, "reference_L is"),
        ({"stages_L": np.full(20, 7.0)}, "no sleep stage"),
        ({"probabilities_LC": np.full((20, 5), np.nan)}, "no probabilities"),
    ],
)
def test_arrays_of_different_nights_are_refused(changes, sentence):
    with pytest.raises(UsageError, match=sentence):
        page_of(20, ("eeg", "ibi"), **changes)


def test_a_page_without_a_token_is_refused():
    with pytest.raises(UsageError, match="there is no token"):
        page_of(0, ("eeg",))
