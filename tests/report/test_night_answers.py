"""What the page of a night shows beside stages: events, breathing, the person, doubt."""

import re
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from page_reader import Reader, read_html

from sleep2vec.metrics.breathing_indices import breathing_indices
from sleep2vec.metrics.sleep_statistics import sleep_statistics
from sleep2vec.report.night import NightPage, night_html
from sleep2vec.report.night_breathing import NightBreathing
from sleep2vec.vocabulary.errors import UsageError
from sleep2vec.vocabulary.events import Event
from sleep2vec.vocabulary.outcome import Outcome, Prognosis

L, GRID_S = 120, 45.0
LEFT_X, RIGHT_X = 132.0, 956.0  # where every figure of a night begins and ends
FOUND = (
    Event("obstructive_apnea", GRID_S + 600, 20.0),
    Event("obstructive_apnea", GRID_S + 1800, 45.0),
    Event("hypopnea", GRID_S + 3000, 30.0),
    Event("arousal", GRID_S + 640, 5.0),
)
SCORED = (
    Event("obstructive_apnea", GRID_S + 605, 20.0),
    Event("apnea", GRID_S + 900, 12.0),
    Event("hypopnea", GRID_S - 100, 20.0),  # before the page begins
)
TOLD = (
    Outcome("age", "age", 57.3, "years", error=7.25),
    Outcome("sex", "male", 0.83, "probability", usual=0.48),
    Outcome("diagnosis", "heart_failure", 0.003, "probability", usual=0.2),
    Outcome("smoker", "smoker 1", 0.4, "probability"),
)


def seconds_of(*spans: tuple[int, int, float]) -> np.ndarray:
    probability_S = np.full(30 * L, 0.1, dtype=np.float32)
    for first, stop, value in spans:
        probability_S[first:stop] = value
    return probability_S


def page_of(**changes) -> NightPage:
    """An hour: 20 epochs awake, 60 of N2, 40 of R; no sensor in epochs 100 to 103."""
    stages_L = np.repeat([0.0, 2.0, 4.0], [20, 60, 40])
    stages_L[100:104] = np.nan
    probabilities_LC = np.full((L, 5), 0.05)
    probabilities_LC[np.arange(L), np.nan_to_num(stages_L).astype(int)] = 0.8
    probabilities_LC[100:104] = np.nan
    valid_LM = np.ones((L, 1), dtype=bool)
    valid_LM[100:104] = False
    page = NightPage(
        title="night one",
        source="night.edf",
        model_name="tiny",
        simulated_weights=False,
        modalities=("spo2",),
        stages_L=stages_L,
        probabilities_LC=probabilities_LC,
        weights_LM=valid_LM.astype(float),
        valid_LM=valid_LM,
        statistics=sleep_statistics(stages_L),
        start=datetime(2024, 3, 4, 22, 41, 7),
        grid_start_s=GRID_S,
    )
    return replace(page, **changes)


def answered(**changes) -> NightPage:
    page = page_of(
        events=FOUND,
        seconds={"respiratory": seconds_of((600, 620, 0.9), (1800, 1845, np.nan)), "arousal": seconds_of()},
        told=TOLD,
        outlooks=(Prognosis("death", 1.0, 0.994, 0.96), Prognosis("death", 7.35, 0.81, 0.7)),
    )
    own = breathing_indices(FOUND, page.stages_L, rule="as scored", hypnogram="predicted", grid_start_s=GRID_S)
    breathing = NightBreathing((own,), arousal_index=3.0)
    return replace(page, **{"breathing": breathing, **changes})


def read(page: NightPage) -> Reader:
    return read_html(night_html(page))


def boxes(reader: Reader, name: str, value: str = "") -> list[tuple[float, float]]:
    """(from, to) of the boxes of one path, as places on the time axis, in epochs."""
    paths = [attributes["d"] for _, attributes in reader.tags if attributes.get(name) == value]
    found = []
    for path in paths:
        for box in path.rstrip("Z").split("Z"):
            x, across = re.match(r"M([\d.]+) [\d.]+([hH][\d.]+)", box).groups()
            right = float(across[1:]) + (float(x) if across[0] == "h" else 0.0)
            found.append(tuple((edge - LEFT_X) / (RIGHT_X - LEFT_X) * L for edge in (float(x), right)))
    return sorted(found)


def test_a_page_without_them_has_none_of_them():
    reader = read(page_of())
    words = ("Events", "Breathing", "diagnoses", "doubtful", "AHI")
    assert not [word for word in words if word in reader.text.replace("not for diagnosis", "")]


def test_each_event_stands_at_its_time_in_the_lane_of_its_kind():
    """Linear time: an event of 30 s is one epoch wide, at (onset - start of the page) / 30."""
    reader = read(answered(scored_events=SCORED))
    for kind in ("obstructive_apnea", "hypopnea", "arousal"):
        wanted = [((e.onset_s - GRID_S) / 30, (e.end_s - GRID_S) / 30) for e in FOUND if e.kind == kind]
        assert np.allclose(boxes(reader, "data-found", kind), wanted, atol=0.01)
    assert np.allclose(boxes(reader, "data-scored", "obstructive_apnea"), [(605 / 30, 625 / 30)], atol=0.01)
    assert np.allclose(boxes(reader, "data-scored", "apnea"), [(30, 30.4)], atol=0.01)
    assert boxes(reader, "data-found", "central_apnea") == []
    # A lane for every type that could have been found, with its count; what was scored below it; none for what nobody
    # looked for, and none of the scored beside a question that nobody scored.
    lanes = "obstructive apnea 2 scored 1 central apnea 0 scored 0 mixed apnea 0 scored 0 apnea, no type 0 scored 1"
    assert f"{lanes} hypopnea 1 scored 0 probability arousal 1 " in reader.text
    assert "desaturation 0" not in reader.text


def test_the_highest_probability_of_each_epoch_is_drawn_and_the_unknown_is_hatched():
    """0.9 in seconds 600 to 619 is epoch 20 alone; an epoch with one known second is known."""
    probability_S = seconds_of((600, 620, 0.9), (1800, 1845, np.nan))
    reader = read(answered(seconds={"respiratory": probability_S}))
    (path,) = (a["d"] for _, a in reader.tags if a.get("data-probability") == "respiratory")
    heights = [float(y) for y in re.findall(r"V([\d.]+)H", path)]
    bottom = float(re.match(r"M[\d.]+ ([\d.]+)", path).group(1))
    levels = [(bottom - y) / 20 for y in heights]
    assert levels == pytest.approx([0.1, 0.9, 0.1, 0.0, 0.1], abs=0.01)
    edges = [(float(x) - LEFT_X) / (RIGHT_X - LEFT_X) * L for x in re.findall(r"H([\d.]+)", path)]
    assert edges == pytest.approx([20, 21, 60, 61, 120], abs=0.01)
    unknown = boxes(reader, "data-unknown")
    assert any(np.allclose(box, (60, 61), atol=0.01) for box in unknown)


def test_breathing_is_told_by_rule_and_per_hour_of_predicted_sleep():
    """By hand: asleep are 100 of 120 epochs less 4 that were not answered, 48 min; 3 events lie in it. The apneas lie
    in N2 (30 min: 4 an hour), the hypopnea in the 4 epochs that were not answered: it counts nowhere."""
    text = read(answered()).text
    assert "48 min in the whole recording" in text
    assert "Apnea-hypopnea index (AHI) apneas and hypopneas 2.5 – –" in text  # 2 in 0.8 h
    assert "Severity none – –" in text
    assert "AHI in stage R per hour of stage R 0.0 – –" in text
    assert "AHI in NREM per hour of N1, N2 and N3 4.0 – –" in text
    assert "AHI on the back position not known – – –" in text
    assert "Obstructive apnea index (OAI) 2.5 /h" in text
    assert "Arousal index arousals 3.0 /h" in text
    assert "No oximeter was used" in text
    assert "ODI3 falls of the saturation by 3 % or more – /h" in text
    assert "mild from 5, moderate from 15, severe from 30" in text
    oxygen = NightBreathing(oximeter=True, odi3=12.34, odi4=5.0, hypoxic_burden=47.94, below_90_percent=3.66)
    text = read(answered(breathing=oxygen)).text
    assert "The model does not look for apneas and hypopneas." in text
    assert "No oximeter" not in text
    for words in ("3 % or more 12.3 /h", "4 % or more 5.0 /h", "47.9 %min/h", "could be read 3.7 %", "arousals – /h"):
        assert words in text


def test_a_lower_bound_is_called_one():
    own = answered().breathing.indices[0]
    bound = replace(own, rule="1B", n_unjudged_hypopneas=3)
    text = read(answered(breathing=NightBreathing((own, bound), oximeter=True))).text
    assert "By rule 1B 3 hypopneas could not be judged" in text
    assert "lower bound" in text


def test_the_person_is_told_beside_what_is_usual():
    text = read(answered()).text
    assert "no diagnoses" in text
    assert "Age 57.3 years usual error 7.2 years" in text
    assert "Sex: male 83 % 48 % of the training nights" in text
    assert "Diagnosis: heart failure < 1 % 20 % of the training nights" in text  # 0.3 % is not nothing
    assert "Smoker 1 40 % –" in text
    assert "Death 1 year 99 % 96 % Death 7.3 years 81 % 70 %" in text
    alone = read(answered(outlooks=(Prognosis("death", 1.0, float("nan"), None),))).text
    assert "Death 1 year – –" in alone
    assert "age or sex of the person are not known" in alone


def test_doubtful_epochs_are_marked_where_they_are_and_their_share_is_told():
    doubtful_L = np.zeros(L, dtype=bool)
    doubtful_L[[5, 6, 7, 50]] = True
    page = page_of(doubtful_L=doubtful_L, least_confidence=0.62)
    reader = read(page)
    assert np.allclose(boxes(reader, "data-doubtful"), [(5, 8), (50, 51)], atol=0.01)
    assert "3 % of them are doubtful: their stage is less probable than 62 %" in reader.text  # 4 of 116
    sure = read(replace(page, doubtful_L=np.zeros(L, dtype=bool)))
    assert boxes(sure, "data-doubtful") == []
    assert "0 % of them are doubtful" in sure.text


def test_a_model_that_was_not_taught_stages_is_not_said_to_abstain():
    unknown = {"stages_L": np.full(L, np.nan), "probabilities_LC": np.full((L, 5), np.nan)}
    text = read(answered(**unknown, statistics=sleep_statistics(unknown["stages_L"]), breathing=None)).text
    assert "This model tells no sleep stages" in text
    assert "no sensor was valid" not in text
    assert "Total sleep" not in text
    assert "Age 57.3 years" in text


def test_hostile_names_stay_words():
    evil = "<script>alert(1)</script>"
    page = answered(told=(Outcome(evil, evil, 1.0, evil),), outlooks=(Prognosis(evil, 1.0, 0.5, 0.5),))
    reader = read(page)
    assert "script" not in {tag for tag, _ in reader.tags}
    assert reader.text.count(evil) == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"doubtful_L": np.zeros(7, dtype=bool)}, r"doubtful_L is \(7,\), not \(120,\)"),
        ({"seconds": {"arousal": np.zeros(L)}}, r"seconds\['arousal'\] is \(120,\), not \(3600,\)"),
    ],
)
def test_answers_of_another_night_are_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        page_of(**changes)
